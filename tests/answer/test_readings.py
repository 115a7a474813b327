"""What takes part in an aggregate: everything that can be read, and a word on everything that can't."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from made_jobs import STREAMS, change_file, config_of, curve_of, leave_status, make_job, make_sweep
from steadylr.answer.asked import overrides_of
from steadylr.answer.conditions import check_key, seeds_of
from steadylr.answer.readings import (
    FailedJob,
    Gathered,
    each_seed_once,
    from_curves,
    from_job,
    from_runs,
    from_sweep,
    from_values,
    joined,
    lost_runs,
)
from steadylr.config.errors import BadInput
from steadylr.core.curve import Curve
from steadylr.store.curve_file import RunCurves
from steadylr.store.job_folder import next_job_number
from steadylr.store.records import RunRecord
from steadylr.training.identity import training_config


def labels(gathered: Any) -> list[str]:
    return [reading.label for reading in gathered.readings]


def test_jobs_come_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    """Ten comes after nine."""
    make_sweep(tmp_path / "x", seeds=11)
    assert labels(from_sweep(tmp_path / "x")) == [str(k) for k in range(11)]


@pytest.mark.parametrize("name", ["missing", "empty"])
def test_a_folder_that_is_no_sweep_is_refused(tmp_path: Path, name: str) -> None:
    """By name, with what to give instead."""
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInput, match=f"sweep=.*{name}: no"):
        from_sweep(tmp_path / name)


def test_the_folder_of_a_sweep_is_no_run(tmp_path: Path) -> None:
    """The error says how to give it."""
    make_sweep(tmp_path / "x", seeds=1)
    with pytest.raises(BadInput, match=r"runs: .* is the folder of a sweep; give it as 'sweep="):
        from_runs([tmp_path / "x"])


def spoil_lr(record: dict[str, Any]) -> None:
    record["suggestions"]["bracket"]["lr"] = "large"


def newer(record: dict[str, Any]) -> None:
    record["schema_version"] = 99


def no_finder(record: dict[str, Any]) -> None:
    del record["config"]["finder"]


def bad_smoothing(record: dict[str, Any]) -> None:
    record["config"]["finder"]["smooth_f"] = "much"


def foreign_optimizer(record: dict[str, Any]) -> None:
    record["config"]["optimizer"] = {"sort": "unknown"}


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (spoil_lr, "suggestions.bracket.lr must be a valid number; got 'large'"),
        (newer, "has version 99, this steadylr reads up to version 2"),
        (no_finder, "its config can't be used here"),
        (bad_smoothing, "its config can't be used here"),
        (foreign_optimizer, "its config can't be used here"),
    ],
)
def test_a_record_that_cannot_be_used_is_named_and_the_rest_counts(
    tmp_path: Path, change: Any, text: str
) -> None:
    """Whatever is wrong with it."""
    make_sweep(tmp_path, seeds=2)
    make_job(tmp_path / "2", seed=2, change=change)
    found = from_sweep(tmp_path)
    assert labels(found) == ["0", "1"]
    (problem,) = found.problems
    assert str(tmp_path / "2" / "record.json") in problem
    assert text in problem


def doubled_lr(record: dict[str, Any]) -> None:
    record["suggestions"]["bracket"]["lr"] *= 2
    record["suggestions"]["bracket"]["high"] *= 2


def other_config(record: dict[str, Any]) -> None:
    record["config"]["finder"]["num_iter"] += 1


def other_seed(record: dict[str, Any]) -> None:
    record["seeds"]["init"]["seed"] += 1


@pytest.mark.parametrize("change", [doubled_lr, other_config, other_seed])
def test_a_changed_number_in_a_record_is_named_and_not_believed(tmp_path: Path, change: Any) -> None:
    """Though it could be: it isn't the number that was written."""
    make_sweep(tmp_path, seeds=2)
    change_file(tmp_path / "1" / "record.json", change, checksum=False)
    found = from_sweep(tmp_path)
    assert labels(found) == ["0"]
    (problem,) = found.problems
    assert problem.startswith(f"{tmp_path / '1' / 'record.json'}: was changed after it was written")


def test_a_changed_number_in_a_curve_is_named_and_not_believed(tmp_path: Path) -> None:
    """Also where the rules don't read it: num_iter, the LRs of groups."""
    make_sweep(tmp_path, seeds=3)
    for name, change in (("1", {"group_lrs": 2.0}), ("2", {"num_iter": 1})):
        path = tmp_path / name / "curve.npz"
        run = RunCurves.load(path)
        curve = replace(run.curve, num_iter=run.curve.num_iter + change.get("num_iter", 0))
        replace(run, curve=curve, group_lrs=run.group_lrs * change.get("group_lrs", 1)).save(path)
    found = from_sweep(tmp_path)
    assert labels(found) == ["0"]
    assert [problem.partition(": ")[2] for problem in found.problems] == [
        "is not the curve that record.json describes"
    ] * 2


@pytest.mark.parametrize("name", ["status.json", "record.json", "curve.npz"])
def test_a_fifo_in_the_place_of_a_file_is_named(tmp_path: Path, name: str) -> None:
    """And nobody waits for it."""
    make_sweep(tmp_path, seeds=2)
    (tmp_path / "1" / name).unlink()
    os.mkfifo(tmp_path / "1" / name)
    found = from_sweep(tmp_path)
    assert labels(found) == ["0"]
    assert found.problems == (f"{tmp_path / '1' / name}: is no regular file but a FIFO",)


def test_what_is_no_folder_of_a_job_is_named_and_not_followed(tmp_path: Path) -> None:
    """A link to a finished job, one to itself, a FIFO and a file: one problem each, and the rest counts."""
    make_sweep(tmp_path / "sweep", seeds=1)
    make_job(tmp_path / "elsewhere", seed=1)
    (tmp_path / "sweep" / "1").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "sweep" / "2").symlink_to("2")
    os.mkfifo(tmp_path / "sweep" / "3")
    (tmp_path / "sweep" / "4").touch()
    found = from_sweep(tmp_path / "sweep")
    assert labels(found) == ["0"]
    reasons = [problem.partition(": ")[2].partition(",")[0] for problem in found.problems]
    assert reasons == ["is a link", "is a link", "is no folder", "is no folder"]
    assert next_job_number(tmp_path / "sweep") == 5


def test_a_sweep_of_nothing_but_links_is_refused_by_their_names(tmp_path: Path) -> None:
    """They aren't read as jobs, and the error says so."""
    (tmp_path / "0").symlink_to("nowhere")
    with pytest.raises(BadInput, match=r"no job folders .*\n.*/0: is a link, so it is not read"):
        from_sweep(tmp_path)


@pytest.mark.parametrize("kind", ["FIFO", "folder", "bomb"])
def test_odd_overrides_are_none(tmp_path: Path, kind: str) -> None:
    """Where the status is gone, what Hydra kept is read if it is a file of texts; nothing is waited for or unfolded."""
    kept = tmp_path / ".hydra" / "overrides.yaml"
    kept.parent.mkdir()
    kept.write_text("- seed=1\n- a=[1,2]\n")
    assert overrides_of(tmp_path) == ("seed=1", "a=[1,2]")
    kept.unlink()
    if kind == "FIFO":
        os.mkfifo(kept)
    elif kind == "folder":
        kept.mkdir()
    else:
        kept.write_text("\n".join(["- &a0 x", *(f"- &a{i + 1} [*a{i}, *a{i}]" for i in range(60))]))
    assert overrides_of(tmp_path) is None


def test_a_curve_cut_short_is_named_and_the_rest_counts(tmp_path: Path) -> None:
    """So is a curve that is another than the record's."""
    make_sweep(tmp_path, seeds=3)
    curve = tmp_path / "1" / "curve.npz"
    curve.write_bytes(curve.read_bytes()[:300])
    (tmp_path / "2" / "curve.npz").write_bytes((tmp_path / "0" / "curve.npz").read_bytes())
    found = from_sweep(tmp_path)
    assert labels(found) == ["0"]
    assert [problem.partition(": ")[2][:12] for problem in found.problems] == ["is cut short", "is not the c"]


@pytest.mark.parametrize("name", ["status.json", "record.json", "curve.npz"])
def test_a_missing_file_means_that_the_job_never_ended(tmp_path: Path, name: str) -> None:
    """The problem names the file and what to do."""
    make_job(tmp_path / "0")
    (tmp_path / "0" / name).unlink()
    (problem,) = from_job(tmp_path / "0", label="0").problems
    assert problem == f"{tmp_path / '0'}: no {name}, so the job never ended; run the same command again"


def test_a_failed_job_counts_until_a_later_one_makes_it_good(tmp_path: Path) -> None:
    """By its key, or by its overrides where the key isn't known; also where its folder holds next to nothing."""
    make_job(tmp_path / "3", seed=1)
    key = json.loads((tmp_path / "3" / "status.json").read_text())["job_key"]
    leave_status(tmp_path / "0", "failed", key=key, error="no memory")
    leave_status(tmp_path / "1", "interrupted", overrides=["seed=1"])
    (tmp_path / "2" / ".hydra").mkdir(parents=True)
    (tmp_path / "2" / ".hydra" / "overrides.yaml").write_text("- seed=1\n")
    leave_status(tmp_path / "4", "failed", key=key, error="later")
    leave_status(tmp_path / "5", "failed", key="another", overrides=["seed=2"], error="other")
    found = from_sweep(tmp_path)
    assert labels(found) == ["3"]
    assert [job.label for job in found.failed] == ["4", "5"]
    assert found.problems == ()


def test_a_run_is_lost_where_no_job_has_an_answer_of_it(tmp_path: Path) -> None:
    """However many of its jobs failed; one of another condition, and one that was stopped, are not among them."""
    make_job(tmp_path / "0", seed=1)
    (reading,) = from_sweep(tmp_path).readings
    known = FailedJob("1", (), "failed", "no memory", reading.condition_key, reading.seeds)
    lost = replace(known, seeds=seeds_of({"seeds": {**dict(reading.seeds), "order": 2}}))
    failed = (known, lost, replace(lost, label="2"), replace(known, condition_key="another", seeds=()))
    stopped = replace(known, status="interrupted", seeds=seeds_of({"seeds": {"order": 3}}))
    assert lost_runs(Gathered((reading,), (*failed, stopped)), reading.condition_key) == 1


def test_runs_are_told_apart_by_every_seed(tmp_path: Path) -> None:
    """In the order of the streams' names, as the config gives them."""
    make_job(tmp_path / "0", seed=1, seeds={"order": 7})
    (reading,) = from_sweep(tmp_path).readings
    assert reading.seeds == (("augment", 1), ("init", 1), ("noise", 1), ("order", 7))


def test_runs_on_other_numbers_of_devices_are_another_condition(tmp_path: Path) -> None:
    """BatchNorm sees a device's share of a batch; how the weights are spread makes no difference."""
    settings: list[tuple[str, ...]] = [
        ("device=cpu",),
        ("device=cpu", "device.strategy=ddp"),
        ("device=cpu", "device.strategy=ddp", "device.devices=2"),
        ("device=cpu", "device.strategy=fsdp", "device.devices=2"),
    ]
    for number, overrides in enumerate(settings):
        make_job(tmp_path / str(number), *overrides, seed=number)
    conditions = [reading.condition_key for reading in from_sweep(tmp_path).readings]
    assert conditions[0] == conditions[1] != conditions[2] == conditions[3]


def test_of_one_job_twice_the_later_counts(tmp_path: Path) -> None:
    """Other launchers do a job again in a new folder."""
    make_job(tmp_path / "0", seed=1)
    make_job(tmp_path / "1", seed=1)
    assert labels(from_sweep(tmp_path)) == ["1"]


def test_one_seed_on_other_threads_is_no_second_run(tmp_path: Path) -> None:
    """Its last digits differ, but it is the same draw: n counts it once, the latest for each setting."""
    first = curve_of(1)
    other = Curve(first.lr, first.loss + 1e-9, num_iter=first.num_iter, stop=first.stop)
    make_job(tmp_path / "0", "finder.smooth_f=0.05", seed=1, curve=first)
    make_job(tmp_path / "1", "finder.smooth_f=0.15", seed=1, curve=first)
    make_job(tmp_path / "2", "finder.smooth_f=0.15", seed=1, curve=other, threads=2)
    make_job(tmp_path / "3", "finder.smooth_f=0.15", seed=2)
    found = each_seed_once(from_sweep(tmp_path))
    assert labels(found) == ["0", "2", "3"]
    assert len({reading.run for reading in found.readings}) == 2


def test_points_of_a_validation_curve_have_the_steps_they_were_measured_at(tmp_path: Path) -> None:
    """Every fifth step here."""
    curve = curve_of(0)
    held_out = Curve(curve.lr[::5], curve.loss[::5], num_iter=12, stop=curve.stop)
    make_job(tmp_path / "0", "finder.skip_start=1", "finder.skip_end=1", curve=curve, validation=held_out)
    (reading,) = from_job(tmp_path / "0", label="0").readings
    assert reading.steps is not None
    assert reading.steps.tolist() == list(range(0, 60, 5))


def test_curves_are_read_anew_with_other_settings(tmp_path: Path) -> None:
    """What isn't given stays as recorded."""
    make_job(tmp_path / "0", "finder.smooth_f=0.15", seed=1)
    (reading,) = from_job(tmp_path / "0", reread={"skip_start": 3, "rule": "valley"}, label="0").readings
    assert reading.rule == "valley"
    assert reading.setting["smooth_f"] == 0.15
    assert reading.setting["skip_start"] == 3
    assert reading.headline.rule == "valley"


def test_a_curve_read_anew_keeps_what_its_training_is_diagnosed_with(tmp_path: Path) -> None:
    """Updates that a gradient scaler left out are no matter of reading."""
    make_job(tmp_path / "0", meta={"skipped_steps": list(range(30))})
    (reading,) = from_job(tmp_path / "0", reread={"smooth_f": 0.2}, label="0").readings
    assert reading.skipped_share == 0.5
    assert "skipped_steps" in reading.findings


def test_curves_from_elsewhere_are_read_from_csv(tmp_path: Path) -> None:
    """A file that can't be read is named, and the others count."""
    curve = curve_of(3)
    rows = "\n".join(
        f"{lr!r},{loss!r}" for lr, loss in zip(curve.lr.tolist(), curve.loss.tolist(), strict=True)
    )
    (tmp_path / "a.csv").write_text(f"lr,loss\n{rows}\n")
    (tmp_path / "b.csv").write_text("lr,loss\n1e-3,low\n")
    found = from_curves([tmp_path / "a.csv", tmp_path / "b.csv", tmp_path / "c.csv"])
    (reading,) = found.readings
    assert reading.curve is not None
    np.testing.assert_array_equal(reading.curve.loss, curve.loss)
    assert reading.headline.lr is not None
    assert [problem.removeprefix(f"{tmp_path}/")[:5] for problem in found.problems] == ["b.csv", "c.csv"]


def test_conditions_leave_out_what_changes_no_training(tmp_path: Path) -> None:
    """Seeds, reading, data workers and threads; a model's width makes another condition."""
    make_job(tmp_path / "0", seed=1)
    make_job(tmp_path / "1", "finder.smooth_f=0.3", "data.workers=2", seed=2)
    make_job(tmp_path / "2", "model.hidden=[8]", seed=3)
    conditions = [reading.condition_key for reading in from_sweep(tmp_path).readings]
    assert conditions[0] == conditions[1] != conditions[2]


def test_records_from_before_there_were_scouts_are_of_the_same_condition(tmp_path: Path) -> None:
    """No scout and no word of one are the same; a scout is another training."""
    make_job(tmp_path / "0", seed=0, meta=None)
    make_job(tmp_path / "1", seed=1, meta=None)
    make_job(tmp_path / "2", "finder.scout_steps=50", seed=2)
    change_file(tmp_path / "1" / "record.json", lambda record: record["config"]["finder"].pop("scout_steps"))
    keys = [reading.condition_key for reading in from_sweep(tmp_path).readings]
    assert len(keys) == 3
    assert keys[0] == keys[1] != keys[2]


def test_values_are_runs_of_their_own() -> None:
    """Also equal ones."""
    found = joined([from_values([0.1, 0.1])])
    assert labels(found) == ["value 1", "value 2"]
    assert len({reading.run for reading in found.readings}) == 2


def test_a_config_that_does_not_give_its_own_key_is_refused(tmp_path: Path) -> None:
    """Neither what is read nor what was trained may be another; a curve that doesn't say what it is isn't compared."""
    record = RunRecord.read(make_job(tmp_path / "0", seed=1))
    config = config_of("finder.num_iter=60")
    stored = {"training": {**training_config(config), "threads": 1}, "seeds": dict.fromkeys(STREAMS, 1)}
    check_key(record, stored)
    check_key(record, None)
    for group, name, value in (("finder", "smooth_f", 0.5), ("onecycle", "pct_start", 0.5)):
        changed = {**record.config, group: {**record.config[group], name: value}}
        with pytest.raises(ValueError, match="its config does not give its own key"):
            check_key(record.model_copy(update={"config": changed}), stored)
    changed = {**record.config, "data": {**record.config["data"], "batch_size": 65}}
    with pytest.raises(ValueError, match=r"data\.batch_size is 65, and 64 was trained"):
        check_key(record.model_copy(update={"config": changed}), stored)


@pytest.mark.parametrize(
    ("key", "value"), [("num_iter", True), ("diverge_th", "2"), ("end_lr", float("nan"))]
)
def test_a_recorded_value_outside_of_its_range_is_named(tmp_path: Path, key: str, value: object) -> None:
    """As on the command line."""

    def change(record: dict[str, Any]) -> None:
        record["config"]["finder"][key] = value

    make_job(tmp_path / "x" / "0", change=change)
    (problem,) = from_sweep(tmp_path / "x").problems
    assert f"finder.{key} must be " in problem
