"""Sending a finished run or sweep to its tracker: nothing twice, and a failure costs nothing."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from steadylr.config.choices import TrackerName
from steadylr.errors import SteadylrError
from steadylr.present.streams import complain
from steadylr.store.tracked_file import Tracked

if TYPE_CHECKING:
    from steadylr.config.tracker import Tracker


def track(folder: Path, tracker: Tracker) -> None:
    """Send what a folder holds and its tracker hasn't; where that fails, say so in one sentence.

    A sweep comes before its jobs, which are told by their keys: continuing a sweep sends what is new, and its answer.

    Args:
        folder: of a single run, or of a sweep with its answer.
        tracker: where to; none sends nothing.
    """
    if tracker.name is TrackerName.none:
        return
    try:
        with _quiet():
            _send(folder, replace(tracker, dir=os.path.expanduser(tracker.dir)))
    except KeyboardInterrupt:  # of what is sent: the answer is there
        why = "interrupted"
    except Exception as error:  # whatever a library of others raises
        first = (str(error).strip() or "no reason given").splitlines()[0][:300]
        why = first if isinstance(error, SteadylrError) else f"{type(error).__name__}: {first}"
    else:
        return
    complain(
        f"tracker={tracker.name}: not all was sent ({why.rstrip('.')}). {folder} holds everything, and the same "
        "command goes on from there"
    )


def _send(folder: Path, tracker: Tracker) -> None:
    from steadylr.tracking.entry import entries_of
    from steadylr.tracking.trackers import TRACKERS

    where = place_of(tracker)
    tracked = Tracked.of(folder)
    for entry in entries_of(folder, tracked):
        if entry.mark in tracked.sent.get(where, []):
            continue
        if not tracked.sent:
            tracked.write(
                folder
            )  # before anything is sent: a kill must not leave it under an id that nobody knows
        TRACKERS[tracker.name.value](entry, tracker)
        tracked = tracked.having(where, entry.mark)
        tracked.write(folder)


def place_of(tracker: Tracker) -> str:
    """Where a tracker keeps what it is sent: the same text for the same place."""
    home = tracker.uri or os.path.abspath(tracker.dir)
    return f"{tracker.name} {home} {tracker.project}"


@contextmanager
def _quiet() -> Iterator[None]:
    """Within this context the libraries say nothing of what they do."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
