"""What a page says of its runs beside their answer: the set-up, how configs differ, versions, and the command."""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any

from steadylr.answer.conditions import flat
from steadylr.present.numbers import count, format_duration
from steadylr.present.text import Row
from steadylr.report.page.blocks import table_block

if TYPE_CHECKING:
    from steadylr.answer.answer import ConditionAnswer, SweepAnswer
    from steadylr.store.records import RunRecord

MOST_VALUES = 12
"""Values of one key that are named."""

MOST_COMMANDS = 10
"""Commands that are named, where the jobs are not every combination of some values."""

_NOT_TOLD = ("sweep_name", "store", "own_code", "dry_run", "output", "figures", "report", "live")
_LETTERS = 80


def records_of(conditions: Iterable[ConditionAnswer]) -> list[RunRecord]:
    """The records of all jobs, in their order; a reading by several rules counts once."""
    found = {
        reading.record.job_key: reading.record
        for condition in conditions
        for reading in condition.readings
        if reading.record is not None
    }
    return list(found.values())


def setup_rows(condition: ConditionAnswer) -> list[tuple[str, str]]:
    """What its runs trained, and the ramp: a name and a value each."""
    records = records_of([condition])
    if not records:
        return []
    config = records[-1].config
    finder, data, optimizer = config["finder"], config["data"], config["optimizer"]
    arguments = {
        name: value
        for name, value in {**(optimizer.get("arguments") or {}), **_weight_decay(optimizer)}.items()
        if value not in (None, False)
    }
    given = ", ".join(f"{name}={_short(value)}" for name, value in arguments.items())
    target = str(optimizer.get("_target_") or optimizer.get("name") or "").rpartition(".")[2]
    steps = f"{finder['num_iter']:,} steps" + ("" if finder.get("step_mode") == "exp" else ", linear")
    if finder.get("scout_steps"):
        steps += f", a part of them done after a scout of {finder['scout_steps']}"
    ramp = f"LR {_plain_lr(finder['start_lr'])} to {_plain_lr(finder['end_lr'])} in {steps}"
    batch = f"{data['batch_size']} images" if data.get("batch_size") else ""
    device = str(records[-1].device.get("name") or records[-1].device.get("kind") or "")
    rows = [("ramp", ramp), ("optimizer", f"{target}({given})" if given else target), ("batch", batch)]
    rows += [("precision", str(config["device"]["precision"])), ("trained on", device)]
    return [(name, value) for name, value in rows if value]


def _plain_lr(lr: float) -> str:
    """As it was given: 1e-7, 10."""
    return f"{lr:g}".replace("e-0", "e-").replace("e+0", "e")


def _weight_decay(optimizer: Mapping[str, Any]) -> dict[str, Any]:
    decay = optimizer.get("weight_decay")
    return {"weight_decay": decay} if decay else {}


def differences(answer: SweepAnswer) -> dict[str, Any] | None:
    """In which keys the configs of the jobs differ, and the values of each; None where they are all alike."""
    configs = [_told(flat(record.config)) for record in records_of(answer.conditions)]
    keys = sorted(
        {key for config in configs for key in config}, key=lambda key: (not key.startswith("seed"), key)
    )
    rows = []
    for key in keys:
        values = list(dict.fromkeys(_short(config.get(key)) for config in configs))
        if len(values) > 1:
            more = f" and {len(values) - MOST_VALUES:,} more" if len(values) > MOST_VALUES else ""
            rows.append(Row((key, ", ".join(values[:MOST_VALUES]) + more)))
    return table_block(("key", "values"), rows) if rows else None


def _told(config: Mapping[str, Any]) -> dict[str, Any]:
    """A config without the streams that have the run's own seed."""
    return {
        key.replace(".arguments.", "."): value
        for key, value in config.items()
        if not (key.startswith("seeds.") and value == config.get("seed")) and not key.startswith(_NOT_TOLD)
    }


def version_rows(answer: SweepAnswer) -> list[tuple[str, str]]:
    """With which versions, on what and when the runs were trained."""
    records = records_of(answer.conditions)
    if not records:
        return []
    names = sorted({name for record in records for name in record.versions})
    rows = [(name, _alike(record.versions.get(name) for record in records)) for name in names]
    rows.append(("code", _alike(record.git_commit for record in records)))
    rows.append(("device", _alike(_device(record.device) for record in records)))
    first, last = min(record.created for record in records), max(record.created for record in records)
    is_one = _minute(first) == _minute(last)
    rows.append(
        ("finished", f"{_minute(last)} UTC" if is_one else f"{_minute(first)} to {_minute(last)} UTC")
    )
    trained = {record.run.key: record.timings.get("obtain_seconds", 0.0) for record in records}
    seconds = sum(trained.values())
    if seconds:
        rows.append(("training", f"{format_duration(seconds)}, {count(len(trained), 'run')} added up"))
    return [(name, value) for name, value in rows if value]


def _device(device: Mapping[str, Any]) -> str:
    """What is out of the ordinary of a device, in words: "cpu, threads 2"."""
    name = str(device.get("name") or device.get("kind") or "")
    others = {
        key: value for key, value in device.items() if key not in _TOLD_ELSEWHERE and value not in _ORDINARY
    }
    return ", ".join(filter(None, [name, *(f"{key} {_short(value)}" for key, value in others.items())]))


_ORDINARY = (None, False, 0, "single", "")
_TOLD_ELSEWHERE = ("name", "kind", "precision")


def _minute(created: str) -> str:
    return created[:16].replace("T", " ")


def _alike(values: Iterable[Any]) -> str:
    """A value that all runs share, or all that there are."""
    return ", ".join(dict.fromkeys(_short(value) for value in values if value is not None))


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _LETTERS else f"{text[: _LETTERS - 3]}..."


# ---- the command


def commands(overrides: Sequence[Sequence[str]], *, program: str, single: bool) -> list[str]:
    """What makes these jobs again: one command where they are every combination of some values, else one each.

    Args:
        overrides: of each job.
        program: as a person types it.
        single: whether it is one run, and no sweep.
    """
    jobs = [tuple(own) for own in dict.fromkeys(map(tuple, overrides))]
    if not jobs:
        return []
    if single:
        return [_command(program, jobs[0])]
    swept = _as_one(jobs)
    if swept is not None:
        return [_command(f"{program} -m", swept)]
    told = [_command(f"{program} -m", own) for own in jobs[:MOST_COMMANDS]]
    return told + ([f"# and {len(jobs) - MOST_COMMANDS:,} more"] if len(jobs) > MOST_COMMANDS else [])


def _as_one(jobs: Sequence[tuple[str, ...]]) -> tuple[str, ...] | None:
    """Overrides with several values that give just these jobs; None where there are none."""
    parted = [[text.partition("=") for text in own] for own in jobs]
    keys = [key for key, _, _ in parted[0]]
    if any([key for key, _, _ in own] != keys for own in parted) or len(set(keys)) < len(keys):
        return None
    values = [list(dict.fromkeys(own[k][2] for own in parted)) for k in range(len(keys))]
    given = {tuple(value for _, _, value in own) for own in parted}
    if len(given) < math.prod(map(len, values)) or given != set(product(*values)):
        return None
    signs = [sign for _, sign, _ in parted[0]]
    return tuple(f"{key}{sign}{','.join(own)}" for key, sign, own in zip(keys, signs, values, strict=True))


def _command(program: str, overrides: Sequence[str]) -> str:
    return " ".join([program, *map(shlex.quote, overrides)])
