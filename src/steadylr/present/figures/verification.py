"""The figure of a verification: the loss over the peak LRs tried, with the suggestions and the plan's LR."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from steadylr.core.curve import FloatArray, frozen_array
from steadylr.present.figures._drawing import (
    BLUE,
    GREEN,
    SKY,
    SMALL_SIZE,
    SOFT_INK,
    TEXT_SIZE,
    VERMILLION,
    axes_at,
    font,
    frame,
    heading_of,
    legend_below,
    legend_height,
    loss_axis,
    loss_ticks,
    lr_axis,
    name_axes,
    new_figure,
    widest,
)
from steadylr.present.numbers import format_lr
from steadylr.words.verification import verification_summary

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from steadylr.core.verification import Verification

WIDTH, PANEL = 8.0, 3.6


@dataclass(frozen=True, slots=True, eq=False)
class VerificationInfo:
    """All that the figure of a verification shows.

    Args:
        lr: peak LRs tried, shape (n,), rising.
        losses: final losses, shape (seeds, n); infinite where a training was given up.
        mean: shape (n,): their means, each counted as at most the initial loss.
        low, chosen, high: the lowest suggestion, the peak of the plan and the highest suggestion.
        bound: the largest loss of a good LR, or None where nothing was learned.
        initial_loss: the loss before training.
        move_to: the LR to take instead of the chosen one, or None.
        title: which model and data, and how long the trainings were.
        subtitle: the sentence.
        judged_by: what the losses are: "validation loss".

    Raises:
        ValueError: arrays that don't fit one another.
    """

    lr: FloatArray
    losses: FloatArray
    mean: FloatArray
    low: float
    chosen: float
    high: float
    bound: float | None
    initial_loss: float
    move_to: float | None = None
    title: str = ""
    subtitle: str = ""
    judged_by: str = "validation loss"

    def __post_init__(self) -> None:
        for name in ("lr", "losses", "mean"):
            object.__setattr__(self, name, frozen_array(getattr(self, name)))
        n = self.lr.size
        if n == 0 or self.mean.shape != (n,) or self.losses.ndim != 2 or self.losses.shape[1] != n:
            raise ValueError(
                f"mean must have the shape ({n},) and losses (seeds, {n}), one entry for each LR; "
                f"got {self.mean.shape} and {self.losses.shape}"
            )


def verification_info(
    found: Verification, *, title: str = "", judged_by: str = "validation loss"
) -> VerificationInfo:
    """Gather what the figure of a verification shows."""
    learned = found.descent > 0
    low, chosen, high = found.suggested.lrs
    return VerificationInfo(
        lr=np.array([tried.lr for tried in found.tried]),
        losses=np.array([tried.losses for tried in found.tried]).T,
        mean=np.array([tried.loss for tried in found.tried]),
        low=low,
        chosen=chosen,
        high=high,
        bound=found.best.loss + found.tolerance * found.descent if learned else None,
        initial_loss=found.initial_loss,
        move_to=found.move_to,
        title=title,
        subtitle=verification_summary(found),
        judged_by=judged_by,
    )


def draw_verification(ax: Axes, info: VerificationInfo) -> Axes:
    """The final loss of each training against its peak LR, their means as a line, and the suggestions as lines.

    One looks at it to see whether the suggestions lie in the flat part of the valley, how much the seeds differ there,
    and where the plan's LR would better be. Trainings that were given up stand at the upper edge as triangles.
    """
    frame(ax)
    lr_axis(ax, *_lr_limits(info))
    bottom, top = _loss_limits(info)
    loss_axis(ax, bottom, top)
    if info.bound is not None:
        ax.axhspan(bottom, info.bound, color=GREEN, alpha=0.10, linewidth=0, zorder=0.5)
    ax.axhline(info.initial_loss, color=SOFT_INK, linewidth=1.0, linestyle=(0, (4, 3)), zorder=1.2)
    for lr in {info.low, info.high} - {info.chosen}:
        ax.axvline(lr, color=VERMILLION, linewidth=1.1, linestyle=(0, (2, 2)), zorder=1.5)
    ax.axvline(info.chosen, color=VERMILLION, linewidth=1.8, zorder=1.6)
    for row in info.losses:
        kept = np.isfinite(row) & (row <= top)  # one above the axis is shown as given up: it counts as that
        ax.scatter(info.lr[kept], row[kept], s=20, color=SKY, edgecolors="white", linewidths=0.5, zorder=3)
        edge = np.full(int((~kept).sum()), top - 0.02 * (top - bottom))
        ax.scatter(
            info.lr[~kept], edge, s=34, marker="^", color=SOFT_INK, linewidths=0, zorder=3, clip_on=False
        )
    ax.plot(
        info.lr,
        info.mean,
        color=BLUE,
        linewidth=1.8,
        marker="o",
        markersize=6,
        markeredgecolor="white",
        zorder=4,
    )
    if info.move_to is not None:
        ax.annotate(
            f"move to {format_lr(info.move_to)}",
            xy=(info.move_to, float(info.mean[int(np.argmin(np.abs(info.lr - info.move_to)))])),
            xytext=(0, -14),
            textcoords="offset points",
            ha="center",
            va="top",
            zorder=5,
            **font(TEXT_SIZE, BLUE, "bold"),
        )
    name_axes(ax, x="Peak learning rate", y=f"Final {info.judged_by}")
    return ax


def verification_figure(info: VerificationInfo) -> Figure:
    """The whole figure of a verification, 8 inches wide."""
    heading = heading_of(info.title, info.subtitle, WIDTH - 0.5)
    handles, names = _legend(info)
    top, bottom = 0.2 + heading.height + 0.3, 0.62 + legend_height(names, WIDTH)
    figure = new_figure(WIDTH, top + PANEL + bottom)
    heading.write(figure, left=0.25)
    left = max(0.8, widest(loss_ticks(*_loss_limits(info))[1], SMALL_SIZE) + 0.55)
    ax = draw_verification(axes_at(figure, left, bottom, WIDTH - left - 0.3, PANEL), info)
    ax.annotate(
        f"plan's LR {format_lr(info.chosen)}",
        xy=(info.chosen, 1.0),
        xycoords=("data", "axes fraction"),
        xytext=(0, 5),
        textcoords="offset points",
        ha="center",
        va="bottom",
        **font(TEXT_SIZE, VERMILLION, "bold"),
    )
    legend_below(figure, handles, names)
    return figure


def _lr_limits(info: VerificationInfo) -> tuple[float, float]:
    low, high = float(info.lr[0]), float(info.lr[-1])
    room = max((high / low) ** 0.06, 1.3)
    return low / room, high * room


def _loss_limits(info: VerificationInfo) -> tuple[float, float]:
    """From below the lowest loss to above the loss before training, which the worst trainings count as."""
    kept = info.losses[np.isfinite(info.losses)]
    least = min([*kept.tolist(), float(info.mean.min())])
    most = max(float(info.mean.max()), *(loss for loss in kept.tolist() if loss <= info.initial_loss), least)
    span = (most - least) or 0.1 * abs(least) or 1.0
    # The line of the loss before training is drawn where it doesn't flatten the valley.
    top = info.initial_loss if info.initial_loss - least < 4 * span else most
    return least - 0.14 * span, max(top, most) + 0.08 * max(span, top - least)


def _legend(info: VerificationInfo) -> tuple[list[Line2D | Patch], list[str]]:
    handles: list[Line2D | Patch] = [
        Line2D([], [], color=BLUE, linewidth=1.8, marker="o", markersize=6),
        Line2D([], [], color=SKY, linestyle="none", marker="o", markersize=4.5),
        Line2D([], [], color=VERMILLION, linewidth=1.8),
    ]
    names = ["mean over seeds", "one training", "plan's LR"]
    if info.low < info.chosen or info.chosen < info.high:
        handles.append(Line2D([], [], color=VERMILLION, linewidth=1.1, linestyle=(0, (2, 2))))
        names.append("lowest and highest suggestion")
    if info.bound is not None:
        handles.append(Patch(facecolor=GREEN, alpha=0.2, linewidth=0))
        names.append("good")
    if info.initial_loss <= _loss_limits(info)[1]:
        handles.append(Line2D([], [], color=SOFT_INK, linewidth=1.0, linestyle=(0, (4, 3))))
        names.append("before training")
    if not np.isfinite(info.losses).all():
        handles.append(Line2D([], [], color=SOFT_INK, linestyle="none", marker="^", markersize=6))
        names.append("given up")
    return handles, names
