"""What the answer of a single run prints."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from made_jobs import config_with, descent
from steadylr.answer.reading import Answer, answer_of
from steadylr.config.schema import Config, Seeds
from steadylr.core.curve import Curve, Stop
from steadylr.core.diagnosis import Code
from steadylr.core.onecycle import plan
from steadylr.core.suggestion import Outcome
from steadylr.report.figures import draw_run
from steadylr.report.run_text import run_title, show_run
from steadylr.store.curve_file import RunCurves
from steadylr.words.reading import ToldFinding, ToldSuggestion

FLAT = Curve(np.geomspace(1e-6, 1, 100), np.full(100, 2.3), num_iter=100, stop=Stop.COMPLETED)


def config_of_a_run() -> Config:
    config = config_with()
    config.seed, config.model.name, config.data.name = 4, "mlp", "digits"
    config.seeds = Seeds(4, 4, 4, 4)
    return config


def shown(
    curve: Curve,
    capsys: pytest.CaptureFixture[str],
    *,
    from_store: bool = False,
    answer: Answer | None = None,
) -> str:
    config = config_of_a_run()
    curves = RunCurves(curve, None, curve.lr[:, None], {"notes": ["a note"]})
    show_run(
        Path("outputs/runs/x"), config, curves, answer or answer_of(curve, config), from_store=from_store
    )
    return capsys.readouterr().out


def test_the_title_leads_with_the_lr(capsys: pytest.CaptureFixture[str]) -> None:
    """What was trained, and the number that people came for, in the first line; the folder in the last."""
    lines = shown(descent(), capsys).splitlines()
    assert lines[0].startswith("mlp on digits, seed 4: LR ")
    assert lines[-1] == "outputs/runs/x"


@pytest.mark.parametrize(
    ("seeds", "named"),
    [
        ({}, "seed 4"),
        ({"init": 7}, "seed 4, init 7"),
        ({"order": 0, "noise": 1}, "seed 4, order 0, noise 1"),
        (dict.fromkeys(("init", "order", "augment", "noise"), 9), "seed 9"),
    ],
)
def test_a_title_names_the_streams_that_have_a_seed_of_their_own(seeds: dict[str, int], named: str) -> None:
    """Runs that differ in one stream alone are told apart by it."""
    config = config_of_a_run()
    config.seeds = replace(Seeds(4, 4, 4, 4), **seeds)
    assert run_title(config) == f"mlp on digits, {named}"


def test_the_text_of_a_run_says_everything(capsys: pytest.CaptureFixture[str]) -> None:
    """Suggestions with the headline marked, the short reason, diagnosis with advice, and the plan."""
    suggestions = (
        ToldSuggestion("bracket", Outcome.FOUND, "between", 3.3e-2, 1.1e-2, 9.8e-2),
        ToldSuggestion("steepest", Outcome.FOUND, "steepest", 2.6e-3),
        ToldSuggestion("slide", Outcome.NO_POINT, "no slope is steep enough: raise finder.end_lr"),
    )
    finding = ToldFinding(
        Code.NEVER_DIVERGED, text="the loss never climbed back", advice="raise finder.end_lr, to 100 say"
    )
    answer = replace(
        answer_of(descent(), config_of_a_run()),
        suggestions={suggestion.rule: suggestion for suggestion in suggestions},
        findings=(finding,),
        plan=plan(3.3e-2, low=1.1e-2, high=9.8e-2),
    )
    lines = shown(descent(), capsys, answer=answer).splitlines()
    for line in (
        "  >  bracket   3.30e-2  1.10e-2  9.80e-2",
        "     steepest  2.60e-3",
        "  The loss never climbed back. Raise finder.end_lr, to 100 say.",
        "  LR 3.30e-4 -> 3.30e-2 -> 3.30e-7 (start, peak, end)",
        "  range of the peak 1.10e-2 to 9.80e-2",
        plan(3.3e-2).torch_line(),
    ):
        assert line in lines
    assert "slide no answer: no slope is steep enough" in [" ".join(line.split()) for line in lines]


def test_one_run_says_nothing_about_the_spread(capsys: pytest.CaptureFixture[str]) -> None:
    """Every answer says how to get several; one from the store says that nothing was trained."""
    fresh, stored = shown(descent(), capsys), shown(descent(), capsys, from_store=True)
    for text in (fresh, stored):
        assert "-m 'seed=range(0,5)'" in text
        assert "a note" in text
    assert "This run came from the store: nothing was trained" in stored
    assert "store" not in fresh


def test_no_answer_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    """When all rules fail for one reason there is one row, one reason and one piece of advice."""
    text = shown(FLAT, capsys)
    assert text.splitlines()[0] == "mlp on digits, seed 4: no answer"
    assert text.count("no answer:") == 1
    assert "steepest" not in text
    assert "Diagnosis" not in text
    assert "OneCycle" not in text
    assert "seed=range" not in text


def test_rules_that_fail_differently_are_all_shown(capsys: pytest.CaptureFixture[str]) -> None:
    """Where only the picked rule has no answer, the others' LRs stand beside it."""
    answer = answer_of(descent(), config_of_a_run())
    failed = replace(
        answer.headline, outcome=Outcome.NO_POINT, reason="nowhere", lr=None, low=None, high=None
    )
    text = shown(
        descent(),
        capsys,
        answer=replace(answer, suggestions={**answer.suggestions, "bracket": failed}, plan=None),
    )
    assert "> bracket no answer: nowhere" in " ".join(text.split())
    assert "steepest" in text


def test_a_folder_is_shown_as_one_would_type_it(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Relative to the folder of the command, where it lies below that."""
    monkeypatch.chdir(tmp_path)
    config, curve = config_of_a_run(), descent()
    curves = RunCurves(curve, None, curve.lr[:, None], {"notes": []})
    for folder, last in ((tmp_path / "a", "a"), (tmp_path.parent, str(tmp_path.parent))):
        show_run(folder, config, curves, answer_of(curve, config), from_store=False)
        assert capsys.readouterr().out.splitlines()[-1] == last


def test_the_title_of_a_run_names_model_data_and_seed() -> None:
    """The same words on the terminal and in the figure."""
    assert run_title(config_of_a_run()) == "mlp on digits, seed 4"


def test_updates_that_a_scaler_left_out_are_diagnosed(capsys: pytest.CaptureFixture[str]) -> None:
    """Many of them are, beside the answer."""
    curve = descent()
    text = shown(curve, capsys, answer=answer_of(curve, config_of_a_run(), skipped_share=0.3))
    assert "The gradient scaler left out 30% of the updates" in text


@pytest.mark.parametrize("curve", [descent(), FLAT], ids=["answer", "no answer"])
def test_the_figure_is_drawn_with_and_without_an_answer(curve: Curve, tmp_path: Path) -> None:
    """Also for validation losses, behind which the training losses stand."""
    config = config_of_a_run()
    half = Curve(curve.lr[::2], curve.loss[::2], num_iter=curve.num_iter, stop=curve.stop)
    for number, validation in enumerate((None, half)):
        meta = {"skipped_steps": [0, 1, len(curve) - 1]}
        curves = RunCurves(curve, validation, curve.lr[:, None], meta)
        answer = answer_of(curves.read, config)
        draw_run(tmp_path / f"{number}.png", config, curves, answer)
        assert (tmp_path / f"{number}.png").read_bytes().startswith(b"\x89PNG")
