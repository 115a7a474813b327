"""What commands that answer in this one process have in common: a config in, an honest exit code out."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, NoReturn

from steadylr.cli.through_hydra import run_through_hydra
from steadylr.config.folder import help_for
from steadylr.errors import SteadylrError
from steadylr.exit_codes import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_OK
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
        try:
            codes.append(work(cfg))
        except SteadylrError as error:
            print(error, file=sys.stderr)
            codes.append(EXIT_FAILED)

    try:
        if (text := help_for(sys.argv[1:], program=config_name, called=program_name())) is not None:
            print(text)
            sys.exit(EXIT_OK)
        with interrupts_are_heard():
            run_through_hydra(task, config_name=config_name, schema=schema)
    except SteadylrError as error:
        print(error, file=sys.stderr)
        sys.exit(EXIT_FAILED)
    except KeyboardInterrupt:
        print(
            "interrupted; what has finished is kept, and the same command goes on from here", file=sys.stderr
        )
        sys.exit(EXIT_INTERRUPTED)
    sys.exit(max(codes, default=EXIT_OK))  # --help and the like do no work
