"""How often the mean over seeds lies where a single curve says that it does: "within a factor of x (19 of 20 runs)"."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from itertools import product
from pathlib import Path

import numpy as np

from lengths_parts.lockstep import Lockstep, ramp
from lengths_parts.methods import HIGHEST, LOWEST, curve_of
from lengths_parts.results import Results
from lengths_parts.tasks import task_of
from steadylr.core.certainty import factor_95, log10_std
from steadylr.core.curve import Curve
from steadylr.core.rules import suggest

ITERATIONS = (100, 300, 1000)
SEEDS = tuple(10_000 * run for run in range(1, 9))
FEWEST = 4
"""Runs with an answer that a task needs to take part."""

Reading = tuple[float, float]
"""What one curve says: its LR, and the standard deviation that it foretells, in log10."""


class Readings:
    """What curves say, by task, iterations and seed; each is in the file as soon as it is known."""

    def __init__(self, path: Path) -> None:
        self._results = Results(path, num_keys=3, num_values=2)

    def of(self, task: str, num_iter: int) -> list[Reading]:
        """Of the runs with an answer."""
        keys = [(task, str(num_iter), str(seed)) for seed in SEEDS]
        rows = [self._results.rows.get(key, ("", "")) for key in keys]
        return [(float(lr), float(std)) for lr, std in rows if lr]

    def compute(self, task: str) -> int:
        """Train the range tests of a task that are missing, side by side; gives their number."""
        missing = [
            (num_iter, seed)
            for num_iter, seed in product(ITERATIONS, SEEDS)
            if (task, str(num_iter), str(seed)) not in self._results.rows
        ]
        if not missing:
            return 0
        lockstep = Lockstep(task_of(task))

        def add(done: Future[Sequence[float]], num_iter: int, seed: int) -> None:
            read = reading_of(curve_of(done.result(), num_iter))
            values = ("", "") if read is None else tuple(f"{value:.6g}" for value in read)
            self._results.add((task, num_iter, seed), values)

        for num_iter, seed in missing:
            done = lockstep.submit(ramp(num_iter, seed, start_lr=LOWEST, end_lr=HIGHEST))
            done.add_done_callback(lambda done, num_iter=num_iter, seed=seed: add(done, num_iter, seed))
        lockstep.run()
        return len(missing)


def reading_of(curve: Curve) -> Reading | None:
    """The LR of a curve and how sure it is; None where it has no answer."""
    lr, std = suggest(curve).lr, log10_std(curve)
    return None if lr is None or std is None else (lr, std)


def certainty_lines(readings: Readings, names: Sequence[str]) -> Iterator[str]:
    """By iterations, the share of runs whose factor held: the mean over tasks, and the worst; a markdown table."""
    yield "| N | tasks | held (95% wanted) | in the worst task | tasks below 95% |"
    yield "|---|---|---|---|---|"
    for num_iter in ITERATIONS:
        held = {name: share_held(readings.of(name, num_iter)) for name in names}
        shares = {name: share for name, share in held.items() if share is not None}
        if shares:
            worst = min(shares, key=shares.__getitem__)
            below = sum(share < 0.95 for share in shares.values())
            yield (
                f"| {num_iter} | {len(shares)} | {np.mean(list(shares.values())):.0%} "
                f"| {shares[worst]:.0%} ({worst}) | {below} |"
            )


def share_held(readings: Sequence[Reading]) -> float | None:
    """Of runs that differ in their seeds, those whose factor holds the mean over seeds; None with too few answers.

    The mean is that of the other runs; its own error is taken out, as their number is known.
    """
    if len(readings) < FEWEST:
        return None
    logs = [math.log10(lr) for lr, _ in readings]
    others, total = len(logs) - 1, sum(logs)
    away = [abs(lr - (total - lr) / others) / math.sqrt(1 + 1 / others) for lr in logs]
    held = [far < math.log10(factor_95(std)) for far, (_, std) in zip(away, readings, strict=True)]
    return float(np.mean(held))
