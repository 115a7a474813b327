"""The law of the valleys: where the best LR lies at each length of the training, and how steep it is around it.

With T the steps, Tm those of the longest trials, s = log2(T / Tm) and u = log2(lr / LR*(T)):

    log2 LR*(T) = log2 LR*(Tm) - beta s - gamma s^2 / 2              (gamma = 0: LR* = B T^-beta)
    loss(lr, T, seed) = bottom(T, seed) + k(T) valley(u)             k(T) = k(Tm) 2^(-q s)
    valley(u) = 2 (exp(a u) - 1 - a u) / a^2                         (u^2 where a = 0)

The valley is a parabola at its bottom, and with a > 0 rises like a line below and like an exponential above it, as
losses over the log of the LR do (H. R. Varian's linex function, "A Bayesian approach to real estate assessment", 1975).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from steadylr.core.curve import FloatArray


@dataclass(frozen=True, slots=True)
class Prior:
    """What is expected of any task before its trials say otherwise; it counts where they are few.

    All of it comes from the small tasks of benchmarks/lengths.py that are not set aside, where a power of 0.2 moves a
    range test's answer best. Language models have a power law too (J. Bjorck et al., "Scaling Optimal LR Across Token
    Horizons", ICLR 2025, https://arxiv.org/abs/2409.19913), with an exponent of 0.28 in O. Filatov et al., "Optimal
    Scaling Needs Optimal Norm" (2025, https://arxiv.org/abs/2510.03871).

    Args:
        exponent, exponent_std: of beta at the longest trials.
        curvature_std: of gamma, the change of beta from one doubling of the length to the next, about 0.
        deviation_std: how far the best LR of a length lies off the law, in octaves.
        placing_std: how far the trials of one seed misplace it, in octaves.
        short: steps of trials for which both are twice as large; the shorter, the farther off.
        skew, skew_std: of a, per octave.
        growth, growth_std: of q, about the exponent with which valleys flatten.
        noise: of a loss, over k: how far off the valley's shape it lies, in squared octaves.
        noise_freedom: trials that the noise expected weighs as much as.
    """

    exponent: float = 0.2
    exponent_std: float = 0.12
    curvature_std: float = 0.03
    deviation_std: float = 0.15
    placing_std: float = 0.3
    short: float = 100.0
    skew: float = 0.3
    skew_std: float = 0.3
    growth: float = 0.4
    growth_std: float = 0.4
    noise: float = 0.15
    noise_freedom: float = 3.0

    def rung_std(self, steps: float, seeds: int) -> float:
        """How far the best LR that trials of a length show lies off the law, as a standard deviation in octaves."""
        return math.hypot(self.deviation_std, self.placing_std / math.sqrt(seeds)) * (1 + self.short / steps)


PRIOR = Prior()

SEEN_EXPONENTS = (0.02, 0.61)
"""The lowest and the highest from 500 to 8,000 steps on twenty small tasks (python benchmarks/lengths.py report)."""


@dataclass(frozen=True, slots=True)
class Start:
    """Where the range tests say that the best LR lies, before any trial.

    Args:
        lr: their answer, above 0.
        steps: the length that it is for. A range test of N steps suits trainings of about N / 2 (EXPECTED_LENGTH).
        octaves_std: how far off it may be, in octaves.

    Raises:
        ValueError: numbers that are none of these.
    """

    lr: float
    steps: float
    octaves_std: float = 0.5

    def __post_init__(self) -> None:
        for name in ("lr", "steps", "octaves_std"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"{name} must be a finite number above 0; got {value!r}")


EXPECTED_LENGTH = 0.5
"""Steps of the trainings that a range test's answer suits best, over its own; see docs/how-long.md."""


def start_of(lr: float | None, *, last_lr: float, num_iter: int) -> Start:
    """What a range test says: its answer, or without one that the best LR lies somewhere below its last LR.

    Args:
        lr: its answer.
        last_lr: the highest LR that it reached.
        num_iter: its steps.
    """
    steps = EXPECTED_LENGTH * num_iter
    return Start(last_lr / 10, steps, NO_ANSWER_STD) if lr is None else Start(lr, steps)


NO_ANSWER_STD = 2.5
"""How far off a tenth of the last LR may be, in octaves."""


@dataclass(frozen=True, slots=True)
class Shape:
    """The parameters of the law, as numbers.

    Args:
        centre: log2 LR*(Tm).
        beta, gamma, log2_k, q, a: as in the module's formulas; log2_k is that of k(Tm).
        deviations: of the best LRs of the lengths tried off the law, in octaves, the shortest first.
    """

    centre: float
    beta: float
    gamma: float
    log2_k: float
    q: float
    a: float
    deviations: tuple[float, ...]

    @classmethod
    def of(cls, parameters: FloatArray) -> Shape:
        """From an array, as `array` gives it."""
        centre, beta, gamma, log2_k, q, a, *deviations = parameters.tolist()
        return cls(centre, beta, gamma, log2_k, q, a, tuple(deviations))

    def array(self) -> FloatArray:
        """All parameters, shape (6 + lengths,)."""
        first = (self.centre, self.beta, self.gamma, self.log2_k, self.q, self.a)
        return np.array([*first, *self.deviations], dtype=np.float64)

    def log2_lr(self, s: float) -> float:
        """log2 LR* at s octaves of length beyond the longest trials, by the law alone."""
        return self.centre - self.beta * s - self.gamma * s * s / 2

    def k(self, s: float) -> float:
        """How steep the valley is there, in units of the loss per squared octave."""
        return float(2.0 ** np.clip(self.log2_k - self.q * s, -200, 200))


def valley(u: FloatArray | float, a: float) -> FloatArray:
    """How far the loss lies above the bottom, over k, at u octaves above the best LR."""
    return _valley(np.asarray(u, dtype=np.float64), a)[0]


def valley_slopes(u: FloatArray, a: float) -> tuple[FloatArray, FloatArray, FloatArray]:
    """The valley, and its derivatives by u and by a; each of the shape of u."""
    return _valley(u, a)


def _valley(u: FloatArray, a: float) -> tuple[FloatArray, FloatArray, FloatArray]:
    z = np.clip(a * u, -50.0, 50.0)
    if abs(a) < SMALL_SKEW:
        by_u, by_a = u * (2 + z + z * z / 3), u**3 * (1 / 3 + z / 6)
        return u * u * (1 + z / 3 + z * z / 12), by_u, by_a
    rise = np.expm1(z)
    height = 2 * (rise - z) / (a * a)
    return height, 2 * rise / a, 2 * rise * u / (a * a) - 2 * height / a


SMALL_SKEW = 1e-3
"""Below it the valley is computed by its series, as the formula would divide rounding errors."""
