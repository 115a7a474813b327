"""The files that an aggregate leaves: summary.json, runs.csv, curves.parquet, plan.yaml and the figures."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from steadylr.store.files import DamagedFile, json_text, read_json, temp_name, write_atomic, write_json
from steadylr.store.records import utc_now

if TYPE_CHECKING:
    from steadylr.app.members import Member, Members
    from steadylr.app.sweep import KindAnswer, SweepAnswer

SUMMARY_FILE = "summary.json"
RUNS_FILE = "runs.csv"
CURVES_FILE = "curves.parquet"
PLAN_FILE = "plan.yaml"
ANSWER_FILE = "answer.txt"
SUMMARY_FIGURE = "summary.png"
PLAN_FIGURE = "plan.png"
SUMMARY_SCHEMA = 1


def inputs_digest(found: Members, settings: dict[str, Any], version: str) -> str:
    """Equal when an aggregate would come out the same: what takes part, the settings, the program's version."""
    parts = {
        "version": version,
        "settings": settings,
        "members": [
            [
                m.label,
                m.run,
                m.setting,
                m.rule,
                list(m.overrides),
                m.headline.lr,
                m.record and m.record.created,
            ]
            for m in found.members
        ],
        "failed": [asdict(job) for job in found.failed],
        "problems": list(found.problems),
    }
    return hashlib.sha256(json_text(parts, indent=None, sort_keys=True).encode()).hexdigest()


def unchanged(folder: Path, digest: str) -> bool:
    """Whether the folder holds the finished aggregate of just these inputs."""
    try:
        summary = read_json(folder / SUMMARY_FILE)
    except (FileNotFoundError, DamagedFile):
        return False
    written = (RUNS_FILE, CURVES_FILE, ANSWER_FILE)
    return (
        isinstance(summary, dict)
        and summary.get("inputs") == digest
        and all((folder / name).is_file() for name in written)
    )


def write_summary(folder: Path, answer: SweepAnswer, *, digest: str) -> None:
    """The numbers of the answer as JSON; written last, so that it is there only when all else is."""
    content = {
        "schema_version": SUMMARY_SCHEMA,
        "created": utc_now(),
        "inputs": digest,
        "kinds": [_kind(kind) for kind in answer.kinds],
        "failed": [asdict(job) for job in answer.failed],
        "problems": list(answer.problems),
    }
    write_json(folder / SUMMARY_FILE, content)


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
        "verdict": {**asdict(kind.verdict), "level": kind.verdict.level.value},
        "odd_runs": {name: {"distance": odd.distance, "limit": odd.limit} for name, odd in kind.odd.items()},
        "plan": None if kind.plan is None else kind.plan.as_dict(),
    }


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
        table.writerow(_row(member))
    for job in found.failed:
        row = {"job": job.label, "overrides": " ".join(job.overrides), "outcome": job.status}
        table.writerow({**row, "reason": job.reason})
    write_atomic(folder / RUNS_FILE, text.getvalue())


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
    """The raw curves, each distinct one once: run, step, lr, loss; a row group a curve, so that memory stays low."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema(
        [("run", pa.string()), ("step", pa.int32()), ("lr", pa.float64()), ("loss", pa.float64())]
    )
    distinct = {member.run: member.curve for member in members if member.curve is not None}
    temp = folder / temp_name(CURVES_FILE)
    try:
        with pq.ParquetWriter(temp, schema) as writer:
            for run, curve in distinct.items():
                n = len(curve)
                run_column = pa.array([run[:12]]).take(pa.array(np.zeros(n, dtype=np.int32)))
                columns = [
                    run_column,
                    pa.array(np.arange(n, dtype=np.int32)),
                    pa.array(curve.lr),
                    pa.array(curve.loss),
                ]
                writer.write_table(pa.table(columns, schema=schema))
        temp.replace(folder / CURVES_FILE)
    finally:
        temp.unlink(missing_ok=True)


def write_plan(folder: Path, kind: KindAnswer) -> None:
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
    write_atomic(folder / PLAN_FILE, "\n".join(lines) + "\n")
