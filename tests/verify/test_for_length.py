"""for_length: what it trains, what it says and leaves, what it refuses, and that it trains nothing twice."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from command_line import Finished, find_lr, main_of
from fake_workers import MadeCurves
from steadylr.cli import aggregate
from steadylr.core.curve import Curve, Stop
from steadylr.jobs.engine import Task
from steadylr.store.curve_store import TrialStore
from steadylr.store.trial_file import Trial
from steadylr.training.failure import TrainingFailed
from steadylr.training.obtain import Trained

COMMAND = ("-m", "+experiment=for_length", "model=mlp", "device.threads=1", "sweep_name=x")
STEPS = 20_000

pytestmark = pytest.mark.usefixtures("undrawn")


def best_at(steps: float) -> float:
    """The best LR of the made-up task."""
    return 0.02 * (steps / 200) ** -0.4


class FakeWorkers(MadeCurves):
    """Range tests and trials whose outcome is known; remembers the trials that it was asked for."""

    trials: list[tuple[int, float, int]]
    fails = False
    loss = staticmethod(
        lambda lr, steps: 0.2 + 3 * steps**-0.4 * (1 + 0.1 * math.log2(lr / best_at(steps)) ** 2)
    )
    judged_by = "validation loss"

    def trained(self, task: Task) -> Trained | TrainingFailed:
        if task.plan is None:
            return super().trained(task)
        return self._trial(task, self.store, task.training, task.plan)

    def _trial(self, task: Task, store: Path, training: Any, plan: Any) -> Trained | TrainingFailed:
        self.trials.append((plan.total_steps, plan.max_lr, task.config.seed))
        if self.fails:
            return TrainingFailed("out of memory")
        loss = self.loss(plan.max_lr, plan.total_steps)
        stop = Stop.COMPLETED if math.isfinite(loss) else Stop.DIVERGED
        done = Trial(np.full(2, 3.0), plan.total_steps, stop, loss, {"judged_by": self.judged_by})
        TrialStore(store).obtain(training.shape, training.seeds, lambda: done)
        return Trained(from_store=False, seconds=1.0)


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> type[FakeWorkers]:
    """Workers that train nothing, in the folder from which the program is run."""

    class Own(FakeWorkers):
        trials: list[tuple[int, float, int]] = []  # noqa: RUF012

    monkeypatch.chdir(tmp_path)
    Own.take_over(monkeypatch)
    return Own


def flat(seed: int, *, points: int) -> Curve:
    """Noise without a descent."""
    lrs = np.geomspace(1e-7, 10.0, points)
    return Curve(lrs, 2.3 + 0.1 * np.random.default_rng(seed).normal(size=points), points, Stop.COMPLETED)


def searched(*overrides: str, steps: int | None = STEPS) -> Finished:
    """The command, with its total_steps."""
    return find_lr(*COMMAND, *(() if steps is None else (f"onecycle.total_steps={steps}",)), *overrides)


def left(name: str = "summary.json", sweep: str = "x") -> Any:
    """What a file of the sweep holds."""
    return json.loads((Path("outputs/sweeps") / sweep / name).read_text())


@pytest.mark.usefixtures("drawn")
def test_it_finds_the_lr_for_the_length(fake: type[FakeWorkers]) -> None:
    """Within its budget, near the truth; the plan's peak is that LR, and every file says the length."""
    done = searched("hydra.sweeper.budget=0.5")
    assert done.code == 0, done.err
    (kind,) = left()["kinds"]
    length = kind["length"]
    assert abs(math.log2(length["lr"] / best_at(STEPS))) < 0.75
    assert length["low"] < best_at(STEPS) < length["high"]
    assert kind["plan"]["max_lr"] == length["lr"]
    assert kind["plan"]["total_steps"] == STEPS
    assert sum(steps for steps, _, _ in fake.trials) == length["trial_steps"]
    assert length["trial_steps"] + length["range_test_steps"] <= 0.5 * STEPS
    assert "LR for 20,000 steps\n" in done.out
    assert "judged by validation loss" in done.out
    folder = Path("outputs/sweeps/x")
    fragment = yaml.safe_load((folder / "plan.yaml").read_text())
    assert (fragment["max_lr"], fragment["total_steps"]) == (length["lr"], STEPS)
    assert (folder / "length.png").is_file()
    assert "LR for 20,000 steps\n" in (folder / "answer.txt").read_text()


def test_a_second_call_trains_nothing(fake: type[FakeWorkers]) -> None:
    """And answers the same; under another name too, as trials are kept in the store."""
    first = searched()
    asked = len(fake.trials)
    assert asked >= 3
    again, elsewhere = searched(), searched("sweep_name=y")
    assert len(fake.trials) == asked
    assert first.out.splitlines()[-20:-1] == again.out.splitlines()[-20:-1]
    assert left()["kinds"][0]["length"] == left(sweep="y")["kinds"][0]["length"]
    assert elsewhere.code == 0


def test_an_interrupted_ladder_goes_on(fake: type[FakeWorkers], monkeypatch: pytest.MonkeyPatch) -> None:
    """What has finished is kept and answered from; the same command ends with the trials of an uninterrupted one."""
    real, calls = fake._trial, []

    def stopped(self: FakeWorkers, *given: Any) -> Any:
        calls.append(given)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return real(self, *given)

    monkeypatch.setattr(fake, "_trial", stopped)
    cut = searched("hydra.sweeper.budget=0.5")
    assert cut.code == 130
    assert not left("ladder.json")["conditions"][0]["finished"]
    assert len(left()["kinds"][0]["length"]["lengths"]) == 1
    monkeypatch.setattr(fake, "_trial", real)
    assert searched("hydra.sweeper.budget=0.5").code == 0
    assert left("ladder.json")["conditions"][0]["finished"]
    assert len(set(fake.trials)) == len(fake.trials)
    assert len(left("ladder.json")["conditions"][0]["trials"]) == len(fake.trials)


def test_aggregating_again_gives_the_same_answer(fake: type[FakeWorkers]) -> None:
    """And another length is answered from the same trials."""
    searched()
    before = left()["kinds"][0]["length"]
    assert main_of(aggregate, "sweep=outputs/sweeps/x").code == 0
    assert left()["kinds"][0]["length"] == before
    longer = main_of(aggregate, "sweep=outputs/sweeps/x", "onecycle.total_steps=40000", "out=other")
    assert longer.code == 0
    (kind,) = json.loads(Path("other/summary.json").read_text())["kinds"]
    assert kind["length"]["steps"] == 40_000
    assert kind["length"]["lr"] < before["lr"]


def test_a_budget_that_affords_nothing(fake: type[FakeWorkers]) -> None:
    """Says so, and how many steps would do; the range tests answer, moved by the exponents of others, wide."""
    done = searched(steps=1000)
    assert done.code == 0
    assert fake.trials == []
    assert "which affords no trials; " in done.out
    assert "Not settled, as the budget affords no trials" in done.out
    (kind,) = left()["kinds"]
    assert kind["length"]["high"] / kind["length"]["low"] > 8
    assert not Path("outputs/sweeps/x/length.png").exists()


def test_a_budget_in_steps_and_in_minutes(fake: type[FakeWorkers]) -> None:
    """Minutes go by how fast the range tests were: 1000 steps a second, by as many workers."""
    assert searched("hydra.sweeper.budget_steps=3000").code == 0
    assert left("ladder.json")["conditions"][0]["budget"] == 3000 - 1000
    timed = searched("hydra.sweeper.budget_minutes=0.25", "device.workers=1", "sweep_name=y")
    assert timed.code == 0
    assert left("ladder.json", "y")["conditions"][0]["budget"] == 15 * 1000 - 1000


def test_range_tests_are_as_long_as_the_budget_has_them(fake: type[FakeWorkers]) -> None:
    """Half of it, for all seeds together; or as long as they are asked for."""
    assert searched("hydra.sweeper.budget_steps=1600").code == 0
    assert left("ladder.json")["conditions"][0]["range_tests"] == 800
    assert searched("hydra.sweeper.budget_steps=4000", "seed=0,1", "sweep_name=y").code == 0
    assert left("ladder.json", "y")["conditions"][0]["range_tests"] == 2 * 1000
    assert searched("finder.num_iter=150", "sweep_name=z").code == 0
    assert left("ladder.json", "z")["conditions"][0]["range_tests"] == 150


def test_a_range_test_without_an_answer(fake: type[FakeWorkers], monkeypatch: pytest.MonkeyPatch) -> None:
    """Is no end: trials begin below its last LR, and find the LR for the length by themselves."""

    monkeypatch.setattr(fake, "curve", staticmethod(flat))
    assert searched("hydra.sweeper.budget=0.5").code == 0
    (kind,) = left()["kinds"]
    assert kind["consensus"]["n"] == 0
    assert kind["length"]["low"] < best_at(STEPS) < kind["length"]["high"]
    assert kind["plan"]["max_lr"] == kind["length"]["lr"]


def test_neither_an_answer_nor_trials(fake: type[FakeWorkers], monkeypatch: pytest.MonkeyPatch) -> None:
    """Is no LR: it is said what would afford trials."""
    monkeypatch.setattr(fake, "curve", staticmethod(flat))
    done = searched(steps=4000)
    assert done.code != 0
    assert "which affords no trials; " in done.out
    (kind,) = left()["kinds"]
    assert (kind["length"], kind["plan"]) == (None, None)


def test_every_kind_of_run_gets_its_own(fake: type[FakeWorkers]) -> None:
    """Here two optimizers."""
    done = searched("optimizer=sgd,adamw")
    assert done.code == 0, done.err
    kinds = left()["kinds"]
    assert [kind["length"]["steps"] for kind in kinds] == [STEPS, STEPS]
    assert Path("outputs/sweeps/x/length-2.png").is_file()


def test_data_without_a_validation_part(fake: type[FakeWorkers]) -> None:
    """Are judged by the training loss of the last tenth, and that is said."""
    fake.judged_by = "training loss"
    assert "judged by training loss" in searched().out


def test_trials_that_are_all_given_up(fake: type[FakeWorkers]) -> None:
    """Are no answer to rely on, and it says where to look."""
    fake.loss = staticmethod(lambda lr, steps: math.inf)
    done = searched()
    assert done.code == 0
    assert "Not settled, as every trial was given up" in done.out


def test_a_loss_that_does_not_depend_on_the_lr(fake: type[FakeWorkers]) -> None:
    """Is said: any LR will do."""
    fake.loss = staticmethod(lambda lr, steps: 0.2 + 3 * steps**-0.4)
    done = searched()
    assert done.code == 0
    assert "Not settled, as the loss hardly depends on the LR" in done.out


def test_failed_trials_are_named(fake: type[FakeWorkers]) -> None:
    """Without them there is no answer, and the same command goes on."""
    fake.fails = True
    done = searched()
    assert done.code == 1
    assert "seed 0 and 2 more failed: out of memory" in done.err
    assert "the same command goes on" in done.err


def test_a_dry_run_trains_nothing(fake: type[FakeWorkers]) -> None:
    """It says which lengths there would be."""
    done = searched("dry_run=true")
    assert done.code == 0
    assert (
        "LR for 20,000 steps within 2,000 (10% of the training): 1,000 steps of range tests, then" in done.out
    )
    assert fake.trials == []
    assert not Path("outputs").exists()


@pytest.mark.parametrize(
    ("override", "text"),
    [
        ("onecycle.total_steps=null", "the LR for which length? Give onecycle.total_steps"),
        ("onecycle.total_steps=1000,2000", "onecycle.total_steps must have one value with for_length"),
        ("hydra.sweeper.budget=0", "hydra.sweeper.budget must be a share of the planned training"),
        ("hydra.sweeper.budget=1.5", "above 0 and at most 1; got 1.5"),
        ("hydra.sweeper.budget_steps=0", "hydra.sweeper.budget_steps must be at least 1"),
        ("hydra.sweeper.budget_minutes=-1", "hydra.sweeper.budget_minutes must be above 0"),
        ("hydra.sweeper.shortest=1", "hydra.sweeper.shortest must be at least 2; got 1"),
        ("hydra.sweeper.val_samples=0", "hydra.sweeper.val_samples must be at least 1"),
        (
            "onecycle.pct_start=0.005",
            "onecycle with hydra.sweeper.shortest=128: total_steps must be at least",
        ),
        ("consensus.mix=true", "consensus.mix=true averages runs that train different things"),
    ],
)
def test_bad_input_is_named(fake: type[FakeWorkers], override: str, text: str) -> None:
    """Before anything is trained, and nothing is left behind."""
    done = searched(override)
    assert done.code == 1
    assert text in done.err
    assert fake.trials == []
    assert not Path("outputs/sweeps/x/0").exists()


def test_a_damaged_ladder_is_a_problem(fake: type[FakeWorkers]) -> None:
    """It is said, and nothing in it is followed."""
    searched()
    path = Path("outputs/sweeps/x/ladder.json")
    path.write_text(path.read_text().replace('"lr": ', '"lr": 1'))
    done = main_of(aggregate, "sweep=outputs/sweeps/x")
    assert done.code == 1
    assert "ladder.json" in done.out
