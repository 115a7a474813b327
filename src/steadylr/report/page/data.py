"""All that a page shows, as plain values: an answer in, data out. The live page takes the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from steadylr.answer.other_readings import MOST_READ, first_with_curve, read_again_with, values_to_try
from steadylr.core.rules import RULES
from steadylr.core.settings import READING_KEYS
from steadylr.core.verification import Suggested, Verification, verify
from steadylr.present.escaped import escaped
from steadylr.present.numbers import count
from steadylr.present.text import Row
from steadylr.report.length_text import length_parts
from steadylr.report.page.blocks import blocks, table_block
from steadylr.report.page.curves import packed_curves
from steadylr.report.page.facts import commands, differences, setup_rows, version_rows
from steadylr.report.page.states import schedule_shape, states_of
from steadylr.report.sweep_text import (
    attribution_parts,
    by_run,
    condition_title,
    group_parts,
    guide_rows,
    one_line,
    remarks,
)
from steadylr.report.verification_text import verification_parts
from steadylr.words.consensus import decision_text
from steadylr.words.names import COMMAND_LINE

if TYPE_CHECKING:
    from steadylr.answer.answer import ConditionAnswer, SweepAnswer
    from steadylr.answer.readings import RunReading
    from steadylr.config.schema import OneCycle
    from steadylr.store.records import Verified

MOST_NAMED = 8
"""Runs that one finding names."""

PROGRAM = "python src/find_lr.py"


def page_data(
    answer: SweepAnswer,
    *,
    onecycle: OneCycle,
    verified: Verified | None = None,
    single: bool = False,
    most_read: int = MOST_READ,
) -> dict[str, Any]:
    """The data of a page; equal for equal inputs, and true wherever the folder lies.

    Args:
        answer: of a sweep, or of a run.
        onecycle: how plans are made.
        verified: the verification of the sweep, where there is one.
        single: whether it is one run, and no sweep.
        most_read: see values_to_try.
    """
    conditions = [_condition(one, onecycle, most_read) for one in answer.conditions]
    overrides = [
        list(reading.overrides) for one in answer.conditions for reading in one.readings if reading.record
    ]
    overrides += [list(job.overrides) for job in answer.failed]
    stopped = any(one.decision is not None for one in answer.conditions)
    verification, problems = _verification(verified)
    failed = [job for job in answer.failed if job.has_failed]
    num_runs = sum(len(one.runs) for one in answer.conditions)
    data = {
        "title": conditions[0]["title"] if len(conditions) == 1 else _several(answer),
        "kicker": f"Learning-rate range test, {count(num_runs, 'run')}",
        "single": single,
        "conditions": conditions,
        "failed": _jobs_table([(job.label, " ".join(job.overrides), job.reason) for job in failed]),
        "num_failed": count(len(failed), "job") + " failed",
        "unfinished": [job.label for job in answer.failed if not job.has_failed],
        "problems": [*answer.problems, *problems],
        "verification": verification,
        "differences": differences(answer),
        "versions": version_rows(answer),
        "commands": commands(
            [_without_seed(own) for own in overrides] if stopped else overrides,
            program=PROGRAM,
            single=single,
        ),
    }
    cleaned: dict[str, Any] = _clean(data)
    return cleaned


def _several(answer: SweepAnswer) -> str:
    return f"{len(answer.conditions)} kinds of run" if answer.conditions else "No run has an answer"


def _without_seed(overrides: Sequence[str]) -> list[str]:
    """A sweep until stable takes its seeds by itself."""
    return [text for text in overrides if not text.startswith("seed=")]


def _condition(condition: ConditionAnswer, onecycle: OneCycle, most_read: int) -> dict[str, Any]:
    values = values_to_try(condition, most_read=most_read)
    read = read_again_with(condition, values)
    states = states_of(condition, values, read, onecycle)
    readings = by_run(condition)
    head = condition.consensus.headline
    return {
        "title": condition_title(condition),
        "own": states["own"],
        "runs": [
            {
                "name": name,
                "seeds": _seeds(readings[run][0]),
                "remarks": ", ".join(remarks(condition, run, readings[run])),
                "odd": name in condition.odd,
                "jobs": ", ".join(dict.fromkeys(reading.label for reading in readings[run])),
            }
            for run, name in condition.runs.items()
        ],
        "reading": _reading_words(condition),
        "values": [f"{value:g}" for value in values],
        "rules": list(RULES) if values else [],
        "setup": setup_rows(condition),
        "groups": blocks(group_parts(condition.consensus)),
        "guide": table_block([""] * 5, list(guide_rows(head, COMMAND_LINE))) if head.n > 1 else None,
        "decision": "" if condition.decision is None else decision_text(condition.decision),
        "findings": _findings(condition),
        "attribution": blocks(attribution_parts(condition, COMMAND_LINE)),
        "length": [] if condition.length is None else blocks(length_parts(condition.length, COMMAND_LINE)),
        "js": {
            "states": states,
            "curves": packed_curves(condition, read),
            "start": _start(condition, values),
            "values": [f"{value:g}" for value in values],
            "rules": list(RULES),
            "schedule": None if condition.plan is None else schedule_shape(condition.plan),
            "fixed": condition.length is not None,
        },
    }


def _seeds(reading: RunReading) -> str:
    """Its seeds: "seed 1" where all streams have one, else each stream with its own; empty where they aren't known."""
    own = dict(reading.seeds)
    if len(set(own.values())) == 1:
        return f"seed {next(iter(own.values()))}"
    return ", ".join(f"{stream} {seed}" for stream, seed in own.items())


def _reading_words(condition: ConditionAnswer) -> str:
    """How the curves were read for the answer: "smooth_f 0.05 and 0.15, rule bracket"."""
    parts = []
    for name in READING_KEYS:
        values = list(
            dict.fromkeys(str(one.setting[name]) for one in condition.readings if name in one.setting)
        )
        is_usual = name in ("smoother", "skip_start", "skip_end") and len(values) == 1 and values[0] in _USUAL
        ema = any(one.setting.get("smoother") == "ema" for one in condition.readings)
        if values and not is_usual and (ema or name != "ema_weight"):
            parts.append(f"{name} {' and '.join(values)}")
    return ", ".join(parts)


_USUAL = ("local_linear", "10", "5")


def _start(condition: ConditionAnswer, values: Sequence[float]) -> dict[str, Any]:
    """Where slider and switch stand at first, and whether the reading there is the one that made the answer."""
    readings = [reading for reading in condition.readings if reading.curve is not None]
    if not readings or not values:
        return {"value": 0, "rule": 0, "same": True, "said": ""}
    first = readings[0]
    value = values.index(float(first.setting["smooth_f"]))
    rule = list(RULES).index(first.rule) if first.rule in RULES else 0
    alike = len({repr(reading.setting) for reading in readings}) == 1 and len(readings) == len(
        condition.readings
    )
    asked = dict.fromkeys(f"{one.setting['smooth_f']:g}" for one in readings)
    return {
        "said": f"smooth_f {' and '.join(asked)}",
        "value": value,
        "rule": rule,
        "same": alike and first.setting.get("smoother") == "local_linear" and first.rule in RULES,
    }


def _findings(condition: ConditionAnswer) -> dict[str, Any] | None:
    """Curves whose shape stands out, and what is wrong with others: each finding with the runs that have it."""
    rows = [
        Row(
            (
                name,
                f"another shape than the rest: {odd.distance:.2g} of its descent away, where {odd.limit:.2g} is usual",
                "look at this run before you trust the answer",
            ),
            "bold",
        )
        for name, odd in condition.odd.items()
    ]
    found: dict[str, tuple[dict[str, None], str, str]] = {}
    for run, reading in first_with_curve(condition).items():
        told = {one.code: one for one in (reading.record.diagnosis if reading.record else ())}
        for code in reading.findings:
            text = told[code].text if code in told else code.replace("_", " ")
            advice = told[code].advice if code in told else ""
            found.setdefault(code, ({}, text, advice))[0][condition.runs[run]] = None
    for names, text, advice in found.values():
        more = f" and {len(names) - MOST_NAMED:,} more" if len(names) > MOST_NAMED else ""
        first = f" ({next(iter(names))})" if len(names) > 1 else ""
        rows.append(Row((", ".join(list(names)[:MOST_NAMED]) + more, f"{text}{first}", advice)))
    return table_block(("run", "what", "what to do"), rows) if rows else None


def _jobs_table(rows: Sequence[tuple[str, str, str]]) -> dict[str, Any] | None:
    cells = [Row((label, overrides, one_line(reason))) for label, overrides, reason in rows]
    return table_block(("job", "overrides", "why"), cells) if cells else None


# ---- the verification


def _verification(verified: Verified | None) -> tuple[list[dict[str, Any]], list[str]]:
    """What a verification says, judged anew from its losses; and what is wrong with it."""
    if verified is None:
        return [], []
    try:
        judged = [(str(kind["title"]), _judged(kind)) for kind in verified.kinds]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        return [], [f"{verified.FILE}: can't be used here ({type(error).__name__}: {error})"]
    return blocks(verification_parts(judged, steps=verified.steps, judged_by=verified.judged_by)), []


def _judged(kind: Mapping[str, Any]) -> Verification:
    tried = kind["tried"]
    return verify(
        [one["lr"] for one in tried],
        list(zip(*(one["losses"] for one in tried), strict=True)),
        initial_loss=kind["initial_loss"],
        suggested=Suggested(**kind["suggested"]),
        tolerance=kind["tolerance"],
    )


# ---- text that came from elsewhere


def _clean(value: Any) -> Any:
    """The same with what is unseen or turns a text's direction written out; packed curves are none of that."""
    if isinstance(value, str):
        return escaped(value)
    if isinstance(value, Mapping):
        return {key: own if key == "curves" else _clean(own) for key, own in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(own) for own in value]
    return value
