"""One job: obtain a run (from the store or by training), read its curve, write what it leaves."""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from steadylr.app.checks import BadInput
from steadylr.app.training import Training, device_facts, train
from steadylr.run.environment import git_commit, package_versions
from steadylr.store.curve_file import RunCurves, save_run_curves
from steadylr.store.curve_store import CurveStore, run_key
from steadylr.store.files import write_atomic
from steadylr.store.records import JobStatus, RunRecord, write_record, write_status

if TYPE_CHECKING:
    from steadylr.app.analysis import Answer
    from steadylr.app.schema import Config
    from steadylr.app.training import StepReport

log = logging.getLogger("steadylr")

CURVE_FILE = "curve.npz"
CONFIG_FILE = "config.yaml"
FIGURE_FILE = "lr_finder.png"


class TrainingFailed(RuntimeError):
    """A training ended in an error, in this process or in a worker.

    Args:
        message: what went wrong, in one or a few lines.
        details: the traceback, for the log; empty for an error that the message explains.
    """

    def __init__(self, message: str, details: str = "") -> None:
        super().__init__(message, details)
        self.message = message
        self.details = details

    def __str__(self) -> str:
        return self.message


def explained(error: BaseException) -> bool:
    """Whether the message of an error says all that its reader needs: those of our own making do."""
    return type(error).__module__.partition(".")[0] == "steadylr"


def as_failure(error: Exception) -> TrainingFailed:
    """An error as a message and details: strings only, so that it can cross from one process to another."""
    if isinstance(error, TrainingFailed):
        return error
    if explained(error):
        return TrainingFailed(str(error))
    message = f"{type(error).__name__}: {error}"
    return TrainingFailed(message, "".join(traceback.format_exception(error)))


@dataclass(frozen=True, slots=True)
class Obtained:
    """A run in hand: its numbers, and whether they were there already."""

    curves: RunCurves
    from_store: bool
    seconds: float


def full_key(training: Training) -> str:
    """The hash of a training with all its seeds, used or not."""
    return run_key(training.shape, training.seeds)


def job_key(config: Config, training: Training) -> str:
    """What identifies a job: its training and all that shapes the reading of its curve and its plan."""
    reading = {"finder": asdict(config.finder), "onecycle": asdict(config.onecycle)}
    return run_key({"training": training.shape, **_plain(reading)}, training.seeds)


def job_folders(sweep: Path) -> list[Path]:
    """The folders of a sweep's jobs, in the order of their numbers."""
    found = [entry for entry in sweep.iterdir() if entry.name.isdecimal() and entry.is_dir()]
    return sorted(found, key=lambda folder: int(folder.name))


@dataclass(frozen=True, slots=True)
class KnownJob:
    """A job that an earlier call of a sweep has left."""

    number: int
    finished: bool


def known_jobs(sweep: Path) -> dict[str, KnownJob]:
    """The jobs that a sweep's folder holds, by job key; those without a readable status are left out."""
    known = {}
    for folder in job_folders(sweep):
        try:
            status = read_status(folder)
        except (FileNotFoundError, DamagedFile, NewerSchema):
            continue
        if status.job_key is not None:
            known[status.job_key] = KnownJob(int(folder.name), status.status in ("finished", "no_answer"))
    return known


def _plain(value: Any) -> Any:
    """Enums as their values, all the way down."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return getattr(value, "value", value)


_SUPPLIED: dict[str, Obtained | TrainingFailed] = {}


@contextmanager
def supplied(key: str, run: Obtained | TrainingFailed) -> Iterator[None]:
    """Within this context the jobs of a run take it from here: a launcher has trained it, or failed to."""
    _SUPPLIED[key] = run
    try:
        yield
    finally:
        del _SUPPLIED[key]


def open_store(config: Config) -> CurveStore | None:
    """The store that a config names, or None when it is switched off."""
    return CurveStore(Path(config.store.dir)) if config.store.enabled else None


def obtain(
    config: Config, training: Training, *, report: StepReport | None = None, gpu: int | None = None
) -> Obtained:
    """Give the run that a config asks for: as supplied by the launcher, from the store, or trained now.

    Raises:
        TrainingFailed: the launcher met an error when it trained this run.
        Exception: whatever ended the training in this process.
    """
    given = _SUPPLIED.get(full_key(training))
    if isinstance(given, TrainingFailed):
        raise given
    if given is not None:
        return given
    start = time.perf_counter()

    def train_now() -> tuple[RunCurves, tuple[str, ...]]:
        return train(config, training, report=report, gpu=gpu)

    store = open_store(config)
    if store is None:
        curves, from_store = train_now()[0], False
    else:
        curves, from_store = store.obtain(training.shape, training.seeds, train_now)
    return Obtained(curves, from_store, time.perf_counter() - start)


def build_record(
    config: Config, training: Training, run: Obtained, answer: Answer, *, overrides: list[str]
) -> RunRecord:
    """Gather what is known about a finished job."""
    curve = run.curves.curve
    meta = run.curves.meta
    return RunRecord(
        created=datetime.now(timezone.utc).isoformat(timespec="microseconds"),
        job_key=job_key(config, training),
        run={
            "key": full_key(training),
            "curve_digest": run.curves.read.digest(),
            "from_store": run.from_store,
            "num_iter": curve.num_iter,
            "num_points": len(curve),
            "stop": curve.stop.value,
        },
        config=_plain(asdict(config)),
        overrides=overrides,
        seeds=meta["seeds"],
        rule=answer.rule,
        suggestions=answer.suggestions,
        diagnosis=[_plain(asdict(finding)) for finding in answer.findings],
        plan=None if answer.plan is None else answer.plan.as_dict(),
        versions={**package_versions(), **meta["versions"]},
        device=meta["device"],
        git_commit=git_commit(),
        timings={**meta["timings"], "obtain_seconds": run.seconds},
        notes=meta["notes"],
    )


def do_job(cfg: DictConfig) -> None:
    """One Hydra job, start to end. What goes wrong in it is written to status.json, not raised.

    A raised error would keep Hydra's launchers from running the jobs that follow.
    """
    hydra_config = HydraConfig.get()
    folder = Path(hydra_config.runtime.output_dir)
    single = hydra_config.mode != RunMode.MULTIRUN
    job = _Job(folder=folder, single=single, overrides=list(hydra_config.overrides.task))
    try:
        code = job.run(cfg, launcher=hydra_config.launcher._target_)
    except KeyboardInterrupt:
        job.leave("interrupted", "interrupted before the run ended")
        raise
    except Exception as error:
        failure = as_failure(error)
        log.error("%s%s", failure.message, failure.details and "\n" + failure.details)
        job.leave("failed", failure.message, failure.details)
        if single:
            print(_told(failure, folder), file=sys.stderr)
        code = EXIT_FAILED
    if single:
        SESSION.exit_code = code


def _told(failure: TrainingFailed, folder: Path) -> str:
    """What a person at a terminal reads of a failure."""
    return failure.message + (f"\nThe traceback is in {folder / LOG_FILE}" if failure.details else "")


@dataclass(slots=True)
class _Job:
    """What one job knows by the time that it has to say how it ended."""

    folder: Path
    single: bool
    overrides: list[str]
    key: str | None = None

    def run(self, cfg: DictConfig, *, launcher: str) -> int:
        """Obtain the run, read it, write everything; give the exit code."""
        config = check_config(cfg)
        if config.dry_run:
            ...
        training = describe_training(config, threads=threads_for(config, workers=_workers(config, launcher)))
        self.key = job_key(config, training)
        write_atomic(self.folder / CONFIG_FILE, OmegaConf.to_yaml(cfg, resolve=True))
        with run_progress(config.finder.num_iter, show=self.single) as report:
            run = obtain(config, training, report=report)
        answer = answer_of(run.curves.read, config, lr_ratios=run.curves.lr_ratios)
        record = build_record(config, training, run, answer, overrides=self.overrides)
        save_run_curves(self.folder / CURVE_FILE, run.curves)
        draw_run(self.folder / FIGURE_FILE, run.curves, record, answer)
        write_record(self.folder, record)
        found = answer.headline.lr is not None
        self.leave("finished" if found else "no_answer", None if found else answer.headline.reason)
        if self.single:
            print_run(run_view(...))
        return EXIT_OK if found else EXIT_NO_ANSWER

    def leave(self, status: str, error: str | None = None, details: str = "") -> None:
        """Write status.json, the last file that a job writes."""
        write_status(
            self.folder,
            JobStatus(
                status=status, job_key=self.key, overrides=self.overrides, error=error, traceback=details or None
            ),
        )
