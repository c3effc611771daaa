"""Results others have published, to stand beside ours as reference marks.

None of them was measured on a Raspberry Pi, by our method, or with an interval: they say what order
of magnitude to expect, never that one number is better than the other. Every chart and table that
shows them says "other hardware".

The rows are in ``published.csv``, with how each was read: ``text`` (of the source), ``label``
(printed on a bar), ``chart`` (measured in pixels; ``error`` is the reading error, in the row's
unit) or ``secondary`` (from others who quote it).
"""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from functools import cache
from importlib import resources

from runbook import show

__all__ = ["SOURCES", "Added", "Published", "Source", "added", "load", "select", "table"]

REMARK = "other hardware, other method"
"""What is said wherever one of these is shown."""


@dataclass(frozen=True)
class Source:
    """Where numbers come from.

    Attributes:
        label: A short name for a chart.
        title: Of the publication.
        date: When it was published; of a page that changes, the year it was read.
        url: Its address.
        setting: Hardware, load and how runs were chosen.
    """

    label: str
    title: str
    date: str
    url: str
    setting: str


SOURCES = {
    "linkerd-2021-05": Source(
        label="Linkerd blog 2021-05",
        title="Benchmarking Linkerd and Istio",
        date="2021-05-27",
        url="https://linkerd.io/2021/05/27/linkerd-vs-istio-benchmarks/",
        setting="Equinix s3.xlarge.x86 (Xeon, 24 cores), emojivoto, wrk2, 10 min; mean of 5 runs "
        "of 6, bars are 1 SD; memory is the largest at any moment",
    ),
    "linkerd-2021-11": Source(
        label="Linkerd blog 2021-11",
        title="Benchmarking Linkerd and Istio: 2021 Redux",
        date="2021-11-29",
        url="https://linkerd.io/2021/11/29/linkerd-vs-istio-benchmarks-2021/",
        setting="as in 2021-05; 5 runs of 8, at 2000 RPS 6 of 7, chosen after they were seen",
    ),
    "linkerd-2025-04": Source(
        label="Linkerd blog 2025-04",
        title="Linkerd vs Ambient Mesh: 2025 Benchmarks",
        date="2025-04-24",
        url="https://linkerd.io/2025/04/24/linkerd-vs-ambient-mesh-2025-benchmarks/",
        setting="GKE, 3 x e2-standard-8 (shared cores), emojivoto from outside, wrk2, "
        "100 connections; mean of 3 runs of 5, no spread given",
    ),
    "istio-docs": Source(
        label="Istio docs",
        title="Performance and Scalability",
        date="2026",
        url="https://istio.io/latest/docs/ops/deployment/performance-and-scalability/",
        setting="fortio, HTTP/1.1, 1 kB, 1000 RPS, 2 workers, mTLS; hardware differs by version",
    ),
    "arxiv-2411.02267": Source(
        label="arXiv 2411.02267",
        title="Technical Report: Performance Comparison of Service Mesh Frameworks: "
        "the MTLS Test Case",
        date="2024-11-04",
        url="https://arxiv.org/abs/2411.02267",
        setting="GCP, fortio, 3200 RPS, mTLS on against no mesh; relative numbers only",
    ),
    "k3s-docs": Source(
        label="K3s docs",
        title="Resource Profiling",
        date="2023",
        url="https://docs.k3s.io/reference/resource-profiling",
        setting="Raspberry Pi 4B at 1.5 GHz, K3s 1.26.5, 95th percentile of a steady load",
    ),
    "linkerd2-7610": Source(
        label="linkerd2#7610",
        title="linkerd-proxy 2.9...2.11 memory consumption",
        date="2022-01-18",
        url="https://github.com/linkerd/linkerd2/issues/7610",
        setting="a user's test: the same load from 1, 2, 3 or 6 client pods",
    ),
}


@dataclass(frozen=True)
class Published:
    """One published number.

    Attributes:
        source: A key of ``SOURCES``.
        mesh: ``linkerd``, ``istio``, ``baseline`` or a part or kind of a mesh.
        version: Of the mesh, empty if none or not given.
        rps: Requests a second, None if there was no such load.
        metric: What was measured, such as ``latency_p99`` or ``proxy_memory``.
        unit: Of value, SD and error.
        value: The number.
        sd: Standard deviation over runs, None if none was given.
        runs: How many runs were kept, None if not said.
        how: How it was read, see the module.
        error: Reading error, None when it was given as text.
        note: What else must be known.
    """

    source: str
    mesh: str
    version: str
    rps: int | None
    metric: str
    unit: str
    value: float
    sd: float | None
    runs: int | None
    how: str
    error: float | None
    note: str

    @property
    def label(self) -> str:
        """What it is called on a chart."""
        name = self.mesh.replace("-", " ").replace("istio", "Istio").replace("linkerd", "Linkerd")
        return f"{name} {self.version}".strip()


@dataclass(frozen=True)
class Added:
    """What a mesh added to a latency, as published: its own minus the baseline's.

    Attributes:
        source: A key of ``SOURCES``.
        mesh: Which mesh, and of what version.
        rps: Requests a second.
        quantile: Such as 0.99.
        ms: The difference; of two means over runs unless the source gave it itself.
        sd: Standard deviation of the difference, the runs of both taken as independent; None if
            the source gave none.
        error: Largest reading error of the difference, ms.
    """

    source: str
    mesh: str
    rps: int
    quantile: float
    ms: float
    sd: float | None
    error: float


@cache
def load() -> tuple[Published, ...]:
    """Give every row, in the order of the file."""
    file = resources.files("runbook.bench").joinpath("published.csv")
    return tuple(_row(row) for row in csv.DictReader(file.read_text("utf-8").splitlines()))


def select(
    metric: str = "", *, source: str = "", mesh: str = "", rps: int | None = None
) -> tuple[Published, ...]:
    """Give the rows that have all that is named.

    >>> [row.value for row in select("proxy_cpu_per_1000rps", mesh="istio-sidecar")]
    [0.5, 0.35, 0.2]
    """
    return tuple(
        row
        for row in load()
        if (not metric or row.metric == metric)
        and (not source or row.source == source)
        and (not mesh or row.mesh == mesh)
        and (rps is None or row.rps == rps)
    )


def added(quantile: float) -> tuple[Added, ...]:
    """Give what meshes added to a percentile, by source, load and mesh.

    Args:
        quantile: 0.5, 0.9, 0.99 or 0.999; others give nothing.
    """
    name = _name(quantile)
    bases = {(row.source, row.rps): row for row in select(f"latency_{name}", mesh="baseline")}
    found = []
    for row in load():
        base = bases.get((row.source, row.rps))
        if row.rps is None or row.note == "with -jitter":
            continue
        if row.metric == f"latency_added_{name}":
            found.append(Added(row.source, row.label, row.rps, quantile, row.value, None, 0.0))
        elif row.metric == f"latency_{name}" and row.mesh != "baseline" and base is not None:
            ms = round(row.value - base.value, 6)
            error = round((row.error or 0.0) + (base.error or 0.0), 6)
            sd = None if row.sd is None or base.sd is None else math.hypot(row.sd, base.sd)
            found.append(Added(row.source, row.label, row.rps, quantile, ms, sd, error))
    return tuple(found)


def table(rows: tuple[Published, ...], title: str = "Published results") -> show.Table:
    """Give rows as a table with their sources, marked as what they are."""
    used = list(dict.fromkeys(row.source for row in rows))
    cells = [
        (
            SOURCES[row.source].label,
            row.label,
            "" if row.rps is None else str(row.rps),
            row.metric.replace("_", " "),
            f"{row.value:g} {row.unit}",
            "" if row.sd is None else f"{row.sd:g}",
            row.how if row.error is None else f"{row.how} ± {row.error:g}",
            row.note,
        )
        for row in rows
    ]
    sources = "\n".join(
        f"{SOURCES[name].label}: {SOURCES[name].title}, {SOURCES[name].date}, {SOURCES[name].url}; "
        f"{SOURCES[name].setting}."
        for name in used
    )
    return show.Table(
        title=f"{title}: {REMARK}",
        columns=("source", "mesh", "RPS", "what", "value", "SD", "read from", ""),
        rows=cells,
        note=sources,
    )


def _name(quantile: float) -> str:
    """Give a percentile's name in the file.

    >>> _name(0.5), _name(0.99), _name(0.999)
    ('p50', 'p99', 'p999')
    """
    return "p" + f"{quantile * 100:.6g}".replace(".", "")


def _row(row: dict[str, str]) -> Published:
    return Published(
        source=row["source"],
        mesh=row["mesh"],
        version=row["version"],
        rps=int(row["rps"]) if row["rps"] else None,
        metric=row["metric"],
        unit=row["unit"],
        value=float(row["value"]),
        sd=float(row["sd"]) if row["sd"] else None,
        runs=int(row["runs"]) if row["runs"] else None,
        how=row["how"],
        error=float(row["error"]) if row["error"] else None,
        note=row["note"],
    )
