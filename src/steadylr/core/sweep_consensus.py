"""The consensus of a sweep: over its runs, and beside it under each analysis setting. All of it in log10 LR."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from steadylr.core.consensus import Choice, Consensus, consensus
from steadylr.core.curve import FloatArray
from steadylr.core.log10 import CONFIDENCE, checked_lr, geometric_mean, half_width, power10
from steadylr.core.stopping import EACH_LOOK, StoppingRule

Setting = str | float | int | bool | None


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
            object.__setattr__(self, "lr", checked_lr(self.lr, f"run {self.run!r}: the LR"))
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
        headline: over runs; each run's LR is its geometric mean over the swept analysis settings, the rule aside:
            where rules are swept, by the headline's rule alone.
        groups: one per combination of swept settings, in the order of the settings, those of the headline's rule
            first; one group with an empty label when nothing is swept.
        shifts: from the first group to each other one.
        duplicates: observations left out because the same curve under the same settings was there already.
        run_lrs: the LR of each run as the headline takes it, None without one; in the order of their names.
        partial_runs: runs with an LR under some of the settings that make the headline only. They count with those.
    """

    headline: Consensus
    groups: tuple[Group, ...] = ()
    shifts: tuple[Shift, ...] = ()
    duplicates: int = 0
    run_lrs: Mapping[str, float | None] = field(default_factory=dict)
    partial_runs: tuple[str, ...] = ()


def consensus_of(
    observations: Iterable[Observation],
    *,
    choose: Choice = "geometric_mean",
    rule: StoppingRule | None = None,
    log10_step: float = 0.0,
    headline_rule: str | None = None,
) -> SweepConsensus:
    """The consensus of a sweep whose jobs may differ in analysis settings too.

    A setting counts as swept when it isn't equal in all observations (missing counts as None). Groups that
    differ in a swept setting are compared, never pooled. The headline takes for each run the geometric mean
    over the settings under which it has an LR, then the consensus over runs. A run with an LR under some
    settings only counts with those and is named in partial_runs; one without any counts as failed, once, with
    its most frequent outcome (of equally frequent ones the first in the alphabet).

    Rules are other questions to a curve, not other readings of one answer: with a headline_rule the headline, the
    runs' LRs and partial_runs rest on the observations by that rule (and on those that no rule made) alone.

    Args:
        observations: one per run and analysis, in any order; one run under equal settings counts once.
        choose: as in consensus, for the headline and for the groups.
        rule, log10_step: as in consensus; all intervals are corrected, those of groups and shifts too.
        headline_rule: the value of the setting "rule" that counts; None where all observations count.

    Raises:
        ValueError: an unknown choice; one run with two different answers under the same settings.
    """
    given = list(observations)
    swept = _swept_settings(given)
    unique = _unique(given, swept)
    by_key = _by_key(unique, headline_rule)
    by_run = _by_run(unique)
    log10_lrs = _matrix(unique, list(by_run), list(by_key))
    counting = _by_run({place: one for place, one in unique.items() if _counts(one, headline_rule)})
    run_lrs = {run: _run_lr(members) for run, members in counting.items()}
    labels = [dict(zip(swept, key, strict=True)) for key in by_key]
    differences = (log10_lrs[:, 1:] - log10_lrs[:, :1]).T
    return SweepConsensus(
        headline=consensus(
            [lr for lr in run_lrs.values() if lr is not None],
            choose=choose,
            failures=Counter(_main_outcome(counting[run]) for run, lr in run_lrs.items() if lr is None),
            rule=rule,
            log10_step=log10_step,
        ),
        groups=tuple(
            Group(label, _group_consensus(members, choose, rule, log10_step))
            for label, members in zip(labels, by_key.values(), strict=True)
        ),
        shifts=tuple(
            _shift(labels[0], label, row, CONFIDENCE if rule is None else EACH_LOOK)
            for label, row in zip(labels[1:], differences, strict=True)
        ),
        duplicates=len(given) - len(unique),
        run_lrs=run_lrs,
        partial_runs=_partial_runs(
            counting, groups=sum(_counts(members[0], headline_rule) for members in by_key.values())
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
    return _shift(before, after, np.array(found), CONFIDENCE)


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


def _counts(observation: Observation, headline_rule: str | None) -> bool:
    """Whether an observation counts for the headline: one by its rule, or one that no rule made."""
    return headline_rule is None or observation.settings.get("rule") in (None, headline_rule)


def _by_run(unique: Mapping[_Place, Observation]) -> dict[str, list[Observation]]:
    """The observations of each run, the runs by name, each one's in the order of the settings."""
    by_run: dict[str, list[Observation]] = {}
    for run, key in sorted(unique, key=lambda place: (place[0], [_order(value) for value in place[1]])):
        by_run.setdefault(run, []).append(unique[run, key])
    return by_run


def _by_key(unique: Mapping[_Place, Observation], headline_rule: str | None) -> dict[_Key, list[Observation]]:
    """The observations of each group, in the order of the settings, but those that count for the headline first."""
    by_key: dict[_Key, list[Observation]] = {}
    for run, key in sorted(unique, key=lambda place: place[0]):
        by_key.setdefault(key, []).append(unique[run, key])
    in_order = sorted(
        by_key,
        key=lambda key: (not _counts(by_key[key][0], headline_rule), [_order(value) for value in key]),
    )
    return {key: by_key[key] for key in in_order}


def _partial_runs(by_run: Mapping[str, Sequence[Observation]], groups: int) -> tuple[str, ...]:
    """The runs with an LR under some of so many groups only."""
    answered = {run: sum(one.lr is not None for one in members) for run, members in by_run.items()}
    return tuple(run for run, count in answered.items() if 0 < count < groups)


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
    return geometric_mean(lrs) if lrs else None


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
        return Shift(before, after, n, power10(mean))
    s = math.sqrt(math.fsum((x - mean) ** 2 for x in found) / (n - 1))
    reach = half_width(s, n, confidence)
    return Shift(before, after, n, power10(mean), (power10(mean - reach), power10(mean + reach)))


def _order(value: Setting) -> tuple[int, float, str]:
    """Sorts none, then numbers by size, then texts; equal only for equal settings."""
    if value is None:
        return 0, 0.0, ""
    if isinstance(value, str):
        return 2, 0.0, value
    return 1, float(value), ""
