"""The figure of a plan: the LR over a OneCycle training, and how far the range of LRs moves it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from matplotlib.ticker import MaxNLocator, PercentFormatter, StrMethodFormatter

from steadylr.core.curve import FloatArray, frozen_array
from steadylr.present.figures._drawing import (
    BLUE,
    TEXT_SIZE,
    VERMILLION,
    font,
    frame,
    label_above,
    linear_axis,
    lr_label,
    name_axes,
    new_figure,
    range_label,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from steadylr.core.onecycle import Plan


@dataclass(frozen=True, slots=True, eq=False)
class PlanInfo:
    """All that the figure of a plan shows.

    Args:
        share: share of the training, shape (n,), rising from 0 to 1.
        lr: LR there, shape (n,), above 0.
        peak_lr: the highest LR.
        low: lowest peak of the range, or None.
        high: highest peak of the range, or None.
        total_steps: optimizer steps of the training, or None when not known: the axis then shows shares.
        title: whose plan it is.
        subtitle: one more line, or empty.

    Raises:
        ValueError: share and lr of different lengths, or empty.
    """

    share: FloatArray
    lr: FloatArray
    peak_lr: float
    low: float | None = None
    high: float | None = None
    total_steps: int | None = None
    title: str = "OneCycle plan"
    subtitle: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "share", frozen_array(self.share))
        object.__setattr__(self, "lr", frozen_array(self.lr))
        if self.share.shape != self.lr.shape or self.lr.size == 0:
            raise ValueError(
                f"share and lr must be equally long and not empty; "
                f"got {self.share.size} and {self.lr.size} points"
            )


def plan_info(plan: Plan, *, title: str = "OneCycle plan", subtitle: str = "") -> PlanInfo:
    """Gather what the figure of a plan shows."""
    share, lr = plan.lr_curve(401)
    return PlanInfo(
        share=share,
        lr=lr,
        peak_lr=plan.max_lr,
        low=plan.low,
        high=plan.high,
        total_steps=plan.total_steps,
        title=title,
        subtitle=subtitle,
    )


def draw_plan(ax: Axes, info: PlanInfo) -> Axes:
    """LR over the training: its start, peak and end, and the band that the range makes of it.

    One looks at it to see what the schedule does when, and how far low and high would move it. The LR axis is
    linear, so that one sees how much of the training runs near the peak.
    """
    frame(ax)
    x = info.share * (1 if info.total_steps is None else info.total_steps - 1)
    ax.set_xlim(-0.015 * x[-1], 1.015 * x[-1])
    most = max(float(info.lr.max()), info.high or 0.0)
    linear_axis(ax.yaxis, -0.14 * most, 1.06 * most)  # below zero stand the LRs of start and end
    if info.low is not None and info.high is not None:
        below, above = info.lr * (info.low / info.peak_lr), info.lr * (info.high / info.peak_lr)
        ax.fill_between(x, below, above, color=VERMILLION, alpha=0.22, linewidth=0, zorder=1)
    ax.plot(x, info.lr, color=BLUE, linewidth=2.2, solid_capstyle="round", zorder=3)
    peak = int(info.lr.argmax())
    places = [0, peak, -1]
    ax.plot(
        x[places],
        info.lr[places],
        "o",
        color=BLUE,
        markersize=6.5,
        markeredgecolor="white",
        clip_on=False,
        zorder=4,
    )
    for place, name, side in ((0, "start", "left"), (-1, "end", "right")):
        ax.annotate(
            f"{name} {lr_label(float(info.lr[place]))}",
            xy=(float(x[place]), float(info.lr[place])),
            xytext=(0, -6),
            textcoords="offset points",
            ha=side,
            va="top",
            zorder=5,
            **font(TEXT_SIZE, BLUE, "bold"),
        )
    between = (
        ""
        if info.low is None or info.high is None
        else f"range of the peak {range_label(info.low, info.high)}"
    )
    label_above(ax, float(x[peak]), f"peak {lr_label(info.peak_lr)}", between, colour=BLUE)
    ax.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10], integer=info.total_steps is not None))
    ax.xaxis.set_major_formatter(
        PercentFormatter(1.0) if info.total_steps is None else StrMethodFormatter("{x:,.0f}")
    )
    name_axes(ax, x="Share of the training" if info.total_steps is None else "Step", y="Learning rate")
    return ax


def plan_figure(info: PlanInfo) -> Figure:
    """The whole figure of a plan, 8 inches wide."""
    figure = new_figure(8.0, 3.9, title=info.title, subtitle=info.subtitle)
    draw_plan(figure.add_subplot(), info)
    return figure
