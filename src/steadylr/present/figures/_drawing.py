"""What the figures share: colours, axes, text above a line, legends, and files written whole and without a date.

Every property is set on the object itself and nothing goes through pyplot or its global style, so that
figures come out the same whatever the user's matplotlib settings are, without a display, and from threads.
Places are matplotlib's constrained layout's; what it can't place (title, subtitle) has a height known by its lines.
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
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.artist import Artist
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.offsetbox import AnnotationBbox, TextArea, VPacker
from matplotlib.ticker import (
    FuncFormatter,
    LogLocator,
    MaxNLocator,
    NullFormatter,
    NullLocator,
    ScalarFormatter,
)

from steadylr.core.curve import FloatArray, frozen_array
from steadylr.present.escaped import escaped
from steadylr.present.numbers import format_lr, format_power

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

FONT = "DejaVu Sans"  # comes with matplotlib, so the figure is the same on every machine
TITLE_SIZE, TEXT_SIZE, SMALL_SIZE = 12.0, 10.0, 9.0
LINE_HEIGHT = 1.4  # of the font size
DPI = 180

# Okabe and Ito's colours (2008), which people with the common colour blindnesses tell apart; no yellow.
BLUE, VERMILLION, GREEN = "#0072B2", "#D55E00", "#009E73"
ORANGE, SKY, PURPLE, BLACK = "#E69F00", "#56B4E9", "#CC79A7", "#000000"
RUN_COLOURS = (BLUE, ORANGE, GREEN, PURPLE, SKY, BLACK, "#8C8C8C")  # vermillion is the answer's own
MARKERS = ("s", "^", "D", "v", "<", ">", "p", "h")  # beside the round one of the answer
INK, SOFT_INK, FAINT, WARNING = "#222222", "#5A5A5A", "#9DB2C2", "#A63C00"

_SAVE_LOCK = threading.Lock()


class Sample(NamedTuple):
    """One entry of a legend: what is drawn, and its name."""

    drawn: Line2D | Patch
    name: str


def no_points() -> FloatArray:
    """An empty array."""
    return frozen_array([])


def lr_label(lr: float) -> str:
    """An LR with three digits, as on the terminal below 1 and from 1000 on; plain between: "6.16e-2", "4.7"."""
    return f"{lr:.3g}" if 0.9995 <= lr < 999.5 else format_lr(lr)


def range_label(low: float, high: float) -> str:
    """Two LRs as a range: "1.79e-2 to 1.3"."""
    return f"{lr_label(low)} to {lr_label(high)}"


def wrapped(content: str, width: float, *, size: float = TEXT_SIZE, lines: int = 3) -> list[str]:
    """Break text into at most so many lines for a width (inches); what is too much ends in an ellipsis.

    A letter is taken as 0.56 of the font size wide, which ordinary sentences in this font stay below.
    """
    characters = max(1, int(width * 72 / (0.56 * size)))
    content = " ".join(escaped(content).split())
    return textwrap.wrap(content, characters, max_lines=lines, placeholder="…", break_on_hyphens=False)


class InlineFigure(Figure):
    """A figure that a notebook shows where it is a cell's last value, also without pyplot."""

    def _repr_png_(self) -> bytes:
        return figure_bytes(self)


def new_figure(
    width: float,
    height: float,
    *,
    title: str = "",
    subtitle: str = "",
    colour: str = SOFT_INK,
    note: str = "",
) -> Figure:
    """A white figure that no pyplot state knows of, with its heading; constrained layout places what is added.

    Args:
        width: inches.
        height: inches below the heading, which comes on top of it.
        title: at most two bold lines.
        subtitle: at most three lines.
        colour: of the subtitle.
        note: at most three small lines below the subtitle, as a warning.
    """
    parts = (
        (wrapped(title, width - 0.3, size=TITLE_SIZE * 1.2, lines=2), font(TITLE_SIZE, INK, "bold")),
        (wrapped(subtitle, width - 0.3), font(TEXT_SIZE, colour)),
        (wrapped(note, width - 0.3, size=SMALL_SIZE), font(SMALL_SIZE, WARNING)),
    )
    heading = 0.12 + sum(len(lines) * properties["size"] for lines, properties in parts) * LINE_HEIGHT / 72
    up = heading + height
    layout = ConstrainedLayoutEngine(
        w_pad=0.1, h_pad=0.06, wspace=0.02, hspace=0.0, rect=(0, 0, 1, height / up)
    )
    figure = InlineFigure(figsize=(width, up), dpi=DPI, facecolor="white", layout=layout)
    FigureCanvasAgg(figure)
    top = 0.12
    for lines, properties in parts:
        if lines:
            figure.text(
                0.15 / width,
                1 - top / up,
                "\n".join(lines),
                va="top",
                linespacing=0.85 * LINE_HEIGHT,
                in_layout=False,
                **properties,
            )
        top += len(lines) * properties["size"] * LINE_HEIGHT / 72
    return figure


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


def rows_axis(ax: Axes, labels: Sequence[str], *, rows: int | None = None) -> None:
    """Make y an axis of rows, the first on top, without ticks, grid or spine; as many as have a name unless given."""
    ax.set_ylim((len(labels) if rows is None else rows) - 0.45, -0.55)
    ax.set_yticks(range(len(labels)), list(labels), parse_math=False)
    ax.yaxis.set_minor_locator(NullLocator())
    ax.tick_params(axis="y", length=0, pad=6)
    ax.grid(visible=False, axis="y")
    ax.spines["left"].set_visible(False)


def at_right(ax: Axes, row: float, content: str, **properties: Any) -> None:
    """Write at the right of a row, outside of the axes."""
    ax.annotate(
        content,
        xy=(1, row),
        xycoords=ax.get_yaxis_transform(),
        xytext=(8, 0),
        textcoords="offset points",
        va="center_baseline",
        annotation_clip=False,
        **properties,
    )


_LABELLED: tuple[tuple[float, tuple[float, ...]], ...] = (
    (0.85, (1, 2, 3, 5, 7)),
    (1.7, (1, 2, 5)),
    (3.0, (1, 3)),
    (math.inf, (1,)),
)
"""Up to how many decades which multiples of powers of ten are labelled: what fits into three inches."""


def lr_axis(ax: Axes, low: float, high: float) -> None:
    """Make x a log axis for LRs, labelled "10⁻²", "3×10⁻²"."""
    ax.set_xscale("log")
    ax.set_xlim(low, high)
    decades = math.log10(high / low)
    factors = next(factors for most, factors in _LABELLED if decades <= most)
    ax.xaxis.set_major_locator(MaxNLocator(3) if high < 2 * low else LogLocator(subs=factors))
    ax.xaxis.set_major_formatter(FuncFormatter(_tick_label))
    # Over many decades the labels show that the scale is one of powers, and ticks are half of a figure's time.
    ax.xaxis.set_minor_locator(LogLocator(subs=range(2, 10)) if decades <= 3 else NullLocator())
    ax.xaxis.set_minor_formatter(NullFormatter())


def _tick_label(lr: float, _: object = None) -> str:
    factor, exponent = f"{lr:.6e}".split("e")
    return format_power(int(exponent), float(factor))


def linear_axis(axis: Axis, low: float, high: float) -> None:
    """Make an axis a linear one with about six labelled ticks; a power of ten common to all stands at its end."""
    axis.axes.set(**{f"{axis.axis_name}lim": (low, high)})  # type: ignore[attr-defined]
    formatter = ScalarFormatter(useOffset=False, useMathText=False, useLocale=False)
    formatter.set_powerlimits((-3, 5))
    axis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
    axis.set_major_formatter(formatter)
    axis.set_minor_locator(NullLocator())
    axis.get_offset_text().set(family=FONT, size=SMALL_SIZE, color=INK)


def label_above(ax: Axes, x: float, main: str, rest: str = "", *, colour: str = VERMILLION) -> None:
    """Write above the axes at an x, however near to an edge it lies.

    The share of the text that stands left of x is the share of the axis that lies there, so that the text
    never leaves an axis longer than itself, and never lies beside its x.

    Args:
        ax: its x axis has its scale and limits.
        x: on that axis.
        main: in bold.
        rest: smaller, below main.
        colour: of main.
    """
    left, at, right = (
        ax.transScale.transform((value, 1.0))[0] for value in (ax.get_xlim()[0], x, ax.get_xlim()[1])
    )
    share = min(max(float((at - left) / (right - left)), 0.0), 1.0)
    parts: list[Artist] = [TextArea(main, textprops=font(TEXT_SIZE + 0.5, colour, "bold"))]
    if rest:
        parts.append(TextArea(rest, textprops=font(SMALL_SIZE, SOFT_INK)))
    align: Any = "left" if share < 1 / 3 else "right" if share > 2 / 3 else "center"
    box = AnnotationBbox(
        VPacker(children=parts, align=align, pad=0, sep=3),
        xy=(x, 1.0),
        xycoords=("data", "axes fraction"),
        xybox=(0, 4),
        boxcoords="offset points",
        box_alignment=(share, 0.0),
        frameon=False,
        pad=0,
        annotation_clip=False,
    )
    ax.add_artist(box)


def legend_below(figure: Figure, samples: Sequence[Sample]) -> None:
    """A legend along the figure's lower edge, in as few rows as its width allows."""
    if not samples:
        return
    sizes = [0.58 + 0.6 * SMALL_SIZE / 72 * len(sample.name) for sample in samples]
    room = float(figure.get_size_inches()[0]) - 0.4
    rows = next(n for n in range(1, len(samples) + 1) if _columns(sizes, n) <= room or n == len(samples))
    legend = figure.legend(
        handles=[sample.drawn for sample in samples],
        labels=[sample.name for sample in samples],
        loc="outside lower center",
        ncols=math.ceil(len(samples) / rows),
        frameon=False,
        borderaxespad=0.3,
        handlelength=1.8,
        handletextpad=0.5,
        columnspacing=1.5,
        labelspacing=0.45,
        prop={"family": FONT, "size": SMALL_SIZE},
    )
    for text in legend.get_texts():
        text.set_color(INK)
        text.set_parse_math(False)


def _columns(sizes: Sequence[float], rows: int) -> float:
    """Width of a legend's columns, filled one after the other; inches."""
    return sum(max(sizes[i : i + rows]) for i in range(0, len(sizes), rows))


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


def lr_limits(lrs: Sequence[float | None]) -> tuple[float, float]:
    """The lowest and the highest of some LRs with a little room at both ends; 1e-7 to 10 where there are none."""
    there = [lr for lr in lrs if lr is not None]
    low, high = min(there, default=1e-7), max(there, default=10.0)
    room = max((high / low) ** 0.015, 1.05)
    return low / room, high * room


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
