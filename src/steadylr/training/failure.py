"""How a training fails: one message, and the traceback where it says more."""

from __future__ import annotations

import traceback

from steadylr.errors import SteadylrError


class TrainingFailed(SteadylrError, RuntimeError):
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


def as_failure(error: BaseException) -> TrainingFailed:
    """An error as a message and details: strings only, so that it can cross from one process to another.

    An error of ours says all in its message, unless it tells of the user's own code; any other keeps its traceback.
    """
    if isinstance(error, TrainingFailed):
        return error
    if not isinstance(error, SteadylrError):
        message = f"{type(error).__name__}: {error}"
    elif getattr(error, "show_traceback", False) and error.__cause__ is not None:
        message = str(error)
    else:
        return TrainingFailed(str(error))
    return TrainingFailed(message, "".join(traceback.format_exception(error)))
