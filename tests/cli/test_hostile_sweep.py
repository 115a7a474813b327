"""Every command on a stranger's sweep: a folder is data, and what it names is neither run nor followed nor believed."""

from __future__ import annotations

import csv
import importlib
import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from command_line import FIND_LR, TINY, Finished, main_of, process
from hostile_sweep import CHANGED, MARKER, SECRET, make_hostile_sweep, make_jobs

VALUE = "cosine-of-the-owner"

COMMANDS = {
    "aggregate": ("aggregate", "sweep=x"),
    "aggregate into another folder": ("aggregate", "sweep=x", "out=out", "finder.smooth_f=0.1"),
    "verify_lr": ("verify_lr", "sweep=x"),
    "verify_lr of one kind": ("verify_lr", "sweep=x", "kind=1", "dry_run=true"),
    "find_lr": ("find_lr", "-m", "model=mlp", "sweep_name=x", "seed=0,1", "dry_run=true"),
}
"""Every command that reads sweeps."""


@dataclass(frozen=True)
class Told:
    """The sweep's folder, the folder that the command was run in, what it said, and what was there before."""

    sweep: Path
    here: Path
    done: Finished
    before: frozenset[Path]

    @property
    def text(self) -> str:
        return str(self.done.out + self.done.err)

    @property
    def made(self) -> set[str]:
        """What is new, from the folder that the command was run in."""
        new = {*self.here.rglob("*")} - self.before
        return {str(path.relative_to(self.here)) for path in new}


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The jobs of all hostile sweeps here."""
    return make_jobs(tmp_path_factory.mktemp("jobs"))


@pytest.fixture(scope="module", params=COMMANDS)
def command(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, jobs: Path) -> Told:
    """Each command in turn."""
    return run_on_a_hostile_sweep(tmp_path_factory.mktemp("stranger"), jobs, request.param)


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory, jobs: Path) -> Told:
    """What aggregate.py says of it."""
    return run_on_a_hostile_sweep(tmp_path_factory.mktemp("stranger"), jobs, "aggregate")


def run_on_a_hostile_sweep(here: Path, jobs: Path, name: str) -> Told:
    (here / "outputs" / "sweeps").mkdir(parents=True)
    sweep = make_hostile_sweep(here / "outputs" / "sweeps" / "x", jobs)
    before = frozenset(here.rglob("*"))
    program, *argv = COMMANDS[name]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(here)
        patch.setenv(SECRET, VALUE)
        done = main_of(importlib.import_module(f"steadylr.cli.{program}"), *argv)
    return Told(sweep, here, done, before)


def test_no_command_runs_follows_or_believes_it(command: Told) -> None:
    """No marker of a target, no file outside, no value of the environment, no escape, no traceback."""
    assert "Traceback" not in command.text
    assert VALUE not in command.text
    assert "\x1b" not in command.text
    assert not (command.here / MARKER).exists()
    outside = {name for name in command.made if not f"{name}/".startswith(("outputs/sweeps/x/", "out/"))}
    assert outside == set()
    written = [command.here / name for name in command.made if (command.here / name).is_file()]
    assert not any(VALUE.encode() in path.read_bytes() for path in written)


def test_a_sweep_with_targets_of_its_own_is_not_verified(tmp_path: Path, jobs: Path) -> None:
    """One sentence names them all; nothing is made."""
    found = run_on_a_hostile_sweep(tmp_path, jobs, "verify_lr")
    assert found.done.code == 1
    assert found.done.out == ""
    (said,) = found.done.err.splitlines()
    assert f"model._target_=os.system, model.kwargs.command=touch {MARKER}. Nothing of it was" in said
    assert said.endswith("If you know that these are yours, give trust_sweep=true")
    assert found.made == set()


def test_a_kind_of_our_own_options_is(tmp_path: Path, jobs: Path) -> None:
    """What other kinds of the sweep name does not count."""
    found = run_on_a_hostile_sweep(tmp_path, jobs, "verify_lr of one kind")
    assert found.done.code == 0
    assert "trainings of 300 steps" in found.done.out
    assert found.made == set()


@pytest.mark.slow
def test_a_sweep_that_goes_on_writes_through_none_of_its_links(tmp_path: Path, jobs: Path) -> None:
    """find_lr.py adds its own job; what was asked for is what its command line says."""
    (tmp_path / "outputs" / "sweeps").mkdir(parents=True)
    sweep = make_hostile_sweep(tmp_path / "outputs" / "sweeps" / "x", jobs)
    (sweep / "multirun.yaml").symlink_to(tmp_path / "through-multirun")
    (sweep / "answer.txt").symlink_to(tmp_path / "through-answer")
    (sweep / "summary.png").symlink_to(tmp_path / "through-figure")
    before = {path.name for path in tmp_path.iterdir()}
    done = process(FIND_LR, "-m", *TINY, "seed=20", "sweep_name=x", cwd=tmp_path)
    assert (done.code, "Traceback" in done.out + done.err) == (1, False)
    assert {path.name for path in tmp_path.iterdir()} == before
    assert {path.name for path in (tmp_path / "outputs").iterdir()} == {"sweeps", "store"}
    assert "job_key" in (sweep / "14" / "status.json").read_text()
    assert "\x1b" not in done.out + done.err


def test_aggregate_ends_with_1(told: Told) -> None:
    """The three good jobs have their answer."""
    assert told.done.code == 1, told.done.err
    summary = json.loads((told.sweep / "summary.json").read_text())
    assert summary["kinds"][0]["consensus"]["n"] == 3


@pytest.mark.parametrize("number", [*CHANGED, 7, 9, 10, 11, 12, 13])
def test_every_job_that_cannot_be_believed_is_named(told: Told, number: int) -> None:
    """Changed numbers, references, FIFOs, links, another run's curve."""
    (said,) = [line for line in told.done.out.splitlines() if f"x/{number}" in line]
    assert len(said) > len(f"x/{number}") + 10


def test_escapes_are_shown(told: Told) -> None:
    """On the terminal and in every text that is written; a cell that starts with + is a text."""
    sweep, done = told.sweep, told.done
    texts = [done.out, done.err, *((sweep / name).read_text() for name in ("answer.txt", "runs.csv"))]
    assert not any("\x1b" in text or "\x07" in text for text in texts)
    assert r"\x1b]0;owned\x07" in done.out
    with open(sweep / "runs.csv", newline="") as file:
        failed = next(row for row in csv.DictReader(file) if row["outcome"] == "failed")
    assert failed["overrides"].startswith("'+model.name=")
