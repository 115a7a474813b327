"""What commands that answer in this one process have in common: a config in, an honest exit code out."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

from steadylr.cli.leaving import leave
from steadylr.cli.through_hydra import run_through_hydra
from steadylr.config.command_line import CommandLine
from steadylr.config.help import help_for
from steadylr.errors import SteadylrError
from steadylr.exit_codes import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_OK, worst
from steadylr.jobs.session import SESSION
from steadylr.present.streams import complain, lenient_streams
from steadylr.run.processes import interrupts_are_heard
from steadylr.words.program import program_name

if TYPE_CHECKING:
    from omegaconf import DictConfig


def run_command(config_name: str, schema: type, work: Callable[[DictConfig], int]) -> NoReturn:
    """Run a command line with Hydra, and exit with the code that the work gives.

    An error of ours and an interrupt become one line on stderr; any other is raised.

    Args:
        config_name: of the command's config in conf/.
        schema: the dataclass of all that it can be told.
        work: what the command does with its config.
    """
    codes: list[int] = []  # Hydra's entry point returns nothing

    def task(cfg: DictConfig) -> None:
        if "output" in cfg:  # report.py says one path, and no answer
            SESSION.speak(cfg.output)
        try:
            codes.append(work(cfg))
        except SteadylrError as error:
            complain(error)
            codes.append(EXIT_FAILED)

    with lenient_streams() as out:
        try:
            asked = help_for(sys.argv[1:], schema=schema, program=config_name, called=program_name())
            if asked is not None:
                print(asked)
                leave(EXIT_OK, out)
            with interrupts_are_heard(), _no_sweep_folder():
                run_through_hydra(task, config_name=config_name, schema=schema)
        except SteadylrError as error:
            complain(error)
            codes.append(EXIT_FAILED)
        except KeyboardInterrupt:
            complain("interrupted; what has finished is kept, and the same command goes on from here")
            codes.append(EXIT_INTERRUPTED)
        leave(worst(codes), out)  # what only shows the config does no work


@contextmanager
def _no_sweep_folder() -> Iterator[None]:
    """Let the multirun.yaml that Hydra writes for every -m lie where nobody meets it: these commands have no folder."""
    line = CommandLine.of(sys.argv[1:])
    if not line.options.multirun and not any(text.startswith("hydra.mode=") for text in line.overrides):
        yield
        return
    with tempfile.TemporaryDirectory(prefix="steadylr-") as folder:
        before, sys.argv = sys.argv, [*sys.argv, f"hydra.sweep.dir='{folder}'"]
        try:
            yield
        finally:
            sys.argv = before
