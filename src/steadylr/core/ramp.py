"""The ramp: how the learning rate rises inside one run."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from steadylr.core.arguments import check_numbers, check_whole

StepMode = Literal["exp", "linear"]
_LEAST_PART = 2


@dataclass(frozen=True, slots=True)
class Ramp:
    """A learning rate that rises from start_lr to end_lr in num_iter points, both ends included.

    With N = num_iter and step i from 0 to N - 1:

        exp:     lr(i) = start_lr * (end_lr / start_lr) ** (i / (N - 1))
        linear:  lr(i) = start_lr + (end_lr - start_lr) * i / (N - 1)

    Args:
        start_lr: LR of the first step, finite and above 0.
        end_lr: LR of the last step, finite and above start_lr.
        num_iter: number of optimizer steps N, at least 2.
        step_mode: "exp" (equal factors) or "linear" (equal differences).
        part: which of its steps are done, from the first up to but without the last, at least 2; None: all of them.
            See within.

    Raises:
        ValueError: an argument outside its range; the message names it.

    Reference: L. N. Smith, "Cyclical learning rates for training neural networks" (2015),
    https://arxiv.org/abs/1506.01186 (the linear LR range test).
    """

    start_lr: float = 1e-7
    end_lr: float = 10.0
    num_iter: int = 1000
    step_mode: StepMode = "exp"
    part: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        check_numbers(start_lr=self.start_lr, end_lr=self.end_lr)
        check_whole(num_iter=self.num_iter)
        for name in ("start_lr", "end_lr"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"{name} must be a finite number above 0; got {value!r}")
        if self.start_lr >= self.end_lr:
            raise ValueError(
                f"start_lr must be below end_lr; got start_lr={self.start_lr!r}, end_lr={self.end_lr!r}"
            )
        if self.num_iter < 2:
            raise ValueError(f"num_iter must be at least 2 (the two ends of the ramp); got {self.num_iter!r}")
        if (
            self.part is not None
            and not 0 <= self.part[0] <= self.part[1] - _LEAST_PART <= self.num_iter - _LEAST_PART
        ):
            raise ValueError(
                f"part must be at least {_LEAST_PART} of the {self.num_iter} steps, first and last; got {self.part!r}"
            )
        if self.step_mode not in get_args(StepMode):
            raise ValueError(f"step_mode must be one of {get_args(StepMode)}; got {self.step_mode!r}")

    def lr_at(self, step: int) -> float:
        """The LR of one step, 0 <= step < num_iter; exactly start_lr and end_lr at the ends."""
        if not 0 <= step < self.num_iter:
            raise ValueError(f"step must be from 0 to {self.num_iter - 1}; got {step!r}")
        if step == self.num_iter - 1:
            return self.end_lr
        share = step / (self.num_iter - 1)
        if self.step_mode == "exp":
            return self.start_lr * math.pow(self.end_lr / self.start_lr, share)
        return self.start_lr + (self.end_lr - self.start_lr) * share

    @property
    def steps(self) -> range:
        """The steps that are done."""
        return range(*(self.part or (0, self.num_iter)))

    def lrs(self) -> npt.NDArray[np.float64]:
        """The LRs of the steps that are done, shape (len(steps),), strictly rising; of step i lr_at(i)."""
        return np.array([self.lr_at(step) for step in self.steps])

    def within(self, low: float, high: float) -> Ramp:
        """The part of the whole ramp whose LRs lie from low to high; the whole where that is less than 2 steps."""
        lrs = replace(self, part=None).lrs()
        first, last = int(np.searchsorted(lrs, low)), int(np.searchsorted(lrs, high, side="right"))
        is_part = last - first >= _LEAST_PART and (first, last) != (0, self.num_iter)
        return replace(self, part=(first, last) if is_part else None)
