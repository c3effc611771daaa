"""Charts as local files: pulled once from a repository or registry, or found on this machine."""

from __future__ import annotations

import shutil
import tarfile
import tempfile
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import yaml

from runbook.errors import HelmError

__all__ = ["ChartInfo", "ChartStore", "is_remote"]

Pull = Callable[[str, str, str, Path], None]
"""Downloads a chart: name, version, source, directory to put the archive into."""


@dataclass(frozen=True)
class ChartInfo:
    """What a chart says of itself (``Chart.yaml``)."""

    name: str
    version: str
    app_version: str = ""
    kube_version: str = ""


def is_remote(source: str) -> bool:
    """Tell a repository or registry from a local path.

    >>> is_remote("https://helm.linkerd.io/edge"), is_remote("./charts")
    (True, False)
    """
    return source.startswith(("http://", "https://", "oci://"))


class ChartStore:
    """Local copies of charts, kept as long as the store.

    Args:
        pull: Downloads a chart.
    """

    def __init__(self, pull: Pull) -> None:
        self._pull = pull
        self._found: dict[tuple[str, str, str], Path] = {}
        self._directory = Path(tempfile.mkdtemp(prefix="runbook-charts-"))
        self._cleanup = weakref.finalize(self, shutil.rmtree, self._directory, ignore_errors=True)

    def path(self, chart: str, version: str, source: str) -> Path:
        """Give a chart as an archive or a directory on this machine.

        Raises:
            HelmError: There is no such chart, or the source does not answer.
        """
        key = (chart, version, source)
        if key not in self._found:
            self._found[key] = (
                self._download(chart, version, source)
                if is_remote(source)
                else _local(chart, version, Path(source).expanduser())
            )
        return self._found[key]

    def info(self, chart: str, version: str, source: str) -> ChartInfo:
        """Read a chart's own description.

        Raises:
            HelmError: There is no such chart, or it is another one.
        """
        path = self.path(chart, version, source)
        found = _read_info(path)
        if found.name != chart:
            raise HelmError(
                f"{path} holds the chart {found.name}, not {chart}",
                fix="correct the parameter chart_source",
            )
        return found

    def _download(self, chart: str, version: str, source: str) -> Path:
        target = self._directory / str(len(self._found))
        target.mkdir(exist_ok=True)
        self._pull(chart, version, source, target)
        archives = sorted(target.glob("*.tgz"))
        if not archives:
            raise HelmError(f"Helm pulled no archive of chart {chart} {version} from {source}")
        return archives[0]


def _local(chart: str, version: str, source: Path) -> Path:
    """Find a chart at a local path: an archive, a chart directory, or a directory of those."""
    candidates = [
        source,
        source / f"{chart}-{version}.tgz",
        source / chart,
        source / f"{chart}.tgz",
    ]
    for path in candidates:
        if (path / "Chart.yaml").is_file() or (path.is_file() and path.suffix == ".tgz"):
            return path.resolve()
    there = sorted(p.name for p in source.iterdir()) if source.is_dir() else []
    raise HelmError(
        f"chart {chart} {version} not found in {source}",
        why=("the directory holds " + (", ".join(there[:8]) or "nothing"))
        if source.is_dir()
        else "there is no such file or directory",
        fix=f"put {chart}-{version}.tgz there (`helm pull` on a machine with network), or correct "
        "the parameters chart_source and chart_version",
    )


def _read_info(path: Path) -> ChartInfo:
    try:
        text = (path / "Chart.yaml").read_text("utf-8") if path.is_dir() else _from_archive(path)
        meta = yaml.safe_load(text)
        return ChartInfo(
            str(meta["name"]),
            str(meta["version"]),
            str(meta.get("appVersion") or ""),
            str(meta.get("kubeVersion") or ""),
        )
    except (OSError, tarfile.TarError, yaml.YAMLError, LookupError, TypeError) as error:
        raise HelmError(
            f"{path} is not a Helm chart", why=f"{type(error).__name__}: {error}"
        ) from None


def _from_archive(path: Path) -> str:
    """Read Chart.yaml of an archive; subcharts have theirs deeper down."""
    with tarfile.open(path) as archive:
        names = [n for n in archive.getnames() if n.count("/") == 1 and n.endswith("/Chart.yaml")]
        member = archive.extractfile(names[0]) if names else None
        if member is None:
            raise KeyError("no Chart.yaml in the archive")
        return member.read().decode("utf-8")
