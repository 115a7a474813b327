"""The file of a ladder: the short trainings of several lengths that say which LR suits a planned one."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from steadylr.core.length.law import Start
from steadylr.core.length.trials import TrialLoss
from steadylr.store.records import Created
from steadylr.store.stored_file import Count, FinalLoss, Part, Positive, StoredFile

LADDER_FILE = "ladder.json"


class StoredLoss(Part):
    """One trial: its steps, its peak LR, its seed, and its final loss, infinite where it was given up."""

    steps: Annotated[int, Field(ge=1)]
    lr: Positive
    seed: Count
    loss: FinalLoss


class ConditionLadder(Part):
    """The ladder of one condition.

    Args:
        condition: the condition as text (RunReading.condition_key).
        steps: of the training that is planned.
        asked: the budget as it was asked for: "10%", "5,000 steps".
        budget: steps that all trials together may take.
        range_tests: steps that the range tests took.
        start_lr, start_steps, start_octaves_std: what the range tests say, the length that it is for, and how far
            off it may be.
        lengths: steps of the trials that were planned, rising; empty where the budget affords no ladder.
        judged_by: which loss; empty without a trial.
        trials: all that have ended.
        finished: whether the ladder is done.
    """

    condition: str
    steps: Annotated[int, Field(ge=2)]
    asked: str
    budget: Count
    range_tests: Count
    start_lr: Positive
    start_steps: Positive
    start_octaves_std: Positive
    lengths: list[int]
    judged_by: str
    trials: list[StoredLoss]
    finished: bool

    @property
    def losses(self) -> tuple[TrialLoss, ...]:
        """The trials as core has them."""
        return tuple(TrialLoss(own.steps, own.lr, own.seed, own.loss) for own in self.trials)

    @property
    def start(self) -> Start:
        """The start as core has it."""
        return Start(self.start_lr, self.start_steps, self.start_octaves_std)


class LadderFile(StoredFile):
    """The ladders of a sweep, one for each condition."""

    FILE: ClassVar[str] = LADDER_FILE

    created: Created
    conditions: list[ConditionLadder]
