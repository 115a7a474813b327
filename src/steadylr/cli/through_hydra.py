"""A command line through Hydra, from end to end: whatever is wrong with it ends in one sentence."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

import hydra
from hydra.plugins.launcher import Launcher

from steadylr.config.command_line import CommandLine
from steadylr.config.composing import CompositionError, composition_problem
from steadylr.config.errors import BadInput
from steadylr.config.folder import config_folder
from steadylr.config.help import register_help
from steadylr.config.overrides import check_keys
from steadylr.errors import SteadylrError
from steadylr.jobs.session import SESSION

if TYPE_CHECKING:
    from omegaconf import DictConfig

FULL_ERRORS = "HYDRA_FULL_ERROR"
"""The environment variable, 1 for yes, by which Hydra hands on errors instead of printing them."""


class LauncherFailed(SteadylrError, RuntimeError):
    """Hydra's launcher has ended before its jobs did.

    Args:
        message: how.
        job_overrides: the overrides of each job that it had.
    """

    def __init__(self, message: str, job_overrides: tuple[tuple[str, ...], ...]) -> None:
        super().__init__(message)
        self.job_overrides = job_overrides


def run_through_hydra(task: Callable[[DictConfig], None], *, config_name: str, schema: type) -> None:
    """Check this program's command line, compose its config, and run its jobs.

    Args:
        task: one job.
        config_name: of the program's config in conf/.
        schema: the dataclass of all that it can be told.

    Raises:
        BadInput: the command line can't be read or composed, or the folder of the output can't be made.
        LauncherFailed: a launcher of others has ended before its jobs did.
        Exception: any other is a bug, or somebody else's.
    """
    check_keys(sys.argv[1:], schema)
    register_help(schema)
    sys.argv[1:] = CommandLine.of(sys.argv[1:]).ordered
    try:
        with _errors_handed_on() as in_full:
            hydra.main(version_base="1.3", config_path=config_folder(), config_name=config_name)(task)()
    except SteadylrError:
        raise
    except Exception as error:
        told = None if in_full else _told(error)
        if told is None:
            raise
        raise told from None


@contextmanager
def _errors_handed_on() -> Iterator[bool]:
    """Have Hydra raise what it would print; gives whether the user wants errors in full."""
    before = os.environ.get(FULL_ERRORS)
    os.environ[FULL_ERRORS] = "1"
    try:
        yield before == "1"
    finally:
        del os.environ[FULL_ERRORS]
        if before is not None:
            os.environ[FULL_ERRORS] = before


def _told(error: Exception) -> SteadylrError | None:
    """An error as a sentence; None for one that our own code has met, and that nothing says to be about a config."""
    frames = list(_frames(error))
    if isinstance(error, CompositionError):
        return BadInput(composition_problem(error))
    if _of_ours(frames):
        return None
    if (launching := next((frame for frame in frames if _is_launch(frame)), None)) is not None:
        return _launcher_failed(error, launching)
    if isinstance(error, OSError) and error.filename is not None:
        key = "hydra.run.dir" if SESSION.sweep_folder is None else "hydra.sweep.dir"
        return BadInput(
            f"{error.filename}: can't be made or written ({error.strerror}): {key} says where the output goes; "
            f"give another, {key}=/path/to/folder, or run the command in a folder that can be written"
        )
    problem = composition_problem(error)
    return BadInput(
        problem
        if isinstance(error, UnicodeDecodeError)
        else f"Hydra can't compose this: {problem}; {FULL_ERRORS}=1 shows where"
    )


def _frames(error: BaseException) -> Iterator[FrameType]:
    """The frames that an error came through below this module's."""
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_globals.get("__name__") != __name__:
            yield trace.tb_frame
        trace = trace.tb_next


def _of_ours(frames: list[FrameType]) -> bool:
    names = [str(frame.f_globals.get("__name__", "")) for frame in frames]
    return any(name.startswith(("steadylr.", "hydra_plugins.steadylr_")) for name in names)


def _is_launch(frame: FrameType) -> bool:
    return frame.f_code.co_name == "launch" and isinstance(frame.f_locals.get("self"), Launcher)


def _launcher_failed(error: Exception, launching: FrameType) -> LauncherFailed:
    jobs = tuple(tuple(overrides) for overrides in launching.f_locals.get("job_overrides", ()))
    name = type(launching.f_locals["self"]).__name__
    reason = str(error).strip().partition("\n")[0]
    return LauncherFailed(f"{name} ended before its jobs did ({type(error).__name__}: {reason})", jobs)
