"""Adding seeds until the LR is known: which seeds are asked for, when it stops, and what is refused."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hydra import initialize_config_dir
from hydra._internal.callbacks import Callbacks
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.utils import JobReturn, JobStatus
from hydra.types import HydraContext, RunMode
from omegaconf import DictConfig, open_dict

from made_jobs import config_of, curve_of, leave_status, make_job
from steadylr.answer.answer import answer_sweep
from steadylr.answer.readings import from_sweep
from steadylr.config.folder import config_folder
from steadylr.config.schema import Consensus, OneCycle
from steadylr.core.curve import Curve
from steadylr.core.decision import Decision, State
from steadylr.jobs.session import SESSION
from steadylr.jobs.until_stable import sweep_until_stable
from steadylr.report.conclude import conclude
from steadylr.store import records
from steadylr.store.files import plain_values
from steadylr.store.job_folder import next_job_number
from steadylr.store.records import read_stopping
from steadylr.words.consensus import decision_text

pytestmark = pytest.mark.usefixtures("undrawn")

COMMON = ("+experiment=until_stable", "model=mlp", "finder.num_iter=60", "device.threads=1")

CurveOf = Callable[[int], Curve | Exception | None]
"""The curve of a run by its seed; an error for a job that fails, None for one that leaves nothing."""


class FakeLauncher:
    """Makes the folders of jobs, and remembers the seeds of each batch."""

    def __init__(self, sweep: Path, curve: CurveOf) -> None:
        self.sweep = sweep
        self.curve = curve
        self.batches: list[list[int]] = []
        self.jobs: list[tuple[str, ...]] = []

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> list[JobReturn]:
        """What Hydra asks of a launcher."""
        assert initial_job_idx == len(self.jobs)
        self.batches.append([_seed(overrides) for overrides in job_overrides])
        for overrides in job_overrides:
            self.jobs.append(tuple(overrides))
            self._do(overrides)
        return [JobReturn(status=JobStatus.COMPLETED) for _ in job_overrides]

    def _do(self, overrides: Sequence[str]) -> None:
        seed = _seed(overrides)
        folder = self.sweep / str(next_job_number(self.sweep))
        own = [text for text in overrides if not text.startswith(("seed=", "sweep_name=", "+experiment"))]
        curve = self.curve(seed)
        if isinstance(curve, Curve):
            make_job(folder, *own, seed=seed, curve=curve)
        elif isinstance(curve, Exception):
            config = plain_values(asdict(config_of(*own, f"seed={seed}")))
            folder.mkdir(parents=True)
            failed = records.JobStatus(
                status="failed", job_key=f"{seed}", overrides=list(overrides), config=config, error=str(curve)
            )
            failed.write(folder)


def _seed(overrides: Sequence[str]) -> int:
    return int(next(text for text in overrides if text.startswith("seed=")).partition("=")[2])


def shifted(log10_factor: float) -> Curve:
    """A curve whose LR is known but for a common factor: here it is 10^log10_factor."""
    curve = curve_of(0, points=200)
    return Curve(curve.lr * 10**log10_factor, curve.loss, num_iter=curve.num_iter, stop=curve.stop)


def close(seed: int) -> Curve:
    """Runs whose LRs differ by up to 5%."""
    return shifted(0.01 * (seed % 3) + 1e-5 * seed)


def wide(seed: int) -> Curve:
    """Runs whose LRs differ by up to a factor of 2.5."""
    return shifted(0.2 * (seed % 3) + 1e-5 * seed)


def flat(seed: int) -> Curve:
    """Runs without an LR."""
    curve = curve_of(seed)
    return Curve(curve.lr, 2.3 + 0.01 * seed + 0 * curve.loss, num_iter=curve.num_iter, stop=curve.stop)


@cache
def multirun() -> tuple[ConfigLoader, DictConfig]:
    """What Hydra composes for a sweep, and what composes its jobs."""
    GlobalHydra.instance().clear()
    with initialize_config_dir(config_folder(), version_base="1.3"):
        hydra = GlobalHydra.instance().hydra
        assert hydra is not None
        config = hydra.compose_config("find_lr", list(COMMON), RunMode.MULTIRUN, with_log_configuration=False)
        return hydra.config_loader, config


def sweep(
    folder: Path, curve: CurveOf, *overrides: str, batch: int | None = 2, max_runs: int = 8, **given: Any
) -> FakeLauncher:
    """Sweep into a folder with a launcher that trains nothing."""
    SESSION.exit_code, SESSION.sweep_folder = None, folder
    launcher = FakeLauncher(folder, curve)
    loader, composed = multirun()
    config = copy.deepcopy(composed)
    with open_dict(config):
        config.hydra.sweep.dir = str(folder)
    sweep_until_stable(
        [*COMMON, "sweep_name=x", *overrides],
        **{"factor": 1.25, "max_runs": max_runs, "batch": batch, **given},
        hydra_context=HydraContext(config_loader=loader, callbacks=Callbacks()),
        launcher=launcher,  # type: ignore[arg-type]
        config=config,
    )
    return launcher


def decisions(folder: Path) -> list[Decision]:
    """What the answer of a sweep says about each condition."""
    answer = answer_sweep(from_sweep(folder), choose="geometric_mean", onecycle=OneCycle())
    return [each.decision for each in answer.conditions if each.decision is not None]


def concluded(folder: Path) -> dict[str, Any]:
    """The only kind in the summary that a sweep's folder gets."""
    conclude(from_sweep(folder), folder, consensus=Consensus(), onecycle=OneCycle())
    (kind,) = json.loads((folder / "summary.json").read_text())["kinds"]
    return dict(kind)


# ---- when it stops


@pytest.mark.parametrize(("batch", "batches"), [(1, [[0, 1, 2]]), (5, [[0, 1, 2, 3, 4]])])
def test_close_runs_are_stable_at_the_first_look(
    tmp_path: Path, batch: int, batches: list[list[int]]
) -> None:
    """Whole batches, as few as give an interval."""
    assert sweep(tmp_path, close, batch=batch).batches == batches


def test_batches_follow_until_the_runs_agree(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What each look says is printed."""
    launcher = sweep(tmp_path, lambda seed: shifted(0.1 * (seed % 2) + 1e-5 * seed), max_runs=20)
    assert launcher.batches == [[0, 1, 2, 3], [4, 5]]
    assert capsys.readouterr().out.startswith("Not stable after 4 runs: the interval ends at 1.35")


def test_it_gives_up_at_max_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Never more runs than allowed, and the answer says how to go on."""
    assert sweep(tmp_path, wide, max_runs=7).batches == [[0, 1, 2, 3], [4, 5], [6]]
    assert concluded(tmp_path)["stopping"]["state"] == "max runs"
    out = capsys.readouterr().out
    assert "Gave up after 7 runs, which is max_runs=7" in out
    assert f"To go on: the same command with sweep_name='{tmp_path.name}' hydra.sweeper.max_runs=" in out


def test_the_answer_says_how_many_runs_were_saved_and_has_the_corrected_interval(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also when the folder is aggregated again, as its rule is kept in it."""
    sweep(tmp_path, close)
    stored = read_stopping(tmp_path)
    assert stored is not None
    assert (stored.factor, stored.max_runs) == (1.25, 8)
    kind = concluded(tmp_path)
    out = capsys.readouterr().out
    assert "(wanted: 1.25); 4 of at most 8 runs saved." in out
    assert "corrected for looking repeatedly" in out
    assert kind["consensus"]["corrected"] is True
    assert kind["stopping"]["saved"] == 4
    corrected = kind["consensus"]["interval"]
    (tmp_path / "stopping.json").unlink()
    kind = concluded(tmp_path)
    ordinary = kind["consensus"]["interval"]
    assert kind["stopping"] is None
    assert corrected[0] < ordinary[0] < ordinary[1] < corrected[1]


def test_a_finished_sweep_asks_for_nothing(tmp_path: Path) -> None:
    """It is stable by what its folder holds; a narrower wish goes on from there."""
    sweep(tmp_path, close)
    assert sweep(tmp_path, close).batches == []
    assert sweep(tmp_path, close, factor=1.0001, max_runs=6).batches == [[4, 5]]


def test_jobs_that_did_not_end_are_asked_for_again(tmp_path: Path) -> None:
    """Seed 1 was killed: it comes first, and no seed counts twice."""
    make_job(tmp_path / "0", *COMMON[1:], seed=0, curve=wide(0))
    leave_status(tmp_path / "1", "interrupted", error="killed")
    make_job(tmp_path / "2", *COMMON[1:], seed=2, curve=wide(2))
    assert sweep(tmp_path, wide, max_runs=6).batches == [[1, 3], [4, 5]]


def test_other_runs_in_the_folder_count(tmp_path: Path) -> None:
    """Those of an ordinary sweep of that name, whatever their seeds."""
    for seed in (6, 7, 8):
        make_job(tmp_path / str(seed), *COMMON[1:], seed=seed, curve=close(seed))
    assert sweep(tmp_path, close).batches == []


def test_the_first_seed_can_be_given(tmp_path: Path) -> None:
    """The others follow it."""
    assert sweep(tmp_path, close, "seed=5").batches == [[5, 6, 7, 8]]


# ---- what gives no answer


def test_runs_without_an_answer_end_it(tmp_path: Path) -> None:
    """Six flat curves: a seventh seed would hardly be better. The same command says so at once."""
    assert sweep(tmp_path, flat, max_runs=20).batches == [[0, 1, 2, 3], [4, 5]]
    assert sweep(tmp_path, flat, max_runs=20).batches == []
    (decision,) = decisions(tmp_path)
    assert decision_text(decision).startswith("Gave up after 6 runs: 6 of them gave no LR")


@pytest.mark.slow
def test_a_few_failed_jobs_do_not_end_it(tmp_path: Path) -> None:
    """They count as runs, are not tried again by this command, and are by the next."""

    def broken(seed: int) -> Curve | Exception:
        return ValueError("out of memory") if seed in (0, 4) else wide(seed)

    assert sweep(tmp_path, broken, max_runs=6).batches == [[0, 1, 2, 3], [4, 5]]
    assert [decision.num_runs for decision in decisions(tmp_path)] == [6]
    assert sweep(tmp_path, wide, max_runs=6).batches == [[0, 4]]


def test_failed_jobs_end_it_when_they_are_the_most(tmp_path: Path) -> None:
    """Rather than to try every seed that is allowed."""
    assert sweep(tmp_path, lambda seed: ValueError("no"), max_runs=20).batches == [[0, 1, 2, 3]]


def test_a_batch_that_leaves_nothing_ends_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A launcher that lost its jobs; or seeds that change nothing, as no used stream follows them."""
    assert sweep(tmp_path / "a", lambda seed: None).batches == [[0, 1, 2, 3]]
    assert sweep(tmp_path / "b", lambda seed: curve_of(1), max_runs=20).batches == [[0, 1, 2, 3], [4, 5]]
    assert "left no new run" in capsys.readouterr().err


# ---- what is swept beside the seed


def test_several_readings_share_a_run(tmp_path: Path) -> None:
    """Two jobs a seed, and runs are counted, not jobs."""
    launcher = sweep(tmp_path, wide, "finder.smooth_f=0.05,0.15", max_runs=5)
    assert launcher.batches == [[0, 0, 1, 1, 2, 2, 3, 3], [4, 4]]
    assert [decision.num_runs for decision in decisions(tmp_path)] == [5]


@pytest.mark.slow
def test_a_reading_that_is_missing_is_added_to_the_runs_there_are(tmp_path: Path) -> None:
    """Their curves are in the store; it is done also where no more runs are wanted."""
    sweep(tmp_path, wide, max_runs=3)
    again = sweep(tmp_path, wide, "finder.smooth_f=0.05,0.15", max_runs=4)
    assert again.batches == [[0, 0, 1, 1, 2, 2], [3, 3]]
    assert sweep(tmp_path, wide, "finder.smooth_f=0.1", max_runs=4).batches == [[0, 1, 2, 3]]


def test_each_condition_gets_the_seeds_that_it_needs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One model is stable after three runs, the other never; batches are shared between those that go on."""
    calls: list[int] = []

    def by_turns(seed: int) -> Curve:
        calls.append(seed)
        first_model = len(calls) <= 3
        return close(seed) if first_model else wide(seed)

    launcher = sweep(tmp_path, by_turns, "model.hidden=[8],[16]", max_runs=6)
    assert launcher.batches == [[0, 1, 2, 0, 1, 2], [3, 4], [5]]
    assert all("model.hidden=[16]" in job for job in launcher.jobs[6:])
    assert "model.hidden=[16]: Not stable after 3 runs" in capsys.readouterr().out
    assert [decision.state for decision in decisions(tmp_path)] == [State.STABLE, State.MAX_RUNS]


# ---- what is refused


@pytest.mark.parametrize(
    ("overrides", "given", "message"),
    [
        (("seed=1,2",), {}, "seed can't be swept with until_stable"),
        (("seeds.order=1,2",), {}, "seeds.order can't be swept with until_stable"),
        (
            tuple(f"seeds.{name}=1" for name in ("init", "order", "augment", "noise")),
            {},
            "every run would be the same",
        ),
        (("model.hidden=[8],[16]", "consensus.mix=true"), {}, "leave consensus.mix out"),
        (("finder.smooth_f=2",), {}, "finder.smooth_f must be"),
        (("finder.smooth_f=interval(0, 1)",), {}, "give the values one by one"),
        ((), {"factor": 1.0}, "hydra.sweeper.factor must be finite and above 1"),
        ((), {"max_runs": 2}, "hydra.sweeper.max_runs must be at least 3"),
        ((), {"batch": 0}, "hydra.sweeper.batch must be at least 1"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_bad_input_is_refused_before_anything_is_written(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    overrides: tuple[str, ...],
    given: dict[str, Any],
    message: str,
) -> None:
    """With exit code 1, and what to do."""
    launcher = sweep(tmp_path / "x", close, *overrides, **given)
    assert message in capsys.readouterr().err
    assert SESSION.exit_code == 1
    assert launcher.batches == []
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_says_what_would_be_done(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And writes nothing."""
    assert sweep(tmp_path / "x", close, "dry_run=true", "finder.smooth_f=0.05,0.15").batches == []
    assert capsys.readouterr().out == (
        "1 kind of run, 3 to 8 seeds each, 2 jobs each, 2 at a time, until the interval's upper end is within a "
        "factor of 1.25 of the geometric mean\n"
    )
    assert list(tmp_path.iterdir()) == []
