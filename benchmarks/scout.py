"""Would a coarse pass first make range tests cheaper, without making them worse?

    python benchmarks/scout.py train     trains what is missing, the cheapest tasks first; stop it at any time
    python benchmarks/scout.py report    no computing: hits, close answers and steps, from what is there

A scout is a range test of a few steps over the whole range. Where its loss has fallen and where it climbs says which
decades matter; a fine ramp with fresh weights, and with as many steps a decade as the whole ramp has, covers these and
a margin. A noisy scout shows no descent, but where it diverges: then the fine ramp starts far below. Where the scout
can't tell at all, the whole ramp is run as well. Every number is in a row of `scout_results/`, which is committed.
Needs `pip install .[bench]`. STEADYLR_CIFAR10 names the folder of CIFAR-10; without it the tasks that need it are left
out.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from lengths_parts.lockstep import Lockstep, Training, one_cycle
from lengths_parts.results import Results
from quality import COST
from quality_parts.compute import END_LR, GRID, START_LR, TRUTH_SEEDS
from quality_parts.evaluate import CLOSE, HIT, Regret
from quality_parts.tasks import (
    CIFAR10,
    TASKS_VERSION,
    Batches,
    Task,
    all_tasks,
    build,
    load,
    loss_fn,
    validation_loss,
)
from steadylr.core.curve import Curve, Stop
from steadylr.core.divergence import StopRule, first_stop
from steadylr.core.ramp import Ramp
from steadylr.core.rules import suggest
from steadylr.core.scout import scouted
from steadylr.run.randomness import Streams, seed_noise

FOLDER = Path(__file__).parent / "scout_results"
SEEDS = range(1, 9)
WHOLE = "whole"


@dataclass(frozen=True, slots=True)
class Way:
    """How a scout is made and believed.

    Args:
        steps: of the scout.
        below, above: the margins: see scouted.
    """

    steps: int
    below: float
    above: float

    @property
    def name(self) -> str:
        """Such as "50 steps, /30 to x5"."""
        return f"{self.steps} steps, /{self.below:g} to x{self.above:g}"


WAYS = {
    300: [Way(30, 10, 5), Way(50, 10, 5)],
    1000: [Way(50, 10, 5), Way(50, 30, 5), Way(100, 10, 5)],
}
"""By the iterations of the whole ramp."""


class Numbers:
    """What has been trained, in two files."""

    def __init__(self, folder: Path) -> None:
        version = TASKS_VERSION
        self.truths = Results(folder / "truth.csv", num_keys=3, num_values=1, version=version)
        self.answers = Results(folder / "answers.csv", num_keys=4, num_values=2, version=version)

    def regret(self, task: str) -> Regret | None:
        """The truth of a task; None while some of it is missing."""
        rows = [[self.truths.rows.get((task, str(seed), f"{lr:.6g}")) for lr in GRID] for seed in TRUTH_SEEDS]
        if any(row is None for own in rows for row in own):
            return None
        return Regret.of(np.array(rows, dtype=float)[..., 0])

    def answer(self, task: str, num_iter: int, way: str) -> tuple[np.ndarray, np.ndarray] | None:
        """LRs, NaN for none, and steps, by seed; None while some are missing."""
        rows = [self.answers.rows.get((task, str(num_iter), way, str(seed))) for seed in SEEDS]
        known = [row for row in rows if row is not None]
        if len(known) < len(rows):
            return None
        lrs, steps = zip(*known, strict=True)
        return np.array([float(lr or "nan") for lr in lrs]), np.array(steps, dtype=float)


class OneByOne:
    """What Lockstep does, for tasks that torch.func.vmap does not take: ResNets, and augmentation."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._todo: list[Training] = []

    def submit(self, training: Training) -> Future[Any]:
        """Hand over a training; its future is set by run."""
        self._todo.append(training)
        return training.done

    def run(self) -> None:
        """Do all that was handed over."""
        while self._todo:
            training = self._todo.pop(0)
            training.done.set_result(self._trained(training))

    def _trained(self, training: Training) -> Any:
        model, optimizer = build(self._task, training.seed, lr=training.lrs[0])
        seed_noise(Streams.same(training.seed))
        group = optimizer.param_groups[0]
        key = "betas" if "betas" in group else "momentum"
        model.train()
        for step, (x, y) in zip(range(len(training.lrs)), Batches(self._task, training.seed), strict=False):
            group["lr"] = training.lrs[step]
            if training.momenta is not None:
                momentum = training.momenta[step]
                group[key] = (momentum, *group[key][1:]) if key == "betas" else momentum
            optimizer.zero_grad(set_to_none=True)
            loss = loss_fn(model(x), y)
            training.losses.append(loss.item())
            if not math.isfinite(training.losses[-1]):
                return math.inf if training.validates else training.losses
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        return validation_loss(model, load(self._task.data)) if training.validates else training.losses


def train(numbers: Numbers, task: Task) -> int:
    """Train what is missing of a task, all side by side; gives how many trainings there were."""
    lockstep = OneByOne(task) if task.augment or task.model == "resnet" else Lockstep(task)
    truths = {
        (seed, lr): lockstep.submit(one_cycle(task, lr, task.steps, seed))
        for seed, lr in product(TRUTH_SEEDS, GRID)
        if (task.name, str(seed), f"{lr:.6g}") not in numbers.truths.rows
    }
    asked = [
        (num_iter, seed)
        for num_iter, seed in product(WAYS, SEEDS)
        if any(
            (task.name, str(num_iter), way, str(seed)) not in numbers.answers.rows for way in _names(num_iter)
        )
    ]
    if not truths and not asked:
        return 0
    ramps = {own: _submit(lockstep, Ramp(START_LR, END_LR, own[0]).lrs(), own[1]) for own in asked}
    sizes = {(way.steps, seed) for num_iter, seed in asked for way in WAYS[num_iter]}
    scouts = {own: _submit(lockstep, Ramp(START_LR, END_LR, own[0]).lrs(), own[1]) for own in sorted(sizes)}
    lockstep.run()
    whole = {own: _curve(Ramp(START_LR, END_LR, own[0]).lrs(), done, own[0]) for own, done in ramps.items()}
    coarse = {own: _curve(Ramp(START_LR, END_LR, own[0]).lrs(), done, own[0]) for own, done in scouts.items()}
    fine: dict[tuple[int, int, Way], tuple[np.ndarray, Future[Any]]] = {}
    for num_iter, seed in asked:
        for way in WAYS[num_iter]:
            lrs = fine_lrs(coarse[way.steps, seed], way, num_iter)
            if lrs is not None:
                fine[num_iter, seed, way] = lrs, _submit(lockstep, lrs, seed)
    lockstep.run()
    for (seed, lr), done in truths.items():
        numbers.truths.add((task.name, seed, f"{lr:.6g}"), (f"{done.result():.6g}",))
    for (num_iter, seed), curve in whole.items():
        _add(numbers, (task.name, num_iter, WHOLE, seed), curve, 0)
        for way in WAYS[num_iter]:
            found = fine.get((num_iter, seed, way))
            own = curve if found is None else _curve(*found, num_iter)
            _add(numbers, (task.name, num_iter, way.name, seed), own, len(coarse[way.steps, seed]))
    return len(truths) + len(ramps) + len(scouts) + len(fine)


def fine_lrs(scout: Curve, way: Way, num_iter: int) -> np.ndarray | None:
    """Those LRs of the whole ramp that the fine one takes; None where that is all, as the scout can't tell."""
    fine = scouted(scout, Ramp(START_LR, END_LR, num_iter), below=way.below, above=way.above)
    return None if fine.part is None else fine.lrs()


def _names(num_iter: int) -> list[str]:
    return [WHOLE, *(way.name for way in WAYS[num_iter])]


def _submit(lockstep: Lockstep | OneByOne, lrs: np.ndarray, seed: int) -> Future[Any]:
    return lockstep.submit(Training(seed, lrs.tolist(), validates=False))


def _curve(lrs: np.ndarray, done: Future[Any], num_iter: int) -> Curve:
    """Up to where the stop rule would have ended it; spans of smoothing are those of the whole ramp."""
    losses = done.result()
    stopped = first_stop(losses, StopRule())
    number, stop = (len(losses), Stop.COMPLETED) if stopped is None else (stopped[0] + 1, stopped[1])
    return Curve(lrs[:number], np.array(losses[:number]), num_iter, stop)


def _add(numbers: Numbers, key: tuple[object, ...], curve: Curve, before: int) -> None:
    lr = suggest(curve).lr
    numbers.answers.add(key, ("" if lr is None else f"{lr:.6g}", len(curve) + before))


# ---- the table


def report_lines(numbers: Numbers, tasks: Sequence[Task]) -> Iterator[str]:
    """For each ramp the whole one and each way beside it, as a markdown table; tasks set aside and others apart."""
    for group in ("tuning", "aside"):
        known = {task.name: numbers.regret(task.name) for task in tasks if task.group == group}
        for num_iter in WAYS:
            truths = {
                task: truth
                for task, truth in known.items()
                if truth is not None
                and all(numbers.answer(task, num_iter, way) is not None for way in _names(num_iter))
            }
            if not truths:
                continue
            yield ""
            yield f"{num_iter} iterations, {len(truths)} tasks ({group}), {len(SEEDS)} seeds each"
            yield ""
            yield (
                "| way | hits | close | no answer | hits less the whole ramp's | close, likewise "
                "| steps: median, most of a task | moved, octaves: median, 90% |"
            )
            yield "|---|---|---|---|---|---|---|---|"
            for way in _names(num_iter):
                yield _row(numbers, truths, num_iter, way)


def _row(numbers: Numbers, truths: Mapping[str, Regret], num_iter: int, way: str) -> str:
    shares, moved, missing, scores, usual = [], [], [], [], []
    for task, truth in truths.items():
        base, own = numbers.answer(task, num_iter, WHOLE), numbers.answer(task, num_iter, way)
        assert base is not None
        assert own is not None
        for lrs, kept in ((base[0], usual), (own[0], scores)):
            regret = truth.at(lrs)
            kept.append((np.mean(regret <= HIT), np.mean(regret <= CLOSE)))
        missing.append(np.mean(~np.isfinite(own[0])))
        shares.append(float(np.mean(own[1]) / np.mean(base[1])))
        both = np.isfinite(own[0]) & np.isfinite(base[0])
        moved += np.abs(np.log2(own[0][both] / base[0][both])).tolist()
    hits, close = np.mean(scores, axis=0)
    more_hits, more_close = (_difference(each) for each in (np.array(scores) - np.array(usual)).T)
    far = np.percentile(moved, [50, 90]) if moved else (np.nan, np.nan)
    return (
        f"| {way} | {hits:.1%} | {close:.1%} | {np.mean(missing):.1%} | {more_hits} | {more_close} "
        f"| {np.median(shares):.2f}, {max(shares):.2f} | {far[0]:.2f}, {far[1]:.2f} |"
    )


def _difference(of_tasks: np.ndarray) -> str:
    """The mean over tasks with its 95% interval, by a bootstrap over tasks."""
    rng = np.random.default_rng(0)
    draws = of_tasks[rng.integers(len(of_tasks), size=(2000, len(of_tasks)))].mean(axis=1)
    low, high = np.percentile(draws, [2.5, 97.5])
    return f"{of_tasks.mean():+.1%} [{low:+.1%}, {high:+.1%}]"


def main() -> int:
    """Compute what is missing, or report."""
    options = _options()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    numbers = Numbers(options.results)
    tasks = [task for task in _tasks() if task.name in options.tasks]
    if options.what == "report":
        print("\n".join(report_lines(numbers, all_tasks())))
        return 0
    for task in tasks:
        start = time.process_time()
        with sdpa_kernel(SDPBackend.MATH):  # the only one that torch.func.vmap maps
            number = train(numbers, task)
        print(f"{task.name}: {number} trainings, {time.process_time() - start:.0f} s on the core", flush=True)
    return 0


def _tasks() -> list[Task]:
    """Those whose data are there, the cheapest first."""
    there = [task for task in all_tasks() if task.data != "cifar16" or CIFAR10 in os.environ]
    return sorted(there, key=lambda task: COST.get(task.name, 10.0))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = [task.name for task in _tasks()]
    parser.add_argument("what", choices=["train", "report"])
    parser.add_argument("--tasks", nargs="+", default=names, choices=names, metavar="TASK")
    parser.add_argument("--results", type=Path, default=FOLDER, help="where the numbers are")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
