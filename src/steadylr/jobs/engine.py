"""What does trainings: one narrow interface, for worker processes here, a Ray cluster and Slurm."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from steadylr.training.failure import TrainingFailed
from steadylr.training.identity import Training
from steadylr.training.obtain import Trained

if TYPE_CHECKING:
    from typing_extensions import Self

    from steadylr.config.choices import Accelerator
    from steadylr.config.schema import Config, Device
    from steadylr.core.onecycle import Plan
    from steadylr.present.sweep_progress import Running, SweepProgress

Outcome = Trained | TrainingFailed
"""How a training ended: the store holds it, or it failed."""


@dataclass(frozen=True, slots=True)
class Task:
    """One training that is to be in the store.

    Args:
        key: identifies it.
        label: what people call it.
        config: what to train.
        training: what identifies it: describe_training of the config, or describe_trial.
        plan: the schedule of a trial; None for a range test.
    """

    key: str
    label: str
    config: Config
    training: Training
    plan: Plan | None = None

    @property
    def num_steps(self) -> int:
        """The steps that it takes unless it stops early."""
        return self.config.finder.num_iter


class AtWork(Protocol):
    """Trainings under way. Leaving the context stops those that have not ended."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def results(self, progress: SweepProgress) -> Iterator[tuple[str, Outcome]]:
        """Give the key of each task as it ends, with whether it is in the store now or why not, until all have.

        No end of a process or of a machine costs other tasks than those that it had.
        """

    def running(self) -> Sequence[Running]:
        """The tasks that train right now, with their losses so far; none where that can't be known from here."""


class Engine(Protocol):
    """Where trainings are done."""

    def capacity(self, device: Device) -> int:
        """How many trainings it does side by side, at least 1."""

    def workers_for(self, device: Device, trainings: int) -> int:
        """How many of so many trainings it does at a time, never more than there are."""

    def described(self, workers: int) -> str:
        """Who does trainings, so many at a time, for people: "2 workers"."""

    def has(self, kind: Accelerator) -> bool:
        """Whether it has a kind of device, or may yet get it."""

    def begin(self, tasks: Sequence[Task], store: Path, *, workers: int) -> AtWork:
        """Begin some trainings, each at most once.

        Args:
            tasks: what to train.
            store: the folder of the store that is to hold it.
            workers: how many at a time.
        """
