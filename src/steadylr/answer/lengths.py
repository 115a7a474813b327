"""The LR for the length of the planned training, from what a sweep's ladder has left."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from steadylr.core.length.answer import LengthAnswer, answer_for_length
from steadylr.core.length.law import Start
from steadylr.core.length.trials import TrialLoss
from steadylr.store.ladder_file import ConditionLadder as ConditionLadder
from steadylr.store.ladder_file import LadderFile


@dataclass(frozen=True, slots=True)
class ConditionLength:
    """The LR for a length, for one condition.

    Args:
        answer: what the trials say.
        ladder: what was asked for, and done.
    """

    answer: LengthAnswer
    ladder: ConditionLadder


def read_ladders(sweep: str | os.PathLike[str]) -> tuple[ConditionLadder, ...]:
    """The ladders of a sweep; none where it has none.

    Raises:
        NewerSchema, DamagedFile: see StoredFile.from_json.
    """
    try:
        return tuple(LadderFile.read(sweep).conditions)
    except FileNotFoundError:
        return ()


def length_of(
    condition_keys: Sequence[str], ladders: Sequence[ConditionLadder], *, total_steps: int | None
) -> ConditionLength | None:
    """The LR for the planned length.

    Args:
        condition_keys: of the runs that are answered together; the LR of several conditions at once is for no length.
        ladders: of the sweep.
        total_steps: of the planned training; None: as the ladder was told.
    """
    own = [ladder for ladder in ladders if set(condition_keys) == {ladder.condition}]
    if not own:
        return None
    ladder = own[-1]
    return ConditionLength(_answered(ladder.losses, ladder.start, total_steps or ladder.steps), ladder)


@lru_cache(maxsize=32)
def _answered(trials: tuple[TrialLoss, ...], start: Start, steps: int) -> LengthAnswer:
    """The answer of a ladder: a command asks several times, and fitting takes a moment."""
    return answer_for_length(trials, steps=steps, start=start)
