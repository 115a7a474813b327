"""What the answer of a sweep prints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest

from made_jobs import leave_status, make_sweep
from steadylr.answer.answer import SweepAnswer, answer_sweep
from steadylr.answer.readings import FailedJob, Gathered, RunReading, from_sweep, from_values
from steadylr.config.schema import OneCycle
from steadylr.core.attribution import attribute
from steadylr.core.not_split import NotSplit, Unsplit
from steadylr.core.suggestion import Outcome, Suggestion
from steadylr.core.verdict import Level
from steadylr.report import sweep_text as module
from steadylr.report.conclude import exit_code
from steadylr.report.sweep_text import condition_text, show_sweep, sweep_text
from steadylr.words.names import PYTHON

FOLDER = Path("outputs/sweeps/x")
FLAT = "the loss never fell beyond its noise: check the data"


def reading(run: str, lr: float | None, smooth_f: float, *, findings: tuple[str, ...] = ()) -> RunReading:
    outcome = Outcome.FLAT if lr is None else Outcome.FOUND
    suggestion = Suggestion("bracket", outcome, FLAT if lr is None else "between", lr=lr)
    return RunReading(
        label=run,
        run=run,
        condition={},
        setting={"smooth_f": smooth_f},
        overrides=(),
        suggestions={"bracket": suggestion},
        rule="bracket",
        findings=findings,
        curve=None,
    )


def sweep_of(num_runs: int = 4) -> SweepAnswer:
    """A sweep of so many runs read with two settings; the last one is flat, one job failed."""
    readings = [
        reading(f"seed={i}", lr, smooth_f, findings=("noisy",) if i == 1 else ())
        for i in range(num_runs)
        for smooth_f, factor in ((0.05, 1.0), (0.15, 1.1))
        for lr in [None if i == num_runs - 1 else 1e-2 * factor * (1 + i % 7)]
    ]
    why = "RuntimeError: CUDA out of memory\nat batch size 512"
    failed = FailedJob("7", ("seed=7", "data.batch_size=512"), "failed", why)
    return answered(Gathered(tuple(readings), (failed,), ("3/record.json: has version 9",)))


def answered(gathered: Gathered) -> SweepAnswer:
    return answer_sweep(gathered, choose="geometric_mean", onecycle=OneCycle())


def text_of_values(*lrs: float) -> str:
    """The answer to numbers that somebody brought along."""
    return sweep_text(answered(from_values(lrs)))


def test_the_text_of_a_sweep_says_everything() -> None:
    """Runs, groups, shift, consensus, verdict, guide, plan, failed jobs and what was left out."""
    answer = sweep_of()
    text, condition = sweep_text(answer), answer.conditions[0]
    assert "  seed=1  2.10e-2  2.00e-2        2.20e-2        noisy" in text
    assert "  seed=3" in text
    assert "no answer: the loss never fell beyond its noise\n" in text
    assert (
        "from smooth_f 0.05 to smooth_f 0.15: the LR of a run times 1.10 (n = 3, 95% interval 1.10 to 1.10)"
        in text
    )
    assert "  3 runs with an LR, 1 without (1 flat)" in text
    assert f"  {condition.verdict.summary}" in text
    assert all(f"  {advice}\n" in text for advice in condition.verdict.advice)
    assert "1 job failed" in text
    assert "  7    seed=7 data.batch_size=512  RuntimeError: CUDA out of memory at batch size 512" in text
    assert "  3/record.json: has version 9" in text
    assert str(FOLDER) not in text


@pytest.mark.parametrize(("width", "has_groups"), [(59, False), (60, True)])
def test_groups_without_room_beside_the_runs_stand_in_their_own_table_only(
    width: int, has_groups: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a narrow terminal the runs have their LRs alone."""
    monkeypatch.setattr(module, "text_width", lambda console: width)
    show_sweep(sweep_of(), FOLDER)
    out = capsys.readouterr().out
    (header,) = [line for line in out.splitlines() if line.startswith("  run ")]
    assert ("smooth_f 0.05" in header) == has_groups
    assert "\n  smooth_f 0.05  3  " in out


def test_the_split_of_the_spread_is_shown_by_source() -> None:
    """Share, interval and seeds of each, two sentences, and what the runs leave out."""
    cells = list(product(range(8), range(8)))
    seeds = {
        "init": [i for i, _ in cells],
        "order": [j for _, j in cells],
        "noise": [0] * 64,
        "augment": [1] * 64,
    }
    lrs = [10 ** (0.02 * (i % 3) + 0.1 * (j % 2) + 0.01 * (i * j % 5)) for i, j in cells]
    text = with_attribution(attribute(lrs, seeds, unused=("augment",)))
    part = text.partition("Where the spread comes from\n")[2].partition("\n\n")[0].splitlines()
    assert part[0].split("  ")[1] == "source"
    assert [line.split()[0] for line in part[1:5]] == ["init", "order", "augment", "interactions"]
    assert part[3].split() == ["augment", "0%", "unused:", "nothing", "draws", "from", "it"]
    assert part[5].startswith("  The largest source is the order of the samples (order): ")
    assert part[6].startswith("  To reduce it use larger batches (data.batch_size)")
    assert part[7] == "  One seed in all runs, so not in these shares: noise."
    assert part[8].startswith("  Runs that share seeds are not independent: ")


def with_attribution(attribution: object) -> str:
    answer = sweep_of()
    condition = replace(answer.conditions[0], attribution=attribution)  # type: ignore[arg-type]
    return sweep_text(replace(answer, conditions=(condition,)))


def test_why_a_spread_is_not_split_is_one_line() -> None:
    """The reason and what to run."""
    text = with_attribution(NotSplit(Unsplit.ONE_STREAM_VARIES, ("init",), to_cross=("init", "order")))
    assert (
        "\n  Not known: only init varies, so there is nothing to tell it from. Let them vary independently: "
        in text
    )


def test_two_values_give_the_known_answer() -> None:
    """6.16e-2 and 1.79e-2: ratio 3.44, geometric mean 3.32e-2, no interval, plan 3.3e-4, 3.3e-2, 3.3e-7."""
    text = text_of_values(6.16e-2, 1.79e-2)
    assert "geometric mean  3.32e-2             no interval below 3 runs" in text
    assert "range           1.79e-2 to 6.16e-2  ratio 3.44" in text
    assert "LR 3.32e-4 -> 3.32e-2 -> 3.32e-7 (start, peak, end)" in text
    assert "By analysis setting" not in text


def test_the_guide_marks_the_chosen_number() -> None:
    """Each purpose has its LR and the option that picks it; the one in use is marked."""
    lines = text_of_values(6.16e-2, 1.79e-2, 3.45e-2).splitlines()
    guide = [line for line in lines if "consensus.choose=" in line]
    assert [line.split()[0] for line in guide] == [">", "careful", "bold", "scientific"]
    assert [line.split()[1] for line in guide[1:]] == ["1.79e-2", "6.16e-2", "3.45e-2"]


def test_the_guide_names_what_the_door_calls_it() -> None:
    """A key on the command line, an argument in Python."""
    (condition,) = answered(from_values([6.16e-2, 1.79e-2])).conditions
    python = condition_text(condition, "a title", names=PYTHON)
    assert python.startswith("a title\n")
    assert 'choose="median"' in python
    assert "consensus." not in python
    assert "consensus.choose=median" in condition_text(condition, "a title")


def test_many_runs_are_summed_up() -> None:
    """Above ten runs only the lowest and the highest are listed."""
    text = sweep_text(sweep_of(100))
    assert "  100 runs, each with its LR in runs.csv" in text
    listed = [line for line in text.splitlines() if line.startswith("  seed=")]
    assert len(listed) == 2
    assert listed[0].endswith("lowest")
    assert listed[1].endswith("highest")
    assert len(text.splitlines()) < 60


def test_many_failed_jobs_are_cut_short() -> None:
    """Twenty failed jobs are listed, the rest counted."""
    failed = tuple(FailedJob(str(i), (), "failed", "killed") for i in range(50))
    text = sweep_text(SweepAnswer((), failed, ()))
    assert "50 jobs failed" in text
    assert text.count("killed") == 20
    assert "  and 30 more" in text


def test_jobs_that_have_not_ended_are_no_failures(tmp_path: Path) -> None:
    """Another command may be at them right now: they are listed apart, and cost no exit code."""
    make_sweep(tmp_path / "x", seeds=2)
    leave_status(tmp_path / "x" / "2", "interrupted", overrides=["seed=2"], error="has not ended")
    answer = answer_sweep(from_sweep(tmp_path / "x"), choose="median", onecycle=OneCycle())
    text = sweep_text(answer)
    assert "failed" not in text
    assert "Not ended" in text
    assert "1 job (2): stopped, or another process is at it" in text
    assert exit_code(answer) == 0
    failed = replace(answer, failed=tuple(replace(job, status="failed") for job in answer.failed))
    assert (exit_code(failed), "1 job failed" in sweep_text(failed)) == (1, True)


@pytest.mark.parametrize("runs", [(), ("a",)])
def test_nothing_answered_is_said_and_planned_nothing(runs: Sequence[str]) -> None:
    """A sweep without a single LR has a verdict, but no guide, plan or torch line."""
    readings = tuple(reading(run, None, 0.05) for run in runs)
    answer = answered(Gathered(readings))
    text = sweep_text(answer)
    assert "OneCycleLR" not in text
    assert "Which LR" not in text
    if runs:
        assert "  0 runs with an LR" in text
        assert "No answer" in text


def test_one_run_has_no_range_and_leaves_nothing_to_choose() -> None:
    """Its LR is the plan's peak, and the verdict asks for more runs."""
    one, two = text_of_values(0.1), text_of_values(0.1, 0.2)
    assert "OneCycleLR(optimizer, max_lr=1e-1," in one
    assert "one run says nothing about the spread" in one
    for words in ("range of the peak", "Which LR"):
        assert words not in one
        assert words in two


def test_every_level_of_a_verdict_has_its_colour() -> None:
    """The colours are kept by levels that exist; the others are red."""
    assert set(module._LEVEL_COLOURS) <= set(Level)
