"""A place to run notebooks in batch: a rehearsal cluster, and a directory for records."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
PARAMS = ROOT / "params" / "rehearsal.yaml"
RUNBOOK = (sys.executable, "-c", "from runbook.cli import main; main()")


class Place:
    """A rehearsal cluster to keep, and a directory for records."""

    def __init__(self, directory: Path) -> None:
        self.rehearsal = directory / "rehearsal"
        self.output = directory / "outputs"
        self.work = directory / "work"
        self.work.mkdir()
        self.environment = {**os.environ, "RUNBOOK_REHEARSAL_DIR": str(self.rehearsal)}

    def command(self, *arguments: str) -> list[str]:
        return [*RUNBOOK, "run", "-f", str(PARAMS), "--output", str(self.output), *arguments]

    def run(self, *arguments: str, status: int = 0) -> tuple[dict[str, Any], str]:
        """Run notebooks; give ``result.json`` of the run and what was printed."""
        done = subprocess.run(
            self.command(*arguments),
            env=self.environment,
            cwd=self.work,
            capture_output=True,
            text=True,
            timeout=250,
            check=False,
        )
        assert done.returncode == status, f"{done.stdout}\n{done.stderr}"
        return json.loads((self.records()[-1] / "result.json").read_text()), done.stdout

    def records(self) -> list[Path]:
        """Give the directories of all runs, oldest first."""
        found = (path.parent for path in self.output.glob("*/result.json"))
        return sorted(found, key=lambda path: path.stat().st_mtime_ns)

    def start(self, kubernetes: str = "1.35") -> None:
        """Start the cluster by command, as a user does; it prints its kubeconfig and no more."""
        command = [*RUNBOOK, "rehearsal", "up", "--kubernetes", kubernetes]
        shown = subprocess.check_output(command, env=self.environment, text=True, timeout=120)
        assert shown == f"{self.rehearsal / 'kubeconfig'}\n"
