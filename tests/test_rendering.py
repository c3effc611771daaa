"""Cells on a page: what is trusted, what is made safe, what is cut."""

from __future__ import annotations

import base64
from typing import Any

import page_samples as samples
import pytest

from runbook.rendering import Cell, Output, Rendering
from runbook.show import MEDIA_TYPE

LINKS = {"12-identity-issuer": "12-identity-issuer.html", "13-trust-anchor": "../13.html"}


def cell(made: dict[str, Any], rendering: Rendering | None = None) -> Cell:
    found = (rendering or Rendering(LINKS)).cell(made)
    assert found is not None
    return found


def output(made: dict[str, Any], rendering: Rendering | None = None) -> Output:
    (only,) = cell(samples.code(made), rendering).outputs
    return only


def ours(html: str) -> dict[str, Any]:
    return samples.shown({"text/html": html, "text/plain": "plain", MEDIA_TYPE: {"type": "x"}})


@pytest.mark.parametrize(
    ("tags", "summary"),
    [
        ((), "code"),
        (("parameters",), "parameters"),
        (("injected-parameters",), "parameters given to this run"),
    ],
)
def test_code_says_what_it_is(tags: tuple[str, ...], summary: str) -> None:
    found = cell(samples.code(source=["a = 1\n", "b"], tags=tags))
    assert (found.summary, found.source) == (summary, "a = 1\nb")


def test_markdown_is_rendered_and_html_in_it_is_not() -> None:
    text = cell(
        samples.words("## A *b* <img src=x>\n\n| a |\n|---|\n| 1 |\n\n[x](javascript:y)")
    ).text
    assert "<h2>A <em>b</em> &lt;img src=x&gt;</h2>" in text
    assert "<td>1</td>" in text
    assert "javascript" not in text


def test_cells_that_say_nothing_are_left_out() -> None:
    mark = samples.words("<span>An Exception", tags=("papermill-error-cell-tag",))
    raw = {"cell_type": "raw", "id": "x", "metadata": {}, "source": "<b>"}
    assert [Rendering(LINKS).cell(made) for made in (mark, raw)] == [None, None]


@pytest.mark.parametrize(
    ("link", "leads"),
    [
        ('<a href="13-trust-anchor.ipynb">', '<a href="../13.html">'),
        ('<a href="13-trust-anchor.ipynb#look">', '<a href="../13.html#look">'),
        (
            '<a title="t" href="12-identity-issuer.ipynb">',
            '<a title="t" href="12-identity-issuer.html">',
        ),
        ('<a href="90-uninstall.ipynb">', "<a>"),
        ('<a href="https://linkerd.io/">', '<a href="https://linkerd.io/">'),
    ],
)
def test_links_between_notebooks_lead_to_pages(link: str, leads: str) -> None:
    assert output(ours(f"{link}x</a>")).content == f"{leads}x</a>"


def test_inline_styles_of_ours_become_classes() -> None:
    rendering = Rendering(LINKS)
    html = '<td style="color:red">a</td><td style="top:0">b</td><td style="color:red">c</td>'
    assert output(ours(html), rendering).content == (
        '<td class="s0">a</td><td class="s1">b</td><td class="s0">c</td>'
    )
    assert rendering.styles == {"color:red": "s0", "top:0": "s1"}


def test_html_of_others_keeps_its_structure_only() -> None:
    html = (
        '<style>td {color: red}</style><meta http-equiv="refresh" content="0;url=http://x/">'
        '<table class="c" onclick="x()"><tr><td colspan="2" style="top:0">a</td></tr></table>'
        '<img src="x" onerror="y()"><script>z()</script><a href="javascript:z()">l</a></div></body>'
    )
    found = output(samples.shown({"text/html": html, "text/plain": "plain"}))
    assert found.kind == "html"
    assert found.content == (
        '<table><tbody><tr><td colspan="2">a</td></tr></tbody></table>'
        '<a rel="noopener noreferrer">l</a>'
    )


def test_html_that_is_too_long_is_shown_as_text() -> None:
    for made in (
        ours("a" * 500_001),
        samples.shown({"text/html": "a" * 500_001, "text/plain": "t"}),
    ):
        assert output(made).kind == "text"


def test_charts_are_embedded() -> None:
    svg = '<svg xmlns="http://www.w3.org/2000/svg"><script>x()</script></svg>'
    found = output(samples.shown({"image/svg+xml": svg, "text/plain": "<Figure>"}))
    assert found.content == f"data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()}"
    made = samples.shown(
        {"image/png": "aGVs\nbG8=\n", "text/plain": "f"}, **{"image/png": {"alt": "p99"}}
    )
    assert output(made) == Output("image", "data:image/png;base64,aGVsbG8=", alt="p99")


def test_a_figure_of_ours_says_what_it_shows() -> None:
    about = {"type": "figure", "name": "p99", "alt": "p99 rises"}
    made = samples.shown({"image/png": "aGVsbG8=", "text/plain": "f", MEDIA_TYPE: about})
    assert output(made) == Output("image", "data:image/png;base64,aGVsbG8=", alt="p99 rises")


def test_data_that_is_a_file_is_a_link() -> None:
    about = {"type": "data", "name": "c.json", "file": "data/63-c.json"}
    made = samples.shown({"text/plain": "c.json, <2 kB", MEDIA_TYPE: about})
    link = '<p><a href="data/63-c.json">c.json, &lt;2 kB</a></p>'
    assert output(made) == Output("html", link)


@pytest.mark.parametrize(
    "about",
    [
        {"type": "data", "name": "c.json", "text": "[1]"},
        {"type": "data", "name": "c.json", "file": "javascript:x()"},
        {"type": "data", "name": "c.json", "file": "data/../../x"},
        {"type": "data", "name": "c.json", "file": '//x/data/"><b>'},
        {"type": "figure", "file": "data/63-c.json"},
    ],
)
def test_data_that_is_no_file_of_the_record_is_its_text(about: dict[str, str]) -> None:
    made = samples.shown({"text/plain": "c.json, 2 kB", MEDIA_TYPE: about})
    assert output(made) == Output("text", "c.json, 2 kB")


def test_chart_goes_before_html_of_others() -> None:
    made = samples.shown({"text/html": "<b>x</b>", "image/png": "aGVsbG8="})
    assert output(made).kind == "image"


def test_markdown_output_is_made_safe() -> None:
    found = output(samples.shown({"text/markdown": ["*a* ", "<img src=x>"], "text/plain": "p"}))
    assert found.content == "<p><em>a</em> &lt;img src=x&gt;</p>\n"


def test_what_no_page_can_show_is_named() -> None:
    found = output(samples.shown({"application/javascript": "x()"}))
    assert found.content == "(an output this page cannot show: application/javascript)"
    assert cell(samples.code(samples.shown({MEDIA_TYPE: {"type": "step"}}))).outputs == ()


def test_texts_of_one_stream_are_joined() -> None:
    outputs = cell(
        samples.code(
            *(samples.stream("a\n"), samples.stream(["b\n", "c\n"]), samples.stream("e", "stderr")),
            *(samples.stream("d\n"), samples.shown({"text/plain": "t"}), samples.stream("f")),
        )
    ).outputs
    assert [(o.kind, o.content) for o in outputs] == [
        *(("stream", "a\nb\nc\n"), ("stderr", "e"), ("stream", "d\n"), ("text", "t")),
        ("stream", "f"),
    ]


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("\x1b[1;31mred\x1b[0m\x1b[K", "red"),
        ("\x1b]8;;http://x\x07link\x1b]8;;\x1b\\ \x1b(B", "link "),
        ("10%\r50%\r100%\nnext\r\n", "100%\nnext\n"),
        ("a\x00b\x08c\td", "abc\td"),
        ("<b>&", "<b>&"),
    ],
)
def test_text_is_what_a_terminal_leaves(text: str, left: str) -> None:
    assert output(samples.stream(text)).content == left
    assert output(samples.traceback(text)).content == left


def test_traceback_is_joined() -> None:
    assert output(samples.traceback("a", "b")) == Output("error", "a\nb")


def test_long_text_loses_whole_lines_of_its_middle() -> None:
    lines = [f"line {n}\n" for n in range(10_000)]
    found = output(samples.stream("".join(lines)))
    first, rest = found.content.splitlines(keepends=True), found.rest.splitlines(keepends=True)
    assert lines[: len(first)] == first
    assert lines[-len(rest) :] == rest
    assert found.left_out == f"{10_000 - len(first) - len(rest):,} lines"
    assert 19_000 < len(found.content) <= 20_000
    assert 9_000 < len(found.rest) <= 10_000


def test_long_line_loses_its_middle() -> None:
    found = output(samples.shown({"text/plain": "x" * 50_000}))
    assert (len(found.content), found.left_out, len(found.rest)) == (
        20_000,
        "20,000 characters",
        10_000,
    )


def test_text_that_just_fits_is_whole() -> None:
    assert output(samples.stream("x" * 30_000)) == Output("stream", "x" * 30_000)
