"""Workers that start no process: for tests in which the outcome of every training is known."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from steadylr.jobs.workers import LocalEngine

if TYPE_CHECKING:
    import pytest
    from typing_extensions import Self

    from steadylr.jobs.engine import Task


class NoWorkers:
    """What stands for Workers in a test; what comes of the tasks is for its own classes to say (results)."""

    def __init__(self, tasks: Sequence[Task], store: Path) -> None:
        self.tasks = tasks
        self.store = store

    @classmethod
    def take_over(cls, monkeypatch: pytest.MonkeyPatch) -> None:
        """Have these do what is trained on this machine."""

        def begin(_: LocalEngine, tasks: Sequence[Task], store: Path, *, workers: int) -> NoWorkers:
            return cls(tasks, store)

        monkeypatch.setattr(LocalEngine, "begin", begin)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass
