"""The truth: trainings of several lengths at peak LRs a factor of 2 apart, closer near the bottom of the longest."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np

from lengths_parts.lockstep import Lockstep, one_cycle
from lengths_parts.results import Results
from lengths_parts.tasks import LENGTHS, task_of
from quality_parts.tasks import Task
from steadylr.core.curve import FloatArray

SEEDS = (1001, 1002, 1003)

OCTAVES = {"sgd": (-8, 2), "momentum": (-11, -1), "adamw": (-13, -3), "rmsprop": (-13, -3)}
"""Both ends of the LRs that are tried first, as powers of 2. Where the best is at an end, more follow."""

CLOSER = (-1.5, -0.5, 0.5)
"""Octaves from the best LR of the second longest trainings at which the longest are tried too."""

MAX_OCTAVE = 5

NEAR = 5
"""LRs around the best one that the parabola goes through."""

STILL_FALLS = 0.05
"""A task whose last factor of 4 in length lowers the loss by less than this share of the whole fall is judged by
regret: next to no loss is a large share of the training there."""

Key = tuple[str, int, int, float]
"""Task, steps, seed, octave."""


class Truths:
    """Losses by task, steps, seed and octave; each is in the file as soon as it is known."""

    def __init__(self, path: Path) -> None:
        self._results = Results(path, num_keys=4, num_values=1)
        self.losses: dict[Key, float] = {
            (task, int(steps), int(seed), float(octave)): float(loss)
            for (task, steps, seed, octave), (loss,) in self._results.rows.items()
        }

    def add(self, key: Key, loss: float) -> None:
        """Write down one loss."""
        task, steps, seed, octave = key
        self.losses[key] = loss
        self._results.add((task, steps, seed, f"{octave:g}"), (f"{loss:.6g}",))

    def at(self, task: str, steps: int) -> tuple[FloatArray, FloatArray]:
        """What is known with all seeds: octaves (n,), rising, and losses (seeds, n)."""
        octaves = sorted({key[3] for key in self.losses if key[:2] == (task, steps)})
        rows = [[self.losses.get((task, steps, seed, o)) for o in octaves] for seed in SEEDS]
        whole = [place for place in range(len(octaves)) if all(row[place] is not None for row in rows)]
        return np.array(octaves)[whole], np.array(rows, dtype=float)[:, whole]


def missing(truths: Truths, task: Task) -> list[Key]:
    """What is to be trained next for a task; empty when its truth is whole.

    The longest trainings come last, all at once: by then it is known where they have to be close to each other.
    """
    kind = "momentum" if task.settings.get("momentum") else task.optimizer
    low, high = OCTAVES[kind]
    coarse = [float(octave) for octave in range(low, high + 1)]
    wanted = [(steps, octave) for steps in LENGTHS[:-1] for octave in coarse]
    wanted += [key[1::2] for key in truths.losses if key[0] == task.name]  # begun: with all seeds
    if not (lacking := _lacking(truths, task, wanted)):
        best = round(_best(truths, task, LENGTHS[-2]))
        wanted = [(LENGTHS[-1], o) for o in (*coarse, *(best + away for away in CLOSER)) if o <= MAX_OCTAVE]
        lacking = _lacking(truths, task, wanted)
    if not lacking:
        wanted = [
            (n, o) for n in LENGTHS for o in _beyond(_best(truths, task, n), truths.at(task.name, n)[0])
        ]
        lacking = _lacking(truths, task, wanted)
    return lacking


def _best(truths: Truths, task: Task, steps: int) -> float:
    """The octave with the lowest mean loss."""
    octaves, losses = truths.at(task.name, steps)
    return float(octaves[int(np.argmin(losses.mean(0)))])


def _beyond(best: float, octaves: FloatArray) -> list[float]:
    """Further octaves where the best is at an end."""
    low, high = float(octaves[0]), float(octaves[-1])
    below = [low - 1, low - 2] if best == low else []
    above = [octave for octave in (high + 1, high + 2) if octave <= MAX_OCTAVE] if best == high else []
    return below + above


def _lacking(truths: Truths, task: Task, wanted: Iterable[tuple[int, float]]) -> list[Key]:
    keys = [(task.name, steps, seed, octave) for (steps, octave), seed in product(wanted, SEEDS)]
    return [key for key in dict.fromkeys(keys) if key not in truths.losses]


def compute(truths: Truths, names: Sequence[str]) -> int:
    """Train what is missing, task by task; what has been trained is kept. Gives the number of trainings."""
    number = 0
    for name in names:
        task = task_of(name)
        lockstep = Lockstep(task)
        while todo := missing(truths, task):
            number += len(todo)
            for key in todo:
                _, steps, seed, octave = key
                done = lockstep.submit(one_cycle(task, 2.0**octave, steps, seed))
                done.add_done_callback(lambda future, key=key: truths.add(key, future.result()))
            lockstep.run()
    return number


# ---- what it says


@dataclass(frozen=True, slots=True, eq=False)
class Valley:
    """The loss of one length over the LR.

    Args:
        octaves: log2 of the LRs, shape (n,), rising.
        losses: means over seeds, shape (n,); infinite where a seed diverged.
        seeds: losses of shape (seeds, n).
        parabola: coefficients, the highest power first, through the NEAR lowest LRs; None where they are not convex.
    """

    octaves: FloatArray
    losses: FloatArray
    seeds: FloatArray
    near: tuple[float, float]
    parabola: FloatArray | None

    @classmethod
    def of(cls, octaves: FloatArray, seeds: FloatArray) -> Valley:
        """From losses of shape (seeds, LRs)."""
        losses = np.asarray(seeds.mean(0))
        best = int(np.argmin(losses))
        chosen = np.sort(np.argsort(np.abs(octaves - octaves[best]), kind="stable")[:NEAR])
        chosen = chosen[np.isfinite(losses[chosen])]
        near = float(octaves[chosen[0]]), float(octaves[chosen[-1]])
        parabola = np.polyfit(octaves[chosen], losses[chosen], 2) if len(chosen) > 2 else None
        if parabola is None or parabola[0] <= 0 or not near[0] <= -parabola[1] / (2 * parabola[0]) <= near[1]:
            parabola = None
        return cls(octaves, losses, seeds, near, parabola)

    @property
    def best_octave(self) -> float:
        """log2 of the best LR."""
        if self.parabola is None:
            return float(self.octaves[int(np.argmin(self.losses))])
        return float(-self.parabola[1] / (2 * self.parabola[0]))

    @property
    def bottom(self) -> float:
        """The loss there."""
        return self.at(self.best_octave)

    @property
    def is_open(self) -> bool:
        """Whether the best LR is at an end of those tried."""
        return int(np.argmin(self.losses)) in (0, len(self.losses) - 1)

    @property
    def noise(self) -> float:
        """Standard error of the bottom's loss, from the seeds' own losses at the best LR tried."""
        own = self.seeds[:, int(np.argmin(self.losses))]
        return float(own.std(ddof=1) / math.sqrt(len(own)))

    def at(self, octave: float) -> float:
        """The loss at an LR: the parabola near the bottom, straight lines between the LRs elsewhere, ends beyond."""
        if self.parabola is not None and self.near[0] <= octave <= self.near[1]:
            return float(np.polyval(self.parabola, octave))
        if not self.octaves[0] <= octave <= self.octaves[-1]:
            return float(self.losses[0 if octave < self.octaves[0] else -1])
        place = int(np.searchsorted(self.octaves, octave))
        if self.octaves[place] == octave or place == 0:
            return float(self.losses[place])
        share = (octave - self.octaves[place - 1]) / (self.octaves[place] - self.octaves[place - 1])
        low, high = self.losses[place - 1 : place + 1]
        return float(low + share * (high - low)) if math.isfinite(low) and math.isfinite(high) else math.inf


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """What trainings of one task come to: a valley for each length, and what an LR wastes at the longest.

    Args:
        lengths: steps, rising.
        valleys: one for each.
    """

    lengths: tuple[int, ...]
    valleys: tuple[Valley, ...]

    @classmethod
    def of(cls, truths: Truths, task: str) -> Truth | None:
        """A task's; None while some length is missing."""
        found = [truths.at(task, steps) for steps in LENGTHS]
        if any(len(octaves) < 5 for octaves, _ in found):
            return None
        return cls(LENGTHS, tuple(Valley.of(octaves, seeds) for octaves, seeds in found))

    @property
    def still_falls(self) -> bool:
        """Whether the last factor of 4 lowers the best loss by STILL_FALLS of the whole fall, and 3 standard errors."""
        bottoms = [valley.bottom for valley in self.valleys]
        fall, noise = bottoms[-2] - bottoms[-1], math.hypot(*(valley.noise for valley in self.valleys[-2:]))
        return fall > max(STILL_FALLS * (bottoms[0] - bottoms[-1]), 3 * noise)

    def regret(self, lr: float | None) -> float:
        """(Loss there - best loss) / (best loss of the shortest length - best loss), in [0, 1]; 1 without an LR."""
        if lr is None:
            return 1.0
        last = self.valleys[-1]
        fall = self.valleys[0].bottom - last.bottom
        return float(np.clip((last.at(math.log2(lr)) - last.bottom) / fall, 0.0, 1.0))

    def wasted(self, lr: float | None) -> float:
        """The share of the longest training that the best LR could have saved at equal loss; 1 without an LR.

        From one length to the next the best loss falls as the power of the length that it and its neighbour show,
        loss = limit + amplitude T^-p. A loss above that of the shortest length counts as 1.
        """
        if lr is None:
            return 1.0
        loss = self.valleys[-1].at(math.log2(lr))
        bottoms = np.minimum.accumulate([valley.bottom for valley in self.valleys])
        if loss > bottoms[0]:
            return 1.0
        if loss <= bottoms[-1]:
            return 0.0
        place = int(np.argmax(bottoms < loss)) - 1  # the interval of lengths in which it is reached
        falls = -np.diff(bottoms)
        ratio = float(falls[1] / falls[0] if place == 0 else falls[place] / max(falls[place - 1], 1e-12))
        ratio = max(ratio, 1e-6)  # no fall in the interval before or behind
        reached = (bottoms[place] - loss) / falls[place]
        share = reached if abs(ratio - 1) < 1e-6 else math.log1p(reached * (ratio - 1)) / math.log(ratio)
        log_steps = np.log(self.lengths)
        enough = log_steps[place] + share * (log_steps[place + 1] - log_steps[place])
        return 1.0 - math.exp(float(enough)) / self.lengths[-1]
