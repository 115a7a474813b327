"""The stop rule: when a run has diverged. It has its own fixed filter and knows nothing of the analysis."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from steadylr.core.arguments import check_numbers
from steadylr.core.curve import Stop

FILTER_POINTS = 5  # one or two spikes among five losses move no median
FIRST_POINTS = 10  # losses that tell start and noise; no run diverges before
NOISE_FACTOR = 10.0  # a loss that never fell has to climb so many times its noise
RESOLUTION = 2.0**-22  # of a loss: about what a float32 resolves, so less than this is no noise but rounding


@dataclass(frozen=True, slots=True)
class StopRule:
    """Stop a run whose loss has climbed far above where it started, or is no number any more.

    With f(i) the median of losses i - 4 to i, start the median of f(4) to f(9), best the lowest f so far and
    noise the median absolute difference of successive losses among the first 10 (at least 2^-22 of the largest of
    them, which is what a float32 resolves):

        DIVERGED    at the first i >= 10 with f(i) - start > diverge_th * max(start - best, 10 noise)
        NON_FINITE  at the first NaN or infinite loss

    Only differences of losses are compared: shifting all losses or scaling them changes nothing, and losses below
    zero are safe. A spike of one or two losses stops nothing.

    Args:
        diverge_th: how many times its descent the loss may climb above its start, above 0. None never stops for
            divergence; a NaN or an infinite loss still ends the run, as nothing can be trained from there.

    Raises:
        ValueError: diverge_th is not a finite number above 0.
    """

    diverge_th: float | None = 2.0

    def __post_init__(self) -> None:
        th = self.diverge_th
        if th is not None:
            check_numbers(diverge_th=th)
        if th is not None and not (math.isfinite(th) and th > 0):
            raise ValueError(f"diverge_th must be a finite number above 0, or None to never stop; got {th!r}")

    def monitor(self) -> StopMonitor:
        """A monitor that watches one run from its first loss."""
        return StopMonitor(self)


class StopMonitor:
    """Watches the raw losses of one run as they come; each takes constant time and memory."""

    __slots__ = ("_best", "_first", "_limit", "_recent", "_rule", "_start", "_stop")

    def __init__(self, rule: StopRule) -> None:
        self._rule = rule
        self._first: list[float] = []
        self._recent: deque[float] = deque(maxlen=FILTER_POINTS)
        self._best = math.inf
        self._start = math.nan
        self._limit = math.nan
        self._stop: Stop | None = None

    def update(self, loss: float) -> Stop | None:
        """Take the next raw loss; say whether, and why, the run ends with it. Once it has ended it stays so."""
        if self._stop is None:
            self._stop = self._judge(loss)
        return self._stop

    def _judge(self, loss: float) -> Stop | None:
        if not math.isfinite(loss):
            return Stop.NON_FINITE
        self._recent.append(loss)
        if len(self._first) < FIRST_POINTS:
            self._first.append(loss)
            if len(self._first) == FIRST_POINTS:
                self._settle()
            return None
        value = median(self._recent)
        self._best = min(self._best, value)
        if self._rule.diverge_th is None:
            return None
        climbed = value - self._start
        diverged = climbed > self._rule.diverge_th * max(self._start - self._best, self._limit)
        return Stop.DIVERGED if diverged else None

    def _settle(self) -> None:
        """Fix start and noise, once the first losses are there."""
        first = self._first
        filtered = [
            median(first[end - FILTER_POINTS : end]) for end in range(FILTER_POINTS, FIRST_POINTS + 1)
        ]
        noise = median(abs(after - before) for before, after in pairwise(first))
        self._start, self._best = median(filtered), min(filtered)
        self._limit = NOISE_FACTOR * max(noise, RESOLUTION * max(map(abs, first)))


def first_stop(losses: Iterable[float], rule: StopRule) -> tuple[int, Stop] | None:
    """The index of the loss at which a run would have ended, and why; None where it never would."""
    monitor = rule.monitor()
    for index, loss in enumerate(losses):
        stop = monitor.update(loss)
        if stop is not None:
            return index, stop
    return None
