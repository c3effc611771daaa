"""The benchmark from end to end: notebooks 60 to 64, real kernels and load, on a rehearsal."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from batch_place import RUNBOOK, Place

from runbook import rehearsal
from runbook.bench.campaign import Campaign
from runbook.cluster import Cluster, connect
from runbook.params import Params

pytestmark = pytest.mark.timeout(280)

SHORT = (
    *("-p", "bench_seconds=300ms", "-p", "bench_warmup=200ms"),
    *("-p", "bench_half_width=10s"),  # reached by the first blocks, whatever the machine does
)
NOTEBOOKS = ("--until", "16", "--with", "60-64")
BENCH = ["60-bench-deploy", "61-bench-latency", "62-bench-footprint", "63-bench-report"]
BENCH.append("64-bench-history")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A cluster on which everything is planned, applied and verified once."""
    kept = Place(tmp_path_factory.mktemp("bench"))
    kept.start()
    yield kept
    rehearsal.down(kept.rehearsal)


@pytest.fixture(scope="module")
def planned(place: Place) -> dict[str, Any]:
    return place.run("--mode", "plan", *NOTEBOOKS, *SHORT)[0]


@pytest.fixture(scope="module")
def applied(place: Place, planned: dict[str, Any]) -> dict[str, Any]:
    """The install and the benchmark after it."""
    return place.run(*NOTEBOOKS, *SHORT)[0]


@pytest.fixture(scope="module")
def record(place: Place, applied: dict[str, Any]) -> Path:
    return place.output / applied["run"]


@pytest.fixture(scope="module")
def cluster(place: Place, applied: dict[str, Any]) -> Iterator[Cluster]:
    found = connect(Params.parse({"kubeconfig": str(place.rehearsal / "kubeconfig")}))
    yield found
    found.close()


def step(result: dict[str, Any], name: str) -> dict[str, Any]:
    return next(one for one in result["steps"] if one["notebook"] == name)


def test_a_plan_on_a_fresh_cluster_measures_nothing(planned: dict[str, Any]) -> None:
    assert [step(planned, name)["status"] for name in BENCH] == ["ok"] * 5
    assert planned["changed"] == 0
    assert step(planned, "61-bench-latency")["measures"] == []


def test_everything_ends_well(applied: dict[str, Any]) -> None:
    assert [step(applied, name)["status"] for name in BENCH] == ["ok"] * 5


def test_measures_carry_intervals(applied: dict[str, Any]) -> None:
    found = {one["name"]: one for one in step(applied, "61-bench-latency")["measures"]}
    median = found["meshed overhead p50, node2 · 100 RPS · HTTP/1.1 · 1 KiB"]
    assert median["unit"] == "ms"
    assert median["low"] <= median["value"] <= median["high"]
    assert median["low"] > 0, "two relays take time"
    assert median["n"] >= 6
    names = [one["name"] for one in step(applied, "62-bench-footprint")["measures"]]
    assert any(name.startswith("CPU a request, meshed proxy") for name in names)
    assert any(name.startswith("memory, control plane") for name in names)


def test_the_record_holds_figures_and_the_campaign(record: Path, applied: dict[str, Any]) -> None:
    figures = sorted((record / "figures").glob("63-*.png"))
    assert len(figures) >= 4
    assert all(figure.read_bytes().startswith(b"\x89PNG") for figure in figures)
    campaign = Campaign.read(record / "data" / "63-campaign.json.gz")
    assert campaign.complete
    assert campaign.environment.rehearsal
    assert len(campaign.blocks) >= 6
    assert len(campaign.idle) == 2
    page = (record / "63-bench-report.html").read_text("utf-8")
    assert page.count('<img src="data:image/png') == len(figures)
    assert "REHEARSAL" in page
    listed = step(applied, "63-bench-report")["files"]
    assert len(listed["figures"]) == len(figures)


def test_the_record_is_small_and_holds_no_key(record: Path) -> None:
    files = [path for path in record.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 3_000_000
    assert not [path for path in files if b"PRIVATE KEY" in path.read_bytes()]


def test_the_charts_are_drawn_again_to_the_byte(place: Place, record: Path) -> None:
    command = [*RUNBOOK, "records", "redraw", record.name, "--output", str(place.output)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_nothing_is_left_under_load(cluster: Cluster) -> None:
    assert list(cluster.list("batch/v1", "Job", "linkerd-bench")) == []


def test_again_there_is_nothing_to_deploy(place: Place, applied: dict[str, Any]) -> None:
    result, _ = place.run("--only", "60", *SHORT)
    assert result["changed"] == 0


def test_verify_only_reads(place: Place, cluster: Cluster, applied: dict[str, Any]) -> None:
    before = {obj["metadata"]["name"] for obj in cluster.list("v1", "ConfigMap", "linkerd-bench")}
    result, _ = place.run("--mode", "verify", "--only", "60-64", *SHORT)
    assert result["status"] == "ok"
    after = {obj["metadata"]["name"] for obj in cluster.list("v1", "ConfigMap", "linkerd-bench")}
    assert after == before


def test_a_report_from_the_data_of_a_record_needs_no_campaign_in_the_cluster(
    place: Place, record: Path
) -> None:
    data = record / "data" / "63-campaign.json.gz"
    result, _ = place.run("--only", "62,63", "-p", f"bench_data={data}", *SHORT)
    again = place.output / result["run"]
    assert (again / "data" / data.name).read_bytes() == data.read_bytes()
    for figure in (record / "figures").glob("63-*.png"):
        assert (again / "figures" / figure.name).read_bytes() == figure.read_bytes()
