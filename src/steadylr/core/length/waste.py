"""What a wrong LR costs in compute: how much shorter a training with the best LR could be and still end as low."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from steadylr.core.curve import FloatArray
from steadylr.core.length.fit import Fit
from steadylr.core.length.law import valley

EXPONENTS = tuple(float(p) for p in np.geomspace(0.05, 2.0, 75))
EXPECTED_EXPONENT, EXPECTED_FACTOR = 0.4, 2.0
"""Losses of small tasks fall like steps^-0.4 towards their limit, give or take a factor of two in the exponent."""


@dataclass(frozen=True, slots=True)
class Cost:
    """How the loss at the best LR falls with the length, and what another LR costs.

    Args:
        exponent: p in loss = limit + amplitude T^-p.
        height: k over amplitude T^-p: how steep the valley is beside what is left to gain, per squared octave.
        skew: a of the valley.
    """

    exponent: float
    height: float
    skew: float

    def wasted(self, octaves: float) -> float:
        """The share of a training that is wasted at so many octaves above the best LR, in [0, 1).

        A training of T steps there ends at limit + amplitude T^-p (1 + height valley(octaves)); with the best LR
        T' steps end as low, and 1 - T' / T is wasted.
        """
        rise = self.height * float(valley(octaves, self.skew))
        return float(1.0 - (1.0 + rise) ** (-1.0 / self.exponent))


def bottom_losses(fit: Fit) -> tuple[FloatArray, FloatArray, FloatArray]:
    """The loss at the bottom of each length, with how far off it may be; lengths without a loss left out.

    Returns:
        s in octaves beyond the longest, the losses and their standard deviations, each of shape (lengths,).
    """
    evidence, each = fit.evidence, fit.bottoms()
    counts = np.bincount(evidence.group)
    rung_of = np.array([evidence.rung[evidence.group == g][0] for g in range(len(counts))], dtype=np.intp)
    present = np.unique(rung_of)
    spreads = [each[rung_of == j].var(ddof=1) for j in present if (rung_of == j).sum() > 1]
    between = float(np.mean(spreads)) if spreads else 0.0
    s = evidence.s[present]
    losses = np.array([each[rung_of == j].mean() for j in present])
    deviations = [
        math.sqrt((between + (fit.noise[j] * fit.shape.k(float(evidence.s[j]))) ** 2) / (rung_of == j).sum())
        for j in present
    ]
    return s, losses, np.array(deviations)


def cost_of(fit: Fit) -> Cost | None:
    """Fit loss = limit + amplitude T^-p to the bottoms; None where there are fewer than two lengths, or the loss rises.

    The exponent is the most likely one of EXPONENTS, about EXPECTED_EXPONENT where there are few lengths.
    """
    if not len(fit.evidence.x):
        return None
    s, losses, deviations = bottom_losses(fit)
    if len(s) < 2:
        return None
    best: tuple[float, float, float] | None = None
    for p in EXPONENTS:
        amplitude, squares = _line(2.0 ** (-p * s), losses, 1 / deviations)
        squares += (math.log2(p / EXPECTED_EXPONENT) / math.log2(EXPECTED_FACTOR)) ** 2
        if amplitude > 0 and (best is None or squares < best[0]):
            best = squares, p, amplitude
    if best is None:
        return None
    _, p, amplitude = best
    return Cost(p, fit.shape.k(0.0) / amplitude, fit.shape.a)


def _line(x: FloatArray, y: FloatArray, weights: FloatArray) -> tuple[float, float]:
    """The slope of y over x by weighted least squares, and the sum of the squares that are left."""
    columns = np.stack([np.ones_like(x), x], axis=1) * weights[:, None]
    solution, *_ = np.linalg.lstsq(columns, y * weights, rcond=None)
    return float(solution[1]), float(np.sum((columns @ solution - y * weights) ** 2))


def falls(fit: Fit) -> bool:
    """Whether the loss at the best LR still falls from the second longest length to the longest.

    True where there are fewer than two lengths: nothing speaks against it.
    """
    if not len(fit.evidence.x):
        return True
    _, losses, _ = bottom_losses(fit)
    return len(losses) < 2 or bool(losses[-1] < losses[-2])
