"""Where each program starts: nothing heavy is imported before Ctrl-C and a closed pipe are seen to."""

from __future__ import annotations

import io
import sys
from importlib import import_module
from typing import Any

from steadylr.exit_codes import EXIT_INTERRUPTED


def find_lr() -> None:
    """Start the main program: `python src/find_lr.py`, `python -m steadylr`, `steadylr`."""
    _start("find_lr")


def aggregate() -> None:
    """Start `python src/aggregate.py`, `steadylr-aggregate`."""
    _start("aggregate")


def verify_lr() -> None:
    """Start `python src/verify_lr.py`, `steadylr-verify`."""
    _start("verify_lr")


def store() -> None:
    """Start `python src/store.py`, `steadylr-store`."""
    _start("store")


def _start(name: str) -> None:
    try:
        sys.stdout, sys.stderr = _unread(sys.stdout), _unread(sys.stderr)
        import_module(f"steadylr.cli.{name}").main()
    except KeyboardInterrupt:
        print("interrupted before anything was begun", file=sys.stderr)
        sys.exit(EXIT_INTERRUPTED)


class _Unread(io.FileIO):
    """Output that somebody may stop reading, as `| head` does: the rest is dropped, and the work goes on."""

    def write(self, data: Any) -> int:
        """Write what is still read."""
        try:
            return super().write(data)
        except BrokenPipeError:
            return memoryview(data).nbytes


def _unread(stream: Any) -> Any:
    """The same output, but for an error when nobody reads it any more; as it is where it is no file of the system."""
    try:
        handle = stream.fileno()
    except (AttributeError, OSError, ValueError):  # closed, or somebody's own
        return stream
    stream.flush()
    return io.TextIOWrapper(
        io.BufferedWriter(_Unread(handle, "wb", closefd=False)),
        encoding=stream.encoding,
        errors=stream.errors,
        line_buffering=stream.line_buffering or stream.write_through,
    )
