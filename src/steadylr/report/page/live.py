"""The page of a sweep that is under way: what its folder holds so far, and the curves that are being trained."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from steadylr.answer.answer import SweepAnswer, answer_sweep
from steadylr.answer.readings import each_seed_once, from_sweep
from steadylr.answer.recorded import as_recorded
from steadylr.config.errors import BadInput
from steadylr.config.schema import Consensus, OneCycle
from steadylr.present.escaped import escaped
from steadylr.present.sweep_progress import Running
from steadylr.report.page.data import page_data
from steadylr.report.page.html import page_html
from steadylr.report.page.serve import PageServer
from steadylr.store.job_folder import job_folders
from steadylr.store.records import STATUS_FILE, SUMMARY_FILE

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_READ = 150
"""Readings, runs times values of smooth_f, of a page that is made again whenever a run ends."""

LINGER_SECONDS = 3.0
"""How long a server waits at the end for a browser that was there to fetch the last state."""


class LivePage:
    """The page of a sweep's folder and what is new on it; made when somebody asks, and anew when the folder changes.

    Args:
        folder: of the sweep.
        running: gives the trainings under way.
    """

    def __init__(self, folder: Path, running: Callable[[], Sequence[Running]] = tuple) -> None:
        self._folder = folder
        self._running = running
        self._lock = threading.Lock()
        self._signature: object = None
        self._html = ""
        self._version = 0
        self._shown = -1
        self._asked_at = -LINGER_SECONDS
        self._ended = self._end_is_told = False

    def html(self) -> str:
        """The page as it is now."""
        with self._lock:
            signature = self._look()
            if signature != self._signature or not self._html:
                if self._html:
                    self._version += 1
                self._signature = signature
                self._html = page_html(self._data(), live=str(self._version))
            self._shown = self._version
            return self._html

    def now(self) -> str:
        """What is new, as JSON: whether there is another page, and the curves under way."""
        with self._lock:
            self._asked_at = time.monotonic()
            running = [] if self._ended else self._running()
            self._end_is_told = self._ended
            return json.dumps(
                {
                    "changed": self._look() != self._signature,
                    "version": self._version,
                    "ended": self._ended,
                    "running": [
                        {"label": escaped(one.label), "lr": one.lr, "loss": one.loss, "share": one.share}
                        for one in running
                    ],
                }
            )

    def end(self) -> None:
        """Tell browsers that this is the last state, and wait a moment for one that is there to fetch it."""
        self._ended = True
        limit = time.monotonic() + LINGER_SECONDS
        while self._is_watched() and time.monotonic() < limit:
            time.sleep(0.05)
            if self._end_is_told and self._shown == self._version and self._look() == self._signature:
                time.sleep(0.2)  # its answer is still on the way
                return

    def has_ended(self) -> bool:
        """Whether the folder holds an answer that is newer than all of its jobs."""
        summary = self._stamp(self._folder / SUMMARY_FILE)
        jobs = [self._stamp(job / STATUS_FILE) for job in job_folders(self._folder)]
        return summary is not None and all(stamp is not None and stamp <= summary for stamp in jobs)

    def _is_watched(self) -> bool:
        return time.monotonic() - self._asked_at < LINGER_SECONDS

    def _look(self) -> object:
        """What tells whether the folder has changed."""
        jobs = job_folders(self._folder) if self._folder.is_dir() else []
        return (
            self._stamp(self._folder / SUMMARY_FILE),
            *((job.name, self._stamp(job / STATUS_FILE)) for job in jobs),
        )

    @staticmethod
    def _stamp(path: Path) -> int | None:
        try:
            return path.lstat().st_mtime_ns
        except OSError:
            return None

    def _data(self) -> dict[str, Any]:
        try:
            gathered = each_seed_once(from_sweep(self._folder))
            consensus, onecycle = as_recorded(Consensus(), OneCycle(), gathered, ())
            answer = answer_sweep(
                gathered, choose=consensus.choose.value, onecycle=onecycle, mix=consensus.mix
            )
        except BadInput:  # there is no job yet
            answer, onecycle = SweepAnswer((), (), ()), OneCycle()
        return page_data(answer, onecycle=onecycle, most_read=MOST_READ)


@contextmanager
def served(page: LivePage, *, host: str, port: int, key: str) -> Iterator[str]:
    """Serve a page while the context is open; gives the address.

    Raises:
        BadInput: see PageServer.
    """
    with PageServer(host, port, page.html, page.now, key=key) as server:
        try:
            yield server.address
        finally:
            page.end()
