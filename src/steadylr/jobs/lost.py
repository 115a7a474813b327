"""Which jobs are lost when a launcher of others ends before they do."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from hydra.core.utils import filter_overrides

from steadylr.answer.asked import overrides_of
from steadylr.jobs.work import differing, some_of
from steadylr.present.numbers import count
from steadylr.store.files import DamagedFile, NewerSchema
from steadylr.store.job_folder import job_folders
from steadylr.store.records import JobStatus
from steadylr.words.program import other_program


def lost_text(sweep: Path, job_overrides: Sequence[Sequence[str]]) -> str:
    """Which jobs of a launcher have not ended, and how one goes on.

    Args:
        sweep: the folder of the sweep, whether or not it is there.
        job_overrides: of each job that the launcher had.
    """
    asked = [tuple(filter_overrides(overrides)) for overrides in job_overrides]
    folders = job_folders(sweep) if sweep.is_dir() else []
    ended = {overrides_of(folder) for folder in folders if _has_ended(folder)}
    lost = [own for own, overrides in zip(differing(asked), asked, strict=True) if overrides not in ended]
    named = [" ".join(own) for own in lost if own]
    which = f" ({some_of(named)})" if named else ""
    if not ended:
        return f"none of {count(len(asked), 'job')} has ended"
    return (
        f"{count(len(lost), 'job')} lost{which}. What the others found follows, and {other_program('aggregate')} "
        f"'sweep={sweep}' gives it again; the same command with sweep_name='{sweep.name}' trains what is missing"
    )


def _has_ended(folder: Path) -> bool:
    """Whether a job has come to its own end, with an LR or without."""
    with suppress(OSError, DamagedFile, NewerSchema):
        return JobStatus.read(folder).status != "interrupted"
    return False
