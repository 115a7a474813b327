"""The answer of a verification as text."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from steadylr.present.numbers import count, format_loss, format_lr, format_lr_range
from steadylr.present.text import Part, Row, heading, pasted, sentence, table, title
from steadylr.words.verification import verification_advice, verification_summary

if TYPE_CHECKING:
    from steadylr.core.verification import Tried, Verification


def verification_parts(
    verified: Sequence[tuple[str, Verification]], *, steps: int, judged_by: str
) -> Iterator[Part]:
    """What the trainings of a verification say.

    Args:
        verified: each condition, with its title.
        steps: of each training.
        judged_by: "validation loss" or "training loss".
    """
    for number, (name, verification) in enumerate(verified):
        if number:
            yield pasted()
        seeds = count(verification.num_seeds, "seed")
        yield title(f"{name}: {count(steps, 'step')} of OneCycle, {seeds}, by {judged_by}")
        yield pasted()
        yield from _condition_parts(verification)


def _condition_parts(verification: Verification) -> Iterator[Part]:
    header = ("", "peak LR", "", "loss", "over seeds", "regret", "+-", "")
    yield table(header, [_tried_row(verification, tried) for tried in verification.tried])
    yield from heading("Verification")
    harmless = verification.conclusion.value == "harmless"
    style = "yellow" if not verification.sure else "green" if harmless else "red"
    yield sentence(verification_summary(verification), f"bold {style}")
    for advice in verification_advice(verification):
        yield sentence(advice)
    yield pasted()
    yield table(("", "", ""), _summary_rows(verification))


def _tried_row(verification: Verification, tried: Tried) -> Row:
    suggested = verification.suggested
    lrs = (("lowest", suggested.low), ("chosen", suggested.chosen), ("highest", suggested.high))
    names = [name for name, lr in lrs if verification.at(lr) is tried]
    kept = [loss for loss in tried.losses if math.isfinite(loss)]
    spread = f"{format_loss(min(kept))} to {format_loss(max(kept))}" if len(kept) > 1 else ""
    best = "best" if tried is verification.best else ""
    given_up = f"{tried.num_given_up} of {len(tried.losses)} given up" if tried.num_given_up else ""
    cells = (
        ">" if "chosen" in names else "",
        format_lr(tried.lr),
        ", ".join(names),
        format_loss(tried.loss),
        spread,
        f"{tried.regret:.1%}",
        "" if tried.half_width is None else f"{tried.half_width:.1%}",
        ", ".join(filter(None, (best, given_up))),
    )
    return Row(cells, "bold" if "chosen" in names else "")


def _summary_rows(verification: Verification) -> Iterator[Row]:
    low, high = verification.flat_is_open
    ends = " and ".join(name for name, is_open in (("lowest", low), ("highest", high)) if is_open)
    open_text = f"up to the {ends} LR tried: it may go on beyond" if ends else ""
    descent, sensitivity = verification.descent, verification.sensitivity
    share = f"{sensitivity / descent:.1%} of the descent" if descent > 0 else ""
    over = f"over {format_lr_range(verification.tried[0].lr, verification.tried[-1].lr)}"
    yield Row(("before training", format_loss(verification.initial_loss), "mean loss of the first batch"))
    yield Row(("flat region", format_lr_range(*verification.flat), open_text))
    yield Row(("LR sensitivity", format_loss(sensitivity), ", ".join(filter(None, (share, over)))))
