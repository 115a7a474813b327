"""The law of the valleys fitted to trials: the most likely parameters, and how far each number may be off."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import stdtrit

from steadylr.core.curve import FloatArray
from steadylr.core.length.law import PRIOR, Prior, Shape, Start, valley_slopes
from steadylr.core.length.trials import Rung, TrialLoss, rungs_of

CONFIDENCE = 0.95
LN2 = math.log(2)
TIGHT = 1e3  # a tied sum is off by so many times less than it may be
HUBER = 2.0  # residuals of so many standard deviations begin to count less
GIVEN_UP_OCTAVES = 0.5  # how sharply a trial that was given up speaks against best LRs above it
STARTS = (0.0, -1.0, 1.0)  # octaves from the best LR tried, where the search for the best fit begins
ROUNDS = 3  # of fitting, and of measuring the noise by what is left


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is fitted, in arrays.

    Args:
        rungs: the lengths tried, the shortest first; at least one with a loss, or none.
        s: octaves of each length beyond the longest, shape (lengths,).
        rung, group: of each trial that counts, shape (n,): its length, and its length and seed, from 0.
        x: log2 of their LRs.
        y: their losses.
        limits: of the trials that were given up, shape (m, 2): which length, and log2 LR.
        averaging: shape (groups, n): the mean of each group as a product.
        reference: a length in steps that s counts from.
    """

    rungs: tuple[Rung, ...]
    s: FloatArray
    rung: np.ndarray
    group: np.ndarray
    x: FloatArray
    y: FloatArray
    limits: FloatArray
    averaging: FloatArray
    reference: float

    @classmethod
    def of(cls, rungs: Sequence[Rung], reference: float) -> Evidence:
        """Arrays of the trials near the bottom of each length, and of those that were given up."""
        near = [(j, trial) for j, rung in enumerate(rungs) for trial in rung.near]
        names = sorted({(j, trial.seed) for j, trial in near})
        groups = {name: number for number, name in enumerate(names)}
        group = np.array([groups[j, trial.seed] for j, trial in near], dtype=np.intp)
        member = np.arange(len(groups))[:, None] == group
        given_up = [(j, math.log2(trial.lr)) for j, rung in enumerate(rungs) for trial in rung.given_up]
        return cls(
            tuple(rungs),
            np.array([math.log2(rung.steps / reference) for rung in rungs], dtype=np.float64),
            np.array([j for j, _ in near], dtype=np.intp),
            group,
            np.array([math.log2(trial.lr) for _, trial in near], dtype=np.float64),
            np.array([trial.loss for _, trial in near], dtype=np.float64),
            np.array(given_up, dtype=np.float64).reshape(-1, 2),
            member / np.maximum(member.sum(axis=1, keepdims=True), 1),
            reference,
        )

    def within_groups(self, values: FloatArray) -> FloatArray:
        """The values less the mean of their group: what a seed adds to all LRs of a length is no difference."""
        return np.asarray(values - self.group_means(values)[self.group])

    def group_means(self, values: FloatArray) -> FloatArray:
        """Shape (groups, ...) for values of shape (n, ...)."""
        return np.asarray(self.averaging @ values)

    @property
    def num_groups(self) -> int:
        """Lengths with their seeds."""
        return len(self.averaging)

    @property
    def freedom(self) -> int:
        """Differences within groups."""
        return len(self.x) - self.num_groups


@dataclass(frozen=True, slots=True)
class Fit:
    """The fitted law. Made by `fit_law`.

    Args:
        evidence: what it was fitted to.
        prior, start: what was expected.
        shape: the most likely parameters.
        noise: of a loss at each length, over k there, in squared octaves, shape (lengths,).
        covariance: of the parameters of the shape, about the most likely ones.
    """

    evidence: Evidence
    prior: Prior
    start: Start | None
    shape: Shape
    noise: tuple[float, ...]
    covariance: FloatArray

    @property
    def longest(self) -> float:
        """Steps of the longest trials; of the start where there are none."""
        return self.evidence.reference

    def octaves_beyond(self, steps: float) -> float:
        """How many times a length is twice the longest tried, as a logarithm."""
        return math.log2(steps / self.longest)

    def lr_at(self, steps: float) -> float:
        """The best LR at a length, by the law."""
        return float(2.0 ** self.shape.log2_lr(self.octaves_beyond(steps)))

    def octaves_std(self, steps: float) -> float:
        """How far off log2 of `lr_at` may be, by the covariance; the deviation of one length from the law included."""
        gradient = self._gradient(self.octaves_beyond(steps))
        variance = float(gradient @ self.covariance @ gradient) + self.prior.deviation_std**2
        return math.sqrt(variance)

    def _gradient(self, s: float) -> FloatArray:
        """Of log2 of the best LR by the parameters."""
        return np.array([1.0, -s, -s * s / 2, *[0.0] * (len(self.covariance) - 3)])

    @property
    def beta_std(self) -> float:
        """How far off the exponent may be."""
        return float(math.sqrt(self.covariance[1, 1]))

    @property
    def quantile(self) -> float:
        """Half an interval of CONFIDENCE, in standard deviations: Student's t, as few trials tell the noise."""
        freedom = self.prior.noise_freedom + max(0, self.evidence.freedom - 2)
        return float(stdtrit(freedom, (1 + CONFIDENCE) / 2))

    def best_of(self, rung: int) -> float:
        """The best LR of one of the lengths tried, by the law and by its own trials together."""
        s = float(self.evidence.s[rung])
        return float(2.0 ** (self.shape.log2_lr(s) + self.shape.deviations[rung]))

    def bottoms(self) -> FloatArray:
        """The loss at the bottom of the valley for each length and seed, shape (groups,)."""
        return self.evidence.group_means(self.evidence.y - _heights(self.shape.array(), self.evidence))

    def interval(self, steps: float) -> tuple[float, float]:
        """Where the best LR at a length lies, with 95% confidence: low and high.

        The ends are those at which the best fit that passes through them is worse by as much as the quantile says
        (profile likelihood), widened by how far one length deviates from the law.
        """
        s, more = self.octaves_beyond(steps), self.prior.deviation_std
        std = math.sqrt(max(self.octaves_std(steps) ** 2 - more**2, 1e-12))
        return self._profiled(self._gradient(s), std=std, more=more)

    def beta_interval(self) -> tuple[float, float]:
        """Where the exponent at the longest trials lies, with 95% confidence."""
        beta = np.eye(len(self.covariance))[1]
        low, high = self._profiled(beta, std=self.beta_std, more=0.0)
        return math.log2(low), math.log2(high)

    def _profiled(self, value: FloatArray, *, std: float, more: float) -> tuple[float, float]:
        """2 to the power of the ends of the profile interval of a sum of parameters, each `value` times."""
        objective = Objective(self.evidence, self.prior, self.start, self.noise, self.shape)
        best = self.shape.array()
        centre, least = float(value @ best), float(np.sum(objective(best) ** 2))

        def worse(target: float) -> float:
            tied = _Tied(objective, value, target, std / TIGHT)
            return float(np.sum(tied(_solve(tied, best)) ** 2)) - least

        below = _reach(lambda reach: worse(centre - reach), std, self.quantile)
        above = _reach(lambda reach: worse(centre + reach), std, self.quantile)
        low = centre - math.hypot(below, self.quantile * more)
        return float(2.0**low), float(2.0 ** (centre + math.hypot(above, self.quantile * more)))


@dataclass(frozen=True, slots=True)
class _Tied:
    """An objective with a sum of parameters tied to a value: each `value` times, closely."""

    objective: Objective
    value: FloatArray
    target: float
    std: float

    def __call__(self, p: FloatArray) -> FloatArray:
        return np.append(self.objective(p), (float(self.value @ p) - self.target) / self.std)

    def slopes(self, p: FloatArray) -> FloatArray:
        return np.vstack([self.objective.slopes(p), self.value / self.std])


def _reach(worse: Callable[[float], float], std: float, quantile: float) -> float:
    """How far from the best fit is as much worse as the quantile says: the root of what is worse is nearly a line."""
    reach = quantile * std
    for _ in range(8):
        found = math.sqrt(max(worse(reach), 0.0))
        if abs(found / quantile - 1) < 0.02:
            break
        reach *= min(max(quantile / max(found, 1e-9), 0.5), 2.0)
    return reach


def fit_law(trials: Sequence[TrialLoss], *, start: Start | None = None, prior: Prior = PRIOR) -> Fit:
    """Fit the law of the valleys to trials of one or more lengths.

    Differences are taken within each length and seed, as equal seeds share weights and the order of the data; so a
    seed that trains worse at all LRs moves nothing, and a trial that shares its seed with no other says nothing.
    Residuals count less the farther off they are (pseudo-Huber), that of the start too. A trial that was given up says
    that the best LR of its length lies below it. The noise is measured by what is left, at each length.

    Args:
        trials: in any order; losses that are no numbers are trials that were given up.
        start: what the range tests say. Without it there must be a length with a loss.
        prior: what is expected of any task.

    Raises:
        ValueError: neither a start nor a trial with a loss.
    """
    rungs = [rung for rung in rungs_of(trials) if rung.near or (rung.given_up and start is not None)]
    if not rungs and start is None:
        raise ValueError("trials must hold one with a loss, or start must be given; got neither")
    reference = float(max(rung.steps for rung in rungs)) if rungs else float(start.steps if start else 1)
    evidence = Evidence.of(rungs, reference)
    noise: tuple[float, ...] = tuple(prior.noise for _ in rungs)
    shape = _first_guess(evidence, start, prior)
    for number in range(ROUNDS):
        objective = Objective(evidence, prior, start, noise, shape)
        begins = STARTS if number == 0 else (0.0,)
        found = [_solve(objective, replace(shape, centre=shape.centre + away).array()) for away in begins]
        shape = Shape.of(min(found, key=lambda p: float(np.sum(objective(p) ** 2))))
        noise = _noise(evidence, shape, prior)
    objective = Objective(evidence, prior, start, noise, shape)
    best = _solve(objective, shape.array())
    jacobian = objective.slopes(best)
    covariance = np.linalg.pinv(jacobian.T @ jacobian)
    return Fit(evidence, prior, start, Shape.of(best), noise, covariance)


def _first_guess(evidence: Evidence, start: Start | None, prior: Prior) -> Shape:
    """Through the best LR tried at the longest length that has one; else through the start."""
    tried = [(s, rung.best) for s, rung in zip(evidence.s, evidence.rungs, strict=True) if rung.best]
    if tried:
        s, best = tried[-1]
        centre = math.log2(best) + prior.exponent * float(s)
    else:
        assert start is not None
        centre = math.log2(start.lr) + prior.exponent * math.log2(start.steps / evidence.reference)
    log2_k = max((_steepness(evidence, j, prior) for j in set(evidence.rung.tolist())), default=0.0)
    return Shape(
        centre, prior.exponent, 0.0, log2_k, prior.growth, prior.skew, tuple(0.0 for _ in evidence.rungs)
    )


def _steepness(evidence: Evidence, rung: int, prior: Prior) -> float:
    """log2 of k(Tm) as the losses of one length differ: those of two LRs may be equal, to both sides of the bottom."""
    own = evidence.rung == rung
    spread = float(np.ptp(evidence.y[own]))
    if spread <= 0:
        return -20.0
    octaves = max(2.0, float(np.ptp(evidence.x[own])))
    return math.log2(spread / (octaves / 2) ** 2 / 2) + prior.growth * float(evidence.s[rung])


def _heights(p: FloatArray, evidence: Evidence) -> FloatArray:
    """How far each trial lies above the bottom of its valley, in units of the loss."""
    return _heights_and_slopes(p, evidence)[0]


def _heights_and_slopes(p: FloatArray, evidence: Evidence) -> tuple[FloatArray, FloatArray]:
    """The same with its derivatives by the parameters, of shapes (n,) and (n, parameters)."""
    s, rung = evidence.s[evidence.rung], evidence.rung
    k = 2.0 ** np.clip(p[3] - p[4] * s, -200, 200)
    away = np.clip(evidence.x - (p[0] - p[1] * s - p[2] * s * s / 2 + p[6:][rung]), -12, 12)
    height, by_u, by_a = valley_slopes(away, float(p[5]))
    by_centre = -k * by_u
    slopes = np.zeros((len(s), len(p)))
    slopes[:, :6] = np.stack(
        [
            by_centre,
            -s * by_centre,
            -s * s / 2 * by_centre,
            LN2 * k * height,
            -s * LN2 * k * height,
            k * by_a,
        ],
        axis=1,
    )
    slopes[np.arange(len(s)), 6 + rung] = by_centre
    return k * height, slopes


@dataclass(frozen=True, slots=True)
class Objective:
    """What is squared and added up, each entry with a standard deviation of 1: data, then all that is expected.

    Args:
        evidence, prior, start: as for Fit.
        noise: of each length, over k.
        weights: the shape whose k the noise is a multiple of.
    """

    evidence: Evidence
    prior: Prior
    start: Start | None
    noise: tuple[float, ...]
    weights: Shape

    def __call__(self, p: FloatArray) -> FloatArray:
        """The entries at some parameters, shape (m,)."""
        return self._at(p)[0]

    def slopes(self, p: FloatArray) -> FloatArray:
        """Their derivatives, shape (m, parameters)."""
        return self._at(p)[1]

    def _at(self, p: FloatArray) -> tuple[FloatArray, FloatArray]:
        parts = [self._data(p), self._expected(p), self._given_up(p), self._start(p)]
        return np.concatenate([values for values, _ in parts]), np.concatenate([by for _, by in parts])

    def _data(self, p: FloatArray) -> tuple[FloatArray, FloatArray]:
        """How far the losses lie off the valleys."""
        evidence = self.evidence
        sigma = np.array([n * self.weights.k(float(s)) for n, s in zip(self.noise, evidence.s, strict=True)])
        height, slopes = _heights_and_slopes(p, evidence)
        own = sigma[evidence.rung]
        by = -evidence.within_groups(slopes) / own[:, None]
        return _counted(evidence.within_groups(evidence.y - height) / own, by)

    def _expected(self, p: FloatArray) -> tuple[FloatArray, FloatArray]:
        prior, rungs = self.prior, self.evidence.rungs
        middle = [prior.exponent, 0.0, self.weights.log2_k, prior.growth, prior.skew, *[0.0] * len(rungs)]
        # that of log2 k only keeps it finite where nothing speaks of it
        stds = [prior.exponent_std, prior.curvature_std, 8.0, prior.growth_std, prior.skew_std]
        scale = 1 / np.array([*stds, *[prior.rung_std(r.steps, r.num_seeds) for r in rungs]])
        return (p[1:] - np.array(middle)) * scale, np.eye(len(p))[1:] * scale[:, None]

    def _given_up(self, p: FloatArray) -> tuple[FloatArray, FloatArray]:
        """How far the best LR of a length lies above trials of it that were given up."""
        limits = self.evidence.limits
        rung = limits[:, 0].astype(np.intp)
        by = np.zeros((len(limits), len(p)))
        by[:, :3] = self._law(self.evidence.s[rung])
        by[np.arange(len(limits)), 6 + rung] = 1.0
        above = (by @ p - limits[:, 1]) / GIVEN_UP_OCTAVES
        return np.maximum(above, 0.0), np.where(above > 0, 1 / GIVEN_UP_OCTAVES, 0.0)[:, None] * by

    def _start(self, p: FloatArray) -> tuple[FloatArray, FloatArray]:
        start = self.start
        if start is None:
            return np.zeros(0), np.zeros((0, len(p)))
        by = np.zeros((1, len(p)))
        by[:, :3] = self._law(np.array([math.log2(start.steps / self.evidence.reference)]))
        return _counted((by @ p - math.log2(start.lr)) / start.octaves_std, by / start.octaves_std)

    @staticmethod
    def _law(s: FloatArray) -> FloatArray:
        """log2 of the best LR at some lengths by the first three parameters, shape (lengths, 3)."""
        return np.stack([np.ones_like(s), -s, -s * s / 2], axis=1)


def _counted(residuals: FloatArray, by: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Residuals in standard deviations, and their slopes: the farther off, the less they count (pseudo-Huber)."""
    t = residuals / HUBER
    w = np.sqrt(1 + t * t)
    root = np.sqrt(2 * t * t / (w + 1))  # sqrt(2 (w - 1)), without its rounding errors
    counted = np.where(root > 1e-8, np.abs(t) / (w * np.maximum(root, 1e-8)), 1.0)
    return HUBER * np.sign(t) * root, counted[:, None] * by


def _noise(evidence: Evidence, shape: Shape, prior: Prior) -> tuple[float, ...]:
    """The noise at each length: what is left there, averaged with what is left everywhere and what is expected."""
    k = np.array([shape.k(float(s)) for s in evidence.s])
    left = evidence.within_groups(evidence.y - _heights(shape.array(), evidence))
    squares = (left / k[evidence.rung]) ** 2 if len(left) else left
    size = len(evidence.rungs)
    total = np.bincount(evidence.rung, weights=squares, minlength=size) if len(left) else np.zeros(size)
    groups = [len({t.seed for t in rung.near}) for rung in evidence.rungs]
    freedom = np.array([max(0, len(r.near) - g) for r, g in zip(evidence.rungs, groups, strict=True)])
    common = (prior.noise_freedom * prior.noise**2 + total.sum()) / (prior.noise_freedom + freedom.sum())
    own = (prior.noise_freedom * common + total) / (prior.noise_freedom + freedom)
    return tuple(math.sqrt(float(value)) for value in own)


def _solve(objective: Objective | _Tied, begin: FloatArray) -> FloatArray:
    from scipy.optimize import least_squares  # a quarter of a second that no range test needs

    found = least_squares(objective, begin, jac=objective.slopes, method="lm", x_scale="jac", max_nfev=100)
    return np.asarray(found.x, dtype=np.float64)
