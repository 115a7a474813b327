"""One job: a checked config with its training, and what it leaves in its folder once the store holds its curve."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from steadylr.answer.reading import Answer, answer_of
from steadylr.answer.recorded import given_overrides
from steadylr.config.errors import BadInput
from steadylr.config.schema import Seeds
from steadylr.config.values import check_config, doubts, refuse_sweep_in_torchrun
from steadylr.exit_codes import EXIT_FAILED, EXIT_NO_ANSWER, EXIT_OK
from steadylr.jobs.composing import depends_on_seeds, resolved_seeds
from steadylr.jobs.places import is_finished
from steadylr.jobs.session import SESSION
from steadylr.present.progress import run_progress
from steadylr.present.streams import complain
from steadylr.report.figures import draw_run
from steadylr.report.plan_files import write_run_plan
from steadylr.report.result import dry_result, run_result
from steadylr.report.run_text import show_run
from steadylr.run.environment import cpu_cores, git_commit, package_versions
from steadylr.run.names import STREAMS
from steadylr.store.curve_file import RunCurves
from steadylr.store.curve_store import CurveStore
from steadylr.store.files import plain_values, write_atomic
from steadylr.store.job_folder import CONFIG_FILE, CURVE_FILE, FIGURE_FILE
from steadylr.store.records import (
    STATUS_FILE,
    FindingText,
    JobStatus,
    RunFacts,
    RunRecord,
    Status,
    utc_now,
)
from steadylr.tracking.send import track
from steadylr.training.devices import Share, threads_for
from steadylr.training.failure import TrainingFailed, as_failure
from steadylr.training.identity import Training, describe_training, full_key, job_key
from steadylr.training.obtain import Trained, open_store, store_folder, train_into

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from steadylr.config.schema import Config

log = logging.getLogger("steadylr")


@dataclass(frozen=True)
class Job:
    """One job, checked: this is done once, and all that follows takes it as it is.

    Args:
        overrides: of the program, without Hydra's own.
        compose: gives the config as Hydra holds it, for the job to change.
        config: the config as we do.
        training: the training that the job needs.
    """

    overrides: tuple[str, ...]
    compose: Callable[[], DictConfig]
    config: Config
    training: Training

    @classmethod
    def of(cls, composed: DictConfig, overrides: tuple[str, ...]) -> Job:
        """Check a composed config, and describe its training.

        Raises:
            BadInput: all that is wrong with the config.
            DataError: the data isn't where the config says.
        """
        config = check_config(_of_the_program(composed))
        return cls(overrides, lambda: composed, config, describe_training(config))

    def with_seeds(
        self, given: Mapping[str, int], overrides: tuple[str, ...], compose: Callable[[], DictConfig]
    ) -> Job | None:
        """The same job with other seeds; None where more may follow from seeds than a curve.

        Args:
            given: the seeds that its overrides give.
            overrides, compose: its own.
        """
        written = self._written_seeds
        if written is None:
            return None
        try:
            resolved = resolved_seeds(written, given)
        except OmegaConfBaseException:
            return None
        seeds = {name: resolved["seeds"][name] for name in STREAMS}
        config = replace(self.config, seed=resolved["seed"], seeds=Seeds(**seeds))
        return Job(overrides, compose, config, replace(self.training, seeds=seeds))

    @cached_property
    def _written_seeds(self) -> dict[str, Any] | None:
        """The seeds as they were composed, with references; None where anything else follows from them."""
        written: Any = OmegaConf.to_container(_of_the_program(self.composed), resolve=False)
        return None if depends_on_seeds(written) else {key: written[key] for key in ("seed", "seeds")}

    @cached_property
    def composed(self) -> DictConfig:
        """The config as Hydra holds it."""
        return self.compose()

    def forget_composed(self) -> None:
        """Let go of the config as Hydra holds it, which is half a megabyte; it is composed again when asked for."""
        self.__dict__.pop("composed", None)

    @cached_property
    def key(self) -> str:
        """What identifies the job."""
        return job_key(self.config, self.training)

    @cached_property
    def run(self) -> str:
        """What jobs which share a training have in common."""
        return full_key(self.training)

    @cached_property
    def plain_config(self) -> dict[str, Any]:
        """The config as plain JSON values."""
        plain: dict[str, Any] = plain_values(asdict(self.config))
        return plain

    def is_stored(self) -> bool:
        """Whether the store that the config names holds the training."""
        store = open_store(self.config, create=False)
        return store is not None and store.find(self.training.shape, self.training.seeds) is not None


def _of_the_program(composed: DictConfig) -> DictConfig:
    """A composed config without Hydra's own part."""
    return OmegaConf.masked_copy(composed, [str(key) for key in composed if key != "hydra"])


def do_job(cfg: DictConfig) -> None:
    """One Hydra job from start to end, in whatever process a launcher runs it: all but our own launcher's jobs."""
    hydra_config = HydraConfig.get()
    single = hydra_config.mode != RunMode.MULTIRUN
    ending = _Ending(given_overrides(), single=single)

    def work() -> int:
        if not single:
            refuse_sweep_in_torchrun()
        ending.job = job = Job.of(cfg, ending.overrides)
        if job.config.live:
            raise BadInput(
                "live=true shows a sweep (-m) with a launcher of this project; for any other sweep "
                "use `python src/watch.py sweep=<name>` beside it"
            )
        if job.config.dry_run:
            return _announce(job, ending.folder)
        _begin(job, ending.folder, cfg)
        at_once = 1 if single else _trainings_at_once(job.config, str(hydra_config.launcher._target_))
        share = Share(threads_for(job.config, workers=at_once))
        with store_folder(job.config, ending.folder) as store:
            with run_progress(job.config.finder.num_iter, shown=single, lines=True) as report:
                trained = train_into(store, job.config, job.training, share=share, report=report)
            return _finish(job, ending, store, trained, draws=True)

    ending.after(work)


def finish_job(
    job: Job, store: Path, outcome: Trained | TrainingFailed, *, draws: bool
) -> Callable[[DictConfig], None]:
    """What is left of a job once its training is over, as a task for Hydra; it knows the job already.

    Args:
        job: the job.
        store: the folder of the store that holds its training.
        outcome: of the training; a failed one fails the job.
        draws: whether it gets a figure of its own.
    """

    def task(cfg: DictConfig) -> None:
        ending = _Ending(job.overrides, single=False, job=job)

        def work() -> int:
            _begin(job, ending.folder, cfg)
            if isinstance(outcome, TrainingFailed):
                raise outcome
            return _finish(job, ending, store, outcome, draws=draws)

        ending.after(work)

    return task


def _trainings_at_once(config: Config, launcher: str) -> int:
    """How many trainings share the cores, as far as the kind of a launcher that isn't ours lets one guess."""
    return 1 if launcher.endswith("BasicLauncher") else config.device.workers or cpu_cores()


class _Ending:
    """How a job ends: whatever happens in it is written to its folder, and not raised.

    A raised error would keep Hydra's launchers from running the jobs that follow.

    Args:
        overrides: of the job.
        single: whether it is the command's only job; then a person waits for it.
        job: the job, where it has been checked.
    """

    def __init__(self, overrides: tuple[str, ...], *, single: bool, job: Job | None = None) -> None:
        self.folder = Path(HydraConfig.get().runtime.output_dir)
        self.overrides = overrides
        self.single = single
        self.job = job

    def after(self, work: Callable[[], int]) -> None:
        """Do the work, which gives the exit code, and leave a status that says how it ended."""
        try:
            code = work()
        except KeyboardInterrupt:
            if is_finished(self.folder):  # its last word was written already, and stays
                raise
            self.leave("interrupted", "interrupted before the run ended")
            if self.single:
                complain(f"Interrupted: {self.folder} holds no answer")
            raise
        except Exception as error:
            self._fail(as_failure(error))
            code = EXIT_FAILED
        if self.single:
            SESSION.exit_code = code

    def _fail(self, failure: TrainingFailed) -> None:
        (log.info if self.single else log.error)("%s", failure.message)
        if failure.details:
            log.info("%s", failure.details)
        self.leave("failed", failure.message, failure.details)
        if self.single:
            complain(failure.message)
            if failure.details:
                complain(f"The traceback is in {self.folder / STATUS_FILE}")

    def leave(self, status: Status, error: str = "", details: str = "") -> None:
        """Write status.json, the last file that a job writes."""
        written = JobStatus(
            status=status,
            job_key="" if self.job is None else self.job.key,
            overrides=list(self.overrides),
            config=None if self.job is None else self.job.plain_config,
            error=error or None,
            traceback=details or None,
        )
        written.write(self.folder)


def _begin(job: Job, folder: Path, cfg: DictConfig) -> None:
    """Say what is doubtful about a job, and leave its config, which is that of its task."""
    for doubt in doubts(job.config):
        log.warning("%s", doubt)
    write_atomic(folder / CONFIG_FILE, OmegaConf.to_yaml(cfg, resolve=True))


def _finish(job: Job, ending: _Ending, store: Path, trained: Trained, *, draws: bool) -> int:
    """Read the curve from the store, and write everything that follows from it; give the exit code."""
    folder, config = ending.folder, job.config
    curves = CurveStore(store).find(job.training.shape, job.training.seeds)
    if curves is None:
        raise TrainingFailed(
            f"the curve was trained, and is no longer in the store {store}: was it cleared meanwhile? Run the same "
            "command again"
        )
    answer = answer_of(
        curves.read,
        config,
        lr_ratios=curves.lr_ratios,
        skipped_share=curves.skipped_share,
        alone=ending.single,
    )
    curves.save(folder / CURVE_FILE)
    if draws:
        draw_run(folder / FIGURE_FILE, config, curves, answer)
    record = build_record(job, curves, trained, answer)
    record.write(folder)
    headline = answer.headline
    is_answer = headline.lr is not None
    ending.leave("finished" if is_answer else "no_answer", "" if is_answer else headline.reason)
    log.info("%s", f"LR {headline.lr:.3e} by {headline.rule}" if headline.lr else headline.reason)
    if ending.single:
        write_run_plan(folder, answer.plan)
        SESSION.result = run_result(record, folder)
        if config.report:
            from steadylr.report.page.write import write_run_page  # the jobs of a sweep have its page

            write_run_page(folder)
        show_run(folder, config, curves, answer, from_store=trained.from_store)
        track(folder, config.tracker)
    return EXIT_OK if is_answer else EXIT_NO_ANSWER


def build_record(job: Job, curves: RunCurves, trained: Trained, answer: Answer) -> RunRecord:
    """Gather what is known about a finished job."""
    curve, meta = curves.curve, curves.meta
    return RunRecord(
        created=utc_now(),
        job_key=job.key,
        run=RunFacts(
            key=job.run,
            curve_digest=curves.read.digest(),
            content_digest=curves.digest(),
            from_store=trained.from_store,
            num_points=len(curve),
            num_iter=curve.num_iter,
            stop=curve.stop,
        ),
        config={**job.plain_config, "own_code": job.training.shape.get("own_code")},
        overrides=list(job.overrides),
        seeds=meta["seeds"],
        rule=answer.rule,
        suggestions=answer.suggestions,
        diagnosis=[
            FindingText(code=one.code.value, text=one.text, advice=one.advice) for one in answer.findings
        ],
        plan=None if answer.plan is None else answer.plan.as_dict(),
        versions=dict(package_versions()),
        device=meta["device"],
        git_commit=git_commit(),
        timings={**meta["timings"], "obtain_seconds": trained.seconds},
        notes=meta["notes"],
    )


def _announce(job: Job, folder: Path) -> int:
    """Say what would be done, and leave no folder behind."""
    stored = job.is_stored()
    SESSION.result = dry_result(jobs=1, trainings=int(not stored))
    print("1 job, " + ("0 trainings (1 run from the store)" if stored else "1 training"))
    logging.shutdown()
    # only what Hydra made: hydra.run.dir may be a folder with other things
    shutil.rmtree(folder / ".hydra", ignore_errors=True)
    (folder / f"{HydraConfig.get().job.name}.log").unlink(missing_ok=True)
    with suppress(OSError):
        folder.rmdir()
    return EXIT_OK
