"""A run that a config asks for: from the store, or trained now."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from steadylr.store.curve_file import Obtained
from steadylr.store.curve_store import CurveStore
from steadylr.training.devices import train
from steadylr.training.failure import TrainingFailed
from steadylr.training.identity import Training, full_key
from steadylr.training.train import RawRun

if TYPE_CHECKING:
    from steadylr.config.schema import Config
    from steadylr.present.progress import StepReport

_SUPPLIED: dict[str, Obtained | TrainingFailed] = {}


@contextmanager
def supplied(key: str, run: Obtained | TrainingFailed) -> Iterator[None]:
    """Within this context the jobs of a run take it from here: a launcher has trained it, or failed to."""
    _SUPPLIED[key] = run
    try:
        yield
    finally:
        del _SUPPLIED[key]


def open_store(config: Config, *, create: bool = True) -> CurveStore | None:
    """The store that a config names; None when it is switched off, or isn't there and is not to be made."""
    folder = Path(config.store.dir)
    if not config.store.enabled or (not create and not folder.is_dir()):
        return None
    return CurveStore(folder, create=create)


def obtain(
    config: Config, training: Training, *, report: StepReport | None = None, gpus: Sequence[int] = ()
) -> Obtained:
    """Give the run that a config asks for: as supplied by the launcher, from the store, or trained now.

    Raises:
        TrainingFailed: the launcher met an error when it trained this run.
        Exception: whatever ended the training in this process.
    """
    given = _SUPPLIED.get(full_key(training))
    if isinstance(given, TrainingFailed):
        raise given
    if given is not None:
        return given
    start = time.perf_counter()

    def train_now() -> RawRun:
        return train(config, training, report=report, gpus=gpus)

    store = open_store(config)
    if store is None:
        curves, from_store = train_now()[0], False
    else:
        curves, from_store = store.obtain(training.shape, training.seeds, train_now)
    return Obtained(curves, from_store, time.perf_counter() - start)
