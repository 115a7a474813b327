"""One answer from many runs: consensus, verdict and plan for each condition."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from steadylr.answer.attribution import attribution_of, rule_shifts
from steadylr.answer.lengths import ConditionLength, length_of
from steadylr.answer.reading import plan_of
from steadylr.answer.readings import FailedJob, Gathered, RunReading, lost_runs
from steadylr.config.errors import BadInput
from steadylr.core.attribution import Attribution
from steadylr.core.consensus import Choice, Consensus
from steadylr.core.decision import Decision, decide
from steadylr.core.diagnosis import Code
from steadylr.core.mean_curve import MeanReading, is_wanted, read_mean_curve
from steadylr.core.not_split import NotSplit
from steadylr.core.onecycle import Plan
from steadylr.core.rules import RULES
from steadylr.core.shapes import OddCurve, odd_curves
from steadylr.core.stopping import StoppingRule
from steadylr.core.sweep_consensus import Observation, Shift, SweepConsensus, consensus_of
from steadylr.words.consensus import Verdict, verdict

if TYPE_CHECKING:
    from steadylr.config.schema import OneCycle
    from steadylr.core.curve import Curve
    from steadylr.store.records import SeedUse

NOISY = frozenset({Code.NOISY.value})
EDGE_BOUND = frozenset({Code.NEVER_DIVERGED.value, Code.MINIMUM_AT_EDGE.value})


@dataclass(frozen=True, slots=True)
class ConditionAnswer:
    """What the runs of one condition say: those that train the same thing, its seeds being their replicates.

    Args:
        label: what sets this condition apart from the others, by dotted key; empty when there is one only.
        readings: in the order of the jobs.
        runs: name of each run by its digest, in the order of the jobs.
        odd: names of runs whose curve has another shape than the rest, with what was measured.
        decision: whether it is stable, where a rule decides how many runs there are.
        attribution: the spread by random stream, or why it can't be split; None where no streams vary apart.
        rule_shifts: from the headline's rule to each other rule, on the same curves.
        length: the LR for the planned length, where short trainings say it; then it is the peak of the plan.
        mean: what the runs' mean curve says, where too few of them have an LR and it has one.
    """

    label: dict[str, Any]
    readings: tuple[RunReading, ...]
    runs: dict[str, str]
    consensus: SweepConsensus
    verdict: Verdict
    odd: dict[str, OddCurve]
    plan: Plan | None
    decision: Decision | None = None
    attribution: Attribution | NotSplit | None = None
    rule_shifts: tuple[Shift, ...] = ()
    length: ConditionLength | None = None
    mean: MeanReading | None = None

    @property
    def suggested(self) -> Consensus | MeanReading:
        """What the range tests suggest, lr, low and high: the consensus of the runs, or their mean curve."""
        return suggested_by(self.consensus, self.mean)

    @property
    def title(self) -> str:
        """The label as text: "model.name=mlp, data.batch_size=16"."""
        return ", ".join(f"{key}={value}" for key, value in self.label.items())


@dataclass(frozen=True, slots=True)
class SweepAnswer:
    """What a sweep says: one answer a condition, and what failed or could not be read."""

    conditions: tuple[ConditionAnswer, ...]
    failed: tuple[FailedJob, ...]
    problems: tuple[str, ...]

    @property
    def usable(self) -> bool:
        """Whether every condition has an LR to use."""
        return bool(self.conditions) and all(condition.plan is not None for condition in self.conditions)


def answer_sweep(gathered: Gathered, *, choose: Choice, onecycle: OneCycle, mix: bool = False) -> SweepAnswer:
    """Bring together what many readings say.

    Args:
        gathered: what takes part.
        choose: which number of the consensus is the peak of the plan.
        onecycle: how the plan is made.
        mix: average runs of different conditions all the same.

    Raises:
        BadInput: an LR that is zero, negative or no number.
    """
    conditions = {"": list(gathered.readings)} if mix else _by_condition(gathered.readings)
    labels = _labels([readings[0].condition for readings in conditions.values() if readings])
    answers = [
        _answer_condition(readings, label, gathered, choose=choose, onecycle=onecycle)
        for readings, label in zip(conditions.values(), labels, strict=False)
    ]
    return SweepAnswer(tuple(answers), gathered.failed, gathered.problems)


def _by_condition(readings: Sequence[RunReading]) -> dict[str, list[RunReading]]:
    """Readings by what their runs train, in the order in which these come."""
    conditions: dict[str, list[RunReading]] = {}
    for reading in readings:
        conditions.setdefault(reading.condition_key, []).append(reading)
    return conditions


def _labels(conditions: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """For each condition the keys in which they differ."""
    names = sorted({name for condition in conditions for name in condition})
    variants = {name: len({repr(condition.get(name)) for condition in conditions}) for name in names}
    by_name = {f"{name[:-4]}_target_" for name in names if name.endswith(".name")}
    differing = [
        name
        for name in names  # a target is told by its name where that tells as much
        if variants[name] > 1 and (name not in by_name or variants[name] > variants[f"{name[:-8]}name"])
    ]
    return [{name: condition[name] for name in differing if name in condition} for condition in conditions]


def consensus_of_readings(
    readings: Sequence[RunReading],
    *,
    choose: Choice,
    rule: StoppingRule | None = None,
    rules: Sequence[str] = (),
) -> SweepConsensus:
    """The consensus of the readings of one condition.

    Where they are by several rules, each run is taken by each of them and the first one named makes the headline.

    Args:
        readings: of one condition.
        choose: which number of the consensus counts.
        rule: what decided how many runs there are, if anything did.
        rules: the rules of the sweep, the first named first; those of the readings follow in their order.

    Raises:
        BadInput: an LR that is zero, negative or no number.
    """
    named = _rules_named(readings, rules)
    taken = _by_each_rule(readings, named)
    swept = len(named) > 1
    counting = [reading for reading in taken if reading.rule == named[0]] if swept else taken
    try:
        observations = [_observation(reading) for reading in taken]
    except ValueError as error:
        raise BadInput(str(error)) from None
    return consensus_of(
        observations,
        choose=choose,
        rule=rule,
        log10_step=_log10_step(counting),
        headline_rule=named[0] if swept else None,
    )


def _rules_named(readings: Sequence[RunReading], rules: Sequence[str]) -> list[str]:
    """The rules that readings of curves were asked for, in the order of the sweep's."""
    asked = [reading.rule for reading in readings if "rule" in reading.setting]
    return [rule for rule in dict.fromkeys([*rules, *asked]) if rule in asked]


def _by_each_rule(readings: Sequence[RunReading], rules: Sequence[str]) -> list[RunReading]:
    """The readings, those by the first of the rules first, and with them each curve by the rules that no job asked for.

    A sweep that goes on with further seeds, or in which a job is damaged, has runs that were read by one rule only;
    their records have the other rules' suggestions too.
    """
    if len(rules) < 2:
        return list(readings)
    known = {(reading.run, repr(reading.setting)) for reading in readings}
    each: list[RunReading] = []
    for reading in readings:
        each.append(reading)
        for rule in rules if "rule" in reading.setting else ():
            setting = {**reading.setting, "rule": rule}
            if rule in reading.suggestions and (reading.run, repr(setting)) not in known:
                known.add((reading.run, repr(setting)))
                each.append(replace(reading, rule=rule, setting=setting))
    return sorted(each, key=lambda reading: "rule" in reading.setting and reading.rule != rules[0])


def _log10_step(readings: Sequence[RunReading]) -> float:
    """How far apart the points of the ramp lie where the answers are, log10: the widest of all runs."""
    steps = [0.0]
    for reading in readings:
        lr, curve = reading.headline.lr, reading.curve
        if lr is not None and curve is not None and len(curve) > 1:
            above = min(max(int(np.searchsorted(curve.lr, lr)), 1), len(curve) - 1)
            steps.append(math.log10(curve.lr[above] / curve.lr[above - 1]))
    return max(steps)


def _answer_condition(
    readings: Sequence[RunReading],
    label: dict[str, Any],
    gathered: Gathered,
    *,
    choose: Choice,
    onecycle: OneCycle,
) -> ConditionAnswer:
    rule = gathered.stopping
    readings = _by_each_rule(readings, _rules_named(readings, gathered.rules))
    consensus = consensus_of_readings(readings, choose=choose, rule=rule, rules=gathered.rules)
    runs = _run_names(readings)
    odd = _odd(readings, runs)
    head, mean = consensus.headline, mean_of(readings, consensus)
    keys = [reading.condition_key for reading in readings]
    length = length_of(keys, gathered.ladders, total_steps=onecycle.total_steps)
    return ConditionAnswer(
        label=label,
        readings=tuple(readings),
        runs=runs,
        consensus=consensus,
        verdict=verdict(
            head,
            noisy_runs=runs_with(NOISY, readings, consensus),
            edge_runs=runs_with(EDGE_BOUND, readings, consensus),
            odd_runs=tuple(odd),
            by_mean_curve=mean is not None,
        ),
        odd=odd,
        plan=plan_for(suggested_by(consensus, mean), length, readings, onecycle),
        decision=None if rule is None else decide(rule, head, lost_runs=_lost(gathered, readings)),
        attribution=attribution_of(readings, consensus),
        rule_shifts=rule_shifts(readings, consensus),
        length=length,
        mean=mean,
    )


def suggested_by(consensus: SweepConsensus, mean: MeanReading | None) -> Consensus | MeanReading:
    """What range tests suggest: the consensus of the runs, or their mean curve where it is read."""
    return consensus.headline if mean is None else mean


def mean_of(readings: Sequence[RunReading], consensus: SweepConsensus) -> MeanReading | None:
    """What the mean curve of the runs of one condition says; None where enough have an LR, or it has none either.

    Args:
        readings: of one condition, those by the rule that counts first.
        consensus: theirs.
    """
    with_curve = [reading for reading in readings if reading.curve is not None]
    is_mixed = len({reading.condition_key for reading in readings}) > 1  # whose losses are not averaged
    if not is_wanted(consensus.headline) or not with_curve or is_mixed:
        return None
    rule = with_curve[0].rule
    if rule not in RULES:  # another program's own
        return None
    counting = [reading for reading in with_curve if reading.rule == rule]
    curves = {reading.run: reading.curve for reading in counting if reading.curve is not None}
    return read_mean_curve(list(curves.values()), rule, dict.fromkeys(one.read_with for one in counting))


def _lost(gathered: Gathered, readings: Sequence[RunReading]) -> int:
    return sum(
        lost_runs(gathered, condition) for condition in {reading.condition_key for reading in readings}
    )


def plan_for(
    suggested: Consensus | MeanReading,
    length: ConditionLength | None,
    readings: Sequence[RunReading],
    onecycle: OneCycle,
) -> Plan | None:
    """The schedule: its peak is the LR for the planned length where that is known, else what range tests suggest.

    One run has no spread, and its peak no range.
    """
    head = suggested if length is None else length.answer
    if head.lr is None:
        return None
    is_one_run = isinstance(head, Consensus) and head.n == 1
    if length is not None:
        onecycle = replace(onecycle, total_steps=length.answer.steps)
    try:
        return plan_of(
            onecycle,
            head.lr,
            low=None if is_one_run else head.low,
            high=None if is_one_run else head.high,
            momentum=all(reading.momentum for reading in readings),
            lr_ratios=_lr_ratios(readings),
        )
    except ValueError as error:
        raise BadInput(f"onecycle: {error}") from None


def _run_names(readings: Sequence[RunReading]) -> dict[str, str]:
    """A name for each run, in the order of the jobs: by the seeds that differ, else as its first reading is called."""
    firsts: dict[str, RunReading] = {}
    for reading in readings:
        firsts.setdefault(reading.run, reading)
    seeds = [_seeds(reading) for reading in firsts.values()]
    names = _seed_names(seeds)
    if len(set(names)) < len(names) or "" in names:
        names = _unique([reading.label for reading in firsts.values()])
    return dict(zip(firsts, names, strict=True))


def _unique(names: Sequence[str]) -> list[str]:
    """The names, numbered where one comes more than once: two folders may have the same name."""
    seen = Counter(names)
    turn: Counter[str] = Counter()
    found = []
    for name in names:
        turn[name] += 1
        found.append(f"{name} ({turn[name]})" if seen[name] > 1 else name)
    return found


def _seeds(reading: RunReading) -> Mapping[str, SeedUse]:
    return {} if reading.record is None else reading.record.seeds


def _seed_names(runs: Sequence[Mapping[str, SeedUse]]) -> list[str]:
    """Such as "seed 1" where all streams have one seed; else the used streams whose seeds differ between runs."""
    if all(len({use.seed for use in streams.values()}) == 1 for streams in runs):
        return [f"seed {next(iter(streams.values())).seed}" for streams in runs]
    used = [{name: use.seed for name, use in streams.items() if use.used} for streams in runs]
    names = dict.fromkeys(stream for seeds in used for stream in seeds)
    differing = [stream for stream in names if len({seeds.get(stream) for seeds in used}) > 1]
    return [", ".join(f"{stream} {own[stream]}" for stream in differing if stream in own) for own in used]


def _observation(reading: RunReading) -> Observation:
    headline = reading.headline
    if headline.lr is not None and not headline.lr > 0:
        raise ValueError(f"{reading.label}: an LR must be a number above 0; got {headline.lr!r}")
    return Observation(reading.run, headline.lr, headline.outcome.value, reading.setting)


def _odd(readings: Sequence[RunReading], runs: Mapping[str, str]) -> dict[str, OddCurve]:
    """The runs whose curve has another shape than the rest, by name."""
    curves: dict[str, Curve] = {m.run: m.curve for m in readings if m.curve is not None}
    names = [runs[run] for run in curves]
    return {names[odd.index]: odd for odd in odd_curves(list(curves.values()))}


def runs_with(codes: frozenset[str], readings: Sequence[RunReading], consensus: SweepConsensus) -> set[str]:
    """The runs with an LR that have such a finding under every setting that they were read with."""
    answered = {run for run, lr in consensus.run_lrs.items() if lr is not None}
    clean = {reading.run for reading in readings if not codes & set(reading.findings)}
    return answered - clean


def _lr_ratios(readings: Sequence[RunReading]) -> tuple[float, ...]:
    """The parameter groups' LR ratios, where the runs agree on them."""
    known = {tuple(reading.lr_ratios) for reading in readings}
    return known.pop() if len(known) == 1 else (1.0,)
