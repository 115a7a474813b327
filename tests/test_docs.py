"""The programs that the pages of docs/ start with."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from command_line import main_of
from docs_programs import blocks, run_command, run_program, write_files
from made_jobs import make_job
from steadylr.cli import verify_lr

pytestmark = pytest.mark.slow


def test_from_python(tmp_path: Path) -> None:
    """One range test and three, with their figures."""
    out = run_program("from-python.md", tmp_path)
    assert "OneCycleLR(optimizer" in out
    assert "3 runs with an LR" in out
    for figure in ("curve.png", "summary.png"):
        assert (tmp_path / figure).read_bytes().startswith(b"\x89PNG")


def test_optimizers(tmp_path: Path) -> None:
    """Groups keep their ratio."""
    lr, groups = run_program("optimizers.md", tmp_path).split(maxsplit=1)
    assert 1e-5 < float(lr) < 10
    assert groups.split() == ["[1.e-05", "1.e-04]"]


def test_your_own_model(tmp_path: Path) -> None:
    """The files of the page and its command give an answer over three runs."""
    assert {path.name for path in write_files("your-own-model.md", tmp_path)} == {"my_code.py", "mine.yaml"}
    command = next(block.text for block in blocks("your-own-model.md") if block.language == "sh")
    out = run_command(command, tmp_path)
    assert out.startswith("3 jobs, 3 trainings")
    assert "my_code.Net on my_code.make_data" in out
    assert "3 runs with an LR" in out


def test_what_is_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command of the page refuses a sweep with somebody's own model in just these words, and makes nothing."""
    command, said = blocks("what-is-trusted.md")
    monkeypatch.chdir(tmp_path)
    sweep = tmp_path / "outputs" / "sweeps" / "x"
    for seed in range(2):
        make_job(
            sweep / str(seed),
            seed=seed,
            change=lambda record: record["config"]["model"].update(_target_="my_code.Net"),
        )
    program, *argv = shlex.split(command.text)[1:]
    assert program == "src/verify_lr.py"
    done = main_of(verify_lr, *argv)
    assert (done.code, done.out, done.err) == (1, "", said.text)
    assert sorted(path.name for path in sweep.iterdir()) == ["0", "1"]
