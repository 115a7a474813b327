"""Workers that start no process: for tests in which the outcome of every training is known."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from made_jobs import curve_of
from steadylr.jobs.workers import LocalEngine
from steadylr.store.curve_file import RunCurves
from steadylr.store.curve_store import CurveStore
from steadylr.training.obtain import Trained

if TYPE_CHECKING:
    import pytest
    from typing_extensions import Self

    from steadylr.jobs.engine import Task
    from steadylr.training.failure import TrainingFailed


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


class MadeCurves(NoWorkers):
    """Range tests whose curves are made."""

    curve = staticmethod(curve_of)

    def results(self, progress: Any) -> Iterator[tuple[str, Trained | TrainingFailed]]:
        for task in self.tasks:
            yield task.key, self.trained(task)

    def trained(self, task: Task) -> Trained | TrainingFailed:
        """Have the store hold what a task asks for."""
        config, training = task.config, task.training
        curve = self.curve(config.seed, points=config.finder.num_iter)
        meta = {
            "seeds": {name: {"seed": seed, "used": True} for name, seed in training.seeds.items()},
            "device": {},
            "notes": [],
            "timings": {"train_seconds": 1.0},
        }
        curves = RunCurves(curve, None, curve.lr[:, None], meta)
        CurveStore(self.store).obtain(training.shape, training.seeds, lambda: curves)
        return Trained(from_store=False, seconds=1.0)
