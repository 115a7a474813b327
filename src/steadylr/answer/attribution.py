"""The attribution of a sweep: which streams its runs vary, and how its curves read by other rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from steadylr.core.attribution import Attribution, attribute
from steadylr.core.not_split import NotSplit, Unsplit
from steadylr.core.sweep_consensus import Shift, SweepConsensus, paired_shift

if TYPE_CHECKING:
    from steadylr.answer.readings import RunReading
    from steadylr.store.records import SeedUse


def attribution_of(
    readings: Sequence[RunReading], consensus: SweepConsensus
) -> Attribution | NotSplit | None:
    """Split the spread of a sweep's LRs by random stream, or say why it can't be split.

    None where nobody asked for it: no run gave its streams seeds of their own, or there are no records.

    Args:
        readings: of one condition.
        consensus: their consensus, which has one LR a run.
    """
    by_run = {reading.run: reading for reading in readings}
    records = [by_run[run].record for run in consensus.run_lrs]
    seeds = [record.seeds for record in records if record is not None]
    if len(seeds) < len(records) or not any(_set_apart(own) for own in seeds):
        return None
    if len({reading.condition_key for reading in readings}) > 1:
        return NotSplit(Unsplit.DIFFERENT_TRAININGS)
    streams = tuple(seeds[0])
    return attribute(
        list(consensus.run_lrs.values()),
        {stream: [own[stream].seed for own in seeds] for stream in streams},
        unused=[stream for stream in streams if not any(own[stream].used for own in seeds)],
    )


def _set_apart(seeds: Mapping[str, SeedUse]) -> bool:
    """Whether the streams of a run have other seeds than one another."""
    return len({use.seed for use in seeds.values()}) > 1


def rule_shifts(readings: Sequence[RunReading], consensus: SweepConsensus) -> tuple[Shift, ...]:
    """How far each other rule is from the headline's on the same curves, read with the first of the settings.

    Empty where the rule is swept: then the consensus has these shifts.
    """
    first = consensus.groups[0].label if consensus.groups else {}
    if not readings or "rule" in first:
        return ()
    read = {m.run: m for m in readings if all(m.setting.get(name) == value for name, value in first.items())}
    headline = readings[0].rule
    lrs = {
        rule: {run: m.suggestions[rule].lr for run, m in read.items() if rule in m.suggestions}
        for rule in readings[0].suggestions
    }
    own = lrs.pop(headline)
    return tuple(
        paired_shift({"rule": headline}, {"rule": rule}, before_lrs=own, after_lrs=others)
        for rule, others in lrs.items()
    )
