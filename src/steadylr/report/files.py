"""The files that an aggregate leaves: summary.json, runs.csv, curves.parquet, plan.yaml and the figures."""

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
from steadylr.store.files import DamagedFile, NewerSchema, json_text, read_bytes, temp_name, write_atomic
from steadylr.store.records import SUMMARY_FILE, Summary, utc_now
from steadylr.words.attribution import attribution_advice, attribution_summary, not_split_words
from steadylr.words.consensus import decision_text
from steadylr.words.names import COMMAND_LINE

if TYPE_CHECKING:
    from steadylr.answer.answer import KindAnswer, SweepAnswer
    from steadylr.answer.readings import Member, Members

RUNS_FILE = "runs.csv"
CURVES_FILE = "curves.parquet"
ANSWER_FILE = "answer.txt"
_VERDICT_FIELDS = ("ratio", "expected_ratio", "n", "num_failed", "summary", "advice", "lowered_by")

ROWS_A_GROUP = 200_000
"""Points that curves.parquet holds in one row group, curves kept whole: many small groups read slowly."""


@dataclass(frozen=True, slots=True)
class KindFiles:
    """The names of the files that one kind of run has to itself; several kinds are numbered from 1."""

    summary_figure: str
    plan_figure: str
    plan: str
    attribution_figure: str


def kind_files(number: int, *, kinds: int) -> KindFiles:
    """The files of the kind with this number, from 1, among so many kinds."""
    suffix = f"-{number}" if kinds > 1 else ""
    return KindFiles(
        f"summary{suffix}.png", f"plan{suffix}.png", f"plan{suffix}.yaml", f"attribution{suffix}.png"
    )


def written_files(answer: SweepAnswer) -> list[str]:
    """The names of all files that an aggregate leaves beside summary.json."""
    names = [RUNS_FILE, CURVES_FILE, ANSWER_FILE]
    for number, kind in enumerate(answer.kinds, start=1):
        own = kind_files(number, kinds=len(answer.kinds))
        names.append(own.summary_figure)
        if kind.plan is not None:
            names += [own.plan_figure, own.plan]
        if isinstance(kind.attribution, Attribution):
            names.append(own.attribution_figure)
    return names


def inputs_digest(found: Members, settings: dict[str, Any], version: str) -> str:
    """Equal when an aggregate would come out the same: what takes part, the settings, the program's version."""
    digest = hashlib.sha256()
    stopping = None if found.stopping is None else asdict(found.stopping)
    made_by = [version, settings, stopping, list(found.rules)]
    digest.update(json_text(made_by, indent=None, sort_keys=True).encode())
    for member in found.members:
        digest.update(json_text(_facts(member), indent=None, sort_keys=True).encode())
    others = [[asdict(job) for job in found.failed], list(found.problems)]
    digest.update(json_text(others, indent=None).encode())
    return digest.hexdigest()


def _facts(member: Member) -> list[Any]:
    """All that an aggregate takes from a member; the curve by the digest that its run is known by."""
    suggestions = [[found.rule, found.lr, found.low, found.high] for found in member.suggestions.values()]
    headline = [member.headline.outcome.value, member.headline.reason]
    read = [member.setting, member.rule, list(member.findings), suggestions, headline]
    plan = [list(member.lr_ratios), member.momentum]
    record = member.record
    seeds = None if record is None else {name: use.model_dump() for name, use in record.seeds.items()}
    return [member.label, member.run, member.kind_key, list(member.overrides), read, plan, seeds]


def unchanged(folder: Path, digest: str) -> bool:
    """Whether the folder holds the finished aggregate of just these inputs."""
    summary = _earlier(folder)
    return (
        summary is not None
        and summary.inputs == digest
        and bool(summary.digests)
        and all(_digest(folder / name) == summary.digests.get(name) for name in _files_of(summary))
    )


def _digest(path: Path) -> str | None:
    """SHA-256 of a regular file; None where there is none that can be read."""
    try:
        return hashlib.sha256(read_bytes(path)).hexdigest()
    except (OSError, DamagedFile):
        return None


def remove_stale(folder: Path, written: Sequence[str]) -> None:
    """Remove what an earlier aggregate left in the folder and this one doesn't write."""
    for name in {SUMMARY_FILE, *_files_of(_earlier(folder))} - set(written):
        if not (folder / name).is_dir():
            (folder / name).unlink(missing_ok=True)


def _earlier(folder: Path) -> Summary | None:
    """The summary that a folder holds; None where there is none that can be read."""
    try:
        return Summary.read(folder)
    except (OSError, DamagedFile, NewerSchema):
        return None


def _files_of(summary: Summary | None) -> list[str]:
    """The files that a summary names: plain names only, as they may be removed."""
    names = [] if summary is None else summary.files
    return [name for name in names if name == Path(name).name and name not in ("", "..")]


def write_summary(folder: Path, answer: SweepAnswer, *, digest: str, settings: dict[str, Any]) -> None:
    """The numbers of the answer as JSON; written last, so that it is there only when all else is."""
    names = written_files(answer)
    summary = Summary(
        created=utc_now(),
        inputs=digest,
        settings=settings,
        kinds=[_kind(kind) for kind in answer.kinds],
        failed=[
            {name: getattr(job, name) for name in ("label", "overrides", "status", "reason")}
            for job in answer.failed
        ],
        problems=list(answer.problems),
        files=names,
        digests={name: own for name in names if (own := _digest(folder / name)) is not None},
    )
    summary.write(folder)


def _kind(kind: KindAnswer) -> dict[str, Any]:
    found = kind.consensus
    return {
        "label": kind.label,
        "consensus": asdict(found.headline),
        "groups": [asdict(group) for group in found.groups],
        "shifts": [asdict(shift) for shift in found.shifts],
        "duplicates": found.duplicates,
        "partial_runs": [kind.runs[run] for run in found.partial_runs],
        "runs": {kind.runs[run]: lr for run, lr in found.run_lrs.items()},
        "verdict": {"level": kind.verdict.level.value, **_values(kind.verdict, _VERDICT_FIELDS)},
        "attribution": _attribution(kind),
        "odd_runs": {name: {"distance": odd.distance, "limit": odd.limit} for name, odd in kind.odd.items()},
        "plan": None if kind.plan is None else kind.plan.as_dict(),
        "stopping": None
        if kind.decision is None
        else {
            **_values(kind.decision, ("num_runs", "saved", "reach")),
            "state": kind.decision.state.value,
            "text": decision_text(kind.decision),
        },
    }


def _attribution(kind: KindAnswer) -> dict[str, Any] | None:
    """The split, or why there is none; smooth_f and the like are in shifts, the rules here."""
    if kind.attribution is None:
        return None
    rules = [asdict(shift) for shift in kind.rule_shifts]
    if isinstance(kind.attribution, NotSplit):
        reason, remedy = not_split_words(kind.attribution, COMMAND_LINE)
        return {"split": False, "reason": reason, "remedy": remedy, "rules": rules}
    words = {
        "summary": attribution_summary(kind.attribution),
        "advice": attribution_advice(kind.attribution, COMMAND_LINE),
    }
    return {"split": True, **asdict(kind.attribution), **words, "rules": rules}


def _values(facts: Any, names: Iterable[str]) -> dict[str, Any]:
    return {name: getattr(facts, name) for name in names}


def write_runs(folder: Path, found: Members) -> None:
    """One row a job: folder, overrides, run, how it was read, the LR by each rule, outcome."""
    rules = sorted({rule for member in found.members for rule in member.suggestions})
    settings = sorted({name for member in found.members for name in member.setting if name != "rule"})
    columns = ["job", "overrides", "run", *settings, "rule", "lr", "low", "high", "outcome", "stop"]
    columns += [f"lr_{rule}" for rule in rules] + ["reason"]
    text = io.StringIO()
    table = csv.DictWriter(text, columns, lineterminator="\n")
    table.writeheader()
    for member in found.members:
        table.writerow(_cells(_row(member)))
    for job in found.failed:
        row = {"job": job.label, "overrides": " ".join(job.overrides), "outcome": job.status}
        table.writerow(_cells({**row, "reason": job.reason}))
    write_atomic(folder / RUNS_FILE, text.getvalue())


def _cells(row: dict[str, Any]) -> dict[str, Any]:
    return {name: spreadsheet_cell(value) for name, value in row.items()}


def _row(member: Member) -> dict[str, Any]:
    headline = member.headline
    return {
        **{name: value for name, value in member.setting.items() if name != "rule"},
        "job": member.label,
        "overrides": " ".join(member.overrides),
        "run": member.run[:12],
        "rule": member.rule,
        "lr": headline.lr,
        "low": headline.low,
        "high": headline.high,
        "outcome": headline.outcome.value,
        "stop": member.curve.stop.value if member.curve is not None else "",
        "reason": headline.reason,
        **{f"lr_{rule}": found.lr for rule, found in member.suggestions.items()},
    }


def write_curves(folder: Path, members: Sequence[Member]) -> None:
    """The raw curves, each distinct one once, in long form: run, step, lr, loss.

    They are written in parts, so that memory stays low.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema(
        [("run", pa.string()), ("step", pa.int32()), ("lr", pa.float64()), ("loss", pa.float64())]
    )
    distinct = {member.run: member for member in members if member.curve is not None}
    temp = folder / temp_name(CURVES_FILE)
    try:
        with pq.ParquetWriter(temp, schema) as writer:
            for part in _parts(list(distinct.values())):
                columns = [np.concatenate(column) for column in zip(*map(_columns, part), strict=True)]
                writer.write_table(pa.table(columns, schema=schema))
        temp.replace(folder / CURVES_FILE)
    finally:
        temp.unlink(missing_ok=True)


def _parts(members: Sequence[Member]) -> Iterator[list[Member]]:
    """Members in parts of about ROWS_A_GROUP points."""
    part: list[Member] = []
    points = 0
    for member in members:
        assert member.curve is not None
        part.append(member)
        points += len(member.curve)
        if points >= ROWS_A_GROUP:
            yield part
            part, points = [], 0
    if part:
        yield part


def _columns(member: Member) -> tuple[npt.NDArray[Any], ...]:
    """run, step, lr and loss of one curve."""
    curve = member.curve
    assert curve is not None
    steps = np.arange(len(curve)) if member.steps is None else member.steps
    return np.full(len(curve), member.run[:12]), steps.astype(np.int32), curve.lr, curve.loss


def write_plan(path: Path, kind: KindAnswer) -> None:
    """A fragment for other Hydra programs: max_lr, low, high, n and the verdict."""
    head = kind.consensus.headline
    assert head.lr is not None
    lines = [
        "# What the range tests say; include it in another Hydra program, or copy it.",
        f"max_lr: {head.lr!r} # {head.choose.replace('_', ' ')} of the suggestions: the peak of OneCycle",
        f"low: {head.low!r} # lowest suggestion",
        f"high: {head.high!r} # highest suggestion",
        f"n: {head.n} # runs that gave one",
        f"verdict: {kind.verdict.level.value}",
    ]
    write_atomic(path, "\n".join(lines) + "\n")
