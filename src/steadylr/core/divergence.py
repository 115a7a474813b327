"""The stop rule: when a run has diverged. It has its own fixed filter and knows nothing of the analysis."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median

from steadylr.core.curve import Stop

FILTER_POINTS = 5  # one or two spikes among five losses move no median
START_POINTS = 10  # filtered losses whose median is the start
NOISE_FACTOR = 10.0  # a loss that never fell has to climb so many times its noise


@dataclass(frozen=True, slots=True)
class StopRule:
    """Stop a run whose loss has climbed far above where it started, or is no number any more.

    With f(i) the median of the last 5 raw losses (fewer at the start), start the median of the first 10 filtered
    losses, best the lowest f so far and noise the median absolute difference of successive losses among the
    first 10:

        DIVERGED    where i >= 10 and f(i) - start > diverge_th * max(start - best, 10 noise)
        NON_FINITE  at the first NaN or infinite loss

    Only differences of losses are compared: shifting all losses or scaling them changes nothing, and losses below
    zero are safe.

    Args:
        diverge_th: how many times its descent the loss may climb above its start, above 0. None never stops for
            divergence; a NaN or an infinite loss still ends the run, as nothing can be trained from there.

    Raises:
        ValueError: diverge_th is not a finite number above 0.
    """

    diverge_th: float | None = 2.0

    def __post_init__(self) -> None:
        th = self.diverge_th
        if th is not None and not (math.isfinite(th) and th > 0):
            raise ValueError(f"diverge_th must be a finite number above 0, or None to never stop; got {th!r}")

    def monitor(self) -> StopMonitor:
        """A monitor that watches one run from its first loss."""
        return StopMonitor(self)


class StopMonitor:
    """Watches the raw losses of one run as they come; each takes constant time."""

    __slots__ = ("_best", "_filtered", "_noise", "_raw", "_rule", "_start")

    def __init__(self, rule: StopRule) -> None:
        self._rule = rule
        self._raw: list[float] = []
        self._filtered: list[float] = []
        self._best = math.inf
        self._start = math.nan
        self._noise = math.nan

    def update(self, loss: float) -> Stop | None:
        """Take the next raw loss; say whether, and why, the run ends with it."""
        if not math.isfinite(loss):
            return Stop.NON_FINITE
        self._raw.append(loss)
        value = median(self._raw[-FILTER_POINTS:])
        self._best = min(self._best, value)
        if len(self._filtered) < START_POINTS:
            self._filtered.append(value)
            if len(self._filtered) == START_POINTS:
                self._settle()
            return None
        del self._raw[:-FILTER_POINTS]
        if self._rule.diverge_th is None:
            return None
        climbed = value - self._start
        if climbed > self._rule.diverge_th * max(self._start - self._best, NOISE_FACTOR * self._noise):
            return Stop.DIVERGED
        return None

    def _settle(self) -> None:
        """Fix start and noise, once the first losses are there."""
        self._start = median(self._filtered)
        steps = [abs(after - before) for before, after in zip(self._raw, self._raw[1:], strict=False)]
        self._noise = median(steps)


def first_stop(losses: Iterable[float], rule: StopRule) -> tuple[int, Stop] | None:
    """The index of the loss at which a run would have ended, and why; None where it never would."""
    monitor = rule.monitor()
    for index, loss in enumerate(losses):
        stop = monitor.update(loss)
        if stop is not None:
            return index, stop
    return None
