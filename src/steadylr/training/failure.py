"""How a training fails: one message, and the traceback where it says more."""

from __future__ import annotations

import traceback


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
    """Whether the message of an error says all that its reader needs: those of our own making do.

    A plain ValueError is of our making when it was raised here, not in a library that we called.
    """
    if _is_ours(type(error).__module__):
        return True
    if not isinstance(error, ValueError):
        return False
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is None or _is_ours(str(trace.tb_frame.f_globals.get("__name__", "")))


def _is_ours(module: str) -> bool:
    return module.partition(".")[0] == "steadylr"


def as_failure(error: Exception) -> TrainingFailed:
    """An error as a message and details: strings only, so that it can cross from one process to another."""
    if isinstance(error, TrainingFailed):
        return error
    if explained(error):
        in_user_code = getattr(error, "show_traceback", False) and error.__cause__ is not None
        details = traceback.format_exception(error) if in_user_code else ()
        return TrainingFailed(str(error), "".join(details))
    message = f"{type(error).__name__}: {error}"
    return TrainingFailed(message, "".join(traceback.format_exception(error)))
