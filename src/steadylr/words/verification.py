"""What short trainings say about the suggestions, in words."""

from __future__ import annotations

from collections.abc import Iterator

from steadylr.core.seed_noise import MOST_SEEDS
from steadylr.core.verification import Conclusion, Verification
from steadylr.words.numbers import format_lr, percent


def verification_summary(verification: Verification) -> str:
    """The conclusion, in one sentence."""
    return _SENTENCES[verification.conclusion](verification)


def verification_advice(verification: Verification) -> tuple[str, ...]:
    """What these seeds can tell, and what to do, the most important first."""
    return tuple(_advice(verification))


def _harmless(verification: Verification) -> str:
    low, chosen, high = verification.suggested.lrs
    if low == high:
        return f"There is no spread, and the choice is good: {_loses(verification, chosen)}."
    worst = max(verification.at(lr).regret for lr in (low, chosen, high))
    return (
        f"The spread is harmless: anywhere from {format_lr(low)} to {format_lr(high)} a training loses "
        f"at most {percent(worst)} of its descent."
    )


def _ends(verification: Verification) -> str:
    low, chosen, high = verification.suggested.lrs
    bad = [lr for lr in dict.fromkeys((low, high)) if not verification.is_good(verification.at(lr))]
    ends = " and ".join(f"{format_lr(lr)} loses {percent(verification.at(lr).regret)}" for lr in bad)
    which = "its ends are not" if len(bad) == 2 else f"its {'lower' if bad == [low] else 'upper'} end is not"
    return f"The choice is good, but {which}: {_loses(verification, chosen)}, {ends}."


def _move(verification: Verification) -> str:
    chosen = verification.suggested.chosen
    return f"The choice should move to {format_lr(verification.best.lr)}: {_loses(verification, chosen)}."


def _nothing_learned(verification: Verification) -> str:
    told = "" if verification.num_seeds == 1 else f", as far as {verification.num_seeds} seeds can tell"
    return f"No answer: no LR tried ends below the loss before training{told}."


_SENTENCES = {
    Conclusion.HARMLESS: _harmless,
    Conclusion.ENDS: _ends,
    Conclusion.MOVE: _move,
    Conclusion.NOTHING_LEARNED: _nothing_learned,
}


def _loses(verification: Verification, lr: float) -> str:
    return f"{format_lr(lr)} loses {percent(verification.at(lr).regret)} of the descent"


def _advice(verification: Verification) -> Iterator[str]:
    if verification.conclusion is Conclusion.NOTHING_LEARNED:
        yield "Train for more steps, and look at the curves of the range tests."
        return
    yield _certainty(verification)
    if verification.conclusion is Conclusion.HARMLESS and verification.sure:
        yield "Take the LR as it is: more range tests would not pay."
    if verification.conclusion is Conclusion.ENDS:
        yield "Take the chosen LR, not the careful or bold one at that end."
    if verification.conclusion is Conclusion.MOVE and verification.best_is_at_edge:
        yield f"There may be a better one: {_edge(verification)}"


def _certainty(verification: Verification) -> str:
    """What so many seeds can tell."""
    if verification.resolution is None:
        return "One seed says nothing about the noise: train with at least three."
    seeds = f"{verification.num_seeds} seeds"
    noise = f"their noise is {percent(verification.resolution)} of the descent"
    if verification.sure:
        return f"{seeds} are enough to tell: {noise}."
    if verification.best_is_at_edge and verification.seeds_needed is None:
        return f"That is not sure: {_edge(verification)}"
    if verification.seeds_needed is None or verification.seeds_needed > MOST_SEEDS:
        limit = f"the {percent(verification.tolerance)} from which an LR is bad"
        return f"{seeds} can't tell for sure: {noise}, and a regret lies that close to {limit}."
    return f"{seeds} can't tell for sure: {noise}; {verification.seeds_needed} would, if it stays that."


def _edge(verification: Verification) -> str:
    place, beyond = (
        ("lowest", "below") if verification.best is verification.tried[0] else ("highest", "above")
    )
    return f"the best LR is the {place} tried, {format_lr(verification.best.lr)}, so try LRs {beyond} it too."
