"""verify_lr.py: what it trains, what it says and leaves, what it refuses, and that it trains nothing twice."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from command_line import SRC, Finished, environment, imported, main_of, process
from fake_workers import NoWorkers
from made_jobs import config_of, curve_of, leave_status, make_job, make_sweep
from steadylr.answer.readings import from_sweep
from steadylr.cli import verify_lr as program
from steadylr.config.schema import Consensus, OneCycle
from steadylr.core.curve import Curve, Stop
from steadylr.core.onecycle import Plan, plan
from steadylr.report.conclude import conclude
from steadylr.store.curve_store import TrialStore
from steadylr.store.trial_file import Trial
from steadylr.training.failure import TrainingFailed
from steadylr.training.obtain import Trained
from steadylr.training.trial import describe_trial, trial_config

PROGRAM = SRC / "verify_lr.py"
TINY = ("steps=12", "val_samples=50")

pytestmark = pytest.mark.usefixtures("undrawn")


class FakeWorkers(NoWorkers):
    """Trials whose final loss is known: 1 + (decades from BEST)^2, given up above GIVEN_UP; some seeds fail."""

    best = 0.02
    given_up = math.inf
    failing: frozenset[int] = frozenset()
    plans: list[Plan]
    steps: list[int]

    def results(self, progress: Any) -> Iterator[tuple[str, Trained | TrainingFailed]]:
        for task in self.tasks:
            training, schedule = task.training, task.plan
            assert schedule is not None
            type(self).plans.append(schedule)
            seed = task.config.seed
            if seed in self.failing:
                yield task.key, TrainingFailed("out of memory")
                continue
            loss = 1.0 + float(np.log10(schedule.max_lr / self.best)) ** 2 + 0.001 * seed * schedule.max_lr
            assert schedule.total_steps is not None
            stop = Stop.COMPLETED if schedule.max_lr < self.given_up else Stop.DIVERGED
            meta = {"judged_by": "validation loss"}
            trial = Trial(
                np.full(2, 3.0),
                schedule.total_steps,
                stop,
                loss if stop is Stop.COMPLETED else math.inf,
                meta,
            )
            TrialStore(self.store).obtain(training.shape, training.seeds, lambda done=trial: done)
            yield task.key, Trained(from_store=False, seconds=1.0)


def shifted_curve(seed: int, middle: float) -> Curve:
    return curve_of(seed, middle=middle)


@pytest.fixture
def sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A sweep of three runs whose suggestions differ, in the folder from which the program is run."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "outputs" / "sweeps" / "x"
    for number, middle in enumerate((-3.4, -3.0, -2.6)):
        make_job(folder / str(number), "device.threads=1", seed=number, curve=shifted_curve(number, middle))
    return folder


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> type[FakeWorkers]:
    """Workers that train nothing."""

    class Own(FakeWorkers):
        plans: list[Plan] = []  # noqa: RUF012

    Own.take_over(monkeypatch)
    return Own


def verified(*overrides: str) -> Finished:
    return main_of(program, *overrides)


def kind_in(folder: Path) -> dict[str, Any]:
    (kind,) = json.loads((folder / "verification.json").read_text())["kinds"]
    assert isinstance(kind, dict)
    return kind


def test_the_suggestions_and_their_surroundings_are_tried(sweep: Path, fake: type[FakeWorkers]) -> None:
    """Five LRs with three seeds, along the sweep's own plan but for its length."""
    done = verified("sweep=x", "seeds=[0,1,2]")
    assert done.code == 0, done.err
    assert done.out.startswith("5 LRs x 3 seeds, 15 trainings of 300 steps")
    suggested = kind_in(sweep)["suggested"]
    assert suggested["low"] < suggested["chosen"] < suggested["high"]
    lrs = [tried["lr"] for tried in kind_in(sweep)["tried"]]
    assert lrs[1:4] == [suggested["low"], suggested["chosen"], suggested["high"]]
    assert lrs[0] == pytest.approx(suggested["low"] / 3, rel=5e-3)
    assert lrs[4] == pytest.approx(suggested["high"] * 3, rel=5e-3)
    assert {(p.total_steps, p.div_factor, p.final_div_factor) for p in fake.plans} == {(300, 100.0, 1e5)}


def test_the_page_of_the_sweep_has_it_too(sweep: Path, fake: type[FakeWorkers]) -> None:
    """Where there is one; the sweep stays finished."""
    conclude(from_sweep(sweep), sweep, consensus=Consensus(), onecycle=OneCycle())
    assert "Verification</h2>" not in (sweep / "report.html").read_text()
    assert verified("sweep=x", "steps=100").code == 0
    page = (sweep / "report.html").read_text()
    assert "Verification</h2>" in page
    assert kind_in(sweep)["summary"] in page
    written = (sweep / "runs.csv").stat().st_mtime_ns
    conclude(from_sweep(sweep), sweep, consensus=Consensus(), onecycle=OneCycle())
    assert (sweep / "runs.csv").stat().st_mtime_ns == written


@pytest.mark.usefixtures("drawn")
def test_what_it_says_and_leaves(sweep: Path, fake: type[FakeWorkers]) -> None:
    """The same answer on the terminal, in the text and in the JSON; a figure; on the terminal the folder at the end."""
    fake.best, fake.given_up = 0.5, 1.0
    done = verified("sweep=outputs/sweeps/x", "steps=100", "beyond=[3,100]", "lrs=0.5")
    assert done.code == 0, done.err
    kind = kind_in(sweep)
    assert (kind["conclusion"], kind["move_to"]) == ("move", 0.5)
    assert kind["summary"].startswith("The choice should move to 5.00e-1:")
    text = (sweep / "verification.txt").read_text()
    assert text in done.out
    assert kind["summary"] in text
    assert "3 of 3 given up" in text
    assert "mlp on fashion_mnist_mini: 100 steps of OneCycle, 3 seeds, by validation loss" in text
    assert done.out.endswith(f"{text}\noutputs/sweeps/x\n")
    assert (sweep / "verification.png").stat().st_size > 10_000
    assert kind["tried"][-1]["losses"] == [{"$float": "Infinity"}] * 3


@pytest.mark.slow
def test_a_second_call_trains_nothing_and_writes_nothing(sweep: Path, fake: type[FakeWorkers]) -> None:
    """And says the same; another seed trains only what that needs."""
    first = verified("sweep=x", "seeds=[0,1]")
    files = {path: path.stat().st_mtime_ns for path in sweep.glob("verification.*")}
    fake.plans.clear()
    second = verified("sweep=x", "seeds=[0,1]")
    assert second.code == 0
    assert fake.plans == []
    assert "5 LRs x 2 seeds, 0 trainings of 300 steps (10 from the store)" in second.out
    assert second.out.partition("\n")[2] == first.out.partition("\n")[2]
    assert {path: path.stat().st_mtime_ns for path in sweep.glob("verification.*")} == files
    third = verified("sweep=x", "seeds=[0,1,2]")
    assert "5 trainings of 300 steps" in third.out
    assert len(fake.plans) == 5


def test_a_dry_run_says_what_would_be_done(sweep: Path, fake: type[FakeWorkers]) -> None:
    """And leaves nothing."""
    before = sorted(sweep.parent.parent.rglob("*"))
    done = verified("sweep=x", "dry_run=true")
    assert (done.code, done.out.count("\n")) == (0, 1)
    assert sorted(sweep.parent.parent.rglob("*")) == before


def test_the_store_is_that_of_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fake: type[FakeWorkers]
) -> None:
    """Whatever the sweep's records say of one: nobody's record chooses where something is written."""
    monkeypatch.chdir(tmp_path)
    for seed in range(3):
        make_job(tmp_path / "x" / str(seed), "store.dir=recorded", seed=seed)
    assert verified("sweep=x", "seeds=[1]", "store.dir=given").code == 0
    assert (tmp_path / "given").is_dir()
    assert not (tmp_path / "recorded").exists()
    assert verified("sweep=x", "seeds=[1]", "store.enabled=false", "steps=200").code == 0
    assert not (tmp_path / "outputs").exists()
    assert not list((tmp_path / "x").glob(".store-*"))


def test_code_of_ones_own_is_trained_once_the_sweep_is_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fake: type[FakeWorkers]
) -> None:
    """Without that it is named, also in a dry run."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_net.py").write_text("from torch import nn\nclass Net(nn.Linear): pass\n")

    def own(record: dict[str, Any]) -> None:
        record["config"]["model"] |= {"_target_": "my_net.Net", "name": None, "arguments": {"in_features": 3}}

    for seed in range(3):
        make_job(tmp_path / "x" / str(seed), seed=seed, change=own)
    refused = verified("sweep=x", "seeds=[1]", "dry_run=true")
    assert refused.code == 1
    assert "sweep=x names code and files that are no options of this project" in refused.err
    assert ": model._target_=my_net.Net. Nothing of it was." in refused.err
    assert verified("sweep=x", "seeds=[1]", "trust_sweep=true").code == 0
    assert fake.plans != []


def test_another_choice_and_another_schedule(sweep: Path, fake: type[FakeWorkers]) -> None:
    """consensus.choose and onecycle.* of the command line come before the sweep's."""
    verified("sweep=x", "consensus.choose=conservative", "onecycle.div_factor=10", "seeds=[1]")
    suggested = kind_in(sweep)["suggested"]
    assert suggested["chosen"] == suggested["low"]
    assert {p.div_factor for p in fake.plans} == {10.0}


@pytest.mark.slow
def test_every_kind_of_a_mixed_sweep_is_verified(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fake: type[FakeWorkers]
) -> None:
    """Each with its own figure; one alone on demand; mixed averages are refused."""
    monkeypatch.chdir(tmp_path)
    folder = make_sweep(tmp_path / "m", seeds=2, overrides=(("data.batch_size=16",), ("data.batch_size=32",)))
    assert verified(f"sweep={folder}", "seeds=[1]").code == 0
    kinds = json.loads((folder / "verification.json").read_text())["kinds"]
    assert [kind["number"] for kind in kinds] == [1, 2]
    assert (folder / "verification-1.png").is_file()
    assert (folder / "verification-2.png").is_file()
    assert verified(f"sweep={folder}", "seeds=[1]", "kind=2").code == 0
    assert "data.batch_size=32" in kind_in(folder)["title"]
    refused = verified(f"sweep={folder}", "kind=3")
    assert (refused.code, "kind must be from 1 to 2" in refused.err) == (1, True)
    refused = verified(f"sweep={folder}", "consensus.mix=true")
    assert (refused.code, "there is no one model to verify" in refused.err) == (1, True)


def test_failed_trainings_are_named(sweep: Path, fake: type[FakeWorkers]) -> None:
    """There is no answer without them; the others are kept."""
    fake.failing = frozenset({2})
    done = verified("sweep=x")
    assert done.code == 1
    assert "seed 2 and 4 more failed: out of memory" in done.err
    assert not (sweep / "verification.json").exists()
    fake.failing = frozenset()
    assert "5 trainings of 300 steps" in verified("sweep=x").out


def test_where_nothing_is_learned_the_exit_code_says_so(sweep: Path, fake: type[FakeWorkers]) -> None:
    """3, as for a sweep without an answer."""
    fake.given_up = 0.0
    done = verified("sweep=x")
    assert done.code == 3
    assert "No answer: no LR tried ends below the loss before training" in done.out


@pytest.mark.parametrize(
    ("override", "text"),
    [
        ("steps=300", "sweep must be the folder or name of one sweep"),
        ("sweep=[a,b]", "sweep must be the folder or name of one sweep"),
        ("sweep=missing", "sweep=missing: no such folder"),
        ("sweep=x beyond=[1]", "beyond must be above 1 (a factor); got 1"),
        ("sweep=x beyond=[three]", "beyond must be numbers, as in 'beyond=[3,10]'; got 'three'"),
        ("sweep=x lrs=[0.1,0]", "lrs must be above 0; got 0"),
        ("sweep=x lrs=[nan]", "lrs must be above 0; got nan"),
        ("sweep=x lrs=[inf]", "lrs must be finite and above 0; got inf"),
        ("sweep=x steps=1", "steps must be from 2 to ten million; got 1"),
        ("sweep=x steps=many", "steps must be a whole number; got many"),
        ("sweep=x steps=3", "onecycle with steps=3: total_steps must be at least 4"),
        (
            "sweep=x seeds=2",
            "seeds=2 could be how many or which one: give a list, 'seeds=[0,1]' or 'seeds=[2]'",
        ),
        ("sweep=x seeds=[]", "seeds must hold at least one seed, better three"),
        ("sweep=x seeds=[1,1]", "seeds must differ"),
        ("sweep=x seeds=[-1]", "seeds must be from 0 to 2**63 - 1; got -1"),
        ("sweep=x seeds=[0.5]", "seeds must be whole numbers"),
        ("sweep=x seeds=[true]", "seeds must be whole numbers"),
        ("sweep=x tolerance=0", "tolerance must be in (0, 1) (a share of the descent); got 0"),
        ("sweep=x val_samples=0", "val_samples must be at least 1 (null: all); got 0"),
        ("sweep=x workers=0", "workers must be at least 1"),
        ("sweep=x kind=2", "kind must be from 1 to 1"),
        ("sweep=x store.dir=''", "store.dir must name a folder; got nothing"),
        ("sweep=x stebs=3", "did you mean steps?"),
        ("sweep=x onecycle.div_factor=0", "div_factor must be at least 1"),
    ],
)
def test_bad_input_is_named(sweep: Path, fake: type[FakeWorkers], override: str, text: str) -> None:
    """In one message, without a traceback, with exit code 1, before anything is trained."""
    done = verified(*override.split())
    assert done.code == 1
    assert text in done.err
    assert "Traceback" not in done.err
    assert fake.plans == []


def test_a_sweep_without_an_lr_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And says why there is none."""
    monkeypatch.chdir(tmp_path)
    flat = Curve(np.geomspace(1e-7, 10, 60), np.full(60, 2.3), num_iter=60)
    for seed in range(2):
        make_job(tmp_path / "flat" / str(seed), seed=seed, curve=flat)
    done = verified("sweep=flat")
    assert done.code == 1
    assert "this sweep has no LR to verify: mlp on fashion_mnist_mini: No answer:" in done.err
    leave_status(tmp_path / "failed" / "0", "failed", error="no such data")
    done = verified("sweep=failed")
    assert (done.code, "job 0 failed: no such data" in done.err) == (1, True)
    (tmp_path / "empty").mkdir()
    done = verified("sweep=empty")
    assert (done.code, "no job folders" in done.err) == (1, True)


def test_what_identifies_a_trial() -> None:
    """Its schedule and its judge, and not the ramp of the range test."""

    def key(*overrides: str, lr: float = 0.1, steps: int = 50, val_samples: int | None = None) -> Any:
        config = trial_config(config_of(*overrides), seed=1, total_steps=steps, val_samples=val_samples)
        return describe_trial(config, plan(lr, total_steps=steps))

    usual = key()
    assert key("finder.start_lr=1e-6", "finder.num_iter=77", "finder.smooth_f=0.2", "seed=9") == usual
    assert key("onecycle.total_steps=9", "consensus.choose=median") == usual
    others = [
        key(lr=0.2),
        key(steps=51),
        key(val_samples=10),
        key("finder.diverge_th=3"),
        key("data.batch_size=7"),
        key("finder.accumulation_steps=2"),
    ]
    assert all(other != usual for other in others)


def test_help_and_imports(tmp_path: Path) -> None:
    """The help names every key; neither it nor an error takes torch, numpy or scipy."""
    done = process("-X", "importtime", PROGRAM, "--help", cwd=tmp_path)
    assert done.code == 0, done.err
    for name in (
        "sweep=",
        "beyond=",
        "lrs=",
        "steps=",
        "seeds=",
        "tolerance=",
        "val_samples=",
        "kind=",
        "dry_run=",
    ):
        assert name in done.out
    assert imported(done, "torch", "numpy", "scipy", "matplotlib") == []


@pytest.mark.slow
def test_a_killed_verification_goes_on_and_the_next_one_trains_nothing(sweep: Path, tmp_path: Path) -> None:
    """What had finished is not trained again; with nothing to train torch isn't imported."""
    command = [sys.executable, str(PROGRAM), "sweep=x", *TINY, "seeds=[0,1]", "beyond=[]", "workers=1"]
    killed = subprocess.Popen(
        command, cwd=tmp_path, env=environment(), start_new_session=True, stdout=subprocess.PIPE
    )
    deadline = time.monotonic() + 120

    def entries() -> dict[str, int]:
        return {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("outputs/store/v1/*/*.npz")}

    while not entries() and killed.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.communicate()
    kept = entries()
    assert kept
    assert not (sweep / "verification.json").exists()
    done = process(*command[1:], cwd=tmp_path)
    assert done.code == 0, done.err
    assert f"{6 - len(kept)} training" in done.out
    assert len(entries()) == 6
    assert kept.items() <= entries().items()
    answer = (sweep / "verification.json").read_bytes()
    again = process("-X", "importtime", *command[1:], cwd=tmp_path)
    assert again.code == 0
    assert "3 LRs x 2 seeds, 0 trainings of 12 steps (6 from the store)" in again.out
    assert imported(again, "torch") == []
    assert again.out.partition("\n")[2] == done.out.partition("\n")[2]
    assert (sweep / "verification.json").read_bytes() == answer
    listed = process(SRC / "store.py", "list", cwd=tmp_path)
    assert "mlp on fashion_mnist_mini, OneCycle to" in listed.out
