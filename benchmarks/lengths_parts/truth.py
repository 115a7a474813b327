"""The truth: trainings of several lengths at peak LRs a factor of 2 apart, closer near each length's bottom."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
from scipy.interpolate import PchipInterpolator

from lengths_parts.lockstep import Lockstep, one_cycle
from lengths_parts.tasks import LENGTHS, LONG_TASKS_VERSION, STEPS, TASKS, task_of
from quality_parts.tasks import Task
from steadylr.core.curve import FloatArray

SEEDS = (1001, 1002, 1003)

OCTAVES = {"sgd": (-8, 3), "momentum": (-11, 0), "adamw": (-14, -3), "rmsprop": (-14, -3)}
"""Both ends of the LRs that are tried first, as powers of 2. Where the best is within one of an end, more follow."""

CLOSER = (-1.5, -0.5, 0.5, 1.5)
"""Octaves from the best LR of a length at which it is tried too."""

MAX_OCTAVE = 5

Key = tuple[str, int, int, float]
"""Task, steps, seed, octave."""


class Truths:
    """Losses in a CSV file, one row a training; each is there as soon as it is known."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.losses: dict[Key, float] = {}
        if path.exists():
            with path.open(newline="") as file:
                for row in csv.reader(file):
                    if len(row) == 6 and row[0] == str(LONG_TASKS_VERSION):  # the last row may be torn
                        self.losses[row[1], int(row[2]), int(row[3]), float(row[4])] = float(row[5])

    def add(self, key: Key, loss: float) -> None:
        """Write down one loss."""
        self.losses[key] = loss
        task, steps, seed, octave = key
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow([LONG_TASKS_VERSION, task, steps, seed, f"{octave:g}", f"{loss:.6g}"])

    def at(self, task: str, steps: int) -> tuple[FloatArray, FloatArray]:
        """What is known with all seeds: octaves (n,), rising, and losses (seeds, n)."""
        octaves = sorted({key[3] for key in self.losses if key[:2] == (task, steps)})
        rows = [[self.losses.get((task, steps, seed, o)) for o in octaves] for seed in SEEDS]
        whole = [place for place in range(len(octaves)) if all(row[place] is not None for row in rows)]
        return np.array(octaves)[whole], np.array(rows, dtype=float)[:, whole]


def missing(truths: Truths, task: Task) -> list[Key]:
    """What is to be trained next for a task; empty when its truth is whole."""
    kind = "momentum" if task.settings.get("momentum") else task.optimizer
    low, high = OCTAVES[kind]
    wanted = [(steps, float(octave)) for steps in reversed(LENGTHS) for octave in range(low, high + 1)]
    if not _lacking(truths, task, wanted):
        for steps in reversed(LENGTHS):
            octaves, losses = truths.at(task.name, steps)
            best = float(octaves[int(np.argmin(losses.mean(0)))])
            whole = float(round(best))
            wanted += [(steps, o) for o in _beyond(whole, octaves)]
            wanted += [(steps, whole + o) for o in CLOSER if whole + o <= MAX_OCTAVE]
    return _lacking(truths, task, wanted)


def _beyond(best: float, octaves: FloatArray) -> list[float]:
    """Further octaves where the best is at an end or next to it."""
    low, high = float(octaves[0]), float(octaves[-1])
    below = [low - 1, low - 2] if best <= low + 1 else []
    above = [o for o in (high + 1, high + 2) if o <= MAX_OCTAVE] if best >= high - 1 else []
    return [float(round(o)) for o in below + above]


def _lacking(truths: Truths, task: Task, wanted: Iterable[tuple[int, float]]) -> list[Key]:
    keys = [(task.name, steps, seed, octave) for (steps, octave), seed in product(wanted, SEEDS)]
    return [key for key in dict.fromkeys(keys) if key not in truths.losses]


def compute(truths: Truths, names: Sequence[str]) -> None:
    """Train what is missing, task by task; what has been trained is kept."""
    for name in names:
        task = task_of(name)
        lockstep = Lockstep(task)
        while todo := missing(truths, task):
            for key in todo:
                _, steps, seed, octave = key
                done = lockstep.submit(one_cycle(task, 2.0**octave, steps, seed))
                done.add_done_callback(lambda future, key=key: truths.add(key, future.result()))
            lockstep.run()
