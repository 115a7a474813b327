"""The ladder: short trainings of rising lengths, each placed around where the shorter ones foretell its best LR."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from steadylr.core.length.answer import LengthAnswer, answer_for_length
from steadylr.core.length.fit import fit_law
from steadylr.core.length.law import PRIOR, Prior, Start
from steadylr.core.length.trials import AskedTrial, Rung, TrialLoss, rungs_of

SHORTEST = 32
"""Steps of the shortest trials: fewer say little of any training."""

BETWEEN = 4
"""From one length to the next."""

MOST_LENGTHS = 5

OF_LONGEST = 4.4
"""Trials of the longest length that the whole ladder costs as much as: three of it, of the shorter ones
3/4 + 3/16 + ..., and what it takes where the best LR lies at an end."""

LEAST_LENGTHS = 2
"""A ladder of fewer lengths is none."""

MOST_LRS = 9
"""LRs tried at one length at most."""

LARGEST_SHARE = 0.5
"""Of the planned length, for the longest trials: beyond that one might as well train."""


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
        """Steps of the trials, rising by about BETWEEN; empty where the budget affords no ladder."""
        longest = min(int(self.budget / OF_LONGEST), int(self.steps * LARGEST_SHARE))
        fitting = 1 + int(math.log(max(1.0, longest / self.shortest), BETWEEN) + 1e-9)
        if longest < self.shortest * 2 or self.budget <= 0:
            return ()
        number = min(max(fitting, LEAST_LENGTHS), MOST_LENGTHS)
        between = min(float(BETWEEN), (longest / self.shortest) ** (1 / (number - 1)))
        return tuple(round(longest / between**k) for k in reversed(range(number)))


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
        wanted = _first_of(ladder, done, steps) if rung is None else _beyond(rung)
        asked = _new(ladder, steps, ladder.seed, wanted, done)
        if asked:
            return _affordable(asked, left)
    return _further(ladder, done, left)


def _first_of(ladder: Ladder, done: Sequence[TrialLoss], steps: int) -> tuple[float, ...]:
    """The first LRs of a length: octaves around where the law foretells the best; two more where little is known."""
    fit = fit_law(done, start=ladder.start, prior=ladder.prior)
    centre, reach = fit.lr_at(steps), 2 if fit.octaves_std(steps) > 0.7 else 1
    return tuple(centre * 2.0**k for k in range(-reach, reach + 1))


def _beyond(rung: Rung) -> tuple[float, ...]:
    """An LR beyond the end of what was tried, where the best is at the end."""
    if len(rung.lrs) >= MOST_LRS:
        return ()
    if rung.best is None:
        return (rung.lrs[0] / 4, rung.lrs[0] / 16)
    open_below, open_above = rung.is_open
    wanted = [rung.lrs[0] / 2] if open_below else []
    return (*wanted, rung.lrs[-1] * 2) if open_above else tuple(wanted)


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
