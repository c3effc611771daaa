"""The look of tables: escaped, readable without colour, the same in text and HTML."""

from __future__ import annotations

import dataclasses
import re

import pytest

from runbook import show

EVIL = "<script>alert('x')</script> & <b>"


def table(**given: str) -> show.Table:
    return show.Table(
        title="Checks",
        columns=("", "check"),
        rows=[(show.verdict("fail"), "the namespace exists"), (show.verdict("pass"), EVIL)],
        **given,
    )


def test_everything_from_the_cluster_is_escaped() -> None:
    html = show.Table(EVIL, (EVIL,), [(EVIL,), (show.Cell(EVIL, code=True),)], EVIL, EVIL).html()
    assert "<script" not in html
    assert "<b>" not in html
    assert html.count("&lt;script&gt;") == 6
    assert "<script" not in show.diff_html(f"+{EVIL}\n-{EVIL}")
    assert "<script" not in show.details_html(EVIL, "")


@pytest.mark.parametrize("name", ["pass", "warn", "fail", "skip", "create", "update", "delete"])
def test_a_verdict_is_a_word_and_a_sign(name: str) -> None:
    cell = show.verdict(name)
    assert re.fullmatch(rf"\S {name}", cell.plain())
    assert cell.plain() in cell.html()


def test_html_takes_its_colours_from_the_page() -> None:
    html = table().html()
    outside_chips = re.sub(r"<span.*?</span>", "", html)
    assert "color:inherit" in outside_chips
    assert not re.search(r"color:#|background:#", outside_chips)


@pytest.mark.parametrize("tone", ["pass", "warn", "fail", "skip", "badge"])
def test_chips_have_enough_contrast(tone: str) -> None:
    found = re.search(r"background:#(\w{6});color:#fff", show.chip("x", tone))
    assert found
    channels = [int(found[1][i : i + 2], 16) / 255 for i in (0, 2, 4)]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    assert 1.05 / (luminance + 0.05) >= 4.5, "WCAG AA against white"


def test_text_table_is_aligned_and_wrapped() -> None:
    long = "word " * 30
    text = show.Table("T", ("a", "b"), [("1", long), ("22", "x\ny")], note="end").text()
    lines = text.splitlines()
    assert lines[0] == "T"
    assert lines[1] == "  A   B"
    assert all(len(line) < 60 for line in lines)
    assert lines[-3:] == ["  22  x", "      y", "  end"]


def test_badge_is_in_both_forms() -> None:
    shown = table(badge=show.REHEARSAL)
    assert shown.text().startswith("[REHEARSAL] Checks")
    assert ">REHEARSAL</span>" in shown.html()


def test_a_folded_table_shows_its_title_until_it_is_clicked() -> None:
    table = show.Table("Numbers <1>", ("a",), [("x",)], badge="REHEARSAL", note="n", folded=True)
    assert table.html().startswith("<details style=")
    assert ">[REHEARSAL] Numbers &lt;1&gt;</summary><table" in table.html()
    assert table.html().endswith(">n</div></details>")
    assert table.text() == dataclasses.replace(table, folded=False).text()


def test_diff_keeps_its_signs() -> None:
    html = show.diff_html("@@ -1 +1 @@\n-old\n+new\n same")
    assert "-old" in html
    assert "+new" in html
    tinted = re.findall(r'background:(rgba[^"]+)">([^<]+)', html)
    assert [text for _, text in tinted] == ["-old", "+new"]


def test_display_prints_outside_a_notebook(capsys: pytest.CaptureFixture[str]) -> None:
    class Value:
        def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict:
            return show.bundle("<p>html</p>", "text", {"type": "x"})

    show.display(Value())
    assert capsys.readouterr().out == "text\n"


def test_nothing_is_shown_meanwhile(capsys: pytest.CaptureFixture[str]) -> None:
    class Value:
        def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict:
            return show.bundle("", "text", {})

    with pytest.raises(KeyError), show.silence():
        show.display(Value())
        raise KeyError
    assert capsys.readouterr().out == ""
    show.display(Value())
    assert capsys.readouterr().out == "text\n"


def test_a_cell_may_lead_somewhere_and_stays_escaped() -> None:
    html = show.Cell(EVIL, link='x" onclick="alert(1)').html()
    assert html.count('"') == 4, "two attributes, style and href"
    assert "text-decoration:underline" in html
    assert "<script" not in html
    assert show.Cell("12 Issue", link="12.ipynb").plain() == "12 Issue"


def test_empty_table_has_only_its_title_and_note() -> None:
    empty = show.Table("Apply: nothing changed", ("", "kind"), [], note="nothing to do")
    assert empty.text() == "Apply: nothing changed\n  nothing to do"
    assert "<table" not in empty.html()


def test_columns_that_say_nothing_are_left_out() -> None:
    shown = show.Table("T", ("a", "note"), [("1", ""), ("2", "")])
    assert "NOTE" not in shown.text()
    assert "note" not in shown.html()
    assert "note" in show.Table("T", ("a", "note"), [("1", ""), ("2", "x")]).html()
