"""What many runs say, in words: the guide to a choice, the decision whether to add runs, and the verdict."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TypeAlias

from steadylr.core import verdict as verdicts
from steadylr.core.consensus import Choice, Consensus
from steadylr.core.decision import Decision, State
from steadylr.core.mean_curve import MeanReading
from steadylr.core.verdict import FEW_RUNS, MANY_RUNS, OBSERVED_UP_TO, Level, Step
from steadylr.words.numbers import format_lr

GUIDE: tuple[tuple[str, Choice, str], ...] = (
    ("OneCycle", "geometric_mean", "take the geometric mean"),
    ("careful", "conservative", "take the lowest"),
    ("bold", "aggressive", "take the highest"),
    ("scientific", "median", "make five runs and take the median"),
)
"""What for, which `choose`, and in words: the short guide that stands in every answer."""

_LEVEL_ADVICE: Mapping[Level, str] = {
    Level.TIGHT: "Take the LR as it is.",
    Level.VERY_NORMAL: "Take the median or the geometric mean.",
    Level.NORMAL: "Make more runs and check the plots before a long training.",
    Level.CONCERNING: "Check for bugs and verify the data before you use this LR.",
    Level.ISSUE: "Investigate thoroughly: the runs do not agree on an LR, so none of them should be used.",
    Level.MEAN_CURVE: "Take the LR for a first training only. Before a long one take more runs, or more steps or "
    "larger batches, with which runs have answers of their own that show how far they spread.",
    Level.TOO_FEW: "Make at least three runs, better five: one run can't tell how far suggestions spread.",
    Level.NO_ANSWER: "Look at what the runs say about themselves, fix that, and run again.",
}


@dataclass(frozen=True, slots=True)
class ToldVerdict(verdicts.Verdict):
    """A verdict with its words.

    Attributes:
        summary: one sentence.
        advice: what to do, the most important first.
        lowered_by: why the level is a row lower than the ratio alone would have it; empty where it isn't.
    """

    summary: str = ""
    advice: tuple[str, ...] = ()
    lowered_by: tuple[str, ...] = ()


Verdict: TypeAlias = ToldVerdict


def verdict(
    consensus: Consensus,
    *,
    noisy_runs: Collection[str] = (),
    edge_runs: Collection[str] = (),
    odd_runs: Sequence[str] = (),
    by_mean_curve: bool = False,
) -> ToldVerdict:
    """Judge a consensus, in words as well; see core.verdict.verdict."""
    return told_verdict(
        verdicts.verdict(
            consensus,
            noisy_runs=noisy_runs,
            edge_runs=edge_runs,
            odd_runs=odd_runs,
            by_mean_curve=by_mean_curve,
        )
    )


def told_verdict(verdict: verdicts.Verdict) -> ToldVerdict:
    """The verdict with its words, which are the same at every door."""
    same = {own.name: getattr(verdict, own.name) for own in fields(verdicts.Verdict)}
    return ToldVerdict(
        **same,
        summary=_summary(verdict),
        advice=tuple(_advice(verdict, step) for step in verdict.steps),
        lowered_by=_doubts(verdict) if verdict.is_lowered else (),
    )


def mean_curve_text(mean: MeanReading, *, n: int) -> str:
    """What the mean curve of the runs says, of which n have an LR of their own."""
    own = {0: "none of them has", 1: "one of them has"}.get(n, f"{n} of them have")
    ends = f", between {format_lr(mean.low)} and {format_lr(mean.high)}" if mean.low < mean.high else ""
    return f"LR {format_lr(mean.lr)} by the {mean.name}{ends}: {own} an LR alone"


def decision_text(decision: Decision) -> str:
    """Whether a sweep needs more runs, in a sentence or two."""
    rule, runs = decision.rule, _runs(decision.num_runs)
    if decision.state is State.NO_ANSWERS:
        without = decision.num_without
        return (
            f"Gave up after {runs}: {without} of them gave no LR, and further seeds would hardly do better."
        )
    known = "there is no interval below 3 runs with an LR"
    if decision.reach is not None:
        known = f"the interval ends at {decision.reach:.3g} times the geometric mean"
    wanted = f"wanted: {rule.factor:.4g}"
    if decision.state is State.STABLE:
        spared = f"; {decision.saved} of at most {rule.max_runs} runs saved" if decision.saved else ""
        return f"Stable after {runs}: {known} ({wanted}){spared}."
    if decision.state is State.MAX_RUNS:
        return f"Gave up after {runs}, which is max_runs={rule.max_runs}: {known} ({wanted})."
    return f"Not stable after {runs}: {known} ({wanted})."


def _summary(verdict: verdicts.Verdict) -> str:
    failed = f"; {_failures(verdict)}" if verdict.num_failed else ""
    if verdict.level is Level.MEAN_CURVE:
        return f"Mean curve only: {_failures(verdict)}, but the mean of the curves has one."
    if verdict.n == 0:
        return f"No answer: {_failures(verdict) if verdict.num_failed else 'there are no runs'}."
    if verdict.ratio is None:
        return f"Too few runs: one run says nothing about the spread{failed}."
    spread = f"{_runs(verdict.n)} spread over a factor of {_factor(verdict.ratio)}"
    if verdict.n > OBSERVED_UP_TO and verdict.expected_ratio is not None:
        spread += f" ({_factor(verdict.expected_ratio)} typical of five)"
    if verdict.n < FEW_RUNS:
        spread += ", too few to be sure"
    if verdict.is_lowered:
        spread += f", which alone would be {verdict.level_by_ratio.value}"
    return f"{verdict.level.value.capitalize()}: {spread}{failed}."


def _advice(verdict: verdicts.Verdict, step: Step) -> str:
    if step is Step.AS_LEVEL:
        return _LEVEL_ADVICE[verdict.level]
    if step is Step.FEW_RUNS:
        return "Two runs are too few to say how far suggestions spread: make at least three, better five."
    if step is Step.DOUBT:
        return f"The spread is no proof here: {' and '.join(_doubts(verdict))}."
    if step is Step.FAILURES:
        return f"{_failures(verdict).capitalize()}: see their reasons."
    if step is Step.ODD_RUNS:
        verb = "has" if len(verdict.odd_runs) == 1 else "have"
        return f"Look at {', '.join(verdict.odd_runs)}, which {verb} a curve of another shape than the rest."
    goal = f"bring the upper end of the interval within a factor of {verdict.near_factor:g} of the mean"
    if step is Step.FIND_CAUSE:
        return (
            f"It would take more than {MANY_RUNS} further runs to {goal}: find what makes them differ first."
        )
    return f"{verdict.runs_needed} further {'run' if verdict.runs_needed == 1 else 'runs'} would {goal}."


def _doubts(verdict: verdicts.Verdict) -> tuple[str, ...]:
    """Why the answers are in doubt."""
    runs, reasons = _runs(verdict.n), []
    if verdict.num_noisy:
        number = verdict.num_noisy
        reasons.append(f"{number} of {runs} {_have(number)} a curve too noisy to read well")
    if verdict.num_edge:
        number = verdict.num_edge
        reasons.append(f"{number} of {runs} {_have(number)} an answer bounded by the edge of the ramp")
    return tuple(reasons)


def _failures(verdict: verdicts.Verdict) -> str:
    kinds = ", ".join(f"{count} {outcome.replace('_', ' ')}" for outcome, count in verdict.failures.items())
    return f"{verdict.num_failed} of {_runs(verdict.n + verdict.num_failed)} gave no answer ({kinds})"


def _runs(n: int) -> str:
    return "1 run" if n == 1 else f"{n} runs"


def _have(n: int) -> str:
    return "has" if n == 1 else "have"


def _factor(ratio: float) -> str:
    return f"{ratio:.3g}".replace("e+0", "e").replace("e+", "e")
