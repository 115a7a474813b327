"""How a curve is read: everything that is analysis only and never changes what is trained."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Literal, get_args

from steadylr.core.arguments import check_numbers, check_whole

Smoother = Literal["local_linear", "ema"]


@dataclass(frozen=True, slots=True)
class Reading:
    """The analysis settings with which the rules read a curve.

    Args:
        smooth_f: the share of the planned num_iter points that one smoothed point sees, in [0, 1); 0 is off,
            larger is smoother. (In torch-lr-finder smooth_f is the weight of the newest loss: the opposite.)
        smoother: "local_linear" (centred, no lag) or "ema" (torch-lr-finder's, lags behind).
        ema_weight: for "ema" only: the weight of the newest loss, in (0, 1].
        skip_start: points left out at the start, at least 0.
        skip_end: points left out at the end, at least 0.

    Raises:
        ValueError: an argument outside its range; the message names it.
    """

    smooth_f: float = 0.05
    smoother: Smoother = "local_linear"
    ema_weight: float = 0.05
    skip_start: int = 10
    skip_end: int = 5

    def __post_init__(self) -> None:
        check_numbers(smooth_f=self.smooth_f, ema_weight=self.ema_weight)
        check_whole(skip_start=self.skip_start, skip_end=self.skip_end)
        if not (math.isfinite(self.smooth_f) and 0 <= self.smooth_f < 1):
            raise ValueError(
                "smooth_f must be in [0, 1): the share of the curve that one smoothed point sees; "
                f"got {self.smooth_f!r}"
            )
        if self.smoother not in get_args(Smoother):
            raise ValueError(f"smoother must be one of {get_args(Smoother)}; got {self.smoother!r}")
        if not 0 < self.ema_weight <= 1:
            raise ValueError(f"ema_weight must be in (0, 1]; got {self.ema_weight!r}")
        for name in ("skip_start", "skip_end"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be at least 0; got {getattr(self, name)!r}")


READING_KEYS = (*(setting.name for setting in fields(Reading)), "rule")
"""All that says how a curve is read: the settings, and which rule counts."""
