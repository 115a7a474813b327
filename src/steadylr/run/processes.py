"""Processes that belong together: how they start, die and are spoken of. Imports no torch."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import connection
from types import FrameType
from typing import Any


@contextmanager
def interrupts_wait() -> Iterator[None]:
    """Let Ctrl-C wait for the end of this block; processes and threads that start in it never see one.

    Ctrl-C reaches all processes of a terminal, but it is the parent that stops the others. A process that
    ignores it only once it runs Python would die of it with a traceback while it starts.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    # It unblocks the signal when it starts; and it starts with the first process.
    from multiprocessing import resource_tracker

    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def interrupts_are_heard() -> Iterator[None]:
    """Within this context Ctrl-C and SIGTERM raise KeyboardInterrupt: what has finished gets its answer.

    A cluster sends SIGTERM before it kills. Ctrl-C is ignored in what a shell or a CI runner starts in the background,
    and Python leaves it so; a command that is sent one all the same shall end. Does nothing outside the main thread.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def may_have_children() -> Iterator[None]:
    """Let a daemonic process (a worker of a process pool) start processes; they must end when it does."""
    settings: dict[str, Any] = getattr(multiprocessing.current_process(), "_config", {})
    daemon = settings.get("daemon")
    if daemon:
        settings["daemon"] = False
    try:
        yield
    finally:
        if daemon:
            settings["daemon"] = daemon


def leave_with_parent() -> None:
    """Make this process, started by another, ignore Ctrl-C and end when its parent has ended.

    Nobody would take an orphan's result, and its locks would block others.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None
    threading.Thread(target=_die_with, args=(parent.sentinel,), daemon=True).start()


def _die_with(sentinel: int) -> None:
    connection.wait([sentinel])
    os._exit(1)


def exit_text(code: int | None) -> str:
    """How a process ended, by its exit code: a negative one is a signal's number."""
    if code is None or code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
