"""How often the mean over seeds lies where a single curve says that it does: "within a factor of x (19 of 20 runs)"."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from lengths_parts.lockstep import Lockstep, ramp
from lengths_parts.methods import HIGHEST, LOWEST, curve_of
from lengths_parts.tasks import task_of
from steadylr.core.certainty import factor_95, log10_std
from steadylr.core.curve import Curve
from steadylr.core.rules import suggest

ITERATIONS = (100, 300, 1000)
SEEDS = tuple(10_000 * run for run in range(1, 9))
FEWEST = 4
"""Runs with an answer that a task needs to take part."""


def certainty_lines(names: Sequence[str]) -> Iterator[str]:
    """Train range tests of eight seeds a task, and say how often their means lie where each says; a markdown table."""
    held: dict[int, list[float]] = {num_iter: [] for num_iter in ITERATIONS}
    for name in names:
        for num_iter, curves in _curves(name).items():
            share = share_held(curves)
            if share is not None:
                held[num_iter].append(share)
    yield from coverage_lines(held)


def coverage_lines(held: Mapping[int, Sequence[float]]) -> Iterator[str]:
    """By iterations: the share of runs whose interval held, as the mean over tasks, and in the worst task."""
    yield "| N | tasks | held (95% wanted) | in the worst task |"
    yield "|---|---|---|---|"
    for num_iter, shares in held.items():
        if shares:
            yield f"| {num_iter} | {len(shares)} | {np.mean(shares):.0%} | {min(shares):.0%} |"


def share_held(curves: Sequence[Curve]) -> float | None:
    """Of runs that differ in their seeds, those whose factor holds the mean over seeds; None with too few answers.

    The mean is that of the other runs; its own error is taken out, as their number is known.
    """
    pairs = [(suggest(curve).lr, log10_std(curve)) for curve in curves]
    known = [(math.log10(lr), std) for lr, std in pairs if lr is not None and std is not None]
    if len(known) < FEWEST:
        return None
    others = len(known) - 1
    total = sum(lr for lr, _ in known)
    away = [abs(lr - (total - lr) / others) / math.sqrt(1 + 1 / others) for lr, _ in known]
    return float(np.mean([d < math.log10(factor_95(std)) for d, (_, std) in zip(away, known, strict=True)]))


def _curves(name: str) -> dict[int, list[Curve]]:
    lockstep = Lockstep(task_of(name))
    asked = [
        (num_iter, lockstep.submit(ramp(num_iter, seed, start_lr=LOWEST, end_lr=HIGHEST)))
        for num_iter in ITERATIONS
        for seed in SEEDS
    ]
    lockstep.run()
    found: dict[int, list[Curve]] = {num_iter: [] for num_iter in ITERATIONS}
    for num_iter, done in asked:
        found[num_iter].append(curve_of(done.result(), num_iter))
    return found
