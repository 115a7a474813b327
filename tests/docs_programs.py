"""The programs in docs/: what a page shows is what the tests run."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

DOCS = Path(__file__).resolve().parents[1] / "docs"
SRC = DOCS.parent / "src"


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block of a page: its language, its text, and the file that its first line names, if any.

    A block whose first line is a comment with nothing but a path (`# conf/model/mine.yaml`) is that file.
    """

    language: str
    text: str

    @property
    def file(self) -> str | None:
        """The path that the block names as its own."""
        named = re.match(r"# ([\w./-]+\.\w+)\n", self.text)
        return None if named is None else named[1]


def blocks(page: str) -> list[Block]:
    """The fenced blocks of docs/<page>, in their order."""
    text = (DOCS / page).read_text()
    return [Block(*found) for found in re.findall(r"^```(\w+)\n(.*?)^```", text, re.DOTALL | re.MULTILINE)]


def write_files(page: str, folder: Path) -> list[Path]:
    """Write every block of docs/<page> that names a file to that file below a folder."""
    written = []
    for block in blocks(page):
        if block.file is not None:
            path = folder / block.file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text)
            written.append(path)
    return written


def run_program(page: str, folder: Path) -> str:
    """Run the first block of docs/<page>, a Python program, in a folder and a process of its own; give its output.

    Asserts that the page starts with a Python block, and that the program ends well and warns of nothing.
    """
    first = blocks(page)[0]
    assert first.language == "python", f"docs/{page} must start with a complete Python program"
    script = folder / (first.file or "program.py")
    script.write_text(first.text)
    return _output([sys.executable, "-W", "error", script.name], folder, page)


def run_python(script: str, folder: Path) -> str:
    """Run a program in its folder; give its output. Asserts that it ends well and warns of nothing."""
    return _output([sys.executable, "-W", "error", script], folder, script)


def run_command(command: str, folder: Path) -> str:
    """Run a command line of a page, `steadylr ...`, in a folder as `python src/find_lr.py ...`; give its output.

    Asserts that it ends well.
    """
    program, *arguments = shlex.split(command, comments=True)
    assert program == "steadylr", f"not a command line of steadylr: {command}"
    return _output([sys.executable, str(SRC / "find_lr.py"), *arguments], folder, command)


def _output(command: list[str], folder: Path, what: str, *, codes: tuple[int, ...] = (0,)) -> str:
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "MPLBACKEND": "Agg", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode in codes, f"{what} failed:\n{done.stdout}{done.stderr}"
    return done.stdout


def session(page: str) -> list[tuple[str, str]]:
    """The commands of docs/<page> in their order, each with what the page says that it prints: "" for nothing."""
    commands: list[tuple[str, str]] = []
    for block in blocks(page):
        if block.language == "sh":
            commands += [(line, "") for line in block.text.splitlines()]
        elif block.language == "text" and commands:
            commands[-1] = (commands[-1][0], block.text)
    return commands


def run_in_clone(command: str, folder: Path, *, codes: tuple[int, ...] = (0,)) -> str:
    """Run `python src/<program>.py ...` of a page in a folder, as in a clone; give its standard output.

    Asserts that it ends with one of the exit codes.
    """
    program, script, *arguments = shlex.split(command, comments=True)
    assert program.endswith("python"), f"not a command of a clone: {command}"
    return _output([sys.executable, str(DOCS.parent / script), *arguments], folder, command, codes=codes)


def same_but_numbers(printed: str, shown: str) -> bool:
    """Whether a page shows what a command printed, numbers and columns' widths aside; "..." stands for any lines."""
    parts = [_masked(part) for part in re.split(r"^\.\.\.$", shown, flags=re.MULTILINE)]
    pattern = ".*".join(map(re.escape, parts))
    return re.fullmatch(rf"\s*{pattern}\s*", _masked(printed), re.DOTALL) is not None


def _masked(text: str) -> str:
    text = re.sub(r"\d[\d.,]*(e[+-]?\d+)?", "#", text)
    return re.sub(r"\s+", " ", re.sub(r"(worker|training|run)s\b", r"\1", text))
