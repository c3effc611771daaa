"""The charts: which ones data supports, what they say, and the same bytes for the same data."""

from __future__ import annotations

import hashlib
import math
import subprocess
import sys
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
import samples
from matplotlib.text import Text

from runbook.bench import (
    charts,
    charts_blocks,
    charts_frame,
    charts_latency,
    charts_load,
    charts_nodes,
    charts_overhead,
    charts_proxies,
    charts_reference,
    effects,
    footprint,
    published,
)
from runbook.bench.campaign import Campaign
from runbook.bench.charts import Course, NotDrawn, Past
from runbook.bench.design import Cell
from runbook.bench.effects import Effect
from runbook.bench.figure import Figure
from runbook.bench.footprint import Footprint
from runbook.bench.histogram import Histogram
from runbook.bench.stats import Interval

ONE = Cell(node="node2", client="node3", rps=100, protocol="http1", payload=1024)
MANY = tuple(
    Cell(node=node, client="node5", rps=rps, protocol="http1", payload=payload)
    for node in ("node1", "node2")
    for rps in (20, 100)
    for payload in (1024, 16384)
)

Made = tuple[Campaign, list[Effect], Footprint]


def analysed(campaign: Campaign) -> Made:
    return campaign, effects.of(campaign), footprint.of(campaign)


@cache
def one() -> Made:
    """Give a rehearsal as it usually is: one cell, six blocks."""
    made = samples.campaign(blocks=6, cells=(ONE,), seconds=5)
    where = made.environment.model_copy(update={"rehearsal": True})
    return analysed(made.model_copy(update={"environment": where}))


@cache
def many() -> Made:
    return analysed(samples.campaign(blocks=6, cells=MANY, seconds=3, invalid=(3, 17)))


@cache
def invalid() -> Made:
    return analysed(samples.campaign(blocks=4, cells=(ONE,), seconds=5, invalid=range(4)))


@cache
def report(name: str) -> charts.Report:
    return charts.report(*{"one": one, "many": many, "invalid": invalid}[name]())


def text_of(figure: Figure) -> str:
    """Give every text that is drawn in a figure."""
    assert figure._drawing is not None
    texts: Any = figure._drawing.findobj(Text)
    return "\n".join(text.get_text() for text in texts if text.get_visible())


def test_one_cell_has_the_charts_it_supports_and_says_why_no_others() -> None:
    made = report("one")
    assert [figure.name for figure in made] == [
        "overhead", "percentiles", "omission", "blocks", "proxies", "control-plane", "nodes-cpu",
        "published",
    ]  # fmt: skip
    assert made.left_out == [
        "Latency against load: there is only one level of load",
        "Load against payload: load and payload do not both vary",
        "Nodes side by side: only one node was measured",
    ]


def test_a_matrix_has_every_chart() -> None:
    made = report("many")
    assert {"load", "matrix", "nodes"} < {figure.name for figure in made}
    assert len({figure.name for figure in made}) == len(made)
    assert made[0].name == "overhead"
    assert made.left_out == []


def test_invalid_blocks_are_shown_but_nothing_is_made_of_them() -> None:
    made = report("invalid")
    assert [figure.name for figure in made] == ["blocks", "control-plane"]
    assert "What the mesh adds: no cell has a valid block" in made.left_out
    assert "hollow: invalid; a: node2: 82 C, above 80 C (4 blocks)" in text_of(made[0])


def test_a_campaign_without_anything_has_no_chart_and_all_reasons() -> None:
    plan = samples.design(cells=(ONE,))
    empty = Campaign(id="20261124-220000-00000000", design=plan,
                     environment=samples.environment(plan))  # fmt: skip
    made = charts.report(*analysed(empty))
    assert made == []
    assert len(made.left_out) == 11


@pytest.mark.parametrize("name", ["one", "many", "invalid"])
def test_every_figure_says_what_it_is(name: str) -> None:
    campaign = {"one": one, "many": many, "invalid": invalid}[name]()[0]
    for figure in report(name):
        text = text_of(figure)
        assert figure.title.partition(" ")[0] in text
        assert campaign.id in text
        assert "fortio 1.75.2" in text
        assert "Raspberry Pi 4 Model B Rev 1.4" in text
        assert "edge-26.8.2" in text
        assert figure.alt.endswith(".")
        assert figure.table is not None
        assert figure.table.rows
        assert figure.rehearsal == (name == "one")
        assert ("REHEARSAL" in text) == (name == "one")
        assert len(figure.png) < 100_000


@pytest.mark.parametrize("name", ["one", "many"])
def test_units_and_what_it_rests_on_are_in_every_figure(name: str) -> None:
    for figure in report(name):
        text = text_of(figure)
        assert any(unit in text for unit in ("ms", "mcore", "MiB")), figure.name
        assert any(word in text for word in ("n = ", "mean of")), figure.name


def drawn_texts(figure: Figure, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
    """Give every text that really is drawn, with its place in pixels."""
    found = []
    draw = Text.draw

    def note(self: Text, renderer: Any, *args: Any, **more: Any) -> None:
        if self.get_visible() and self.get_text().strip():
            found.append((self.get_text(), self.get_window_extent(renderer)))
        draw(self, renderer, *args, **more)

    assert figure._drawing is not None
    with monkeypatch.context() as patched:
        patched.setattr(Text, "draw", note)
        figure._drawing.canvas.draw()
    return found


@pytest.mark.parametrize("name", ["one", "many"])
def test_no_text_lies_on_another_or_beyond_the_paper(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for figure in report(name):
        texts = drawn_texts(figure, monkeypatch)
        assert len(texts) > 8
        for n, (text, box) in enumerate(texts):
            inside = box.x0 > -1 and box.x1 < figure.width + 1
            assert inside, f"{figure.name}: {text!r} is cut off"
            assert box.y0 > -1, f"{figure.name}: {text!r} is cut off"
            assert box.y1 < figure.height + 1, f"{figure.name}: {text!r} is cut off"
            for other, beside in texts[n + 1 :]:
                across = min(box.x1, beside.x1) - max(box.x0, beside.x0)
                along = min(box.y1, beside.y1) - max(box.y0, beside.y0)
                assert min(across, along) < 3, f"{figure.name}: {text!r} on {other!r}"


def test_the_headline_is_worded_as_it_may_be_said() -> None:
    campaign, found, _ = one()
    figure = charts_overhead.forest(campaign, found)
    primary = next(effect for effect in found if effect.primary)
    assert figure.title == f"What the mesh adds to latency: p99 {primary.wording}"
    text = text_of(figure)
    for effect in found:
        assert effect.wording in text
    assert "A/A noise" in text
    assert figure.table is not None
    assert [row[-1] for row in figure.table.rows] == [effect.wording for effect in found]


def test_unresolved_is_hollow_and_too_few_is_not_drawn() -> None:
    campaign, found, _ = one()
    claims: tuple[Any, ...] = ("slower", "unresolved", "faster", "too few")
    changed = [replace(effect, claim=c) for effect, c in zip(found, claims, strict=True)]
    drawing = charts_overhead.forest(campaign, changed)._drawing
    assert drawing is not None
    marks = [line for line in drawing.axes[0].get_lines() if line.get_marker() == "s"]
    assert [line.get_markerfacecolor() for line in marks] == ["#D55E00", "white", "#D55E00"]
    patches: Any = drawing.axes[0].patches
    bands = [patch.get_width() for patch in patches]
    assert bands == pytest.approx([2 * effect.floor for effect in changed[:3]])


@pytest.mark.parametrize("scale", [1e-5, 1.0, 1e5])
def test_effects_of_any_size_lie_on_the_picture(scale: float) -> None:
    campaign, found, _ = one()
    scaled = [
        replace(effect, difference=effect.difference.scaled(scale if n else 1.0))
        for n, effect in enumerate(found)
    ]
    drawing = charts_overhead.forest(campaign, scaled)._drawing
    assert drawing is not None
    low, high = drawing.axes[0].get_xlim()
    for effect in scaled[:3]:
        assert low <= effect.difference.low
        assert effect.difference.high <= high
    logarithmic = drawing.axes[0].get_xscale() == "symlog"
    assert logarithmic == (scale != 1.0)
    assert ("logarithmic beyond" in drawing.axes[0].get_xlabel()) == logarithmic


def test_a_line_ends_where_requests_no_longer_support_it() -> None:
    campaign, _, _ = one()
    drawing = charts_latency.percentiles(campaign)._drawing
    assert drawing is not None
    lines: list[Any] = [
        line for line in drawing.axes[0].get_lines() if line.get_linestyle() in ("-", "--")
    ]
    assert len(lines) == 2
    requests = 6 * 2 * 5 * ONE.rps
    for line in lines:
        assert 10 ** max(line.get_xdata()) == pytest.approx(requests / 10)
    runs = [run.response for block in campaign.valid(0) for run in block.of("baseline")]
    whole = Histogram.merged(runs)
    for place, ms in list(zip(lines[0].get_xdata(), lines[0].get_ydata(), strict=True))[::10]:
        assert ms == pytest.approx(1e3 * whole.quantile(1 - 10**-place))


def test_load_that_was_not_kept_up_with_is_shaded() -> None:
    campaign, found, _ = many()
    slow = tuple(
        block.model_copy(
            update={
                "runs": tuple(
                    run.model_copy(update={"achieved_rps": 0.9 * run.requested_rps})
                    for run in block.runs
                )
            }
        )
        if campaign.design.cells[block.cell].rps == 100
        else block
        for block in campaign.blocks
    )
    calm = charts_load.load(campaign, found)._drawing
    full = charts_load.load(campaign.model_copy(update={"blocks": slow}), found)._drawing
    assert calm is not None
    assert full is not None
    assert sum(len(axes.patches) for axes in calm.axes) == 0
    assert sum(len(axes.patches) for axes in full.axes if axes.patches) >= 4


def test_the_cell_where_waiting_hides_most_is_shown() -> None:
    campaign, _, _ = one()
    blocks = tuple(
        block.model_copy(
            update={
                "runs": tuple(
                    run.model_copy(update={"service": Histogram.of([0.001] * 500), "late": 0.25})
                    for run in block.runs
                )
            }
        )
        for block in campaign.blocks
    )
    figure = charts_latency.omission(campaign.model_copy(update={"blocks": blocks}))
    assert figure.table is not None
    assert {row[3] for row in figure.table.rows} == {"1"}
    assert "25 % of requests were sent" in text_of(figure)


def test_one_block_has_charts_but_no_interval_and_no_claim() -> None:
    campaign, found, costs = analysed(samples.campaign(blocks=1, cells=(ONE,), seconds=5))
    made = charts.report(campaign, found, costs)
    assert made[0].title == "What the mesh adds to latency: too few blocks for an interval (1 of 3)"
    assert not any("±" in text_of(figure) or "nan" in text_of(figure) for figure in made)
    blocks = next(figure for figure in made if figure.name == "blocks")
    assert blocks._drawing is not None
    ticks: Any = blocks._drawing.axes[0].get_xticks()
    assert all(tick == int(tick) for tick in ticks)


def test_blocks_say_heat_and_throttling() -> None:
    campaign, found, _ = one()
    hot = tuple(
        block.model_copy(
            update={
                "runs": tuple(
                    run.model_copy(
                        update={
                            "spent": {
                                name: spent.model_copy(
                                    update={"temperature": 79.0, "throttled": 0b100}
                                )
                                for name, spent in run.spent.items()
                            }
                        }
                    )
                    for run in block.runs
                )
            }
        )
        for block in campaign.blocks
    )
    figure = charts_blocks.blocks(campaign.model_copy(update={"blocks": hot}), found)
    assert "throttled or\nunder-voltage" in text_of(figure)
    assert figure.table is not None
    assert {(row[5], row[7]) for row in figure.table.rows} == {("79", "yes")}
    assert "throttled" not in text_of(charts_blocks.blocks(campaign, found))


def test_blocks_without_a_probe_have_no_strip_and_say_so() -> None:
    campaign, found, _ = one()
    bare = tuple(
        block.model_copy(
            update={
                "before": block.before.model_copy(update={"hosts": {}}),
                "after": block.after.model_copy(update={"hosts": {}}),
                "runs": tuple(run.model_copy(update={"spent": {}}) for run in block.runs),
            }
        )
        for block in campaign.blocks
    )
    without = campaign.model_copy(update={"blocks": bare})
    figure = charts_blocks.blocks(without, found)
    assert figure._drawing is not None
    assert len(figure._drawing.axes) == 1
    assert "neither temperature nor frequency" in text_of(figure)
    with pytest.raises(NotDrawn, match="no probe"):
        charts_nodes.hosts(without, footprint.of(without))


def test_published_numbers_are_hollow_and_said_to_be_of_other_hardware() -> None:
    campaign, found, costs = one()
    for figure in (
        charts_reference.reference(campaign, found),
        charts_proxies.proxies(campaign, costs),
    ):
        assert published.REMARK in text_of(figure)
        assert figure._drawing is not None
        lines = [line for axes in figure._drawing.axes for line in axes.get_lines()]
        theirs = [
            line
            for line in lines
            if line.get_color() == "#7a4c66" and line.get_marker() not in ("None", None, "")
        ]
        assert theirs
        assert {line.get_markerfacecolor() for line in theirs} == {"white"}


def test_proxies_without_cpu_say_so_in_place_of_an_empty_chart() -> None:
    campaign, _, costs = one()
    bare = replace(costs, costs=tuple(replace(cost, mcore=None) for cost in costs.costs))
    assert "CPU of the proxies could not be read" in text_of(charts_proxies.proxies(campaign, bare))
    nothing = replace(costs, costs=())
    with pytest.raises(NotDrawn, match="neither CPU nor memory"):
        charts_proxies.proxies(campaign, nothing)


def test_the_control_plane_is_not_zero_where_it_was_not_read() -> None:
    campaign, _, costs = one()
    parts = tuple(replace(part, loaded=None, idle=None) for part in costs.components)
    figure = charts_nodes.control_plane(campaign, replace(costs, components=parts))
    assert text_of(figure).count("not read") == 3


PAST = tuple(
    Past(
        day=f"2026-{month:02}-01",
        version=f"edge-26.{month}.1",
        difference=Interval(2.0 + month, 1.5 + month, 2.6 + month),
        floor=0.3,
        flag="regression" if month == 3 else "",
    )
    for month in (1, 2, 3)
)


def test_history_marks_what_became_worse() -> None:
    campaign, _, _ = one()
    figure = charts.history(campaign, [Course("node2", PAST), Course("new", PAST[:1])])
    text = text_of(figure)
    assert "▲ regression" in text.splitlines()
    assert "edge-26.3.1\n2026-03-01" in text
    assert "new" not in text.splitlines()
    assert "before 4 ms" in figure.alt


def test_history_needs_two_campaigns() -> None:
    campaign, _, _ = one()
    with pytest.raises(NotDrawn, match="no earlier campaign"):
        charts.history(campaign, [Course("node2", PAST[:1])])


def test_labels_name_only_what_differs() -> None:
    assert charts_frame.labels(MANY)[:3] == [
        "node1 · 20 RPS · 1 KiB",
        "node1 · 20 RPS · 16 KiB",
        "node1 · 100 RPS · 1 KiB",
    ]
    assert charts_frame.common(MANY) == "HTTP/1.1"
    assert charts_frame.labels([ONE]) == [ONE.title]


def test_intervals_in_tables() -> None:
    assert charts_frame.ranged(Interval(2.0, 1.5, 2.25)) == "2 (1.5 to 2.25)"
    assert charts_frame.ranged(Interval(2.0, math.nan, math.nan)) == "2"
    assert charts_frame.ranged(None) == ""


def digest(made: charts.Report) -> str:
    every = hashlib.sha256()
    for figure in made:
        every.update(figure.png + figure.svg())
    return every.hexdigest()


def test_the_same_campaign_gives_the_same_bytes_in_any_process() -> None:
    text = one()[0].to_json()
    code = (
        "import sys, test_charts as t;"
        "c = t.Campaign.from_json(sys.stdin.read());"
        "print(t.digest(t.charts.report(*t.analysed(c))))"
    )
    other = subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        input=text,
        capture_output=True,
        text=True,
        env={"PYTHONHASHSEED": "7", "PYTHONPATH": ":".join(sys.path)},
    )
    assert other.stdout.strip() == digest(report("one"))
