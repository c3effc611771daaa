"""The rehearsal's charts, rendered, and what the upstream ones create."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import helm_python as helm
import yaml

from runbook.rehearsal import charts

Rendered = dict[tuple[str, str, str], dict[str, Any]]


@cache
def packages(line: str) -> list[charts.Package]:
    """Give the charts of a line."""
    return [package for package in charts.packages() if package.line == line]


def package(line: str, name: str) -> charts.Package:
    """Give one chart of a line."""
    (found,) = [p for p in packages(line) if p.metadata["name"] == name]
    return found


def render(package: charts.Package, values: dict[str, Any], namespace: str = "linkerd") -> Rendered:
    """Render a chart: (apiVersion, kind, name) to object; nothing may come twice."""
    with helm.Chart.load_archive(package.archive()) as chart:
        files = chart.render(values, name=package.metadata["name"], namespace=namespace)
    objects: Rendered = {}
    places = set()
    for path, text in files.items():
        for document in yaml.safe_load_all("" if path.endswith(".txt") else text):
            if document:
                meta = document["metadata"]
                key = (document["apiVersion"], document["kind"], meta["name"])
                place = (*key, meta.get("namespace"))
                assert place not in places, f"{place} is rendered twice"
                places.add(place)
                objects[key] = document
    return objects


def grown(lines: dict[str, dict[str, list[str]]], line: str) -> dict[str, set[str]]:
    """Give what a line has, by kind: the changes of every line up to it."""
    found: dict[str, set[str]] = {}
    for entry, changes in lines.items():
        for kind, changed in changes.items():
            names = found.setdefault(kind, set())
            for name in changed:
                if name.startswith("-"):
                    names.remove(name[1:])
                else:
                    names.add(name)
        if entry == line:
            return found
    raise AssertionError(line)


def table(name: str) -> Any:
    """Read a table of names beside this file."""
    return yaml.safe_load((Path(__file__).parent / name).read_text())


def identities(found: dict[str, set[str]]) -> set[tuple[str, str, str]]:
    """Give the (apiVersion, kind, name) of every object of a table's line."""
    pairs = [(kind.split(" "), names) for kind, names in found.items() if kind != "values keys"]
    return {(version, kind, name) for (version, kind), names in pairs for name in names}
