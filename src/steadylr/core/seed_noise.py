"""What few seeds can tell of regrets: the noise of each, and how many seeds would be enough."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.special import stdtrit

from steadylr.core.curve import FloatArray

PRIOR_FREEDOM = 2.0  # the noise common to all LRs weighs as much as that of an LR over three seeds
CONFIDENCE = 0.95
MOST_SEEDS = 30  # more than that nobody trains for a verification


def variances_over_seeds(differences: FloatArray, best: int) -> FloatArray | None:
    """The variance over seeds of each LR's difference to the best, averaged with what all LRs share.

    Args:
        differences: shape (seeds, LRs), in descents; 0 at the best.
        best: its place.

    Returns:
        Shape (LRs,), 0 at the best; None with one seed.
    """
    seeds = len(differences)
    if seeds < 2:
        return None
    own = differences.var(axis=0, ddof=1)
    others = np.delete(own, best)
    common = float(np.median(others)) if others.size else 0.0
    averaged = (PRIOR_FREEDOM * common + (seeds - 1) * own) / (PRIOR_FREEDOM + seeds - 1)
    averaged[best] = 0.0
    return np.asarray(averaged, dtype=np.float64)


def regret_half_width(variance: float, seeds: int) -> float:
    return float(stdtrit(seeds - 1 + PRIOR_FREEDOM, CONFIDENCE)) * math.sqrt(variance / seeds)


def half_width_of_mean(values: FloatArray) -> float:
    """How far below the mean of a few values the true mean may lie, with 95% confidence; 0 for one value."""
    n = len(values)
    if n < 2:
        return 0.0
    return float(stdtrit(n - 1, CONFIDENCE)) * float(values.std(ddof=1)) / math.sqrt(n)


def is_clear(half_width: float | None, away: float) -> bool:
    return half_width is not None and half_width <= away


def enough_seeds(distances: Sequence[tuple[float, float]]) -> int | None:
    """Seeds from which every regret's half width is at most its distance from the tolerance.

    Args:
        distances: the variance and the distance of each regret that counts.

    Returns:
        MOST_SEEDS + 1 for any more than MOST_SEEDS; None where a distance below 0 says that seeds are no help.
    """
    if any(away < 0 for _, away in distances):
        return None
    for seeds in range(2, MOST_SEEDS + 1):
        if all(regret_half_width(variance, seeds) <= away for variance, away in distances):
            return seeds
    return MOST_SEEDS + 1
