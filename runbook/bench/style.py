"""How charts look: the same on every machine, in print and for readers who do not see all colours.

Colours are those of Okabe and Ito (2008), and never speak alone: each arm has its own marker and
dash too, an effect that is not resolved is hollow, and what others have published is a hollow mark
with its name beside it. Everything is drawn with the DejaVu Sans that comes with matplotlib.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Literal

from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from runbook.bench.stats import percentile

__all__ = [
    "ARMS",
    "Look",
    "arm",
    "context",
    "few_ticks",
    "latency_axis",
    "log_axis",
    "ms",
    "percentile",
    "plain",
    "signed",
    "spread",
]

WIDTH = 9.0
"""Of every figure, inches: 900 pixels in a notebook."""

DPI = 150

INK = "#1f2328"
MUTED = "#57606a"
BAND = "#d9d9d9"
"""What noise alone can do: the A/A band."""

INVALID = "#999999"
PUBLISHED = "#7a4c66"
"""Hollow marks of other hardware: Okabe and Ito's purple, darkened to be read as text."""

REHEARSAL = "#6639ba"
SERIES = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#000000")
"""For parts of a whole, which have hatches beside their colours."""

HATCHES = ("", "////", "....", "\\\\\\\\", "xxxx", "++++", "oo", "--")

COLOURS = (INK, MUTED, BAND, INVALID, PUBLISHED, REHEARSAL, *SERIES, "#ffffff")
"""Every colour that says something."""

_RC: dict[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 8.5,
    "axes.titlesize": 9,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 8.5,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.unicode_minus": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.7,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "lines.linewidth": 1.6,
    "lines.markersize": 5.5,
    "hatch.linewidth": 0.6,
    "figure.dpi": DPI,
    "savefig.dpi": DPI,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "svg.hashsalt": "linkerd-runbook",
    "svg.fonttype": "path",
    "path.simplify": True,
}


@dataclass(frozen=True)
class Look:
    """How one series is told from the others.

    Attributes:
        label: Its name.
        colour: Of line and marker.
        marker: Its shape.
        dash: Of the line.
    """

    label: str
    colour: str
    marker: str
    dash: str

    def line(self, **more: Any) -> dict[str, Any]:
        """Give what ``Axes.plot`` wants for it."""
        return {"color": self.colour, "marker": self.marker, "linestyle": self.dash, **more}


ARMS = {
    "baseline": Look("baseline", "#0072B2", "o", "-"),
    "meshed": Look("meshed", "#D55E00", "s", "--"),
    "skipped": Look("skipped", "#009E73", "D", ":"),
}


def arm(name: str) -> Look:
    """Give the look of an arm."""
    return ARMS.get(name, Look(name, "#000000", "^", "-."))


def context() -> AbstractContextManager[None]:
    """Draw in this style, whatever the user has set, and leave theirs as it was."""
    return style.context(["default", _RC])


def plain(value: float, _position: int = 0) -> str:
    """Give a number without an exponent, as short as it can be.

    >>> plain(0.5), plain(1000.0), plain(0.002), plain(1234567)
    ('0.5', '1000', '0.002', '1234567')
    """
    return f"{value:.10f}".rstrip("0").rstrip(".") if abs(value) < 1e4 else f"{value:.0f}"


def ms(value: float) -> str:
    """Give milliseconds with three significant digits at most.

    >>> ms(0.04213), ms(2.1), ms(12.345), ms(1234.5), ms(-0.25), ms(0.0)
    ('0.042', '2.1', '12.3', '1234', '−0.25', '0')
    """  # noqa: RUF002 - the minus sign, as on the axes
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    text = f"{value:.{min(digits, 3)}f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return text.replace("-", "−") if text not in {"0", "-0"} else "0"  # noqa: RUF001


def log_axis(axis: Axis) -> None:
    """Label a logarithmic axis with plain numbers, at 1, 2 and 5 of each decade it shows."""
    low, high = sorted(axis.get_view_interval())
    decades = math.log10(high / low) if low > 0 else 1.0
    subs = (1.0, 2.0, 5.0) if decades < 3 else (1.0,)
    axis.set_major_locator(LogLocator(subs=subs, numticks=12))
    axis.set_minor_locator(LogLocator(subs=tuple(range(1, 10)), numticks=100))
    axis.set_major_formatter(FuncFormatter(plain))
    axis.set_minor_formatter(NullFormatter())


def latency_axis(
    made: Sequence[Axes],
    which: Literal["x", "y"],
    low: float,
    high: float,
    *,
    above: float,
    room: float = 1.06,
    ticks: int = 5,
) -> None:
    """Let axes begin at zero, or be logarithmic where latencies span more than a decade.

    Args:
        made: The axes.
        which: Of their axes.
        low: Lowest latency on them.
        high: Highest.
        above: Room above the highest on a logarithmic axis, as a factor.
        room: The same on a linear one.
        ticks: Most of them on a linear one.
    """
    for axes in made:
        axis = getattr(axes, f"{which}axis")
        limit = getattr(axes, f"set_{which}lim")
        if low > 0 and high / low > 12:
            getattr(axes, f"set_{which}scale")("log")
            limit(low * 0.8, high * above)
            log_axis(axis)
        else:
            limit(0, high * room)
            few_ticks(axis, ticks)


def few_ticks(axis: Axis, most: int = 6, *, whole: bool = False) -> None:
    """Put few, round ticks on a linear axis."""
    axis.set_major_locator(
        MaxNLocator(nbins=most, integer=whole, min_n_ticks=1, steps=[1, 2, 2.5, 5, 10])
    )
    axis.set_major_formatter(FuncFormatter(signed))


def spread(places: Sequence[float], gap: float) -> list[float]:
    """Move labels apart as little as needed, keeping their order.

    Args:
        places: Where each wants to be.
        gap: The least distance between two.

    >>> spread([0.0, 0.1, 5.0], gap=1.0)
    [-0.45, 0.55, 5.0]
    """
    order = sorted(range(len(places)), key=lambda i: (places[i], i))
    groups: list[tuple[float, int]] = []  # centre and how many
    for i in order:
        groups.append((places[i], 1))
        while len(groups) > 1:
            (below, m), (above, n) = groups[-2:]
            if above - below >= gap * (m + n) / 2 - 1e-9:
                break
            groups[-2:] = [((below * m + above * n) / (m + n), m + n)]
    moved = [centre + gap * (k - (count - 1) / 2) for centre, count in groups for k in range(count)]
    result = [0.0] * len(places)
    for i, place in zip(order, moved, strict=True):
        result[i] = round(place, 9)
    return result


def signed(value: float, _position: int = 0) -> str:
    """Give a number that may be negative, as ``plain`` does.

    >>> signed(-2.5)
    '−2.5'
    """  # noqa: RUF002
    return plain(value).replace("-", "−")  # noqa: RUF001
