"""Attribution of sweeps: what their records say of the streams, and what the answer shows of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from command_line import TINY, find_lr, main_of
from made_jobs import curve_of, make_job
from steadylr.answer.answer import ConditionAnswer, answer_sweep
from steadylr.answer.attribution import rule_shifts
from steadylr.answer.readings import Gathered, from_sweep, from_values
from steadylr.config.schema import Consensus, OneCycle
from steadylr.core.attribution import Attribution
from steadylr.core.not_split import NotSplit, Unsplit
from steadylr.report.conclude import conclude
from steadylr.store.records import RunRecord

CROSSED = [(init, order) for init in range(3) for order in range(3)]

pytestmark = pytest.mark.usefixtures("undrawn")


def only_condition(gathered: Gathered, *, mix: bool = False) -> ConditionAnswer:
    return answer_sweep(gathered, choose="geometric_mean", onecycle=OneCycle(), mix=mix).conditions[0]


def make_crossing(
    folder: Path,
    *overrides: str,
    cells: Sequence[tuple[int, int]] = CROSSED,
    middle: Callable[[int, int], float] = lambda init, order: -3 + 0.3 * order + 0.05 * ((init * order) % 2),
) -> Path:
    """A sweep over init and order seeds whose descent lies where `middle` says; augment is not used."""
    first = len(list(folder.iterdir())) if folder.is_dir() else 0
    for number, (init, order) in enumerate(cells, start=first):
        seeds = {"init": init, "order": order, "augment": init, "noise": 0}
        curve = curve_of(3 * init + order, middle=middle(init, order))
        make_job(folder / str(number), *overrides, seeds=seeds, curve=curve)
    return folder


@pytest.fixture(scope="module")
def read_twice(tmp_path_factory: pytest.TempPathFactory) -> Gathered:
    """The members of a crossing that is read with two values of smooth_f."""
    folder = tmp_path_factory.mktemp("read_twice")
    for smooth_f in ("0.05", "0.15"):
        make_crossing(folder, f"finder.smooth_f={smooth_f}")
    return from_sweep(folder)


def test_a_sweep_whose_streams_vary_independently_is_split(read_twice: Gathered) -> None:
    """Order moves the descent, so it has the largest share; augment is unused, noise had one seed."""
    found = only_condition(read_twice).attribution
    assert isinstance(found, Attribution)
    assert found.largest == "order"
    assert [source.name for source in found.sources] == ["init", "order", "augment", "interactions and rest"]
    assert (found.source("augment").share, found.source("augment").used) == (0.0, False)
    assert found.fixed == ("noise",)
    assert found.n == 9


def test_runs_are_named_by_the_streams_that_something_draws_from(read_twice: Gathered) -> None:
    """The seeds of augment differ too, and change nothing."""
    names = list(only_condition(read_twice).runs.values())
    assert names[:4] == ["init 0, order 0", "init 0, order 1", "init 0, order 2", "init 1, order 0"]


def test_analysis_settings_are_no_source_but_shift_the_lr(read_twice: Gathered) -> None:
    """Nine runs read twice are nine runs, and each is its own comparison."""
    (shift,) = only_condition(read_twice).consensus.shifts
    assert (shift.n, dict(shift.after)) == (9, {"smooth_f": 0.15})


def test_rules_are_compared_on_the_same_curves(read_twice: Gathered) -> None:
    """From the headline's rule to each other, over the runs that have both, read with the first setting."""
    shift = next(
        shift for shift in only_condition(read_twice).rule_shifts if shift.after == {"rule": "steepest"}
    )
    read = [m.suggestions for m in read_twice.readings if m.setting["smooth_f"] == 0.05]
    pairs = [(found["bracket"].lr, found["steepest"].lr) for found in read]
    ratios = [np.log10(after / before) for before, after in pairs if before and after]
    assert shift.before == {"rule": "bracket"}
    assert shift.n == len(ratios) == 9
    assert shift.factor == pytest.approx(10 ** np.mean(ratios))


def test_a_swept_rule_is_compared_by_the_consensus(tmp_path: Path) -> None:
    """Then there is nothing to add."""
    for rule in ("bracket", "steepest"):
        make_crossing(tmp_path, f"finder.rule={rule}", cells=[(0, 0), (0, 1)])
    condition = only_condition(from_sweep(tmp_path))
    assert rule_shifts(condition.readings, condition.consensus) == ()
    assert [dict(shift.after) for shift in condition.consensus.shifts] == [{"rule": "steepest"}]


@pytest.mark.parametrize("source", ["seed", "values"])
def test_where_nobody_set_streams_apart_nothing_is_said(tmp_path: Path, source: str) -> None:
    """Sweeps over `seed`, and numbers without a record."""
    for seed in range(3):
        make_job(tmp_path / str(seed), seed=seed)
    found = from_sweep(tmp_path) if source == "seed" else from_values([0.1, 0.2])
    assert only_condition(found).attribution is None


def test_a_design_that_cannot_be_split_says_what_is_missing(tmp_path: Path) -> None:
    """In one line of the answer, and in summary.json; no figure."""
    make_crossing(tmp_path, cells=[(0, 0), (1, 0), (2, 0), (0, 1), (0, 2)])
    conclude(from_sweep(tmp_path), tmp_path, consensus=Consensus(), onecycle=OneCycle())
    text = (tmp_path / "answer.txt").read_text()
    (line,) = [line for line in text.splitlines() if line.startswith("  Not known: ")]
    assert "4 of the 9 combinations of init and order seeds have no run" in line
    assert line.endswith("-m seeds.init='range(0,8)' seeds.order='range(0,8)', or +experiment=attribution.")
    part = json.loads((tmp_path / "summary.json").read_text())["kinds"][0]["attribution"]
    assert part["split"] is False
    assert part["reason"] in line
    assert not (tmp_path / "attribution.png").exists()


def test_mixed_conditions_are_not_split(tmp_path: Path) -> None:
    """Their LRs may differ for what they train."""
    make_crossing(tmp_path, cells=[(0, 1), (1, 0)])
    make_crossing(tmp_path, "model.hidden=[8]", cells=[(0, 0), (1, 1)])
    found = only_condition(from_sweep(tmp_path), mix=True).attribution
    assert isinstance(found, NotSplit)
    assert found.code is Unsplit.DIFFERENT_TRAININGS


@pytest.mark.slow
@pytest.mark.usefixtures("drawn")
def test_the_answer_its_files_and_aggregate_all_have_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Table and sentences, summary.json, the figure; aggregate.py with another rule as well."""
    from steadylr.cli import aggregate

    monkeypatch.chdir(tmp_path)
    sweep = make_crossing(tmp_path / "outputs" / "sweeps" / "x")
    done = main_of(aggregate, "sweep=x")
    assert done.code == 0, done.err
    lines = [line.split() for line in done.out.partition("Where the spread comes from")[2].splitlines()]
    assert ["augment", "0%", "unused:", "nothing", "draws", "from", "it"] in lines
    assert "The largest source is the order of the samples (order): " in done.out
    assert "To reduce it use larger batches" in done.out
    assert "Few seeds make wide intervals: init has 3, order has 3; take at least 8." in done.out
    assert "from rule bracket to rule steepest: the LR of a run times " in done.out
    summary = json.loads((sweep / "summary.json").read_text())
    part: dict[str, Any] = summary["kinds"][0]["attribution"]
    assert part["split"] is True
    assert [source["name"] for source in part["sources"]][:2] == ["init", "order"]
    assert sum(source["share"] for source in part["sources"]) == pytest.approx(1)
    assert {"rule": "valley"} in [shift["after"] for shift in part["rules"]]
    assert "attribution.png" in summary["files"]
    assert (sweep / "attribution.png").read_bytes().startswith(b"\x89PNG")
    assert main_of(aggregate, "sweep=x", "finder.rule=steepest", "out=other").code == 0
    assert (tmp_path / "other" / "attribution.png").is_file()


@pytest.mark.slow
def test_other_seeds_are_another_answer(tmp_path: Path) -> None:
    """What was written before is not taken for the answer of the same curves with other seeds."""
    make_crossing(tmp_path)
    conclude(from_sweep(tmp_path), tmp_path, consensus=Consensus(), onecycle=OneCycle())
    for folder in (path.parent for path in tmp_path.glob("*/record.json")):
        record = RunRecord.read(folder)
        seeds = {**record.seeds, "init": record.seeds["order"], "order": record.seeds["init"]}
        record.model_copy(update={"seeds": seeds}).write(folder)
    conclude(from_sweep(tmp_path), tmp_path, consensus=Consensus(), onecycle=OneCycle())
    part = json.loads((tmp_path / "summary.json").read_text())["kinds"][0]["attribution"]
    assert part["largest"] == "init"


@pytest.mark.slow
def test_the_experiment_is_a_sweep_that_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """3 x 3 seeds instead of 8 x 8, of a model without dropout: each training once, and every share."""
    from steadylr.jobs import job

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(job, "draw_run", lambda *_: None)
    few = ("seeds.init=range(0,3)", "seeds.order=range(0,3)", "model.hidden=[8]")
    done = find_lr("-m", "+experiment=attribution", *TINY, *few, "device.workers=1", "sweep_name=x")
    assert done.code == 0, done.err
    assert done.out.startswith("18 jobs, 9 trainings, 1 worker\n")
    folder = tmp_path / "outputs" / "sweeps" / "x"
    part = json.loads((folder / "summary.json").read_text())["kinds"][0]["attribution"]
    shares = {source["name"]: source["share"] for source in part["sources"]}
    assert set(shares) == {"init", "order", "augment", "noise", "interactions and rest"}
    assert (shares["augment"], shares["noise"]) == (0.0, 0.0)
    assert sum(shares.values()) == pytest.approx(1)
    assert (folder / "attribution.png").is_file()
