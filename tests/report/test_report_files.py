"""The files of an aggregate: written whole, not again without need, and none left from before."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from omegaconf import OmegaConf

from made_jobs import change_file, curve_of, leave_status, make_job, make_noisy_sweep, make_sweep
from steadylr.answer.answer import answer_sweep
from steadylr.answer.readings import Gathered, from_sweep, from_values
from steadylr.config.schema import Choose, Consensus, OneCycle
from steadylr.core.curve import Curve
from steadylr.present.numbers import format_lr
from steadylr.report import files as sweep_files
from steadylr.report.conclude import conclude
from steadylr.report.figures import summary_of
from steadylr.store.records import Summary, utc_now
from steadylr.words.plan_lines import LIBRARIES

pytestmark = pytest.mark.usefixtures("undrawn")


def concluded(gathered: Gathered, folder: Path, formats: Sequence[str] = ("png",), **consensus: Any) -> int:
    onecycle = OneCycle()
    return conclude(
        gathered, folder, consensus=Consensus(**consensus), onecycle=onecycle, formats=formats
    ).code


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.is_file()}


ONE_CONDITION = {
    "summary.json",
    "runs.csv",
    "curves.parquet",
    "answer.txt",
    "report.html",
    "summary.png",
    "plan.png",
    "plan.yaml",
    "plan.json",
    "plan.txt",
}


@pytest.mark.usefixtures("drawn")
def test_an_aggregate_leaves_all_its_files(tmp_path: Path) -> None:
    """And exit code 0."""
    make_sweep(tmp_path)
    assert concluded(from_sweep(tmp_path), tmp_path) == 0
    assert names(tmp_path) == ONE_CONDITION
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in tmp_path.glob("*.png"))


def test_the_plan_is_there_for_programs_and_for_people(tmp_path: Path) -> None:
    """The same LR as YAML, as JSON with the whole plan, and in a line for each library."""
    make_sweep(tmp_path)
    concluded(from_sweep(tmp_path), tmp_path)
    (kind,) = Summary.read(tmp_path).kinds
    plan = json.loads((tmp_path / "plan.json").read_text())
    assert {name: plan[name] for name in kind["plan"]} == kind["plan"]
    assert (plan["n"], plan["verdict"]) == (3, kind["verdict"]["level"])
    assert OmegaConf.load(tmp_path / "plan.yaml").max_lr == plan["max_lr"]
    text = (tmp_path / "plan.txt").read_text()
    assert list(plan["lines"]) == list(LIBRARIES)
    assert all(lines in text for lines in plan["lines"].values())


@pytest.mark.usefixtures("drawn")
def test_figures_in_the_formats_that_were_asked_for(tmp_path: Path) -> None:
    """Each figure in each of them; those of other formats are removed; without any nothing is drawn."""
    make_sweep(tmp_path)
    found = from_sweep(tmp_path)
    concluded(found, tmp_path, ("svg", "pdf", "svg"))
    drawn = {"summary.svg", "plan.svg", "summary.pdf", "plan.pdf"}
    assert names(tmp_path) - ONE_CONDITION == drawn
    assert names(tmp_path) == {"summary.json", *Summary.read(tmp_path).files}
    assert (tmp_path / "summary.svg").read_bytes().startswith(b"<?xml")
    assert (tmp_path / "summary.pdf").read_bytes().startswith(b"%PDF")
    concluded(found, tmp_path, ())
    assert names(tmp_path) == ONE_CONDITION - {"summary.png", "plan.png"}


def test_equal_inputs_write_nothing_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The answer is printed all the same."""
    make_sweep(tmp_path)
    concluded(from_sweep(tmp_path), tmp_path)
    printed = capsys.readouterr().out
    before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    concluded(from_sweep(tmp_path), tmp_path)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before
    assert capsys.readouterr().out == printed == f"{(tmp_path / 'answer.txt').read_text()}\n{tmp_path}\n"


def test_the_answer_in_a_folder_holds_when_the_folder_is_moved(tmp_path: Path) -> None:
    """It says nothing of where it was written, nor of the folder that the command was given in."""
    make_sweep(tmp_path / "here")
    concluded(from_sweep(tmp_path / "here"), tmp_path / "here")
    written = (tmp_path / "here" / "answer.txt").read_text()
    assert str(tmp_path) not in written
    assert "here" not in written.split()


@pytest.mark.parametrize("name", sorted(ONE_CONDITION))
def test_a_file_that_is_gone_is_written_again(tmp_path: Path, name: str) -> None:
    """Whichever it is."""
    found = from_values([0.1, 0.2])
    concluded(found, tmp_path)
    (tmp_path / name).unlink()
    concluded(found, tmp_path)
    assert names(tmp_path) == ONE_CONDITION


@pytest.mark.parametrize("content", [b"", b"\xff\xfe another LR: 9.99e-1\n"])
@pytest.mark.parametrize("name", sorted(ONE_CONDITION - {"summary.json"}))
def test_a_file_that_was_changed_is_written_again_and_never_printed(
    tmp_path: Path, name: str, content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    """The answer that is printed is the one that was computed, whatever answer.txt says."""
    found = from_values([0.1, 0.2])
    concluded(found, tmp_path)
    said, written = capsys.readouterr().out, (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content)
    concluded(found, tmp_path)
    assert capsys.readouterr().out == said
    assert (tmp_path / name).read_bytes() == written


@pytest.mark.parametrize("checksum", [True, False])
def test_an_edited_summary_is_written_again(tmp_path: Path, checksum: bool) -> None:
    """Also where its checksum was made to fit: what it says is compared with what was computed."""
    found = from_values([0.1, 0.2])
    concluded(found, tmp_path)
    before = json.loads((tmp_path / "summary.json").read_text())

    def double(summary: dict[str, Any]) -> None:
        summary["kinds"][0]["consensus"]["lr"] *= 2

    change_file(tmp_path / "summary.json", double, checksum=checksum)
    concluded(found, tmp_path)
    after = json.loads((tmp_path / "summary.json").read_text())
    assert after["kinds"] == before["kinds"]


def test_other_settings_or_a_further_job_are_other_inputs(tmp_path: Path) -> None:
    """The choice, a further job, a failed job."""
    make_sweep(tmp_path)
    digest = {}

    def noted(key: str, **consensus: Any) -> None:
        concluded(from_sweep(tmp_path), tmp_path, **consensus)
        digest[key] = json.loads((tmp_path / "summary.json").read_text())["inputs"]

    noted("first")
    noted("choice", choose=Choose.median)
    make_job(tmp_path / "3", seed=3)
    noted("job")
    leave_status(tmp_path / "4", "failed", error="no memory")
    noted("failure")
    assert len(set(digest.values())) == 4


def test_files_of_an_earlier_answer_do_not_stay(tmp_path: Path) -> None:
    """One condition has summary.png; two have a figure and a plan each; what others put there stays."""
    make_sweep(tmp_path, seeds=2)
    concluded(from_sweep(tmp_path), tmp_path)
    (tmp_path / "notes.txt").write_text("mine")
    make_job(tmp_path / "2", "model.hidden=[8]", seed=5)
    concluded(from_sweep(tmp_path), tmp_path)
    numbered = {
        f"{name}-{k}.{end}"
        for k in (1, 2)
        for name, end in (("summary", "png"), *(("plan", end) for end in ("png", "yaml", "json", "txt")))
    }
    assert names(tmp_path) == {
        "summary.json",
        "runs.csv",
        "curves.parquet",
        "answer.txt",
        "report.html",
        "notes.txt",
        *numbered,
    }


def test_a_summary_cannot_have_other_folders_files_removed(tmp_path: Path) -> None:
    """Names with a path in them are no names of ours."""
    folder = tmp_path / "x"
    make_sweep(folder, seeds=1)
    outside = tmp_path / "outside.txt"
    outside.write_text("mine")
    summary = Summary(
        created=utc_now(),
        inputs="",
        settings={},
        kinds=[],
        failed=[],
        problems=[],
        files=["../outside.txt", "..", "", "old.png", "runs.csv"],
    )
    summary.write(folder)
    (folder / "old.png").touch()
    concluded(from_sweep(folder), folder)
    assert outside.read_text() == "mine"
    assert not (folder / "old.png").exists()


def test_without_an_answer_there_is_no_plan(tmp_path: Path) -> None:
    """Exit code 3; the figure of the plan goes, too."""
    flat = curve_of(0)
    make_job(tmp_path / "0", curve=Curve(flat.lr, 0 * flat.loss + 1, num_iter=len(flat), stop=flat.stop))
    assert concluded(from_sweep(tmp_path), tmp_path) == 3
    assert names(tmp_path) == ONE_CONDITION - {"plan.png", "plan.yaml", "plan.json", "plan.txt"}


def test_an_answer_by_the_mean_curve_is_recorded_as_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In summary.json, in the plan, in words and in the figure; the exit code says that there is an LR."""
    monkeypatch.undo()  # here it is drawn
    make_noisy_sweep(tmp_path)
    assert concluded(from_sweep(tmp_path), tmp_path) == 0
    (kind,) = Summary.read(tmp_path).kinds
    mean = kind["mean_curve"]
    assert mean["num_runs"] == 3
    assert mean["low"] < mean["lr"] < mean["high"]
    assert (kind["consensus"]["lr"], kind["consensus"]["n"]) == (None, 0)
    assert (kind["plan"]["max_lr"], kind["verdict"]["level"]) == (mean["lr"], "mean curve only")
    assert f"LR {format_lr(mean['lr'])} by the mean curve of 3 runs" in capsys.readouterr().out
    plan = (tmp_path / "plan.yaml").read_text()
    assert f"max_lr: {mean['lr']!r} # read off the mean curve of 3 runs" in plan
    assert "n: 0 # runs that gave an LR" in plan
    (condition,) = answer_sweep(from_sweep(tmp_path), choose="geometric_mean", onecycle=OneCycle()).conditions
    info = summary_of(condition)
    assert info.mean is not None
    assert (info.lr, info.choose, info.mean.suggestion) == (mean["lr"], "mean curve of 3 runs", mean["lr"])
    assert len(info.mean.lr) == len(info.mean.loss) > 0


def test_failed_jobs_and_unreadable_files_give_exit_code_1(tmp_path: Path) -> None:
    """Also when there is an answer, and when nothing at all can be read."""
    make_sweep(tmp_path / "x", seeds=2)
    leave_status(tmp_path / "x" / "2", "failed", error="no memory")
    assert concluded(from_sweep(tmp_path / "x"), tmp_path / "x") == 1
    (tmp_path / "y" / "0").mkdir(parents=True)
    assert concluded(from_sweep(tmp_path / "y"), tmp_path / "y") == 1
    assert "no status.json" in (tmp_path / "y" / "answer.txt").read_text()


def test_failed_jobs_have_a_row_in_runs_csv(tmp_path: Path) -> None:
    """With their overrides and their reason, commas and line breaks and all."""
    make_sweep(tmp_path, seeds=1)
    leave_status(tmp_path / "1", "failed", overrides=["seed=1"], error='no, "none"\nat all')
    concluded(from_sweep(tmp_path), tmp_path)
    with open(tmp_path / "runs.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["outcome"] for row in rows] == ["found", "failed"]
    assert rows[1]["overrides"] == "seed=1"
    assert rows[1]["reason"] == 'no, "none"\nat all'


def test_curves_in_long_form_keep_every_point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the order of the runs, whatever the size of the parts; validation curves with their true steps."""
    monkeypatch.setattr(sweep_files, "ROWS_A_GROUP", 100)
    for seed in range(4):
        make_job(tmp_path / str(seed), seed=seed)
    curve = curve_of(4)
    held_out = Curve(curve.lr[::5], curve.loss[::5], num_iter=12, stop=curve.stop)
    make_job(
        tmp_path / "4", "finder.skip_start=1", "finder.skip_end=1", seed=4, curve=curve, validation=held_out
    )
    concluded(from_sweep(tmp_path), tmp_path)
    file = pq.ParquetFile(tmp_path / "curves.parquet")
    assert file.num_row_groups == 3
    table = file.read()
    assert table["step"].to_pylist() == [*range(60)] * 4 + [*range(0, 60, 5)]
    assert table["loss"].to_pylist()[60:120] == curve_of(1).loss.tolist()
    assert table["lr"].to_pylist()[240:] == held_out.lr.tolist()


def test_plan_yaml_says_the_numbers_exactly(tmp_path: Path) -> None:
    """Bit for bit as in summary.json."""
    concluded(from_values([6.16e-2, 1.79e-2]), tmp_path)
    plan = OmegaConf.load(tmp_path / "plan.yaml")
    (condition,) = json.loads((tmp_path / "summary.json").read_text())["kinds"]
    assert plan == {
        "max_lr": condition["consensus"]["lr"],
        "low": 1.79e-2,
        "high": 6.16e-2,
        "n": 2,
        "verdict": "normal",
    }


def test_a_name_that_the_locale_lacks_letters_for_is_a_folder_like_others(tmp_path: Path) -> None:
    """As Python has it under LC_ALL=C without its UTF-8 mode."""
    folder = tmp_path / os.fsdecode(b"gr\xfcn")
    assert concluded(from_values([0.1, 0.2]), folder) == 0
    assert names(folder) == ONE_CONDITION
