"""When to stop adding runs: once the mean is known closely enough, by an interval that survives the looking."""

from __future__ import annotations

import math
from dataclasses import dataclass

from steadylr.core.arguments import check_numbers, check_whole

EACH_LOOK = 0.98
"""Confidence of the t interval at each look, so that the one at which a StoppingRule ends covers at least 95%.

Whoever stops as soon as the interval is narrow stops where s happens to be small, and too narrow is what such an
interval is: with 95% at each look it covers 90.1% at worst. For normal log10 LRs the mean of n runs is
independent of how their spread came about (all s up to n), so the coverage of a rule that looks at s only is

    E[2 Phi(t s_N / sigma) - 1],   t = t(0.99, N - 1),   N = number of runs at the end,

which depends on sigma / log10(factor), on when one looks, and on max_runs. benchmarks/stopping.py computes it over
all of them: from 95.3% (looking after each run, at the least favourable sigma) to 98%, also for max_runs without end.
So neither a larger max_runs later nor other batches cost coverage. Runs of a coarse ramp may answer with the very
same LR; consensus then takes s for at least what rounding to the ramp's steps makes it. The rule is that of Chow and
Robbins (1965, doi 10.1214/aoms/1177700156), which holds as the interval shrinks; the confidence is the correction
for the few runs that one has.
"""

MIN_RUNS = 3
"""Below this there is no interval."""


@dataclass(frozen=True, slots=True)
class StoppingRule:
    """Add runs until the interval's upper end is at most `factor` times the geometric mean, or there are max_runs.

    Args:
        factor: above 1.
        max_runs: at least 3; counts runs without an LR too.

    Raises:
        ValueError: a value outside its range.
    """

    factor: float
    max_runs: int

    def __post_init__(self) -> None:
        check_numbers(factor=self.factor)
        check_whole(max_runs=self.max_runs)
        if not (math.isfinite(self.factor) and self.factor > 1):
            raise ValueError(
                f"factor must be finite and above 1, as it is what the interval's upper end over the mean "
                f"may be; got {self.factor!r}"
            )
        if self.max_runs < MIN_RUNS:
            raise ValueError(
                f"max_runs must be at least {MIN_RUNS}, as fewer runs have no interval; got {self.max_runs!r}"
            )
