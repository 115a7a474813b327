"""The proof of length: trainings in step, budgets, what is kept of an interrupted run, and waste."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))


from lengths_parts import certainty, choices, lockstep, methods, tasks, truth
from lengths_parts.report import report
from quality_parts.compute import train_one_cycle
from steadylr.core.curve import Curve, Stop

TASK = tasks.task_of("teacher-mlp-sgd")


# ---- trainings in step


@pytest.mark.parametrize(
    ("model", "optimizer", "settings", "lr"),
    [
        ("mlp32", "adamw", {"weight_decay": 0.05}, 3e-3),
        ("strided_cnn_bn", "sgd", {"momentum": 0.9, "nesterov": True}, 0.05),
        ("strided_cnn", "rmsprop", {}, 3e-3),
        ("mlp32", "sgd", {"momentum": 0.9}, 0.05),
    ],
)
def test_a_training_in_step_is_the_training_alone(
    model: str, optimizer: str, settings: dict[str, Any], lr: float
) -> None:
    """It ends with the loss of torch's own optimizer in a plain loop, but for rounding."""
    task = tasks.Task("own", "tuning", "digits", model, optimizer, settings, 16, 20)
    steps = lockstep.Lockstep(task)
    done = [
        steps.submit(lockstep.one_cycle(task, own, 20, seed)) for own, seed in ((lr, 3), (lr / 4, 3), (lr, 4))
    ]
    steps.run()
    alone = [train_one_cycle(task, seed, own, steps=20) for own, seed in ((lr, 3), (lr / 4, 3), (lr, 4))]
    assert [future.result() for future in done] == pytest.approx(alone, rel=2e-4)
    assert len(set(alone)) == 3


def test_company_changes_nothing() -> None:
    """Bit for bit the same loss alone, beside others, and when others come and go."""
    alone = lockstep.Lockstep(TASK)
    one = alone.submit(lockstep.one_cycle(TASK, 0.05, 30, 1))
    alone.run()
    crowd = lockstep.Lockstep(TASK)
    for seed in range(4):
        crowd.submit(lockstep.one_cycle(TASK, 0.1, 10 + 2 * seed, seed))
    same = crowd.submit(lockstep.one_cycle(TASK, 0.05, 30, 1))
    diverged = crowd.submit(lockstep.one_cycle(TASK, 1e6, 30, 1))
    crowd.run()
    assert same.result() == one.result()
    assert diverged.result() == math.inf


def test_a_ramp_in_step_is_a_range_test() -> None:
    """The curve is that of the package's own range test, where it stops too."""
    from quality_parts.tasks import Batches, build, loss_fn
    from steadylr.core.ramp import Ramp
    from steadylr.run.options import Options
    from steadylr.run.range_test import range_test

    steps = lockstep.Lockstep(TASK)
    trainer = methods.Trainer(steps, TASK, planned=8000, budget=60, repeat=1)
    curve = _in_thread(steps, lambda: trainer.ramp(60, seed=2))
    model, optimizer = build(TASK, 10_002, lr=1e-7)
    options = Options(loss_fn=loss_fn, restore=False)
    own = range_test(model, optimizer, Batches(TASK, 10_002), Ramp(1e-7, 10.0, 60), options).curve
    assert (curve.num_iter, curve.stop) == (own.num_iter, own.stop)
    np.testing.assert_array_equal(curve.lr, own.lr)
    np.testing.assert_allclose(curve.loss, own.loss, rtol=1e-3)


def _in_thread(steps: lockstep.Lockstep, work: Any) -> Any:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as threads:
        future = threads.submit(work)
        steps.run(lambda: not future.done())
        return future.result()


# ---- budgets


@pytest.mark.parametrize("method", list(methods.METHODS))
@pytest.mark.parametrize("budget", [160, 800])
def test_no_method_spends_more_than_its_budget(
    method: str, budget: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever it is told of losses; and with enough of them it answers within the range of the ramp."""

    class Told(methods.Trainer):
        def _loss(self, lr: float, steps: int) -> float:
            return 1 + (math.log10(lr) + 2) ** 2 / 10 + steps**-0.5

        def together(self, lrs: Any, steps: int, seed: int = 0) -> list[float]:
            self._pay(len(lrs) * steps)
            return [self._loss(lr, steps) for lr in lrs]

        def pruned(self, lr: float, steps: int, seed: int, after: Any, judge: Any) -> float:
            taken = next((step for step in after if judge(step, self._loss(lr, step))), steps)
            self._pay(taken)
            return self._loss(lr, taken)

        def ramp(self, num_iter: int, seed: int = 0) -> Any:
            self._pay(num_iter)
            return _bowl(num_iter)

    trainer = Told(None, TASK, planned=8000, budget=budget, repeat=1)  # type: ignore[arg-type]
    lr = methods.METHODS[method](trainer)
    assert trainer.spent <= budget
    if budget == 800:
        assert lr is not None
        assert 1e-7 <= lr <= 10
        assert trainer.spent > 0.7 * budget


def _bowl(num_iter: int) -> Any:
    from steadylr.core.curve import Curve

    lr = np.logspace(-7, 1, num_iter)
    x = np.log10(lr)
    return Curve(lr, 2 - 1.5 / (1 + np.exp(-4 * (x + 3))) + 4 / (1 + np.exp(-8 * (x - 0.2))), num_iter)


def test_more_than_the_budget_is_refused() -> None:
    """Before it is trained, with both numbers."""
    trainer = methods.Trainer(lockstep.Lockstep(TASK), TASK, planned=8000, budget=100, repeat=1)
    with pytest.raises(methods.BudgetExceeded, match="101 steps asked for, 100 of 100 left"):
        trainer.train(0.1, 101)


def test_a_pruned_training_is_paid_for_as_far_as_it_went() -> None:
    """Its judge sees the validation loss at the steps that it asked for."""
    steps = lockstep.Lockstep(TASK)
    trainer = methods.Trainer(steps, TASK, planned=8000, budget=100, repeat=1)
    seen: list[int] = []

    def judge(step: int, loss: float) -> bool:
        seen.append(step)
        assert 0 < loss < 10
        return step == 20

    _in_thread(steps, lambda: trainer.pruned(0.05, 90, 0, (10, 20, 30), judge))
    assert (seen, trainer.spent) == ([10, 20], 20)


# ---- what is kept


def test_truths_go_on_where_they_were(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A torn last row and what is missing are done again, nothing else."""
    monkeypatch.setattr(truth, "LENGTHS", (8, 16))
    monkeypatch.setattr(truth, "OCTAVES", {"sgd": (-6, -1)})
    path = tmp_path / "truth.csv"
    assert truth.compute(truth.Truths(path), [TASK.name]) >= 3 * (6 + 6 + 3)
    whole = path.read_text()
    assert truth.compute(truth.Truths(path), [TASK.name]) == 0
    path.write_text(whole[:-3])
    assert truth.compute(truth.Truths(path), [TASK.name]) == 1
    assert path.read_text() == whole


def test_choices_go_on_where_they_were(tmp_path: Path) -> None:
    """A second call makes those that are missing, and the same ones as a call that makes them all."""
    names, path = ["grid of 9", "range test"], tmp_path / "choices.csv"
    asked = {"budgets": (2,), "repeats": (1, 2)}
    assert choices.choose(choices.Choices(path), TASK.name, methods=names[:1], **asked) == 2  # type: ignore[arg-type]
    assert choices.choose(choices.Choices(path), TASK.name, methods=names, **asked) == 2  # type: ignore[arg-type]
    whole = choices.Choices(tmp_path / "whole.csv")
    choices.choose(whole, TASK.name, methods=names, **asked)  # type: ignore[arg-type]
    assert set(whole) == set(choices.Choices(path))
    assert all(choice.spent <= 160 for choice in whole)


# ---- waste

LENGTHS = (125, 500, 2000, 8000)


def known_truth(*, exponent: float = 0.5, steep: float = 0.05) -> truth.Truth:
    """loss = 1 + 10 T^-exponent + steep (octaves from 2^-5)^2, without noise."""
    octaves = np.arange(-14.0, 1.0)
    valleys = [
        truth.Valley.of(octaves, np.tile(1 + 10 * steps**-exponent + steep * (octaves + 5) ** 2, (3, 1)))
        for steps in LENGTHS
    ]
    return truth.Truth(LENGTHS, tuple(valleys))


def test_waste_is_what_the_best_lr_could_save() -> None:
    """Known from the formula: the loss at an octave away is reached by the best LR after T' steps."""
    known = known_truth()
    assert known.wasted(2.0**-5) == pytest.approx(0, abs=1e-3)
    for octave in (-4.5, -5.5, -4.0, -6.0):
        loss = 1 + 10 * 8000**-0.5 + 0.05 * (octave + 5) ** 2
        shorter = (10 / (loss - 1)) ** 2
        assert known.wasted(2.0**octave) == pytest.approx(1 - shorter / 8000, abs=1e-3)
    assert known.wasted(1e-7) == known.wasted(None) == 1
    assert known.still_falls


def test_the_bottom_lies_between_the_lrs() -> None:
    """A parabola through the lowest five finds it; a diverged LR beside it does no harm."""
    octaves = np.arange(-8.0, 0.0)
    losses = 0.3 + 0.01 * (octaves + 4.3) ** 2
    losses[-1] = math.inf
    valley = truth.Valley.of(octaves, np.tile(losses, (3, 1)))
    assert valley.best_octave == pytest.approx(-4.3)
    assert valley.bottom == pytest.approx(0.3)
    assert valley.at(-1.0) == math.inf
    assert not valley.is_open


def test_where_the_loss_hardly_falls_waste_is_no_measure() -> None:
    """The last factor of four lowers it by less than a twentieth of the fall."""
    assert not known_truth(exponent=3).still_falls


def test_the_report_judges_choices(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Half of the best LR wastes what the formula says, no answer wastes all; without truths it says so."""
    assert report(truth.Truths(tmp_path / "none.csv"), choices.Choices(tmp_path / "none2.csv"), tmp_path) == 1
    truths, made = truth.Truths(tmp_path / "truth.csv"), choices.Choices(tmp_path / "choices.csv")
    for steps, valley in zip(LENGTHS, known_truth().valleys, strict=True):
        for octave, loss in zip(valley.octaves, valley.losses, strict=True):
            for seed in truth.SEEDS:
                truths.add((TASK.name, steps, seed, float(octave)), float(loss))
    for repeat, lr in enumerate((2.0**-6, 2.0**-6, 2.0**-6, None)):
        made.add(choices.Choice(TASK.name, methods.OURS, 10, repeat, lr, 800))
    capsys.readouterr()
    assert report(truths, made, tmp_path) == 0
    text = capsys.readouterr().out
    half = known_truth().wasted(2.0**-6)
    assert f"| **{methods.OURS}** | - | - | {half:.0%}, {half + 0.7 * (1 - half):.0%} |" in text
    assert "3.1e-02, 3.1e-02, 3.1e-02, 3.1e-02" in text
    assert (tmp_path / "lengths.png").stat().st_size > 1000


# ---- how sure a single range test is


def test_what_an_interval_holds() -> None:
    """Runs that agree hold their mean; among runs an octave apart by turns none does; three answers are too few."""
    agreeing = [certainty.reading_of(_climbing(0.0, seed)) for seed in range(6)]
    split = [certainty.reading_of(_climbing(1.5 * (seed % 2), seed)) for seed in range(6)]
    assert certainty.share_held([read for read in agreeing if read is not None]) == 1.0
    assert certainty.share_held([read for read in split if read is not None]) == 0.0
    assert certainty.share_held([read for read in agreeing if read is not None][:3]) is None
    assert certainty.reading_of(Curve(np.geomspace(1e-7, 10, 50), np.full(50, 2.3), 50)) is None


def test_how_sure_curves_are_goes_on_where_it_was_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each range test is trained once; those without an answer are remembered, and do not count."""
    monkeypatch.setattr(certainty, "ITERATIONS", (60,))
    monkeypatch.setattr(certainty, "SEEDS", (1, 2, 3, 4))
    file = tmp_path / "certainty.csv"
    assert certainty.Readings(file).compute(TASK.name) == 4
    lines = file.read_text().splitlines(keepends=True)
    assert len(lines) == 4
    whole = certainty.Readings(file).of(TASK.name, 60)
    file.write_text("".join(lines[:-1]) + lines[-1][:5])  # torn
    again = certainty.Readings(file)
    assert again.compute(TASK.name) == 1
    assert certainty.Readings(file).of(TASK.name, 60) == whole
    assert again.compute(TASK.name) == 0
    assert len(whole) == sum(line.rstrip("\n").split(",")[-1] != "" for line in lines)
    held = certainty.share_held(whole)
    rows = list(certainty.certainty_lines(again, [TASK.name]))[2:]
    assert rows == (
        [] if held is None else [f"| 60 | 1 | {held:.0%} | {held:.0%} ({TASK.name}) | {held < 0.95:d} |"]
    )


def _climbing(decades: float, seed: int) -> Curve:
    """A descent and a climb, moved along the LR by some decades."""
    x = np.linspace(-7, 1, 300)
    at = x - decades + 3
    loss = 2.3 - 1.5 / (1 + np.exp(-4 * at)) + 3 / (1 + np.exp(-8 * (at - 1.2)))
    noise = 0.01 * np.random.default_rng(seed).normal(size=x.size)
    return Curve(10.0**x, loss + noise, 300, Stop.COMPLETED)
