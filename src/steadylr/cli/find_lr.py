"""The main command: `python src/find_lr.py [-m] overrides...`, or `steadylr` once installed."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import hydra
from omegaconf import OmegaConf

from steadylr.config.errors import BadInput
from steadylr.config.folder import config_folder, help_for
from steadylr.config.overrides import check_overrides
from steadylr.config.schema import register
from steadylr.exit_codes import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_OK
from steadylr.jobs.session import SESSION, job_number
from steadylr.run.processes import interrupts_are_heard
from steadylr.run.ranks import torchrun_rank

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
    text = help_for(sys.argv[1:])
    if text is not None:
        print(text)
        return
    try:
        with interrupts_are_heard():
            sys.exit(_run_hydra())
    except KeyboardInterrupt:
        print(
            "interrupted before the answer was written; the same command goes on from here", file=sys.stderr
        )
        sys.exit(EXIT_INTERRUPTED)


def _run_hydra() -> int:
    """Check the command line, run its jobs, and conclude; give the exit code."""
    try:
        check_overrides(sys.argv[1:])
        hydra.main(version_base="1.3", config_path=config_folder(), config_name="find_lr")(task)()
    except BadInput as error:
        print(error, file=sys.stderr)
        return EXIT_FAILED
    except KeyboardInterrupt:
        return finish(interrupted=True)
    return finish()


def finish(*, interrupted: bool = False) -> int:
    """Aggregate the sweep, if this command was one; give the exit code."""
    code = SESSION.exit_code or EXIT_OK
    if SESSION.sweep_folder is not None and SESSION.sweep_config is not None:
        from steadylr.report.conclude import conclude_sweep

        code = code or conclude_sweep(SESSION.sweep_folder, SESSION.sweep_config, interrupted=interrupted)
    return EXIT_INTERRUPTED if interrupted else code
