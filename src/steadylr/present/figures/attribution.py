"""The figure of an attribution: how much of the spread each source causes, with what the data allow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from steadylr.present.figures._drawing import (
    BLUE,
    FAINT,
    LINE_HEIGHT,
    SMALL_SIZE,
    SOFT_INK,
    TEXT_SIZE,
    axes_at,
    fitted,
    font,
    frame,
    heading_of,
    name_axes,
    new_figure,
    set_ticks,
    text_at,
    widest,
)
from steadylr.present.numbers import count, format_share
from steadylr.words.attribution import attribution_summary

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from steadylr.core.attribution import Attribution, Source

WIDTH = 8.0


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


def attribution_info(found: Attribution, *, title: str = "") -> AttributionInfo:
    """Gather what the figure of an attribution shows."""
    note = f"Dot: estimate from {count(found.n, 'run')}. Line: 95% interval over new seeds."
    if found.fixed:
        note += f" One seed in all runs, so not shown: {', '.join(found.fixed)}."
    return AttributionInfo(
        rows=tuple(
            ShareRow(source.name, source.share, *source.interval, note=_note(source), used=source.used)
            for source in found.sources
        ),
        title=title,
        subtitle=attribution_summary(found),
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
    rows = range(len(info.rows))
    ax.set_ylim(len(info.rows) - 0.5, -0.5)
    ax.set_xlim(-0.01, 1.01)
    set_ticks(ax, "x", [i / 5 for i in range(6)], [f"{20 * i}%" for i in range(6)])
    set_ticks(ax, "y", list(rows), ["" for _ in rows])
    ax.tick_params(axis="y", length=0)
    ax.grid(visible=False, axis="y")
    for y, row in enumerate(info.rows):
        if row.used:
            _draw_share(ax, row, y)
        _write_label(ax, row, y)
    name_axes(ax, x="Share of the variance of log10 LR")
    return ax


def _draw_share(ax: Axes, row: ShareRow, y: int) -> None:
    ax.barh(y, row.share, height=0.56, color=FAINT, alpha=0.45, linewidth=0, zorder=2)
    ax.plot(
        [row.low, row.high],
        [y, y],
        color=BLUE,
        linewidth=2.2,
        marker="|",
        markersize=9,
        markeredgewidth=2.2,
        clip_on=False,
        zorder=3,
    )
    ax.plot(
        [row.share],
        [y],
        marker="o",
        markersize=8,
        color=BLUE,
        markeredgecolor="white",
        clip_on=False,
        zorder=4,
    )


def _write_label(ax: Axes, row: ShareRow, y: int) -> None:
    """Label and note at the left, the share at the right."""

    def write(content: str, side: float, offset: tuple[float, float], properties: dict[str, Any]) -> None:
        ax.annotate(
            content,
            xy=(side, y),
            xycoords=ax.get_yaxis_transform(),
            xytext=offset,
            textcoords="offset points",
            ha="left" if side else "right",
            va="center",
            annotation_clip=False,
            **properties,
        )

    write(_shortened(row.label), 0, (-8, 6 if row.note else 0), font(TEXT_SIZE))
    if row.note:
        write(row.note, 0, (-8, -7), font(SMALL_SIZE, SOFT_INK))
    write(format_share(row.share), 1, (10, 0), font(TEXT_SIZE, BLUE if row.used else SOFT_INK, "bold"))


def _shortened(label: str) -> str:
    return fitted(label, 2.4, size=TEXT_SIZE, lines=1)[0] if label else ""


def attribution_figure(info: AttributionInfo) -> Figure:
    """The whole figure of an attribution, 8 inches wide."""
    heading = heading_of(info.title, info.subtitle, WIDTH - 0.5)
    notes = fitted(info.note, WIDTH - 0.5, size=SMALL_SIZE, lines=2)
    below = len(notes) * SMALL_SIZE * LINE_HEIGHT / 72 + (0.1 if notes else 0)
    top, bottom, panel = 0.3 + heading.height, 0.62 + below, 0.5 * len(info.rows) + 0.1
    figure = new_figure(WIDTH, top + panel + bottom)
    heading.write(figure, left=0.25)
    labels = [_shortened(row.label) for row in info.rows]
    left = 0.45 + max(widest(labels, TEXT_SIZE), widest([row.note for row in info.rows], SMALL_SIZE))
    draw_shares(axes_at(figure, left, bottom, WIDTH - left - 0.85, panel), info)
    text_at(
        figure, 0.25, top + panel + bottom - below - 0.02, "\n".join(notes), size=SMALL_SIZE, colour=SOFT_INK
    )
    return figure
