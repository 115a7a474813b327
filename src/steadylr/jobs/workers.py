"""Worker processes: trainings side by side, each of them costing no other when it dies."""

from __future__ import annotations

import math
import multiprocessing
import pickle
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from multiprocessing import connection, forkserver
from pathlib import Path
from typing import TYPE_CHECKING, Any

from steadylr.config.choices import Accelerator
from steadylr.core.ramp import Ramp
from steadylr.jobs.engine import Outcome, Task
from steadylr.present.numbers import count
from steadylr.present.sweep_progress import Running, SweepProgress
from steadylr.run.environment import cpu_cores, probe_device, visible_gpus
from steadylr.run.processes import exit_text, interrupts_wait, leave_with_parent
from steadylr.training.devices import Share, shared_gpus, threads_for
from steadylr.training.failure import TrainingFailed, as_failure
from steadylr.training.obtain import train_into

if TYPE_CHECKING:
    from multiprocessing.process import BaseProcess

    from steadylr.config.schema import Device

POLL_SECONDS = 0.2
MOST_LOSSES = 500
"""Losses of one training that this process knows while it is under way, evenly over its steps."""

STOP_SECONDS = 3.0
"""How long a worker may take to end before it is killed."""

PRELOADED = "steadylr.jobs.preload"
FORKS = sys.platform == "linux"
"""Whether workers are forked from a process that has imported torch. Elsewhere what the system's libraries start on
import doesn't survive a fork, and each worker imports torch for itself."""


def expect_workers() -> None:
    """Have torch imported for workers while this process does something else; without this, the first one waits."""
    if FORKS:
        with interrupts_wait():
            forkserver.set_forkserver_preload([PRELOADED])
            forkserver.ensure_running()


class LocalEngine:
    """Trainings in worker processes on this machine."""

    def capacity(self, device: Device) -> int:
        """How many trainings may share the machine: as the config says, else as many as GPUs or cores allow."""
        if device.workers is not None:
            return device.workers
        kind = probe_device(device.accelerator.value)
        slots = {"cuda": max(1, len(visible_gpus())), "mps": 1}.get(kind, cpu_cores())
        return max(1, slots // device.devices)

    def workers_for(self, device: Device, trainings: int) -> int:
        """How many workers do some trainings: as many as fit on the machine, never more than there are trainings.

        All trainings at once where they are not twice as many as the cores: with three one after the other on two
        cores the last would leave a core idle.
        """
        fitting = self.capacity(device)
        shared = (
            device.workers is None and device.devices == 1 and probe_device(device.accelerator.value) == "cpu"
        )
        return trainings if shared and trainings < 2 * fitting else min(fitting, trainings)

    def described(self, workers: int) -> str:
        """How many there are."""
        return count(workers, "worker")

    def has(self, kind: Accelerator) -> bool:
        """Whether this machine has a kind of device."""
        if kind is Accelerator.cuda:
            return bool(visible_gpus())
        return kind is not Accelerator.mps or sys.platform == "darwin"

    def begin(self, tasks: Sequence[Task], store: Path, *, workers: int) -> Workers:
        """Have torch imported for the workers, which start when the context is entered."""
        if tasks:
            expect_workers()
        return Workers(workers, tasks, store, gpus=shared_gpus([task.training for task in tasks]))


class Workers:
    """Worker processes for some trainings. Leaving the context stops them, whatever they are doing.

    Args:
        count: how many processes, at least 1.
        tasks: what to train; each at most once.
        store: the folder of the store that is to hold it.
        gpus: the GPUs to share out, as many to each worker as a training takes; empty where there are none.
    """

    def __init__(self, count: int, tasks: Sequence[Task], store: Path, *, gpus: Sequence[str] = ()) -> None:
        self._tasks = tuple(tasks)
        self._store = store
        self._context = multiprocessing.get_context("forkserver" if FORKS else "spawn")
        self._steps: Any = self._context.RawArray("q", max(1, len(self._tasks)))
        self._losses: Any = self._context.RawArray("f", max(1, len(self._tasks) * MOST_LOSSES))
        each = max((task.config.device.devices for task in self._tasks), default=1)
        self._gpus = [_gpus_of(k, each, len(gpus)) for k in range(min(count, len(self._tasks)))]
        self._waiting = list(range(len(self._tasks)))[::-1]
        self._idle = list(range(len(self._gpus)))[::-1]
        self._workers: dict[int, _Worker] = {}
        self._busy: dict[int, int] = {}  # the task of each worker that has one

    def __enter__(self) -> Workers:
        try:
            if self._waiting:
                expect_workers()
            self._start_waiting()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End all processes."""
        with interrupts_wait():
            for worker in self._workers.values():
                worker.terminate()
            for worker in self._workers.values():
                worker.join()
            self._workers.clear()

    def results(self, progress: SweepProgress) -> Iterator[tuple[str, Outcome]]:
        """Give the key of each task as it ends, with whether it is in the store now or why not, until all have.

        A task whose worker dies ends with that.
        """
        ended: list[tuple[str, Outcome]] = []
        while self._busy or ended:
            yield from ended  # after the workers have got new work: what their receiver does takes a moment
            connection.wait(
                [sign for worker in self._busy for sign in self._workers[worker].signs()], POLL_SECONDS
            )
            ended = [
                self._end(worker, progress) for worker in list(self._busy) if self._workers[worker].is_done()
            ]
            self._start_waiting()
            progress.update(steps=sum(self._steps), running=len(self._busy))

    def running(self) -> list[Running]:
        """The trainings under way, with the losses that their processes have left so far; safe in any thread."""
        return [self._running(index) for index in list(self._busy.values())]

    def _running(self, index: int) -> Running:
        task, done = self._tasks[index], self._steps[index]
        share = min(1.0, done / task.num_steps)
        if task.plan is not None or task.config.finder.scout_steps:  # the LR of a step is not known here
            return Running(task.label, share=share)
        stride = _stride(task)
        known = self._losses[index * MOST_LOSSES : index * MOST_LOSSES + -(-done // stride)]
        points = [(k * stride, loss) for k, loss in enumerate(known) if math.isfinite(loss)]
        finder = task.config.finder
        ramp = Ramp(finder.start_lr, finder.end_lr, finder.num_iter, finder.step_mode.value)
        return Running(
            task.label,
            tuple(ramp.lr_at(step) for step, _ in points),
            tuple(loss for _, loss in points),
            share,
        )

    def _start_waiting(self) -> None:
        while self._waiting and self._idle:
            number, index = self._idle.pop(), self._waiting.pop()
            task = self._tasks[index]
            with interrupts_wait():
                worker = self._workers.get(number)
                if worker is None:
                    worker = self._workers[number] = _Worker(
                        self._context, self._steps, self._losses, self._store
                    )
                worker.give(
                    index, task, Share(threads_for(task.config, workers=len(self._gpus)), self._gpus[number])
                )
            self._busy[number] = index

    def _end(self, number: int, progress: SweepProgress) -> tuple[str, Outcome]:
        index = self._busy.pop(number)
        task, outcome = self._tasks[index], self._workers[number].outcome()
        if self._workers[number].is_dead():
            self._workers.pop(number).join()
        self._idle.append(number)
        self._steps[index] = task.num_steps  # also where it stopped early
        progress.run_done(task.label, failed=isinstance(outcome, TrainingFailed))
        return task.key, outcome


def _stride(task: Task) -> int:
    """Steps from one loss that is told while a task trains to the next."""
    return max(1, -(-task.num_steps // MOST_LOSSES))


def _gpus_of(worker: int, each: int, gpus: int) -> tuple[int, ...]:
    """The GPUs of a worker: the next `each` of them, from the start again after the last; () where there are none."""
    return tuple((worker * each + k) % gpus for k in range(each)) if gpus else ()


class _Worker:
    """A process that trains one task after the other, as seen from the process that hands them out.

    Each has a pipe of its own, so that no death leaves a lock or half a message to another.
    """

    def __init__(self, context: Any, steps: Any, losses: Any, store: Path) -> None:
        self._pipe, theirs = context.Pipe()
        self._process: BaseProcess = context.Process(
            target=_serve, args=(theirs, steps, losses, store), name="steadylr worker"
        )
        try:
            self._process.start()
        except (EOFError, OSError):  # what it is forked from has died: there will be another
            self._process.start()
        theirs.close()

    def give(self, index: int, task: Task, share: Share) -> None:
        """Have it train a task."""
        with suppress(BrokenPipeError):  # it has died, which its signs tell
            self._pipe.send((index, task, share))

    def signs(self) -> tuple[Any, int]:
        """What becomes ready for reading when it has done its task or has died."""
        return self._pipe, self._process.sentinel

    def is_done(self) -> bool:
        """Whether its task has ended, or it has."""
        return bool(connection.wait(self.signs(), 0))

    def is_dead(self) -> bool:
        """Whether the process has ended."""
        return not self._process.is_alive()

    def outcome(self) -> Outcome:
        """What came of its task, once that is done."""
        with suppress(EOFError, OSError):
            if self._pipe.poll():
                outcome: Outcome = self._pipe.recv()
                return outcome
        self.join()
        return TrainingFailed(
            f"the worker process died ({exit_text(self._process.exitcode)}): killed from outside, or out of "
            "memory; lower device.workers or data.batch_size if memory was short, and run the same command again"
        )

    def terminate(self) -> None:
        """Ask it to end."""
        self._process.terminate()

    def join(self) -> None:
        """Wait until it has ended; a process that does not is killed."""
        self._process.join(STOP_SECONDS)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self._pipe.close()


# ---- in a worker


def _serve(pipe: connection.Connection, steps: Any, losses: Any, store: Path) -> None:
    """Train what comes through a pipe into a store until it closes."""
    leave_with_parent()
    with suppress(EOFError, BrokenPipeError):  # nobody is there any more
        while True:
            pipe.send(_outcome(pipe.recv_bytes(), steps, losses, store))


def _outcome(message: bytes, steps: Any, losses: Any, store: Path) -> Outcome:
    """Train one task, with its errors as a value: not every exception can cross between processes."""
    try:
        task: Task
        index, task, share = pickle.loads(message)

        first, stride = index * MOST_LOSSES, _stride(task)

        def report(step: int, lr: float, loss: float | None) -> None:
            if step % stride == 0:
                losses[first + step // stride] = math.nan if loss is None else loss
            steps[index] = step + 1

        return train_into(store, task.config, task.training, task.plan, share=share, report=report)
    except Exception as error:
        return as_failure(error)
