"""The folder of a sweep, as a command line names it."""

from __future__ import annotations

import os
from pathlib import Path

from steadylr.config.errors import BadInput
from steadylr.run.names import nearest

SWEEPS = Path("outputs/sweeps")


def sweep_folder(given: Path) -> Path:
    """The folder of a sweep; its name alone will do."""
    named = SWEEPS / given
    return named if not os.path.isdir(given) and len(given.parts) == 1 and os.path.isdir(named) else given


def check_sweep(folder: Path) -> None:
    """Refuse a folder that isn't there.

    Raises:
        BadInput: it isn't, with those that are named nearly so.
    """
    if os.path.isdir(folder):
        return
    beside = SWEEPS if len(folder.parts) == 1 else folder.parent
    there = (
        sorted(entry.name for entry in os.scandir(beside) if entry.is_dir()) if os.path.isdir(beside) else []
    )
    near = nearest(folder.name, there)
    meant = (
        f"did you mean {' or '.join(near)}?" if near else f"give the folder of a sweep, {SWEEPS}/<sweep_name>"
    )
    raise BadInput(f"sweep={folder}: no such folder; {meant}")
