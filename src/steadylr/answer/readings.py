"""What takes part in an aggregate: jobs of sweeps, single runs, curves from elsewhere, plain numbers."""

from __future__ import annotations

import os
from collections.abc import Hashable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from steadylr.answer.asked import key_of, overrides_of, rule_of
from steadylr.answer.conditions import (
    Seeds,
    check_key,
    check_recorded,
    condition_key,
    condition_of,
    optimizer_of,
    seeds_of,
)
from steadylr.answer.left import left_in
from steadylr.answer.lengths import ConditionLadder, read_ladders
from steadylr.answer.reading import has_momentum
from steadylr.answer.sweep_folder import check_sweep
from steadylr.config.errors import BadInput
from steadylr.core.curve import Curve
from steadylr.core.diagnosis import diagnose
from steadylr.core.rules import DEFAULT_RULE, suggest_all
from steadylr.core.settings import READING_KEYS, Reading
from steadylr.core.stopping import StoppingRule
from steadylr.core.suggestion import Outcome
from steadylr.store.curve_file import RunCurves, load_csv_curve
from steadylr.store.curve_store import STORED_AS
from steadylr.store.files import DamagedFile, NewerSchema
from steadylr.store.job_folder import job_folders, odd_places
from steadylr.store.records import RECORD_FILE, STATUS_FILE, RunRecord, read_stopping
from steadylr.words.names import COMMAND_LINE
from steadylr.words.reading import ToldSuggestion, told_suggestion

IntArray = npt.NDArray[np.int64]

VALUE_RULE = "given"
"""The rule's name of a number that somebody brought along: no curve, no rule."""


@dataclass(frozen=True, slots=True)
class RunReading:
    """One reading of one run, as an aggregate takes it.

    Args:
        label: what people call it: a job's folder, a file, "value 2".
        run: identifies the curve: equal for readings of the same curve.
        condition: what must be equal for suggestions to be averaged: the training without its seeds; {} if unknown.
        setting: how the curve was read: rule, smooth_f and the rest.
        overrides: the job's command line.
        suggestions: by rule.
        rule: the headline rule.
        findings: codes of the diagnosis.
        curve: the curve that the rules read; None for a number without a curve.
        steps: the optimizer step of each point of the curve; None where the points are the steps.
        skipped_share: the share of its updates that a gradient scaler left out, from 0 to 1.
        record: the job's record, where there is one.
        lr_ratios: of the parameter groups, each group's LR over the ramp's.
        momentum: whether the optimizer has a momentum that OneCycle can cycle; True if unknown.
    """

    label: str
    run: str
    condition: dict[str, Any]
    setting: dict[str, Any]
    overrides: tuple[str, ...]
    suggestions: dict[str, ToldSuggestion]
    rule: str
    findings: tuple[str, ...]
    curve: Curve | None
    record: RunRecord | None = None
    lr_ratios: tuple[float, ...] = (1.0,)
    momentum: bool = True
    steps: IntArray | None = None
    skipped_share: float = 0.0

    @property
    def headline(self) -> ToldSuggestion:
        """The suggestion that counts."""
        return self.suggestions[self.rule]

    @property
    def read_with(self) -> Reading:
        """The settings that the rules read the curve with; the usual ones where there is no curve."""
        return Reading(**{name: value for name, value in self.setting.items() if name != "rule"})

    @property
    def condition_key(self) -> str:
        """The condition as text: equal for readings of one condition."""
        return condition_key(self.condition)

    @property
    def seeds(self) -> Seeds:
        """The seeds of the run; empty where there is no record."""
        return () if self.record is None else seeds_of(self.record.config)


@dataclass(frozen=True, slots=True)
class FailedJob:
    """A job that left no suggestion because it failed, or because it has not ended.

    Args:
        label: what people call it.
        overrides: the job's command line.
        status: "failed" or "interrupted".
        reason: what went wrong.
        condition_key: of the run, as RunReading.condition_key; empty where it ended before that was known.
        seeds: of the run, by stream; empty likewise.
    """

    label: str
    overrides: tuple[str, ...]
    status: str
    reason: str
    condition_key: str = ""
    seeds: Seeds = ()

    @property
    def has_failed(self) -> bool:
        """Whether it came to an end: an interrupted one was stopped, or another process is at it right now."""
        return self.status == "failed"


@dataclass(frozen=True, slots=True)
class Gathered:
    """All that takes part, all that failed, the files that could not be read, and what decided how many runs there are.

    stopping is None where the number of runs was settled beforehand. rules are those that the jobs were asked for,
    in the order of the jobs, damaged, failed and repeated ones counted: the first one makes the headline.
    """

    readings: tuple[RunReading, ...] = ()
    failed: tuple[FailedJob, ...] = ()
    problems: tuple[str, ...] = ()
    stopping: StoppingRule | None = None
    rules: tuple[str, ...] = ()
    ladders: tuple[ConditionLadder, ...] = ()  # short trainings, for the length of the planned one


Reread: TypeAlias = Mapping[str, Any]
"""Settings of READING_KEYS that replace the recorded ones; what it doesn't name stays as each record says."""

KEEP: Reread = {}


def from_sweep(folder: Path, *, reread: Reread = KEEP, named: bool = False) -> Gathered:
    """Read the job folders of one sweep; what can't be read is a problem, and the rest still counts.

    Args:
        folder: outputs/sweeps/<sweep_name>.
        reread: analysis settings that replace the recorded ones.
        named: put the sweep's name before the jobs' numbers in their labels.

    Raises:
        BadInput: the folder isn't there or holds no jobs.
    """
    check_sweep(folder)
    jobs = job_folders(folder)
    odd = tuple(odd_places(folder))
    if not jobs:
        sentence = (
            f"sweep={folder}: no job folders (0, 1, 2 ...) in it, so it is no sweep; for the folder of a "
            f"single run use 'runs=[{folder}]'"
        )
        raise BadInput("\n".join([sentence, *odd]))
    before = f"{folder.name}/" if named else ""
    each = [from_job(job, reread=reread, label=before + job.name) for job in jobs]
    gathered = _latest(joined([*_not_made_good(jobs, each), Gathered(problems=odd)]))
    gathered = replace(gathered, rules=tuple(dict.fromkeys(rule for job in jobs if (rule := rule_of(job)))))
    try:
        return replace(gathered, stopping=read_stopping(folder), ladders=read_ladders(folder))
    except (DamagedFile, NewerSchema) as error:
        return replace(gathered, problems=(*gathered.problems, str(error)))


def _not_made_good(jobs: Sequence[Path], each: Sequence[Gathered]) -> list[Gathered]:
    """All jobs but those that did not end well and that a later job of the sweep has made good.

    Our launcher does such a job again in its own folder; other launchers take a new one.
    """
    good_keys: set[str] = set()
    good_overrides: set[tuple[str, ...]] = set()
    kept = []
    for folder, gathered in zip(reversed(jobs), reversed(each), strict=True):
        for reading in gathered.readings:
            good_keys.add(reading.record.job_key if reading.record else "")
            good_overrides.add(reading.overrides)
        made_good = not gathered.readings and (
            key_of(folder) in good_keys or overrides_of(folder) in good_overrides
        )
        if not made_good:
            kept.append(gathered)
    return kept[::-1]


def from_runs(folders: Iterable[Path], *, reread: Reread = KEEP) -> Gathered:
    """Read the folders of single runs.

    Raises:
        BadInput: a folder isn't there.
    """
    given = list(folders)
    for folder in given:
        if not os.path.isdir(folder):
            raise BadInput(f"runs: {folder} is no folder; give folders such as outputs/runs/<time>")
        if not os.path.isfile(folder / STATUS_FILE) and job_folders(folder):
            raise BadInput(f"runs: {folder} is the folder of a sweep; give it as 'sweep={folder}'")
    return joined([from_job(folder, reread=reread, label=folder.name) for folder in given])


def from_curves(files: Iterable[Path], *, reread: Reread = KEEP) -> Gathered:
    """Read curves that others wrote: CSV files with the columns lr and loss."""
    settings = {**reread}
    rule = settings.pop("rule", DEFAULT_RULE)
    reading = Reading(**settings)
    readings, problems = [], []
    for file in files:
        try:
            curve = load_csv_curve(file)
        except OSError as error:
            problems.append(f"{file}: can't be read ({error.strerror or error})")
            continue
        except ValueError as error:
            problems.append(str(error))
            continue
        readings.append(
            read_again(RunReading(str(file), curve.digest(), {}, {}, (), {}, rule, (), curve), reading)
        )
    return Gathered(tuple(readings), problems=tuple(problems))


def from_values(values: Sequence[float]) -> Gathered:
    """Take numbers that somebody has: each counts as one run."""
    readings = []
    for place, value in enumerate(values, start=1):
        given = ToldSuggestion(VALUE_RULE, Outcome.FOUND, "given as a number", lr=value)
        label = f"value {place}"
        readings.append(RunReading(label, label, {}, {}, (), {VALUE_RULE: given}, VALUE_RULE, (), None))
    return Gathered(tuple(readings))


def from_job(folder: Path, *, reread: Reread = KEEP, label: str) -> Gathered:
    """Read one job's folder, which people call `label`."""
    try:
        status, left = left_in(folder)
    except FileNotFoundError as error:
        name = Path(error.filename).name
        return Gathered(
            problems=(f"{folder}: no {name}, so the job never ended; run the same command again",)
        )
    except OSError as error:
        return Gathered(problems=(f"{error.filename or folder}: can't be read ({error.strerror or error})",))
    except (DamagedFile, NewerSchema) as error:
        return Gathered(problems=(str(error),))
    if left is None:
        reason = status.error or status.status
        failed = FailedJob(label, tuple(status.overrides), status.status, reason)
        return Gathered(failed=(_of_its_condition(failed, status.config),))
    try:
        return Gathered((_reading(label, *left, reread),))
    except (AttributeError, KeyError, TypeError, ValueError) as error:  # other text than a config of ours
        problem = f"its config can't be used here ({type(error).__name__}: {error})"
        return Gathered(problems=(f"{folder / RECORD_FILE}: {problem}",))


def _of_its_condition(job: FailedJob, config: Mapping[str, Any] | None) -> FailedJob:
    """The same job with what its config says of its run; unchanged where there is none, or of another version."""
    if config is None:
        return job
    with suppress(KeyError, TypeError, AttributeError):
        return replace(job, condition_key=condition_key(condition_of(config)), seeds=seeds_of(config))
    return job


def _reading(label: str, record: RunRecord, curves: RunCurves, reread: Reread) -> RunReading:
    check_recorded(record.config)
    check_key(record, curves.meta.get(STORED_AS))
    finder = record.config["finder"]
    setting = {**{name: finder[name] for name in READING_KEYS}, **reread}
    reading = RunReading(
        label=label,
        run=record.run.curve_digest,
        condition=condition_of(record.config),
        setting=setting,
        overrides=tuple(record.overrides),
        suggestions=record.suggestions,
        rule=reread.get("rule", record.rule),
        findings=tuple(finding.code for finding in record.diagnosis),
        curve=curves.read,
        record=record,
        lr_ratios=curves.lr_ratios,
        momentum=has_momentum(*optimizer_of(record.config["optimizer"])),
        steps=None
        if curves.validation is None
        else np.searchsorted(curves.curve.lr, curves.validation.lr).astype(np.int64),
        skipped_share=curves.skipped_share,
    )
    settings = reading.read_with  # refuses what can't be
    return read_again(reading, settings) if reread else reading


def joined(parts: Sequence[Gathered]) -> Gathered:
    """All parts as one; of several stopping rules the first, as all ask for the same interval."""
    return Gathered(
        tuple(reading for part in parts for reading in part.readings),
        tuple(job for part in parts for job in part.failed),
        tuple(problem for part in parts for problem in part.problems),
        next((part.stopping for part in parts if part.stopping is not None), None),
        tuple(dict.fromkeys(rule for part in parts for rule in part.rules)),
        tuple(ladder for part in parts for ladder in part.ladders),
    )


def read_again(reading: RunReading, settings: Reading) -> RunReading:
    """The same run with its curve read anew."""
    assert reading.curve is not None
    return replace(
        reading,
        setting={**asdict(settings), "rule": reading.rule},
        suggestions={
            rule: told_suggestion(suggestion, COMMAND_LINE)
            for rule, suggestion in suggest_all(reading.curve, reading=settings).items()
        },
        findings=tuple(
            finding.code.value
            for finding in diagnose(reading.curve, settings, skipped_share=reading.skipped_share)
        ),
    )


def _latest(gathered: Gathered) -> Gathered:
    """Of jobs that are the same job, run twice into one sweep, the later one; matched by key, not by position."""
    by_key = {
        reading.record.job_key if reading.record else reading.label: reading for reading in gathered.readings
    }
    return replace(gathered, readings=tuple(by_key.values()))


def each_seed_once(gathered: Gathered) -> Gathered:
    """Take readings of one condition with equal seeds as readings of one run, the latest where they differ.

    A training on other threads or another machine has other last digits, but it is no independent run: with
    both, n would count one draw of the seeds twice.
    """
    latest: dict[Hashable, str] = {}
    latest_read: dict[Hashable, str] = {}
    for reading in gathered.readings:
        drawn = _drawn(reading)
        latest[drawn] = reading.run
        latest_read[drawn, _setting_key(reading)] = reading.run
    readings = [
        replace(reading, run=latest[_drawn(reading)])
        for reading in gathered.readings
        if latest_read[_drawn(reading), _setting_key(reading)] == reading.run
    ]
    return replace(gathered, readings=tuple(readings))


def _drawn(reading: RunReading) -> Hashable:
    """Equal for two runs of one condition that drew the same: those streams count that something draws from."""
    if reading.record is None:
        return reading.run
    used = {name: use.seed for name, use in reading.record.seeds.items() if use.used}
    return reading.condition_key, *sorted(used.items())


def _setting_key(reading: RunReading) -> Hashable:
    return repr(sorted(reading.setting.items()))


def lost_runs(gathered: Gathered, condition_key: str) -> int:
    """How many runs of a condition failed, so that no job has an answer of theirs."""
    answered = {reading.seeds for reading in gathered.readings if reading.condition_key == condition_key}
    failed = {job.seeds for job in gathered.failed if job.condition_key == condition_key and job.has_failed}
    return len(failed - answered)
