"""Losses over LR and length that can be written down: valleys whose bottoms follow a known law."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from steadylr.core.length.law import valley
from steadylr.core.length.trials import TrialLoss

Train = Callable[[float, int, int], float]


@dataclass(frozen=True)
class Valleys:
    """loss = limit + amplitude T^-fall (1 + height valley(u)) + noise; given up above `limit_octaves`."""

    best_at_1000: float = 0.01
    exponent: float = 0.4
    limit: float = 0.2
    amplitude: float = 3.0
    fall: float = 0.4
    height: float = 0.08
    skew: float = 0.3
    noise: float = 0.0
    seed_noise: float = 0.0
    given_up_octaves: float = math.inf

    def best(self, steps: float) -> float:
        """The best LR at a length."""
        return self.best_at_1000 * (steps / 1000) ** -self.exponent

    def __call__(self, lr: float, steps: int, seed: int) -> float:
        u = math.log2(lr / self.best(steps))
        if u > self.given_up_octaves:
            return math.inf
        left = self.amplitude * steps**-self.fall
        own = np.random.default_rng([round(1e9 * lr), steps, seed]).normal()
        shared = np.random.default_rng([steps, seed]).normal()
        height = self.height * float(valley(u, self.skew))
        return float(self.limit + left * (1 + height + self.noise * own + self.seed_noise * shared))

    def grid(
        self, lengths: Iterable[int], *, octaves: Iterable[float] = (-2, -1, 0, 1, 2), seeds: int = 1
    ) -> list[TrialLoss]:
        """Trials around the best LR of each length, a little off it."""
        return [
            TrialLoss(steps, lr, seed, self(lr, steps, seed))
            for steps in lengths
            for lr in (self.best(steps) * 2.0 ** (k + 0.3) for k in octaves)
            for seed in range(seeds)
        ]
