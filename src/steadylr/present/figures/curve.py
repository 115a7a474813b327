"""The figure of one run: its curve, what each rule reads off it, and the LR that is suggested."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from steadylr.core.curve import FloatArray, frozen_array
from steadylr.present.figures._drawing import (
    BLUE,
    FAINT,
    INK,
    MARKERS,
    SMALL_SIZE,
    SOFT_INK,
    VERMILLION,
    WARNING,
    Sample,
    at_right,
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

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from steadylr.core.curve import Curve
    from steadylr.core.settings import Reading
    from steadylr.words.reading import ToldSuggestion


@dataclass(frozen=True, slots=True)
class Mark:
    """What one rule reads off the curve: an LR (None for no answer), low and high if the rule brackets."""

    rule: str
    lr: float | None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class CurveInfo:
    """All that the figure of one run shows.

    Args:
        lr: LRs of the raw points, shape (n,), rising, above 0.
        loss: losses of the raw points, shape (n,); NaN and infinities are not drawn.
        smooth_lr: LRs of the smoothed line, shape (m,); may be empty.
        smooth_loss: losses of the smoothed line, shape (m,).
        skip_start: points left out at the start, at least 0.
        skip_end: points left out at the end, at least 0.
        marks: what each rule reads off the curve, in the order in which they are shown.
        headline: the rule whose LR is the answer.
        reason: why the headline rule has no answer; empty if it has one.
        title: which model, data and seed.
        subtitle: what the curve is diagnosed with, or empty.
        loss_name: what the losses are, "Training loss" or "Validation loss".
        background_lr: LRs of losses drawn behind the others, shape (k,); empty for none.
        background_loss: those losses, shape (k,).
        background_name: what they are.
        left_out_lr: LRs of the training losses whose update a gradient scaler left out, shape (l,); may be empty.
        left_out_loss: those losses, shape (l,).

    Raises:
        ValueError: an LR and a loss array of different lengths.
    """

    lr: FloatArray
    loss: FloatArray
    smooth_lr: FloatArray = field(default_factory=no_points)
    smooth_loss: FloatArray = field(default_factory=no_points)
    skip_start: int = 0
    skip_end: int = 0
    marks: tuple[Mark, ...] = ()
    headline: str = ""
    reason: str = ""
    title: str = ""
    subtitle: str = ""
    loss_name: str = "Training loss"
    background_lr: FloatArray = field(default_factory=no_points)
    background_loss: FloatArray = field(default_factory=no_points)
    background_name: str = "Training loss"
    left_out_lr: FloatArray = field(default_factory=no_points)
    left_out_loss: FloatArray = field(default_factory=no_points)

    def __post_init__(self) -> None:
        for kind in ("", "smooth_", "background_", "left_out_"):
            lr, loss = f"{kind}lr", f"{kind}loss"
            sizes = np.size(getattr(self, lr)), np.size(getattr(self, loss))
            if sizes[0] != sizes[1]:
                raise ValueError(
                    f"{lr} and {loss} must be equally long; got {sizes[0]} and {sizes[1]} points"
                )
            object.__setattr__(self, lr, frozen_array(getattr(self, lr)))
            object.__setattr__(self, loss, frozen_array(getattr(self, loss)))

    @property
    def answer(self) -> Mark | None:
        """The headline rule's mark, or None if that rule has no answer."""
        return next((m for m in self.marks if m.rule == self.headline and m.lr is not None), None)


def curve_info(
    curve: Curve,
    suggestions: Mapping[str, ToldSuggestion],
    rule: str,
    *,
    smooth_lr: npt.ArrayLike = (),
    smooth_loss: npt.ArrayLike = (),
    reading: Reading | None = None,
    title: str = "",
    subtitle: str = "",
    background: tuple[npt.ArrayLike, npt.ArrayLike] | None = None,
    left_out: Sequence[int] = (),
) -> CurveInfo:
    """Gather what the figure of one run shows.

    Args:
        curve: the raw points that the rules read.
        suggestions: by rule.
        rule: the headline rule, one of the suggestions.
        smooth_lr: LRs of the smoothed line.
        smooth_loss: losses of the smoothed line.
        reading: the settings that the rules read with; None greys nothing.
        title: which model, data and seed.
        subtitle: what the curve is diagnosed with.
        background: of a curve of validation losses, the LRs and training losses to draw behind it.
        left_out: the training losses, from 0, whose update a gradient scaler left out.

    Raises:
        ValueError: rule is not one of the suggestions.
    """
    if rule not in suggestions:
        raise ValueError(f"rule must be one of {sorted(suggestions)}; got {rule!r}")
    headline = suggestions[rule]
    ordered = [headline, *(s for name, s in suggestions.items() if name != rule)]
    behind_lr, behind_loss = ((), ()) if background is None else background
    trained_lr, trained_loss = (curve.lr, curve.loss) if background is None else background
    marked = np.array(left_out, dtype=np.int64)
    return CurveInfo(
        lr=curve.lr,
        loss=curve.loss,
        smooth_lr=frozen_array(smooth_lr),
        smooth_loss=frozen_array(smooth_loss),
        skip_start=0 if reading is None else reading.skip_start,
        skip_end=0 if reading is None else reading.skip_end,
        marks=tuple(Mark(s.rule, s.lr, s.low, s.high) for s in ordered),
        headline=rule,
        reason="" if headline.lr is not None else headline.reason,
        title=title,
        subtitle=subtitle,
        loss_name="Training loss" if background is None else "Validation loss",
        background_lr=frozen_array(behind_lr),
        background_loss=frozen_array(behind_loss),
        left_out_lr=np.asarray(trained_lr)[marked],
        left_out_loss=np.asarray(trained_loss)[marked],
    )


_NOT_READ: dict[str, Any] = {"facecolor": "#EDEDED", "edgecolor": "#D5D5D5", "linewidth": 0.5}
_BEHIND: dict[str, Any] = {"color": "#CFCFCF", "linewidth": 0.8}
_SMOOTH: dict[str, Any] = {"color": BLUE, "linewidth": 2.0, "solid_capstyle": "round"}
_LEFT_OUT: dict[str, Any] = {"linestyle": "none", "marker": "x", "markeredgewidth": 1.1, "color": INK}
_ANSWER: dict[str, Any] = {"color": VERMILLION, "linewidth": 1.6}
_RANGE: dict[str, Any] = {"facecolor": VERMILLION, "alpha": 0.12, "linewidth": 0}


def draw_curve(ax: Axes, info: CurveInfo) -> Axes:
    """Loss against LR on a log axis, with the headline LR, its bracket and the other rules' places.

    One looks at it to see whether the suggested LR lies where the loss still falls, well before it climbs.
    The loss axis shows the descent: points of a divergence far above it are left out of sight.
    """
    frame(ax)
    lr_axis(ax, *_limits(info))
    linear_axis(ax.yaxis, *loss_limits(info.loss, info.smooth_loss))
    for low, high in _not_read(info):
        ax.axvspan(low, high, zorder=0, **_NOT_READ)
    _mark_answer(ax, info.answer)
    ax.plot(info.background_lr, info.background_loss, zorder=1.5, **_BEHIND)
    # Many points need smaller and fainter ones for the line to stay readable among them.
    size, strength = (2.0, 0.55) if info.lr.size > 300 else (3.0, 0.85)
    ax.plot(info.lr, info.loss, zorder=2, **_points(size, strength))
    ax.plot(info.left_out_lr, info.left_out_loss, **_LEFT_OUT, markersize=4.5, zorder=2.2)
    ax.plot(info.smooth_lr, info.smooth_loss, zorder=3, **_SMOOTH)
    for i, mark in enumerate(info.marks):
        height = _height(info, mark.lr)
        if mark.lr is not None and height is not None:
            ax.plot([mark.lr], [height], zorder=5 if mark.rule == info.headline else 4, **_look(info, i))
    name_axes(ax, x="Learning rate", y=info.loss_name)
    return ax


def draw_rules(ax: Axes, info: CurveInfo) -> Axes:
    """One row per rule below the curve: its LR with the value at the right, and from low to high if it brackets.

    A rule has the marker that stands for it on the curve, so that one sees which point is whose.
    """
    frame(ax)
    lr_axis(ax, *_limits(info))
    rows_axis(ax, ["".join(wrapped(mark.rule, 1.6, size=SMALL_SIZE, lines=1)) for mark in info.marks])
    _mark_answer(ax, info.answer)
    for row, (mark, label) in enumerate(zip(info.marks, ax.get_yticklabels(), strict=True)):
        headline = mark.rule == info.headline
        weight = "bold" if headline else "normal"
        colour = VERMILLION if headline and mark.lr is not None else INK
        label.set(color=colour, fontweight=weight)
        if mark.lr is None:
            at_right(ax, row, "no answer", **font(SMALL_SIZE, SOFT_INK))
            continue
        at_right(ax, row, lr_label(mark.lr), **font(SMALL_SIZE, colour, weight))
        ends = [mark.low or mark.lr, mark.high or mark.lr]
        ax.plot(ends, [row, row], color=colour, linewidth=3.0, alpha=0.35, solid_capstyle="butt", zorder=3)
        ax.plot([mark.lr], [row], zorder=4, **_look(info, row))
    name_axes(ax, x="Learning rate")
    return ax


def curve_figure(info: CurveInfo) -> Figure:
    """The whole figure of one run: title, curve, rules, legend; 8 inches wide, as high as its parts need."""
    answer, rows = info.answer, len(info.marks)
    reason = info.reason or info.subtitle
    figure = new_figure(
        8.0,
        4.3 + 0.2 * rows,
        title=info.title,
        subtitle=info.subtitle if answer else f"No answer: {reason}" if reason else "No answer",
        colour=SOFT_INK if answer else WARNING,
    )
    if not rows:
        draw_curve(figure.add_subplot(), info)
    else:
        main, below = figure.subplots(2, 1, height_ratios=(3.2, 0.1 + 0.2 * rows))
        draw_curve(main, info)
        draw_rules(below, info)
        main.tick_params(axis="x", which="both", labelbottom=False)
        main.set_xlabel("")
        if answer is not None and answer.lr is not None:
            name = "".join(wrapped(answer.rule, 2.0, lines=1))
            bracket = (
                ""
                if answer.low is None or answer.high is None
                else f" {range_label(answer.low, answer.high)}"
            )
            label_above(main, answer.lr, f"LR {lr_label(answer.lr)}", name + bracket)
    legend_below(figure, _legend(info))
    return figure


def _limits(info: CurveInfo) -> tuple[float, float]:
    """The LRs of the points and the marks."""
    ends = [float(lr) for lrs in (info.lr, info.background_lr) for lr in (*lrs[:1], *lrs[-1:])]
    return lr_limits([*ends, *(lr for m in info.marks for lr in (m.lr, m.low, m.high))])


def _not_read(info: CurveInfo) -> Iterator[tuple[float, float]]:
    """From which to which LR points are left out of the reading, to half way between two points."""
    n = info.lr.size
    if n == 0:
        return
    low, high = _limits(info)
    borders = np.concatenate([info.lr[:1], np.sqrt(info.lr[:-1] * info.lr[1:]), info.lr[-1:]])
    if info.skip_start > 0:
        yield low, float(borders[min(info.skip_start, n)])
    if info.skip_end > 0:
        yield float(borders[max(n - info.skip_end, 0)]), high


def _height(info: CurveInfo, lr: float | None) -> float | None:
    """The smoothed loss at an LR; None beside the line."""
    finite = np.isfinite(info.smooth_loss)
    if lr is None or not finite.any():
        return None
    x, at = np.log10(info.smooth_lr[finite]), math.log10(lr)
    return float(np.interp(at, x, info.smooth_loss[finite])) if x[0] - 1e-6 <= at <= x[-1] + 1e-6 else None


def _mark_answer(ax: Axes, answer: Mark | None) -> None:
    if answer is None or answer.lr is None:
        return
    if answer.low is not None and answer.high is not None:
        ax.axvspan(answer.low, answer.high, zorder=0.5, **_RANGE)
    ax.axvline(answer.lr, zorder=2.5, **_ANSWER)


def _points(size: float, strength: float = 1.0) -> dict[str, Any]:
    return {
        "linestyle": "none",
        "marker": "o",
        "markersize": size,
        "markeredgewidth": 0,
        "color": FAINT,
        "alpha": strength,
    }


def _look(info: CurveInfo, place: int) -> dict[str, Any]:
    """The marker of a rule: round and filled for the headline, a white shape of its own for any other."""
    headline = info.marks[place].rule == info.headline
    others = [mark.rule for mark in info.marks if mark.rule != info.headline]
    return {
        "linestyle": "none",
        "marker": "o" if headline else MARKERS[others.index(info.marks[place].rule) % len(MARKERS)],
        "markersize": 7 if headline else 6,
        "markerfacecolor": VERMILLION if headline else "white",
        "markeredgecolor": "white" if headline else INK,
        "markeredgewidth": 1.0,
    }


def _legend(info: CurveInfo) -> list[Sample]:
    validated, answer = info.background_lr.size > 0, info.answer
    samples = [
        Sample(Line2D([], [], **_points(4)), info.loss_name.lower() if validated else "loss of one step")
    ]
    if info.smooth_lr.size:
        samples.append(Sample(Line2D([], [], **_SMOOTH), "smoothed"))
    if validated:
        samples.append(Sample(Line2D([], [], **_BEHIND), info.background_name.lower()))
    if info.left_out_lr.size:
        samples.append(
            Sample(Line2D([], [], **_LEFT_OUT, markersize=5), "update left out (overflow in fp16)")
        )
    if answer is not None and answer.low is not None and answer.high is not None:
        samples.append(Sample(Patch(**_RANGE), f"{answer.rule}, low to high"))
    if info.skip_start or info.skip_end:
        samples.append(Sample(Patch(**_NOT_READ), "not read by the rules"))
    return samples
