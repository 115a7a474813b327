"""Jobs of a sweep side by side: grouped by run, each distinct training done once, in worker processes."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.utils import JobReturn, JobStatus, configure_log, filter_overrides, run_job, setup_globals
from omegaconf import OmegaConf, open_dict, read_write
from pebble import ProcessExpired, ProcessPool

from steadylr.app.checks import BadInput, check_config
from steadylr.app.job import (
    WORKERS,
    Obtained,
    TrainingFailed,
    as_failure,
    full_key,
    job_key,
    known_jobs,
    obtain,
    open_store,
    supplied,
)
from steadylr.app.session import EXIT_FAILED, JOB_OFFSET, SESSION, next_job_number
from steadylr.app.training import describe_training, threads_for
from steadylr.present.terminal import SweepProgress
from steadylr.run.environment import cpu_cores, probe_device, visible_gpus

if TYPE_CHECKING:
    from hydra.types import HydraContext, TaskFunction
    from omegaconf import DictConfig

    from steadylr.app.schema import Config
    from steadylr.app.training import Training

POLL_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class _Checked:
    """One job's overrides with the config that they compose to, as Hydra holds it and as we do."""

    overrides: tuple[str, ...]
    composed: DictConfig
    config: Config


@dataclass(frozen=True, slots=True)
class Job:
    """One job of the sweep, checked, with the training that it needs and the folder that it writes to."""

    number: int
    overrides: tuple[str, ...]
    composed: DictConfig
    config: Config
    training: Training
    finished: bool

    @property
    def run(self) -> str:
        """The key that jobs which share a training have in common."""
        return full_key(self.training)


def launch(
    job_overrides: Sequence[Sequence[str]],
    initial_job_idx: int,
    *,
    hydra_context: HydraContext,
    task_function: TaskFunction,
    config: DictConfig,
) -> Sequence[JobReturn]:
    """Run the jobs of one batch of a sweep: what Hydra asks of a launcher.

    The training runs go to worker processes; the jobs themselves (reading, writing) run here, as soon as their
    run is there. A run that fails costs its own jobs. On an interrupt the workers are stopped and what has
    finished stays.
    """
    setup_globals()
    configure_log(config.hydra.hydra_logging, config.hydra.verbose)
    folder = Path(str(config.hydra.sweep.dir))
    try:
        checked = _checked(job_overrides, hydra_context=hydra_context, config=config)
    except BadInput as error:
        return _refuse(folder, str(error))
    workers = _workers(checked)
    jobs = _numbered(folder, checked, workers=workers)
    runs = _by_run(jobs)
    stored = [key for key, group in runs.items() if _is_stored(group[0])]
    missing = {key: group[0] for key, group in runs.items() if key not in stored}
    print(announcement(jobs, missing, workers=workers))
    if jobs[0].config.dry_run:
        return _leave_no_trace(folder)

    def do(job: Job) -> JobReturn:
        result = run_job(
            hydra_context=hydra_context,
            task_function=task_function,
            config=job.composed,
            job_dir_key="hydra.sweep.dir",
            job_subdir_key="hydra.sweep.subdir",
        )
        configure_log(config.hydra.hydra_logging, config.hydra.verbose)
        return result

    token = WORKERS.set(workers)
    returns = {job.number: _kept(job) for job in jobs if job.finished}
    try:
        with _training(missing, workers=workers) as trained:
            for key in stored:
                returns.update((job.number, do(job)) for job in runs[key])
            for key, run in trained:
                with supplied(key, run):
                    returns.update((job.number, do(job)) for job in runs[key])
    finally:
        WORKERS.reset(token)
    return [returns[job.number] for job in jobs]


def announcement(jobs: Sequence[Job], missing: Mapping[str, Job], *, workers: int) -> str:
    """What a sweep is about to do, in one line."""
    there = sum(job.finished for job in jobs)
    runs = {job.run for job in jobs}
    parts = [_count(len(jobs), "job"), _count(len(missing), "training"), _count(workers, "worker")]
    notes = [f"{there} already finished"] if there else []
    served = len(runs - set(missing)) - len({job.run for job in jobs if job.finished} - set(missing))
    notes += [f"{_count(served, 'run')} from the store"] if served > 0 else []
    return ", ".join(parts) + (f" ({', '.join(notes)})" if notes else "")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


def _checked(
    job_overrides: Sequence[Sequence[str]], *, hydra_context: HydraContext, config: DictConfig
) -> list[_Checked]:
    """Compose and check every job before any of them trains.

    Raises:
        BadInput: naming each job that can't run and why.
    """
    checked, problems = [], []
    for overrides in job_overrides:
        composed = hydra_context.config_loader.load_sweep_config(config, list(overrides))
        task_config = OmegaConf.masked_copy(composed, [str(key) for key in composed if key != "hydra"])
        try:
            checked.append(_Checked(tuple(filter_overrides(overrides)), composed, check_config(task_config)))
        except BadInput as error:
            problems.append(f"job `{' '.join(filter_overrides(overrides))}`: {error}")
    if problems:
        raise BadInput("\n".join(problems))
    return checked


def _workers(checked: Sequence[_Checked]) -> int:
    """How many worker processes a sweep gets: one per GPU, or one per core, never more than it has runs."""
    config = checked[0].config
    runs = {full_key(describe_training(job.config, threads=1)) for job in checked}
    if config.device.workers is not None:
        return min(config.device.workers, len(runs))
    kind = probe_device(config.device.accelerator.value)
    slots = {"cuda": max(1, len(visible_gpus())), "mps": 1}.get(kind, cpu_cores())
    return min(slots, len(runs))


def _numbered(folder: Path, checked: Sequence[_Checked], *, workers: int) -> list[Job]:
    """Give each job its folder: the one that it has from an earlier call, else the next free number."""
    os.environ.pop(JOB_OFFSET, None)
    known = known_jobs(folder)
    free = next_job_number(folder)
    jobs = []
    for item in checked:
        training = describe_training(item.config, threads=threads_for(item.config, workers=workers))
        earlier = known.get(job_key(item.config, training))
        number = free if earlier is None else earlier.number
        free += earlier is None
        with read_write(item.composed), open_dict(item.composed):
            item.composed.hydra.job.id = item.composed.hydra.job.num = number
        finished = earlier is not None and earlier.finished
        jobs.append(Job(number, item.overrides, item.composed, item.config, training, finished))
    return jobs


def _by_run(jobs: Sequence[Job]) -> dict[str, list[Job]]:
    """The jobs that are still to do, by run, in the order of the command line."""
    grouped: dict[str, list[Job]] = {}
    for job in jobs:
        if not job.finished:
            grouped.setdefault(job.run, []).append(job)
    return grouped


def _is_stored(job: Job) -> bool:
    store = open_store(job.config)
    return store is not None and store.find(job.training.shape, job.training.seeds) is not None


def _kept(job: Job) -> JobReturn:
    """Hydra's form of a job that an earlier call finished."""
    result = JobReturn(overrides=list(job.overrides), status=JobStatus.COMPLETED)
    result.return_value = None
    return result


def _refuse(folder: Path, message: str) -> Sequence[JobReturn]:
    print(message, file=sys.stderr)
    SESSION.exit_code = EXIT_FAILED
    return _leave_no_trace(folder)


def _leave_no_trace(folder: Path) -> Sequence[JobReturn]:
    """Remove the folder that Hydra's sweeper made, unless an earlier call left jobs in it."""
    SESSION.sweep_folder = None
    if next_job_number(folder) == 0:
        shutil.rmtree(folder)
    return []


# ---- worker processes


_steps: Any = None  # in a worker: shared memory, one counter of steps per run


def _start_worker(steps: Any) -> None:
    """Make a fresh process ready to train: an interrupt is the parent's to handle, and torch takes seconds."""
    global _steps
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _steps = steps
    import steadylr.run.range_test  # noqa: F401


def _train_in_worker(
    index: int, config: Config, training: Training, gpu: int | None
) -> Obtained | TrainingFailed:
    """One training, with its errors as a value: not every exception can cross between processes."""

    def report(step: int, lr: float, loss: float | None) -> None:
        _steps[index] = step + 1

    try:
        return obtain(config, training, report=report, gpu=gpu)
    except Exception as error:
        return as_failure(error)


@contextmanager
def _training(
    missing: Mapping[str, Job], *, workers: int
) -> Iterator[Iterator[tuple[str, Obtained | TrainingFailed]]]:
    """Train runs in worker processes; within the context, iterate over them as they end.

    Leaving the context early (an interrupt, an error) stops the workers.
    """
    if not missing:
        yield iter(())
        return
    context = multiprocessing.get_context("spawn")
    steps = context.RawArray("q", len(missing))
    pool = ProcessPool(max_workers=workers, context=context, initializer=_start_worker, initargs=(steps,))
    try:
        yield _results(pool, missing, steps, workers=workers)
        pool.close()  # type: ignore[no-untyped-call]
    except BaseException:
        pool.stop()  # type: ignore[no-untyped-call]
        raise
    finally:
        pool.join()


def _results(
    pool: ProcessPool, missing: Mapping[str, Job], steps: Any, *, workers: int
) -> Iterator[tuple[str, Obtained | TrainingFailed]]:
    """Keep every worker busy with one run, each on a GPU of its own where there are some."""
    waiting = list(enumerate(missing.items()))[::-1]
    gpus = visible_gpus() if next(iter(missing.values())).training.shape["device_kind"] == "cuda" else []
    free_gpus = list(range(len(gpus)))
    busy: dict[Future[Obtained | TrainingFailed], tuple[str, int | None]] = {}
    planned = sum(job.config.finder.num_iter for job in missing.values())
    with SweepProgress(len(missing), planned) as progress:
        ended: list[tuple[str, Obtained | TrainingFailed]] = []
        while waiting or busy or ended:
            while waiting and len(busy) < workers:
                index, (key, job) = waiting.pop()
                gpu = free_gpus.pop() if free_gpus else None
                future = pool.schedule(_train_in_worker, args=(index, job.config, job.training, gpu))
                busy[future] = (key, gpu)
            yield from ended  # after the workers have got new work: reading a curve takes a moment
            done = wait(busy, timeout=POLL_SECONDS, return_when=FIRST_COMPLETED).done
            ended = []
            for finished in done:
                key, gpu = busy.pop(finished)
                free_gpus += [] if gpu is None else [gpu]
                run = _result(finished)
                ended.append((key, run))
                progress.run_done(failed=isinstance(run, TrainingFailed))
            progress.update(steps=sum(steps), running=len(busy))


def _result(future: Future[Obtained | TrainingFailed]) -> Obtained | TrainingFailed:
    try:
        return future.result()
    except ProcessExpired as death:
        return TrainingFailed(
            f"the worker process died (exit code {death.exitcode}): killed from outside, or out of memory; "
            "lower device.workers or data.batch_size if memory was short, and run the same command again"
        )
