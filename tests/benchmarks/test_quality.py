"""The quality benchmark: its arithmetic on known answers, its cache, and tiny units end to end."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from quality_parts import candidates
from quality_parts import compute as units
from quality_parts.compute import GRID, Unit
from quality_parts.evaluate import CAP, Answers, Regret, answers_of, combine, mean_curve_answers, score
from steadylr.core.consensus import consensus
from steadylr.core.curve import Curve
from steadylr.core.mean_curve import read_mean_curve
from steadylr.core.rules import suggest
from steadylr.core.settings import Reading


def valley(best: int, *, width: float = 4.0, num_seeds: int = 3) -> np.ndarray:
    """Losses of a truth: parabolas in grid steps around the best LR, equal for all seeds."""
    steps = (np.arange(len(GRID)) - best) / width
    return np.tile(1.0 + steps**2, (num_seeds, 1))


def test_regret_at_the_best_and_at_the_first() -> None:
    """Regret is 0 at the best LR of the grid and 1 at its first."""
    regret = Regret.of(valley(10))
    assert regret.at(np.array([GRID[10], GRID[0]])).tolist() == pytest.approx([0.0, 1.0])
    assert regret.best_lr == GRID[10]


def test_regret_is_linear_in_the_log_of_lr() -> None:
    """Half way between two LRs of the grid, in the log, lies half way between their regrets."""
    regret = Regret.of(valley(10))
    between = np.sqrt(GRID[12] * GRID[13])
    expected = (regret.values[12] + regret.values[13]) / 2
    assert float(regret.at(np.array([between]))[0]) == pytest.approx(expected)


def test_regret_of_shifted_and_scaled_losses() -> None:
    """Adding a constant to all losses, or scaling them, changes no regret."""
    losses = valley(8) + np.random.default_rng(0).normal(0, 0.01, (3, len(GRID)))
    before = Regret.of(losses).values
    np.testing.assert_allclose(Regret.of(3 * losses - 100).values, before, atol=1e-9)


def test_regret_of_diverged_trainings() -> None:
    """A training that diverged costs the cap, and leaves the other LRs alone."""
    losses = valley(8)
    whole = Regret.of(losses).values.copy()
    losses[:, -1] = np.inf
    cut = Regret.of(losses)
    assert cut.values[-1] == pytest.approx(CAP)
    np.testing.assert_allclose(cut.values[:-1], np.minimum(whole[:-1], CAP))


def test_regret_of_one_diverged_seed() -> None:
    """One diverged seed of three costs a third of the cap at its LR; the best LR is then another one."""
    losses = valley(8)
    losses[0, 8] = np.inf
    regret = Regret.of(losses)
    assert regret.best_lr == GRID[7]
    best, first = losses[1, 7], losses[1, 0]
    there = (2 * losses[1, 8] + best + CAP * (first - best)) / 3
    assert regret.values[8] == pytest.approx((there - best) / (first - best))


def test_no_answer_costs_as_much_as_no_training() -> None:
    """NaN, no answer, has regret 1."""
    assert Regret.of(valley(10)).at(np.array([np.nan])).tolist() == [1.0]


def test_a_truth_without_a_descent_is_refused() -> None:
    """Where the smallest LR is best there is no regret to speak of."""
    with pytest.raises(ValueError, match="no LR of the grid is better"):
        Regret.of(np.tile(np.arange(len(GRID), dtype=float), (3, 1)))


def test_good_range_is_the_connected_one() -> None:
    """The range of good LRs ends where the regret first leaves the limit."""
    regret = Regret(np.log10(GRID), np.array([0.0 if k in (5, 9, 10, 11) else 0.5 for k in range(21)]))
    assert regret.good_range(0.01) == (GRID[5], GRID[5])


def test_combine_takes_geometric_means_of_all_subsets() -> None:
    """Three answers make three pairs; an answer that is missing is left out of its pairs."""
    rng = np.random.default_rng(0)
    pairs = combine(np.array([1.0, 100.0, np.nan]), 2, rng)
    assert sorted(pairs.tolist()) == pytest.approx([1.0, 10.0, 100.0])
    assert np.isnan(combine(np.array([np.nan] * 3), 3, rng)).all()


def test_score_counts_hits_and_close_answers() -> None:
    """Of one answer at the best LR, one with regret 4% and one with none: 2 hits, 1 close, worst 1."""
    truth = Regret(np.log10(GRID), np.array([1.0] + [0.04] * 10 + [0.0] * 10))
    answers = Answers("mine", 100, {"task": np.array([GRID[15], GRID[5], np.nan])})
    row = score(answers, {"task": truth}, rng=np.random.default_rng(0), resamples=50)
    assert (row.hits, row.close, row.worst) == pytest.approx((2 / 3, 1 / 3, 1.0))
    assert row.spread == pytest.approx(2.0**10)
    assert row.missing == pytest.approx(1 / 3)
    assert row.interval["hits"][0] <= row.hits <= row.interval["hits"][1]


def test_score_weighs_tasks_not_runs() -> None:
    """A task with many runs counts as much as one with few."""
    truth = Regret(np.log10(GRID), np.array([1.0] * 10 + [0.0] * 11))
    answers = Answers("mine", 100, {"few": np.full(2, GRID[15]), "many": np.full(30, GRID[2])})
    row = score(answers, {"few": truth, "many": truth}, rng=np.random.default_rng(0), resamples=20)
    assert row.hits == 0.5


def test_score_is_the_same_for_the_same_generator() -> None:
    """Intervals and subsets come from the generator that is given, and from nothing else."""
    truth = {"task": Regret.of(valley(10))}
    answers = Answers("mine", 300, {"task": 10.0 ** np.random.default_rng(1).uniform(-4, 0, 12)})
    first, second = (
        score(answers, truth, together=3, rng=np.random.default_rng(5), resamples=20) for _ in range(2)
    )
    assert first == second


def test_the_split_is_twenty_two_and_six() -> None:
    """Twenty-two tasks for tuning, six set aside, all names different."""
    from quality_parts.tasks import QUICK, all_tasks

    groups = [task.group for task in all_tasks()]
    assert (groups.count("tuning"), groups.count("aside")) == (22, 6)
    names = {task.name for task in all_tasks()}
    assert len(names) == 28
    assert set(QUICK) <= names


@pytest.mark.slow
def test_every_task_builds_and_takes_a_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each task's model takes its batches, and equal seeds give equal weights and batches."""
    import torch

    from quality_parts.tasks import CIFAR10, Batches, all_tasks, build, load, loss_fn

    rng = np.random.default_rng(0)
    photos = {
        f"{split}_{name}": values
        for split in ("train", "val")
        for name, values in (
            ("images", rng.integers(0, 256, (200, 32, 32, 3), dtype=np.uint8)),
            ("labels", np.arange(200) % 10),
        )
    }
    np.savez(tmp_path / "cifar10.npz", **photos)
    monkeypatch.setenv(CIFAR10, str(tmp_path))
    load.cache_clear()

    for task in all_tasks():
        x, y = next(iter(Batches(task, 1)))
        again, _ = next(iter(Batches(task, 1)))
        assert torch.equal(x, again), task.name
        losses = [loss_fn(build(task, seed, lr=0.1)[0](x), y).item() for seed in (1, 1, 2)]
        assert losses[0] == losses[1] != losses[2], task.name
    load.cache_clear()


def test_tasks_without_their_data_are_left_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """CIFAR-10 comes with no package: without its folder the four tasks that need it are named and left out."""
    import quality
    from quality_parts.tasks import CIFAR10

    monkeypatch.delenv(CIFAR10, raising=False)
    left = quality.chosen_tasks(None, quick=False)
    assert len(left) == 24
    assert "left out, as they need --cifar10 FOLDER: cifar-resnet-aug-nesterov" in capsys.readouterr().out


def test_units_are_computed_once(tmp_path: Path) -> None:
    """A unit that lies in the cache is not computed again, and reads as it was written."""
    unit = Unit("diabetes-mlp-adamw", "range", 1, 20)
    assert units.compute(tmp_path, unit) > 0
    assert units.compute(tmp_path, unit) == 0
    curve = units.read_curve(tmp_path, unit)
    assert curve is not None
    assert (curve.num_iter, curve.lr[0]) == (20, 1e-7)
    assert 10 <= len(curve) <= 20


def test_range_tests_of_a_seed_repeat(tmp_path: Path) -> None:
    """The same unit, computed twice, gives the same curve bit for bit."""
    unit = Unit("cancer-table-nesterov-16", "range", 3, 30)
    digests = set()
    for folder in (tmp_path / "a", tmp_path / "b"):
        units.compute(folder, unit)
        curve = units.read_curve(folder, unit)
        assert curve is not None
        digests.add(curve.digest())
    assert len(digests) == 1


def test_the_key_of_a_unit_depends_on_what_shapes_it(tmp_path: Path) -> None:
    """Another seed, length or kind is another file; the steps of the trainings don't touch range tests."""
    base = Unit("digits-mlp-sgd", "range", 1, 100)
    others = [
        Unit("digits-mlp-sgd", "range", 2, 100),
        Unit("digits-mlp-sgd", "range", 1, 300),
        Unit("digits-mlp-sgd", "truth", 1, 100),
        Unit("fashion-mlp-adamw", "range", 1, 100),
    ]
    assert len({units.path_of(tmp_path, unit) for unit in [base, *others]}) == 5


def test_one_cycle_learns_and_diverges() -> None:
    """A truth training at a fair LR beats one at a tiny LR; at an absurd one the loss is infinite or poor."""
    from quality_parts.tasks import all_tasks

    task = next(t for t in all_tasks() if t.name == "cancer-table-nesterov-16")
    tiny, fair, absurd = (units.train_one_cycle(task, 1, lr, steps=60) for lr in (1e-5, 1e-2, 1e3))
    assert fair < tiny < absurd


def test_rules_without_an_answer_give_nan() -> None:
    """A rule that answers None counts as no answer."""
    curve = Curve(np.array([1e-3, 1e-2]), np.array([1.0, 0.5]), 2)
    answers = answers_of("none", lambda _: None, {"task": [curve]}, 2)
    assert np.isnan(answers.lrs["task"]).all()


def test_unknown_tasks_are_refused() -> None:
    """A task that does not exist is named, with those that do."""
    import quality

    with pytest.raises(ValueError, match="unknown task 'mnist'; allowed: fashion-cnn-sgdm"):
        quality.chosen_tasks(["mnist"], quick=False)


def test_quick_is_small() -> None:
    """The units of --quick take less than two fifths of the steps of all."""
    import quality

    quick = quality.all_units(quality.chosen_tasks(None, quick=True), quick=True, peers=[])
    full = quality.all_units(quality.chosen_tasks(None, quick=False), quick=False, peers=[])
    assert sum(unit.steps for unit in quick) < 0.4 * sum(unit.steps for unit in full)
    assert {unit.kind for unit in quick} == {"truth", "range"}


def bowl(num_iter: int, *, noise: float = 0.0, seed: int = 0) -> Curve:
    """A loss that falls around 1e-3, is lowest from 1e-2 on and climbs at 1."""
    lr = np.logspace(-7, 1, num_iter)
    x = np.log10(lr)
    loss = 2 - 1.5 / (1 + np.exp(-4 * (x + 3))) + 4 / (1 + np.exp(-8 * (x - 0.2)))
    return Curve(lr, loss + noise * np.random.default_rng(seed).normal(size=num_iter), num_iter)


def test_the_rule_with_its_own_constants_is_the_rule() -> None:
    """The candidates vary the constants of the very rule that the package has."""
    for curve in (bowl(100, noise=0.05), bowl(300, noise=0.1, seed=1), bowl(1000)):
        assert candidates.Constants()(curve) == pytest.approx(suggest(curve).lr)


def test_candidates_have_no_answer_on_a_flat_curve() -> None:
    """Where there is no descent no candidate answers."""
    noise = np.random.default_rng(0).normal(size=200)
    curve = Curve(np.logspace(-7, 1, 200), 1 + 0.01 * noise, 200)
    assert [rule(curve) for rule in candidates.CANDIDATES.values()] == [None] * len(candidates.CANDIDATES)


def test_all_candidates_differ() -> None:
    """On a noisy curve no two of them say the same."""
    answers = [rule(bowl(300, noise=0.1)) for rule in candidates.CANDIDATES.values()]
    assert len(set(answers)) == len(answers)


def test_a_sweep_answers_by_the_mean_curve_where_too_few_runs_answer() -> None:
    """By the consensus else; the mean curve's own row has its LR in any case."""
    clear = [bowl(300, noise=0.02, seed=seed) for seed in range(3)]
    lost = [bowl(300, noise=2.0, seed=seed) for seed in range(3)]
    rng = np.random.default_rng(0)
    by_mean, by_sweep = mean_curve_answers("bracket", {"a": clear, "b": lost}, 300, together=3, rng=rng)
    assert [suggest(curve).lr for curve in lost] == [None] * 3
    mean = read_mean_curve(lost, "bracket", [Reading()])
    assert mean is not None
    assert by_mean.lrs["b"].tolist() == by_sweep.lrs["b"].tolist() == [mean.lr]
    assert by_sweep.lrs["a"].tolist() == [consensus([suggest(curve) for curve in clear]).lr]
    assert by_mean.lrs["a"].tolist() != by_sweep.lrs["a"].tolist()
    assert (by_mean.rule, by_sweep.rule) == ("bracket, mean curve", "bracket, as a sweep")


@pytest.mark.slow
def test_report_and_studies_of_a_tiny_cache(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """From invented numbers in the cache come the tables and the pictures."""
    from quality_parts import studies
    from quality_parts.report import report
    from quality_parts.tasks import all_tasks

    task = next(t for t in all_tasks() if t.name == "diabetes-mlp-adamw")
    for seed in (*units.TRUTH_SEEDS, *units.ORACLE_SEEDS):
        path = units.path_of(tmp_path, Unit(task.name, "truth", seed, task.steps))
        units.save(path, {"lr": np.array(GRID), "loss": valley(12)[0]})
    for seed in range(1, 6):
        curve = bowl(100, noise=0.02, seed=seed)
        path = units.path_of(tmp_path, Unit(task.name, "range", seed, 100))
        arrays = {"lr": curve.lr, "loss": curve.loss, "num_iter": 100, "stop": curve.stop.value}
        units.save(path, {key: np.array(value) for key, value in arrays.items()})
    assert report(tmp_path, [task], out=tmp_path, seeds=5, seeds_aside=5, iterations=[100]) == 0
    text = capsys.readouterr().out
    assert "| bracket | 100 | 1, 5 |" in text
    assert "| oracle, 1 seed | - | 1, 3 | 0% | 100% [100%, 100%] | 100%" in text
    assert "| oracle, 3 seeds | - | 1, 1 | 0% | 100% [100%, 100%] | 100%" in text
    assert (tmp_path / "quality.md").read_text() == text
    steps = {task.name: task.steps}
    rows = studies.settings_study(tmp_path, steps, range(1, 6), [100])
    same = next(row for row in rows if (row["setting"], row["value"]) == ("smooth_f", 0.05))
    assert same["shift"] == 1
    studies.draw_settings(rows, tmp_path / "settings.png")
    deviations = studies.uncertainty_study(tmp_path, steps, range(1, 6), [100])
    assert len(deviations) == 5
    studies.draw_uncertainty(deviations, tmp_path / "reliability.png", bins=2)
    assert (tmp_path / "reliability.png").stat().st_size > 1000


def test_report_without_numbers_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With an empty cache there is no table, and the exit code is 1."""
    from quality_parts.report import report
    from quality_parts.tasks import all_tasks

    result = report(tmp_path, all_tasks()[4:5], out=tmp_path, seeds=1, seeds_aside=1, iterations=[100])
    assert result == 1
    assert "no task has its truth yet" in capsys.readouterr().out
