"""The figure of an attribution: how much of the spread each source causes, with what the data allow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from matplotlib.ticker import MultipleLocator, PercentFormatter

from steadylr.present.figures._drawing import (
    BLUE,
    FAINT,
    SMALL_SIZE,
    SOFT_INK,
    TEXT_SIZE,
    at_right,
    font,
    frame,
    name_axes,
    new_figure,
    rows_axis,
    wrapped,
)
from steadylr.present.numbers import count, format_share
from steadylr.words.attribution import attribution_summary

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from steadylr.core.attribution import Attribution, Source


@dataclass(frozen=True, slots=True)
class ShareRow:
    """One source: its share of the variance, in [0, 1], with the ends of its interval.

    Args:
        label: "order".
        share: where the dot is.
        low, high: the ends of the line.
        note: in small letters below the label: "8 seeds", "unused".
        used: False draws neither dot nor line.
    """

    label: str
    share: float
    low: float
    high: float
    note: str = ""
    used: bool = True


@dataclass(frozen=True, slots=True)
class AttributionInfo:
    """All that the figure of an attribution shows.

    Args:
        rows: from top to bottom.
        title: which model and data.
        subtitle: the largest source in a sentence.
        note: in small letters below, or empty.
    """

    rows: tuple[ShareRow, ...]
    title: str = ""
    subtitle: str = ""
    note: str = ""


def attribution_info(attribution: Attribution, *, title: str = "") -> AttributionInfo:
    """Gather what the figure of an attribution shows."""
    note = f"Dot: estimate from {count(attribution.n, 'run')}. Line: 95% interval over new seeds."
    if attribution.fixed:
        note += f" One seed in all runs, so not shown: {', '.join(attribution.fixed)}."
    return AttributionInfo(
        rows=tuple(
            ShareRow(source.name, source.share, *source.interval, note=_note(source), used=source.used)
            for source in attribution.sources
        ),
        title=title,
        subtitle=attribution_summary(attribution),
        note=note,
    )


def _note(source: Source) -> str:
    if not source.used:
        return "unused"
    return count(source.levels, "seed") if len(source.streams) == 1 else ""


def draw_shares(ax: Axes, info: AttributionInfo) -> Axes:
    """One row a source: its share as a dot with a bar from 0, its interval as a line.

    One looks at it to see which stream moves the LR most, and whether these runs can tell at all.
    """
    frame(ax)
    rows_axis(
        ax,
        [
            "\n".join([*wrapped(row.label, 2.4, lines=1), *([row.note] if row.note else [])])
            for row in info.rows
        ],
    )
    ax.set_xlim(-0.01, 1.01)
    ax.xaxis.set_major_locator(MultipleLocator(0.2))
    ax.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    for y, row in enumerate(info.rows):
        at_right(ax, y, format_share(row.share), **font(TEXT_SIZE, BLUE if row.used else SOFT_INK, "bold"))
        if row.used:
            ax.barh(y, row.share, height=0.56, color=FAINT, alpha=0.45, linewidth=0, zorder=2)
            ends: dict[str, Any] = {"marker": "|", "markersize": 9, "markeredgewidth": 2.2}
            ax.plot([row.low, row.high], [y, y], color=BLUE, linewidth=2.2, clip_on=False, zorder=3, **ends)
            ax.plot(
                [row.share],
                [y],
                "o",
                color=BLUE,
                markersize=8,
                markeredgecolor="white",
                clip_on=False,
                zorder=4,
            )
    name_axes(ax, x="Share of the spread (variance of log10 LR)")
    return ax


def attribution_figure(info: AttributionInfo) -> Figure:
    """The whole figure of an attribution, 8 inches wide."""
    note = wrapped(info.note, 7.5, size=SMALL_SIZE, lines=3)
    figure = new_figure(
        8.0, 0.75 + 0.18 * len(note) + 0.5 * len(info.rows), title=info.title, subtitle=info.subtitle
    )
    draw_shares(figure.add_subplot(), info)
    if note:
        figure.supxlabel("\n".join(note), x=0.15 / 8, ha="left", **font(SMALL_SIZE, SOFT_INK))
    return figure
