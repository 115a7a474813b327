"""Workers that start no process: for tests in which the outcome of every training is known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Self

    from steadylr.jobs.workers import Task


class NoWorkers:
    """What stands for Workers in a test; what comes of the tasks is for its own classes to say (results)."""

    def __init__(self, count: int, tasks: Sequence[Task], *, gpus: Sequence[str] = ()) -> None:
        self.tasks = tasks

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass
