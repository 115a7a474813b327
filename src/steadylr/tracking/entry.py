"""What a tracker gets: each job as a run of its own, and the sweep as their parent."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from steadylr.answer.conditions import flat
from steadylr.answer.readings import RunReading, from_job, from_sweep
from steadylr.config.choices import FigureFormat
from steadylr.present.escaped import escaped_line
from steadylr.store.file_names import CURVES_FILE, PLAN_FILE, REPORT_FILE, figure_files, plan_files
from steadylr.store.job_folder import FIGURE_FILE, job_folders
from steadylr.store.records import Summary

if TYPE_CHECKING:
    from steadylr.core.curve import FloatArray
    from steadylr.store.tracked_file import Tracked

JOB_FILES = (
    *figure_files(FIGURE_FILE, [form.value for form in FigureFormat]),
    *(*plan_files(PLAN_FILE), REPORT_FILE),  # of single runs
)
LEFT_OUT = (CURVES_FILE,)
"""Files of an answer that are not sent: the curves are in the runs."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One run of a tracker.

    Args:
        key: tells it from all others: 32 hexadecimal digits.
        mark: by which the folder remembers that it was sent: another one where there is news.
        name: for people.
        place: folders below each other, for trackers that have such: plain names.
        parent: key of the sweep; None for a sweep and for a single run.
        params: the config, by key.
        points: by name, as many numbers as there are steps.
        steps: the optimizer step of each point.
        numbers: by name.
        tags: by name.
        files: those that are there.
    """

    key: str
    mark: str
    name: str
    place: tuple[str, ...]
    parent: str | None
    params: Mapping[str, str | int | float | bool]
    points: Mapping[str, FloatArray]
    steps: Sequence[int]
    numbers: Mapping[str, float]
    tags: Mapping[str, str]
    files: Sequence[Path]


def entries_of(folder: Path, tracked: Tracked) -> Iterator[Entry]:
    """A single run, or a sweep and then its jobs.

    Raises:
        BadInput, DamagedFile, NewerSchema: it can't be read.
        OSError: likewise.
    """
    root = f"{escaped_line(folder.resolve().name)}-{tracked.id[:6]}"
    if not job_folders(folder):
        for reading in from_job(folder, label=folder.name).readings:
            yield _job(reading, folder, tracked.id, name=escaped_line(folder.name), place=(root,))
        return
    yield _sweep(folder, tracked.id, root)
    for reading in from_sweep(folder).readings:
        name = f"{escaped_line(folder.name)}/{reading.label}"
        yield _job(
            reading, folder / reading.label, tracked.id, name=name, place=(root, reading.label), in_sweep=True
        )


def _job(
    reading: RunReading,
    folder: Path,
    whole: str,
    *,
    name: str,
    place: tuple[str, ...],
    in_sweep: bool = False,
) -> Entry:
    record, curve, headline = reading.record, reading.curve, reading.headline
    assert record is not None
    assert curve is not None
    numbers = {f"suggestion/{rule}": told.lr for rule, told in reading.suggestions.items()}
    numbers |= {"suggested_lr": headline.lr, "suggested_low": headline.low, "suggested_high": headline.high}
    tags = {
        "rule": reading.rule,
        "outcome": headline.outcome.value,
        "reason": headline.reason,
        "stop": curve.stop.value,
        "findings": " ".join(reading.findings),
        "overrides": " ".join(reading.overrides),
        "run": record.run.key[:12],
        "job": record.job_key,
        "commit": record.git_commit or "",
        **{f"version.{package}": version or "" for package, version in record.versions.items()},
    }
    return Entry(
        key=_digest(whole, record.job_key),
        mark=record.job_key,
        name=name,
        place=place,
        parent=_digest(whole) if in_sweep else None,
        params=_params({key: own for key, own in record.config.items() if key != "tracker"}),
        points={"loss": curve.loss, "lr": curve.lr},
        steps=np.arange(len(curve)).tolist() if reading.steps is None else reading.steps.tolist(),
        numbers={_plain_name(name): lr for name, lr in numbers.items() if lr is not None},
        tags=_tags(tags),
        files=_there(folder, JOB_FILES),
    )


def _sweep(folder: Path, whole: str, root: str) -> Entry:
    summary = Summary.read(folder)
    numbers: dict[str, float] = {"num_failed": len(summary.failed), "num_problems": len(summary.problems)}
    tags: dict[str, str] = {}
    for number, kind in enumerate(summary.kinds, start=1):
        before = f"{number}/" if len(summary.kinds) > 1 else ""
        names = ("consensus", "mean_curve", "verdict", "plan")
        parts = {part: kind.get(part) or {} for part in names}  # earlier versions knew no mean curve
        told = {f"{before}{name}": value for name, value in _params(parts).items()}
        tags |= {f"{before}kind": str(kind["label"]), **{name: str(value) for name, value in told.items()}}
        numbers |= {
            name: float(value)
            for name, value in told.items()
            if isinstance(value, int | float) and not isinstance(value, bool)
        }
    return Entry(
        key=_digest(whole),
        mark=f"answer {summary.inputs}",
        name=escaped_line(folder.resolve().name),
        place=(root,),
        parent=None,
        params={},
        points={},
        steps=(),
        numbers={_plain_name(name): number for name, number in numbers.items()},
        tags=_tags(tags),
        files=_there(folder, [name for name in summary.files if name not in LEFT_OUT]),
    )


def _digest(*parts: str) -> str:
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()[:32]


def _params(values: Mapping[str, Any]) -> dict[str, str | int | float | bool]:
    """A config as its keys are typed, finder.num_iter=300; lists as text, what is null or holds no key left out."""
    return {
        _plain_name(key): value if isinstance(value, int | float | bool) else escaped_line(str(value))
        for key, value in flat(values).items()
        if value is not None and value != {}
    }


def _plain_name(name: str) -> str:
    """A name that every tracker takes."""
    return re.sub(r"[^A-Za-z0-9_./ -]", "_", name)[:200] or "_"


def _tags(tags: Mapping[str, str]) -> dict[str, str]:
    return {_plain_name(name): escaped_line(text)[:1000] for name, text in tags.items() if text}


def _there(folder: Path, names: Sequence[str]) -> list[Path]:
    """Those files of a folder that are there: no links, which may lead out of it."""
    plain = [folder / name for name in names if name == Path(name).name and name not in ("", "..")]
    return [path for path in plain if os.path.isfile(path) and not os.path.islink(path)]
