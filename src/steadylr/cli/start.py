"""Where each program starts: nothing heavy is imported before Ctrl-C is seen to."""

from __future__ import annotations

import sys
from importlib import import_module

from steadylr.exit_codes import EXIT_INTERRUPTED


def find_lr() -> None:
    """Start the main program: `python src/find_lr.py`, `python -m steadylr`, `steadylr`."""
    _start("find_lr")


def aggregate() -> None:
    """Start `python src/aggregate.py`, `steadylr-aggregate`."""
    _start("aggregate")


def verify_lr() -> None:
    """Start `python src/verify_lr.py`, `steadylr-verify`."""
    _start("verify_lr")


def report() -> None:
    """Start `python src/report.py`, `steadylr-report`."""
    _start("report")


def store() -> None:
    """Start `python src/store.py`, `steadylr-store`."""
    _start("store")


def watch() -> None:
    """Start `python src/watch.py`, `steadylr-watch`."""
    _start("watch")


def _start(name: str) -> None:
    try:
        import_module(f"steadylr.cli.{name}").main()
    except KeyboardInterrupt:
        print("interrupted before anything was begun", file=sys.stderr)
        sys.exit(EXIT_INTERRUPTED)
