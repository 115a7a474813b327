"""Standard output and error: what can't be written stops nothing, and what is said orders nothing of a terminal."""

from __future__ import annotations

import io
import logging
import sys
from pathlib import Path

import pytest
import yaml

from command_line import FullDisk
from steadylr.config.folder import config_folder
from steadylr.present.escaped import escaped, escaped_line
from steadylr.present.streams import TerminalFormatter, complain, lenient_streams


def test_the_first_error_is_kept_and_nothing_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both streams are as they were afterwards."""
    monkeypatch.setattr(sys, "stdout", full := FullDisk())
    with lenient_streams() as out:
        sys.stdout.write("one")
        sys.stdout.flush()
        assert not sys.stdout.isatty()
    assert isinstance(out.error, OSError)
    assert sys.stdout is full


def test_letters_that_an_encoding_lacks_are_written_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """As under LC_ALL=C, where names are no ASCII."""
    content = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(content, encoding="ascii"))
    with lenient_streams() as out:
        sys.stdout.write("gr\xfcn\n")
    assert out.error is None
    assert content.getvalue() == b"gr\\xfcn\n"


def test_complaints_are_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    """Their lines stay."""
    complain(ValueError("a\x9b1m\nb"))
    assert capsys.readouterr().err == "a\\x9b1m\nb\n"


def test_warnings_on_a_terminal_are_escaped() -> None:
    """They name files of a store and of a sweep."""
    record = logging.LogRecord("steadylr", logging.WARNING, "", 0, "%s is damaged", ("a\x1b[2J",), None)
    assert TerminalFormatter("%(levelname)s: %(message)s").format(record) == r"WARNING: a\x1b[2J is damaged"
    for name in ("job_logging", "hydra_logging"):
        config = yaml.safe_load(Path(config_folder(), "hydra", name, "steadylr.yaml").read_text())
        assert (
            config["formatters"]["terminal"]["class"] == f"{TerminalFormatter.__module__}.TerminalFormatter"
        )


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[0m", r"\x1b[0m"),
        ("\u202egpj", r"\u202egpj"),
        ("\u2066a\u2069", r"\u2066a\u2069"),
        ("a\u200bb\ufeff", r"a\u200bb\ufeff"),
        ("a\u2028b\x85c\rd", r"a\u2028b\x85c\rd"),
        ("\udcc3", r"\udcc3"),
        ("\U000e0041", r"\U000e0041"),
        ("na\xefve \u4f60\u597d \u05d0 \U0001f600", "na\xefve \u4f60\u597d \u05d0 \U0001f600"),
    ],
)
def test_what_is_unseen_or_turns_a_text_is_written_out(text: str, shown: str) -> None:
    """Letters of whatever script stay as they are."""
    assert escaped(text) == escaped_line(text) == shown


def test_a_name_in_a_line_is_one_line() -> None:
    """A text keeps its layout."""
    assert escaped("a\n\tb") == "a\n\tb"
    assert escaped_line("a\n\tb") == r"a\n\tb"
