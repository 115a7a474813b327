"""The attribution of a sweep: which streams its runs vary, and how its curves read by other rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from steadylr.core.attribution import Attribution, attribute
from steadylr.core.not_split import NotSplit, Unsplit
from steadylr.core.sweep_consensus import Shift, SweepConsensus, paired_shift

if TYPE_CHECKING:
    from steadylr.answer.readings import Member
    from steadylr.store.records import SeedUse


def attribution_of(members: Sequence[Member], found: SweepConsensus) -> Attribution | NotSplit | None:
    """Split the spread of a sweep's LRs by random stream, or say why it can't be split.

    None where nobody asked for it: no run gave its streams seeds of their own, or there are no records.

    Args:
        members: the readings of one kind of run.
        found: their consensus, which has one LR a run.
    """
    by_run = {member.run: member for member in members}
    records = [by_run[run].record for run in found.run_lrs]
    seeds = [record.seeds for record in records if record is not None]
    if len(seeds) < len(records) or not any(_set_apart(own) for own in seeds):
        return None
    if len({member.kind_key for member in members}) > 1:
        return NotSplit(Unsplit.DIFFERENT_TRAININGS)
    streams = tuple(seeds[0])
    return attribute(
        list(found.run_lrs.values()),
        {stream: [own[stream].seed for own in seeds] for stream in streams},
        unused=[stream for stream in streams if not any(own[stream].used for own in seeds)],
    )


def _set_apart(seeds: Mapping[str, SeedUse]) -> bool:
    """Whether the streams of a run have other seeds than one another."""
    return len({use.seed for use in seeds.values()}) > 1


def rule_shifts(members: Sequence[Member], found: SweepConsensus) -> tuple[Shift, ...]:
    """How far each other rule is from the headline's on the same curves, read with the first of the settings.

    Empty where the rule is swept: then the consensus has these shifts.
    """
    first = found.groups[0].label if found.groups else {}
    if not members or "rule" in first:
        return ()
    read = {m.run: m for m in members if all(m.setting.get(name) == value for name, value in first.items())}
    headline = members[0].rule
    lrs = {
        rule: {run: m.suggestions[rule].lr for run, m in read.items() if rule in m.suggestions}
        for rule in members[0].suggestions
    }
    own = lrs.pop(headline)
    return tuple(
        paired_shift({"rule": headline}, {"rule": rule}, before_lrs=own, after_lrs=others)
        for rule, others in lrs.items()
    )
