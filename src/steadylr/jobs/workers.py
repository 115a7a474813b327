"""Worker processes: trainings side by side, each of them costing no other when it dies."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any

from pebble import ProcessExpired, ProcessPool

from steadylr.present.sweep_progress import SweepProgress
from steadylr.run.processes import exit_text, interrupts_wait, leave_with_parent
from steadylr.training.devices import Share, threads_for
from steadylr.training.failure import TrainingFailed, as_failure
from steadylr.training.obtain import Trained

if TYPE_CHECKING:
    from steadylr.config.schema import Config

POLL_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Task:
    """One training for a worker, which leaves it in a store.

    Args:
        key: identifies it.
        label: what people call it.
        config: what to train.
        work: work(share=..., report=...) does it, in a worker: a function of a module, or a partial of one, as it
            crosses between processes.
    """

    key: str
    label: str
    config: Config
    work: Callable[..., Trained]

    @property
    def num_steps(self) -> int:
        """The steps that it takes unless it stops early."""
        return self.config.finder.num_iter


_Result = Future[Any]


class Workers:
    """Worker processes for some trainings. Leaving the context stops them, whatever they are doing.

    Each worker is a pool of one process. In a pool of several, a worker that is killed can take the lock of
    their common queue along, and one that dies while it starts ends the whole pool.

    Args:
        count: how many processes, at least 1.
        tasks: what to train; each at most once.
        gpus: the GPUs to share out, as many to each worker as a training takes; empty where there are none.
    """

    def __init__(self, count: int, tasks: Sequence[Task], *, gpus: Sequence[str] = ()) -> None:
        self._context = multiprocessing.get_context("spawn")
        self._tasks = tuple(tasks)
        self._steps: Any = self._context.RawArray("q", max(1, len(self._tasks)))
        self._each = max((task.config.device.devices for task in self._tasks), default=1)
        self._gpus = [_gpus_of(k, self._each, len(gpus)) for k in range(min(count, len(self._tasks)))]
        self._pools: dict[int, ProcessPool] = {}
        self._waiting = list(enumerate(self._tasks))[::-1]
        self._idle = list(range(len(self._gpus)))[::-1]
        self._busy: dict[_Result, tuple[int, int]] = {}

    def __enter__(self) -> Workers:
        try:
            self._start_waiting()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End all processes."""
        with interrupts_wait():
            _ended(self._pools.values())

    def results(self, progress: SweepProgress) -> Iterator[tuple[str, Trained | TrainingFailed]]:
        """Give the key of each task as it ends, with whether it is in the store now or why not, until all have.

        A task whose worker dies ends with that.
        """
        ended: list[tuple[str, Trained | TrainingFailed]] = []
        while self._busy or ended:
            yield from ended  # after the workers have got new work: what their receiver does takes a moment
            done = wait(self._busy, timeout=POLL_SECONDS, return_when=FIRST_COMPLETED).done
            ended = [self._end(future, progress) for future in done]
            self._start_waiting()
            progress.update(steps=sum(self._steps), running=len(self._busy))

    def _start_waiting(self) -> None:
        while self._waiting and self._idle:
            worker, (index, task) = self._idle.pop(), self._waiting.pop()
            with interrupts_wait():
                arguments = (index, task, self._share(worker, task))
                future = self._pool(worker).schedule(_train_in_worker, args=arguments)
            self._busy[future] = worker, index

    def _end(self, future: _Result, progress: SweepProgress) -> tuple[str, Trained | TrainingFailed]:
        worker, index = self._busy.pop(future)
        self._idle.append(worker)
        task, run = self._tasks[index], _result(future)
        self._steps[index] = task.num_steps  # also where it stopped early
        progress.run_done(task.label, failed=isinstance(run, TrainingFailed))
        return task.key, run

    def _share(self, worker: int, task: Task) -> Share:
        """What a training may use of the machine in one of these workers."""
        return Share(threads_for(task.config, workers=len(self._gpus)), self._gpus[worker])

    def _pool(self, worker: int) -> ProcessPool:
        """The pool of a worker; a new one where a death has ended the last."""
        pool = self._pools.get(worker)
        if pool is not None and not pool.active:
            _ended([pool])
            pool = None
        if pool is None:
            pool = ProcessPool(
                max_workers=1,
                context=self._context,
                initializer=_start_worker,
                initargs=(self._steps, self._each == 1),
            )
            self._pools[worker] = pool
        return pool


def _gpus_of(worker: int, each: int, gpus: int) -> tuple[int, ...]:
    """The GPUs of a worker: the next `each` of them, from the start again after the last; () where there are none."""
    return tuple((worker * each + k) % gpus for k in range(each)) if gpus else ()


def _ended(pools: Collection[ProcessPool]) -> None:
    """Stop pools and wait for their processes to be gone."""
    for pool in pools:
        pool.stop()  # type: ignore[no-untyped-call]
    for pool in pools:
        pool.join()


def _result(future: _Result) -> Any:
    try:
        return future.result()
    except ProcessExpired as death:
        return TrainingFailed(
            f"the worker process died ({exit_text(death.exitcode)}): killed from outside, or out of memory; lower "
            "device.workers or data.batch_size if memory was short, and run the same command again"
        )
    except BrokenProcessPool:
        return TrainingFailed(
            "the worker process died while it started: killed from outside, or out of memory; lower "
            "device.workers if memory was short, and run the same command again"
        )
    except Exception as error:  # what the worker sent can't be read here
        return as_failure(error)


# ---- in a worker


_steps: Any = None  # shared memory, one counter of steps per task


def _start_worker(steps: Any, trains_itself: bool) -> None:
    """Make a fresh process ready to train: torch takes seconds, and an orphan must not train on.

    Where trainings have a process for each of several devices, those need torch, and this one doesn't.
    """
    global _steps
    _steps = steps
    leave_with_parent()
    if trains_itself:
        import steadylr.run.range_test  # noqa: F401


def _train_in_worker(index: int, task: Task, share: Share) -> Trained | TrainingFailed:
    """One training, with its errors as a value: not every exception can cross between processes."""

    def report(step: int, lr: float, loss: float | None) -> None:
        _steps[index] = step + 1

    try:
        return task.work(share=share, report=report)
    except Exception as error:
        return as_failure(error)
