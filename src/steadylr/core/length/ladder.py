"""The ladder: short trainings of rising lengths, each placed around where the shorter ones foretell its best LR."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from steadylr.core.length.answer import LengthAnswer, answer_for_length
from steadylr.core.length.fit import fit_law
from steadylr.core.length.law import PRIOR, Prior, Start
from steadylr.core.length.trials import AskedTrial, Rung, TrialLoss, rungs_of

SHORTEST = 128
"""Steps of the shortest trials: shorter ones say less than a longer range test would."""

BETWEEN = 4
"""From one length to the next."""

OF_LONGEST = 4.4
"""Trials of the longest length that the whole ladder costs as much as: three of it, of the shorter ones
3/4 + 3/16 + ..., and what it takes where the best LR lies at an end."""

MOST_LRS = 9
"""LRs tried at one length at most."""

LARGEST_SHARE = 0.5
"""Of the planned length, for the longest trials: beyond that one might as well train."""

RANGE_TEST = (100, 1000)
"""Iterations of the range test before a ladder: at least, and at most, which is the proven default."""

RANGE_TEST_SHARE = 0.5
"""Of the budget, for range tests that trials follow."""

WIDE_OCTAVES = 1.5
"""Standard deviation of log2 of the best LR from which a length's first LRs lie two octaves apart."""


def range_test_steps(steps: int, budget: int, *, runs: int = 1, shortest: int = SHORTEST) -> int:
    """Iterations of each range test: half of the budget together, or all of it where the rest affords no trials.

    Args:
        steps: of the training that is planned.
        budget: steps that range tests and trials together may take.
        runs: range tests with other seeds.
        shortest: as for Ladder.
    """
    least, most = RANGE_TEST
    half = min(max(int(budget * RANGE_TEST_SHARE) // runs, least), most)
    if lengths_of(steps, budget - runs * half, shortest):
        return half
    return min(max(budget // runs, least), most)


def lengths_of(steps: int, budget: int, shortest: int = SHORTEST) -> tuple[int, ...]:
    """Steps of the trials that a budget affords, rising by a factor of BETWEEN; empty where it affords none."""
    longest = min(int(budget / OF_LONGEST), int(steps * LARGEST_SHARE))
    found: list[int] = []
    while longest >= shortest:
        found.insert(0, longest)
        longest = round(longest / BETWEEN)
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Ladder:
    """What is asked for.

    Args:
        steps: of the training that is planned.
        budget: steps that all trials together may take.
        start: what the range tests say.
        shortest: steps of the shortest trials, at least 2: no scheduler can do fewer.
        seed: the first seed; further ones follow it.
        prior: what is expected of any task.

    Raises:
        ValueError: numbers that are none of these.
    """

    steps: int
    budget: int
    start: Start
    shortest: int = SHORTEST
    seed: int = 0
    prior: Prior = PRIOR

    def __post_init__(self) -> None:
        if self.steps < 2:
            raise ValueError(f"steps must be at least 2; got {self.steps!r}")
        if self.budget < 0:
            raise ValueError(f"budget must be at least 0; got {self.budget!r}")
        if self.shortest < 2:
            raise ValueError(f"shortest must be at least 2; got {self.shortest!r}")

    @property
    def lengths(self) -> tuple[int, ...]:
        """Steps of the trials, rising; empty where the budget affords none."""
        return lengths_of(self.steps, self.budget, self.shortest)


def next_trials(ladder: Ladder, done: Sequence[TrialLoss]) -> tuple[AskedTrial, ...]:
    """The trials to do next, side by side; none when the ladder is done or its budget is spent.

    It depends on nothing but its arguments: who climbs again from the bottom, with the losses known by then, is asked
    for the same trials, so that a ladder that was interrupted goes on where it was.

    Args:
        ladder: what is asked for.
        done: all trials that it has asked for so far, in any order.
    """
    left = ladder.budget - sum(trial.steps for trial in done)
    rungs = {rung.steps: rung for rung in rungs_of(done)}
    for steps in ladder.lengths:
        rung = rungs.get(steps)
        wanted = _first_of(ladder, done, steps) if rung is None else _beyond(rung) or _closer(rung)
        asked = _new(ladder, steps, ladder.seed, wanted, done)
        if asked:
            return _affordable(asked, left)
    return _further(ladder, done, left)


def _first_of(ladder: Ladder, done: Sequence[TrialLoss], steps: int) -> tuple[float, ...]:
    """The first LRs of a length: octaves around where the law foretells the best, farther where little is known."""
    fit = fit_law(done, start=ladder.start, prior=ladder.prior)
    octaves = (-4, -2, 0, 2, 4) if fit.octaves_std(steps) > WIDE_OCTAVES else (-1, 0, 1)
    return tuple(fit.lr_at(steps) * 2.0**k for k in octaves)


def _beyond(rung: Rung) -> tuple[float, ...]:
    """An LR beyond the end of what was tried, where the best is at the end."""
    if len(rung.lrs) >= MOST_LRS:
        return ()
    if rung.best is None:
        return (rung.lrs[0] / 4, rung.lrs[0] / 16)
    open_below, open_above = rung.is_open
    wanted = [rung.lrs[0] / 2] if open_below else []
    return (*wanted, rung.lrs[-1] * 2) if open_above else tuple(wanted)


def _closer(rung: Rung) -> tuple[float, ...]:
    """The LRs an octave from the best one tried, where it has none as close."""
    best = rung.best
    if best is None or len(rung.lrs) >= MOST_LRS:
        return ()
    return tuple(lr for lr in (best / 2, best * 2) if all(abs(math.log2(own / lr)) > 0.5 for own in rung.lrs))


def _new(
    ladder: Ladder, steps: int, seed: int, lrs: Sequence[float], done: Sequence[TrialLoss]
) -> tuple[AskedTrial, ...]:
    """Trials with these LRs, rounded to the three digits that they are printed with, that haven't been done."""
    there = {trial.asked for trial in done}
    asked = (AskedTrial(steps, float(f"{lr:.2e}"), seed) for lr in lrs)
    return tuple(trial for trial in asked if trial not in there)


def _affordable(asked: Sequence[AskedTrial], left: int) -> tuple[AskedTrial, ...]:
    """As many of them as the budget affords; none where it does not afford all of a length's first."""
    kept: list[AskedTrial] = []
    for trial in asked:
        if trial.steps <= left:
            kept.append(trial)
            left -= trial.steps
    return tuple(kept)


def _further(ladder: Ladder, done: Sequence[TrialLoss], left: int) -> tuple[AskedTrial, ...]:
    """What the rest of the budget is spent on: another seed at the longest length that it affords."""
    for steps in reversed(ladder.lengths):
        own = [trial for trial in done if trial.steps == steps]
        if not own or 3 * steps > left:
            continue
        fit = fit_law(done, start=ladder.start, prior=ladder.prior)
        places = [rung.steps for rung in fit.evidence.rungs]
        centre = fit.best_of(places.index(steps)) if steps in places else fit.lr_at(steps)
        seed = max(trial.seed for trial in own) + 1
        return _new(ladder, steps, seed, (centre / 2, centre, centre * 2), done)
    return ()


def lr_for_length(train: Callable[[float, int, int], float], ladder: Ladder) -> LengthAnswer:
    """Climb a ladder, and answer.

    Args:
        train: train(lr, steps, seed) gives the final loss of a OneCycle training with that peak LR; NaN or infinite
            where it was given up.
        ladder: what is asked for.
    """
    trials: list[TrialLoss] = []
    while asked := next_trials(ladder, trials):
        trials += [
            TrialLoss(trial.steps, trial.lr, trial.seed, float(train(trial.lr, trial.steps, trial.seed)))
            for trial in asked
        ]
    return answer_for_length(trials, steps=ladder.steps, start=ladder.start, prior=ladder.prior)
