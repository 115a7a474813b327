"""Commands that answer in one process: what becomes of their errors, and which exit code they give."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from steadylr.cli.aggregate import AggregateConfig
from steadylr.cli.command import run_command
from steadylr.config.errors import BadInput
from steadylr.run.fingerprint import DataError
from steadylr.store.curve_store import StoreError


@pytest.fixture(autouse=True)
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["aggregate.py"])


def exit_code(outcome: int | BaseException) -> int | str | None:
    """With which code a command ends whose work ends like this."""

    def work(cfg: object) -> int:
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    with pytest.raises(SystemExit) as ended:
        run_command("aggregate", AggregateConfig, work)
    return ended.value.code


@pytest.mark.parametrize("code", [0, 1, 3])
def test_the_exit_code_is_that_of_the_work(code: int) -> None:
    """Whatever it is."""
    assert exit_code(code) == code


@pytest.mark.parametrize(
    "error", [BadInput("no such key"), DataError("no such data"), StoreError("no store")]
)
def test_an_error_of_ours_is_one_line(error: Exception, capsys: pytest.CaptureFixture[str]) -> None:
    """Its message says all, so nothing else is printed."""
    assert exit_code(error) == 1
    assert capsys.readouterr().err == f"{error}\n"


def test_any_other_error_is_raised() -> None:
    """It is a bug: Python shows its traceback, and ends with 1."""
    with pytest.raises(ValueError, match="argument 2 is longer"):
        exit_code(ValueError("argument 2 is longer"))


def test_of_several_jobs_the_worst_code_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A failure is worse than no answer, wherever it comes; and no multirun.yaml is written, nor one replaced."""
    (tmp_path / "multirun.yaml").write_text("mine")
    monkeypatch.setattr(sys, "argv", ["aggregate.py", "-m", "values=[1],[2],[3]"])
    codes = {1: 3, 2: 1, 3: 0}
    with pytest.raises(SystemExit) as ended:
        run_command("aggregate", AggregateConfig, lambda cfg: codes[cfg["values"][0]])
    assert ended.value.code == 1
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"multirun.yaml": "mine"}


def test_an_error_orders_nothing_of_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """What it names may come from a sweep's folder."""
    assert exit_code(BadInput("no \x1b]0;owned\x07 \u202etxt.exe\n  - and more")) == 1
    assert capsys.readouterr().err == "no \\x1b]0;owned\\x07 \\u202etxt.exe\n  - and more\n"


def test_an_interrupt_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    """With the exit code that shells know for it."""
    assert exit_code(KeyboardInterrupt()) == 130
    assert capsys.readouterr().err.startswith("interrupted; what has finished is kept")
