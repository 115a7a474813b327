"""The figure of a sweep: all curves with their suggestions, and beside them how far the suggestions spread."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from steadylr.core.curve import FloatArray, frozen_array
from steadylr.present.figures._drawing import (
    BLUE,
    LINE_HEIGHT,
    RUN_COLOURS,
    SMALL_SIZE,
    SOFT_INK,
    TEXT_SIZE,
    VERMILLION,
    axes_at,
    fitted,
    font,
    frame,
    heading_of,
    legend_below,
    legend_height,
    loss_axis,
    loss_limits,
    loss_ticks,
    lr_axis,
    name_axes,
    new_figure,
    no_points,
    text_at,
    text_width,
    widest,
)
from steadylr.present.numbers import count, format_lr, format_lr_range

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_COLOURED = len(RUN_COLOURS)
MOST_CURVES = 300  # more lines make the picture slower, not clearer
MOST_POINTS = 400
MOST_NAMED = 4
WIDTH = 10.0


@dataclass(frozen=True, slots=True, eq=False)
class SummaryRun:
    """One run of the summary.

    Args:
        label: what tells it from the others: "seed 1".
        lr: LRs of its smoothed curve, shape (n,); empty where only the suggestion is known.
        loss: its smoothed losses, shape (n,).
        suggestion: the run's LR as the consensus takes it, or None.
        outcome: why there is none, in a word or two: "flat".
    """

    label: str
    lr: FloatArray = field(default_factory=no_points)
    loss: FloatArray = field(default_factory=no_points)
    suggestion: float | None = None
    outcome: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "lr", frozen_array(self.lr))
        object.__setattr__(self, "loss", frozen_array(self.loss))
        if self.lr.shape != self.loss.shape:
            raise ValueError(
                f"{self.label}: lr and loss must be equally long; got {self.lr.size} and {self.loss.size} points"
            )


@dataclass(frozen=True, slots=True)
class SummaryGroup:
    """The suggestions under one analysis setting ("smooth_f 0.05"), one per run in the runs' order, or None."""

    label: str
    suggestions: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class SummaryInfo:
    """All that the figure of a sweep shows.

    Args:
        runs: in the order in which they are named.
        groups: one per swept analysis setting; empty when none is swept.
        lr: the LR of the consensus, or None.
        choose: what lr is: "geometric mean".
        interval: lower and upper end of its 95% interval, or None.
        title: which model and data.
        subtitle: the verdict.

    Raises:
        ValueError: a group that hasn't one entry per run.
    """

    runs: tuple[SummaryRun, ...]
    groups: tuple[SummaryGroup, ...] = ()
    lr: float | None = None
    choose: str = "geometric mean"
    interval: tuple[float, float] | None = None
    title: str = ""
    subtitle: str = ""

    def __post_init__(self) -> None:
        for group in self.groups:
            if len(group.suggestions) != len(self.runs):
                raise ValueError(
                    f"group {group.label!r} must have one entry for each of the {len(self.runs)} runs; "
                    f"got {len(group.suggestions)}"
                )

    @property
    def rows(self) -> tuple[SummaryGroup, ...]:
        """What the dots show, from top to bottom: the runs' own LRs first, then each of several groups."""
        own = tuple(run.suggestion for run in self.runs)
        if len(self.groups) == 1:
            return (SummaryGroup(self.groups[0].label, own),)
        return (SummaryGroup("all settings" if self.groups else "", own), *self.groups)

    @property
    def has_curves(self) -> bool:
        """Whether any run has a curve to draw."""
        return any(np.isfinite(run.loss).any() for run in self.runs)

    @property
    def has_suggestions(self) -> bool:
        """Whether any run has an LR under any setting."""
        return any(lr is not None for row in self.rows for lr in row.suggestions)


def draw_curves(ax: Axes, info: SummaryInfo) -> Axes:
    """All smoothed curves over one another on a log LR axis, their suggestions as dots, and the consensus.

    One looks at it to see whether the runs tell the same story, and whether the chosen LR suits all of them.
    """
    frame(ax)
    lr_axis(ax, *_curve_limits(info))
    loss_axis(ax, *_loss_limits(info))
    _mark_consensus(ax, info)
    drawn = _drawn(info)
    lines = [_thinned(info.runs[i]) for i in drawn]
    few = len(info.runs) <= MOST_COLOURED
    strength = 0.9 if few else max(0.12, min(0.6, 12 / max(len(drawn), 1)))
    ax.add_collection(
        LineCollection(
            lines, colors=_colours(info, drawn), linewidths=1.5 if few else 0.8, alpha=strength, zorder=2
        ),
        autolim=False,
    )
    dots = [(i, place) for i in drawn if (place := _on_curve(info.runs[i])) is not None]
    if dots:
        x, y = zip(*(place for _, place in dots), strict=True)
        _dots(ax, x, y, _colours(info, [i for i, _ in dots]), few=few)
    name_axes(ax, x="Learning rate", y="Loss (smoothed)")
    return ax


def draw_spread(ax: Axes, info: SummaryInfo) -> Axes:
    """The suggestions as dots on a log axis of their own, one row per analysis setting, a colour per run.

    One looks at it to see how far the seeds move the LR, and whether the setting moves it too.
    """
    frame(ax)
    rows = info.rows
    ax.set_ylim(len(rows) - 0.45, -0.55)
    ax.set_yticks(range(len(rows)), [_shortened(row.label) for row in rows])
    ax.tick_params(axis="y", length=0, pad=6)
    ax.spines["left"].set_visible(False)
    ax.grid(visible=False, axis="y")
    for row in range(1, len(rows)):
        ax.axhline(row - 0.5, color="#D8D8D8", linewidth=0.8, zorder=1)
    name_axes(ax, x="Suggested learning rate")
    limits = _spread_limits(info)
    if limits is None:
        ax.set_xticks([])
        ax.spines["bottom"].set_visible(False)
        ax.set_xlabel("")
        ax.text(
            0.5,
            0.5,
            "no run gave an answer",
            transform=ax.transAxes,
            ha="center",
            va="center",
            **font(TEXT_SIZE),
        )
        return ax
    lr_axis(ax, *limits)
    _mark_consensus(ax, info)
    few = len(info.runs) <= MOST_COLOURED
    if few and len(rows) > 1:
        _join_runs(ax, info)
    offsets = _offsets(len(info.runs))
    for row, group in enumerate(rows):
        there = [i for i, lr in enumerate(group.suggestions) if lr is not None]
        lrs = [lr for lr in group.suggestions if lr is not None]
        _dots(ax, lrs, [row + offsets[i] for i in there], _colours(info, there), few=few)
    return ax


def summary_figure(info: SummaryInfo) -> Figure:
    """The whole figure of a sweep, 10 inches wide: curves at the left, suggestions at the right.

    Without a curve there are only the suggestions, without a suggestion only the curves.
    """
    heading = heading_of(info.title, info.subtitle, WIDTH - 0.5)
    notes = fitted(_notes(info), WIDTH - 0.5, size=SMALL_SIZE, lines=3)
    handles, names = _legend(info)
    below = len(notes) * SMALL_SIZE * LINE_HEIGHT / 72 + (0.08 if notes else 0)
    top, bottom = 0.17 + heading.height + 0.34, 0.62 + legend_height(names, WIDTH) + below
    panel = max(3.2 if info.has_curves else 1.2, 0.45 * len(info.rows))
    figure = new_figure(WIDTH, top + panel + bottom)
    heading.write(figure, left=0.25)
    left, right = 0.25, WIDTH - 0.35
    if info.has_curves:
        start = max(0.75, widest(loss_ticks(*_loss_limits(info))[1], SMALL_SIZE) + 0.55)
        share = 0.54 if info.has_suggestions else 1.0
        width = share * (right - start)
        draw_curves(axes_at(figure, start, bottom, width, panel), info)
        left = start + width + 0.15
    if info.has_suggestions or not info.has_curves:
        left += 0.3 + widest([_shortened(row.label) for row in info.rows], SMALL_SIZE)
        draw_spread(axes_at(figure, left, bottom, right - left, panel), info)
    _write_consensus(figure, info, right=WIDTH - 0.3, top=top - 0.3, width=WIDTH - 0.6)
    note_top = top + panel + bottom - below - 0.04
    text_at(figure, 0.25, note_top, "\n".join(notes), size=SMALL_SIZE, colour="#A63C00")
    legend_below(figure, handles, names, above=below)
    return figure


def _shortened(label: str) -> str:
    return fitted(label, 1.6, size=SMALL_SIZE, lines=1)[0] if label else ""


def _curve_limits(info: SummaryInfo) -> tuple[float, float]:
    ends = [float(end) for run in info.runs if run.lr.size for end in (run.lr[0], run.lr[-1])]
    ends += [lr for lr in (info.lr, *(run.suggestion for run in info.runs)) if lr is not None]
    low, high = min(ends, default=1e-7), max(ends, default=10.0)
    room = max((high / low) ** 0.015, 1.05)
    return low / room, high * room


def _loss_limits(info: SummaryInfo) -> tuple[float, float]:
    """The losses that show the descents of nearly all runs."""
    drawn = (info.runs[i] for i in _drawn(info))
    limits = [loss_limits(run.loss, run.loss) for run in drawn if np.isfinite(run.loss).any()]
    if not limits:
        return 0.0, 1.0
    lows, highs = np.array(limits).T
    # A run that went astray may start or end far from the rest.
    share = 1.0 if len(limits) < 10 else 0.95
    return float(np.quantile(lows, 1 - share)), float(np.quantile(highs, share))


def _spread_limits(info: SummaryInfo) -> tuple[float, float] | None:
    lrs = [lr for row in info.rows for lr in row.suggestions if lr is not None]
    lrs += [lr for lr in (info.lr, *(info.interval or ())) if lr is not None]
    if not lrs:
        return None
    low, high = min(lrs), max(lrs)
    # At least a factor of 4 is shown: a spread of 1% should look like one.
    room = max((high / low) ** 0.08, math.sqrt(4 / (high / low)), 1.1)
    return low / room, high * room


def _thinned(run: SummaryRun) -> FloatArray:
    """At most so many points of a curve, shape (m, 2)."""
    step = max(1, math.ceil(run.lr.size / MOST_POINTS))
    keep = np.r_[0 : run.lr.size : step]
    return np.column_stack([run.lr[keep], run.loss[keep]])


def _drawn(info: SummaryInfo) -> list[int]:
    """The runs whose curves are drawn: all, or MOST_CURVES of them, evenly spread."""
    places = [i for i, run in enumerate(info.runs) if run.lr.size]
    if len(places) <= MOST_CURVES:
        return places
    return [places[round(i)] for i in np.linspace(0, len(places) - 1, MOST_CURVES)]


def _colours(info: SummaryInfo, runs: Sequence[int]) -> list[str]:
    """A colour per run as long as they can be told apart, then one for all."""
    if len(info.runs) > MOST_COLOURED:
        return [BLUE] * len(runs)
    return [RUN_COLOURS[i] for i in runs]


def _on_curve(run: SummaryRun) -> tuple[float, float] | None:
    finite = np.isfinite(run.loss)
    if run.suggestion is None or not finite.any():
        return None
    x = np.log10(run.lr[finite])
    return run.suggestion, float(np.interp(math.log10(run.suggestion), x, run.loss[finite]))


def _dots(ax: Axes, x: Sequence[float], y: Sequence[float], colours: Sequence[str], *, few: bool) -> None:
    ax.scatter(
        x,
        y,
        s=48 if few else max(3.0, 160 / math.sqrt(max(len(x), 100))),
        c=list(colours),
        alpha=1.0 if few else max(0.25, 5.5 / math.sqrt(max(len(x), 100))),
        edgecolors="white",
        linewidths=0.9 if few else 0.3 if len(x) <= 300 else 0.0,
        zorder=4,
    )


def _offsets(runs: int) -> FloatArray:
    """Height of each run within its row: in order for few runs, scattered evenly for many."""
    if runs == 1:
        return np.zeros(1)
    if runs <= MOST_COLOURED:
        return np.linspace(-0.26, 0.26, runs)
    golden = (math.sqrt(5) - 1) / 2
    return np.asarray(((np.arange(runs) * golden) % 1 - 0.5) * 0.72, dtype=np.float64)


def _join_runs(ax: Axes, info: SummaryInfo) -> None:
    """A thin line from row to row for each run."""
    offsets = _offsets(len(info.runs))
    for i, colour in enumerate(_colours(info, range(len(info.runs)))):
        places = [
            (lr, row + offsets[i]) for row, g in enumerate(info.rows) if (lr := g.suggestions[i]) is not None
        ]
        if len(places) > 1:
            x, y = zip(*places, strict=True)
            ax.plot(x, y, color=colour, linewidth=0.9, alpha=0.45, zorder=3)


def _mark_consensus(ax: Axes, info: SummaryInfo) -> None:
    if info.interval is not None:
        ax.axvspan(*info.interval, color=VERMILLION, alpha=0.13, linewidth=0, zorder=0.5)
    if info.lr is not None:
        ax.axvline(info.lr, color=VERMILLION, linewidth=1.6, zorder=1.5)


def _write_consensus(figure: Figure, info: SummaryInfo, *, right: float, top: float, width: float) -> None:
    """The chosen LR and its interval above the dots, right-aligned."""
    if info.lr is None:
        return
    lr = f"{info.choose} {format_lr(info.lr)}"
    rest = "" if info.interval is None else f"   95% interval {format_lr_range(*info.interval)}"
    bold, plain = text_width(lr, TEXT_SIZE + 0.5, "bold"), text_width(rest, SMALL_SIZE)
    start = max(right - bold - plain, right - width)
    up = float(figure.get_size_inches()[1])
    for content, left, properties in (
        (lr, start, font(TEXT_SIZE + 0.5, VERMILLION, "bold")),
        (rest, start + bold, font(SMALL_SIZE, SOFT_INK)),
    ):
        figure.text(left / WIDTH, 1 - (top + 0.2) / up, content, ha="left", va="baseline", **properties)


def _notes(info: SummaryInfo) -> str:
    """Which runs have no answer, and how many curves aren't drawn."""
    notes = []
    missing = [run for run in info.runs if run.suggestion is None]
    if missing and len(missing) <= MOST_NAMED:
        named = ", ".join(run.label + (f" ({run.outcome})" if run.outcome else "") for run in missing)
        notes.append(f"No answer from {len(missing)} of {count(len(info.runs), 'run')}: {named}.")
    elif missing:
        kinds = Counter(run.outcome or "unknown" for run in missing).most_common()
        listed = ", ".join(f"{number} {kind}" for kind, number in kinds)
        notes.append(f"No answer from {len(missing)} of {count(len(info.runs), 'run')}: {listed}.")
    with_curve = sum(run.lr.size > 0 for run in info.runs)
    if with_curve > MOST_CURVES:
        notes.append(f"{MOST_CURVES} of {with_curve:,} curves are drawn.")
    return " ".join(notes)


def _legend(info: SummaryInfo) -> tuple[list[Line2D | Patch], list[str]]:
    """Samples and names: each run while they have colours of their own, the consensus, its interval."""
    handles: list[Line2D | Patch] = []
    names = []
    many = len(info.runs) > MOST_COLOURED
    shown = info.runs[:1] if many else info.runs
    for run, colour in zip(shown, _colours(info, range(len(shown))), strict=True):
        line: Literal["-", "none"] = "-" if info.has_curves else "none"
        sample = Line2D([], [], color=colour, linewidth=1.5, linestyle=line, marker="o", markersize=5.5)
        handles.append(sample)
        names.append(count(len(info.runs), "run") if many else _shortened(run.label))
    if info.lr is not None:
        handles.append(Line2D([], [], color=VERMILLION, linewidth=1.6))
        names.append(info.choose)
    if info.interval is not None:
        handles.append(Patch(facecolor=VERMILLION, alpha=0.2, linewidth=0))
        names.append("95% interval")
    return handles, names
