"""How far one run has come, while it trains. Where nothing is shown, rich is not imported."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from steadylr.present.notebook import in_notebook, notebook_bar
from steadylr.present.numbers import format_duration, format_loss, format_lr

if TYPE_CHECKING:
    from rich.console import Console

StepReport = Callable[[int, float, "float | None"], None]
"""Called after each step with its number from 0, its LR, and its loss if that is known by now."""

REFRESH_SECONDS = 0.15

FIRST_LINE_SECONDS = 5.0
LINE_SECONDS = 30.0
"""Without a bar: when a run is first told of, and how long a line stands before the next."""


def progress_console() -> Console:
    """Standard error."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, markup=False, emoji=False)


@contextmanager
def run_progress(
    num_iter: int,
    *,
    shown: bool = True,
    label: str = "",
    console: Console | None = None,
    lines: bool = False,
) -> Iterator[StepReport | None]:
    """A progress bar with loss, LR and iterations per second while one run trains.

    Gives what is to be called after each step, or None where nothing is shown: shown is false, or standard
    error is neither a terminal nor a notebook's and no lines are wanted. Most calls only note the numbers; the bar is
    drawn a few times per second.

    Args:
        num_iter: steps of the ramp.
        shown: whether to show anything.
        label: what the run is called, shown before the numbers; empty for nothing.
        console: where; standard error by default, or below the cell of a notebook.
        lines: where there is no bar, tell of a run that takes its time by a line now and then.
    """
    if not shown or (console is None and not (in_notebook() or _may_be_terminal())):
        yield _RunLines(num_iter).report if shown and lines else None
        return
    if console is None and in_notebook():
        bar = _RunBar(notebook_bar(num_iter), label)
        try:
            yield bar.report
        finally:
            bar.draw()
        return
    console = progress_console() if console is None else console
    if not console.is_terminal:
        yield None
        return
    from rich.progress import BarColumn, Progress, TextColumn

    columns = (
        TextColumn("{task.completed:.0f}/{task.total:.0f}"),
        BarColumn(bar_width=16),
        TextColumn("{task.description}"),
    )
    with Progress(*columns, console=console, auto_refresh=False) as progress:
        task = progress.add_task("", total=num_iter)

        def show(done: int, text: str) -> None:
            progress.update(task, completed=done, description=text)
            progress.refresh()

        bar = _RunBar(show, label)
        try:
            yield bar.report
        finally:
            bar.draw()


def _may_be_terminal() -> bool:
    """Whether rich could take standard error for a terminal: it is one, or the environment wants it to be."""
    isatty = getattr(sys.stderr, "isatty", None)
    asked = os.environ.get("FORCE_COLOR") or os.environ.get("TTY_COMPATIBLE")
    return bool(asked) or (isatty is not None and isatty())


class _RunLines:
    """Lines on standard error for a run that takes longer than a moment, for whoever reads a log or a pipe."""

    __slots__ = ("_due", "_num_iter", "_started")

    def __init__(self, num_iter: int) -> None:
        self._num_iter = num_iter
        self._started: float | None = None
        self._due = 0.0

    def report(self, step: int, lr: float, loss: float | None) -> None:
        """Note a step; print when it is time."""
        now = time.perf_counter()
        if self._started is None:  # the first step is slower than the others
            self._started, self._due = now, now + FIRST_LINE_SECONDS
        elif now >= self._due:
            self._due = now + LINE_SECONDS
            left = (now - self._started) / step * (self._num_iter - 1 - step)
            text = f"step {step + 1:,} of {self._num_iter:,}, about {format_duration(left)} left"
            print(text, file=sys.stderr, flush=True)


class _RunBar:
    """What the bar shows, drawn at most once in REFRESH_SECONDS."""

    __slots__ = ("_done", "_due", "_first", "_label", "_loss", "_lr", "_show", "_started")

    def __init__(self, show: Callable[[int, str], None], label: str) -> None:
        self._show = show
        self._label = label
        self._done = 0
        self._lr = 0.0
        self._loss: float | None = None
        self._due = 0.0
        self._first = 0
        self._started: float | None = None

    def report(self, step: int, lr: float, loss: float | None) -> None:
        """Note a step; draw when it is time."""
        self._done = step + 1
        self._lr = lr
        if loss is not None:
            self._loss = loss
        now = time.perf_counter()
        if self._started is None:  # the first step is slower than the others and says nothing on speed
            self._started, self._first = now, self._done
        if now >= self._due:
            self._due = now + REFRESH_SECONDS
            self.draw(now)

    def draw(self, now: float | None = None) -> None:
        """Draw the bar as it stands."""
        parts = [self._label] if self._label else []
        if self._loss is not None:
            parts.append(f"loss {format_loss(self._loss)}")
        if self._done:
            parts.append(f"LR {format_lr(self._lr)}")
        if self._started is not None and self._done > self._first:
            seconds = (time.perf_counter() if now is None else now) - self._started
            parts.append(f"{(self._done - self._first) / max(seconds, 1e-9):.0f} it/s")
        self._show(self._done, "  ".join(parts))
