"""One training on several devices: a process for each, started here or by torchrun."""

from __future__ import annotations

import multiprocessing
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from steadylr.run.processes import exit_text, interrupts_wait, leave_with_parent, may_have_children
from steadylr.run.ranks import Rank
from steadylr.training.failure import TrainingFailed, as_failure

if TYPE_CHECKING:
    from steadylr.present.progress import StepReport

Found = TypeVar("Found")

POLL_SECONDS = 0.2
REPORT_SECONDS = 0.1
"""How often rank 0 tells what it has done: at most."""


def in_ranks(
    work: Callable[..., Found], count: int, *, report: StepReport | None = None, gpus: Sequence[int] = ()
) -> Found:
    """Do some work in processes of its own, one per device; give what rank 0 made of it.

    The processes end with this call, whatever ends it, and with this process.

    Args:
        work: work(rank, report=..., gpu=...), called in each process. A function of a module, or a partial of one, as
            it crosses between processes.
        count: how many processes.
        report: told every now and then how far rank 0 has come.
        gpus: the GPU of each rank; empty: the first ones.

    Raises:
        TrainingFailed: what ended the work in one of the processes, or that one died.
    """
    with (
        tempfile.TemporaryDirectory(prefix="steadylr-") as folder,
        _Ranks(work, count, Path(folder), gpus) as ranks,
    ):
        return ranks.result(report)


class _Ranks(Generic[Found]):
    """The processes of one training. Leaving the context ends them, whatever they are doing."""

    def __init__(self, work: Callable[..., Found], count: int, folder: Path, gpus: Sequence[int]) -> None:
        self._context = multiprocessing.get_context("spawn")
        self._ranks = [Rank(index, count, index, count, str(folder / "meeting")) for index in range(count)]
        self._gpus = list(gpus) or list(range(count))
        self._work = work
        self._processes: list[BaseProcess] = []
        self._pipes: dict[Connection, int] = {}

    def __enter__(self) -> _Ranks[Found]:
        try:
            with interrupts_wait(), may_have_children():
                for rank, gpu in zip(self._ranks, self._gpus, strict=True):
                    self._start(rank, gpu)
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def _start(self, rank: Rank, gpu: int) -> None:
        ours, theirs = self._context.Pipe(duplex=False)
        self._pipes[ours] = rank.index
        process = self._context.Process(target=_run_rank, args=(theirs, rank, gpu, self._work))
        process.start()
        self._processes.append(process)
        theirs.close()

    def _end(self) -> None:
        with interrupts_wait():
            for process in self._processes:
                process.kill()
            for process in self._processes:
                process.join()
            for pipe in self._pipes:
                pipe.close()

    def result(self, report: StepReport | None) -> Found:
        """Wait until all ranks are done; give what rank 0 made.

        Raises:
            TrainingFailed: a rank died, or else the reason of the first that failed.
        """
        results: dict[int, Found] = {}
        failures: list[TrainingFailed] = []
        while len(results) < len(self._ranks):
            known = bool(failures)
            ended = [process.exitcode for process in self._processes]
            # Reading comes after the look at who has ended: those have sent all that they ever will.
            self._read(results, failures, report)
            for rank, code in zip(self._ranks, ended, strict=True):
                if code is not None and rank.index not in results:
                    raise _death(rank, code)
            if known:
                raise failures[0]
            if failures:
                time.sleep(POLL_SECONDS)  # a rank whose death made this one fail is seen to be dead by then
        return results[0]

    def _read(
        self, results: dict[int, Found], failures: list[TrainingFailed], report: StepReport | None
    ) -> None:
        """Take what has come from the ranks, after a short wait for something to come."""
        timeout = POLL_SECONDS
        while ready := wait(list(self._pipes), timeout=timeout):
            timeout = 0
            for pipe in [pipe for pipe in self._pipes if pipe in ready]:
                try:
                    message = pipe.recv()
                except EOFError:
                    del self._pipes[pipe]
                    continue
                if isinstance(message, TrainingFailed):
                    failures.append(message)
                elif not isinstance(message, _Progress):
                    results[self._pipes[pipe]] = message
                elif report is not None:
                    report(*message)


class _Progress(NamedTuple):
    step: int
    lr: float
    loss: float | None


def _death(rank: Rank, code: int) -> TrainingFailed:
    return TrainingFailed(
        f"rank {rank.index} of {rank.count} died ({exit_text(code)}): killed from outside, or out of memory; lower "
        "data.batch_size if memory was short, and run the same command again"
    )


def failure_of(rank: Rank, error: Exception) -> TrainingFailed:
    """An error in one of several ranks, which is named unless the error explains itself."""
    failure = as_failure(error)
    if not failure.details:
        return failure
    return TrainingFailed(f"rank {rank.index} of {rank.count}: {failure.message}", failure.details)


def _run_rank(pipe: Connection, rank: Rank, gpu: int, work: Callable[..., Any]) -> None:
    """A process of the training: what comes of it goes through the pipe."""
    leave_with_parent()
    report = _reporting(pipe) if rank.index == 0 else None
    try:
        found = work(rank, report=report, gpu=gpu)
    except Exception as error:
        pipe.send(failure_of(rank, error))
        threading.Event().wait()  # to be ended: the other ranks would fail of its leaving
    else:
        pipe.send(found if rank.index == 0 else None)


def _reporting(pipe: Connection) -> StepReport:
    """A report that tells the parent of some steps, as few as a person can read."""
    told = 0.0

    def report(step: int, lr: float, loss: float | None) -> None:
        nonlocal told
        now = time.monotonic()
        if now - told >= REPORT_SECONDS:
            told = now
            pipe.send(_Progress(step, lr, loss))

    return report
