"""The figure of a plan: the LR over a OneCycle training, and how far the range of LRs moves it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from matplotlib.ticker import MaxNLocator

from steadylr.core.curve import FloatArray, frozen_array
from steadylr.present.figures._drawing import (
    BLUE,
    SMALL_SIZE,
    TEXT_SIZE,
    VERMILLION,
    axes_at,
    font,
    frame,
    heading_of,
    lr_axis,
    lr_ticks,
    name_axes,
    new_figure,
    set_ticks,
    widest,
)
from steadylr.present.numbers import format_lr, format_lr_range

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
    """LR on a log axis over the training: its start, peak and end, and the band that the range makes of it.

    One looks at it to see what the schedule does when, and how far low and high would move it.
    """
    frame(ax)
    lr_axis(ax, *_limits(info), axis="y")
    x = info.share * (1 if info.total_steps is None else info.total_steps - 1)
    ax.set_xlim(-0.015 * x[-1], 1.015 * x[-1])
    if info.low is not None and info.high is not None:
        below, above = info.lr * (info.low / info.peak_lr), info.lr * (info.high / info.peak_lr)
        ax.fill_between(x, below, above, color=VERMILLION, alpha=0.15, linewidth=0, zorder=1)
    ax.plot(x, info.lr, color=BLUE, linewidth=2.2, solid_capstyle="round", zorder=3)
    _write_lrs(ax, info, x)
    _share_axis(ax, info.total_steps)
    name_axes(ax, x="Share of the training" if info.total_steps is None else "Step", y="Learning rate")
    return ax


def plan_figure(info: PlanInfo) -> Figure:
    """The whole figure of a plan, 8 inches wide."""
    width, panel, right, bottom = 8.0, 2.9, 0.3, 0.62
    heading = heading_of(info.title, info.subtitle, width - 0.5)
    top = 0.25 + heading.height
    figure = new_figure(width, top + panel + bottom)
    left = max(0.85, widest(lr_ticks(*_limits(info), room=panel, upright=True)[1], SMALL_SIZE) + 0.5)
    heading.write(figure, left=0.25)
    draw_plan(axes_at(figure, left, bottom, width - left - right, panel), info)
    return figure


def _limits(info: PlanInfo) -> tuple[float, float]:
    """Room for the text above the peak and below the ends."""
    low, high = info.low or info.peak_lr, info.high or info.peak_lr
    least = float(info.lr.min()) * min(1.0, low / info.peak_lr)
    most = float(info.lr.max()) * max(1.0, high / info.peak_lr)
    room = (most / least) ** 0.06
    return least / room, most * room**4


def _write_lrs(ax: Axes, info: PlanInfo, x: FloatArray) -> None:
    peak = int(info.lr.argmax())
    low, high = info.low or info.peak_lr, info.high or info.peak_lr
    peak_text = f"peak {format_lr(info.peak_lr)}"
    share = float(info.share[peak])
    side, nudge = ("left", -3) if share < 0.25 else ("right", 3) if share > 0.75 else ("center", 0)
    # Below the start and left of the end the band leaves room only outside of what low makes of the schedule.
    drop = low / info.peak_lr
    for place, at, text, offset, sides, colour in (
        (0, info.lr[0] * drop, f"start {format_lr(float(info.lr[0]))}", (3, -6), ("left", "top"), BLUE),
        (peak, info.lr[peak] * high / info.peak_lr, peak_text, (nudge, 20), (side, "baseline"), BLUE),
        (-1, info.lr[-1], f"end {format_lr(float(info.lr[-1]))}", (-9, 0), ("right", "center"), BLUE),
    ):
        ax.annotate(
            text,
            xy=(float(x[place]), float(at)),
            xytext=offset,
            textcoords="offset points",
            ha=sides[0],
            va=sides[1],
            zorder=5,
            **font(TEXT_SIZE, colour, "bold"),
        )
        ax.plot(
            [x[place]],
            [info.lr[place]],
            marker="o",
            markersize=6.5,
            markerfacecolor=BLUE,
            markeredgecolor="white",
            markeredgewidth=1.0,
            linestyle="none",
            clip_on=False,
            zorder=4,
        )
    if info.low is not None and info.high is not None:
        ax.annotate(
            f"range of the peak {format_lr_range(info.low, info.high)}",
            xy=(float(x[peak]), float(info.lr[peak] * high / info.peak_lr)),
            xytext=(nudge, 6),
            textcoords="offset points",
            ha=side,
            va="baseline",
            **font(SMALL_SIZE, "#A63C00"),
        )


def _share_axis(ax: Axes, total_steps: int | None) -> None:
    if total_steps is None:
        shares = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
        set_ticks(ax, "x", shares, [f"{share:.0%}" for share in shares])
        return
    ticks = MaxNLocator(7, integer=True).tick_values(0, total_steps - 1)
    steps = [float(step) for step in ticks if 0 <= step <= total_steps - 1]
    set_ticks(ax, "x", steps, [f"{step:,.0f}" for step in steps])
