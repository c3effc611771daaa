"""A chart as a value: a picture with its words, the same bytes for the same data.

A :class:`Sheet` is the paper a chart is drawn on: it puts the title (with REHEARSAL before it, if
it was one), what the chart rests on, and where it was measured around the axes. Nothing of pyplot
is used, so no state is left behind, and no window can open.

The picture is a PNG of 150 dots an inch with a palette of few colours, a third of its full size,
and an SVG with its letters as shapes, so that neither depends on the fonts of a machine. Neither
holds a date or a version; the same data gives the same bytes with the same matplotlib.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure as Drawing
from matplotlib.font_manager import FontProperties
from matplotlib.layout_engine import PlaceHolderLayoutEngine
from matplotlib.lines import Line2D
from PIL import Image

from runbook import show
from runbook.bench import style

__all__ = ["Figure", "Sheet", "Stamp"]

_MARGIN = 0.12  # inches
_FREQUENT, _BLENDED = 24, 96  # colours of a picture
_GAP = 0.05  # between title and notes, inches
_TITLE, _NOTE, _STAMP = 11.0, 8.5, 7.0  # font sizes, points


@dataclass(frozen=True)
class Figure:
    """A finished chart.

    Attributes:
        name: Of its files, without a suffix.
        title: Above it.
        alt: What it shows, for who cannot see it.
        width: In pixels.
        height: In pixels.
        png: The picture.
        rehearsal: Whether its numbers are those of a rehearsal.
        table: The numbers in it, for who wants to read them.
    """

    name: str
    title: str
    alt: str
    width: int
    height: int
    png: bytes
    rehearsal: bool = False
    table: show.Table | None = None
    _drawing: Drawing | None = field(default=None, repr=False, compare=False)

    def svg(self) -> bytes:
        """Give the picture as SVG; drawn when it is asked for.

        Raises:
            ValueError: The figure was not drawn in this process.
        """
        if self._drawing is None:
            raise ValueError(f"the figure {self.name} was not drawn here")
        out = io.BytesIO()
        with style.context():
            self._drawing.savefig(
                out, format="svg", metadata={"Date": None, "Creator": None, "Title": self.title}
            )
        return out.getvalue()

    def text(self) -> str:
        """Give what the figure says in words."""
        badge = show.REHEARSAL if self.rehearsal else ""
        return f"{show.title_text(self.title, badge)}\n{self.alt}"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        return {
            "image/png": base64.b64encode(self.png).decode(),
            "text/plain": self.text(),
            show.MEDIA_TYPE: {
                "type": "figure",
                "name": self.name,
                "title": self.title,
                "alt": self.alt,
                "rehearsal": self.rehearsal,
            },
        }


@dataclass(frozen=True)
class Stamp:
    """Where the numbers of a chart come from, printed at its bottom.

    Attributes:
        lines: Cluster, versions, hardware, date and campaign, one thought a line.
        rehearsal: Whether it was a rehearsal cluster.
    """

    lines: tuple[str, ...]
    rehearsal: bool


class Sheet:
    """The paper of a chart; use it as a context manager, within which the style holds.

    Args:
        title: What the chart is about, one line if possible.
        notes: What it rests on: blocks, requests, what intervals are; one thought a line.
        stamp: Where it was measured.
        height: Inches for the axes with their labels; words come on top of it.
    """

    def __init__(self, title: str, notes: tuple[str, ...], stamp: Stamp, *, height: float) -> None:
        self.title = title
        self._notes = notes
        self._stamp = stamp
        self._height = height
        self._style = ExitStack()

    def __enter__(self) -> Self:
        self._style.enter_context(style.context())
        self.drawing = Drawing(figsize=(style.WIDTH, self._height), layout="constrained")
        self._canvas: Any = FigureCanvasAgg(self.drawing)  # has no types
        self._words()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._style.close()

    def key(self, looks: Sequence[style.Look]) -> None:
        """Say which line is which, at the right end of the title's line."""
        width, height = self.drawing.get_size_inches()
        handles = [Line2D([], [], **look.line(label=look.label)) for look in looks]
        legend = self.drawing.legend(
            handles=handles,
            loc="upper right",
            bbox_to_anchor=(1 - _MARGIN / 2 / width, 1 - _MARGIN / 3 / height),
            ncols=len(handles),
            handlelength=3.4,
            fontsize=_NOTE,
        )
        legend.set_in_layout(False)

    def settle(self) -> None:
        """Lay the axes out, once: places in them are final, and the SVG gets the very same.

        The solver of the layout goes through its constraints in an order of chance, which shows in
        the last bits of its answer and thereby in an SVG: places are rounded.
        """
        engine: Any = self.drawing.get_layout_engine()
        if isinstance(engine, PlaceHolderLayoutEngine):
            return
        engine.execute(self.drawing)
        self.drawing.set_layout_engine("none")
        for axes in self.drawing.axes:
            left, bottom, width, height = (round(part, 5) for part in axes.get_position().bounds)
            axes.set_position((left, bottom, width, height))

    def finish(self, name: str, alt: str, table: show.Table | None = None) -> Figure:
        """Draw everything.

        Args:
            name: Of the figure's files, without a suffix.
            alt: What it shows.
            table: The numbers in it.
        """
        self.settle()
        self._canvas.draw()
        pixels = np.asarray(self._canvas.buffer_rgba())[:, :, :3]
        return Figure(
            name=name,
            title=self.title,
            alt=alt,
            width=pixels.shape[1],
            height=pixels.shape[0],
            png=_png(pixels),
            rehearsal=self._stamp.rehearsal,
            table=table,
            _drawing=self.drawing,
        )

    def _words(self) -> None:
        """Put title, notes and stamp on the sheet and give the axes what is left."""
        room = style.WIDTH - 2 * _MARGIN
        badge = self._width(show.REHEARSAL, _TITLE, bold=True) + 0.22
        indent = badge if self._stamp.rehearsal else 0.0
        titles = self._wrapped(self.title, _TITLE, room - indent, bold=True)
        notes = [part for note in self._notes for part in self._wrapped(note, _NOTE, room)]
        stamps = [part for line in self._stamp.lines for part in self._wrapped(line, _STAMP, room)]
        head = _MARGIN + sum(map(_line, [_TITLE] * len(titles) + [_NOTE] * len(notes))) + _GAP
        foot = _MARGIN / 2 + _line(_STAMP) * len(stamps) + 0.04
        height = self._height + head + foot
        self.drawing.set_size_inches(style.WIDTH, height)
        below = height - _MARGIN
        if self._stamp.rehearsal:
            self._write(show.REHEARSAL, _MARGIN + 0.08, below, _TITLE, badge=True)
        for line in titles:
            self._write(line, _MARGIN + indent, below, _TITLE, bold=True)
            below -= _line(_TITLE)
        below -= _GAP
        for line in notes:
            self._write(line, _MARGIN, below, _NOTE, colour=style.MUTED)
            below -= _line(_NOTE)
        for number, line in enumerate(reversed(stamps), 1):
            top = _MARGIN / 2 + _line(_STAMP) * number
            self._write(line, _MARGIN, top, _STAMP, colour=style.MUTED)
        engine: Any = self.drawing.get_layout_engine()
        pad = _MARGIN / 2
        engine.set(
            w_pad=pad,
            h_pad=pad,
            hspace=0.02,
            wspace=0.02,
            rect=(0.004, foot / height, 0.992, 1 - (foot + head) / height),
        )

    def _write(
        self,
        text: str,
        left: float,
        top: float,
        size: float,
        *,
        bold: bool = False,
        badge: bool = False,
        colour: str = style.INK,
    ) -> None:
        """Write a line, its place given in inches from the left and from the bottom."""
        width, height = self.drawing.get_size_inches()
        box = {"boxstyle": "round,pad=0.22", "facecolor": style.REHEARSAL, "edgecolor": "none"}
        artist = self.drawing.text(
            left / width,
            (top - size / 72) / height,
            text,
            fontsize=size,
            fontweight="bold" if bold or badge else "normal",
            color="white" if badge else colour,
            verticalalignment="baseline",
            bbox=box if badge else None,
        )
        artist.set_in_layout(False)

    def _wrapped(self, text: str, size: float, room: float, *, bold: bool = False) -> list[str]:
        """Break a text into lines no longer than ``room`` inches."""
        space = self._width(" ", size, bold=bold)
        lines, length = [""], 0.0
        for word in text.split():
            width = self._width(word, size, bold=bold)
            if lines[-1] and length + space + width > room:
                lines.append(word)
                length = width
            else:
                length += width + (space if lines[-1] else 0.0)
                lines[-1] = f"{lines[-1]} {word}".strip()
        return lines

    def _width(self, text: str, size: float, *, bold: bool = False) -> float:
        """Give the width of a text in inches."""
        font = FontProperties(family="DejaVu Sans", size=size, weight="bold" if bold else "normal")
        renderer = self._canvas.get_renderer()
        width, _, _ = renderer.get_text_width_height_descent(text, font, ismath=False)
        return float(width) / self.drawing.dpi


def _line(size: float) -> float:
    """Give the height of a line of text in inches."""
    return size * 1.45 / 72


def _png(pixels: np.ndarray[Any, Any]) -> bytes:
    """Give a PNG with a palette: charts have few colours, and edges blend into few more.

    The colours of the style and the most frequent ones stay exactly as they are, also where only a
    few pixels have them; all others go to the nearest of these and of Pillow's own choice.
    """
    image = Image.fromarray(np.ascontiguousarray(pixels))
    counted = image.getcolors(image.width * image.height) or []
    counted.sort(key=lambda one: (-one[0], one[1]))
    seen = np.array([colour for _, colour in counted], dtype=np.int32)
    named = {tuple(round(255 * part) for part in to_rgb(colour)) for colour in style.COLOURS}
    exact = [c for n, (_, c) in enumerate(counted) if n < _FREQUENT or c in named]
    blended = image.quantize(_BLENDED, method=Image.Quantize.MEDIANCUT).getpalette() or []
    palette = np.concatenate([np.array(exact), np.array(blended).reshape(-1, 3)])
    nearest = ((seen[:, None, :] - palette[None, :, :]) ** 2).sum(axis=2).argmin(axis=1)
    table = np.zeros(1 << 24, dtype=np.uint8)
    table[_packed(seen)] = nearest
    few = Image.fromarray(table[_packed(pixels.astype(np.int32))])
    few.putpalette(palette.astype(np.uint8).tobytes())
    out = io.BytesIO()
    few.save(out, "PNG", optimize=True, dpi=(style.DPI, style.DPI))
    return out.getvalue()


def _packed(colours: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Give each colour as one number."""
    packed: np.ndarray[Any, Any] = (
        (colours[..., 0] << 16) | (colours[..., 1] << 8) | colours[..., 2]
    )
    return packed
