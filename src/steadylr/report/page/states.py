"""What a page shows for each way to read the curves: the answer with its words, and the LR of each run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from steadylr.answer.other_readings import answers_of
from steadylr.core.length.answer import Settled
from steadylr.core.verdict import Level
from steadylr.present.numbers import count, format_lr, format_lr_range
from steadylr.report.sweep_text import by_run, consensus_rows, runs_with_lr
from steadylr.words.length import holds_for, length_advice, length_summary
from steadylr.words.names import COMMAND_LINE
from steadylr.words.numbers import percent

if TYPE_CHECKING:
    from steadylr.answer.answer import ConditionAnswer
    from steadylr.answer.other_readings import OtherReading, ReadAgain
    from steadylr.config.schema import OneCycle
    from steadylr.core.onecycle import Plan

_TONES = {
    Level.TIGHT: "good",
    Level.VERY_NORMAL: "good",
    Level.NORMAL: "fair",
    Level.MEAN_CURVE: "fair",
    Level.TOO_FEW: "fair",
}
_CHOICES = {
    "geometric_mean": "geometric mean",
    "median": "median",
    "conservative": "lowest",
    "aggressive": "highest",
}


def states_of(
    condition: ConditionAnswer, values: Sequence[float], read: Mapping[str, ReadAgain], onecycle: OneCycle
) -> dict[str, Any]:
    """All states of a condition.

    Args:
        condition: the answer.
        values: of smooth_f.
        read: its runs, read with these.
        onecycle: how plans are made.

    Returns:
        own: as it was asked for; others: a state for each value of smooth_f and rule, by "0.05 bracket"; reasons: the
        texts that the states' `why` are places in.
    """
    reasons: dict[str, int] = {"": 0}

    def state(answer: ConditionAnswer | OtherReading, why: Mapping[str, str]) -> Any:
        head, run_lrs = answer.consensus.headline, answer.consensus.run_lrs
        told = [why.get(run, "") if run_lrs.get(run) is None else "" for run in condition.runs]
        return {
            **_answer(condition, answer),
            "rows": [list(row.cells) for row in consensus_rows(head)],
            "with": runs_with_lr(head) + ("" if answer.mean is None else f", so by the {answer.mean.name}"),
            "low": head.low,
            "high": head.high,
            "middle": answer.suggested.lr,
            "lrs": [_written(run_lrs.get(run)) for run in condition.runs],
            "why": [reasons.setdefault(text, len(reasons)) for text in told],
        }

    own = {run: readings[0].headline.reason for run, readings in by_run(condition).items()}
    first = state(condition, own)
    others = {}
    for other in answers_of(condition, values, read, onecycle):
        why = {run: one.reason for run, one in other.suggestions.items()}
        others[f"{other.smooth_f:g} {other.rule}"] = state(other, why)
    return {"own": first, "others": others, "reasons": list(reasons)}


def _answer(condition: ConditionAnswer, answer: ConditionAnswer | OtherReading) -> dict[str, Any]:
    """What stands on top: the LR to use with its range, how far to trust it, what to do next, and the line to paste."""
    head, verdict, plan, mean = answer.consensus.headline, answer.verdict, answer.plan, answer.mean
    shown: dict[str, Any] = {"torch": "" if plan is None else plan.torch_line(), "holds": []}
    if condition.length is not None:
        found, ladder = condition.length.answer, condition.length.ladder
        return shown | {
            "lr": format_lr(found.lr),
            "range": f"95% interval {format_lr_range(found.low, found.high)}",
            "choice": f"peak of OneCycle for {found.steps:,} steps",
            "n": f"{count(len(found.trials), 'short training')}, {percent(ladder.budget / ladder.steps)} of the steps",
            "level": found.settled.value.replace("_", " "),
            "tone": "fair" if found.settled is Settled.NOT else "good",
            "summary": length_summary(found),
            "advice": list(length_advice(found, COMMAND_LINE)),
        }
    suggested = answer.suggested
    lr, low, high = suggested.lr, suggested.low, suggested.high
    choice = _choice(head.n, head.choose) if mean is None else mean.name
    has_range = low is not None and high is not None and (head.n > 1 if mean is None else low < high)
    return shown | {
        "lr": _written(lr),
        "range": f"range {format_lr_range(low, high)}" if has_range and low and high else "",
        "choice": "" if lr is None else choice,
        "n": count(head.num_runs, "run")
        if not head.num_failed
        else f"{head.n} of {count(head.num_runs, 'run')}",
        "level": verdict.level.value,
        "tone": _TONES.get(verdict.level, "bad"),
        "summary": verdict.summary,
        "advice": list(verdict.advice),
        "holds": [] if plan is None else list(holds_for(plan.total_steps, COMMAND_LINE)),
    }


def _choice(n: int, choose: str) -> str:
    return "the suggestion of one run" if n == 1 else f"{_CHOICES[choose]} of {n} suggestions"


def _written(lr: float | None) -> str | None:
    return None if lr is None else format_lr(lr)


def schedule_shape(plan: Plan) -> dict[str, Any]:
    """The schedule as a line to draw: shares of the training, and the LR as a share of the peak."""
    x, lr = plan.lr_curve()
    return {
        "x": [round(float(one), 5) for one in x],
        "lr": [float(f"{one / plan.max_lr:.4g}") for one in lr],
        "steps": plan.total_steps,
    }
