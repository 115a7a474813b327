"""The mean curve: what several runs say together where too few of them have an LR of their own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from steadylr.core.consensus import Consensus
from steadylr.core.curve import Curve, Stop
from steadylr.core.log10 import geometric_mean
from steadylr.core.rules import suggest
from steadylr.core.settings import Reading

_WORST_FIRST = (Stop.NON_FINITE, Stop.DIVERGED, Stop.COMPLETED)


@dataclass(frozen=True, slots=True, eq=False)
class MeanReading:
    """What a rule reads off the mean curve of several runs.

    Attributes:
        num_runs: whose curves the mean is of, at least two.
        curve: the mean.
        lr: the LR; where the curves were read in several ways the geometric mean over those that give one.
        low, high: of the rule's bracket, likewise; lr itself with a rule that gives none.
    """

    num_runs: int
    curve: Curve
    lr: float
    low: float
    high: float

    @property
    def name(self) -> str:
        """What it is called: "mean curve of 3 runs"."""
        return f"mean curve of {self.num_runs} runs"


def is_wanted(consensus: Consensus) -> bool:
    """Whether so few runs have an LR that their mean curve is read: of at least two, fewer than half."""
    return consensus.num_runs >= 2 and 2 * consensus.n < consensus.num_runs


def mean_curve(curves: Sequence[Curve]) -> Curve | None:
    """The mean loss of runs along one ramp at each LR, from where all have begun to where the first of them ends.

        loss(lr) = 1 / n  sum over the runs i of loss_i(lr)

    Beyond that end a mean would be of other runs, and jump. So it ends there, and as that run did: where one has
    diverged, so has the mean. Of runs that end at one LR one whose loss was not finite counts before one that diverged,
    and that before one that went on. The order of the runs changes no bit.

    Args:
        curves: of distinct runs.

    Returns:
        None for fewer than two curves, and for curves along different ramps.
    """
    if len(curves) < 2:
        return None
    begin, end = max(curve.lr[0] for curve in curves), min(curve.lr[-1] for curve in curves)
    ramps = {(curve.num_iter, curve.steps_per_point) for curve in curves}
    parts = [(curve.lr >= begin) & (curve.lr <= end) for curve in curves]
    lr = curves[0].lr[parts[0]]
    if (
        len(ramps) > 1
        or not lr.size
        or any(not np.array_equal(curve.lr[part], lr) for curve, part in zip(curves, parts, strict=True))
    ):
        return None
    losses = [curve.loss[part] for curve, part in zip(curves, parts, strict=True)]
    with np.errstate(invalid="ignore"):  # infinities of both signs have no mean
        loss = np.sort(losses, axis=0).mean(axis=0)
    ends = {curve.stop for curve in curves if curve.lr[-1] == end}
    stop = next(stop for stop in _WORST_FIRST if stop in ends)
    return Curve(lr, loss, curves[0].num_iter, stop, curves[0].steps_per_point)


def read_mean_curve(curves: Sequence[Curve], rule: str, ways: Iterable[Reading]) -> MeanReading | None:
    """Read the mean curve of several runs with one rule, in as many ways as the runs themselves were read.

    Args:
        curves: of distinct runs.
        rule: a name in RULES.
        ways: the reading settings.

    Returns:
        None where there is no mean curve, or none of the ways gives an LR.

    Raises:
        ValueError: an unknown rule.
    """
    curve = mean_curve(curves)
    if curve is None:
        return None
    told = [suggest(curve, rule, reading=way) for way in ways]
    ends = [(one.low or one.lr, one.lr, one.high or one.lr) for one in told if one.lr is not None]
    if not ends:
        return None
    low, lr, high = (geometric_mean(sorted(each)) for each in zip(*ends, strict=True))
    return MeanReading(len(curves), curve, lr=lr, low=low, high=high)
