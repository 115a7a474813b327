"""The file of one trial's numbers. A trial is one short OneCycle training of a verification."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field, Strict

from steadylr.core.curve import FloatArray, Stop, frozen_array
from steadylr.store.array_file import ArrayFile, Arrays, Header, StoredArrays
from steadylr.store.stored_file import FinalLoss

if TYPE_CHECKING:
    from typing_extensions import Self


class TrialHeader(Header):
    """What a trial's file holds beside its losses."""

    total_steps: Annotated[int, Field(ge=1)]
    stop: Annotated[Stop, Strict(False)]
    final_loss: FinalLoss


@dataclass(frozen=True, slots=True, eq=False)
class Trial(StoredArrays):
    """The raw numbers of one trial; save and load put them into a file with the array loss, shape (n,).

    Args:
        losses: shape (n,), n >= 1: the training loss of each step. Copied and made read-only.
        total_steps: steps that were planned, at least n: a trial that was given up has fewer losses.
        stop: why it ended.
        final_loss: what it is judged by; infinite where it was given up or the loss was no number.
        meta: what else is known about it: None, bool, int, float, str, lists, mappings with text keys.

    Raises:
        ValueError: losses of another shape, or total_steps below their number.
    """

    FORMAT: ClassVar[int] = 1
    HEADER: ClassVar[type[Header]] = TrialHeader

    losses: FloatArray
    total_steps: int
    stop: Stop
    final_loss: float
    meta: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "losses", frozen_array(self.losses))
        object.__setattr__(self, "stop", Stop(self.stop))
        if self.losses.ndim != 1 or self.losses.size == 0:
            raise ValueError(f"losses must be one-dimensional and not empty; got shape {self.losses.shape}")
        if self.total_steps < self.losses.size:
            raise ValueError(
                f"total_steps must be at least the {self.losses.size} losses given; got {self.total_steps}"
            )

    @property
    def initial_loss(self) -> float:
        """The loss of the first batch, before any step."""
        return float(self.losses[0])

    def _content(self) -> tuple[Arrays, dict[str, Any]]:
        header = {"total_steps": self.total_steps, "stop": self.stop.value, "final_loss": self.final_loss}
        return {"loss": self.losses}, header

    @classmethod
    def _from_content(cls, file: ArrayFile, header: TrialHeader) -> Self:
        return cls(file.floats("loss"), header.total_steps, header.stop, header.final_loss, header.meta)
