"""One answer from many runs: consensus, verdict and plan for each kind of run."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from steadylr.answer.attribution import attribution_of, rule_shifts
from steadylr.answer.reading import plan_of
from steadylr.answer.readings import FailedJob, Member, Members, lost_runs
from steadylr.config.errors import BadInput
from steadylr.core.attribution import Attribution
from steadylr.core.consensus import Choice
from steadylr.core.decision import Decision, decide
from steadylr.core.diagnosis import Code
from steadylr.core.not_split import NotSplit
from steadylr.core.onecycle import Plan
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
class KindAnswer:
    """What the runs of one kind say: those that train the same thing, seeds aside.

    Args:
        label: what sets this kind apart from the others, by dotted key; empty when there is one kind only.
        members: the readings, in the order of the jobs.
        runs: name of each run by its digest, in the order of the jobs.
        odd: names of runs whose curve has another shape than the rest, with what was measured.
        decision: whether it is stable, where a rule decides how many runs there are.
        attribution: the spread by random stream, or why it can't be split; None where no streams vary apart.
        rule_shifts: from the headline's rule to each other rule, on the same curves.
    """

    label: dict[str, Any]
    members: tuple[Member, ...]
    runs: dict[str, str]
    consensus: SweepConsensus
    verdict: Verdict
    odd: dict[str, OddCurve]
    plan: Plan | None
    decision: Decision | None = None
    attribution: Attribution | NotSplit | None = None
    rule_shifts: tuple[Shift, ...] = ()

    @property
    def title(self) -> str:
        """The label as text: "model.name=mlp, data.batch_size=16"."""
        return ", ".join(f"{key}={value}" for key, value in self.label.items())


@dataclass(frozen=True, slots=True)
class SweepAnswer:
    """What a sweep says: one answer a kind of run, and what failed or could not be read."""

    kinds: tuple[KindAnswer, ...]
    failed: tuple[FailedJob, ...]
    problems: tuple[str, ...]

    @property
    def usable(self) -> bool:
        """Whether every kind of run has an LR to use."""
        return bool(self.kinds) and all(kind.plan is not None for kind in self.kinds)


def answer_sweep(found: Members, *, choose: Choice, onecycle: OneCycle, mix: bool = False) -> SweepAnswer:
    """Bring together what many readings say.

    Args:
        found: what takes part.
        choose: which number of the consensus is the peak of the plan.
        onecycle: how the plan is made.
        mix: average runs of different kinds all the same.

    Raises:
        BadInput: an LR that is zero, negative or no number.
    """
    kinds = {"": list(found.members)} if mix else _by_kind(found.members)
    labels = _labels([members[0].kind for members in kinds.values() if members])
    answers = [
        _answer_kind(members, label, found, choose=choose, onecycle=onecycle)
        for members, label in zip(kinds.values(), labels, strict=False)
    ]
    return SweepAnswer(tuple(answers), found.failed, found.problems)


def _by_kind(members: Sequence[Member]) -> dict[str, list[Member]]:
    """Members by what they train, in the order in which the kinds come."""
    kinds: dict[str, list[Member]] = {}
    for member in members:
        kinds.setdefault(member.kind_key, []).append(member)
    return kinds


def _labels(kinds: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """For each kind the keys in which the kinds differ."""
    names = sorted({name for kind in kinds for name in kind})
    variants = {name: len({repr(kind.get(name)) for kind in kinds}) for name in names}
    by_name = {f"{name[:-4]}_target_" for name in names if name.endswith(".name")}
    differing = [
        name
        for name in names  # a target is told by its name where that tells as much
        if variants[name] > 1 and (name not in by_name or variants[name] > variants[f"{name[:-8]}name"])
    ]
    return [{name: kind[name] for name in differing if name in kind} for kind in kinds]


def consensus_of_members(
    members: Sequence[Member],
    *,
    choose: Choice,
    rule: StoppingRule | None = None,
    rules: Sequence[str] = (),
) -> SweepConsensus:
    """The consensus of readings of one kind of run.

    Where they are by several rules, each run is taken by each of them and the first one named makes the headline.

    Args:
        members: the readings.
        choose: which number of the consensus counts.
        rule: what decided how many runs there are, if anything did.
        rules: the rules of the sweep, the first named first; those of the readings follow in their order.

    Raises:
        BadInput: an LR that is zero, negative or no number.
    """
    named = _rules_named(members, rules)
    taken = _by_each_rule(members, named)
    swept = len(named) > 1
    counting = [member for member in taken if member.rule == named[0]] if swept else taken
    try:
        observations = [_observation(member) for member in taken]
    except ValueError as error:
        raise BadInput(str(error)) from None
    return consensus_of(
        observations,
        choose=choose,
        rule=rule,
        log10_step=_log10_step(counting),
        headline_rule=named[0] if swept else None,
    )


def _rules_named(members: Sequence[Member], rules: Sequence[str]) -> list[str]:
    """The rules that readings of curves were asked for, in the order of the sweep's."""
    asked = [member.rule for member in members if "rule" in member.setting]
    return [rule for rule in dict.fromkeys([*rules, *asked]) if rule in asked]


def _by_each_rule(members: Sequence[Member], rules: Sequence[str]) -> list[Member]:
    """The readings, those by the first of the rules first, and with them each curve by the rules that no job asked for.

    A sweep that goes on with further seeds, or in which a job is damaged, has runs that were read by one rule only;
    their records have the other rules' suggestions too.
    """
    if len(rules) < 2:
        return list(members)
    readings = {(member.run, repr(member.setting)) for member in members}
    each: list[Member] = []
    for member in members:
        each.append(member)
        for rule in rules if "rule" in member.setting else ():
            setting = {**member.setting, "rule": rule}
            if rule in member.suggestions and (member.run, repr(setting)) not in readings:
                readings.add((member.run, repr(setting)))
                each.append(replace(member, rule=rule, setting=setting))
    return sorted(each, key=lambda member: "rule" in member.setting and member.rule != rules[0])


def _log10_step(members: Sequence[Member]) -> float:
    """How far apart the points of the ramp lie where the answers are, log10: the widest of all runs."""
    steps = [0.0]
    for member in members:
        lr, curve = member.headline.lr, member.curve
        if lr is not None and curve is not None and len(curve) > 1:
            above = min(max(int(np.searchsorted(curve.lr, lr)), 1), len(curve) - 1)
            steps.append(math.log10(curve.lr[above] / curve.lr[above - 1]))
    return max(steps)


def _answer_kind(
    members: Sequence[Member],
    label: dict[str, Any],
    all_found: Members,
    *,
    choose: Choice,
    onecycle: OneCycle,
) -> KindAnswer:
    rule = all_found.stopping
    members = _by_each_rule(members, _rules_named(members, all_found.rules))
    found = consensus_of_members(members, choose=choose, rule=rule, rules=all_found.rules)
    runs = _run_names(members)
    odd = _odd(members, runs)
    head = found.headline
    return KindAnswer(
        label=label,
        members=tuple(members),
        runs=runs,
        consensus=found,
        verdict=verdict(
            head,
            noisy_runs=_runs_with(NOISY, members, found),
            edge_runs=_runs_with(EDGE_BOUND, members, found),
            odd_runs=tuple(odd),
        ),
        odd=odd,
        plan=_plan(found, members, onecycle),
        decision=None if rule is None else decide(rule, head, lost_runs=_lost(all_found, members)),
        attribution=attribution_of(members, found),
        rule_shifts=rule_shifts(members, found),
    )


def _lost(found: Members, members: Sequence[Member]) -> int:
    return sum(lost_runs(found, kind) for kind in {member.kind_key for member in members})


def _plan(found: SweepConsensus, members: Sequence[Member], onecycle: OneCycle) -> Plan | None:
    head = found.headline
    if head.lr is None:
        return None
    try:
        return plan_of(
            onecycle,
            head.lr,
            low=head.low,
            high=head.high,
            momentum=all(member.momentum for member in members),
            lr_ratios=_lr_ratios(members),
        )
    except ValueError as error:
        raise BadInput(f"onecycle: {error}") from None


def _run_names(members: Sequence[Member]) -> dict[str, str]:
    """A name for each run, in the order of the jobs: by the seeds that differ, else what its first member is called."""
    firsts: dict[str, Member] = {}
    for member in members:
        firsts.setdefault(member.run, member)
    seeds = [_seeds(member) for member in firsts.values()]
    names = _seed_names(seeds)
    if len(set(names)) < len(names) or "" in names:
        names = _unique([member.label for member in firsts.values()])
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


def _seeds(member: Member) -> Mapping[str, SeedUse]:
    return {} if member.record is None else member.record.seeds


def _seed_names(runs: Sequence[Mapping[str, SeedUse]]) -> list[str]:
    """Such as "seed 1" where all streams have one seed; else the used streams whose seeds differ between runs."""
    if all(len({use.seed for use in streams.values()}) == 1 for streams in runs):
        return [f"seed {next(iter(streams.values())).seed}" for streams in runs]
    used = [{name: use.seed for name, use in streams.items() if use.used} for streams in runs]
    names = dict.fromkeys(stream for seeds in used for stream in seeds)
    differing = [stream for stream in names if len({seeds.get(stream) for seeds in used}) > 1]
    return [", ".join(f"{stream} {own[stream]}" for stream in differing if stream in own) for own in used]


def _observation(member: Member) -> Observation:
    headline = member.headline
    if headline.lr is not None and not headline.lr > 0:
        raise ValueError(f"{member.label}: an LR must be a number above 0; got {headline.lr!r}")
    return Observation(member.run, headline.lr, headline.outcome.value, member.setting)


def _odd(members: Sequence[Member], runs: Mapping[str, str]) -> dict[str, OddCurve]:
    """The runs whose curve has another shape than the rest, by name."""
    curves: dict[str, Curve] = {m.run: m.curve for m in members if m.curve is not None}
    names = [runs[run] for run in curves]
    return {names[odd.index]: odd for odd in odd_curves(list(curves.values()))}


def _runs_with(codes: frozenset[str], members: Sequence[Member], found: SweepConsensus) -> set[str]:
    """The runs with an LR that have such a finding under every setting that they were read with."""
    answered = {run for run, lr in found.run_lrs.items() if lr is not None}
    clean = {member.run for member in members if not codes & set(member.findings)}
    return answered - clean


def _lr_ratios(members: Sequence[Member]) -> tuple[float, ...]:
    """The parameter groups' LR ratios, where the runs agree on them."""
    known = {tuple(member.lr_ratios) for member in members}
    return known.pop() if len(known) == 1 else (1.0,)
