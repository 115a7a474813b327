"""The figure of a sweep: all curves with their suggestions, and beside them how far the suggestions spread."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from steadylr.core.curve import FloatArray, frozen_array
from steadylr.present.figures._drawing import (
    BLUE,
    INK,
    MARKERS,
    RUN_COLOURS,
    SMALL_SIZE,
    SOFT_INK,
    VERMILLION,
    Sample,
    font,
    frame,
    label_above,
    legend_below,
    linear_axis,
    loss_limits,
    lr_axis,
    lr_label,
    lr_limits,
    name_axes,
    new_figure,
    no_points,
    range_label,
    rows_axis,
    wrapped,
)
from steadylr.present.numbers import count

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_COLOURED = len(RUN_COLOURS)
MOST_CURVES = 300  # more lines make the picture slower, not clearer
MOST_POINTS = 400
MOST_NAMED = 4
_CONSENSUS: dict[str, Any] = {"color": VERMILLION, "linewidth": 1.6}
_MEAN: dict[str, Any] = {"color": INK, "linewidth": 2.4, "zorder": 3}
_INTERVAL: dict[str, Any] = {"facecolor": VERMILLION, "alpha": 0.13, "linewidth": 0}


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
        lr: the LR of the answer, or None.
        choose: what lr is: "geometric mean".
        interval: lower and upper end of its 95% interval, or None.
        mean: the mean curve of the runs, where the answer is read off it.
        num_curves: how many runs have a curve, where not all of them are drawn (see curves_to_draw); 0: as many as are.
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
    mean: SummaryRun | None = None
    num_curves: int = 0
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
    def series(self) -> tuple[SummaryGroup, ...]:
        """What the dots show: the runs' own LRs first, then each of several groups."""
        own = tuple(run.suggestion for run in self.runs)
        if len(self.groups) == 1:
            return (SummaryGroup(self.groups[0].label, own),)
        return (SummaryGroup("LR of the run", own), *self.groups)

    @property
    def few(self) -> bool:
        """Whether each run has a colour and a row of its own."""
        return len(self.runs) <= MOST_COLOURED

    @property
    def has_curves(self) -> bool:
        """Whether any run has a curve to draw."""
        return any(np.isfinite(run.loss).any() for run in self.runs)

    @property
    def has_suggestions(self) -> bool:
        """Whether any run has an LR under any setting."""
        return any(lr is not None for shown in self.series for lr in shown.suggestions)


def curves_to_draw(count: int) -> list[int]:
    """Of so many curves those that a figure shows, by number: all, or MOST_CURVES of them, evenly spread."""
    return sorted({round(i) for i in np.linspace(0, count - 1, min(count, MOST_CURVES))})


def draw_curves(ax: Axes, info: SummaryInfo) -> Axes:
    """All smoothed curves over one another on a log LR axis, their suggestions as dots, and the consensus.

    One looks at it to see whether the runs tell the same story, and whether the chosen LR suits all of them.
    """
    frame(ax)
    ends = [float(end) for run in info.runs for end in (*run.lr[:1], *run.lr[-1:])]
    lr_axis(ax, *lr_limits([*ends, info.lr, *(run.suggestion for run in info.runs)]))
    linear_axis(ax.yaxis, *_loss_limits(info))
    _mark_consensus(ax, info)
    drawn = [i for i, run in enumerate(info.runs) if run.lr.size]
    lines = LineCollection(
        [_thinned(info.runs[i]) for i in drawn],
        colors=_colours(info, drawn),
        linewidths=1.5 if info.few else 0.8,
        alpha=0.9 if info.few else max(0.12, min(0.6, 12 / max(len(drawn), 1))),
        zorder=2,
    )
    ax.add_collection(lines, autolim=False)
    if info.mean is not None:
        ax.plot(info.mean.lr, info.mean.loss, **_MEAN)
        if (place := _on_curve(info.mean)) is not None:
            _dots(ax, *zip(place, strict=True), colours=[VERMILLION], few=True)
    dots = {i: place for i in drawn if (place := _on_curve(info.runs[i])) is not None}
    if dots:
        _dots(ax, *zip(*dots.values(), strict=True), colours=_colours(info, list(dots)), few=info.few)
    name_axes(ax, x="Learning rate", y="Loss (smoothed)")
    return ax


def draw_spread(ax: Axes, info: SummaryInfo) -> Axes:
    """One row per run on a log LR axis: the run's LR as a dot, and what each analysis setting makes of it.

    One looks at it to see how far the seeds move the LR, and whether the setting moves it too. Few runs stand in
    their order with their names; many are sorted by their LR.
    """
    frame(ax)
    if not info.has_suggestions:
        ax.set_axis_off()
        ax.text(0.5, 0.5, "no run gave an answer", transform=ax.transAxes, ha="center", va="center", **font())
        return ax
    rows = list(range(len(info.runs)))
    if not info.few:
        rows = sorted(
            (i for i in rows if info.runs[i].suggestion), key=lambda i: info.runs[i].suggestion or 0
        )
    names = [_name(info.runs[i].label, lines=2) for i in rows] if info.few else []
    rows_axis(ax, names, rows=len(rows))
    lr_axis(ax, *_spread_limits(info))
    _mark_consensus(ax, info)
    for place in range(len(info.series)):
        _draw_series(ax, info, rows, place)
    if info.few:
        _show_missing(ax, info)
    name_axes(ax, x="Suggested learning rate", y=None if info.few else "Runs, sorted by their LR")
    return ax


def summary_figure(info: SummaryInfo) -> Figure:
    """The whole figure of a sweep, 10 inches wide: curves at the left, suggestions at the right.

    Without a curve there are only the suggestions, without a suggestion only the curves.
    """
    height = 4.4 if info.has_curves else 2.0
    if info.has_suggestions and info.few:
        height = max(height, 1.4 + 0.34 * len(info.runs))
    figure = new_figure(10.0, height, title=info.title, subtitle=info.subtitle, note=_notes(info))
    if info.has_curves and info.has_suggestions:
        curves, spread = figure.subplots(1, 2, width_ratios=(0.56, 0.44))
        draw_curves(curves, info)
    elif info.has_curves:
        spread = draw_curves(figure.add_subplot(), info)
    else:
        spread = figure.add_subplot()
    if info.has_suggestions or not info.has_curves:
        draw_spread(spread, info)
    if info.lr is not None:
        interval = "" if info.interval is None else f"95% interval {range_label(*info.interval)}"
        label_above(spread, info.lr, f"{info.choose} {lr_label(info.lr)}", interval)
    legend_below(figure, _legend(info))
    return figure


def _name(label: str, *, lines: int) -> str:
    return "\n".join(wrapped(label, 1.9, size=SMALL_SIZE, lines=lines))


def _loss_limits(info: SummaryInfo) -> tuple[float, float]:
    """The losses that show the descents of nearly all runs."""
    limits = [loss_limits(run.loss, run.loss) for run in info.runs if np.isfinite(run.loss).any()]
    if not limits:
        return 0.0, 1.0
    lows, highs = np.array(limits).T
    # A run that went astray may start or end far from the rest.
    share = 1.0 if len(limits) < 10 else 0.95
    return float(np.quantile(lows, 1 - share)), float(np.quantile(highs, share))


def _spread_limits(info: SummaryInfo) -> tuple[float, float]:
    lrs = [lr for shown in info.series for lr in shown.suggestions if lr is not None]
    lrs += [lr for lr in (info.lr, *(info.interval or ())) if lr is not None]
    low, high = min(lrs), max(lrs)
    # At least a factor of 4 is shown: a spread of 1% should look like one.
    room = max((high / low) ** 0.08, math.sqrt(4 / (high / low)), 1.1)
    return low / room, high * room


def _thinned(run: SummaryRun) -> FloatArray:
    """At most so many points of a curve, shape (m, 2)."""
    step = max(1, math.ceil(run.lr.size / MOST_POINTS))
    return np.column_stack([run.lr[::step], run.loss[::step]])


def _colours(info: SummaryInfo, runs: Sequence[int]) -> list[str]:
    """A colour per run as long as they can be told apart, then one for all."""
    return [RUN_COLOURS[i] if info.few else BLUE for i in runs]


def _on_curve(run: SummaryRun) -> tuple[float, float] | None:
    finite = np.isfinite(run.loss)
    if run.suggestion is None or not finite.any():
        return None
    x = np.log10(run.lr[finite])
    return run.suggestion, float(np.interp(math.log10(run.suggestion), x, run.loss[finite]))


def _dots(
    ax: Axes, x: Sequence[float], y: Sequence[float], *, colours: Sequence[str], few: bool, **looks: Any
) -> None:
    size = 48 if few else max(3.0, 160 / math.sqrt(max(len(x), 25)))
    look = {"s": size, "c": colours, "edgecolors": "white", "linewidths": 0.9 if few else 0.3, "zorder": 4}
    ax.scatter(x, y, **{**look, **looks})


def _draw_series(ax: Axes, info: SummaryInfo, rows: Sequence[int], place: int) -> None:
    """The LRs of one setting, each in its run's row; place 0 is the runs' own."""
    lrs = info.series[place].suggestions
    there = [(row, i, lr) for row, i in enumerate(rows) if (lr := lrs[i]) is not None]
    colours = _colours(info, [i for _, i, _ in there])
    looks: dict[str, Any] = {}
    if place and info.few:  # colours stand for runs, shapes for settings
        looks = {"c": "white", "edgecolors": colours, "s": 34, "linewidths": 1.2, "zorder": 3}
    elif place:
        looks = {"c": _setting_colour(info, place), "zorder": 3}
    x, y = [lr for *_, lr in there], [row for row, *_ in there]
    _dots(ax, x, y, colours=colours, few=info.few, marker=_shape(place), **looks)


def _shape(place: int) -> str:
    return MARKERS[(place - 1) % len(MARKERS)] if place else "o"


def _setting_colour(info: SummaryInfo, place: int) -> str:
    """The colour of a setting in a legend: the runs have the colours while they are few."""
    return INK if info.few else RUN_COLOURS[place % len(RUN_COLOURS)]


def _show_missing(ax: Axes, info: SummaryInfo) -> None:
    """Say in its row that a run has no answer, in the colour of its curve."""
    for row, (run, colour) in enumerate(zip(info.runs, RUN_COLOURS, strict=False)):
        if run.suggestion is None:
            rows = ax.get_yaxis_transform()
            ax.plot([0.02, 0.07], [row, row], color=colour, linewidth=1.5, transform=rows)
            ax.text(
                0.09, row, "no answer", transform=rows, va="center_baseline", **font(SMALL_SIZE, SOFT_INK)
            )


def _mark_consensus(ax: Axes, info: SummaryInfo) -> None:
    if info.interval is not None:
        ax.axvspan(*info.interval, zorder=0.5, **_INTERVAL)
    if info.lr is not None:
        ax.axvline(info.lr, zorder=1.5, **_CONSENSUS)


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
    drawn = sum(run.lr.size > 0 for run in info.runs)
    if info.num_curves > drawn:
        notes.append(f"{drawn} of {info.num_curves:,} curves are drawn.")
    return " ".join(notes)


def _legend(info: SummaryInfo) -> list[Sample]:
    """What tells the runs apart where no row names them, the settings, the consensus, its interval."""
    runs: list[tuple[str, str]] = []
    if not info.few:
        runs = [(count(len(info.runs), "run"), BLUE)]
    elif not info.has_suggestions:
        runs = [(run.label, colour) for run, colour in zip(info.runs, RUN_COLOURS, strict=False)]
    look: dict[str, Any] = {"linewidth": 1.5, "marker": "o", "markersize": 5.5}
    samples = [Sample(Line2D([], [], color=colour, **look), _name(name, lines=1)) for name, colour in runs]
    for place, group in enumerate(info.series):
        if info.has_suggestions and len(info.series) > 1 and (place or info.few):
            colour = _setting_colour(info, place)
            face = "white" if place and info.few else colour
            look = {"linestyle": "none", "marker": _shape(place), "markersize": 5.5}
            dot = Line2D([], [], color=face, markeredgecolor="white" if face == colour else colour, **look)
            samples.append(Sample(dot, _name(group.label, lines=1)))
    if info.mean is not None:
        samples.append(Sample(Line2D([], [], **_MEAN), info.choose))
    elif info.lr is not None:
        samples.append(Sample(Line2D([], [], **_CONSENSUS), info.choose))
    if info.interval is not None:
        samples.append(Sample(Patch(**_INTERVAL), "95% interval"))
    return samples
