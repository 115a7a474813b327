"""The ways to choose an LR for a long training. Each sees a Trainer with a budget of steps, and nothing of the truth.

The alternatives are what the installed packages do by themselves, over the range of the ramp, 1e-7 to 10, as somebody
would who knows nothing of the task. How long one training of a search is, nobody's default says: two lengths of each
are tried where that matters, and the best alternative at a budget is the best of all of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from lengths_parts.lockstep import Lockstep, one_cycle, ramp
from quality_parts.tasks import Task
from steadylr.core.curve import Curve, Stop
from steadylr.core.divergence import StopRule, first_stop
from steadylr.core.length.ladder import Ladder, lr_for_length, range_test_steps
from steadylr.core.length.law import start_of
from steadylr.core.ramp import Ramp
from steadylr.core.rules import suggest

LOWEST, HIGHEST = 1e-7, 10.0
RANGE_TEST = 1000
"""Iterations of a range test at most: the default, which is proven."""

USUAL_EXPONENT, SUITS = 0.32, 2.0
"""Without this project's prior: an exponent that language models have, and the steps of the training that a range test
suits, over its own."""

ETA = 3


class BudgetExceeded(Exception):
    """A method asked for more than it may have."""


class Trainer:
    """Trains a task for one method, and counts.

    Args:
        lockstep: does the trainings.
        task: the task.
        planned: steps of the training that an LR is wanted for.
        budget: steps that may be taken in all.
        repeat: no two repeats share weights or batches.
    """

    def __init__(self, lockstep: Lockstep, task: Task, *, planned: int, budget: int, repeat: int) -> None:
        self._lockstep, self._task, self._repeat = lockstep, task, repeat
        self.planned, self.budget = planned, budget
        self.spent = 0

    @property
    def left(self) -> int:
        """Steps that may still be taken."""
        return self.budget - self.spent

    @property
    def rng(self) -> np.random.Generator:
        """For what a method draws."""
        return np.random.default_rng(self._repeat)

    def train(self, lr: float, steps: int, seed: int = 0) -> float:
        """The validation loss after a OneCycle training; infinite where it was given up."""
        return self.together([lr], steps, seed)[0]

    def together(self, lrs: Sequence[float], steps: int, seed: int = 0) -> list[float]:
        """The same for several LRs, with equal weights and batches."""
        self._pay(len(lrs) * steps)
        submit = self._lockstep.submit
        asked = [submit(one_cycle(self._task, lr, steps, self._own(seed))) for lr in lrs]
        return [float(each.result()) for each in asked]

    def pruned(
        self, lr: float, steps: int, seed: int, after: Sequence[int], judge: Callable[[int, float], bool]
    ) -> float:
        """A training that judge, asked after some steps, may end early: those left over are not paid for."""
        self._pay(steps)
        training = one_cycle(self._task, lr, steps, self._own(seed), judge=judge, judged_after=tuple(after))
        loss = float(self._lockstep.submit(training).result())
        self.spent -= steps - training.step
        return loss

    def ramp(self, num_iter: int, seed: int = 0) -> Curve:
        """A range test. It is paid for whole, also where it ends early."""
        self._pay(num_iter)
        training = ramp(num_iter, self._own(seed), start_lr=LOWEST, end_lr=HIGHEST)
        return curve_of(self._lockstep.submit(training).result(), num_iter)

    def _own(self, seed: int) -> int:
        return 10_000 * self._repeat + seed

    def _pay(self, steps: int) -> None:
        if steps > self.left:
            raise BudgetExceeded(f"{steps} steps asked for, {self.left} of {self.budget} left")
        self.spent += steps


def curve_of(losses: Sequence[float], num_iter: int) -> Curve:
    """The curve of a ramp without a stop rule, up to where the rule would have ended it."""
    stopped = first_stop(losses, StopRule())
    number, stop = (len(losses), Stop.COMPLETED) if stopped is None else (stopped[0] + 1, stopped[1])
    return Curve(Ramp(LOWEST, HIGHEST, num_iter).lrs()[:number], np.array(losses[:number]), num_iter, stop)


Method = Callable[[Trainer], "float | None"]


# ---- range tests


def _range_tests(trainer: Trainer, runs: int, num_iter: int) -> float | None:
    """The geometric mean of what the runs say; None where none of them answers."""
    answers = [suggest(trainer.ramp(num_iter, seed)).lr for seed in range(runs)]
    known = [math.log(lr) for lr in answers if lr is not None]
    return math.exp(float(np.mean(known))) if known else None


def range_test(trainer: Trainer, *, runs: int, exponent: float = 0.0) -> float | None:
    """As many iterations as the budget affords, up to the default; moved by a power of the length, if by any."""
    num_iter = min(RANGE_TEST, trainer.budget // runs)
    lr = _range_tests(trainer, runs, num_iter)
    return None if lr is None else lr * (trainer.planned / (SUITS * num_iter)) ** -exponent


# ---- this project's method


def for_length(trainer: Trainer) -> float | None:
    """What `find_lr.py -m +experiment=for_length` does with one seed: a range test, and a ladder with the rest."""
    num_iter = min(range_test_steps(trainer.planned, trainer.budget), trainer.budget)
    curve = trainer.ramp(num_iter)
    lr = suggest(curve).lr
    ladder = Ladder(
        trainer.planned, trainer.left, start_of(lr, last_lr=float(curve.lr[-1]), num_iter=num_iter)
    )
    return lr_for_length(trainer.train, ladder).lr if lr is not None or ladder.lengths else None


# ---- what else there is


def grid(trainer: Trainer, *, number: int) -> float | None:
    """Trainings of equal length at LRs a factor apart, over the whole range."""
    lrs = np.geomspace(LOWEST, HIGHEST, number).tolist()
    return _best(lrs, trainer.together(lrs, trainer.budget // number))


def halving(trainer: Trainer, *, number: int) -> float | None:
    """Random LRs; the best third go on to trainings three times as long, until one is left.

    Each rung trains afresh, as scikit-learn's HalvingRandomSearchCV does: a OneCycle training can't be prolonged.

    Reference: K. Jamieson and A. Talwalkar, "Non-stochastic best arm identification" (AISTATS 2016).
    """
    rungs = round(math.log(number, ETA))
    shortest = trainer.budget // (number * rungs)
    if shortest < 4:  # a OneCycle schedule has to rise
        return None
    lrs = (10.0 ** trainer.rng.uniform(math.log10(LOWEST), math.log10(HIGHEST), number)).tolist()
    for rung in range(rungs):
        losses = trainer.together(lrs, shortest * ETA**rung, seed=rung)
        order = np.argsort(losses, kind="stable")
        lrs = [lrs[place] for place in order[: max(1, len(lrs) // ETA)]]
    return lrs[0] if math.isfinite(min(losses)) else None


def optuna_tpe(trainer: Trainer, *, pruner: str, trials: int) -> float | None:
    """Optuna's TPE with a pruner, a log-uniform LR, and trainings that each take 1 / trials of the budget at most.

    As pruned ones cost less there are more of them than `trials`. Steps that the validation would cost are not counted.

    References: J. Bergstra et al., "Algorithms for hyper-parameter optimization" (2011); L. Li et al., "Hyperband"
    (2018); L. Li et al., "A system for massively parallel hyperparameter tuning" (2020).
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    longest = trainer.budget // trials
    shortest = max(4, longest // ETA**2)
    pruners = {
        "hyperband": optuna.pruners.HyperbandPruner(shortest, longest, ETA),
        "halving": optuna.pruners.SuccessiveHalvingPruner(shortest, ETA),
    }
    seed = int(trainer.rng.integers(2**31))
    study = optuna.create_study(
        study_name=str(seed),  # Hyperband draws brackets by it
        sampler=optuna.samplers.TPESampler(seed=seed),
        pruner=pruners[pruner],
    )
    after = [shortest * ETA**k for k in range(3) if shortest * ETA**k < longest]
    while trainer.left >= longest >= 4:
        trial = study.ask()
        lr = trial.suggest_float("lr", LOWEST, HIGHEST, log=True)
        cut: list[int] = []

        def judge(step: int, loss: float, trial: optuna.Trial = trial, cut: list[int] = cut) -> bool:
            trial.report(loss, step)
            cut += [step] if trial.should_prune() else []
            return bool(cut)

        loss = trainer.pruned(lr, longest, trial.number, after, judge)
        state = optuna.trial.TrialState.PRUNED if cut else optuna.trial.TrialState.COMPLETE
        study.tell(trial, None if cut else loss, state)
    done = study.get_trials(states=[optuna.trial.TrialState.COMPLETE])
    return _best([trial.params["lr"] for trial in done], [float(trial.value or 0.0) for trial in done])


def _best(lrs: Sequence[float], losses: Sequence[float]) -> float | None:
    """The LR with the lowest loss; None where every training was given up."""
    if not lrs or not math.isfinite(min(losses)):
        return None
    return float(lrs[int(np.argmin(losses))])


OURS = "for a length"
BASELINES = (
    "range test",
    "range test x3",
    "range test, fixed exponent",
    "range test x3, fixed exponent",
)

METHODS: dict[str, Method] = {
    OURS: for_length,
    "range test": partial(range_test, runs=1),
    "range test x3": partial(range_test, runs=3),
    "range test, fixed exponent": partial(range_test, runs=1, exponent=USUAL_EXPONENT),
    "range test x3, fixed exponent": partial(range_test, runs=3, exponent=USUAL_EXPONENT),
    "grid of 9": partial(grid, number=9),
    "grid of 17": partial(grid, number=17),
    "random, halving from 9": partial(halving, number=9),
    "random, halving from 27": partial(halving, number=27),
    "Optuna TPE, Hyperband": partial(optuna_tpe, pruner="hyperband", trials=10),
    "Optuna TPE, halving": partial(optuna_tpe, pruner="halving", trials=10),
    "Optuna TPE, halving, short": partial(optuna_tpe, pruner="halving", trials=25),
}
