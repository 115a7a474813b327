"""output=json and output=quiet: what scripts read, and nothing else on standard output."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from command_line import FIND_LR, TINY, find_lr, main_of, only_run, process
from made_jobs import make_sweep
from steadylr.cli import aggregate as aggregating
from steadylr.store.records import RunRecord, Summary

pytestmark = pytest.mark.usefixtures("undrawn")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that the commands are run in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_run_is_one_object_or_its_lr(folder: Path) -> None:
    """json is record.json with the LR and the folder in front; quiet is the LR, in digits that a shell can pass on."""
    done = find_lr(*TINY, "output=json")
    run = only_run(folder)
    found = json.loads(done.out)
    record = RunRecord.read(run)
    assert (done.code, done.out.count("\n")) == (0, 1)
    assert (found["lr"], found["folder"]) == (record.headline.lr, str(run))
    assert {name: found[name] for name in record.to_json()} == json.loads((run / "record.json").read_text())
    quiet = find_lr(*TINY, "output=quiet")
    assert (quiet.code, quiet.out) == (0, f"{record.headline.lr:.6g}\n")


def test_a_run_without_an_lr_is_null_or_nothing(folder: Path) -> None:
    """And exit code 3: a script that takes the LR without looking gets an empty one."""
    flat = (*TINY, "finder.end_lr=1e-6")
    told, quiet = find_lr(*flat, "output=json"), find_lr(*flat, "output=quiet")
    assert (told.code, json.loads(told.out)["lr"]) == (3, None)
    assert (quiet.code, quiet.out) == (3, "")


@pytest.mark.parametrize("output", ["json", "quiet"])
def test_an_aggregate_likewise(folder: Path, output: str) -> None:
    """Of a sweep it is summary.json."""
    make_sweep(folder / "outputs" / "sweeps" / "x")
    done = main_of(aggregating, "sweep=x", f"output={output}")
    assert done.code == 0
    (kind,) = Summary.read(folder / "outputs" / "sweeps" / "x").kinds
    if output == "quiet":
        assert done.out == f"{kind['plan']['max_lr']:.6g}\n"
        return
    found = json.loads(done.out)
    assert found["lr"] == kind["plan"]["max_lr"]
    assert found["folder"] == "outputs/sweeps/x"
    assert found["kinds"] == [kind]


@pytest.mark.parametrize("output", ["jsn", "null", "[json]"])
def test_another_word_is_refused(folder: Path, output: str) -> None:
    """With those that there are."""
    done = find_lr(*TINY, f"output={output}")
    assert (done.code, done.out) == (1, "")
    assert "output" in done.err
    assert "json" in done.err
    assert "quiet" in done.err


NOISY = """
import os
from torch import nn


def loud(**sizes):
    print("a model that prints")
    os.write(1, b"past Python\\n")
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
"""


@pytest.mark.slow
@pytest.mark.parametrize("sweep", [[], ["-m", "seed=1,2"]], ids=["run", "sweep"])
def test_nothing_else_reaches_standard_output(tmp_path: Path, sweep: list[str]) -> None:
    """Neither what the user's model prints, in this process or a worker's, nor what is written past Python."""
    (tmp_path / "noisy.py").write_text(NOISY)
    model = ("model=own", "model._target_=noisy.loud", "finder=quick", "finder.num_iter=40")
    done = process(FIND_LR, *sweep, *model, "output=quiet", cwd=tmp_path)
    assert done.code in (0, 3), done.err
    assert "past Python" in done.err
    assert [float(line) for line in done.out.splitlines()] == ([] if done.code == 3 else [float(done.out)])


@pytest.mark.slow
def test_a_dry_run_is_counted(tmp_path: Path) -> None:
    """In numbers for json; quiet says nothing, as there is no LR."""
    asked = (FIND_LR, "-m", *TINY, "seed=1,2", "finder.smooth_f=0.05,0.1", "dry_run=true")
    assert json.loads(process(*asked, "output=json", cwd=tmp_path).out) == {
        "lr": None,
        "jobs": 4,
        "trainings": 2,
    }
    assert process(*asked, "output=quiet", cwd=tmp_path).out == ""
