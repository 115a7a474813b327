"""What the curves of a condition say when they are read otherwise: by each rule, with more or less smoothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from steadylr.answer.answer import (
    EDGE_BOUND,
    NOISY,
    ConditionAnswer,
    consensus_of_readings,
    mean_of,
    plan_for,
    runs_with,
    suggested_by,
)
from steadylr.answer.readings import read_again
from steadylr.core.landmarks import find_landmarks
from steadylr.core.rules import RULES
from steadylr.words.consensus import Verdict, verdict

if TYPE_CHECKING:
    from steadylr.answer.readings import RunReading
    from steadylr.config.schema import OneCycle
    from steadylr.core.consensus import Consensus
    from steadylr.core.mean_curve import MeanReading
    from steadylr.core.onecycle import Plan
    from steadylr.core.smoothing import SmoothedCurve
    from steadylr.core.sweep_consensus import SweepConsensus
    from steadylr.words.reading import ToldSuggestion

SMOOTH_F = (0.0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3)
"""The values of smooth_f that curves are read with beside those that were asked for: from none to far too much."""

MOST_READ = 1_000
"""Readings, runs times values of smooth_f, up to which all of SMOOTH_F are taken: of curves of 1,000 points, where each
takes milliseconds; one of ten times as many points takes a hundred times that."""


@dataclass(frozen=True, slots=True)
class OtherReading:
    """What the runs of a condition say by one rule with one smooth_f, the smoother being local_linear.

    Args:
        suggestions: by run.
        consensus: over the runs.
        verdict: on the consensus.
        plan: whose peak it is, or that of the ladder where there is one; None without an LR.
        mean: as in ConditionAnswer.
    """

    smooth_f: float
    rule: str
    suggestions: Mapping[str, ToldSuggestion]
    consensus: SweepConsensus
    verdict: Verdict
    plan: Plan | None
    mean: MeanReading | None

    @property
    def suggested(self) -> Consensus | MeanReading:
        """As in ConditionAnswer."""
        return suggested_by(self.consensus, self.mean)


def first_with_curve(condition: ConditionAnswer) -> dict[str, RunReading]:
    """The first reading of each run that has a curve, in the order of the runs."""
    firsts: dict[str, RunReading] = {}
    for reading in condition.readings:
        if reading.curve is not None:
            firsts.setdefault(reading.run, reading)
    return {run: firsts[run] for run in condition.runs if run in firsts}


def values_to_try(condition: ConditionAnswer, *, most_read: int = MOST_READ) -> tuple[float, ...]:
    """The values of smooth_f, rising: those that its runs were read with, and as many others as are worth the time.

    Args:
        condition: the answer.
        most_read: readings up to which they are; see MOST_READ.
    """
    firsts = first_with_curve(condition)
    asked = {
        float(reading.setting["smooth_f"]) for reading in condition.readings if "smooth_f" in reading.setting
    }
    points = max((len(one.curve) for one in firsts.values() if one.curve is not None), default=0)
    room = max(0, int(most_read / (max(1, len(firsts)) * max(1.0, points / 1_000) ** 2)) - len(asked))
    others = sorted(
        set(SMOOTH_F) - asked, key=lambda value: min((abs(value - one) for one in asked), default=0)
    )
    return tuple(sorted({*asked, *(others if len(others) <= room else others[:room])})) if firsts else ()


@dataclass(frozen=True, slots=True)
class ReadAgain:
    """One run, read with each value of smooth_f.

    Args:
        own: the line that the rules saw when it was read for the answer.
        readings, lines: by the values.
    """

    own: SmoothedCurve
    readings: tuple[RunReading, ...]
    lines: tuple[SmoothedCurve, ...]


def read_again_with(condition: ConditionAnswer, values: Sequence[float]) -> dict[str, ReadAgain]:
    """Read every run that has a curve with each value of smooth_f; all else, such as the skips, as before.

    What a run was read with already, by all rules, is taken as it was read.
    """
    found = {}
    for run, first in first_with_curve(condition).items():
        curve, own = first.curve, first.read_with
        assert curve is not None
        line = find_landmarks(curve, own).line
        readings, lines = [], []
        for value in values:
            settings = replace(own, smooth_f=value, smoother="local_linear")
            known = settings == own and first.suggestions.keys() >= RULES.keys()
            readings.append(first if known else read_again(first, settings))
            lines.append(line if known else find_landmarks(curve, settings).line)
        found[run] = ReadAgain(line, tuple(readings), tuple(lines))
    return found


def answers_of(
    condition: ConditionAnswer, values: Sequence[float], read: Mapping[str, ReadAgain], onecycle: OneCycle
) -> Iterator[OtherReading]:
    """What the runs say by each rule with each value of smooth_f; runs without a curve are left out.

    Args:
        condition: the answer as it was asked for.
        values: of smooth_f.
        read: its runs, see read_again_with.
        onecycle: how the plan is made.
    """
    for place, value in enumerate(values):
        for rule in RULES:
            each = [one.readings[place] for one in read.values()]
            readings = [replace(one, rule=rule, setting={**one.setting, "rule": rule}) for one in each]
            yield _answered(condition, readings, value, rule, onecycle)


def _answered(
    condition: ConditionAnswer, readings: Sequence[RunReading], value: float, rule: str, onecycle: OneCycle
) -> OtherReading:
    consensus = consensus_of_readings(
        readings,
        choose=condition.consensus.headline.choose,
        rule=None if condition.decision is None else condition.decision.rule,
    )
    mean = mean_of(readings, consensus)
    return OtherReading(
        smooth_f=value,
        rule=rule,
        suggestions={one.run: one.headline for one in readings},
        consensus=consensus,
        verdict=verdict(
            consensus.headline,
            noisy_runs=runs_with(NOISY, readings, consensus),
            edge_runs=runs_with(EDGE_BOUND, readings, consensus),
            odd_runs=tuple(condition.odd),
            by_mean_curve=mean is not None,
        ),
        plan=plan_for(suggested_by(consensus, mean), condition.length, readings, onecycle),
        mean=mean,
    )
