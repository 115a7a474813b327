"""The consensus: what the suggestions of many runs say together. All statistics are in log10 LR."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np
from scipy.special import gammaln, stdtrit

from steadylr.core.curve import FloatArray
from steadylr.core.stopping import EACH_LOOK, StoppingRule
from steadylr.core.suggestion import Suggestion

Choice = Literal["geometric_mean", "median", "conservative", "aggressive"]
Setting = str | float | int | bool | None

GUIDE: tuple[tuple[str, Choice, str], ...] = (
    ("OneCycle", "geometric_mean", "take the geometric mean"),
    ("careful", "conservative", "take the lowest"),
    ("bold", "aggressive", "take the highest"),
    ("scientific", "median", "make five runs and take the median"),
)
"""What for, which `choose`, and in words: the short guide that stands in every answer."""

NEAR_FACTOR = 1.25  # how close the interval's upper end should be to the mean before more runs stop paying
_FIVE_RUNS_RANGE = 2.325929  # expected range of five standard normals (Tippett 1925, d2 of control charts)
_CONFIDENCE = 0.95


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
        expected_ratio: the ratio to expect of five runs at this spread, 10^(2.326 s / c4(n)), where 2.326 is
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


@dataclass(frozen=True, slots=True)
class Observation:
    """What one analysis says about one run.

    Args:
        run: what tells one run from another, best the digest of its curve: equal means the same curve.
        lr: the suggested LR, finite and above 0, or None when there is none.
        outcome: "found" with an LR, else why there is none.
        settings: the analysis settings, such as {"smooth_f": 0.05, "rule": "bracket"}.

    Raises:
        ValueError: an LR that is no LR, or that contradicts the outcome; a setting that is not a plain value.
    """

    run: str
    lr: float | None
    outcome: str = "found"
    settings: Mapping[str, Setting] = field(default_factory=dict)

    def __post_init__(self) -> None:
        outcome = str(getattr(self.outcome, "value", self.outcome))
        object.__setattr__(self, "outcome", outcome)
        if (self.lr is None) == (outcome == "found"):
            raise ValueError(
                f"run {self.run!r}: an LR goes with the outcome 'found', and only with that; "
                f"got lr={self.lr!r} and outcome {outcome!r}"
            )
        if self.lr is not None:
            object.__setattr__(self, "lr", _checked_lr(self.lr, f"run {self.run!r}: the LR"))
        for name, value in self.settings.items():
            if not (value is None or isinstance(value, (str, int, float))):
                raise ValueError(
                    f"run {self.run!r}: setting {name} must be a text, a number, true, false or none; "
                    f"got {value!r}"
                )


@dataclass(frozen=True, slots=True)
class Group:
    """The runs under one combination of swept analysis settings; label holds the swept settings only."""

    label: Mapping[str, Setting]
    consensus: Consensus


@dataclass(frozen=True, slots=True)
class Shift:
    """How the LR moves between two groups, over the n runs that have an LR in both.

    factor = 10^(mean of log10(LR in `after`) - log10(LR in `before`)), None for n = 0. interval is its 95%
    paired log-t interval, None for n < 3.
    """

    before: Mapping[str, Setting]
    after: Mapping[str, Setting]
    n: int
    factor: float | None = None
    interval: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class SweepConsensus:
    """The consensus over the runs of a sweep, and beside it each analysis on its own.

    Attributes:
        headline: over runs; each run's LR is its geometric mean over the swept analysis settings.
        groups: one per combination of swept settings, in the order of the settings; one group with an empty
            label when nothing is swept.
        shifts: from the first group to each other one.
        duplicates: observations left out because the same curve under the same settings was there already.
        run_lrs: the LR of each run as the headline takes it, None without one; in the order of their names.
        partial_runs: runs with an LR under some of the swept settings only. They count with those.
    """

    headline: Consensus
    groups: tuple[Group, ...] = ()
    shifts: tuple[Shift, ...] = ()
    duplicates: int = 0
    run_lrs: Mapping[str, float | None] = field(default_factory=dict)
    partial_runs: tuple[str, ...] = ()


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
        _checked_lr(lr, f"LR number {i} of {len(found)}")
        for i, (lr, one) in enumerate(zip(found, lrs, strict=True), start=1)
        if not (lr is None and isinstance(one, Suggestion))
    )
    confidence = _CONFIDENCE if rule is None else EACH_LOOK
    near_factor = NEAR_FACTOR if rule is None else rule.factor
    corrected = rule is not None
    if not values:
        return Consensus(0, choose, failures=counts, near_factor=near_factor, corrected=corrected)
    n = len(values)
    mean, median = _geometric_mean(values), _geometric_mean(values[(n - 1) // 2 : n // 2 + 1])
    chosen = {"geometric_mean": mean, "median": median, "conservative": values[0], "aggressive": values[-1]}
    s = _log10_std(values)
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
        geometric_std=None if s is None else _power10(s),
        interval=None
        if known_s is None or n < 3
        else _factor_around(mean, log10_half_width(known_s, n, confidence)),
        leave_one_out=None if n < 2 else (_geometric_mean(values[:-1]), _geometric_mean(values[1:])),
        runs_needed=None if known_s is None else _runs_needed(known_s, n, near_factor, confidence),
        expected_ratio=None if s is None else _power10(_FIVE_RUNS_RANGE * s / _c4(n)),
        near_factor=near_factor,
        corrected=corrected,
    )


def consensus_of(
    observations: Iterable[Observation],
    *,
    choose: Choice = "geometric_mean",
    rule: StoppingRule | None = None,
    log10_step: float = 0.0,
) -> SweepConsensus:
    """The consensus of a sweep whose jobs may differ in analysis settings too.

    A setting counts as swept when it isn't equal in all observations (missing counts as None). Groups that
    differ in a swept setting are compared, never pooled. The headline takes for each run the geometric mean
    over the settings under which it has an LR, then the consensus over runs. A run with an LR under some
    settings only counts with those and is named in partial_runs; one without any counts as failed, once, with
    its most frequent outcome (of equally frequent ones the first in the alphabet).

    Args:
        observations: one per run and analysis, in any order; one run under equal settings counts once.
        choose: as in consensus, for the headline and for the groups.
        rule, log10_step: as in consensus; all intervals are corrected, those of groups and shifts too.

    Raises:
        ValueError: an unknown choice; one run with two different answers under the same settings.
    """
    given = list(observations)
    swept = _swept_settings(given)
    unique = _unique(given, swept)
    by_run, by_key = _members(unique)
    log10_lrs = _matrix(unique, list(by_run), list(by_key))
    run_lrs = {run: _run_lr(members) for run, members in by_run.items()}
    answered = ~np.isnan(log10_lrs)
    labels = [dict(zip(swept, key, strict=True)) for key in by_key]
    differences = (log10_lrs[:, 1:] - log10_lrs[:, :1]).T
    return SweepConsensus(
        headline=consensus(
            [lr for lr in run_lrs.values() if lr is not None],
            choose=choose,
            failures=Counter(_main_outcome(by_run[run]) for run, lr in run_lrs.items() if lr is None),
            rule=rule,
            log10_step=log10_step,
        ),
        groups=tuple(
            Group(label, _group_consensus(members, choose, rule, log10_step))
            for label, members in zip(labels, by_key.values(), strict=True)
        ),
        shifts=tuple(
            _shift(labels[0], label, row, _CONFIDENCE if rule is None else EACH_LOOK)
            for label, row in zip(labels[1:], differences, strict=True)
        ),
        duplicates=len(given) - len(unique),
        run_lrs=run_lrs,
        partial_runs=tuple(
            run for run, row in zip(by_run, answered, strict=True) if row.any() and not row.all()
        ),
    )


def paired_shift(
    before: Mapping[str, Setting],
    after: Mapping[str, Setting],
    *,
    before_lrs: Mapping[str, float | None],
    after_lrs: Mapping[str, float | None],
) -> Shift:
    """How the LR moves between two ways to read the same runs; LRs by run, None without one."""
    pairs = [(lr, after_lrs[run]) for run, lr in before_lrs.items() if lr is not None and run in after_lrs]
    found = [math.log10(other) - math.log10(lr) for lr, other in pairs if other is not None]
    return _shift(before, after, np.array(found), _CONFIDENCE)


_Key = tuple[Setting, ...]
_Place = tuple[str, _Key]
_SAME_LR = 1e-6  # relative; two machines may read one curve with other last digits


def _swept_settings(observations: Sequence[Observation]) -> tuple[str, ...]:
    """The names of the settings that differ between observations, in the order of the alphabet."""
    names = {name for observation in observations for name in observation.settings}
    return tuple(
        name for name in sorted(names) if len({_order(obs.settings.get(name)) for obs in observations}) > 1
    )


def _unique(observations: Sequence[Observation], swept: tuple[str, ...]) -> dict[_Place, Observation]:
    """One observation per run and combination of swept settings."""
    unique: dict[_Place, Observation] = {}
    for observation in observations:
        place = (observation.run, tuple(observation.settings.get(name) for name in swept))
        known = unique.get(place)
        if known is None or _preferred(observation, known) is observation:
            unique[place] = observation
    return unique


def _preferred(one: Observation, other: Observation) -> Observation:
    """Which of two observations in one place stays: the lower LR, whichever came first."""
    if one.outcome != other.outcome or (
        one.lr is not None and other.lr is not None and abs(one.lr / other.lr - 1) > _SAME_LR
    ):
        answers = sorted(f"{obs.outcome} {obs.lr!r}" for obs in (one, other))
        raise ValueError(
            f"run {one.run!r} has two answers under the same settings {dict(one.settings)}: "
            f"{answers[0]} and {answers[1]}. Read its curve once, or name the setting that differs"
        )
    return min(one, other, key=lambda obs: math.inf if obs.lr is None else obs.lr)


def _members(
    unique: Mapping[_Place, Observation],
) -> tuple[dict[str, list[Observation]], dict[_Key, list[Observation]]]:
    """The observations of each run, by name, and of each group, in the order of the settings."""
    by_run: dict[str, list[Observation]] = {}
    by_key: dict[_Key, list[Observation]] = {}
    for run, key in sorted(unique, key=lambda place: (place[0], [_order(value) for value in place[1]])):
        by_run.setdefault(run, []).append(unique[run, key])
        by_key.setdefault(key, []).append(unique[run, key])
    in_order = sorted(by_key, key=lambda key: [_order(value) for value in key])
    return by_run, {key: by_key[key] for key in in_order}


def _matrix(unique: Mapping[_Place, Observation], runs: Sequence[str], keys: Sequence[_Key]) -> FloatArray:
    """log10 LRs, shape (runs, settings); NaN where a run has no LR under a setting."""
    row, column = {run: i for i, run in enumerate(runs)}, {key: j for j, key in enumerate(keys)}
    matrix = np.full((len(runs), max(len(keys), 1)), np.nan)
    for (run, key), observation in unique.items():
        if observation.lr is not None:
            matrix[row[run], column[key]] = math.log10(observation.lr)
    return matrix


def _run_lr(observations: Sequence[Observation]) -> float | None:
    lrs = sorted(observation.lr for observation in observations if observation.lr is not None)
    return _geometric_mean(lrs) if lrs else None


def _main_outcome(observations: Sequence[Observation]) -> str:
    counts = Counter(observation.outcome for observation in observations)
    return min(counts, key=lambda outcome: (-counts[outcome], outcome))


def _group_consensus(
    members: Sequence[Observation], choose: Choice, rule: StoppingRule | None, log10_step: float
) -> Consensus:
    return consensus(
        [observation.lr for observation in members if observation.lr is not None],
        choose=choose,
        failures=Counter(observation.outcome for observation in members if observation.lr is None),
        rule=rule,
        log10_step=log10_step,
    )


def _shift(
    before: Mapping[str, Setting],
    after: Mapping[str, Setting],
    differences: FloatArray,
    confidence: float,
) -> Shift:
    """The shift from the differences of log10 LR, NaN where a run lacks one of the two."""
    found = sorted(differences[~np.isnan(differences)].tolist())
    n = len(found)
    if n == 0:
        return Shift(before, after, 0)
    mean = math.fsum(found) / n
    if n < 3:
        return Shift(before, after, n, _power10(mean))
    s = math.sqrt(math.fsum((x - mean) ** 2 for x in found) / (n - 1))
    half_width = log10_half_width(s, n, confidence)
    return Shift(before, after, n, _power10(mean), (_power10(mean - half_width), _power10(mean + half_width)))


def _order(value: Setting) -> tuple[int, float, str]:
    """Sorts none, then numbers by size, then texts; equal only for equal settings."""
    if value is None:
        return 0, 0.0, ""
    if isinstance(value, str):
        return 2, 0.0, value
    return 1, float(value), ""


def _geometric_mean(values: Sequence[float]) -> float:
    """Of sorted values; rounding never carries it outside them."""
    mean = _power10(math.fsum(math.log10(value) for value in values) / len(values))
    return min(max(mean, values[0]), values[-1])


def _log10_std(values: Sequence[float]) -> float | None:
    if len(values) < 2:
        return None
    if values[0] == values[-1]:
        return 0.0
    logs = [math.log10(value) for value in values]
    mean = math.fsum(logs) / len(logs)
    return math.sqrt(math.fsum((x - mean) ** 2 for x in logs) / (len(logs) - 1))


def log10_half_width(s: float, n: int, confidence: float) -> float:
    """Half the t interval of a mean of n values whose standard deviation is s."""
    return float(stdtrit(n - 1, (1 + confidence) / 2)) * s / math.sqrt(n)


def _factor_around(mean: float, log10_half_width: float) -> tuple[float, float]:
    factor = _power10(log10_half_width)
    return mean / factor, mean * factor


def _runs_needed(s: float, n: int, near_factor: float, confidence: float) -> int:
    """Further runs until the interval's upper end is near; its half width falls with n, so halving works."""
    limit = math.log10(near_factor)
    enough = max(n, 3)
    too_few = enough - 1
    while log10_half_width(s, enough, confidence) > limit:
        too_few, enough = enough, 2 * enough
    while enough - too_few > 1:
        middle = (too_few + enough) // 2
        if log10_half_width(s, middle, confidence) > limit:
            too_few = middle
        else:
            enough = middle
    return enough - n


def _c4(n: int) -> float:
    """Mean of s of n normals over their true sigma: sqrt(2 / (n - 1)) Gamma(n / 2) / Gamma((n - 1) / 2)."""
    return math.sqrt(2 / (n - 1)) * math.exp(float(gammaln(n / 2) - gammaln((n - 1) / 2)))


def _power10(exponent: float) -> float:
    return float(10.0**exponent) if exponent < 308 else math.inf


def _checked_lr(value: object, name: str) -> float:
    """The value as a float, or a ValueError that starts with its name."""
    if isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool):
        lr = float(value)
        if math.isfinite(lr) and lr > 0:
            return lr
    raise ValueError(f"{name} must be a finite number above 0; got {value!r}")


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
