"""From curves and truths to hits, close answers, regret and spread, with intervals. Only numpy; nothing is trained."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np

from quality_parts.compute import GRID, ORACLE_SEEDS, TRUTH_SEEDS, Unit, path_of, read, read_curve, read_truth
from steadylr.core.consensus import consensus
from steadylr.core.curve import Curve, FloatArray
from steadylr.core.mean_curve import is_wanted, read_mean_curve
from steadylr.core.rules import DEFAULT_RULE, suggest
from steadylr.core.settings import Reading

HIT, CLOSE = 0.05, 0.01
CAP = 1.25
"""The largest regret: a diverged training counts as this, however large its loss became."""

MAX_SUBSETS = 400
"""Subsets of seeds for a consensus, drawn at random where there are more."""


@dataclass(frozen=True, slots=True, eq=False)
class Regret:
    """regret(LR) = (loss there - best loss) / (loss at LR 1e-5 - best loss), linear over log10(lr) in between.

    Args:
        log10_lr: shape (n,), rising: the grid.
        values: shape (n,), in [0, CAP]; 0 at the best LR of the grid.

    No answer (NaN) costs as much as not to train: 1. LRs outside the grid count as its ends.
    """

    log10_lr: FloatArray
    values: FloatArray

    @classmethod
    def of(cls, losses: FloatArray) -> Regret:
        """From losses of shape (seeds, LRs of GRID), infinite where a training diverged.

        Each seed's losses are cut CAP descents above the best before they are averaged.

        Raises:
            ValueError: no descent: the loss at 1e-5 is the best one.
        """
        finite = np.where(np.isfinite(losses), losses, np.inf)
        first = float(np.mean(finite[:, 0]))
        with np.errstate(invalid="ignore"):
            best = float(np.min(np.mean(finite, axis=0)))
        descent = first - best
        if not (math.isfinite(descent) and descent > 0):
            raise ValueError(f"no LR of the grid is better than the first: {first} and {best}")
        mean = np.minimum(finite, best + CAP * descent).mean(axis=0)
        best = float(mean.min())  # lower, where only some seeds diverged at an LR that is best for the others
        return cls(np.log10(GRID), (mean - best) / (float(mean[0]) - best))

    def at(self, lrs: FloatArray) -> FloatArray:
        """The regret at each LR, any shape."""
        known = np.where(np.isfinite(lrs) & (lrs > 0), lrs, 1.0)
        return np.where(np.isfinite(lrs), np.interp(np.log10(known), self.log10_lr, self.values), 1.0)

    def good_range(self, limit: float) -> tuple[float, float]:
        """The lowest and the highest LR of the grid around the best one with at most this regret."""
        best = int(np.argmin(self.values))
        low = high = best
        while low > 0 and self.values[low - 1] <= limit:
            low -= 1
        while high < len(self.values) - 1 and self.values[high + 1] <= limit:
            high += 1
        return GRID[low], GRID[high]

    @property
    def best_lr(self) -> float:
        """The LR of the grid with the lowest loss."""
        return GRID[int(np.argmin(self.values))]


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """What one rule said at one N: for each task the LR of each seed, NaN where it gave none."""

    rule: str
    num_iter: int
    lrs: Mapping[str, FloatArray]


@dataclass(frozen=True, slots=True)
class Score:
    """How good answers are, averaged over tasks; `interval` holds (low, high), 95%, for the three first.

    Args:
        runs: answers in all. tasks: tasks. missing: share of runs without an answer.
        worst: the largest regret of all answers. spread: median over tasks of max / min over seeds.
    """

    rule: str
    num_iter: int
    together: int
    tasks: int
    runs: int
    missing: float
    hits: float
    close: float
    regret: float
    worst: float
    spread: float
    max_spread: float
    interval: dict[str, tuple[float, float]]


def score(
    answers: Answers,
    truths: Mapping[str, Regret],
    *,
    together: int = 1,
    rng: np.random.Generator,
    resamples: int = 1000,
) -> Score:
    """Judge answers, one by one or the geometric means of several.

    The interval is a bootstrap over tasks and, within each, over seeds: a resample draws tasks with replacement and
    for each of them seeds with replacement (for a consensus: subsets of distinct seeds among those drawn).

    Args:
        answers: of one rule at one N.
        truths: by task; tasks without one are left out.
        together: answers of so many seeds are combined; 1: single runs.
        rng: for the subsets and the resamples.
        resamples: of the bootstrap.
    """
    names = [name for name in answers.lrs if name in truths]
    lrs = {name: answers.lrs[name] for name in names}
    combined = {name: combine(lrs[name], together, rng) for name in names}
    regrets = {name: truths[name].at(combined[name]) for name in names}
    spreads = np.array([_spread(lrs[name]) for name in names])
    known = spreads[np.isfinite(spreads)]
    means = np.array([_summary(regrets[name]) for name in names])
    draws = np.array(
        [
            np.mean(
                [_resampled(lrs[n], truths[n], regrets[n], together, rng) for n in _drawn(names, rng)], axis=0
            )
            for _ in range(resamples)
        ]
    )
    low, high = np.percentile(draws, [2.5, 97.5], axis=0)
    hits, close, regret = means.mean(axis=0)
    return Score(
        rule=answers.rule,
        num_iter=answers.num_iter,
        together=together,
        tasks=len(names),
        runs=sum(len(lrs[name]) for name in names),
        missing=float(np.mean([np.mean(~np.isfinite(lrs[name])) for name in names])),
        hits=float(hits),
        close=float(close),
        regret=float(regret),
        worst=max(float(values.max()) for values in regrets.values()),
        spread=float(np.median(known)) if known.size else math.nan,
        max_spread=float(np.max(known)) if known.size else math.nan,
        interval={key: (float(low[i]), float(high[i])) for i, key in enumerate(("hits", "close", "regret"))},
    )


def combine(lrs: FloatArray, together: int, rng: np.random.Generator) -> FloatArray:
    """Geometric means of the answers of `together` seeds: all subsets, or MAX_SUBSETS random ones.

    A subset without any answer gives NaN; one with some gives the mean of those.
    """
    if together == 1:
        return lrs
    if math.comb(len(lrs), together) <= MAX_SUBSETS:
        subsets = np.array(list(combinations(range(len(lrs)), together)))
    else:
        subsets = np.array([rng.permutation(len(lrs))[:together] for _ in range(MAX_SUBSETS)])
    return _geometric_means(lrs[subsets])


def _geometric_means(lrs: FloatArray) -> FloatArray:
    logs = np.log10(lrs)
    known = np.isfinite(logs)
    counts = known.sum(axis=1)
    sums = np.where(known, logs, 0.0).sum(axis=1)
    return np.where(counts > 0, 10.0 ** (sums / np.maximum(counts, 1)), np.nan)


def _spread(lrs: FloatArray) -> float:
    known = lrs[np.isfinite(lrs)]
    return float(known.max() / known.min()) if known.size > 1 else math.nan


def _summary(regrets: FloatArray) -> tuple[float, float, float]:
    return (
        float(np.mean(regrets <= HIT)),
        float(np.mean(regrets <= CLOSE)),
        float(np.mean(regrets)),
    )


def _drawn(names: Sequence[str], rng: np.random.Generator) -> list[str]:
    return [names[i] for i in rng.integers(len(names), size=len(names))]


def _resampled(
    lrs: FloatArray, truth: Regret, regrets: FloatArray, together: int, rng: np.random.Generator
) -> tuple[float, float, float]:
    if together == 1:
        return _summary(regrets[rng.integers(len(regrets), size=len(regrets))])
    pool = np.unique(rng.integers(len(lrs), size=len(lrs)))
    if len(pool) < together:
        return _summary(regrets)
    subsets = np.argsort(rng.random((len(lrs), len(pool))), axis=1)[:, :together]
    return _summary(truth.at(_geometric_means(lrs[pool[subsets]])))


def mean_curve_answers(
    rule: str,
    curves: Mapping[str, Sequence[Curve]],
    num_iter: int,
    *,
    together: int,
    rng: np.random.Generator,
) -> list[Answers]:
    """What the default rule says of `together` seeds, by task: all subsets, or MAX_SUBSETS random ones.

    Args:
        rule: what the answers are called, with "mean curve" and "as a sweep" behind it.
        curves: of each task, by seed.
        num_iter: of the range tests.
        together: runs of a sweep.
        rng: for the subsets.

    Returns:
        By the mean curve of each subset alone; and as a sweep answers, by the consensus of its runs or, where too few
        of them have an LR, by their mean curve.
    """
    by_mean, by_sweep = {}, {}
    for name, of_task in curves.items():
        subsets = list(combinations(range(len(of_task)), together))
        if len(subsets) > MAX_SUBSETS:
            subsets = [subsets[i] for i in rng.permutation(len(subsets))[:MAX_SUBSETS]]
        alone = [suggest(curve) for curve in of_task]
        means = [
            read_mean_curve([of_task[i] for i in subset], DEFAULT_RULE, [Reading()]) for subset in subsets
        ]
        heads = [consensus([alone[i] for i in subset]) for subset in subsets]
        swept = [
            head if mean is None or not is_wanted(head) else mean
            for mean, head in zip(means, heads, strict=True)
        ]
        by_mean[name] = np.array([math.nan if mean is None else mean.lr for mean in means])
        by_sweep[name] = np.array([math.nan if one.lr is None else one.lr for one in swept])
    return [
        Answers(f"{rule}, mean curve", num_iter, by_mean),
        Answers(f"{rule}, as a sweep", num_iter, by_sweep),
    ]


# ---- from the cache

RuleFunction = Callable[[Curve], "float | None"]


def read_truths(folder: Path, tasks: Mapping[str, int]) -> dict[str, Regret]:
    """The truths of all tasks (name -> steps) whose units are complete."""
    found = {name: read_truth(folder, name, steps, TRUTH_SEEDS) for name, steps in tasks.items()}
    return {name: Regret.of(losses) for name, losses in found.items() if losses is not None}


def read_curves(folder: Path, task: str, num_iter: int, seeds: Sequence[int]) -> list[Curve]:
    """The curves that are there."""
    curves = (read_curve(folder, Unit(task, "range", seed, num_iter)) for seed in seeds)
    return [curve for curve in curves if curve is not None]


def answers_of(
    rule: str, function: RuleFunction, curves: Mapping[str, Sequence[Curve]], num_iter: int
) -> Answers:
    """Ask one rule about all curves, by task."""
    lrs = {
        name: np.array([math.nan if (lr := function(curve)) is None else lr for curve in of_task])
        for name, of_task in curves.items()
        if of_task
    }
    return Answers(rule, num_iter, lrs)


def oracle_answers(folder: Path, tasks: Mapping[str, int]) -> list[Answers]:
    """What a grid search over the same LRs chooses with independent seeds: with each one of them, and with all."""
    one, three = {}, {}
    for name, steps in tasks.items():
        losses = read_truth(folder, name, steps, ORACLE_SEEDS)
        if losses is not None:
            one[name] = np.array([GRID[int(np.argmin(row))] for row in losses])
            three[name] = np.array([Regret.of(losses).best_lr])
    number = len(ORACLE_SEEDS)
    return [Answers("oracle, 1 seed", 0, one), Answers(f"oracle, {number} seeds", 0, three)]


def peer_answers(
    folder: Path, peer: str, num_iter: int, tasks: Sequence[str], seeds: Sequence[int]
) -> list[Answers]:
    """The suggestions of a peer's own code, by the names of its rules."""
    by_rule: dict[str, dict[str, list[float]]] = {}
    for task in tasks:
        for seed in seeds:
            arrays = read(path_of(folder, Unit(task, "peer", seed, num_iter, peer)))
            if arrays is None:
                continue
            for name, lr in zip(arrays["names"].tolist(), arrays["lr"].tolist(), strict=True):
                by_rule.setdefault(str(name), {}).setdefault(task, []).append(float(lr))
    return [
        Answers(rule, num_iter, {task: np.array(lrs) for task, lrs in of_rule.items()})
        for rule, of_rule in by_rule.items()
    ]
