"""Standard output and error of a command: one that can't be written costs no result, and complaints are escaped."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO, cast

from steadylr.present.escaped import escaped


def complain(text: object, *, end: str = "\n") -> None:
    """Print to standard error; what in a text would order something of a terminal is written out."""
    print(escaped(str(text)), end=end, file=sys.stderr, flush=True)


class TerminalFormatter(logging.Formatter):
    """Messages of the log as they are shown on a terminal: escaped like complaints."""

    def format(self, record: logging.LogRecord) -> str:
        """The message; its lines and those of a traceback stay lines."""
        return escaped(super().format(record))


class Lenient:
    """A text stream that keeps the first error of writing to it, and then lets everything pass unwritten.

    So a closed pipe or a full disk stops no command, and no job that has its answer is taken for a failed one.

    Args:
        stream: what is written to.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._set_aside = False
        self._own_fd: int | None = None
        self.error: OSError | None = None

    def set_aside(self) -> None:
        """Until take_back, what is printed goes nowhere, and what other processes print to standard error."""
        if self._set_aside:
            return
        self._set_aside = True
        with suppress(OSError, ValueError):  # a stream without a file has no other processes that write to it
            self._stream.flush()
            fd = self._stream.fileno()
            self._own_fd = os.dup(fd)
            os.dup2(2, fd)

    def take_back(self) -> None:
        """Let all be written again."""
        self._set_aside = False
        if self._own_fd is not None:
            os.dup2(self._own_fd, self._stream.fileno())
            os.close(self._own_fd)
            self._own_fd = None

    def write(self, text: str) -> int:
        """Write, unless that has failed once."""
        if self._set_aside:
            return len(text)
        with self._noting():
            try:
                self._stream.write(text)
            except UnicodeEncodeError as error:  # its encoding lacks a letter, as ASCII does
                self._stream.write(text.encode(error.encoding, "backslashreplace").decode(error.encoding))
        return len(text)

    def flush(self) -> None:
        """Flush, likewise."""
        with self._noting():
            self._stream.flush()

    @contextmanager
    def _noting(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.error = self.error or error
            with suppress(OSError, ValueError):  # else Python tries once more when it ends, and complains
                null = os.open(os.devnull, os.O_WRONLY)
                os.dup2(null, self._stream.fileno())
                os.close(null)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def lenient_streams() -> Iterator[Lenient]:
    """Let standard output and error be lenient within this context; gives the former."""
    before = sys.stdout, sys.stderr
    out, err = map(Lenient, before)
    sys.stdout, sys.stderr = cast(TextIO, out), cast(TextIO, err)
    try:
        yield out
    finally:
        out.flush()
        out.take_back()
        sys.stdout, sys.stderr = before
