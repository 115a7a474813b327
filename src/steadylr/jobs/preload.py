"""What most trainings import, imported once: worker processes are forked from one that has imported this."""

from __future__ import annotations

import atexit
import os
import sys
from contextlib import suppress

with suppress(Exception):  # a training that needs what can't be imported says so
    import torch._dynamo  # noqa: F401  (torch imports it when the first optimizer is built)

    import steadylr.run.range_test
    import steadylr.training.train  # noqa: F401


def _end_at_once() -> None:
    """Leave without taking torch apart, which takes a second in which standard output stays open for `| tail`."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(0)


if sys.argv == ["-c"]:  # in the process that workers are forked from, as multiprocessing starts it
    atexit.register(_end_at_once)
