"""The consensus: what the suggestions of many runs say together. All statistics are in log10 LR."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

from steadylr.core.log10 import (
    CONFIDENCE,
    c4,
    checked_lr,
    factor_around,
    geometric_mean,
    half_width,
    power10,
    standard_deviation,
)
from steadylr.core.stopping import EACH_LOOK, StoppingRule
from steadylr.core.suggestion import Suggestion

Choice = Literal["geometric_mean", "median", "conservative", "aggressive"]

NEAR_FACTOR = 1.25  # how close the interval's upper end should be to the mean before more runs stop paying
_FIVE_RUNS_RANGE = 2.325929  # expected range of five standard normals (Tippett 1925, d2 of control charts)


@dataclass(frozen=True, slots=True)
class Consensus:
    """What n suggestions say together. LRs are None when n is 0, spreads when n is too small for them.

    With x_i = log10(LR of run i), m their mean and s their standard deviation (divided by n - 1):

        geometric_mean = 10^m        geometric_std = 10^s        ratio = high / low
        interval = 10^(m -+ t(0.975, n - 1) s / sqrt(n)), the 95% interval of the geometric mean

    Attributes:
        n: runs with an LR. Counts runs, never jobs.
        choose: which of the numbers lr is.
        lr: the chosen LR.
        failures: runs without an LR, by outcome; no zeros.
        low, high: the lowest and the highest LR.
        ratio: high / low; 1 for one run.
        median: the middle one of the LRs, or the geometric mean of the two in the middle.
        geometric_mean: 10^m, never outside [low, high].
        geometric_std: 10^s, a factor of at least 1; None for n < 2.
        interval: (lower, upper) of the geometric mean; None for n < 3: two runs have no interval. Where a
            StoppingRule ended the sweep, with t(0.99, n - 1) in place of t(0.975, n - 1): see core.stopping.
        leave_one_out: the lowest and the highest geometric mean when any one run is left out; None for n < 2.
        runs_needed: how many further runs would bring the interval's upper end within near_factor of the
            mean, if s stays what it is: the smallest N >= max(n, 3) with t(0.975, N - 1) s / sqrt(N) <=
            log10(near_factor), minus n. None for n < 2, where s is unknown.
        expected_ratio: the ratio typical of five runs at this spread, the geometric mean of what many fives would
            show: 10^E[log10 ratio] = 10^(2.326 s / c4(n)). (Their arithmetic mean is larger, and is carried by a
            few: 6.06 instead of 4.99 at s = 0.3.) 2.326 is
            the expected range of five standard normals and c4(n) corrects s for being too small on average;
            None for n < 2. Unlike ratio it doesn't grow with n.
        near_factor: how close the interval's upper end should be to the mean: 1.25, or the rule's factor.
        corrected: whether the interval is the wider one that looking repeatedly asks for.
    """

    n: int
    choose: Choice = "geometric_mean"
    lr: float | None = None
    failures: Mapping[str, int] = field(default_factory=dict)
    low: float | None = None
    high: float | None = None
    ratio: float | None = None
    median: float | None = None
    geometric_mean: float | None = None
    geometric_std: float | None = None
    interval: tuple[float, float] | None = None
    leave_one_out: tuple[float, float] | None = None
    runs_needed: int | None = None
    expected_ratio: float | None = None
    near_factor: float = NEAR_FACTOR
    corrected: bool = False

    @property
    def num_failed(self) -> int:
        """Runs without an LR."""
        return sum(self.failures.values())

    @property
    def num_runs(self) -> int:
        """All runs, with and without an LR."""
        return self.n + self.num_failed


def consensus(
    lrs: Sequence[float | Suggestion],
    *,
    choose: Choice = "geometric_mean",
    failures: Mapping[str, int] | None = None,
    rule: StoppingRule | None = None,
    log10_step: float = 0.0,
) -> Consensus:
    """What the LRs of many runs say together.

    Args:
        lrs: one LR per run, finite and above 0, or one suggestion per run, in any order; a suggestion without an LR
            counts as a failure. None at all is an answer too: no usable run.
        choose: "geometric_mean", "median", "conservative" (the lowest) or "aggressive" (the highest).
        failures: further runs without an LR, counted by outcome.
        rule: what decided how many runs there are; None where that was settled beforehand.
        log10_step: how far apart, in log10, the LRs lie that a run can answer with: the ramp's step. A rule takes
            no spread for smaller than rounding to such steps makes it, log10_step / sqrt(12).

    Raises:
        ValueError: an LR that is zero, negative, not finite or no number; unknown choice; negative count.
    """
    if choose not in get_args(Choice):
        raise ValueError(f"choose must be one of {get_args(Choice)}; got {choose!r}")
    unread = Counter(one.outcome.value for one in lrs if isinstance(one, Suggestion) and one.lr is None)
    counts = _checked_failures(Counter(_checked_failures(failures or {})) + unread)
    found = [one.lr if isinstance(one, Suggestion) else one for one in lrs]
    # sorted, so that the order of the runs changes no bit of the answer
    values = sorted(
        checked_lr(lr, f"LR number {i} of {len(found)}")
        for i, (lr, one) in enumerate(zip(found, lrs, strict=True), start=1)
        if not (lr is None and isinstance(one, Suggestion))
    )
    confidence = CONFIDENCE if rule is None else EACH_LOOK
    near_factor = NEAR_FACTOR if rule is None else rule.factor
    corrected = rule is not None
    if not values:
        return Consensus(0, choose, failures=counts, near_factor=near_factor, corrected=corrected)
    n = len(values)
    mean, median = geometric_mean(values), geometric_mean(values[(n - 1) // 2 : n // 2 + 1])
    chosen = {"geometric_mean": mean, "median": median, "conservative": values[0], "aggressive": values[-1]}
    s = standard_deviation(values)
    known_s = s if s is None or rule is None else max(s, log10_step / math.sqrt(12))
    return Consensus(
        n=n,
        choose=choose,
        lr=chosen[choose],
        failures=counts,
        low=values[0],
        high=values[-1],
        ratio=values[-1] / values[0],
        median=median,
        geometric_mean=mean,
        geometric_std=None if s is None else power10(s),
        interval=None
        if known_s is None or n < 3
        else factor_around(mean, half_width(known_s, n, confidence)),
        leave_one_out=None if n < 2 else (geometric_mean(values[:-1]), geometric_mean(values[1:])),
        runs_needed=None if known_s is None else _runs_needed(known_s, n, near_factor, confidence),
        expected_ratio=None if s is None else power10(_FIVE_RUNS_RANGE * s / c4(n)),
        near_factor=near_factor,
        corrected=corrected,
    )


def _runs_needed(s: float, n: int, near_factor: float, confidence: float) -> int:
    """Further runs until the interval's upper end is near; its half width falls with n, so halving works."""
    limit = math.log10(near_factor)
    enough = max(n, 3)
    too_few = enough - 1
    while half_width(s, enough, confidence) > limit:
        too_few, enough = enough, 2 * enough
    while enough - too_few > 1:
        middle = (too_few + enough) // 2
        if half_width(s, middle, confidence) > limit:
            too_few = middle
        else:
            enough = middle
    return enough - n


def _checked_failures(failures: Mapping[str, int]) -> dict[str, int]:
    """Counts above 0, in the order of the alphabet."""
    counts: dict[str, int] = {}
    for outcome, count in failures.items():
        name = str(getattr(outcome, "value", outcome))
        if isinstance(count, bool) or not isinstance(count, int) or count < 0:
            raise ValueError(f"failures[{name!r}] must be a count of at least 0; got {count!r}")
        if count:
            counts[name] = count
    return dict(sorted(counts.items()))
