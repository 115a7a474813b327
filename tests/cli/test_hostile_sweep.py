"""aggregate.py on a stranger's sweep: a folder is data, and what it names is neither run nor followed nor believed."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hostile_sweep import CHANGED, SECRET, make_hostile_sweep

PROGRAM = Path(__file__).parents[2] / "src" / "aggregate.py"
VALUE = "cosine-of-the-owner"


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """The sweep's folder, and what the command said of it."""
    folder = tmp_path_factory.mktemp("stranger")
    sweep = make_hostile_sweep(folder / "x", marker=folder / "marker")
    command = [sys.executable, str(PROGRAM), "sweep=x"]
    environment = {**os.environ, SECRET: VALUE}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)
    return sweep, done


def test_it_ends_with_1_and_no_traceback(told: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    """The three good jobs have their answer."""
    sweep, done = told
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    summary = json.loads((sweep / "summary.json").read_text())
    assert summary["kinds"][0]["consensus"]["n"] == 3


def test_nothing_is_run_and_no_file_is_made_outside(
    told: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    """Neither by a target nor by a link."""
    sweep, _ = told
    assert sorted(path.name for path in sweep.parent.iterdir()) == ["elsewhere", "x"]
    assert sorted(path.name for path in (sweep.parent / "elsewhere").iterdir()) == [
        "curve.npz",
        "record.json",
        "status.json",
    ]


def test_no_reference_is_followed(told: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    """Not on the terminal, not in a file."""
    sweep, done = told
    written = [path.read_bytes() for path in sweep.iterdir() if path.is_file()]
    assert VALUE not in done.stdout + done.stderr
    assert not any(VALUE.encode() in content for content in written)


@pytest.mark.parametrize("number", [*CHANGED, 7, 9, 10, 11, 12, 13])
def test_every_job_that_cannot_be_believed_is_named(
    told: tuple[Path, subprocess.CompletedProcess[str]], number: int
) -> None:
    """Changed numbers, references, FIFOs, links, another run's curve."""
    _, done = told
    (said,) = [line for line in done.stdout.splitlines() if f"x/{number}" in line]
    assert len(said) > len(f"x/{number}") + 10


def test_escapes_are_shown(told: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    """On the terminal and in every text that is written; a cell that starts with + is a text."""
    sweep, done = told
    texts = [done.stdout, done.stderr, *((sweep / name).read_text() for name in ("answer.txt", "runs.csv"))]
    assert not any("\x1b" in text or "\x07" in text for text in texts)
    assert r"\x1b]0;owned\x07" in done.stdout
    with open(sweep / "runs.csv", newline="") as file:
        failed = next(row for row in csv.DictReader(file) if row["outcome"] == "failed")
    assert failed["overrides"].startswith("'+model.name=")
