"""The figure of a verification: the loss over the peak LRs tried, with the suggestions and the plan's LR."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from steadylr.core.curve import FloatArray, frozen_array
from steadylr.present.figures._drawing import (
    BLUE,
    GREEN,
    SKY,
    SOFT_INK,
    VERMILLION,
    Sample,
    frame,
    label_above,
    legend_below,
    linear_axis,
    lr_axis,
    lr_label,
    name_axes,
    new_figure,
)
from steadylr.words.verification import verification_summary

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from steadylr.core.verification import Verification

_MEAN: dict[str, Any] = {
    "color": BLUE,
    "linewidth": 1.8,
    "marker": "o",
    "markersize": 6,
    "markeredgecolor": "white",
}
_ONE: dict[str, Any] = {
    "color": SKY,
    "linestyle": "none",
    "marker": "o",
    "markersize": 4.5,
    "markeredgecolor": "white",
    "markeredgewidth": 0.5,
}
_GIVEN_UP: dict[str, Any] = {
    "color": SOFT_INK,
    "linestyle": "none",
    "marker": "^",
    "markersize": 6,
    "markeredgewidth": 0,
}
_CHOSEN: dict[str, Any] = {"color": VERMILLION, "linewidth": 1.8}
_ENDS: dict[str, Any] = {"color": VERMILLION, "linewidth": 1.1, "linestyle": (0, (2, 2))}
_MOVE_TO: dict[str, Any] = {"color": BLUE, "linewidth": 1.8, "linestyle": (0, (6, 2))}
_INITIAL: dict[str, Any] = {"color": SOFT_INK, "linewidth": 1.0, "linestyle": (0, (4, 3))}
_GOOD: dict[str, Any] = {"facecolor": GREEN, "alpha": 0.12, "linewidth": 0}


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
    verification: Verification, *, title: str = "", judged_by: str = "validation loss"
) -> VerificationInfo:
    """Gather what the figure of a verification shows."""
    learned = verification.descent > 0
    low, chosen, high = verification.suggested.lrs
    return VerificationInfo(
        lr=np.array([tried.lr for tried in verification.tried]),
        losses=np.array([tried.losses for tried in verification.tried]).T,
        mean=np.array([tried.loss for tried in verification.tried]),
        low=low,
        chosen=chosen,
        high=high,
        bound=verification.best.loss + verification.tolerance * verification.descent if learned else None,
        initial_loss=verification.initial_loss,
        move_to=verification.move_to,
        title=title,
        subtitle=verification_summary(verification),
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
    linear_axis(ax.yaxis, bottom, top)
    if info.bound is not None:
        ax.axhspan(bottom, info.bound, zorder=0.5, **_GOOD)
    ax.axhline(info.initial_loss, zorder=1.2, **_INITIAL)
    for lr in {info.low, info.high} - {info.chosen}:
        ax.axvline(lr, zorder=1.5, **_ENDS)
    ax.axvline(info.chosen, zorder=1.6, **_CHOSEN)
    if info.move_to is not None:
        ax.axvline(info.move_to, zorder=1.6, **_MOVE_TO)
    for row in info.losses:
        kept = np.isfinite(row) & (row <= top)  # one above the axis is shown as given up: it counts as that
        ax.plot(info.lr[kept], row[kept], zorder=5, **_ONE)
        if not kept.all():
            edge = np.full(int((~kept).sum()), top - 0.02 * (top - bottom))
            ax.plot(info.lr[~kept], edge, zorder=3, clip_on=False, **_GIVEN_UP)
    ax.plot(info.lr, info.mean, zorder=4, **_MEAN)
    name_axes(ax, x="Peak learning rate", y=f"Final {info.judged_by}")
    return ax


def verification_figure(info: VerificationInfo) -> Figure:
    """The whole figure of a verification, 8 inches wide."""
    figure = new_figure(8.0, 4.8, title=info.title, subtitle=info.subtitle)
    ax = draw_verification(figure.add_subplot(), info)
    label_above(ax, info.chosen, f"plan's LR {lr_label(info.chosen)}")
    legend_below(figure, _legend(info))
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


def _legend(info: VerificationInfo) -> list[Sample]:
    shown = (
        (True, Line2D([], [], **_MEAN), "mean over seeds"),
        (True, Line2D([], [], **_ONE), "one training"),
        (True, Line2D([], [], **_CHOSEN), "plan's LR"),
        (
            info.low < info.chosen or info.chosen < info.high,
            Line2D([], [], **_ENDS),
            "lowest and highest suggestion",
        ),
        (info.move_to is not None, Line2D([], [], **_MOVE_TO), f"move to {lr_label(info.move_to or 0.0)}"),
        (info.bound is not None, Patch(**_GOOD), "losses of good LRs"),
        (info.initial_loss <= _loss_limits(info)[1], Line2D([], [], **_INITIAL), "before training"),
        (not np.isfinite(info.losses).all(), Line2D([], [], **_GIVEN_UP), "given up"),
    )
    return [Sample(drawn, name) for there, drawn, name in shown if there]
