"""The curve: the raw (lr, loss) pairs of one run, never smoothed."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import Enum

import numpy as np
import numpy.typing as npt

from steadylr.core.arguments import check_whole

FloatArray = npt.NDArray[np.float64]


class Stop(str, Enum):
    """Why a run ended."""

    COMPLETED = "completed"  # the ramp reached end_lr
    DIVERGED = "diverged"  # the stop rule saw the loss climb far above its start
    NON_FINITE = "non_finite"  # the loss became NaN or infinite


def frozen_array(values: npt.ArrayLike) -> FloatArray:
    """A float64 copy of values that can't be written to."""
    array = np.array(values, dtype=np.float64)
    array.setflags(write=False)
    return array


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """The raw losses of one range test against the LR that each step used.

    Args:
        lr: shape (n,), n >= 1, finite, above 0, strictly rising. Copied and made read-only.
        loss: shape (n,); may hold NaN and infinities (then the run went there). Copied and made read-only.
        num_iter: points that the ramp was planned to have, at least n: a run that stopped early has fewer.
            Spans of smoothing are shares of this number, so that stopping early changes no span.
        stop: why the run ended.
        steps_per_point: optimizer steps from one point to the next, at least 1; more for a validation curve.

    Raises:
        ValueError: arrays of other shapes, an LR that is not positive or does not rise, num_iter below n,
            steps_per_point below 1.
    """

    lr: FloatArray
    loss: FloatArray
    num_iter: int
    stop: Stop = Stop.COMPLETED
    steps_per_point: int = 1

    def __repr__(self) -> str:
        first, last = float(self.lr[0]), float(self.lr[-1])
        return f"Curve({len(self.lr)} of {self.num_iter} points, LR {first:.3g} to {last:.3g}, {self.stop.value})"

    def __post_init__(self) -> None:
        check_whole(num_iter=self.num_iter, steps_per_point=self.steps_per_point)
        object.__setattr__(self, "lr", frozen_array(self.lr))
        object.__setattr__(self, "loss", frozen_array(self.loss))
        object.__setattr__(self, "stop", Stop(self.stop))
        if self.lr.ndim != 1 or self.lr.shape != self.loss.shape or self.lr.size == 0:
            raise ValueError(
                "lr and loss must be one-dimensional, equally long and not empty; "
                f"got shapes {self.lr.shape} and {self.loss.shape}"
            )
        bad = np.flatnonzero(~(np.isfinite(self.lr) & (self.lr > 0)))
        if bad.size:
            raise ValueError(f"lr must be finite and above 0; got {self.lr[bad[0]]} at point {bad[0]}")
        falls = np.flatnonzero(np.diff(self.lr) <= 0)
        if falls.size:
            i = int(falls[0])
            raise ValueError(
                f"lr must rise from point to point; got {self.lr[i]} then {self.lr[i + 1]} at point {i + 1}"
            )
        if self.num_iter < self.lr.size:
            raise ValueError(
                f"num_iter must be at least the {self.lr.size} points given; got {self.num_iter}"
            )
        if self.steps_per_point < 1:
            raise ValueError(f"steps_per_point must be at least 1; got {self.steps_per_point}")

    def __len__(self) -> int:
        return int(self.lr.size)

    @property
    def log10_lr(self) -> FloatArray:
        """log10 of the LRs, shape (n,)."""
        return np.log10(self.lr)

    def digest(self) -> str:
        """SHA-256 of the numbers: equal for curves that are bit for bit the same."""
        content = hashlib.sha256(self.lr.tobytes())
        content.update(self.loss.tobytes())
        return content.hexdigest()
