"""How far the runs of a sweep have come. rich draws the bar and estimates the time left."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.text import Text

from steadylr.present.numbers import count, format_duration
from steadylr.present.progress import REFRESH_SECONDS, progress_console

LEAST_SHARE = 0.1
"""Of all steps, before the time left is told in a line of its own; a first report of fewer restarts the clock."""


@dataclass(frozen=True, slots=True)
class Running:
    """A training under way.

    Args:
        label: what people call it.
        lr, loss: its points so far, thinned; equally long, and empty where nothing is known of them.
        share: of its steps that are done, from 0 to 1.
    """

    label: str
    lr: tuple[float, ...] = ()
    loss: tuple[float, ...] = ()
    share: float = 0.0


class SweepProgress:
    """One display for a whole sweep: done, running, failed, time left.

    On a terminal a bar on standard error; elsewhere one line there as soon as the time left can be told, and one
    for each run that ends. Use as a context.

    Args:
        total_runs: runs to train.
        total_steps: steps of all of them together, for the time left; without it the runs are counted.
        total_jobs: jobs that wait for these runs, to be named beside them; None for not named.
        console: where; standard error by default.
    """

    def __init__(
        self,
        total_runs: int,
        total_steps: int | None = None,
        *,
        total_jobs: int | None = None,
        console: Console | None = None,
    ) -> None:
        self._console = progress_console() if console is None else console
        self._total_runs = total_runs
        self._total = float(total_steps or total_runs)
        self._jobs = "" if total_jobs is None else f" ({count(total_jobs, 'job')})"
        self._steps = self._done = self._failed = self._running = 0
        self._begun_at: float | None = None
        self._told = False
        self._due = 0.0
        self._shown = self._console.is_terminal and total_runs > 0
        self._progress = Progress(
            BarColumn(bar_width=16),
            TextColumn("{task.description}"),
            console=self._console,
            auto_refresh=False,
            disable=not self._shown,
            get_time=lambda: time.perf_counter(),
            speed_estimate_period=math.inf,  # runs differ: the mean over all says more than the last half minute
        )
        self._task = self._progress.add_task("", total=self._total)

    def __enter__(self) -> SweepProgress:
        self._start_clock(0)
        if self._shown:  # some versions of rich end a display that was never shown with an empty line
            self._progress.start()
            self._draw()
        return self

    def __exit__(self, *_: object) -> None:
        if self._shown:
            self._draw()
            self._progress.stop()

    def update(self, *, steps: int | None = None, running: int | None = None) -> None:
        """Tell how many steps are done, and how many runs train right now.

        Count a run that ended early with all its planned steps, or the time left is too long.
        """
        self._steps = self._steps if steps is None else steps
        self._running = self._running if running is None else running
        self._advance()
        self._tell_early()
        now = time.perf_counter()
        if now >= self._due:
            self._due = now + REFRESH_SECONDS
            self._draw()

    def run_done(self, label: str = "", *, failed: bool = False) -> None:
        """Tell that a run has ended."""
        self._done += not failed
        self._failed += failed
        self._running = max(0, self._running - 1)
        self._advance()
        if self._shown:
            self._draw()
            return
        what = f"run {label}" if label else "run"
        verb = "failed" if failed else "done"
        self._print(f"{what} {verb} ({self._ended} of {self._total_runs}){self._left_text()}")

    def text(self) -> str:
        """The display's text: "2 of 5 runs done, 2 running, 1 failed, about 3 min left"."""
        parts = [f"{self._done} of {count(self._total_runs, 'run')}{self._jobs} done"]
        if self._running:
            parts.append(f"{self._running} running")
        if self._failed:
            parts.append(f"{self._failed} failed")
        return ", ".join(parts) + self._left_text()

    @property
    def _ended(self) -> int:
        return self._done + self._failed

    def _start_clock(self, completed: int) -> None:
        """Estimate the time left from now on."""
        self._progress.reset(self._task, completed=completed)
        self._progress.update(self._task, advance=1e-300)  # rich takes the first sample for the start

    def _advance(self) -> None:
        completed = min(
            self._total, max(float(self._steps), self._total * self._ended / max(1, self._total_runs))
        )
        if self._begun_at is None and completed > 0:
            self._begun_at = completed
            if (
                completed < LEAST_SHARE * self._total
            ):  # so far processes have started, which says nothing of steps
                self._start_clock(int(completed))
        self._progress.update(self._task, completed=completed)

    def _tell_early(self) -> None:
        """One line where there is no terminal, as soon as the time left can be told."""
        if self._shown or self._told or self._begun_at is None or self._ended:
            return
        if self._steps - self._begun_at >= LEAST_SHARE * self._total:
            self._told = True
            self._print(self.text())

    def _left_text(self) -> str:
        task = self._progress.tasks[0]
        left = None if task.finished else task.time_remaining
        return "" if left is None else f", about {format_duration(left)} left"

    def _draw(self) -> None:
        if self._shown:
            self._progress.update(self._task, description=self.text(), refresh=True)

    def _print(self, text: str) -> None:
        self._console.print(Text(text), soft_wrap=True)
