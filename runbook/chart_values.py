"""Values that a chart does not know: Helm takes them and ignores them, so they are refused here.

The seed set ``dahsboard.enforcedHostRegexp``, and Helm installed happily without it.
"""

from __future__ import annotations

import difflib
import re
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from runbook.errors import HelmError, ParameterError
from runbook.params import merge_values

__all__ = ["Unknown", "require_known", "unknown_values"]

_FILES = re.compile(r"values[\w-]*\.ya?ml")


@dataclass(frozen=True)
class Unknown:
    """A value that a chart neither has a default for nor mentions.

    Attributes:
        path: Such as ``dahsboard``, or ``dashboard.enforcedHost``.
        near: The nearest path it knows, empty if none is near.
    """

    path: str
    near: str = ""

    def __str__(self) -> str:
        return f"{self.path} (did you mean {self.near}?)" if self.near else self.path


def require_known(chart: Path, values: Mapping[str, Any]) -> None:
    """Refuse values that a chart does not know.

    Args:
        chart: Its archive or directory.
        values: The values it would be given.

    Raises:
        ParameterError: There are some; the nearest names are suggested.
        HelmError: The chart cannot be read.
    """
    found = list(unknown_values(chart, values))
    if not found:
        return
    one = len(found) == 1
    raise ParameterError(
        f"the chart {chart.name.removesuffix('.tgz')} does not know the value{'' if one else 's'} "
        + ", ".join(map(str, found)),
        why="Helm would take it without a word, and nothing would come of it"
        if one
        else "Helm would take them without a word, and nothing would come of them",
        fix="correct the name, or leave it out; `helm show values` lists what there is",
    )


def unknown_values(chart: Path, values: Mapping[str, Any]) -> Iterator[Unknown]:
    """Find the values that a chart does not know.

    Known is what its ``values.yaml`` has, or another values file it brings (``values-ha.yaml`` of
    Linkerd), and what its templates, those of its subcharts too, mention. Below an empty or absent
    default, such as ``podAnnotations: {}``, anything may stand.

    Raises:
        HelmError: The chart cannot be read.
    """
    texts = _texts(chart)
    files = [texts.pop(name) for name in sorted(texts) if _FILES.fullmatch(name)]
    defaults: dict[str, Any] = {}
    try:
        for text in files:
            defaults = merge_values(yaml.safe_load(text) or {}, defaults)
    except (yaml.YAMLError, TypeError, AttributeError) as error:
        raise HelmError(f"a values file of {chart} is no YAML", why=str(error)) from None
    beyond = list(_beyond(values, defaults, ()))
    if not beyond:  # as a rule; then the templates, which may be long, need not be looked at
        return
    used = _Used.of("\n".join(texts.values()))
    known = {*_paths(defaults, ()), *used.paths}
    for path in beyond:
        if path != ("global",) and not used.knows(path):
            yield Unknown(".".join(path), _near(".".join(path), known))


@dataclass(frozen=True)
class _Used:
    """What templates take of the values.

    Attributes:
        paths: Named in full, such as ``grafana.url``, and everything above them.
        whole: Handed on as a whole, such as ``proxy`` in ``toYaml .Values.proxy``.
        words: Every name after a dot or in quotes.
    """

    paths: frozenset[str]
    whole: frozenset[str]
    words: frozenset[str]

    @classmethod
    def of(cls, templates: str) -> _Used:
        named = {path.rstrip(".") for path in re.findall(r"[vV]alues\.([\w.]+)", templates)}
        above = {".".join(p.split(".")[:n]) for p in named for n in range(1, p.count(".") + 1)}
        words = re.findall(r"[.\"']([A-Za-z_][\w-]*)", templates)
        return cls(frozenset(named | above), frozenset(named), frozenset(words))

    def knows(self, path: tuple[str, ...]) -> bool:
        """Tell whether a value without a default may still be read by a template."""
        if ".".join(path) in self.paths:
            return True
        return len(path) > 1 and ".".join(path[:-1]) in self.whole and path[-1] in self.words


def _beyond(
    given: Mapping[str, Any], defaults: Mapping[str, Any], above: tuple[str, ...]
) -> Iterator[tuple[str, ...]]:
    """Give the paths of values that have no default."""
    for key, item in given.items():
        path, default = (*above, key), defaults.get(key)
        if key not in defaults:
            yield path
        elif isinstance(item, Mapping) and isinstance(default, Mapping) and default:
            yield from _beyond(item, default, path)


def _paths(defaults: Mapping[str, Any], above: tuple[str, ...]) -> Iterator[str]:
    for key, item in defaults.items():
        yield ".".join((*above, key))
        if isinstance(item, Mapping):
            yield from _paths(item, (*above, key))


def _near(path: str, known: set[str]) -> str:
    """Find the nearest known path; dots do not count, so ``grafanaUrl`` finds ``grafana.url``."""
    by_letters: dict[str, str] = {}
    for one in sorted(known, key=lambda path: (path.count("."), path)):
        by_letters.setdefault(one.replace(".", "").lower(), one)
    letters = path.replace(".", "").lower()
    found = difflib.get_close_matches(letters, by_letters, n=1, cutoff=0.75)
    return by_letters[found[0]] if found else ""


def _texts(chart: Path) -> dict[str, str]:
    """Read ``values.yaml`` and every template of a chart and its subcharts, by path."""
    try:
        return dict(_of_directory(chart) if chart.is_dir() else _of_archive(chart))
    except (OSError, tarfile.TarError, UnicodeDecodeError) as error:
        raise HelmError(
            f"the chart {chart} cannot be read", why=f"{type(error).__name__}: {error}"
        ) from None


def _of_directory(chart: Path) -> Iterator[tuple[str, str]]:
    for path in sorted(chart.rglob("*")):
        name = path.relative_to(chart).as_posix()
        if path.suffix == ".tgz":  # a subchart that `helm dependency build` has packed
            packed = _of_archive(path)
            yield from (
                (f"{name}/{inner}", text) for inner, text in packed if not _FILES.fullmatch(inner)
            )
        elif path.is_file() and _counts(name):
            yield name, path.read_text(encoding="utf-8")


def _of_archive(chart: Path) -> Iterator[tuple[str, str]]:
    with tarfile.open(chart) as archive:
        for member in archive.getmembers():
            name = PurePosixPath(*PurePosixPath(member.name).parts[1:]).as_posix()
            content = archive.extractfile(member) if _counts(name) else None
            if content is not None:
                yield name, content.read().decode("utf-8")


def _counts(name: str) -> bool:
    return bool(_FILES.fullmatch(name)) or "templates/" in name
