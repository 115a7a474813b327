"""The figure of a ladder: the valley of each length, and the line through their bottoms to the planned length."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, NullFormatter

from steadylr.core.curve import FloatArray, frozen_array
from steadylr.core.length.answer import LengthAnswer, bottoms_of
from steadylr.core.length.law import valley
from steadylr.present.figures._drawing import (
    BLUE,
    RUN_COLOURS,
    SKY,
    VERMILLION,
    Sample,
    frame,
    label_above,
    legend_below,
    linear_axis,
    lr_axis,
    lr_label,
    lr_limits,
    name_axes,
    new_figure,
)
from steadylr.words.length import length_summary

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_TRIAL: dict[str, Any] = {"linestyle": "", "marker": "o", "markersize": 4.5, "markeredgewidth": 0}
_LOST: dict[str, Any] = {"linestyle": "", "marker": "^", "markersize": 6, "markeredgewidth": 0}
_LAW: dict[str, Any] = {"color": BLUE, "linewidth": 1.8}
_BAND: dict[str, Any] = {"color": SKY, "alpha": 0.25, "linewidth": 0}
_ANSWER: dict[str, Any] = {"color": VERMILLION, "marker": "o", "markersize": 7, "linewidth": 1.8}


@dataclass(frozen=True, slots=True)
class LengthValley:
    """The trials of one length, and the valley fitted to them.

    Args:
        steps: of each trial.
        lr, loss: of each trial, shape (n,); infinite where it was given up.
        curve_lr, curve_loss: the valley over the LRs tried, shape (m,); empty where none was fitted.
        best: its bottom; None likewise.
    """

    steps: int
    lr: FloatArray
    loss: FloatArray
    curve_lr: FloatArray
    curve_loss: FloatArray
    best: float | None


@dataclass(frozen=True, slots=True)
class LengthInfo:
    """All that the figure shows.

    Args:
        valleys: the shortest length first.
        law_steps, law_lr, law_low, law_high: the law with its 95% interval, shape (k,).
        steps, lr, low, high: of the planned training.
        title: which model and data.
        subtitle: the verdict in a sentence.
        judged_by: "validation loss" or "training loss".
    """

    valleys: tuple[LengthValley, ...]
    law_steps: FloatArray
    law_lr: FloatArray
    law_low: FloatArray
    law_high: FloatArray
    steps: int
    lr: float
    low: float
    high: float
    title: str = ""
    subtitle: str = ""
    judged_by: str = "loss"


def length_info(answer: LengthAnswer, *, title: str = "", judged_by: str = "loss") -> LengthInfo:
    """Gather what the figure of a ladder shows."""
    fit = answer.fit
    first = min((rung.steps for rung in answer.rungs), default=answer.steps)
    steps = np.geomspace(first, answer.steps, 60)
    lrs = np.array([fit.lr_at(float(at)) for at in steps])
    # the interval is computed at the planned length; in between it has the width of the covariance, to scale
    widths = np.array([fit.octaves_std(float(at)) for at in steps])
    below, above = math.log2(answer.lr / answer.low), math.log2(answer.high / answer.lr)
    return LengthInfo(
        valleys=tuple(_valleys(answer)),
        law_steps=frozen_array(steps),
        law_lr=frozen_array(lrs),
        law_low=frozen_array(lrs * 2.0 ** (-below * widths / widths[-1])),
        law_high=frozen_array(lrs * 2.0 ** (above * widths / widths[-1])),
        steps=answer.steps,
        lr=answer.lr,
        low=answer.low,
        high=answer.high,
        title=title,
        subtitle=length_summary(answer),
        judged_by=judged_by,
    )


def _valleys(answer: LengthAnswer) -> list[LengthValley]:
    shape, made = answer.fit.shape, []
    for rung, bottom in zip(answer.rungs, bottoms_of(answer), strict=True):
        lrs = frozen_array([trial.lr for trial in rung.trials])
        losses = frozen_array([trial.loss for trial in rung.trials])
        curve = (frozen_array([]), frozen_array([]))
        if bottom.lr is not None and bottom.loss is not None:
            at = np.geomspace(lrs.min(), lrs.max(), 80)
            k = shape.k(answer.fit.octaves_beyond(rung.steps))
            height = k * valley(np.log2(at / bottom.lr), shape.a)
            curve = (frozen_array(at), frozen_array(bottom.loss + height))
        made.append(LengthValley(rung.steps, lrs, losses, *curve, bottom.lr))
    return made


def draw_valleys(ax: Axes, info: LengthInfo) -> Axes:
    """The final loss of each trial against its peak LR, one colour a length, with the valleys fitted.

    One looks at it to see whether each length's best LR lies between LRs that were tried, and moves to the left.
    """
    frame(ax)
    every = [float(lr) for one in info.valleys for lr in one.lr]
    lr_axis(ax, *lr_limits([*every, info.lr]))
    bottom, top = _loss_limits(info)
    linear_axis(ax.yaxis, bottom, top)
    for one, colour in zip(info.valleys, _colours(info), strict=True):
        shown = one.loss <= top
        ax.plot(one.lr[shown], one.loss[shown], color=colour, zorder=4, **_TRIAL)
        if not shown.all():  # an empty line that isn't clipped would take the figure's corner for its place
            edge = np.full(int((~shown).sum()), top - 0.02 * (top - bottom))
            ax.plot(one.lr[~shown], edge, color=colour, zorder=3, clip_on=False, **_LOST)
        inside = one.curve_loss <= top
        ax.plot(one.curve_lr[inside], one.curve_loss[inside], color=colour, linewidth=1.4, zorder=3)
    ax.axvline(info.lr, color=VERMILLION, linewidth=1.4, zorder=2)
    name_axes(ax, x="Peak learning rate", y=f"Final {info.judged_by}")
    return ax


def draw_law(ax: Axes, info: LengthInfo) -> Axes:
    """The best LR against the length: of each length tried, and the law with its interval up to the planned length.

    One looks at it to see whether the bottoms lie on a line, and how far beyond them the planned length is.
    """
    frame(ax)
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.fill_between(info.law_steps, info.law_low, info.law_high, zorder=1, **_BAND)
    ax.plot(info.law_steps, info.law_lr, zorder=2, **_LAW)
    for one, colour in zip(info.valleys, _colours(info), strict=True):
        if one.best is not None:
            ax.plot([one.steps], [one.best], color=colour, zorder=4, marker="o", markersize=6, linestyle="")
    ax.plot([info.steps] * 2, [info.low, info.high], zorder=3, **{**_ANSWER, "marker": "_"})
    ax.plot([info.steps], [info.lr], zorder=5, **_ANSWER)
    ticks = [*(one.steps for one in info.valleys), info.steps]
    ax.set_xticks(ticks)
    ax.xaxis.set_major_formatter(FuncFormatter(lambda steps, _: f"{steps:,.0f}"))
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.yaxis.set_major_formatter(FuncFormatter(lambda lr, _: lr_label(lr)))
    ax.yaxis.set_minor_formatter(NullFormatter())
    name_axes(ax, x="Steps of the training", y="Best peak LR")
    return ax


def length_figure(info: LengthInfo) -> Figure:
    """The whole figure of a ladder, 11 inches wide."""
    figure = new_figure(11.0, 4.8, title=info.title, subtitle=info.subtitle)
    left, right = figure.subplots(1, 2)
    draw_valleys(left, info)
    label_above(left, info.lr, f"for {info.steps:,} steps {lr_label(info.lr)}")
    draw_law(right, info)
    samples = [
        Sample(Line2D([], [], color=colour, **{**_TRIAL, "linestyle": "-"}), f"{one.steps:,} steps")
        for one, colour in zip(info.valleys, _colours(info), strict=True)
    ]
    samples.append(Sample(Line2D([], [], **_LAW), "law"))
    samples.append(Sample(Patch(**_BAND), "95% interval"))
    if lost := _lost(info):
        samples.append(Sample(Line2D([], [], color="#8C8C8C", **_LOST), lost))
    legend_below(figure, samples)
    return figure


def _lost(info: LengthInfo) -> str:
    """What has become of the trials that are drawn at the upper edge; empty where there are none."""
    top = _loss_limits(info)[1]
    losses = np.concatenate([one.loss for one in info.valleys]) if info.valleys else np.array([])
    kinds = {"above the axis": np.isfinite(losses) & (losses > top), "given up": ~np.isfinite(losses)}
    return " or ".join(name for name, these in kinds.items() if these.any())


def _colours(info: LengthInfo) -> list[str]:
    return [RUN_COLOURS[place % len(RUN_COLOURS)] for place in range(len(info.valleys))]


def _loss_limits(info: LengthInfo) -> tuple[float, float]:
    """From below the lowest loss to as far above the highest bottom as the bottoms differ."""
    kept = [float(loss) for one in info.valleys for loss in one.loss if math.isfinite(loss)]
    least, most = min(kept, default=0.0), max(kept, default=1.0)
    bottoms = [float(one.loss.min()) for one in info.valleys if np.isfinite(one.loss).any()]
    top = min(
        most, max(bottoms, default=most) + 1.0 * ((max(bottoms, default=1.0) - least) or (most - least))
    )
    span = (top - least) or 1.0
    return least - 0.08 * span, top + 0.08 * span
