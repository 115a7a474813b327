"""The files that an aggregate leaves: summary.json, runs.csv, curves.parquet, report.html, the plan and the figures."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from steadylr.core.attribution import Attribution
from steadylr.core.not_split import NotSplit
from steadylr.present.escaped import spreadsheet_cell
from steadylr.report.length_text import length_values
from steadylr.store.file_names import (
    ANSWER_FILE,
    CURVES_FILE,
    REPORT_FILE,
    RUNS_FILE,
    figure_files,
    plan_files,
)
from steadylr.store.files import (
    DamagedFile,
    NewerSchema,
    canonical_digest,
    json_text,
    read_bytes,
    temp_name,
    write_atomic,
)
from steadylr.store.records import SUMMARY_FILE, Summary, utc_now
from steadylr.words.attribution import attribution_advice, attribution_summary, not_split_words
from steadylr.words.consensus import decision_text
from steadylr.words.names import COMMAND_LINE

if TYPE_CHECKING:
    from steadylr.answer.answer import ConditionAnswer, SweepAnswer
    from steadylr.answer.readings import Gathered, RunReading

_VERDICT_FIELDS = ("ratio", "expected_ratio", "n", "num_failed", "summary", "advice", "lowered_by")

ROWS_A_GROUP = 200_000
"""Points that curves.parquet holds in one row group, curves kept whole: many small groups read slowly."""


@dataclass(frozen=True, slots=True)
class ConditionFiles:
    """The names of the files that one condition has to itself; several are numbered from 1."""

    summary_figure: str
    plan_figure: str
    plan: str
    attribution_figure: str
    length_figure: str


def condition_files(number: int, *, conditions: int) -> ConditionFiles:
    """The files of the condition with this number, from 1, among so many."""
    suffix = f"-{number}" if conditions > 1 else ""
    names = (f"summary{suffix}.png", f"plan{suffix}.png", f"plan{suffix}.yaml", f"attribution{suffix}.png")
    return ConditionFiles(*names, f"length{suffix}.png")


def written_files(answer: SweepAnswer, formats: Sequence[str], *, report: bool) -> list[str]:
    """The names of all files that an aggregate leaves beside summary.json, figures in these formats."""
    names = [RUNS_FILE, CURVES_FILE, ANSWER_FILE, *([REPORT_FILE] if report else [])]
    for number, condition in enumerate(answer.conditions, start=1):
        own = condition_files(number, conditions=len(answer.conditions))
        figures = [own.summary_figure]
        if condition.plan is not None:
            figures.append(own.plan_figure)
            names += plan_files(own.plan)
        if isinstance(condition.attribution, Attribution):
            figures.append(own.attribution_figure)
        if condition.length is not None and condition.length.answer.trials:
            figures.append(own.length_figure)
        names += [name for figure in figures for name in figure_files(figure, formats)]
    return names


def inputs_digest(gathered: Gathered, settings: dict[str, Any], version: str) -> str:
    """Equal when an aggregate would come out the same: what takes part, the settings, the program's version."""
    digest = hashlib.sha256()
    stopping = None if gathered.stopping is None else asdict(gathered.stopping)
    ladders = [ladder.model_dump() for ladder in gathered.ladders]
    made_by = [version, settings, stopping, list(gathered.rules), ladders]
    digest.update(json_text(made_by, indent=None, sort_keys=True).encode())
    for reading in gathered.readings:
        digest.update(json_text(_facts(reading), indent=None, sort_keys=True).encode())
    others = [[asdict(job) for job in gathered.failed], list(gathered.problems)]
    digest.update(json_text(others, indent=None).encode())
    return digest.hexdigest()


def _facts(reading: RunReading) -> list[Any]:
    """All that an aggregate takes from a reading; the curve by the digest that its run is known by."""
    suggestions = [[told.rule, told.lr, told.low, told.high] for told in reading.suggestions.values()]
    headline = [reading.headline.outcome.value, reading.headline.reason]
    read = [reading.setting, reading.rule, list(reading.findings), suggestions, headline]
    plan = [list(reading.lr_ratios), reading.momentum]
    record = reading.record
    seeds = None if record is None else {name: use.model_dump() for name, use in record.seeds.items()}
    return [reading.label, reading.run, reading.condition_key, list(reading.overrides), read, plan, seeds]


def unchanged(folder: Path, summary: Summary) -> bool:
    """Whether the folder holds the finished aggregate that a summary is of: its numbers, and each file as written."""
    earlier = earlier_summary(folder)
    if earlier is None or not earlier.digests:
        return False
    return _said(earlier) == _said(summary) and all(
        _digest(folder / name) == earlier.digests.get(name) for name in summary.files
    )


def _said(summary: Summary) -> str:
    """What a summary says, as one text: all but when it was written, and its files' digests."""
    return canonical_digest(summary.model_dump(exclude={"created", "digests"}))


def _digest(path: Path) -> str | None:
    """SHA-256 of a regular file; None where there is none that can be read."""
    try:
        return hashlib.sha256(read_bytes(path)).hexdigest()
    except (OSError, DamagedFile):
        return None


def remove_stale(folder: Path, written: Sequence[str]) -> None:
    """Remove what an earlier aggregate left in the folder and this one doesn't write."""
    for name in {SUMMARY_FILE, *_files_of(earlier_summary(folder))} - set(written):
        if not (folder / name).is_dir():
            (folder / name).unlink(missing_ok=True)


def earlier_summary(folder: Path) -> Summary | None:
    """The summary that a folder holds; None where there is none that can be read."""
    try:
        return Summary.read(folder)
    except (OSError, DamagedFile, NewerSchema):
        return None


def _files_of(summary: Summary | None) -> list[str]:
    """The files that a summary names: plain names only, as they may be removed."""
    names = [] if summary is None else summary.files
    return [name for name in names if name == Path(name).name and name not in ("", "..")]


def summary_of(
    answer: SweepAnswer, *, digest: str, settings: dict[str, Any], formats: Sequence[str], report: bool
) -> Summary:
    """The numbers of an answer, which is made of the inputs with this digest; the digests of its files are to come."""
    return Summary(
        created=utc_now(),
        inputs=digest,
        settings=settings,
        kinds=[_condition(condition) for condition in answer.conditions],
        failed=[
            {name: getattr(job, name) for name in ("label", "overrides", "status", "reason")}
            for job in answer.failed
        ],
        problems=list(answer.problems),
        files=written_files(answer, formats, report=report),
    )


def write_summary(folder: Path, summary: Summary) -> None:
    """Write a summary beside its files; last, so that it is there only when all else is."""
    digests = {name: own for name in summary.files if (own := _digest(folder / name)) is not None}
    summary.model_copy(update={"digests": digests}).write(folder)


def note_written(folder: Path, name: str) -> None:
    """Put the digest of a file that was written anew into the summary beside it; nothing where there is no summary."""
    summary = earlier_summary(folder)
    own = _digest(folder / name)
    if summary is None or own is None:
        return
    names = summary.files if name in summary.files else [*summary.files, name]
    summary.model_copy(update={"files": names, "digests": {**summary.digests, name: own}}).write(folder)


def _condition(condition: ConditionAnswer) -> dict[str, Any]:
    consensus = condition.consensus
    return {
        "label": condition.label,
        "consensus": asdict(consensus.headline),
        "mean_curve": None
        if condition.mean is None
        else _values(condition.mean, ("num_runs", "lr", "low", "high")),
        "groups": [asdict(group) for group in consensus.groups],
        "shifts": [asdict(shift) for shift in consensus.shifts],
        "duplicates": consensus.duplicates,
        "partial_runs": [condition.runs[run] for run in consensus.partial_runs],
        "runs": {condition.runs[run]: lr for run, lr in consensus.run_lrs.items()},
        "verdict": {"level": condition.verdict.level.value, **_values(condition.verdict, _VERDICT_FIELDS)},
        "attribution": _attribution(condition),
        "odd_runs": {
            name: {"distance": odd.distance, "limit": odd.limit} for name, odd in condition.odd.items()
        },
        "plan": None if condition.plan is None else condition.plan.as_dict(),
        "length": None if condition.length is None else length_values(condition.length),
        "stopping": None
        if condition.decision is None
        else {
            **_values(condition.decision, ("num_runs", "saved", "reach")),
            "state": condition.decision.state.value,
            "text": decision_text(condition.decision),
        },
    }


def _attribution(condition: ConditionAnswer) -> dict[str, Any] | None:
    """The split, or why there is none; smooth_f and the like are in shifts, the rules here."""
    if condition.attribution is None:
        return None
    rules = [asdict(shift) for shift in condition.rule_shifts]
    if isinstance(condition.attribution, NotSplit):
        reason, remedy = not_split_words(condition.attribution, COMMAND_LINE)
        return {"split": False, "reason": reason, "remedy": remedy, "rules": rules}
    words = {
        "summary": attribution_summary(condition.attribution),
        "advice": attribution_advice(condition.attribution, COMMAND_LINE),
    }
    return {"split": True, **asdict(condition.attribution), **words, "rules": rules}


def _values(facts: Any, names: Iterable[str]) -> dict[str, Any]:
    return {name: getattr(facts, name) for name in names}


def write_runs(folder: Path, gathered: Gathered) -> None:
    """One row a job: folder, overrides, run, how it was read, the LR by each rule, outcome."""
    rules = sorted({rule for reading in gathered.readings for rule in reading.suggestions})
    settings = sorted({name for reading in gathered.readings for name in reading.setting if name != "rule"})
    columns = ["job", "overrides", "run", *settings, "rule", "lr", "low", "high", "outcome", "stop"]
    columns += [f"lr_{rule}" for rule in rules] + ["reason"]
    text = io.StringIO()
    table = csv.DictWriter(text, columns, lineterminator="\n")
    table.writeheader()
    for reading in gathered.readings:
        table.writerow(_cells(_row(reading)))
    for job in gathered.failed:
        row = {"job": job.label, "overrides": " ".join(job.overrides), "outcome": job.status}
        table.writerow(_cells({**row, "reason": job.reason}))
    write_atomic(folder / RUNS_FILE, text.getvalue())


def _cells(row: dict[str, Any]) -> dict[str, Any]:
    return {name: spreadsheet_cell(value) for name, value in row.items()}


def _row(reading: RunReading) -> dict[str, Any]:
    headline = reading.headline
    return {
        **{name: value for name, value in reading.setting.items() if name != "rule"},
        "job": reading.label,
        "overrides": " ".join(reading.overrides),
        "run": reading.run[:12],
        "rule": reading.rule,
        "lr": headline.lr,
        "low": headline.low,
        "high": headline.high,
        "outcome": headline.outcome.value,
        "stop": reading.curve.stop.value if reading.curve is not None else "",
        "reason": headline.reason,
        **{f"lr_{rule}": told.lr for rule, told in reading.suggestions.items()},
    }


def write_curves(folder: Path, readings: Sequence[RunReading]) -> None:
    """The raw curves, each distinct one once, in long form: run, step, lr, loss.

    They are written in parts, so that memory stays low.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema(
        [("run", pa.string()), ("step", pa.int32()), ("lr", pa.float64()), ("loss", pa.float64())]
    )
    distinct = {reading.run: reading for reading in readings if reading.curve is not None}
    temp = folder / temp_name(CURVES_FILE)
    try:
        # pyarrow takes no path whose letters the locale lacks
        with temp.open("wb") as file, pq.ParquetWriter(file, schema) as writer:
            for part in _parts(list(distinct.values())):
                columns = [np.concatenate(column) for column in zip(*map(_columns, part), strict=True)]
                writer.write_table(pa.table(columns, schema=schema))
        temp.replace(folder / CURVES_FILE)
    finally:
        temp.unlink(missing_ok=True)


def _parts(readings: Sequence[RunReading]) -> Iterator[list[RunReading]]:
    """Readings in parts of about ROWS_A_GROUP points."""
    part: list[RunReading] = []
    points = 0
    for reading in readings:
        assert reading.curve is not None
        part.append(reading)
        points += len(reading.curve)
        if points >= ROWS_A_GROUP:
            yield part
            part, points = [], 0
    if part:
        yield part


def _columns(reading: RunReading) -> tuple[npt.NDArray[Any], ...]:
    """run, step, lr and loss of one curve."""
    curve = reading.curve
    assert curve is not None
    steps = np.arange(len(curve)) if reading.steps is None else reading.steps
    return np.full(len(curve), reading.run[:12]), steps.astype(np.int32), curve.lr, curve.loss
