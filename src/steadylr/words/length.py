"""Which length of training an LR is for, in words."""

from __future__ import annotations

from collections.abc import Iterator

from steadylr.core.length.answer import Doubt, LengthAnswer, Settled
from steadylr.core.length.law import PRIOR, SEEN_EXPONENTS
from steadylr.words.names import Names
from steadylr.words.numbers import format_lr, percent

PROVEN_STEPS = (150, 2000)
"""Lengths of the trainings that range tests were proven with (docs/choosing-a-rule.md)."""

PROVEN = f"{PROVEN_STEPS[0]} to {PROVEN_STEPS[1]:,} steps"

FAR_BEYOND = 1.5
"""Times the longest proven length from which an LR is said to be too high."""


def too_high_by(total_steps: int) -> tuple[float, float, float]:
    """By which factor a range test's LR is likely too high for so many steps: typical, at least, at most.

    (total_steps / 2,000)^beta, with the exponent expected and the lowest and the highest seen (docs/how-long.md).
    """
    times = max(1.0, total_steps / PROVEN_STEPS[1])
    return times**PRIOR.exponent, times ** SEEN_EXPONENTS[0], times ** SEEN_EXPONENTS[1]


def holds_for(total_steps: int | None, names: Names) -> Iterator[str]:
    """Which lengths of training the LR of range tests is for, and what to do for others."""
    if total_steps is None:
        yield f"Proven for trainings of {PROVEN}; longer ones want a lower LR: give {names.total_steps}."
        return
    if total_steps > FAR_BEYOND * PROVEN_STEPS[1]:
        typical, least, most = too_high_by(total_steps)
        yield (
            f"Proven for trainings of {PROVEN}: for {total_steps:,} this LR is likely too high, by a factor of about "
            f"{typical:.2g} ({least:.2g} to {most:.2g} on twenty tasks, docs/how-long.md)."
        )
        yield f"To settle it: {names.for_length.format(steps=total_steps)}"
    elif total_steps < PROVEN_STEPS[0]:
        yield f"Proven for trainings of {PROVEN}; for {total_steps:,} the best LR may be another."
    else:
        yield f"Proven for trainings of {PROVEN}, as {total_steps:,} is."


def length_summary(answer: LengthAnswer) -> str:
    """The verdict, in one sentence."""
    ends = f"{format_lr(answer.low)} to {format_lr(answer.high)}"
    waste = (
        ""
        if answer.wasted is None
        else f"; at its ends at most {percent(answer.wasted)} of the training is wasted"
    )
    if answer.settled is Settled.SETTLED:
        return f"Settled: LR {format_lr(answer.lr)} for {answer.steps:,} steps, 95% interval {ends}{waste}."
    if answer.settled is Settled.WITHIN:
        within = f"Settled within a factor of {answer.factor:.2g}"
        return f"{within}: LR {format_lr(answer.lr)} for {answer.steps:,} steps, 95% interval {ends}{waste}."
    why = _REASONS[answer.doubts[0]].format(f=answer)
    return f"Not settled, as {why}: LR {format_lr(answer.lr)} for {answer.steps:,} steps, 95% interval {ends}{waste}."


def length_advice(answer: LengthAnswer, names: Names) -> tuple[str, ...]:
    """What it would take, and what else to know; the most important first."""
    return tuple(_ADVICE[doubt].format(f=answer, n=names, last=_last(answer)) for doubt in answer.doubts)


def _last(answer: LengthAnswer) -> str:
    """The two longest lengths that were tried."""
    lengths = [rung.steps for rung in answer.rungs]
    return " to ".join(f"{steps:,}" for steps in lengths[-2:])


_REASONS = {
    Doubt.NO_TRIALS: "the budget affords no trials",
    Doubt.ALL_GIVEN_UP: "every trial was given up",
    Doubt.OPEN_BELOW: "at the longest trials the best LR is the lowest tried",
    Doubt.OPEN_ABOVE: "at the longest trials the best LR is the highest tried",
    Doubt.FEW_LENGTHS: "so few lengths leave it open",
    Doubt.CURVED: "the law bends",
    Doubt.NOT_FALLING: "the loss no longer falls with the length",
    Doubt.FLAT: "the loss hardly depends on the LR",
    Doubt.WIDE: "the interval is too wide",
}

_ADVICE = {
    Doubt.NO_TRIALS: (
        "This is the range tests' LR, moved along the length by an exponent of "
        f"{PRIOR.exponent:g} give or take {2 * PRIOR.exponent_std:g}, which small tasks have. To measure it give "
        "{n.more_budget}."
    ),
    Doubt.ALL_GIVEN_UP: (
        "They diverged, or their loss was no number: look at the data, the loss and the precision, and at the range "
        "tests' curves."
    ),
    Doubt.OPEN_BELOW: "A better one may lie below: give {n.more_budget}, which lets the trials go on there.",
    Doubt.OPEN_ABOVE: "A better one may lie above: give {n.more_budget}, which lets the trials go on there.",
    Doubt.FEW_LENGTHS: "So few lengths show no curvature of the law; {n.more_budget} affords more of them.",
    Doubt.CURVED: "The exponent changes with the length; the interval allows for it.",
    Doubt.NOT_FALLING: (
        "From {last} steps the loss at the best LR does not fall: a longer training gains nothing as it is. Train "
        "shorter, or against overfitting."
    ),
    Doubt.FLAT: (
        "LRs a factor of two apart end with the same loss, as far as the seeds can tell: any LR of the interval will "
        "do."
    ),
    Doubt.WIDE: "Longer trials narrow it: give {n.more_budget}.",
}
