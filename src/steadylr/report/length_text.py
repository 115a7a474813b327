"""The LR for a length as text, as plain values and as a fragment of YAML."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from steadylr.core.length.answer import Settled, bottoms_of
from steadylr.present.numbers import count, format_loss, format_lr, format_lr_range
from steadylr.present.text import Part, Row, heading, sentence, table
from steadylr.words.length import length_advice, length_summary
from steadylr.words.names import COMMAND_LINE, Names
from steadylr.words.numbers import percent

if TYPE_CHECKING:
    from steadylr.answer.lengths import ConditionLength
    from steadylr.core.length.answer import Bottom, LengthAnswer

_COLOURS = {Settled.SETTLED: "green", Settled.WITHIN: "green", Settled.NOT: "yellow"}


def length_parts(length: ConditionLength, names: Names) -> Iterator[Part]:
    """The best LR of each length tried and of the planned one, the verdict, and what it would take."""
    answer, ladder = length.answer, length.ladder
    yield from heading(f"LR for {answer.steps:,} steps")
    if answer.trials:
        rows = [_bottom_row(answer, bottom) for bottom in bottoms_of(answer)]
        planned = (
            ">",
            f"{answer.steps:,}",
            "",
            format_lr(answer.lr),
            format_lr_range(answer.low, answer.high),
        )
        yield table(
            ("", "steps", "trials", "best LR", "95% interval", "loss", ""), [*rows, Row(planned, "bold")]
        )
    yield sentence(length_summary(answer), f"bold {_COLOURS[answer.settled]}")
    for advice in length_advice(answer, names):
        yield sentence(advice)
    low, high = answer.exponent_low, answer.exponent_high
    yield sentence(
        f"The best LR goes with steps^-{answer.exponent:.2f} (95% interval {low:.2f} to {high:.2f} for the exponent)."
    )
    spent = answer.num_steps + ladder.range_tests
    share = percent(spent / ladder.steps)
    judged = f", judged by {ladder.judged_by}" if ladder.judged_by else ""
    yield sentence(
        f"{count(spent, 'step')} in all, {share} of {ladder.steps:,}: {ladder.range_tests:,} of range tests, "
        f"{answer.num_steps:,} of {count(len(answer.trials), 'trial')}{judged}."
    )


def _bottom_row(answer: LengthAnswer, bottom: Bottom) -> Row:
    own = [trial for trial in answer.trials if trial.steps == bottom.steps]
    given_up = sum(trial.loss == float("inf") for trial in own)
    is_low, is_high = bottom.is_open
    end = "the lowest tried is the best" if is_low else "the highest tried is the best" if is_high else ""
    lost = f"{given_up} of {len(own)} given up" if given_up else ""
    return Row(
        (
            "",
            f"{bottom.steps:,}",
            str(len(own)),
            "" if bottom.lr is None else format_lr(bottom.lr),
            format_lr_range(bottom.low, bottom.high),
            "" if bottom.loss is None else format_loss(bottom.loss),
            ", ".join(filter(None, (end, lost))),
        )
    )


def length_values(length: ConditionLength) -> dict[str, Any]:
    """The answer as plain values, for summary.json."""
    answer = length.answer
    names = ("steps", "lr", "low", "high", "exponent", "exponent_low", "exponent_high")
    return {
        **{name: getattr(answer, name) for name in names},
        "wasted_low": answer.wasted_low,
        "wasted_high": answer.wasted_high,
        "settled": answer.settled.value,
        "doubts": [doubt.value for doubt in answer.doubts],
        "summary": length_summary(answer),
        "advice": list(length_advice(answer, COMMAND_LINE)),
        "budget": length.ladder.budget,
        "range_test_steps": length.ladder.range_tests,
        "trial_steps": answer.num_steps,
        "judged_by": length.ladder.judged_by,
        "lengths": [
            {"steps": one.steps, "lr": one.lr, "low": one.low, "high": one.high, "loss": one.loss}
            for one in bottoms_of(answer)
        ],
    }


def length_plan(length: ConditionLength) -> str:
    """A fragment for other Hydra programs: max_lr, low, high, n and the verdict, for a length."""
    answer = length.answer
    lines = [
        f"# What short trainings say for {answer.steps:,} steps; include it in another Hydra program, or copy it.",
        f"max_lr: {answer.lr!r} # the peak of OneCycle",
        f"low: {answer.low!r} # of its 95% interval",
        f"high: {answer.high!r} # of its 95% interval",
        f"total_steps: {answer.steps} # the length that it is for",
        f"n: {len(answer.trials)} # trials",
        f"verdict: {answer.settled.value}",
    ]
    return "\n".join(lines) + "\n"
