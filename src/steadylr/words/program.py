"""What the programs are called by on the command line."""

from __future__ import annotations

import sys
from pathlib import Path

MAIN = "find_lr"
INSTALLED = {
    MAIN: "steadylr",
    "aggregate": "steadylr-aggregate",
    "report": "steadylr-report",
    "verify_lr": "steadylr-verify",
    "watch": "steadylr-watch",
}
"""What an installed package calls its programs."""


def program_name() -> str:
    """This program as a person would type it: `python src/find_lr.py`, `python -m steadylr`, or `steadylr`."""
    called = Path(sys.argv[0])
    if called.name == "__main__.py":
        return f"python -m {called.parent.name}"
    return f"python {sys.argv[0]}" if called.suffix == ".py" else called.name


def other_program(name: str) -> str:
    """Another program, called in the way in which this one was; name is that of its module."""
    called = Path(sys.argv[0])
    beside = called.with_name(f"{name}.py")
    return f"python {beside}" if called.name != "__main__.py" and beside.is_file() else INSTALLED[name]
