"""A process that obtains runs from a store: `store_process.py STORE LOG FIRST LAST MODE [nolock]`.

It asks for the seeds FIRST to LAST - 1, one after the other, and appends one line to LOG when a training
starts. It says "ready" and waits for a line on its standard input before it begins. MODE is what a training
does besides: "quick" nothing, "sleep" takes 0.3 s, "hang" never ends, "meet" waits until two have started.
"""

from __future__ import annotations

import errno
import os
import sys
import time
from pathlib import Path

import numpy as np
from filelock import FileLock

from steadylr.core.curve import Curve
from steadylr.store.curve_file import RunCurves
from steadylr.store.curve_store import CurveStore

TRAINING = {"model": "tiny", "lr": 0.1}


def seeds_of(seed: int) -> dict[str, int]:
    """The seeds of all streams, as `seed=N` sets them."""
    return {"init": seed, "order": seed, "augment": seed, "noise": seed}


def trained(seed: int) -> RunCurves:
    """The one curve that belongs to a seed."""
    rng = np.random.default_rng(seed)
    lr = np.geomspace(1e-5, 1.0, 50)
    return RunCurves(Curve(lr, rng.normal(size=50), num_iter=50), None, lr[:, None], {"seed": seed})


def append(log: Path, line: str) -> None:
    """Add a line to a file in one write, so that processes don't mix theirs."""
    handle = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(handle, f"{line}\n".encode())
    os.close(handle)


def say(line: str) -> None:
    """Tell the test."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def without_locks(*_: object, **__: object) -> None:
    """What a file system without locks says."""
    raise OSError(errno.ENOSYS, "Function not implemented")


def main(folder: str, log: str, first: str, last: str, mode: str, *flags: str) -> None:
    """Obtain the runs."""

    def training(seed: int) -> RunCurves:
        append(Path(log), str(seed))
        if mode == "sleep":
            time.sleep(0.3)
        while mode == "hang" or (mode == "meet" and len(Path(log).read_text().split()) < 2):
            time.sleep(0.01)
        return trained(seed)

    say("ready")
    sys.stdin.readline()
    if "nolock" in flags:
        FileLock.acquire = without_locks  # type: ignore[method-assign,assignment]
    store = CurveStore(folder)
    for seed in range(int(first), int(last)):
        curves, from_store = store.obtain(TRAINING, seeds_of(seed), lambda seed=seed: training(seed))
        say(f"{curves.curve.digest()} {from_store}")


if __name__ == "__main__":
    main(*sys.argv[1:])
