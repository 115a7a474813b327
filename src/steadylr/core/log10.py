"""Statistics of LRs, all in log10 LR: mean, spread, and the interval of a mean."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.special import gammaln, stdtrit

CONFIDENCE = 0.95
"""Of every interval that no StoppingRule asks to be wider."""


def geometric_mean(values: Sequence[float]) -> float:
    """Of sorted values; rounding never carries it outside them."""
    mean = power10(math.fsum(math.log10(value) for value in values) / len(values))
    return min(max(mean, values[0]), values[-1])


def standard_deviation(values: Sequence[float]) -> float | None:
    """Of log10 of sorted values, divided by n - 1; exactly 0 where all are equal, None below two."""
    if len(values) < 2:
        return None
    if values[0] == values[-1]:
        return 0.0
    logs = [math.log10(value) for value in values]
    mean = math.fsum(logs) / len(logs)
    return math.sqrt(math.fsum((x - mean) ** 2 for x in logs) / (len(logs) - 1))


def half_width(s: float, n: int, confidence: float) -> float:
    """Half the t interval of a mean of n values whose standard deviation is s."""
    return float(stdtrit(n - 1, (1 + confidence) / 2)) * s / math.sqrt(n)


def factor_around(mean: float, log10_half_width: float) -> tuple[float, float]:
    """The ends of an interval that is symmetric in log10."""
    factor = power10(log10_half_width)
    return mean / factor, mean * factor


def c4(n: int) -> float:
    """Mean of s of n normals over their true sigma: sqrt(2 / (n - 1)) Gamma(n / 2) / Gamma((n - 1) / 2)."""
    return math.sqrt(2 / (n - 1)) * math.exp(float(gammaln(n / 2) - gammaln((n - 1) / 2)))


def power10(exponent: float) -> float:
    """10^exponent; infinite where a float ends."""
    return float(10.0**exponent) if exponent < 308 else math.inf


def checked_lr(value: object, name: str) -> float:
    """The value as a float, or a ValueError that starts with its name."""
    if isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool):
        lr = float(value)
        if math.isfinite(lr) and lr > 0:
            return lr
    raise ValueError(f"{name} must be a finite number above 0; got {value!r}")
