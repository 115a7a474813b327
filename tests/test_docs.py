"""The programs that the pages of docs/ start with."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from command_line import main_of
from docs_programs import (
    DOCS,
    blocks,
    run_command,
    run_in_clone,
    run_program,
    run_python,
    same_but_numbers,
    session,
    write_files,
)
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


def test_the_tutorial(tmp_path: Path) -> None:
    """Its commands, one after the other in one folder, print what the page shows."""
    commands = session("tutorial.md")
    assert len(commands) == 5
    for command, shown in commands:
        printed = run_in_clone(command, tmp_path)
        assert same_but_numbers(printed, shown), f"{command}\n{printed}"
    assert (tmp_path / "outputs/sweeps/even/plan.yaml").is_file()


@pytest.mark.parametrize("number", range(6))
def test_the_gallery(tmp_path: Path, number: int) -> None:
    """Each command says of its curve what the page quotes, and ends with 3 just where that is no answer."""
    sections = (DOCS / "gallery.md").read_text().split("\n## ")[1:]
    section = [part for part in sections if "```sh" in part][number]
    command = section.partition("```sh\n")[2].partition("\n")[0]
    quoted = [line[2:] for line in section.splitlines() if line.startswith("> ")]
    no_answer = any(line.startswith("No answer") for line in quoted)
    printed = run_in_clone(command, tmp_path, codes=(3,) if no_answer else (0,))
    assert all(line in printed for line in quoted), printed
    assert ("Diagnosis" in printed) == (bool(quoted) and not no_answer)


def test_reading_results(tmp_path: Path) -> None:
    """The sweep of the page, read by each library as the page does; then its figures."""
    first, *further = [block for block in blocks("reading-results.md") if block.language in ("sh", "python")]
    run_in_clone(first.text.strip(), tmp_path)
    printed = []
    for number, block in enumerate(further):
        if block.language == "sh":
            run_in_clone(block.text.strip(), tmp_path)
            continue
        (tmp_path / f"{number}.py").write_text(block.text)
        printed.append(run_python(f"{number}.py", tmp_path))
    assert len(printed) == 4
    assert all("lr_of_lowest_loss" in text for text in printed[:3])
    assert "OneCycleLR(optimizer" in printed[3]
    assert (tmp_path / "outputs/sweeps/even/summary.svg").is_file()


def test_trackers(tmp_path: Path) -> None:
    """A sweep that is sent at once, and later to two others; nothing fails."""
    for package in ("tensorboard", "mlflow", "wandb"):
        pytest.importorskip(package)
    for command, _ in session("trackers.md"):
        run_in_clone(command, tmp_path)
    sweep = tmp_path / "outputs/sweeps/even"
    sent = json.loads((sweep / "tracker.json").read_text())["sent"]
    assert [place.partition(" ")[0] for place in sent] == ["tensorboard", "mlflow", "wandb"]
    assert {len(marks) for marks in sent.values()} == {4}
    assert (tmp_path / "outputs/mlflow/mlflow.db").is_file()
