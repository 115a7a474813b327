"""Sweeps on clusters: what their tests have in common."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from test_sweep_processes import DEADLINE, summary_of

from command_line import FIND_LR, TINY, Finished, environment, process
from steadylr.store.curve_file import RunCurves

SEEDS = ("-m", "seed=1,2,3", "finder.smooth_f=0.05,0.15", *TINY, "sweep_name=x")

FATES = (
    "-m",
    "model=own",
    "model._target_=fated_model.Net",
    "data=fashion_mnist_mini",
    *("finder=quick", "finder.num_iter=40", "device.threads=1", "data.fingerprint=made", "sweep_name=x"),
)


def curves_in(folder: Path) -> dict[str, bytes]:
    """The losses of every run in the store of a folder, by key."""
    paths = folder.glob("outputs/store/v1/*/*.npz")
    return {path.name: RunCurves.load(path).curve.loss.tobytes() for path in paths}


def is_answered_as_here(folder: Path, *launcher: str) -> None:
    """Three trainings and six jobs: the curves, the summary and the exit code of a cluster are those of workers here.

    And what a cluster has stored is trained nowhere again.
    """
    for name, more in (("here", ()), ("there", launcher)):
        (folder / name).mkdir()
        done = process(FIND_LR, *SEEDS, *more, cwd=folder / name)
        assert done.code == 0, done.err
        assert done.out.startswith("6 jobs, 3 trainings, ")
    here, there = folder / "here", folder / "there"
    assert len(curves_in(here)) == 3
    assert curves_in(here) == curves_in(there)
    summaries = [summary_of(own / "outputs/sweeps/x") for own in (here, there)]
    assert summaries[0] == summaries[1]
    again = process(FIND_LR, *SEEDS[:-1], "sweep_name=y", cwd=there)
    assert again.out.startswith("6 jobs, 0 trainings (3 runs from the store)")


def sweepers_train_as_here(folder: Path, *launcher: str) -> None:
    """Seeds until it is stable, the ladder of lengths and attribution, on a cluster as by workers here."""
    sweeps = {
        "stable": ("+experiment=until_stable", "hydra.sweeper.max_runs=4"),
        "length": ("+experiment=for_length", "onecycle.total_steps=400", "hydra.sweeper.budget=1"),
        "streams": ("+experiment=attribution", "seeds.init=1,2", "seeds.order=1,2"),
    }
    short = ("hydra.sweeper.shortest=16", "hydra.sweeper.val_samples=20")
    for name, given in sweeps.items():
        told = []
        for place, more in (("here", ()), ("there", launcher)):
            (folder / name / place).mkdir(parents=True)
            own = short if name == "length" else ()
            done = process(
                *(FIND_LR, "-m", *given, *own, *TINY, *more, f"sweep_name={name}"), cwd=folder / name / place
            )
            told.append((done.code, summary_of(folder / name / place / "outputs/sweeps" / name)))
            assert done.code in (0, 3), done.err
        assert told[0] == told[1], name
        here, there = (
            {path.name for path in (folder / name / place).glob("outputs/store/v1/*/*.npz")}
            for place in ("here", "there")
        )
        assert here == there
        assert len(here) > 2


def fated(folder: Path) -> Path:
    """A folder with the model whose trainings meet a fate."""
    shutil.copy(Path(__file__).with_name("fated_model.py"), folder)
    return folder


def start(folder: Path, *overrides: str) -> subprocess.Popen[str]:
    """A sweep over fates."""
    return subprocess.Popen(
        [sys.executable, str(FIND_LR), *FATES, *overrides],
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def end(program: subprocess.Popen[str]) -> Finished:
    """Wait for the end of a sweep."""
    out, err = program.communicate(timeout=DEADLINE)
    return Finished(program.returncode, out, err)


def begun(folder: Path) -> list[str]:
    """The fates of the trainings that have begun, in their order."""
    file = folder / "begun"
    return [line.split()[0] for line in file.read_text().splitlines()] if file.exists() else []


def process_of(folder: Path, fate: str) -> int:
    """The process that has begun the last training with a fate."""
    lines = [line.split() for line in (folder / "begun").read_text().splitlines()]
    return int(next(number for own, number in reversed(lines) if own == fate))
