"""Jobs of a sweep side by side: grouped by run, each distinct training done once, in worker processes."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from hydra.core.utils import JobReturn, JobStatus, configure_log, filter_overrides, run_job, setup_globals
from hydra.errors import HydraException
from omegaconf import OmegaConf, open_dict, read_write
from omegaconf.errors import OmegaConfBaseException

from steadylr.config.errors import BadInput
from steadylr.config.names import ANALYSIS_KEYS
from steadylr.config.values import check_config, refuse_sweep_in_torchrun
from steadylr.exit_codes import EXIT_FAILED
from steadylr.jobs.job import WORKERS
from steadylr.jobs.places import Asked, Place, is_finished, places
from steadylr.jobs.session import JOB_OFFSET, SESSION
from steadylr.jobs.workers import Task, Workers
from steadylr.present.numbers import count
from steadylr.present.terminal import SweepProgress
from steadylr.run.environment import cpu_cores, probe_device, visible_gpus
from steadylr.store import records
from steadylr.store.curve_file import Obtained
from steadylr.store.job_folder import next_job_number
from steadylr.training.failure import explained
from steadylr.training.identity import Training, describe_training, full_key, job_key, threads_for
from steadylr.training.obtain import obtain, open_store, supplied

if TYPE_CHECKING:
    from hydra.types import HydraContext, TaskFunction
    from omegaconf import DictConfig

    from steadylr.config.schema import Config, Device

NOT_TRAINED = (*ANALYSIS_KEYS, "onecycle", "consensus")
"""Keys that change no training; runs are not named after them."""

OF_THE_SWEEP = ("consensus.choose", "consensus.mix", "sweep_name", "dry_run", "device.workers")
"""Keys that a sweep has one value of."""

MOST_NAMED = 3  # jobs with one problem that are named one by one
MOST_LETTERS = 60  # of a run's name


@dataclass(frozen=True, slots=True)
class Job:
    """One job's overrides with what they come to, checked.

    Args:
        overrides: of the program, without Hydra's own.
        composed: the config as Hydra holds it.
        config: the config as we do.
        training: the training that the job needs.
    """

    overrides: tuple[str, ...]
    composed: DictConfig
    config: Config
    training: Training

    @property
    def key(self) -> str:
        """What identifies the job."""
        return job_key(self.config, self.training)

    @property
    def run(self) -> str:
        """What jobs which share a training have in common."""
        return full_key(self.training)

    def on_threads(self, threads: int) -> Job:
        """The same job, trained on another number of threads."""
        shape = {**self.training.shape, "threads": threads}
        return replace(self, training=replace(self.training, shape=shape))


@dataclass(frozen=True, slots=True)
class Work:
    """What a command has to do.

    Args:
        jobs: all jobs, with the place of each.
        runs: the jobs that are still to do by the numbers of their places, by run.
        stored: the runs among them that the store holds.
        workers: how many trainings share the machine.
    """

    jobs: tuple[tuple[Place, Job], ...]
    runs: Mapping[str, Mapping[int, Job]]
    stored: tuple[str, ...]
    workers: int

    @property
    def missing(self) -> tuple[str, ...]:
        """The runs that have to be trained, in the order of the command line."""
        return tuple(key for key in self.runs if key not in self.stored)

    def announcement(self) -> str:
        """What is about to be done, in one line."""
        finished, missing = sum(place.finished for place, _ in self.jobs), len(self.missing)
        parts = [count(len(self.jobs), "job"), count(missing, "training")]
        parts += [count(min(self.workers, missing), "worker")] if missing else []
        notes = [f"{count(finished, 'job')} already finished"] if finished else []
        notes += [f"{count(len(self.stored), 'run')} from the store"] if self.stored else []
        return ", ".join(parts) + (f" ({', '.join(notes)})" if notes else "")


def launch(
    job_overrides: Sequence[Sequence[str]],
    initial_job_idx: int,
    *,
    hydra_context: HydraContext,
    task_function: TaskFunction,
    config: DictConfig,
) -> Sequence[JobReturn]:
    """Run the jobs of one batch of a sweep: what Hydra asks of a launcher.

    The trainings go to worker processes; the jobs themselves (reading, writing) run here, as soon as their run
    is there. A run that fails costs its own jobs. On an interrupt the workers are stopped and what has
    finished stays.
    """
    setup_globals()
    configure_log(config.hydra.hydra_logging, config.hydra.verbose)
    sweep = Path(str(config.hydra.sweep.dir))
    try:
        jobs = check_jobs(job_overrides, hydra_context=hydra_context, config=config)
    except BadInput as error:
        print(error, file=sys.stderr)
        SESSION.exit_code = EXIT_FAILED
        return _leave_no_trace(sweep)
    dry_run = jobs[0].config.dry_run
    os.environ.pop(JOB_OFFSET, None)  # the places have their numbers already
    work = plan_work(sweep, jobs, reserve=not dry_run)
    print(work.announcement(), flush=True)
    if dry_run:
        return _leave_no_trace(sweep)

    def do(number: int, job: Job) -> None:
        if is_finished(sweep / str(number)):  # by another process, meanwhile
            return
        with read_write(job.composed), open_dict(job.composed):
            job.composed.hydra.job.id = job.composed.hydra.job.num = number
        result = run_job(
            hydra_context=hydra_context,
            task_function=task_function,
            config=job.composed,
            job_dir_key="hydra.sweep.dir",
            job_subdir_key="hydra.sweep.subdir",
        )
        configure_log(config.hydra.hydra_logging, config.hydra.verbose)
        if result.status is JobStatus.FAILED:
            _note_failure(sweep / str(number), job, result._return_value)

    token = WORKERS.set(work.workers)
    try:
        with termination_interrupts():
            _do_all(work, do)
    finally:
        WORKERS.reset(token)
    return [_done(job) for job in jobs]


def _do_all(work: Work, do: Callable[[int, Job], None]) -> None:
    """Train what is missing, and do every job once its run is there."""
    tasks = training_tasks([next(iter(work.runs[key].values())) for key in work.missing])
    with Workers(work.workers, tasks, gpus=gpus_for(tasks)) as workers:
        for key in work.stored:
            for number, job in work.runs[key].items():
                do(number, job)
        steps, jobs = sum(task.num_steps for task in tasks), sum(len(work.runs[key]) for key in work.missing)
        with SweepProgress(len(tasks), steps, total_jobs=jobs) as progress:
            for key, run in workers.results(progress):
                with supplied(key, run):
                    for number, job in work.runs[key].items():
                        do(number, job)


def gpus_for(tasks: Sequence[Task[Any]]) -> Sequence[str]:
    """The GPUs that some trainings share; none where they train elsewhere."""
    on_gpus = bool(tasks) and tasks[0].training.shape["device_kind"] == "cuda"
    return visible_gpus() if on_gpus else ()


# ---- before anything is trained


def check_jobs(
    job_overrides: Sequence[Sequence[str]], *, hydra_context: HydraContext, config: DictConfig
) -> list[Job]:
    """Compose and check every job.

    Raises:
        BadInput: naming each job that can't run and why.
    """
    refuse_sweep_in_torchrun()
    given = [tuple(filter_overrides(overrides)) for overrides in job_overrides]
    swept = {text.partition("=")[0] for own in differing(given) for text in own} & set(OF_THE_SWEEP)
    if swept:
        raise BadInput(
            f"{', '.join(sorted(swept))} can have one value in a sweep, as it belongs to the sweep and not to a job: "
            "give one value, or several commands"
        )
    jobs: list[Job] = []
    problems: dict[str, list[str]] = {}
    for overrides, own in zip(job_overrides, differing(given), strict=True):
        with _noted(problems, " ".join(own)):
            composed = hydra_context.config_loader.load_sweep_config(config, list(overrides))
            jobs.append(_checked(tuple(filter_overrides(overrides)), composed))
    if problems:
        raise BadInput("\n".join(_named_problem(text, own) for text, own in problems.items()))
    workers = _workers(jobs)
    return [job.on_threads(threads_for(job.config, workers=workers)) for job in jobs]


def _checked(overrides: tuple[str, ...], composed: DictConfig) -> Job:
    cfg = OmegaConf.masked_copy(composed, [str(key) for key in composed if key != "hydra"])
    config = check_config(cfg)
    open_store(config, create=False)  # before anything is trained
    return Job(overrides, composed, config, describe_training(config, threads=1))


@contextmanager
def _noted(problems: dict[str, list[str]], label: str) -> Iterator[None]:
    """Keep what is wrong with a job, so that all that is wrong is told together."""
    try:
        yield
    except (HydraException, OmegaConfBaseException, ValueError) as error:
        problems.setdefault(str(error), []).append(label)


def _named_problem(text: str, labels: Sequence[str]) -> str:
    """One problem with the jobs that have it, by the overrides that are not common to all jobs."""
    if not any(labels):
        return text
    named = ", ".join(f"`{label}`" for label in labels[:MOST_NAMED])
    others = f" and {len(labels) - MOST_NAMED} more" if len(labels) > MOST_NAMED else ""
    return f"{'job' if len(labels) == 1 else 'jobs'} {named}{others}: {text}"


def differing(overrides: Sequence[Sequence[str]]) -> list[tuple[str, ...]]:
    """Of each job the overrides that not all jobs have."""
    common = set.intersection(*map(set, overrides)) if overrides else set()
    return [tuple(text for text in own if text not in common) for own in overrides]


def _workers(jobs: Sequence[Job]) -> int:
    """How many trainings share the machine: as many as fit on it, never more than there are runs."""
    fitting = min(fitting_trainings(job.config.device) for job in jobs)
    return min(fitting, len({job.run for job in jobs}))


def fitting_trainings(device: Device) -> int:
    """How many trainings may share the machine: as the config says, else as many as GPUs or cores allow."""
    if device.workers is not None:
        return device.workers
    kind = probe_device(device.accelerator.value)
    slots = {"cuda": max(1, len(visible_gpus())), "mps": 1}.get(kind, cpu_cores())
    return max(1, slots // device.devices)


def plan_work(sweep: Path, jobs: Sequence[Job], *, reserve: bool) -> Work:
    """Say what is still to do.

    Args:
        sweep: the folder of the sweep.
        jobs: in the order of the command line.
        reserve: take the places of new jobs; False writes nothing.
    """
    found = places(sweep, [Asked(job.key, job.overrides) for job in jobs], reserve=reserve)
    runs: dict[str, dict[int, Job]] = {}
    for place, job in zip(found, jobs, strict=True):
        if not place.finished:
            runs.setdefault(job.run, {})[place.number] = job
    stored = tuple(key for key, group in runs.items() if _is_stored(next(iter(group.values()))))
    return Work(tuple(zip(found, jobs, strict=True)), runs, stored, _workers(jobs))


def _is_stored(job: Job) -> bool:
    store = open_store(job.config, create=False)
    return store is not None and store.find(job.training.shape, job.training.seeds) is not None


def training_tasks(jobs: Sequence[Job]) -> list[Task[Obtained]]:
    """The trainings of some jobs, each named by the overrides that set it apart."""
    trained = [tuple(text for text in job.overrides if not _only_read(text)) for job in jobs]
    labels = [" ".join(own) for own in differing(trained)]
    short = [label if len(label) <= MOST_LETTERS else f"{label[: MOST_LETTERS - 3]}..." for label in labels]
    return [
        Task(job.run, label, job.config, job.training, obtain) for job, label in zip(jobs, short, strict=True)
    ]


def _only_read(override: str) -> bool:
    key = override.lstrip("+~").partition("=")[0]
    return any(key == name or key.startswith(f"{name}.") for name in NOT_TRAINED)


# ---- how jobs end


def _done(job: Job) -> JobReturn:
    """Hydra's form of a job that is over: what came of it is in its status.json."""
    result = JobReturn(overrides=list(job.overrides), status=JobStatus.COMPLETED)
    result.return_value = None
    return result


def _note_failure(folder: Path, job: Job, error: BaseException) -> None:
    """Write down an error that Hydra met around a job, such as a full disk; the job itself raises none."""
    message = str(error) if explained(error) else f"{type(error).__name__}: {error}"
    print(f"job {folder.name}: {message}", file=sys.stderr)
    failed = records.JobStatus(status="failed", job_key=job.key, overrides=list(job.overrides), error=message)
    with suppress(OSError):  # then the status still says that the job has not ended
        records.write_status(folder, failed)


def _leave_no_trace(sweep: Path) -> Sequence[JobReturn]:
    """Remove what Hydra made for a sweep in which nothing will run; all else stays."""
    SESSION.sweep_folder = None
    if next_job_number(sweep) > 0:
        return []
    with suppress(OSError):
        (sweep / "multirun.yaml").unlink(missing_ok=True)
        for folder in (sweep, *sweep.parents[:2]):
            if folder == sweep or folder.name in ("sweeps", "outputs"):
                folder.rmdir()  # only when empty
    return []


@contextmanager
def termination_interrupts() -> Iterator[None]:
    """Take a SIGTERM, such as a cluster's before it kills, for a Ctrl-C: what has finished gets its answer."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
