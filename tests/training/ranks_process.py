"""A training on several devices that takes no torch and no time: run by tests of ranks, never collected.

Ranks import this module too, as they are started like the program itself. The environment says what goes wrong:
ranks that raise (RAISE) or refuse (REFUSE), kill their process (DIE) or wait without end (WAIT). A rank whose
neighbour has died fails of it, as it does in torch. What came of the training is printed.
"""

from __future__ import annotations

import fcntl
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from steadylr.config.errors import BadInput
from steadylr.training.failure import TrainingFailed
from steadylr.training.ranks import in_ranks


def indices_in(variable: str) -> set[int]:
    return {int(index) for index in os.environ.get(variable, "").split(",") if index}


def work(rank: Any, *, report: Any, gpu: int) -> Any:
    """Waits until all ranks are there; then what the environment says happens."""
    folder = Path(os.environ["FOLDER"])
    alive = open(folder / f"alive{rank.index}", "w")  # noqa: SIM115 (locked until this process ends)
    fcntl.flock(alive, fcntl.LOCK_EX)
    (folder / f"pid{rank.index}").write_text(str(os.getpid()))
    while len(list(folder.glob("pid*"))) < rank.count:
        time.sleep(0.02)
    if rank.index in indices_in("RAISE"):
        raise RuntimeError("of rank " + str(rank.index))
    if rank.index in indices_in("REFUSE"):
        raise BadInput("x is wrong")
    if rank.index in indices_in("DIE"):
        os.kill(os.getpid(), signal.SIGKILL)
    for index in indices_in("DIE"):
        with open(folder / f"alive{index}") as other:
            fcntl.flock(other, fcntl.LOCK_SH)  # comes when the other has died
        raise ConnectionError("closed by peer")
    if indices_in("WAIT") or indices_in("RAISE") or indices_in("REFUSE"):
        time.sleep(600)
    if report is not None:
        report(3, 0.1, 2.0)
    return (gpu, rank.index), ("init",)


if __name__ == "__main__":
    reported: list[Any] = []
    try:
        found: Any = in_ranks(work, 2, report=lambda *told: reported.append(told), gpus=(7, 5))
    except TrainingFailed as failure:
        found = f"{failure}{' with traceback' if failure.details else ''}"
    except KeyboardInterrupt:
        found = "interrupted"
    sys.stdout.write(f"{found} {reported}\n")
