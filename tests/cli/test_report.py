"""report.py: the page made again, of a sweep or of a run; without training, and without torch."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from command_line import SRC, TINY, find_lr, main_of, process
from made_jobs import change_file, make_sweep
from steadylr.answer.readings import from_sweep
from steadylr.cli import report as program
from steadylr.config.schema import Choose, Consensus, OneCycle
from steadylr.report.conclude import conclude

pytestmark = pytest.mark.usefixtures("undrawn")

NONE_OF = """
import sys
sys.path.insert(0, {src!r})
sys.argv = {argv!r}
from steadylr.cli import start
try:
    getattr(start, {name!r})()
except SystemExit as ended:
    assert not ended.code, ended.code
print(sorted(set(sys.modules) & {unwanted!r}))
"""


def imported(name: str, *argv: str, cwd: Path, unwanted: set[str]) -> str:
    """Which of some modules a program imports."""
    code = NONE_OF.format(src=str(SRC), argv=[f"{name}.py", *argv], name=name, unwanted=unwanted)
    done = process("-c", code, cwd=cwd)
    assert done.err == ""
    return done.out.splitlines()[-1]


@pytest.fixture
def sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A concluded sweep, below the folder that commands are given in."""
    monkeypatch.chdir(tmp_path)
    folder = make_sweep(tmp_path / "outputs" / "sweeps" / "x")
    conclude(from_sweep(folder), folder, consensus=Consensus(choose=Choose.median), onecycle=OneCycle())
    return folder


@pytest.mark.parametrize("given", ["x", "outputs/sweeps/x"])
def test_the_page_of_a_sweep_is_made_again(sweep: Path, given: str) -> None:
    """Byte for byte, for the answer that the folder holds; the sweep is finished all the same."""
    before = (sweep / "report.html").read_bytes()
    (sweep / "report.html").unlink()
    done = main_of(program, f"sweep={given}")
    assert (done.code, done.out, done.err) == (0, "outputs/sweeps/x/report.html\n", "")
    assert (sweep / "report.html").read_bytes() == before
    written = (sweep / "runs.csv").stat().st_mtime_ns
    conclude(from_sweep(sweep), sweep, consensus=Consensus(choose=Choose.median), onecycle=OneCycle())
    assert (sweep / "runs.csv").stat().st_mtime_ns == written


def test_a_sweep_without_a_page_gets_one(sweep: Path) -> None:
    """After report=false; its summary then names it."""
    settings = Consensus(choose=Choose.median)
    conclude(from_sweep(sweep), sweep, consensus=settings, onecycle=OneCycle(), report=False)
    assert not (sweep / "report.html").exists()
    assert main_of(program, "sweep=x").code == 0
    summary = json.loads((sweep / "summary.json").read_text())
    assert "report.html" in summary["files"]
    assert "report.html" in summary["digests"]


def test_settings_of_a_summary_that_refer_elsewhere_are_not_followed(
    sweep: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The jobs' own count instead."""
    monkeypatch.setenv("STEADYLR_SECRET", "secret")

    def spoil(summary: dict[str, dict[str, dict[str, str]]]) -> None:
        summary["settings"]["onecycle"]["anneal_strategy"] = "${oc.env:STEADYLR_SECRET}"

    change_file(sweep / "summary.json", spoil)
    done = main_of(program, "sweep=x")
    assert done.code == 0
    assert "secret" not in (sweep / "report.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "got neither"),
        (["sweep=x", "run=y"], "got both"),
        (["sweep=nowhere"], "no such folder"),
        (["run=nowhere"], "no folder"),
        (["run=outputs/sweeps/x"], "is the folder of a sweep"),
    ],
)
def test_what_it_refuses(sweep: Path, arguments: list[str], said: str) -> None:
    """In one sentence, with exit code 1."""
    done = main_of(program, *arguments)
    assert (done.code, done.out) == (1, "")
    assert said in done.err
    assert len(done.err.splitlines()) == 1


@pytest.mark.slow
def test_a_single_run_leaves_its_page_and_report_makes_it_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With report=false it leaves none; the jobs of a sweep leave none of their own."""
    monkeypatch.chdir(tmp_path)
    assert find_lr(*TINY, "hydra.run.dir=outputs/runs/a").code == 0
    page = tmp_path / "outputs" / "runs" / "a" / "report.html"
    before = page.read_bytes()
    page.unlink()
    assert main_of(program, "run=outputs/runs/a").out == "outputs/runs/a/report.html\n"
    assert page.read_bytes() == before
    assert find_lr(*TINY, "hydra.run.dir=outputs/runs/b", "report=false").code == 0
    assert not (tmp_path / "outputs" / "runs" / "b" / "report.html").exists()


@pytest.mark.slow
def test_what_is_imported(sweep: Path, tmp_path: Path) -> None:
    """report.py no torch; --help and an aggregate that is there already neither plotly, torch nor jinja2."""
    heavy = {"torch", "plotly"}
    assert imported("report", "sweep=x", cwd=tmp_path, unwanted=heavy) == "[]"
    light = {*heavy, "jinja2"}
    assert imported("report", "--help", cwd=tmp_path, unwanted=light) == "[]"
    first = imported("aggregate", "sweep=x", cwd=tmp_path, unwanted=heavy)
    assert imported("aggregate", "sweep=x", cwd=tmp_path, unwanted=light) == first == "[]"
