"""How far a run and a sweep have come."""

from __future__ import annotations

import io
import subprocess
import sys

import pytest
from rich.console import Console
from rich.progress import Progress

from steadylr.present import progress as run_bar
from steadylr.present import sweep_progress as module
from steadylr.present.progress import run_progress
from steadylr.present.sweep_progress import SweepProgress


def test_there_is_no_bar_without_a_terminal() -> None:
    """Where standard error is no terminal, or nothing shall be shown, there is nothing to call per step."""
    file = io.StringIO()
    with run_progress(10, console=Console(file=file, force_terminal=False)) as report:
        assert report is None
    with run_progress(10, shown=False, console=Console(file=file, force_terminal=True)) as report:
        assert report is None
    assert file.getvalue() == ""


def test_the_bar_shows_loss_lr_and_speed() -> None:
    """The last picture of the bar has the last step, the last known loss, the LR and a speed."""
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, width=100, color_system=None)
    with run_progress(1000, console=console) as report:
        assert report is not None
        report(0, 1e-7, None)
        report(510, 1e-3, 2.25)
        report(511, 2e-3, None)
    last = file.getvalue().split("\r")[-1]
    assert "512/1000" in last
    assert "loss 2.250  LR 2.00e-3" in last
    assert "it/s" in last


def test_most_steps_draw_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many steps are reported, the bar is drawn once at the start and then when its time has come."""
    clock = [100.0]
    monkeypatch.setattr(run_bar.time, "perf_counter", lambda: clock[0])
    drawn = []
    monkeypatch.setattr(Progress, "refresh", lambda self: drawn.append(clock[0]))
    with run_progress(10_000, console=Console(file=io.StringIO(), force_terminal=True)) as report:
        assert report is not None
        drawn.clear()
        for step in range(10_000):
            report(step, 1e-3, 1.0)
            clock[0] += 1e-4
        assert len(drawn) == pytest.approx(1.0 / run_bar.REFRESH_SECONDS, abs=1)


def test_a_sweep_without_a_terminal_has_a_line_per_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each run that ends leaves one plain line with how many have ended and the time left."""
    clock = [0.0]
    monkeypatch.setattr(module.time, "perf_counter", lambda: clock[0])
    file = io.StringIO()
    with SweepProgress(3, 3000, console=Console(file=file, force_terminal=False)) as progress:
        clock[0] = 60.0
        progress.update(steps=1500, running=2)
        progress.run_done("seed=1")
        progress.run_done(failed=True)
        progress.run_done()
    assert file.getvalue().splitlines() == [
        "run seed=1 done (1 of 3), about 1 min left",
        "run failed (2 of 3), about 30 s left",
        "run done (3 of 3)",
    ]


def test_the_time_left_is_told_as_soon_as_it_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a terminal in a line of its own, once; the time that processes take to start is not counted."""
    clock = [0.0]
    monkeypatch.setattr(module.time, "perf_counter", lambda: clock[0])
    file = io.StringIO()
    with SweepProgress(3, 3000, console=Console(file=file, force_terminal=False)) as progress:
        for second, steps in ((10.0, 0), (20.0, 30), (21.0, 60), (22.0, 190), (23.0, 400), (24.0, 500)):
            clock[0] = second
            progress.update(steps=steps, running=2)
    assert file.getvalue().splitlines() == ["0 of 3 runs done, 2 running, about 16 s left"]


def test_a_sweep_on_a_terminal_has_one_display() -> None:
    """Done, running, failed and time left stand in one line that is drawn over and over."""
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, width=120, color_system=None)
    with SweepProgress(5, total_jobs=10, console=console) as progress:
        progress.update(running=2)
        progress.run_done()
        progress.run_done(failed=True)
        progress.update(running=2)
        assert progress.text().startswith("1 of 5 runs (10 jobs) done, 2 running, 1 failed, about ")
    assert file.getvalue().count("\n") == 1


def test_progress_loads_neither_numpy_nor_matplotlib() -> None:
    """Importing it is quick: what the statistics and the figures need comes later."""
    code = (
        "import sys, steadylr.present.sweep_progress;"
        "sys.exit(any(m in sys.modules for m in ('numpy', 'scipy', 'matplotlib', 'torch')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_an_empty_sweep_shows_nothing() -> None:
    """Where nothing is to be trained there is no display."""
    file = io.StringIO()
    with SweepProgress(0, 0, console=Console(file=file, force_terminal=True)) as progress:
        progress.update(steps=0, running=0)
    assert file.getvalue() == ""


def test_a_run_without_a_terminal_has_a_line_now_and_then(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where a program asks for it: after a few seconds, and then every half minute."""
    clock = [0.0]
    monkeypatch.setattr(run_bar.time, "perf_counter", lambda: clock[0])
    monkeypatch.setattr(run_bar, "_may_be_terminal", lambda: False)
    with run_progress(1001, lines=True) as report:
        assert report is not None
        for step in range(401):
            report(step, 1e-3, None)
            clock[0] += 0.125
    assert capsys.readouterr().err.splitlines() == [
        "step 41 of 1,001, about 2 min left",
        "step 281 of 1,001, about 1 min 30 s left",
    ]
    with run_progress(1001) as report:
        assert report is None
