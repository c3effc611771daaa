"""Runs that are killed at any moment: no file is ever half written, and going on ends the same."""

from __future__ import annotations

import contextlib
import json
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from batch_place import RUNBOOK, Place

from runbook import rehearsal
from runbook.archive.verify import verify
from runbook.cluster import Cluster, connect
from runbook.params import Params

pytestmark = pytest.mark.timeout(280)

KILLS = 4
"""Of each run; with five runs, twenty moments, drawn anew by each seed."""

KINDS = (
    *(("v1", kind) for kind in ("Namespace", "Secret", "ConfigMap", "Service", "ServiceAccount")),
    ("apps/v1", "Deployment"),
    ("cert-manager.io/v1", "Certificate"),
    ("rbac.authorization.k8s.io/v1", "ClusterRole"),
    ("apiextensions.k8s.io/v1", "CustomResourceDefinition"),
    ("admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration"),
)


@contextlib.contextmanager
def cluster_at(directory: Path) -> Iterator[Place]:
    directory.mkdir()
    place = Place(directory)
    place.start()
    try:
        yield place
    finally:
        rehearsal.down(place.rehearsal)


def state(place: Place) -> set[tuple[str, str, str]]:
    """Give every object there is, but for the revisions Helm keeps."""
    cluster: Cluster = connect(Params(kubeconfig=str(place.rehearsal / "kubeconfig")))
    found = [(kind, obj["metadata"]) for api, kind in KINDS for obj in cluster.list(api, kind)]
    return {
        (kind, meta.get("namespace", ""), meta["name"])
        for kind, meta in found
        if not meta["name"].startswith("sh.helm.release")
    }


def verdicts(result: dict[str, Any]) -> set[tuple[str, str, str]]:
    checks = [(step["notebook"], check) for step in result["steps"] for check in step["checks"]]
    return {(book, check["id"], check["verdict"]) for book, check in checks}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any, Any]:
    """What a run that nobody kills ends with: its objects, its verdicts, those of a second look."""
    with cluster_at(tmp_path_factory.mktemp("undisturbed") / "place") as place:
        first, _ = place.run()
        look, _ = place.run("--mode", "verify")
        return state(place), verdicts(first), verdicts(look)


def kill_after(command: list[str], place: Place, seconds: float) -> bool:
    """Run a command and kill it after a while; tell whether that came before its end."""
    with subprocess.Popen(
        command, env=place.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            return True
    return False


def assert_whole(output: Path) -> None:
    """Every file with a name is whole. A dot file is one that was not given its name any more."""
    for path in output.rglob("[!.]*"):
        if path.suffix in (".json", ".ipynb") or path.name == "MANIFEST":
            json.loads(path.read_text())
        elif path.suffix == ".html":
            assert path.read_text().rstrip().endswith("</html>"), path
        elif path.name == "CHAIN":
            assert path.read_text().endswith("\n")
            for line in path.read_text().splitlines():
                json.loads(line)


@pytest.mark.parametrize("seed", range(5))
def test_goes_on_to_the_same_end(tmp_path: Path, undisturbed: Any, seed: int) -> None:
    moments = random.Random(seed)
    with cluster_at(tmp_path / "place") as place:
        kills = 0
        for _ in range(40):
            records = place.records()
            again = [*RUNBOOK, "resume", "last", "--output", str(place.output)]
            command = again if records else place.command()
            kills += kill_after(command, place, moments.uniform(0.3, 6.0))
            assert_whole(place.output)
            if kills == KILLS:
                break
        else:
            pytest.fail(f"only {kills} kills came before the end")
        if not place.records():  # killed each time before there was anything
            place.run()
        done = subprocess.run(
            again, env=place.environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        (record,) = place.records()
        result = json.loads((record / "result.json").read_text())
        assert (result["status"], result["exit_status"]) == ("ok", 0)
        assert {step["status"] for step in result["steps"]} == {"ok"}
        assert result["checks"]["fail"] == 0
        objects, first, look = undisturbed
        # Helm's operation may have been the one that was killed, and the next attempt says so.
        cut_short = {(book, check, "warn") for book, check, _ in first if check.startswith("helm-")}
        unlike = first ^ (verdicts(result) & (first | cut_short))
        assert {check for _, check, _ in unlike} <= {check for _, check, _ in cut_short}
        assert {(book, check) for book, check, _ in first} <= {
            (book, check) for book, check, _ in verdicts(result)
        }
        assert not [path for path in record.rglob(".*")], "nothing half written is left"
        assert [found for found in verify(place.output) if found.severity == "fail"] == []
        assert state(place) == objects
        assert verdicts(place.run("--mode", "verify")[0]) == look
