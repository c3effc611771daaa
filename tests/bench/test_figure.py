"""A figure: its words, its bytes, and that nothing around it changes them."""

from __future__ import annotations

import base64
import io
import subprocess
import sys
import warnings
from collections.abc import Iterator
from itertools import pairwise

import matplotlib as mpl
import pytest
from PIL import Image

from runbook import show
from runbook.bench import style
from runbook.bench.figure import Figure, Sheet, Stamp

LINES = ("cluster pi-k3s · Linkerd edge-25.10.1", "campaign 20261124-231800-1a2b3c4d")


def draw(
    *, rehearsal: bool = False, title: str = "What the mesh adds", note: str = "n = 8"
) -> Figure:
    with Sheet(title, (note,), Stamp(LINES, rehearsal), height=2.5) as sheet:
        axes = sheet.drawing.add_subplot()
        axes.plot([1, 2, 3], [0.2, 0.3, 0.1], **style.arm("meshed").line())
        axes.set_xlabel("RPS")
        axes.set_ylabel("latency (ms)")
        return sheet.finish("overhead", "A line.", show.Table("t", ("a",), [("1",)]))


@pytest.fixture
def others_style() -> Iterator[None]:
    """Set what a user may have set in a notebook or a matplotlibrc."""
    with warnings.catch_warnings(), mpl.rc_context():
        mpl.rcParams.update(
            {"font.size": 20, "lines.linewidth": 9, "axes.facecolor": "black", "savefig.dpi": 30}
        )
        yield


def test_picture_is_small_and_of_the_promised_size() -> None:
    figure = draw()
    image = Image.open(io.BytesIO(figure.png))
    assert image.size == (figure.width, figure.height)
    assert figure.width == style.WIDTH * style.DPI
    assert image.mode == "P"
    assert len(figure.png) < 60_000
    assert set(image.info) <= {"dpi"}, "no date, no version, no comment"


def test_a_colour_of_few_pixels_stays_what_it_is() -> None:
    with Sheet("t", (), Stamp(LINES, rehearsal=False), height=4) as sheet:
        axes = sheet.drawing.add_subplot()
        shades = [f"C{n}" for n in range(10)]
        axes.bar(range(400), [1] * 400, color=[shades[n % 10] for n in range(400)])
        axes.plot([1], [2], **style.arm("meshed").line())
        image = Image.open(io.BytesIO(sheet.finish("x", "y").png)).convert("RGB")
    meshed = Image.new("RGB", (1, 1), style.arm("meshed").colour).getpixel((0, 0))
    white = sum(count for count, colour in image.getcolors(1 << 24) or () if colour == (255,) * 3)
    assert meshed in {colour for _, colour in image.getcolors(1 << 24) or ()}
    assert white > 10_000


def test_same_data_same_bytes() -> None:
    first, second = draw(), draw()
    assert first.png == second.png
    assert first.svg() == second.svg() == first.svg()
    assert first == second


def test_other_data_other_bytes() -> None:
    assert draw().png != draw(note="n = 9").png


def test_bytes_are_the_same_in_another_process_and_pyplot_is_never_loaded() -> None:
    code = (
        "import sys, hashlib, test_figure as t; f = t.draw(rehearsal=True);"
        "assert 'matplotlib.pyplot' not in sys.modules;"
        "print(hashlib.sha256(f.png + f.svg()).hexdigest())"
    )
    hashes = {
        subprocess.run(
            [sys.executable, "-c", code],
            check=True,
            capture_output=True,
            text=True,
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
        ).stdout
        for seed in ("1", "2")
    }
    assert len(hashes) == 1


@pytest.mark.usefixtures("others_style")
def test_style_of_the_user_is_left_alone_and_ignored() -> None:
    theirs = dict(mpl.rcParams)
    there = draw()
    assert dict(mpl.rcParams) == theirs
    with mpl.rc_context():
        mpl.rcdefaults()
        assert draw().png == there.png
        assert draw().svg() == there.svg()


def test_svg_says_nothing_of_when_or_with_what() -> None:
    svg = draw().svg().decode()
    assert "<svg" in svg
    assert "dc:date" not in svg
    assert "matplotlib.org" not in svg
    assert "<text" not in svg, "letters are shapes: no font of the reader's machine is needed"


def test_forms_for_notebooks() -> None:
    figure = draw(rehearsal=True)
    forms = figure._repr_mimebundle_()
    assert base64.b64decode(forms["image/png"]) == figure.png
    assert "text/html" not in forms, "pages would show it in place of the picture"
    assert forms["text/plain"] == "[REHEARSAL] What the mesh adds\nA line."
    assert forms[show.MEDIA_TYPE] == {
        "type": "figure",
        "name": "overhead",
        "title": "What the mesh adds",
        "alt": "A line.",
        "rehearsal": True,
    }


def test_rehearsal_is_in_the_picture() -> None:
    badge = Image.new("RGB", (1, 1), style.REHEARSAL).getpixel((0, 0))

    def purple(figure: Figure) -> int:
        image = Image.open(io.BytesIO(figure.png)).convert("RGB")
        top = image.crop((0, 0, figure.width, 60))
        return sum(count for count, colour in top.getcolors(100_000) or () if colour == badge)

    assert purple(draw(rehearsal=True)) > 1000
    assert purple(draw()) == 0


def test_long_words_wrap_and_take_room_from_nothing() -> None:
    short, long = draw(), draw(title="overhead of every cell " * 9, note="blocks " * 60)
    assert long.height > short.height
    assert long.width == short.width


def test_svg_of_a_figure_made_elsewhere_is_refused() -> None:
    figure = Figure("a", "b", "c", 1, 1, b"")
    with pytest.raises(ValueError, match="not drawn here"):
        figure.svg()


def test_package_does_not_load_matplotlib() -> None:
    code = "import sys, runbook.bench; print('matplotlib' in sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert shown.stdout == "False\n"


@pytest.mark.parametrize("gap", [0.5, 1.0, 3.0])
def test_labels_are_moved_apart_in_their_order(gap: float) -> None:
    places = [4.0, 0.0, 0.1, 0.2, 9.0, 4.0]
    moved = style.spread(places, gap)
    order = sorted(range(6), key=lambda i: (places[i], i))
    ascending = [moved[i] for i in order]
    assert ascending == sorted(ascending)
    assert min(b - a for a, b in pairwise(ascending)) >= gap - 1e-6
