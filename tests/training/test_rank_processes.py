"""The processes of one training: what comes of them, and that none is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

PROGRAM = Path(__file__).with_name("ranks_process.py")
DEADLINE = 120.0


class Program:
    """The program of ranks_process.py in a process of its own."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.folder = folder
        self._process = subprocess.Popen(
            [sys.executable, str(PROGRAM)],
            env={**os.environ, "FOLDER": str(folder), **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def pids(self) -> list[int]:
        """The processes of both ranks, once they are there."""
        wait_until(lambda: all((self.folder / f"pid{k}").exists() for k in (0, 1)))
        wait_until(lambda: all((self.folder / f"pid{k}").read_text() for k in (0, 1)))
        return [int((self.folder / f"pid{k}").read_text()) for k in (0, 1)]

    def send(self, number: int, *, to_all: bool = False) -> None:
        """Send a signal to the program, or to all its processes as a terminal does."""
        (os.killpg if to_all else os.kill)(self._process.pid, number)

    def end(self) -> tuple[str, str]:
        """What it printed, once it and both its ranks have ended."""
        out, err = self._process.communicate(timeout=DEADLINE)
        wait_until(lambda: not any(is_running(pid) for pid in self.pids()))
        return out.strip(), err


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/status")
    return not (status.exists() and "\nState:\tZ" in status.read_text())  # an orphan that nobody reaps


def test_rank_0_gives_the_result_and_says_how_far_it_is(tmp_path: Path) -> None:
    """On its own GPU; the other ranks give and say nothing."""
    assert Program(tmp_path).end() == ("((7, 0), ('init',)) [(3, 0.1, 2.0)]", "")


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"RAISE": "1"}, "rank 1 of 2: RuntimeError: of rank 1 with traceback []"),
        ({"REFUSE": "0,1"}, "x is wrong []"),
        ({"DIE": "1"}, "rank 1 of 2 died (SIGKILL): killed from outside, or out of memory; lower "),
    ],
    ids=["raises", "refuses", "dies"],
)
def test_a_rank_that_fails_ends_all_with_its_reason(
    tmp_path: Path, environment: dict[str, str], message: str
) -> None:
    """Nothing hangs: who waits for it is ended, and who fails of its death is not blamed."""
    out, err = Program(tmp_path, **environment).end()
    assert out.startswith(message)
    assert err == ""


def test_an_interrupt_ends_all_ranks_without_a_word_of_theirs(tmp_path: Path) -> None:
    """A terminal sends it to all processes."""
    program = Program(tmp_path, WAIT="0,1")
    program.pids()
    program.send(signal.SIGINT, to_all=True)
    assert program.end() == ("interrupted []", "")


def test_no_rank_outlives_a_parent_that_was_killed(tmp_path: Path) -> None:
    """It has no chance to end them, so they see to it themselves."""
    program = Program(tmp_path, WAIT="0,1")
    program.pids()
    program.send(signal.SIGKILL)
    assert program.end()[0] == ""
