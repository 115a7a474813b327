"""Our launchers: jobs grouped by run, each distinct training done once, by whichever engine is chosen."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from hydra.core.utils import JobReturn, JobStatus, configure_log, run_job, setup_globals
from omegaconf import open_dict, read_write

from steadylr.config.errors import BadInput
from steadylr.exit_codes import EXIT_FAILED
from steadylr.jobs.job import Job, finish_job
from steadylr.jobs.launchers import engine_of
from steadylr.jobs.live import Live
from steadylr.jobs.places import is_finished
from steadylr.jobs.session import JOB_OFFSET, SESSION, leave_no_trace
from steadylr.jobs.work import Work, check_jobs, plan_work, refuse_missing_device, training_tasks
from steadylr.present.streams import complain
from steadylr.present.sweep_progress import SweepProgress
from steadylr.report.result import dry_result
from steadylr.store import records
from steadylr.training.failure import as_failure
from steadylr.training.obtain import Trained, store_folder

if TYPE_CHECKING:
    from hydra.types import HydraContext
    from omegaconf import DictConfig

    from steadylr.jobs.engine import AtWork, Outcome


def launch(
    job_overrides: Sequence[Sequence[str]], *, hydra_context: HydraContext, config: DictConfig
) -> Sequence[JobReturn]:
    """Run the jobs of one batch of a sweep: what Hydra asks of a launcher.

    The trainings go to an engine, which has the store hold them; the jobs themselves (reading, writing) run here, as
    soon as their run is there. A run that fails costs its own jobs. On an interrupt the trainings are stopped and what
    has finished stays.
    """
    setup_globals()
    configure_log(config.hydra.hydra_logging, config.hydra.verbose)
    sweep = Path(str(config.hydra.sweep.dir))
    try:
        if not job_overrides:
            raise BadInput("no jobs: one of the sweeps, or of hydra.sweeper.params, has no values")
        engine = engine_of(config.hydra.launcher)
        jobs = check_jobs(job_overrides, hydra_context=hydra_context, config=config)
        refuse_missing_device(sweep, jobs, engine)
        dry_run = jobs[0].config.dry_run
        os.environ.pop(JOB_OFFSET, None)  # the places have their numbers already
        work = plan_work(sweep, jobs, engine, reserve=not dry_run)
        if jobs[0].config.live and not dry_run and SESSION.live is None:
            SESSION.live = Live(sweep, jobs[0].config)
            print(f"live at {SESSION.live.address}")
    except BadInput as error:
        complain(error)
        SESSION.exit_code = EXIT_FAILED
        leave_no_trace(sweep)
        return []
    print(work.announcement(), flush=True)
    if dry_run:
        SESSION.result = dry_result(jobs=len(work.jobs), trainings=len(work.missing))
        leave_no_trace(sweep)
        return []
    with store_folder(jobs[0].config, sweep) as store:
        _Launch(work, sweep, store, hydra_context, config).do_all()
    return [_done(job) for job in jobs]


class _Launch:
    """The work of one command, under way.

    Args:
        work: what there is to do.
        sweep: the folder of the sweep.
        store: the folder of its store.
        hydra_context, config: as Hydra hands them to a launcher.
    """

    def __init__(
        self, work: Work, sweep: Path, store: Path, hydra_context: HydraContext, config: DictConfig
    ) -> None:
        self._work = work
        self._sweep = sweep
        self._store = store
        self._context = hydra_context
        self._config = config

    def do_all(self) -> None:
        """Train what is missing, and do every job once the store holds its run."""
        work = self._work
        missing = [next(iter(work.runs[key].values())) for key in work.missing]
        tasks = training_tasks(missing)
        begun = work.engine.begin(tasks, self._store, workers=work.workers)
        if tasks:
            _import_for_reports()
        with begun as at_work, _shown_live(at_work):
            for key in work.stored:
                self._do_jobs(key, Trained(from_store=True, seconds=0.0))
            jobs = sum(len(work.runs[key]) for key in work.missing)
            steps = sum(task.num_steps for task in tasks)
            with SweepProgress(len(tasks), steps, total_jobs=jobs) as progress:
                for key, outcome in at_work.results(progress):
                    self._do_jobs(key, outcome)

    def _do_jobs(self, run: str, outcome: Outcome) -> None:
        """Do the jobs of one run."""
        for number, job in self._work.runs[run].items():
            folder = self._sweep / str(number)
            if is_finished(folder):  # by another process, meanwhile
                continue
            with read_write(job.composed), open_dict(job.composed):
                job.composed.hydra.job.id = job.composed.hydra.job.num = number
            result = run_job(
                hydra_context=self._context,
                task_function=finish_job(job, self._store, outcome, draws=self._work.draws),
                config=job.composed,
                job_dir_key="hydra.sweep.dir",
                job_subdir_key="hydra.sweep.subdir",
            )
            configure_log(self._config.hydra.hydra_logging, self._config.hydra.verbose)
            job.forget_composed()
            if result.status is JobStatus.FAILED:
                _note_failure(folder, job, result._return_value)


@contextmanager
def _shown_live(at_work: AtWork) -> Iterator[None]:
    """Have the live page, if there is one, follow these trainings."""
    if SESSION.live is None:
        yield
        return
    SESSION.live.follow(at_work)
    try:
        yield
    finally:
        SESSION.live.follow(None)


def _import_for_reports() -> None:
    """Import what figures and tables need while what trains gets ready, rather than at the end."""
    import jinja2  # noqa: F401
    import pyarrow.parquet  # noqa: F401

    import steadylr.present.figures.curve
    import steadylr.present.figures.summary  # noqa: F401


def _done(job: Job) -> JobReturn:
    """Hydra's form of a job that is over: what came of it is in its status.json."""
    result = JobReturn(overrides=list(job.overrides), status=JobStatus.COMPLETED)
    result.return_value = None
    return result


def _note_failure(folder: Path, job: Job, error: BaseException) -> None:
    """Write down an error that Hydra met around a job, such as a full disk; the job itself raises none."""
    failure = as_failure(error)
    complain(f"job {folder.name}: {failure.message}")
    failed = records.JobStatus(
        status="failed",
        job_key=job.key,
        overrides=list(job.overrides),
        error=failure.message,
        traceback=failure.details or None,
    )
    with suppress(OSError):  # then the status still says that the job has not ended
        failed.write(folder)
