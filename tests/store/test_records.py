"""Records come back equal, and what can't be true is refused with file, field and value."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steadylr.core.curve import Stop
from steadylr.core.suggestion import Outcome
from steadylr.store.files import DamagedFile, NewerSchema, json_text, parse_json
from steadylr.store.records import (
    JobStatus,
    RunRecord,
    read_record,
    read_status,
    utc_now,
    write_record,
    write_status,
)
from steadylr.words.reading import ToldSuggestion


def example() -> RunRecord:
    """A record of a run with one suggestion found and one not."""
    return RunRecord(
        created="2026-01-31T12:00:00.000001+00:00",
        job_key="job-1",
        run={
            "key": "a" * 64,
            "curve_digest": "b" * 64,
            "from_store": False,
            "num_iter": 100,
            "num_points": 80,
            "stop": "diverged",
        },
        config={"finder": {"start_lr": 1e-7, "diverge_th": math.inf}, "seed": 0},
        overrides=["seed=0"],
        seeds={"init": {"seed": 0, "used": True}, "augment": {"seed": 0, "used": False}},
        rule="bracket",
        suggestions={
            "bracket": ToldSuggestion("bracket", Outcome.FOUND, "between the two", 0.03, 0.01, 0.1),
            "smith": ToldSuggestion("smith", Outcome.NO_POINT, "never met; raise end_lr"),
        },
        diagnosis=[{"code": "noisy", "text": "too noisy", "advice": "more iterations"}],
        plan={"max_lr": 0.03},
        versions={"torch": "2.15", "pandas": None},
        device={"kind": "cpu"},
        git_commit=None,
        timings={"train": 1.25},
        notes=["fine"],
    )


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
mappings = st.dictionaries(st.text(), plain, max_size=3)
lrs = st.floats(min_value=5e-324, allow_infinity=False)


@st.composite
def suggestion_maps(draw: st.DrawFn) -> dict[str, ToldSuggestion]:
    """At least one suggestion, each possible."""

    def one(rule: str) -> ToldSuggestion:
        outcome = draw(st.sampled_from(Outcome))
        if outcome is not Outcome.FOUND:
            return ToldSuggestion(rule, outcome, draw(st.text()))
        low, lr, high = sorted(draw(st.tuples(lrs, lrs, lrs)))
        bracketed = draw(st.booleans())
        ends = (low, high) if bracketed else (None, None)
        return ToldSuggestion(rule, outcome, draw(st.text()), lr, *ends)

    rules = draw(st.lists(st.text(), min_size=1, max_size=3, unique=True))
    return {rule: one(rule) for rule in rules}


@st.composite
def records(draw: st.DrawFn) -> RunRecord:
    """Any record that can be."""
    suggestions = draw(suggestion_maps())
    num_points = draw(st.integers(1, 10**6))
    return RunRecord(
        created=draw(st.datetimes()).isoformat(timespec="microseconds") + "+00:00",
        job_key=draw(st.text()),
        run={
            "key": draw(st.text()),
            "curve_digest": draw(st.text()),
            "from_store": draw(st.booleans()),
            "num_iter": num_points + draw(st.integers(0, 10)),
            "num_points": num_points,
            "stop": draw(st.sampled_from(Stop)).value,
        },
        config=draw(mappings),
        overrides=draw(st.lists(st.text(), max_size=3)),
        seeds=draw(
            st.dictionaries(
                st.text(), st.fixed_dictionaries({"seed": st.integers(), "used": st.booleans()}), max_size=3
            )
        ),
        rule=draw(st.sampled_from(sorted(suggestions))),
        suggestions=suggestions,
        diagnosis=[],
        plan=draw(st.none() | mappings),
        versions=draw(st.dictionaries(st.text(), st.none() | st.text(), max_size=2)),
        device=draw(mappings),
        git_commit=draw(st.none() | st.text()),
        timings=draw(st.dictionaries(st.text(), st.floats(allow_nan=False), max_size=2)),
        notes=draw(st.lists(st.text(), max_size=2)),
    )


@settings(deadline=None, max_examples=50)
@given(records())
def test_any_record_round_trips(record: RunRecord) -> None:
    """A record comes back equal through its JSON text, floats bit for bit."""
    text = json_text(record.to_json(), sort_keys=True)
    back = RunRecord.from_json(parse_json(text.encode(), source="x"))
    assert back == record
    assert json_text(back.to_json(), sort_keys=True) == text


def test_record_round_trips_through_a_folder_and_a_file(tmp_path: Path) -> None:
    """What is written to a folder is read from the folder or from the file."""
    path = write_record(tmp_path / "job", example())
    assert path == tmp_path / "job" / "record.json"
    assert read_record(tmp_path / "job") == read_record(path) == example()
    assert read_record(path).headline.lr == 0.03


def test_nan_in_a_record_is_valid_json(tmp_path: Path) -> None:
    """A NaN in a config or a timing comes back as NaN, and the file is JSON that any reader takes."""
    path = write_record(tmp_path, replace(example(), config={"x": math.nan}, timings={"a": math.nan}))
    json.loads(path.read_text(encoding="utf-8"), parse_constant=pytest.fail)
    assert math.isnan(read_record(path).config["x"])
    assert math.isnan(read_record(path).timings["a"])


def test_a_record_that_could_not_be_read_is_not_written(tmp_path: Path) -> None:
    """A record with an impossible value is refused before anything is written."""
    with pytest.raises(ValueError, match=r"record\.json: rule must be one of .*'bracket'.* got 'magic'"):
        write_record(tmp_path, replace(example(), rule="magic"))
    with pytest.raises(ValueError, match=r"JSON carries .* at config\.x"):
        write_record(tmp_path, replace(example(), config={"x": object()}))
    assert list(tmp_path.iterdir()) == []


def test_utc_now_is_what_records_want(tmp_path: Path) -> None:
    """utc_now gives microseconds and UTC, and is accepted in a record."""
    now = utc_now()
    assert len(now) == len("2026-01-31T12:00:00.000000+00:00")
    assert datetime.fromisoformat(now).utcoffset() == timedelta(0)
    write_record(tmp_path, replace(example(), created=now))
    assert read_record(tmp_path).created == now


DROP = object()


def damaged(path: Path, at: str, value: object) -> None:
    """Write the example with the field at a dotted path replaced or dropped."""
    content: Any = json.loads(json_text(example().to_json()))
    *owners, last = at.split(".")
    owner = content
    for name in owners:
        owner = owner[int(name)] if isinstance(owner, list) else owner[name]
    if value is DROP:
        del owner[last]
    else:
        owner[last] = value
    path.write_text(json.dumps(content), encoding="utf-8")


@pytest.mark.parametrize(
    ("at", "value", "message"),
    [
        ("schema_version", DROP, r"lacks schema_version"),
        ("schema_version", "1", r"must be a whole number from 1 to 1; got '1'"),
        ("schema_version", True, r"got True"),
        ("schema_version", 0, r"got 0"),
        ("run", DROP, r"the file lacks run"),
        ("surprise", 1, r"unknown fields: surprise"),
        ("created", "yesterday", r"created must be a time in UTC.* got 'yesterday'"),
        ("created", "2026-01-31T12:00:00.000000+01:00", r"created must be a time in UTC"),
        ("created", "2026-01-31T12:00:00.000000", r"created must be a time in UTC"),
        ("job_key", 3, r"job_key must be text; got 3"),
        ("run.key", None, r"run\.key must be text; got None"),
        ("run.from_store", 1, r"run\.from_store must be true or false; got 1"),
        ("run.num_points", 80.0, r"run\.num_points must be a whole number; got 80\.0"),
        ("run.num_points", 0, r"run\.num_points must be at least 1; got 0"),
        ("run.num_iter", 79, r"run\.num_iter must be at least the 80 points"),
        ("run.stop", "tired", r"run\.stop must be one of .*'diverged'.* got 'tired'"),
        ("run.extra", 1, r"run has unknown fields: extra"),
        ("config", [], r"config must be a mapping; got \[\]"),
        ("overrides", "seed=1", r"overrides must be a list of texts; got 'seed=1'"),
        ("overrides", [1], r"overrides must be a list of texts"),
        ("seeds.init", 3, r"seeds\.init must be a mapping; got 3"),
        ("seeds.init.seed", True, r"seeds\.init\.seed must be a whole number; got True"),
        ("seeds.init.used", DROP, r"seeds\.init lacks used"),
        ("rule", "magic", r"rule must be one of"),
        ("suggestions", {}, r"rule must be one of .*\[\]; got 'bracket'"),
        ("suggestions.bracket.lr", "0.03", r"suggestions\.bracket\.lr must be a number; got '0\.03'"),
        ("suggestions.bracket.lr", 0, r"suggestions\.bracket\.lr must be a finite number above 0; got 0"),
        ("suggestions.bracket.lr", -0.5, r"bracket\.lr must be a finite number above 0; got -0\.5"),
        (
            "suggestions.bracket.lr",
            {"$float": "NaN"},
            r"bracket\.lr must be a finite number above 0; got nan",
        ),
        ("suggestions.bracket.lr", 10**400, r"bracket\.lr must be a finite number above 0; got 1000"),
        ("suggestions.bracket.lr", True, r"bracket\.lr must be a number; got True"),
        ("suggestions.bracket.lr", None, r"bracket\.lr must be a number with the outcome 'found'"),
        ("suggestions.smith.lr", 0.1, r"smith\.lr must be a number with the outcome 'found' and null"),
        ("suggestions.smith.low", 0.1, r"smith\.low must not be above the lr None"),
        ("suggestions.bracket.low", 0.2, r"bracket\.low must not be above the lr 0\.03; got 0\.2"),
        ("suggestions.bracket.high", 0.02, r"bracket\.high must not be below the lr 0\.03; got 0\.02"),
        ("suggestions.bracket.outcome", "lucky", r"bracket\.outcome must be one of .* got 'lucky'"),
        ("diagnosis", {}, r"diagnosis must be a list; got \{\}"),
        ("diagnosis.0.advice", 1, r"diagnosis\[0\]\.advice must be text; got 1"),
        ("plan", 3, r"plan must be a mapping; got 3"),
        ("versions.torch", 2.15, r"versions\.torch must be text; got 2\.15"),
        ("timings.train", "1 s", r"timings\.train must be a number; got '1 s'"),
        ("git_commit", 1, r"git_commit must be text; got 1"),
        ("notes", None, r"notes must be a list of texts; got None"),
    ],
)
def test_damaged_records_are_named(tmp_path: Path, at: str, value: object, message: str) -> None:
    """A missing, unknown, mistyped or impossible field raises DamagedFile with file, field and value."""
    path = tmp_path / "record.json"
    damaged(path, at, value)
    with pytest.raises(DamagedFile, match=r"record\.json: .*" + message):
        read_record(tmp_path)


def test_a_newer_record_asks_for_an_upgrade(tmp_path: Path) -> None:
    """A newer schema is said as such, though its fields are unknown too; nothing else is."""
    (tmp_path / "record.json").write_text('{"schema_version": 7, "everything": "new"}')
    with pytest.raises(NewerSchema, match=r"version 7, this steadylr reads up to version 1; upgrade"):
        read_record(tmp_path)


@pytest.mark.parametrize("content", ["[]", "3", "null"])
def test_a_file_of_something_else_is_refused(tmp_path: Path, content: str) -> None:
    """JSON that is no mapping is no record and no status."""
    path = tmp_path / "x.json"
    path.write_text(content)
    for read in (read_record, read_status):
        with pytest.raises(DamagedFile, match="must hold a mapping"):
            read(path)


def test_a_missing_record_is_not_found(tmp_path: Path) -> None:
    """A folder without a record raises FileNotFoundError."""
    with pytest.raises(FileNotFoundError):
        read_record(tmp_path)


@pytest.mark.parametrize(
    "status",
    [
        JobStatus(status="finished", job_key="k", overrides=[], config={"a": 1.0}),
        JobStatus(
            status="failed", job_key="", overrides=["x=1"], config=None, error="no", traceback="T\n\udcff"
        ),
    ],
)
def test_status_round_trips(tmp_path: Path, status: JobStatus) -> None:
    """A status comes back equal from the folder and from the file."""
    path = write_status(tmp_path, status)
    assert path == tmp_path / "status.json"
    assert read_status(tmp_path) == read_status(path) == status


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"status": "great"}, r"status must be one of .*'finished'.* got 'great'"),
        ({"error": 3}, r"error must be text; got 3"),
        ({"job_key": None}, r"job_key must be text"),
        ({"surprise": 1}, r"unknown fields: surprise"),
    ],
)
def test_damaged_statuses_are_named(tmp_path: Path, content: dict[str, Any], message: str) -> None:
    """A status with an impossible field raises DamagedFile with file, field and value."""
    good = JobStatus(status="finished", job_key="k", overrides=[]).to_json()
    (tmp_path / "status.json").write_text(json.dumps({**good, **content}))
    with pytest.raises(DamagedFile, match=r"status\.json: .*" + message):
        read_status(tmp_path)
