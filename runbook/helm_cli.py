"""Helm as a program: ``helm`` 3.13 or later, or 4, on the PATH."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from runbook import helm_errors, holder
from runbook.chart_store import ChartInfo, ChartStore
from runbook.errors import HelmError
from runbook.helm import Installed, Object, Release, Revision, parse_manifest

__all__ = ["CliHelm"]

_PULL_TIMEOUT = 300.0  # seconds
_READ_TIMEOUT = 120.0  # seconds
_CHART = re.compile(r"(?P<name>.+?)-(?P<version>v?\d+\..*)")  # as history shows it: demo-1.0.0


class CliHelm:
    """The ``helm`` program, run without a shell.

    Values travel by standard input, never in arguments, which any user of the machine can read.

    Args:
        kubeconfig: Path of the kubeconfig, or several joined as in ``$KUBECONFIG``.
        context: Name of its context.

    Raises:
        HelmError: There is no ``helm`` on the PATH.
    """

    def __init__(self, kubeconfig: str, context: str) -> None:
        program = shutil.which("helm")
        if program is None:
            raise HelmError(
                "there is no helm on the PATH",
                why='the parameter helm is "cli"',
                fix='install it (https://helm.sh/docs/intro/install/), or set helm to "sdk"',
            )
        self._program = program
        several = ":" in kubeconfig  # then Helm finds them itself, in $KUBECONFIG
        self._cluster = ["--kube-context", context]
        if not several:
            self._cluster += ["--kubeconfig", kubeconfig]
        self._charts = ChartStore(self._download)

    def pull(self, chart: str, version: str, source: str) -> Path:
        """Get a chart as a local archive or directory; pulled once."""
        return self._charts.path(chart, version, source)

    def info(self, chart: str, version: str, source: str) -> ChartInfo:
        """Read a chart's own description."""
        return self._charts.info(chart, version, source)

    def render(self, release: Release) -> list[Object]:
        """Render a release's objects for this cluster; changes nothing."""
        doing = f"render release {release.title}"
        try:
            found = self._upgrade(release, doing, "--dry-run=server", timeout=_READ_TIMEOUT)
        except _UnknownKindError:
            found = self._upgrade(release, doing, "--dry-run=client", timeout=_READ_TIMEOUT)
        return parse_manifest(str(found["manifest"]))

    def release(self, name: str, namespace: str) -> Installed | None:
        """Give the newest revision of a release, ``None`` if there is none."""
        doing = f"read release {namespace}/{name}"
        text = self._run(["get", "metadata", name, "-o", "json"], namespace, doing, absent=True)
        if text is None:
            return None
        meta = json.loads(text)
        values = self._run(["get", "values", name, "-o", "json"], namespace, doing)
        manifest = self._run(["get", "manifest", name], namespace, doing)
        return Installed(
            name=name,
            namespace=namespace,
            revision=int(meta["revision"]),
            status=str(meta["status"]),
            chart=str(meta["chart"]),
            version=str(meta["version"]),
            app_version=str(meta.get("appVersion", "")),
            values=json.loads(values or "{}") or {},
            objects=tuple(parse_manifest(manifest or "")),
        )

    def history(self, name: str, namespace: str) -> list[Revision]:
        """Give a release's revisions, oldest first; empty if there is none."""
        doing = f"read the history of release {namespace}/{name}"
        text = self._run(["history", name, "-o", "json"], namespace, doing, absent=True)
        return [_revision(item) for item in json.loads(text or "[]")]

    def install(self, release: Release, *, timeout: float) -> Installed:
        """Install a release."""
        return self._deploy(release, "install", timeout)

    def upgrade(self, release: Release, *, timeout: float) -> Installed:
        """Upgrade a release; its earlier user values are not kept."""
        return self._deploy(release, "upgrade", timeout)

    def rollback(self, name: str, namespace: str, revision: int, *, timeout: float) -> None:
        """Go back to an earlier revision, as a new one."""
        doing = f"roll release {namespace}/{name} back to revision {revision}"
        args = ["rollback", name, str(revision), "--timeout", f"{timeout:.0f}s"]
        self._run(args, namespace, doing, timeout=timeout + 30)

    def uninstall(self, name: str, namespace: str, *, timeout: float) -> None:
        """Remove a release and its objects."""
        args = ["uninstall", name, "--ignore-not-found", "--timeout", f"{timeout:.0f}s"]
        self._run(args, namespace, f"uninstall release {namespace}/{name}", timeout=timeout + 30)

    def _deploy(self, release: Release, verb: str, timeout: float) -> Installed:
        self._upgrade(
            release,
            f"{verb} release {release.title}",
            "--labels",
            f"{holder.LABEL}={holder.mine()}",
            "--timeout",
            f"{timeout:.0f}s",
            timeout=timeout + 30,
        )
        done = self.release(release.name, release.namespace)
        if done is None:
            raise HelmError(f"release {release.title} is gone right after Helm's {verb}")
        return done

    def _upgrade(self, release: Release, doing: str, *extra: str, timeout: float) -> Any:
        path = self.pull(release.chart, release.version, release.source)
        args = ["upgrade", "--install", release.name, str(path), "--reset-values"]
        args += ["--values", "-", "-o", "json", *extra]
        values = json.dumps(dict(release.values))
        text = self._run(args, release.namespace, doing, values=values, timeout=timeout)
        return json.loads(text or "{}")

    def _download(self, chart: str, version: str, source: str, directory: Path) -> None:
        args = ["pull", chart, "--repo", source]
        if source.startswith("oci://"):
            args = ["pull", source if source.endswith(f"/{chart}") else f"{source}/{chart}"]
        args += ["--version", version, "--destination", str(directory)]
        self._execute(args, f"pull chart {chart} {version} from {source}", "", _PULL_TIMEOUT)

    def _run(
        self,
        args: list[str],
        namespace: str,
        doing: str,
        *,
        values: str = "",
        absent: bool = False,
        timeout: float = _READ_TIMEOUT,
    ) -> str | None:
        """Run helm against the cluster.

        Args:
            args: Command and its arguments.
            namespace: Of the release.
            doing: For messages.
            values: For standard input.
            absent: Give ``None`` where there is no such release, instead of raising.
            timeout: Seconds.
        """
        command = [*args, "--namespace", namespace, *self._cluster]
        return self._execute(command, doing, values, timeout, absent=absent)

    def _execute(
        self, args: list[str], doing: str, text: str, timeout: float, *, absent: bool = False
    ) -> str | None:
        try:
            done = subprocess.run(
                [self._program, *args],
                input=text,
                capture_output=True,
                text=True,
                timeout=timeout,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise HelmError(
                f"Helm could not {doing} within {timeout:.0f} s", fix="raise the parameter timeout"
            ) from None
        if done.returncode == 0:
            return done.stdout
        if absent and helm_errors.is_not_found(done.stderr):
            return None
        if "no matches for kind" in done.stderr and "--dry-run=server" in args:
            raise _UnknownKindError
        raise helm_errors.explain(doing, done.stderr)


class _UnknownKindError(Exception):
    """A dry run met a kind whose CRD is not installed yet."""


def _revision(item: Mapping[str, Any]) -> Revision:
    found = _CHART.fullmatch(str(item.get("chart", "")))
    return Revision(
        int(item["revision"]),
        str(item["status"]),
        found["name"] if found else str(item.get("chart", "")),
        found["version"] if found else "",
        str(item.get("description", "")),
    )
