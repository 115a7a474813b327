"""The programs as tests run them: in this process, in a process of their own, or at a terminal."""

from __future__ import annotations

import contextlib
import errno
import io
import logging
import os
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.global_hydra import GlobalHydra

SRC = Path(__file__).resolve().parents[1] / "src"
FIND_LR = SRC / "find_lr.py"
DEADLINE = 300.0

TINY = ("model=mlp", "finder=quick", "finder.num_iter=40", "device.threads=1")
"""A training that takes a fraction of a second and gives an answer."""

TERMINAL = "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))"
"""Runs a command at a terminal of its own; what comes on standard input is typed there."""


@dataclass(frozen=True)
class Finished:
    """How a program ended, and what it said."""

    code: Any
    out: str
    err: str


def main_of(module: Any, *argv: str, out: io.StringIO | None = None) -> Finished:
    """Run a program's main() in this process, with nothing of it left behind in Hydra or logging.

    Args:
        module: which program.
        argv: what follows its name on the command line.
        out: its standard output, if another than usual.
    """
    from steadylr.jobs.session import SESSION

    SESSION.__init__()  # type: ignore[misc]
    GlobalHydra.instance().clear()
    out, err = out or io.StringIO(), io.StringIO()
    code: Any = 0
    before, sys.argv = sys.argv, ["program", *argv]
    with _logging_restored(), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            module.main()
        except SystemExit as error:
            code = error.code
        except BaseException:  # a traceback that the person at the terminal would see
            traceback.print_exc()
            code = "crashed"
    sys.argv = before
    GlobalHydra.instance().clear()
    return Finished(code, out.getvalue(), err.getvalue())


def find_lr(*argv: str, out: io.StringIO | None = None) -> Finished:
    """find_lr.py in this process."""
    from steadylr.cli import find_lr as module

    return main_of(module, *argv, out=out)


class FullDisk(io.StringIO):
    """Standard output that can't be written."""

    def write(self, text: str) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@contextlib.contextmanager
def _logging_restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    try:
        yield
    finally:
        for handler in root.handlers:
            if handler not in handlers:
                handler.close()
        root.handlers[:] = handlers
        root.setLevel(level)


def environment() -> dict[str, str]:
    """One thread, a terminal of 80 columns, and no colour settings of whoever runs the tests."""
    kept = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR")}
    return {**kept, "OMP_NUM_THREADS": "1", "COLUMNS": "80", "TERM": "xterm-256color"}


def process(*command: object, cwd: Path) -> Finished:
    """A Python process: what follows `python` on the command line."""
    done = subprocess.run(
        [sys.executable, *map(str, command)],
        cwd=cwd,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    return Finished(done.returncode, done.stdout, done.stderr)


def at_terminal(*command: object, cwd: Path, answer: Callable[[str], str] = lambda seen: "") -> Finished:
    """A Python process at a terminal: what it wrote to it, errors included.

    Args:
        command: what follows `python` on the command line.
        cwd: where it is run.
        answer: given all that the terminal shows, what is typed next.
    """
    with subprocess.Popen(
        [sys.executable, "-c", TERMINAL, sys.executable, *map(str, command)],
        cwd=cwd,
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        bufsize=0,
    ) as program:
        assert program.stdin is not None
        assert program.stdout is not None
        seen = b""
        while part := program.stdout.read(65536):
            seen += part
            program.stdin.write(answer(seen.decode(errors="replace")).encode())
    return Finished(program.returncode, seen.decode(), "")


def imported(done: Finished, *names: str) -> list[str]:
    """Which of some packages a process with -X importtime has imported."""
    loaded = {line.rpartition("|")[2].strip() for line in done.err.splitlines() if "|" in line}
    return [name for name in names if name in loaded]


def only_run(folder: Path) -> Path:
    """The one run folder below a folder."""
    (run,) = (folder / "outputs" / "runs").iterdir()
    return run
