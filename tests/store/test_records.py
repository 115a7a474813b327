"""Records come back equal, and what can't be true is refused with file, field and value."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steadylr.core.curve import Curve, Stop
from steadylr.core.stopping import StoppingRule
from steadylr.core.suggestion import Outcome
from steadylr.store.curve_file import RunCurves
from steadylr.store.files import DamagedFile, NewerSchema, json_text, parse_json
from steadylr.store.records import (
    FindingText,
    JobStatus,
    RunFacts,
    RunRecord,
    SeedUse,
    Stopping,
    read_stopping,
    utc_now,
)
from steadylr.words.reading import ToldSuggestion


def example() -> RunRecord:
    """A record of a run with one suggestion found and one not."""
    return RunRecord(
        created="2026-01-31T12:00:00.000001+00:00",
        job_key="job-1",
        run=RunFacts(
            key="a" * 64,
            curve_digest="b" * 64,
            content_digest="c" * 64,
            from_store=False,
            num_points=80,
            num_iter=100,
            stop=Stop.DIVERGED,
        ),
        config={"finder": {"start_lr": 1e-7, "diverge_th": math.inf}, "seed": 0},
        overrides=["seed=0"],
        seeds={"init": SeedUse(seed=0, used=True), "augment": SeedUse(seed=0, used=False)},
        rule="bracket",
        suggestions={
            "bracket": ToldSuggestion("bracket", Outcome.FOUND, "between the two", 0.03, 0.01, 0.1),
            "smith": ToldSuggestion("smith", Outcome.NO_POINT, "never met; raise end_lr"),
        },
        diagnosis=[FindingText(code="noisy", text="too noisy", advice="more iterations")],
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
        run=RunFacts(
            key=draw(st.text()),
            curve_digest=draw(st.text()),
            content_digest=draw(st.none() | st.text()),
            from_store=draw(st.booleans()),
            num_points=num_points,
            num_iter=num_points + draw(st.integers(0, 10)),
            stop=draw(st.sampled_from(Stop)),
        ),
        config=draw(mappings),
        overrides=draw(st.lists(st.text(), max_size=3)),
        seeds=draw(
            st.dictionaries(st.text(), st.builds(SeedUse, seed=st.integers(), used=st.booleans()), max_size=3)
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
    back = RunRecord.from_json(parse_json(text.encode(), source="x"), source="x")
    assert back == record
    assert json_text(back.to_json(), sort_keys=True) == text


def changed(**fields: Any) -> RunRecord:
    """The example with other fields, unchecked."""
    return example().model_copy(update=fields)


def test_record_round_trips_through_a_folder_and_a_file(tmp_path: Path) -> None:
    """What is written to a folder is read from the folder or from the file."""
    path = example().write(tmp_path / "job")
    assert path == tmp_path / "job" / "record.json"
    assert RunRecord.read(tmp_path / "job") == RunRecord.read(path) == example()
    assert RunRecord.read(path).headline.lr == 0.03


def test_nan_in_a_record_is_valid_json(tmp_path: Path) -> None:
    """A NaN in a config or a timing comes back as NaN, and the file is JSON that any reader takes."""
    path = changed(config={"x": math.nan}, timings={"a": math.nan}).write(tmp_path)
    json.loads(path.read_text(encoding="utf-8"), parse_constant=pytest.fail)
    assert math.isnan(RunRecord.read(path).config["x"])
    assert math.isnan(RunRecord.read(path).timings["a"])


def test_a_record_that_could_not_be_read_is_not_made_or_written(tmp_path: Path) -> None:
    """A record with an impossible value is refused when it is made, and before anything is written."""
    with pytest.raises(ValueError, match="must hold one of the rule 'magic'"):
        RunRecord(**{**dict(example()), "rule": "magic"})
    with pytest.raises(ValueError, match=r"record\.json: suggestions must hold one of the rule 'magic'"):
        changed(rule="magic").write(tmp_path)
    with pytest.raises(ValueError, match=r"JSON carries .* at config\.x"):
        changed(config={"x": object()}).write(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_utc_now_is_what_records_want(tmp_path: Path) -> None:
    """utc_now gives microseconds and UTC, and is accepted in a record."""
    now = utc_now()
    assert len(now) == len("2026-01-31T12:00:00.000000+00:00")
    assert datetime.fromisoformat(now).utcoffset() == timedelta(0)
    changed(created=now).write(tmp_path)
    assert RunRecord.read(tmp_path).created == now


def version_1() -> Any:
    """The example as the first version of steadylr wrote it: no checksum, and no digest over the whole curve."""
    content: Any = json.loads(json_text(example().to_json()))
    del content["checksum"], content["run"]["content_digest"]
    return {**content, "schema_version": 1}


def test_a_record_without_a_checksum_is_read_as_before(tmp_path: Path) -> None:
    """What the first version wrote is read; it doesn't say which curve it was made from but for what the rules read."""
    (tmp_path / "record.json").write_text(json.dumps(version_1()))
    run = example().run.model_copy(update={"content_digest": None})
    assert RunRecord.read(tmp_path) == changed(run=run)


DROP = object()


def damaged(path: Path, at: str, value: object) -> None:
    """Write the example, without a checksum, with the field at a dotted path replaced or dropped."""
    content = version_1()
    *owners, last = at.split(".")
    owner = content
    for name in owners:
        owner = owner[int(name)] if isinstance(owner, list) else owner[name]
    if value is DROP:
        del owner[last]
    else:
        owner[last] = value
    path.write_text(json.dumps(content), encoding="utf-8")


def numbers_in(content: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The places of all numbers in plain values."""
    if isinstance(content, (dict, list)):
        for step, inner in content.items() if isinstance(content, dict) else enumerate(content):
            yield from numbers_in(inner, (*at, step))
    elif isinstance(content, (int, float)) and not isinstance(content, bool):
        yield at


def test_every_changed_number_is_noticed(tmp_path: Path) -> None:
    """A number that can be, but isn't the one that was written, is damage; so are texts, and a checksum taken away."""
    path = example().write(tmp_path)
    text = path.read_text(encoding="utf-8")
    places = [at for at in numbers_in(json.loads(text)) if at != ("schema_version",)]
    assert len(places) > 10
    for at in places:
        content = json.loads(text)
        owner = content
        for step in at[:-1]:
            owner = owner[step]
        owner[at[-1]] *= 2
        owner[at[-1]] += 1
        path.write_text(json.dumps(content), encoding="utf-8")
        with pytest.raises(DamagedFile, match=r"record\.json: was changed after it was written"):
            RunRecord.read(tmp_path)
    for old, new in (('"seed=0"', '"seed=1"'), ('"checksum"', '"nothing"')):
        path.write_text(text.replace(old, new), encoding="utf-8")
        with pytest.raises(DamagedFile, match="checksum"):
            RunRecord.read(tmp_path)


def test_a_changed_version_does_not_do_away_with_the_checksum(tmp_path: Path) -> None:
    """A file that has one is held to it, also where it says that it is of the version that had none."""
    path = example().write(tmp_path)
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace('"schema_version": 2', '"schema_version": 1'), encoding="utf-8")
    with pytest.raises(DamagedFile, match=r"record\.json: was changed after it was written"):
        RunRecord.read(tmp_path)


def test_the_layout_of_a_file_is_no_change(tmp_path: Path) -> None:
    """Another order of keys, or other white space, has the same checksum."""
    path = example().write(tmp_path)
    content = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(dict(reversed(content.items()))), encoding="utf-8")
    assert RunRecord.read(tmp_path) == example()


def curves(**change: Any) -> RunCurves:
    """The run of a record, but for a change."""
    lr = np.geomspace(1e-5, 1.0, 5)
    losses = np.array([3.0, 2.0, 1.0, 2.0, 9.0])
    values = {
        "lr": lr,
        "loss": losses,
        "num_iter": 6,
        "stop": Stop.DIVERGED,
        "group_lrs": lr[:, None],
        "meta": {},
    }
    values |= change
    validation = Curve(lr[::2], values.get("held_out", losses[::2]), num_iter=values.get("held_out_iter", 3))
    curve = Curve(values["lr"], values["loss"], values["num_iter"], values["stop"])
    return RunCurves(curve, validation, values["group_lrs"], values["meta"])


@pytest.mark.parametrize(
    "change",
    [
        {"loss": np.array([3.0, 2.0, 1.0, 2.0, 9.5])},
        {"lr": np.geomspace(1e-5, 1.1, 5)},
        {"num_iter": 7},
        {"stop": Stop.COMPLETED},
        {"group_lrs": np.geomspace(1e-5, 1.1, 5)[:, None]},
        {"held_out": np.array([3.0, 1.0, 8.0])},
        {"held_out_iter": 4},
        {"meta": {"skipped_steps": [1]}},
    ],
)
def test_a_record_knows_its_curve(change: dict[str, Any]) -> None:
    """Whatever is changed in a curve, it isn't the one that the record was made from."""
    run = curves()
    facts = RunFacts(
        key="",
        curve_digest=run.read.digest(),
        content_digest=run.digest(),
        from_store=False,
        num_points=5,
        num_iter=6,
        stop=Stop.DIVERGED,
    )
    changed(run=facts).check_curves(run, source="curve.npz")
    with pytest.raises(DamagedFile, match=r"curve\.npz: is not the curve that record\.json describes"):
        changed(run=facts).check_curves(curves(**change), source="curve.npz")


@pytest.mark.parametrize(
    ("at", "value", "message"),
    [
        ("schema_version", DROP, r"lacks schema_version"),
        ("schema_version", "1", r"must be a whole number from 1 to 2; got '1'"),
        ("schema_version", True, r"got True"),
        ("schema_version", 0, r"got 0"),
        ("run", DROP, r"the file lacks run"),
        ("surprise", 1, r"the file has an unknown field: surprise"),
        ("created", "yesterday", r"created must be a time in UTC.* got 'yesterday'"),
        ("created", "2026-01-31T12:00:00.000000+01:00", r"created must be a time in UTC"),
        ("created", "2026-01-31T12:00:00.000000", r"created must be a time in UTC"),
        ("job_key", 3, r"job_key must be a valid string; got 3"),
        ("run.key", None, r"run\.key must be a valid string; got None"),
        ("run.from_store", 1, r"run\.from_store must be a valid boolean; got 1"),
        ("run.num_points", 80.0, r"run\.num_points must be a valid integer; got 80\.0"),
        ("run.num_points", 0, r"run\.num_points must be greater than or equal to 1; got 0"),
        ("run.num_iter", 79, r"run\.num_iter must be at least the 80 points"),
        ("run.stop", "tired", r"run\.stop must be .*'diverged'.* got 'tired'"),
        ("run.extra", 1, r"run has an unknown field: extra"),
        ("config", [], r"config must be a valid dictionary; got \[\]"),
        ("overrides", "seed=1", r"overrides must be a valid list; got 'seed=1'"),
        ("overrides", [1], r"overrides\[0\] must be a valid string; got 1"),
        ("seeds.init", 3, r"seeds\.init must be a valid dictionary.*; got 3"),
        ("seeds.init.seed", True, r"seeds\.init\.seed must be a valid integer; got True"),
        ("seeds.init.used", DROP, r"seeds\.init lacks used"),
        ("rule", "magic", r"suggestions must hold one of the rule 'magic'"),
        ("suggestions", {}, r"suggestions must hold one of the rule 'bracket'; got \{\}"),
        ("suggestions.bracket.lr", "0.03", r"suggestions\.bracket\.lr must be a valid number; got '0\.03'"),
        ("suggestions.bracket.lr", 0, r"suggestions\.bracket\.lr must be greater than 0; got 0"),
        ("suggestions.bracket.lr", -0.5, r"bracket\.lr must be greater than 0; got -0\.5"),
        (
            "suggestions.bracket.lr",
            {"$float": "NaN"},
            r"bracket\.lr must be a finite number; got nan",
        ),
        ("suggestions.bracket.lr", 10**400, r"bracket\.lr must be a valid number; got 1000"),
        ("suggestions.bracket.lr", True, r"bracket\.lr must be a valid number; got True"),
        ("suggestions.bracket.lr", None, r"bracket\.lr must be a number with the outcome 'found'"),
        ("suggestions.smith.lr", 0.1, r"smith\.lr must be a number with the outcome 'found' and null"),
        ("suggestions.smith.low", 0.1, r"smith\.low must not be above the lr None"),
        ("suggestions.bracket.low", 0.2, r"bracket\.low must not be above the lr 0\.03; got 0\.2"),
        ("suggestions.bracket.high", 0.02, r"bracket\.high must not be below the lr 0\.03; got 0\.02"),
        ("suggestions.bracket.outcome", "lucky", r"bracket\.outcome must be .* got 'lucky'"),
        ("diagnosis", {}, r"diagnosis must be a valid list; got \{\}"),
        ("diagnosis.0.advice", 1, r"diagnosis\[0\]\.advice must be a valid string; got 1"),
        ("plan", 3, r"plan must be a valid dictionary; got 3"),
        ("versions.torch", 2.15, r"versions\.torch must be a valid string; got 2\.15"),
        ("timings.train", "1 s", r"timings\.train must be a valid number; got '1 s'"),
        ("git_commit", 1, r"git_commit must be a valid string; got 1"),
        ("notes", None, r"notes must be a valid list; got None"),
    ],
)
def test_damaged_records_are_named(tmp_path: Path, at: str, value: object, message: str) -> None:
    """A missing, unknown, mistyped or impossible field raises DamagedFile with file, field and value."""
    path = tmp_path / "record.json"
    damaged(path, at, value)
    with pytest.raises(DamagedFile, match=r"record\.json: .*" + message):
        RunRecord.read(tmp_path)


def test_a_newer_record_asks_for_an_upgrade(tmp_path: Path) -> None:
    """A newer schema is said as such, though its fields are unknown too; nothing else is."""
    (tmp_path / "record.json").write_text('{"schema_version": 7, "everything": "new"}')
    with pytest.raises(NewerSchema, match=r"version 7, this steadylr reads up to version 2; upgrade"):
        RunRecord.read(tmp_path)


@pytest.mark.parametrize("content", ["[]", "3", "null"])
def test_a_file_of_something_else_is_refused(tmp_path: Path, content: str) -> None:
    """JSON that is no mapping is no record and no status."""
    path = tmp_path / "x.json"
    path.write_text(content)
    for read in (RunRecord.read, JobStatus.read, Stopping.read):
        with pytest.raises(DamagedFile, match="must hold a mapping"):
            read(path)


def test_a_missing_record_is_not_found(tmp_path: Path) -> None:
    """A folder without a record raises FileNotFoundError."""
    with pytest.raises(FileNotFoundError):
        RunRecord.read(tmp_path)


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
    path = status.write(tmp_path)
    assert path == tmp_path / "status.json"
    assert JobStatus.read(tmp_path) == JobStatus.read(path) == status


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"status": "great"}, r"status must be .*'finished'.* got 'great'"),
        ({"error": 3}, r"error must be a valid string; got 3"),
        ({"job_key": None}, r"job_key must be a valid string"),
        ({"surprise": 1}, r"the file has an unknown field: surprise"),
    ],
)
def test_damaged_statuses_are_named(tmp_path: Path, content: dict[str, Any], message: str) -> None:
    """A status with an impossible field raises DamagedFile with file, field and value."""
    good = {"schema_version": 1, "status": "finished", "job_key": "k", "overrides": []}
    (tmp_path / "status.json").write_text(json.dumps({**good, **content}))
    with pytest.raises(DamagedFile, match=r"status\.json: .*" + message):
        JobStatus.read(tmp_path)


def test_a_stopping_rule_round_trips(tmp_path: Path) -> None:
    """The rule of a sweep comes back; a sweep without one has None; one that can't be is damage, with its reason."""
    assert read_stopping(tmp_path) is None
    path = Stopping(factor=1.25, max_runs=20).write(tmp_path)
    assert read_stopping(tmp_path) == StoppingRule(1.25, 20)
    path.write_text('{"schema_version": 1, "factor": 1.5, "max_runs": 12}')
    assert read_stopping(tmp_path) == StoppingRule(1.5, 12)
    path.write_text('{"schema_version": 1, "factor": 1.5, "max_runs": 2}')
    with pytest.raises(DamagedFile, match=r"stopping\.json: the file max_runs must be at least 3"):
        read_stopping(tmp_path)
