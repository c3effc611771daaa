"""What the benchmark notebooks do: propose, measure or not, look at a campaign, hand it on."""

from __future__ import annotations

import gzip
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from campaign_records import campaign as recorded

from runbook import benchmark
from runbook.bench import charts, conduct
from runbook.bench.campaign import Campaign
from runbook.bench.figure import Figure
from runbook.bench.store import Store
from runbook.cluster import Cluster
from runbook.errors import UsageError
from runbook.rehearsal import Twin, picluster
from runbook.rehearsal.client import Client
from runbook.rehearsal.controllers import kinds
from runbook.show import MEDIA_TYPE, Showable, Table
from runbook.step import Step, open_step

BOOK = "61-bench-latency"
KEPT = (("v1", "ConfigMap"), ("v1", "Namespace"), ("batch/v1", "Job"), ("apps/v1", "Deployment"))


class Shown(list[Showable]):
    """What a step has shown."""

    def __call__(self, value: Showable) -> None:
        self.append(value)

    def texts(self) -> str:
        return "\n".join(one._repr_mimebundle_()["text/plain"] for one in self)

    def of(self, kind: str) -> list[dict[str, Any]]:
        forms = [one._repr_mimebundle_()[MEDIA_TYPE] for one in self]
        return [form for form in forms if form["type"] == kind]


Open = Callable[..., tuple[Step, Shown]]
_numbers = itertools.count()


@pytest.fixture(scope="module")
def twin() -> Iterator[Twin]:
    """An API server with the nodes of the Pi cluster, and nothing that runs on them."""
    with Twin(content=False, controllers=False, kubelet=False) as running:
        client = Client.from_kubeconfig(running.kubeconfig)
        for obj in picluster.objects("1.35"):
            if obj["kind"] == "Node":
                client.create(kinds.NODES, obj)
                ready = {"conditions": [{"type": "Ready", "status": "True"}]}
                status = {"status": obj["status"] | ready}
                client.patch(kinds.NODES, obj["metadata"]["name"], status, subresource="status")
        yield running


@pytest.fixture
def space() -> str:
    """Name a namespace for one test; there are no controllers to take one away."""
    return f"bench-{next(_numbers)}"


@pytest.fixture
def opened(twin: Twin, space: str) -> Iterator[Open]:
    steps: list[Step] = []

    def open_one(book: str = BOOK, **variables: Any) -> tuple[Step, Shown]:
        shown = Shown()
        plain = {"kubeconfig": str(twin.kubeconfig), "bench_nodes": "node2"}
        given = {**plain, "bench_namespace": space, **variables}
        steps.append(open_step(book, given, display=shown))
        return steps[-1], shown

    yield open_one
    for one in steps:
        one.cluster.close()


@pytest.fixture
def store(opened: Open, space: str) -> Store:
    """The campaigns of the namespace that notebook 60 has made."""
    cluster = opened()[0].cluster
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": space}})
    return Store(cluster, space)


def everything(cluster: Cluster) -> set[tuple[str, str, str]]:
    found = ((kind, obj["metadata"]) for api, kind in KEPT for obj in cluster.list(api, kind))
    return {(kind, meta["name"], meta["resourceVersion"]) for kind, meta in found}


class Conductor:
    """Measures nothing, and ends a campaign at once."""

    runs: ClassVar[list[tuple[str, int]]] = []

    def __init__(self, cluster: Cluster, params: Any, targets: Any, store: Store) -> None:
        self.store = store

    def rest(self, campaign: Campaign) -> Campaign:
        self.runs.append(("rest", len(campaign.blocks)))
        return campaign.model_copy(update={"idle": recorded(day=24).idle})

    def run(self, campaign: Campaign) -> Campaign:
        self.runs.append(("run", len(campaign.blocks)))
        ended = campaign.model_copy(update={"complete": True, "stop": {"0": "enough"}})
        self.store.end(ended)
        return ended


@pytest.fixture
def conductor(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Give what a conductor was told to do, with the blocks there were."""
    assert hasattr(conduct.Conductor, "rest")
    monkeypatch.setattr(Conductor, "runs", [])
    monkeypatch.setattr(benchmark, "Conductor", Conductor)
    return Conductor.runs


# --- modes that change nothing --------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["plan", "verify"])
def test_a_campaign_is_proposed_but_nothing_is_measured_or_changed(
    opened: Open, store: Store, mode: str
) -> None:
    before = everything(store.cluster)
    step, shown = opened(mode=mode)
    proposal = benchmark.plan(step)
    assert benchmark.measure(step, proposal) is None
    benchmark.overhead(step, None)
    benchmark.footprint(step, None)
    benchmark.publish(step, None)
    assert everything(store.cluster) == before
    text = shown.texts()
    assert "A campaign of 2 cells" in text
    assert f"nothing is measured: the mode is {mode}" in text
    assert text.count("no campaign has been measured yet") == 3
    assert "REHEARSAL" in text
    assert step.result().measures == ()


def test_before_notebook_60_there_is_a_proposal_all_the_same(opened: Open) -> None:
    step, _ = opened(mode="plan")
    proposal = benchmark.plan(step)
    assert proposal.begun is None
    assert [cell.rps for cell in proposal.design.cells] == [20, 200]
    assert proposal.targets.servers == ("node2",)
    assert benchmark.measure(step, proposal) is None


def test_the_newest_campaign_is_looked_at_in_other_modes(opened: Open, store: Store) -> None:
    older, newest = recorded(day=20), recorded(day=21)
    store.begin(newest)
    store.begin(older)
    step, _ = opened(mode="verify")
    found = benchmark.measure(step, benchmark.plan(step))
    assert found is not None
    assert found.id == newest.id


def test_what_notebook_60_deploys_is_planned_not_applied(opened: Open, space: str) -> None:
    step, _ = opened("60-bench-deploy", mode="plan", bench_skipped=True)
    objects = benchmark.objects(step)
    assert [obj["kind"] for obj in objects].count("Deployment") == 3
    step.plan(*objects)
    assert step.cluster.find("v1", "Namespace", space) is None


# --- measuring ------------------------------------------------------------------------------------


def test_a_campaign_is_begun_rested_measured_and_shown(
    opened: Open, store: Store, conductor: list[tuple[str, int]]
) -> None:
    step, shown = opened()
    proposal = benchmark.plan(step)
    measured = benchmark.measure(step, proposal)
    assert measured is not None
    assert measured.complete
    assert measured.id.endswith(f"-{proposal.design.digest}")
    assert measured.environment.rehearsal
    assert set(measured.environment.nodes) == {"node2", "node1"}
    assert conductor == [("rest", 0), ("run", 0)]
    assert store.ids() == [measured.id]
    assert "enough" in shown.texts()
    assert {"Plan", "Measure"} <= {timing.name for timing in step.result().timings}


def begun(step: Step, store: Store, **environment: Any) -> Campaign:
    """Keep a campaign that was stopped after a block and its rest."""
    proposal = benchmark.plan(step)
    one = recorded(day=24).blocks[0]
    campaign = Campaign(
        id=f"20261120-220000-{proposal.design.digest}",
        design=proposal.design,
        environment=recorded(day=24).environment.model_copy(
            update={"nodes": {}, "linkerd": "", "proxy": ""} | environment
        ),
    )
    store.begin(campaign)
    store.keep(campaign, one)
    store.rest(campaign, recorded(day=24).idle)
    return campaign


def test_one_that_was_stopped_is_gone_on_with(
    opened: Open, store: Store, conductor: list[tuple[str, int]]
) -> None:
    step, shown = opened(bench_budget="3h")
    stopped = begun(step, store)
    again, shown = opened(bench_budget="4h")
    proposal = benchmark.plan(again)
    assert "goes on with a campaign that was stopped: 1 blocks are there" in shown.texts()
    measured = benchmark.measure(again, proposal)
    assert measured is not None
    assert measured.id == stopped.id
    assert measured.design.budget_minutes == 240, "the budget of now"
    assert conductor == [("run", 1)], "it has rested before"
    assert benchmark.plan(again).begun is None, "it is finished"


def test_one_of_another_linkerd_is_not_gone_on_with(
    opened: Open, store: Store, conductor: list[tuple[str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    step, shown = opened()
    stopped = begun(step, store, linkerd="edge-26.8.2")
    now = recorded(day=24).environment.model_copy(update={"linkerd": "edge-26.9.1", "nodes": {}})
    monkeypatch.setattr(benchmark, "read_environment", lambda *_: now)
    proposal = benchmark.plan(step)
    assert proposal.begun is None
    assert (
        "a campaign that was stopped is not gone on with: Linkerd was edge-26.8.2 and is "
        "edge-26.9.1" in " ".join(shown.texts().split())
    )
    measured = benchmark.measure(step, proposal)
    assert measured is not None
    assert measured.id != stopped.id
    assert conductor == [("rest", 0), ("run", 0)]


# --- data of a record -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["63-campaign.json", "63-campaign.json.gz"])
def test_a_campaign_is_read_from_a_file(
    opened: Open, store: Store, tmp_path: Path, name: str
) -> None:
    store.begin(recorded(day=20))
    file, kept = tmp_path / name, recorded(day=24)
    text = kept.to_json().encode()
    file.write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
    step, _ = opened("62-bench-footprint", bench_data=str(file))
    assert benchmark.latest(step) == kept, "not the cluster's"


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("absent.json", None, "cannot be read"),
        ("result.json", b'{"schema": 2}', "not the data of a campaign"),
        ("torn.json", recorded(day=24).to_json()[:2000].encode(), "not the data of a campaign"),
        ("image.json", b"\x89PNG\xff\xfe", "cannot be read"),
        ("plain.json.gz", b"{}", "cannot be read"),
        ("cut.json.gz", gzip.compress(b"{}" * 99, mtime=0)[:20], "cannot be read"),
    ],
)
def test_a_file_that_is_no_campaign_is_wrong_usage(
    opened: Open, tmp_path: Path, name: str, content: bytes | None, words: str
) -> None:
    file = tmp_path / name
    if content is not None:
        file.write_bytes(content)
    step, _ = opened("62-bench-footprint", bench_data=str(file))
    with pytest.raises(UsageError, match=words) as caught:
        benchmark.latest(step)
    assert caught.value.status == 2
    assert "63-campaign.json" in caught.value.fix


# --- what is handed on ----------------------------------------------------------------------------


def test_overhead_and_footprint_are_shown_and_kept_as_measures(opened: Open) -> None:
    step, shown = opened(mode="verify")
    campaign = recorded(day=24)
    benchmark.overhead(step, campaign)
    benchmark.footprint(step, campaign)
    measures = {one.name: one for one in step.result().measures}
    where = campaign.design.cells[0].title
    assert measures[f"meshed overhead p50, {where}"].unit == "ms"
    assert measures[f"CPU a request, meshed proxy, {where}"].unit == "µs"
    text = shown.texts()
    for title in ("What the mesh adds to latency", "CPU and memory of a server", "Control plane"):
        assert title in text
    assert text.count("REHEARSAL") >= 4


def test_a_report_hands_figures_and_data_to_the_record(
    opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = charts.Report()
    drawn.left_out.append("overhead: too few blocks")
    monkeypatch.setattr(charts, "report", lambda *_: drawn)
    step, shown = opened(mode="verify")
    campaign = recorded(day=24)
    benchmark.publish(step, campaign)
    assert "overhead: too few blocks" in shown.texts()
    (form,) = shown.of("data")
    assert form["name"] == "campaign.json.gz"
    assert Campaign.from_json(form["text"]) == campaign


def test_a_chart_comes_with_its_numbers_folded_under_it(
    opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = charts.Report()
    numbers = Table("Numbers of it", ("cell",), [("0.5 ms",)])
    drawn += [
        Figure("one", "One", "See the table.", 1, 1, b"png", table=numbers),
        Figure("two", "Two", "Nothing more.", 1, 1, b"png"),
    ]
    monkeypatch.setattr(charts, "report", lambda *_: drawn)
    step, shown = opened(mode="verify")
    before = len(shown)
    benchmark.publish(step, recorded(day=24))
    first, second, third, *_ = (one._repr_mimebundle_() for one in shown[before:])
    assert [first[MEDIA_TYPE]["name"], third[MEDIA_TYPE]["name"]] == ["one", "two"]
    assert second["text/html"].startswith("<details ")
    assert "0.5 ms" in second["text/html"]
    assert "0.5 ms" in second["text/plain"]
