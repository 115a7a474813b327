"""One job: obtain a run (from the store or by training), read its curve, write what it leaves."""

from __future__ import annotations

import logging
import shutil
import sys
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import OmegaConf

from steadylr.answer.reading import Answer, answer_of
from steadylr.config.values import check_config, doubts, refuse_sweep_in_torchrun
from steadylr.exit_codes import EXIT_FAILED, EXIT_NO_ANSWER, EXIT_OK
from steadylr.jobs.session import SESSION
from steadylr.present.progress import run_progress
from steadylr.report.views import draw_run, show_run
from steadylr.run.environment import cpu_cores, git_commit, package_versions
from steadylr.store.curve_file import Obtained, save_run_curves
from steadylr.store.files import plain_values, write_atomic
from steadylr.store.job_folder import CONFIG_FILE, CURVE_FILE, FIGURE_FILE
from steadylr.store.records import (
    STATUS_FILE,
    JobStatus,
    RunRecord,
    Status,
    utc_now,
    write_record,
    write_status,
)
from steadylr.training.failure import as_failure
from steadylr.training.identity import Training, describe_training, full_key, job_key, threads_for
from steadylr.training.obtain import obtain, open_store

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from steadylr.config.schema import Config

log = logging.getLogger("steadylr")


def build_record(
    config: Config, training: Training, run: Obtained, answer: Answer, *, overrides: list[str]
) -> RunRecord:
    """Gather what is known about a finished job."""
    curve = run.curves.curve
    meta = run.curves.meta
    return RunRecord(
        created=utc_now(),
        job_key=job_key(config, training),
        run={
            "key": full_key(training),
            "curve_digest": run.curves.read.digest(),
            "from_store": run.from_store,
            "num_iter": curve.num_iter,
            "num_points": len(curve),
            "stop": curve.stop.value,
        },
        config={**plain_values(asdict(config)), "own_code": training.shape.get("own_code")},
        overrides=overrides,
        seeds=meta["seeds"],
        rule=answer.rule,
        suggestions=answer.suggestions,
        diagnosis=[
            {"code": one.code.value, "text": one.text, "advice": one.advice} for one in answer.findings
        ],
        plan=None if answer.plan is None else answer.plan.as_dict(),
        versions=dict(package_versions()),
        device=meta["device"],
        git_commit=git_commit(),
        timings={**meta["timings"], "obtain_seconds": run.seconds},
        notes=meta["notes"],
    )


WORKERS: ContextVar[int | None] = ContextVar("workers", default=None)
"""How many trainings share the cores; set by our launcher."""


def do_job(cfg: DictConfig) -> None:
    """One Hydra job, start to end. What goes wrong in it is written to status.json, not raised.

    A raised error would keep Hydra's launchers from running the jobs that follow.
    """
    hydra_config = HydraConfig.get()
    single = hydra_config.mode != RunMode.MULTIRUN
    folder = Path(hydra_config.runtime.output_dir)
    job = _Job(
        folder, single, overrides=list(hydra_config.overrides.task), launcher=hydra_config.launcher._target_
    )
    try:
        code = job.run(cfg)
    except KeyboardInterrupt:
        job.leave("interrupted", "interrupted before the run ended")
        if single:
            print(f"Interrupted: {folder} holds no answer", file=sys.stderr)
        raise
    except Exception as error:
        failure = as_failure(error)
        (log.info if single else log.error)("%s", failure.message)
        if failure.details:
            log.info("%s", failure.details)
        job.leave("failed", failure.message, failure.details)
        if single:
            print(failure.message, file=sys.stderr)
            if failure.details:
                print(f"The traceback is in {folder / STATUS_FILE}", file=sys.stderr)
        code = EXIT_FAILED
    if single:
        SESSION.exit_code = code


@dataclass(slots=True)
class _Job:
    """What one job knows by the time that it has to say how it ended."""

    folder: Path
    single: bool
    overrides: list[str]
    launcher: str
    key: str = ""
    config: dict[str, Any] | None = None

    def run(self, cfg: DictConfig) -> int:
        """Obtain the run, read it, write everything; give the exit code."""
        config = check_config(cfg)
        if not self.single:
            refuse_sweep_in_torchrun()
        self.config = plain_values(asdict(config))
        training = describe_training(config, threads=threads_for(config, workers=self._workers(config)))
        self.key = job_key(config, training)
        if config.dry_run:
            return self._announce(config, training)
        for doubt in doubts(config):
            log.warning("%s", doubt)
        write_atomic(self.folder / CONFIG_FILE, OmegaConf.to_yaml(cfg, resolve=True))
        with run_progress(config.finder.num_iter, shown=self.single) as report:
            run = obtain(config, training, report=report)
        curves = run.curves
        answer = answer_of(
            curves.read, config, lr_ratios=curves.lr_ratios, skipped_share=curves.skipped_share
        )
        record = build_record(config, training, run, answer, overrides=self.overrides)
        save_run_curves(self.folder / CURVE_FILE, run.curves)
        draw_run(self.folder / FIGURE_FILE, config, run, answer)
        write_record(self.folder, record)
        headline = answer.headline
        found = headline.lr is not None
        self.leave("finished" if found else "no_answer", "" if found else headline.reason)
        log.info("%s", f"LR {headline.lr:.3e} by {headline.rule}" if headline.lr else headline.reason)
        if self.single:
            show_run(self.folder, config, run, answer)
        return EXIT_OK if found else EXIT_NO_ANSWER

    def leave(self, status: Status, error: str = "", details: str = "") -> None:
        """Write status.json, the last file that a job writes."""
        write_status(
            self.folder,
            JobStatus(
                status=status,
                job_key=self.key,
                overrides=self.overrides,
                config=self.config,
                error=error or None,
                traceback=details or None,
            ),
        )

    def _workers(self, config: Config) -> int:
        """How many trainings share the cores: as our launcher says, else as the launcher's kind lets one guess."""
        known = WORKERS.get()
        if known is not None:
            return known
        if self.single or self.launcher.endswith("BasicLauncher"):
            return 1
        return config.device.workers or cpu_cores()

    def _announce(self, config: Config, training: Training) -> int:
        """Say what would be done, and leave no folder behind."""
        store = open_store(config, create=False)
        stored = store is not None and store.find(training.shape, training.seeds) is not None
        print("1 job, " + ("0 trainings (1 run from the store)" if stored else "1 training"))
        logging.shutdown()
        # only what Hydra made: hydra.run.dir may be a folder with other things
        shutil.rmtree(self.folder / ".hydra", ignore_errors=True)
        (self.folder / f"{HydraConfig.get().job.name}.log").unlink(missing_ok=True)
        with suppress(OSError):
            self.folder.rmdir()
        return EXIT_OK
