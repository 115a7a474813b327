"""The main command: `python src/find_lr.py [-m] overrides...`, or `steadylr` once installed."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from omegaconf import OmegaConf

from steadylr.cli.leaving import leave
from steadylr.cli.through_hydra import LauncherFailed, run_through_hydra
from steadylr.config.errors import BadInput
from steadylr.config.help import help_for
from steadylr.config.schema import Config, register
from steadylr.exit_codes import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_OK
from steadylr.jobs.session import SESSION, is_dry, job_number, leave_no_trace
from steadylr.present.streams import complain, lenient_streams
from steadylr.run.processes import interrupts_are_heard
from steadylr.run.ranks import torchrun_rank
from steadylr.store.job_folder import next_job_number
from steadylr.words.program import program_name

if TYPE_CHECKING:
    from omegaconf import DictConfig

register()
OmegaConf.register_new_resolver("steadylr.job_number", job_number, replace=True)


def task(cfg: DictConfig) -> None:
    """One Hydra job, in whatever process a launcher runs it."""
    from steadylr.jobs.job import do_job

    do_job(cfg)


def main() -> None:
    """Run the command line, aggregate what a sweep left, and exit with an honest code.

    Under torchrun rank 0 does that; the other ranks train with it.
    """
    rank = torchrun_rank()
    if rank is None:
        _run_command_line()
        return
    from steadylr.training.torchrun import follow, leading

    if rank.index > 0:
        sys.exit(follow(rank))
    with leading():
        _run_command_line()


def _run_command_line() -> None:
    with lenient_streams() as out:
        try:
            with interrupts_are_heard():
                try:
                    code = _run_hydra()
                finally:
                    SESSION.close_live()
        except KeyboardInterrupt:
            complain("interrupted before the answer was written; the same command goes on from here")
            code = EXIT_INTERRUPTED
        leave(code, out)


def _run_hydra() -> int:
    """Check the command line, run its jobs, and conclude; give the exit code."""
    try:
        if (text := help_for(sys.argv[1:], schema=Config, called=program_name())) is not None:
            print(text)
            return EXIT_OK
        run_through_hydra(task, config_name="find_lr", schema=Config)
    except BadInput as error:
        complain(error)
        if SESSION.sweep_folder is not None:
            leave_no_trace(SESSION.sweep_folder)
        return EXIT_FAILED
    except LauncherFailed as failure:
        return _conclude_what_is_left(failure)
    except KeyboardInterrupt:
        return finish(interrupted=True)
    return finish()


def _conclude_what_is_left(failure: LauncherFailed) -> int:
    """Say which jobs a launcher has lost, and answer from the rest."""
    from steadylr.jobs.lost import lost_text

    folder = SESSION.sweep_folder
    assert folder is not None, "Hydra tells of a sweep before it launches its jobs"
    complain(f"{failure}: {lost_text(folder, failure.job_overrides)}")
    if next_job_number(folder) > 0:
        finish()
    else:
        leave_no_trace(folder)
    return EXIT_FAILED


def finish(*, interrupted: bool = False) -> int:
    """Aggregate the sweep, if this command was one; give the exit code."""
    code = SESSION.exit_code or EXIT_OK
    if SESSION.sweep_folder is not None and SESSION.sweep_config is not None:
        from steadylr.report.conclude import conclude_sweep

        if is_dry(SESSION.sweep_folder, SESSION.sweep_config) and not interrupted:
            leave_no_trace(SESSION.sweep_folder)
            return code
        if code == EXIT_OK:
            code, SESSION.result = conclude_sweep(
                SESSION.sweep_folder, SESSION.sweep_config, interrupted=interrupted
            )
    return EXIT_INTERRUPTED if interrupted else code
