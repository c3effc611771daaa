"""The chart repository of the rehearsal cluster: our own small Linkerd charts.

Written from what the upstream charts *create* (names, kinds, labels, ports, webhooks, value keys),
not from how they are written. One template source per chart serves every release line:

- ``lines.yaml`` says which charts a line has, their versions, and how a line differs from the one
  before it: value keys (``values``), facts its templates ask for (``facts``) and CRDs (``crds``).
  ``linkerd-viz`` and ``linkerd-jaeger`` have one of their own.
- ``services`` has the charts of what runs on the cluster already, as they stand
  (``runbook.rehearsal.installed``).
- A chart's templates read those facts from ``line.yaml`` and the CRD table from ``crds.yaml``,
  which ``build`` writes into each package. What several charts share is in ``common`` and
  ``extension``.

Left out, because no rehearsed step uses them: ``values-ha.yaml`` with its PodDisruptionBudgets and
anti-affinity, ``enablePSP``, control-plane tracing and ``debugContainer``. Their value keys exist
and have no effect.
"""

from __future__ import annotations

import copy
import gzip
import hashlib
import io
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

__all__ = ["Package", "build", "packages"]

SOURCES = Path(__file__).parent
_CRDS, _MAIN = "linkerd-crds", "linkerd-control-plane"
_EXTENSIONS = ("linkerd-viz", "linkerd-jaeger")
_PARTS = ("values", "facts", "crds")
CREATED = "2026-01-01T00:00:00Z"
"""When every package says it was made. Fixed, so that equal sources give equal bytes."""


@dataclass(frozen=True)
class Package:
    """One version of one chart, ready to be written as ``<name>-<version>.tgz``.

    Attributes:
        line: The release line it belongs to, for example ``edge-2.20``; empty for a service.
        metadata: Its ``Chart.yaml``.
        files: Path inside the chart directory to content.
    """

    line: str
    metadata: Mapping[str, Any]
    files: Mapping[str, bytes]

    @property
    def archive_name(self) -> str:
        """The file name Helm gives this package."""
        return f"{self.metadata['name']}-{self.metadata['version']}.tgz"

    def archive(self) -> bytes:
        """Pack the chart the way Helm does, with fixed times and owners."""
        plain = io.BytesIO()
        with tarfile.open(fileobj=plain, mode="w", format=tarfile.USTAR_FORMAT) as tar:
            for path in sorted(self.files):
                entry = tarfile.TarInfo(f"{self.metadata['name']}/{path}")
                entry.size = len(self.files[path])
                entry.mode = 0o644
                tar.addfile(entry, io.BytesIO(self.files[path]))
        return gzip.compress(plain.getvalue(), mtime=0)


def build(directory: Path) -> None:
    """Write the Helm repository: ``index.yaml`` and one ``.tgz`` per chart version.

    The result is the same bytes every time. It is what the rehearsal cluster serves as
    ``chart_repository``.

    Args:
        directory: Where to write; created when missing.
    """
    directory.mkdir(parents=True, exist_ok=True)
    entries: dict[str, list[dict[str, Any]]] = {}
    for package in packages():
        archive = package.archive()
        (directory / package.archive_name).write_bytes(archive)
        entries.setdefault(package.metadata["name"], []).append(
            {
                **package.metadata,
                "created": CREATED,
                "digest": hashlib.sha256(archive).hexdigest(),
                "urls": [package.archive_name],
            }
        )
    index = {"apiVersion": "v1", "entries": entries, "generated": CREATED}
    (directory / "index.yaml").write_bytes(_yaml(index))


def packages() -> Iterator[Package]:
    """Yield every chart version of every release line, newest line first."""
    lines: dict[str, dict[str, Any]] = _read("lines.yaml")
    crds: dict[str, Any] = _read("crds.yaml")
    tables = {name: _grown(_read(f"{name}/lines.yaml")) for name in _EXTENSIONS}
    control_plane = _grown(lines)
    found = [
        [
            _package(line, chart, entry, crds, {**tables, _MAIN: control_plane})
            for chart in entry["charts"]
        ]
        for line, entry in lines.items()
    ]
    for charts in reversed(found):
        yield from charts
    for directory in sorted((SOURCES / "services").iterdir()):
        yield _service(directory)


def _service(directory: Path) -> Package:
    """Pack a chart that is the same for every line, as it stands."""
    files = {
        str(path.relative_to(directory)): path.read_bytes()
        for path in sorted(directory.rglob("*.yaml"))
    }
    return Package(line="", metadata=yaml.safe_load(files["Chart.yaml"]), files=files)


def _grown(lines: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Give each line as a whole: its changes over all lines before it."""
    whole: dict[str, Any] = {part: {} for part in _PARTS}
    found = {}
    for line, entry in lines.items():
        whole = {part: overlay(whole[part], entry.get(part, {})) for part in _PARTS}
        found[line] = whole
    return found


def overlay(base: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """Merge ``change`` over ``base``: maps merge, null removes a key, all else replaces it."""
    merged = copy.deepcopy(dict(base))
    for key, value in change.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, dict) and isinstance(merged.get(key), dict):
            merged[key] = overlay(merged[key], value)
        else:
            merged[key] = copy.deepcopy(value)
    return merged


def _package(
    line: str,
    chart: Mapping[str, Any],
    entry: Mapping[str, Any],
    crds: Mapping[str, Any],
    tables: Mapping[str, Mapping[str, Any]],
) -> Package:
    """Gather the files of one chart of one line."""
    metadata = {
        "apiVersion": "v2",
        "type": "application",
        "description": f"Stand-in for {chart['name']}: the same objects, for rehearsals only",
        "kubeVersion": entry["kubeVersion"],
        **{key: chart[key] for key in ("name", "version", "appVersion") if key in chart},
    }
    files: dict[str, bytes] = {"Chart.yaml": _yaml(metadata)}
    for source in chart["sources"]:
        for path in sorted((SOURCES / source / "templates").iterdir()):
            files[f"templates/{path.name}"] = path.read_bytes()
    own = tables.get(chart["sources"][-1])
    if own is not None:
        values = {**own[line]["values"], "linkerdVersion": entry["linkerdVersion"]}
        files["line.yaml"] = _yaml(own[line]["facts"])
    else:
        values = entry["crdsValues"]
    if _CRDS in chart["sources"]:
        picked = tables[_MAIN][line]["crds"]
        files["crds.yaml"] = _yaml({name: _crd(crds[name], row) for name, row in picked.items()})
    files["values.yaml"] = _yaml(values)
    return Package(line=line, metadata=metadata, files=files)


def _crd(row: Mapping[str, Any], picked: Mapping[str, Any]) -> dict[str, Any]:
    """Keep of a CRD's row the versions a line serves; the last one is stored unless it says."""
    return {
        **row,
        "annotations": overlay(row.get("annotations", {}), picked.get("annotations", {})),
        "versions": {name: row["versions"][name] for name in picked["versions"]},
        "stored": picked.get("stored", picked["versions"][-1]),
    }


def _read(name: str) -> Any:
    """Read a table beside this file; every start of the cluster does, so with libyaml if built."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return yaml.load((SOURCES / name).read_bytes(), Loader=loader)  # noqa: S506 - both are safe


class _Plain(yaml.SafeDumper):
    """YAML without anchors: Helm reads these files, and so do people."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _yaml(data: Any) -> bytes:
    text = yaml.dump(data, Dumper=_Plain, sort_keys=False, allow_unicode=True, width=100)
    return str(text).encode()
