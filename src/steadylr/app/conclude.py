"""The end of a sweep: answer, write, print, and an honest exit code."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from steadylr import __version__
from steadylr.app import sweep_files as files
from steadylr.app.checks import plain_values
from steadylr.app.session import EXIT_FAILED, EXIT_NO_ANSWER, EXIT_OK
from steadylr.app.sweep import SweepAnswer, answer_sweep

if TYPE_CHECKING:
    from steadylr.app.members import Members
    from steadylr.app.schema import Consensus, OneCycle


def conclude(found: Members, folder: Path, *, consensus: Consensus, onecycle: OneCycle) -> int:
    """Answer from what was found, leave the files in the folder, print the answer and give the exit code.

    Where the folder holds the aggregate of the same inputs already, nothing is written or drawn again.

    Raises:
        BadInput: an LR that is no number above 0.
    """
    settings = {"consensus": plain_values(asdict(consensus)), "onecycle": plain_values(asdict(onecycle))}
    digest = files.inputs_digest(found, settings, __version__)
    answer = answer_sweep(found, choose=consensus.choose.value, onecycle=onecycle, mix=consensus.mix)
    code = exit_code(answer)
    if files.unchanged(folder, digest):
        print((folder / files.ANSWER_FILE).read_text(encoding="utf-8"), end="")
        return code
    files.write_runs(folder, found)
    files.write_curves(folder, found.members)
    return code


def exit_code(answer: SweepAnswer) -> int:
    """1 where a job failed or a file could not be read, 3 without a usable LR, else 0."""
    if answer.failed or answer.problems:
        return EXIT_FAILED
    return EXIT_OK if answer.usable else EXIT_NO_ANSWER
