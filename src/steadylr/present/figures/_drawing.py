"""What the figures share: colours, measured text, ticks, and files written whole and without a date.

Every property is set on the object itself and nothing goes through pyplot or its global style, so that
figures come out the same whatever the user's matplotlib settings are, without a display, and from threads.
"""

from __future__ import annotations

import io
import math
import os
import secrets
import textwrap
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextToPath
from matplotlib.ticker import FixedFormatter, FixedLocator, MaxNLocator, NullLocator

from steadylr.core.curve import FloatArray, frozen_array
from steadylr.present.numbers import format_power

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch
    from matplotlib.text import Text

FONT = "DejaVu Sans"  # comes with matplotlib, so the figure is the same on every machine
TITLE_SIZE, TEXT_SIZE, SMALL_SIZE = 12.0, 10.0, 9.0
LINE_HEIGHT = 1.4  # of the font size
DPI = 180

# Okabe and Ito's colours (2008), which people with the common colour blindnesses tell apart; no yellow.
BLUE, VERMILLION, GREEN = "#0072B2", "#D55E00", "#009E73"
ORANGE, SKY, PURPLE, BLACK = "#E69F00", "#56B4E9", "#CC79A7", "#000000"
RUN_COLOURS = (BLUE, ORANGE, GREEN, PURPLE, SKY, BLACK, "#8C8C8C")  # vermillion is the answer's own
INK, SOFT_INK, FAINT, SKIPPED = "#222222", "#5A5A5A", "#9DB2C2", "#EDEDED"

_SAVE_LOCK = threading.Lock()


def no_points() -> FloatArray:
    """An empty array."""
    return frozen_array([])


class InlineFigure(Figure):
    """A figure that a notebook shows where it is a cell's last value, also without pyplot."""

    def _repr_png_(self) -> bytes:
        return figure_bytes(self)


def new_figure(width: float, height: float) -> Figure:
    """An empty white figure, inches, that no pyplot state knows of."""
    figure = InlineFigure(figsize=(width, height), dpi=DPI, facecolor="white", layout=None)
    FigureCanvasAgg(figure)
    return figure


def axes_at(figure: Figure, left: float, bottom: float, width: float, height: float) -> Axes:
    """Axes at a place given in inches from the figure's lower left corner."""
    across, up = figure.get_size_inches()
    return figure.add_axes((left / across, bottom / up, width / across, height / up))


def text_at(
    figure: Figure,
    left: float,
    top: float,
    content: str,
    *,
    size: float = TEXT_SIZE,
    colour: str = INK,
    weight: str = "normal",
) -> Text:
    """Text whose upper left corner lies at a place given in inches from the figure's upper left corner."""
    across, up = figure.get_size_inches()
    return figure.text(
        left / across,
        1 - top / up,
        content,
        ha="left",
        va="top",
        linespacing=LINE_HEIGHT * 0.85,
        **font(size, colour, weight),
    )


def font(size: float = TEXT_SIZE, colour: str = INK, weight: str = "normal") -> dict[str, Any]:
    """The properties of a text. Dollar signs stay dollar signs: labels come from users."""
    return {
        "family": FONT,
        "size": size,
        "color": colour,
        "weight": weight,
        "style": "normal",
        "parse_math": False,
        "usetex": False,
    }


@lru_cache(maxsize=4096)
def text_width(content: str, size: float, weight: str = "normal") -> float:
    """Width of one line of text, inches."""
    properties = FontProperties(family=FONT, size=size, weight=weight)
    width = TextToPath().get_text_width_height_descent(content, properties, ismath=False)[0]
    return float(width) / 72


def fitted(content: str, width: float, *, size: float, lines: int, weight: str = "normal") -> list[str]:
    """Break text into at most so many lines of a width (inches); what doesn't fit ends in an ellipsis."""
    content = " ".join(content.split())
    if not content:
        return []
    broken = _broken(content, width, size, weight)
    if len(broken) <= lines:
        return broken
    last = broken[lines - 1]
    while last and text_width(last + "…", size, weight) > width:
        last = last[:-1]
    return [*broken[: lines - 1], last.rstrip(" ,;:") + "…"]


def _broken(content: str, width: float, size: float, weight: str) -> list[str]:
    """Greedy line breaks by measured width; a word wider than a line is cut."""
    characters = max(1, int(len(content) * width / max(text_width(content, size, weight), 1e-9)))
    for limit in range(characters + 8, 0, -1):
        found = textwrap.wrap(content, limit, break_on_hyphens=False)
        if all(text_width(line, size, weight) <= width for line in found):
            return found
    return list(content)


def frame(ax: Axes) -> None:
    """The look of all axes: two thin spines, quiet grid, outward ticks."""
    ax.set_facecolor("white")
    for side, spine in ax.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(SOFT_INK)
        spine.set_linewidth(0.8)
    ax.grid(visible=True, which="major", color="#E4E4E4", linewidth=0.6, linestyle="-", alpha=1.0)
    ax.set_axisbelow(True)
    ax.tick_params(
        which="major",
        direction="out",
        length=3.5,
        width=0.8,
        pad=3.0,
        color=SOFT_INK,
        labelcolor=INK,
        labelsize=SMALL_SIZE,
        labelfontfamily=FONT,
    )
    ax.tick_params(which="minor", direction="out", length=2.0, width=0.5, color=SOFT_INK)


def name_axes(ax: Axes, *, x: str | None = None, y: str | None = None) -> None:
    """Label the axes."""
    if x is not None:
        ax.set_xlabel(x, labelpad=4.0, **font())
    if y is not None:
        ax.set_ylabel(y, labelpad=5.0, **font())


def lr_axis(ax: Axes, low: float, high: float, *, axis: str = "x") -> None:
    """Make an axis a log axis for LRs, with as many labelled ticks as fit."""
    positions, labels = lr_ticks(low, high, room=axis_length(ax, axis), upright=axis == "y")
    set_scale, set_limits = (ax.set_xscale, ax.set_xlim) if axis == "x" else (ax.set_yscale, ax.set_ylim)
    set_scale("log")
    set_limits(low, high)
    set_ticks(ax, axis, positions, labels)
    which = ax.xaxis if axis == "x" else ax.yaxis
    which.set_minor_locator(FixedLocator(_minor_ticks(low, high)))
    which.set_minor_formatter(FixedFormatter([]))


def axis_length(ax: Axes, axis: str = "x") -> float:
    """Length of an axis, inches."""
    box = ax.get_position()
    root = ax.figure.get_figure(root=True)
    across, up = (8.0, 6.0) if root is None else root.get_size_inches()
    return float(box.width * across if axis == "x" else box.height * up)


def loss_axis(ax: Axes, low: float, high: float) -> list[str]:
    """Make y a linear axis for losses; give the tick labels."""
    positions, labels = loss_ticks(low, high)
    ax.set_ylim(low, high)
    set_ticks(ax, "y", positions, labels)
    return labels


def set_ticks(ax: Axes, axis: str, positions: Sequence[float], labels: Sequence[str]) -> None:
    """Give an axis these ticks and no others."""
    which = ax.xaxis if axis == "x" else ax.yaxis
    which.set_major_locator(FixedLocator(positions))
    which.set_major_formatter(FixedFormatter(labels))
    which.set_minor_locator(NullLocator())


_FACTORS: tuple[tuple[float, ...], ...] = (
    (1, 1.5, 2, 2.5, 3, 4, 5, 6, 7, 8, 9),
    (1, 1.5, 2, 3, 4, 5, 7),
    (1, 2, 3, 5, 7),
    (1, 2, 5),
    (1, 3),
)


def lr_ticks(low: float, high: float, *, room: float, upright: bool = False) -> tuple[list[float], list[str]]:
    """Round LRs in a range, as many as fit, with their labels ("10⁻²", "3×10⁻²").

    Ranges of several decades get whole powers of ten only.

    Args:
        low: lower end of the axis.
        high: upper end of the axis.
        room: length of the axis, inches.
        upright: the axis is vertical, so that heights count and not widths.
    """
    choices = [_round_lrs(low, high, factors, step=1) for factors in _FACTORS if high / low < 300]
    choices += [_round_lrs(low, high, (1,), step=step) for step in range(1, 20)]
    for found in choices:
        labels = [format_power(exponent, factor) for factor, exponent in found]
        places = [factor * 10.0**exponent for factor, exponent in found]
        inches = [math.log(place / low) / math.log(high / low) * room for place in places]
        sizes = [0.2 if upright else text_width(label, SMALL_SIZE) for label in labels]
        gaps = [inches[i + 1] - inches[i] - (sizes[i] + sizes[i + 1]) / 2 for i in range(len(inches) - 1)]
        if len(found) > 1 and min(gaps) > 0.12:
            return places, labels
    found = _round_lrs(low, high, range(1, 10), step=1)[:1]
    return [f * 10.0**e for f, e in found], [format_power(e, f) for f, e in found]


def _round_lrs(low: float, high: float, factors: Sequence[float], *, step: int) -> list[tuple[float, int]]:
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    return [
        (factor, exponent)
        for exponent in range(first, last + 1)
        if exponent % step == 0
        for factor in factors
        if low * (1 - 1e-9) <= factor * 10.0**exponent <= high * (1 + 1e-9)
    ]


def _minor_ticks(low: float, high: float) -> list[float]:
    if math.log10(high / low) > 10:
        return []
    return [f * 10.0**e for f, e in _round_lrs(low, high, range(2, 10), step=1)]


def loss_ticks(low: float, high: float) -> tuple[list[float], list[str]]:
    """Round losses in a range with labels that tell them apart, without an offset written elsewhere."""
    positions = [float(p) for p in MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)]
    positions = [p for p in positions if low <= p <= high]
    step = positions[1] - positions[0] if len(positions) > 1 else high - low
    biggest = max(abs(low), abs(high))
    if biggest >= 1e5 or biggest < 1e-3:
        digits = max(1, math.ceil(math.log10(biggest / step)) + 1)
        return positions, [f"{p:.{digits}g}" for p in positions]
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    if any(abs(p * 10**decimals - round(p * 10**decimals)) > 1e-6 for p in positions):
        decimals += 1
    return positions, [f"{p:.{decimals}f}" for p in positions]


def widest(labels: Sequence[str], size: float) -> float:
    """Width of the widest of some labels, inches; 0 without any."""
    return max((text_width(label, size) for label in labels), default=0.0)


def loss_limits(raw: FloatArray, smooth: FloatArray) -> tuple[float, float]:
    """Limits of the loss axis that show the descent whatever the losses do when the run diverges.

    Up to half of the descent above the start, as far as the noise before the minimum goes otherwise; where
    the loss never falls beyond that noise, nine tenths of the points.
    """
    raw, smooth = raw[np.isfinite(raw)], smooth[np.isfinite(smooth)]
    if raw.size == 0:
        return 0.0, 1.0
    line = smooth if smooth.size else raw
    start = float(np.median(line[: max(1, line.size // 10)]))
    least = float(line.min())
    before = raw[: max(3, math.ceil(raw.size * (int(line.argmin()) + 1) / line.size))]
    low, high = (float(q) for q in np.quantile(before, (0.01, 0.99)))
    low, high = min(low, least), max(high, start + 0.5 * (start - least))
    if (
        start - least < 0.5 * float(np.quantile(before, 0.99) - np.quantile(before, 0.01))
        or before.size < 0.2 * raw.size
    ):
        high = max(high, float(np.quantile(raw, 0.9)))
        low = min(low, float(np.quantile(raw, 0.01)))
    # A constant loss still needs an axis with a height.
    margin = 0.06 * (high - low) or 0.05 * abs(high) or 0.5
    return low - margin, high + margin


def save_figure(figure: Figure, path: str | os.PathLike[str]) -> None:
    """Write a figure whole or not at all; equal figures give equal bytes: no date, no version is written.

    Args:
        figure: what to write.
        path: its suffix is the format: png, pdf or svg. Missing folders are made.

    Raises:
        ValueError: another suffix.
        OSError: the folder can't be made or written.
    """
    path = Path(path)
    content = figure_bytes(figure, path.suffix.lstrip(".").lower())
    path.parent.mkdir(parents=True, exist_ok=True)
    temp = path.parent / f".{path.name[:40]}.{os.getpid()}-{secrets.token_hex(8)}.tmp"
    try:
        with open(temp, "xb") as file:
            file.write(content)
        os.replace(temp, path)
    except BaseException:
        with suppress(OSError):
            temp.unlink()
        raise


_METADATA: Mapping[str, dict[str, None]] = {
    "png": {"Software": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    "svg": {"Date": None, "Creator": None},
}


def figure_bytes(figure: Figure, form: str = "png") -> bytes:
    """A figure as the content of a png, pdf or svg file.

    Raises:
        ValueError: another format.
    """
    if form not in _METADATA:
        raise ValueError(f"a figure can be written as {', '.join(_METADATA)}; got {form!r}")
    buffer = io.BytesIO()
    # What a file format needs can only be set globally: ids that don't change, and letters as letters.
    globally: Any = {"svg.hashsalt": "steadylr", "svg.fonttype": "path", "pdf.fonttype": 42}
    globally["savefig.bbox"] = None
    with _SAVE_LOCK, mpl.rc_context(globally):
        figure.savefig(buffer, format=form, dpi=DPI, facecolor="white", metadata=_METADATA[form])
    return buffer.getvalue()


@dataclass(frozen=True, slots=True)
class Heading:
    """Title and subtitle, broken into lines that fit."""

    title: list[str]
    subtitle: list[str]
    colour: str = SOFT_INK

    @property
    def height(self) -> float:
        """Inches."""
        return (len(self.title) * TITLE_SIZE + len(self.subtitle) * TEXT_SIZE) * LINE_HEIGHT / 72

    def write(self, figure: Figure, *, left: float, top: float = 0.15) -> None:
        """Put it into the upper left corner; inches."""
        title = "\n".join(self.title)
        text_at(figure, left, top, title, size=TITLE_SIZE, weight="bold")
        below = top + len(self.title) * TITLE_SIZE * LINE_HEIGHT / 72
        text_at(figure, left, below, "\n".join(self.subtitle), size=TEXT_SIZE, colour=self.colour)


def heading_of(title: str, subtitle: str, width: float, *, colour: str = SOFT_INK, lines: int = 3) -> Heading:
    """Break a title and a subtitle into lines of a width (inches)."""
    return Heading(
        fitted(title, width, size=TITLE_SIZE, lines=2, weight="bold"),
        fitted(subtitle, width, size=TEXT_SIZE, lines=lines),
        colour,
    )


LEGEND_ROW = 0.2  # inches
_SAMPLE = 0.58  # inches of a legend's sample with the gaps around it


def legend_columns(names: Sequence[str], width: float) -> int:
    """How many columns a legend below a figure of that width (inches) has; all names side by side if they fit."""
    sizes = [text_width(name, SMALL_SIZE) + _SAMPLE for name in names]
    if sum(sizes) <= width - 0.4:
        return max(1, len(names))
    return max(1, int((width - 0.4) / max(sizes)))


def legend_height(names: Sequence[str], width: float) -> float:
    """Height of the legend below a figure of that width, inches."""
    return 0.1 + LEGEND_ROW * math.ceil(len(names) / legend_columns(names, width)) if names else 0.0


def legend_below(
    figure: Figure,
    handles: Sequence[Line2D | Patch],
    names: Sequence[str],
    *,
    centre: float = 0.5,
    above: float = 0.0,
) -> None:
    """A legend along the figure's lower edge, where it covers nothing.

    Args:
        figure: where.
        handles: the samples.
        names: their names.
        centre: its middle as a share of the width.
        above: how far above the edge, inches.
    """
    if not names:
        return
    across, up = figure.get_size_inches()
    legend = figure.legend(
        handles=list(handles),
        labels=list(names),
        loc="lower center",
        bbox_to_anchor=(centre, above / float(up)),
        borderaxespad=0.5,
        ncols=legend_columns(names, float(across)),
        frameon=False,
        handlelength=1.8,
        handletextpad=0.5,
        columnspacing=1.5,
        labelspacing=0.45,
        prop={"family": FONT, "size": SMALL_SIZE},
    )
    for text in legend.get_texts():
        text.set_color(INK)
        text.set_parse_math(False)
