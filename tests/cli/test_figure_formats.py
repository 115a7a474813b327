"""figures=[...]: what the figures of a run, an aggregate and a verification are written as."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from command_line import TINY, find_lr, main_of, only_run
from fake_workers import MadeCurves
from made_jobs import make_sweep
from steadylr.cli import aggregate as aggregating
from steadylr.jobs import work

pytestmark = pytest.mark.usefixtures("undrawn")


@pytest.mark.usefixtures("drawn")
def test_a_run_has_its_figure_in_each_format_and_its_plan_in_each_form(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside each other."""
    monkeypatch.chdir(tmp_path)
    assert find_lr(*TINY, "figures=[png,svg]").code == 0
    run = only_run(tmp_path)
    begins = {name: (run / f"lr_finder.{name}").read_bytes()[:5] for name in ("png", "svg")}
    assert begins == {"png": b"\x89PNG\r", "svg": b"<?xml"}
    plan = json.loads((run / "plan.json").read_text())
    record = json.loads((run / "record.json").read_text())
    assert {name: plan[name] for name in record["plan"]} == record["plan"]
    assert f"max_lr: {plan['max_lr']!r}" in (run / "plan.yaml").read_text()
    assert plan["lines"]["torch"] in (run / "plan.txt").read_text()


def test_without_formats_nothing_is_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer is the same."""
    monkeypatch.chdir(tmp_path)
    assert find_lr(*TINY, "figures=[]").code == 0
    assert not list(only_run(tmp_path).glob("lr_finder.*"))


def test_a_large_sweep_draws_itself_and_none_of_its_jobs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says so before anything is trained; the single run draws it from the store."""
    monkeypatch.chdir(tmp_path)
    MadeCurves.take_over(monkeypatch)
    monkeypatch.setattr(work, "MOST_DRAWN", 1)
    done = find_lr(*TINY, "-m", "seed=1,2", "sweep_name=x")
    assert done.code == 0
    assert "(no figure of each job: they are more than 1)" in done.out
    assert [path.name for path in tmp_path.glob("outputs/sweeps/x/*.png")] != []
    assert list(tmp_path.glob("outputs/sweeps/x/*/*.png")) == []
    assert find_lr(*TINY, "seed=2").code == 0
    assert (only_run(tmp_path) / "lr_finder.png").is_file()
    monkeypatch.setattr(work, "MOST_DRAWN", 2)
    assert find_lr(*TINY, "-m", "seed=3,4", "sweep_name=x").code == 0
    assert len(list(tmp_path.glob("outputs/sweeps/x/*/*.png"))) == 2


def test_an_aggregate_keeps_the_formats_of_the_sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless it is told others; of a sweep that says nothing of them it is PNG."""
    monkeypatch.chdir(tmp_path)
    sweep = make_sweep(tmp_path / "outputs" / "sweeps" / "x", overrides=(("figures=[svg]",),))

    def drawn(*argv: str) -> set[str]:
        assert main_of(aggregating, "sweep=x", *argv).code == 0
        return {path.name for path in sweep.glob("summary.*")} - {"summary.json"}

    assert drawn() == {"summary.svg"}
    assert drawn("figures=[pdf]") == {"summary.pdf"}
    assert drawn() == {"summary.svg"}


@pytest.mark.parametrize("given", ["[gif]", "svg", "null", "[[png]]"])
def test_other_words_are_refused(given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With what there is."""
    monkeypatch.chdir(tmp_path)
    done = find_lr(*TINY, f"figures={given}")
    assert done.code == 1
    assert "figures" in done.err
    assert "Traceback" not in done.err


def test_a_run_without_an_answer_leaves_no_plan_of_an_earlier_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where both are told to use one folder."""
    monkeypatch.chdir(tmp_path)
    assert find_lr(*TINY, "hydra.run.dir=here").code == 0
    assert (tmp_path / "here" / "plan.txt").is_file()
    assert find_lr(*TINY, "hydra.run.dir=here", "finder.end_lr=1e-6").code == 3
    assert not list((tmp_path / "here").glob("plan.*"))
