"""How programs start: what they are called, an early Ctrl-C, and output that nobody reads to its end."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from steadylr.cli import start
from steadylr.cli.leaving import leave
from steadylr.present.streams import Lenient
from steadylr.words.program import other_program, program_name


@pytest.mark.parametrize(
    ("called", "said"),
    [
        ("src/find_lr.py", "python src/find_lr.py"),
        ("/usr/bin/steadylr", "steadylr"),
        ("/lib/steadylr/__main__.py", "python -m steadylr"),
    ],
)
def test_a_program_is_called_as_it_was(monkeypatch: pytest.MonkeyPatch, called: str, said: str) -> None:
    """As a file, as an installed command, or as a module."""
    monkeypatch.setattr(sys, "argv", [called])
    assert program_name() == said


def test_another_program_is_called_in_the_same_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file beside this one, or else the installed command."""
    monkeypatch.setattr(sys, "argv", [str(tmp_path / "find_lr.py")])
    assert other_program("aggregate") == "steadylr-aggregate"
    (tmp_path / "aggregate.py").write_text("")
    assert other_program("aggregate") == f"python {tmp_path / 'aggregate.py'}"


def test_help_names_the_command_that_was_given(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each program's own help."""
    from steadylr.cli import aggregate, find_lr, verify_lr

    for module, own in ((find_lr, "model=resnet18"), (aggregate, "'values="), (verify_lr, "tolerance=")):
        monkeypatch.setattr(sys, "argv", ["/usr/bin/called-so", "--help"])
        with pytest.raises(SystemExit, match="0"):
            module.main()
        out = capsys.readouterr().out
        assert "\n  called-so " in out
        assert own in out
        assert "python src/" not in out.replace("python src/aggregate.py", "") or module is not find_lr


def test_an_interrupt_while_modules_are_imported_is_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the first moments there is nothing to keep."""

    def interrupted(name: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(start, "import_module", interrupted)
    with pytest.raises(SystemExit, match="130"):
        start.find_lr()
    assert capsys.readouterr().err == "interrupted before anything was begun\n"


def test_a_reader_that_leaves_costs_no_exit_code(capfd: pytest.CaptureFixture[str]) -> None:
    """As behind `| head -1`; what else keeps output from being written does."""
    for error, code in ((BrokenPipeError(32, "Broken pipe"), 0), (OSError(28, "No space left on device"), 1)):
        out = Lenient(io.StringIO())
        out.error = error
        with pytest.raises(SystemExit, match=str(code)):
            leave(0, out)
        assert ("can't be written" in capfd.readouterr().err) == bool(code)
