"""Records: what one job found (record.json), how it ended (status.json), when its sweep stops (stopping.json)."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Literal, NoReturn, TypedDict, TypeVar, get_args

from steadylr.core.curve import Stop
from steadylr.core.stopping import StoppingRule
from steadylr.core.suggestion import Outcome
from steadylr.store.files import DamagedFile, NewerSchema, checked_version, read_json, write_json
from steadylr.words.reading import ToldSuggestion

SCHEMA_VERSION = 1
"""Version of record.json, status.json and stopping.json; raised when a field comes, goes or changes its meaning."""

RECORD_FILE = "record.json"
STATUS_FILE = "status.json"
STOPPING_FILE = "stopping.json"

Status = Literal["finished", "no_answer", "failed", "interrupted"]

T = TypeVar("T")


class RunFacts(TypedDict):
    """The run that a job read."""

    key: str  # its key, all seeds included
    curve_digest: str  # SHA-256 of the curve that the rules read (Curve.digest)
    from_store: bool  # whether it was there already
    num_iter: int  # points that the ramp was planned to have, at least num_points
    num_points: int  # points recorded, at least 1
    stop: str  # why it ended, a value of Stop


class SeedUse(TypedDict):
    """The seed of one random stream, and whether anything drew from the stream."""

    seed: int
    used: bool


class FindingText(TypedDict):
    """One finding of the diagnosis."""

    code: str
    text: str
    advice: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """All that one job found, complete enough to be understood years later.

    Args:
        created: when, as utc_now gives it: ISO 8601 in UTC with microseconds.
        job_key: identifies the job: its run and how it was read.
        run: the run that was read.
        config: the resolved config as plain values.
        overrides: the command line's overrides.
        seeds: by random stream.
        rule: the headline rule, a key of suggestions.
        suggestions: by rule.
        diagnosis: the findings; empty for a clean curve.
        plan: the OneCycle plan as plain values, or None without an answer.
        versions: package name to version, None where it isn't installed.
        device: what it ran on, as plain values.
        git_commit: of the working folder, or None.
        timings: seconds by what took them.
        notes: anything else a reader should know.
    """

    created: str
    job_key: str
    run: RunFacts
    config: dict[str, Any]
    overrides: list[str]
    seeds: dict[str, SeedUse]
    rule: str
    suggestions: dict[str, ToldSuggestion]
    diagnosis: list[FindingText]
    plan: dict[str, Any] | None
    versions: dict[str, str | None]
    device: dict[str, Any]
    git_commit: str | None
    timings: dict[str, float]
    notes: list[str] = field(default_factory=list)

    @property
    def headline(self) -> ToldSuggestion:
        """The suggestion of the headline rule."""
        return self.suggestions[self.rule]

    def to_json(self) -> dict[str, Any]:
        """Plain values for write_json; from_json turns them back."""
        own = {name.name: getattr(self, name.name) for name in fields(self)}
        return {
            "schema_version": SCHEMA_VERSION,
            **own,
            "suggestions": {rule: _suggestion_json(found) for rule, found in self.suggestions.items()},
        }

    @classmethod
    def from_json(cls, content: object, *, source: str | os.PathLike[str] = RECORD_FILE) -> RunRecord:
        """The record that to_json gave; source names the file in errors.

        Raises:
            NewerSchema: a newer steadylr wrote it.
            DamagedFile: a field is missing, unknown or of another type, or has a value that can't be.
        """
        top = _versioned(source, content, [name.name for name in fields(cls)])
        record = cls(
            created=_created(top),
            job_key=top.text("job_key"),
            run=_run_facts(top.inner("run", RunFacts.__annotations__)),
            config=top.mapping("config"),
            overrides=top.texts("overrides"),
            seeds=top.each("seeds", _seed_use, names=SeedUse.__annotations__),
            rule=top.text("rule"),
            suggestions=top.each("suggestions", _suggestion, names=_SUGGESTION_FIELDS),
            diagnosis=_diagnosis(top),
            plan=top.optional("plan", top.mapping),
            versions={name: _optional_text(top, "versions", name) for name in top.mapping("versions")},
            device=top.mapping("device"),
            git_commit=top.optional("git_commit", top.text),
            timings=_timings(top),
            notes=top.texts("notes"),
        )
        if record.rule not in record.suggestions:
            top.refuse("rule", f"must be one of the suggestions' rules {list(record.suggestions)}")
        return record


@dataclass(frozen=True, slots=True, kw_only=True)
class JobStatus:
    """How one job ended.

    Args:
        status: "finished" (an LR was found), "no_answer" (the curve gives none), "failed" or "interrupted".
        job_key: identifies the job; empty when it failed before that was known.
        overrides: the command line's overrides.
        config: the resolved config as plain values, or None when it failed before there was one.
        error: one message, or None when nothing went wrong.
        traceback: the exception's traceback, or None.
    """

    status: Status
    job_key: str
    overrides: list[str]
    config: dict[str, Any] | None = None
    error: str | None = None
    traceback: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain values for write_json; from_json turns them back."""
        return {"schema_version": SCHEMA_VERSION, **{f.name: getattr(self, f.name) for f in fields(self)}}

    @classmethod
    def from_json(cls, content: object, *, source: str | os.PathLike[str] = STATUS_FILE) -> JobStatus:
        """The status that to_json gave; source names the file in errors. Raises as RunRecord.from_json."""
        top = _versioned(source, content, [name.name for name in fields(cls)])
        status = top.text("status")
        if status not in get_args(Status):
            top.refuse("status", f"must be one of {get_args(Status)}")
        return cls(
            status=status,  # type: ignore[arg-type]
            job_key=top.text("job_key"),
            overrides=top.texts("overrides"),
            config=top.optional("config", top.mapping),
            error=top.optional("error", top.text),
            traceback=top.optional("traceback", top.text),
        )


def utc_now() -> str:
    """The time now as records have it: ISO 8601 in UTC with microseconds."""
    return datetime.now(timezone.utc).isoformat(timespec="microseconds")


def write_record(folder: str | os.PathLike[str], record: RunRecord) -> Path:
    """Write record.json into a folder, atomically; gives its path.

    Raises:
        ValueError: the record holds what read_record would refuse; nothing is written.
        OSError: the file can't be written.
    """
    return _write(Path(folder) / RECORD_FILE, record.to_json(), RunRecord.from_json)


def read_record(folder_or_file: str | os.PathLike[str]) -> RunRecord:
    """Read a record from a job's folder or from the file itself.

    Raises:
        FileNotFoundError: there is none.
        NewerSchema, DamagedFile: see RunRecord.from_json.
    """
    path = _file(folder_or_file, RECORD_FILE)
    return RunRecord.from_json(read_json(path), source=path)


def write_status(folder: str | os.PathLike[str], status: JobStatus) -> Path:
    """Write status.json into a folder, atomically; gives its path. Raises as write_record does."""
    return _write(Path(folder) / STATUS_FILE, status.to_json(), JobStatus.from_json)


def read_status(folder_or_file: str | os.PathLike[str]) -> JobStatus:
    """Read a job's status from its folder or from the file itself; raises as read_record does."""
    path = _file(folder_or_file, STATUS_FILE)
    return JobStatus.from_json(read_json(path), source=path)


def write_stopping(sweep: str | os.PathLike[str], rule: StoppingRule) -> Path:
    """Write into a sweep's folder which rule decides how many runs it has. Raises as write_record does."""
    own = {f.name: getattr(rule, f.name) for f in fields(rule)}
    return _write(Path(sweep) / STOPPING_FILE, {"schema_version": SCHEMA_VERSION, **own}, _stopping)


def read_stopping(sweep: str | os.PathLike[str]) -> StoppingRule | None:
    """The rule that decided how many runs a sweep has; None where that was settled beforehand.

    Raises:
        NewerSchema, DamagedFile: see RunRecord.from_json.
    """
    path = Path(sweep) / STOPPING_FILE
    return _stopping(read_json(path), source=path) if path.is_file() else None


def _stopping(content: object, *, source: str | os.PathLike[str]) -> StoppingRule:
    top = _versioned(source, content, [f.name for f in fields(StoppingRule)])
    factor, max_runs = top.positive("factor"), top.integer("max_runs")
    try:
        return StoppingRule(factor, max_runs)
    except ValueError as error:
        raise DamagedFile(source, str(error)) from None


def _write(path: Path, content: dict[str, Any], check: Callable[..., object]) -> Path:
    # What can't be read back must not get to the disk: there it would be found days later.
    check(content, source=path)
    write_json(path, content)
    return path


def _file(folder_or_file: str | os.PathLike[str], name: str) -> Path:
    path = Path(folder_or_file)
    return path / name if path.is_dir() else path


# Reading, field by field


class _Fields:
    """One mapping in a file, read strictly; errors name the file, the field and the value."""

    def __init__(
        self, source: str | os.PathLike[str], where: str, content: object, names: Iterable[str]
    ) -> None:
        self._source = source
        self._where = where
        if not isinstance(content, dict):
            raise DamagedFile(source, f"{where or 'the file'} must be a mapping; got {_short(content)}")
        self._content = content
        known = set(names)
        if missing := sorted(known - content.keys()):
            raise DamagedFile(source, f"{where or 'the file'} lacks {', '.join(missing)}")
        if unknown := sorted(str(name) for name in content.keys() - known):
            raise DamagedFile(source, f"{where or 'the file'} has unknown fields: {', '.join(unknown)}")

    def refuse(self, name: str, problem: str) -> NoReturn:
        raise DamagedFile(self._source, f"{self._path(name)} {problem}; got {_short(self._content[name])}")

    def text(self, name: str) -> str:
        return self._of_kind(name, str, "text")

    def flag(self, name: str) -> bool:
        return self._of_kind(name, bool, "true or false")

    def integer(self, name: str) -> int:
        if isinstance(self._content[name], bool):
            self.refuse(name, "must be a whole number")
        return self._of_kind(name, int, "a whole number")

    def number(self, name: str) -> float:
        value = self._content[name]
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            self.refuse(name, "must be a number")
        try:
            return float(value)
        except OverflowError:  # a whole number of more than 308 digits
            return math.inf

    def positive(self, name: str) -> float:
        value = self.number(name)
        if not (math.isfinite(value) and value > 0):
            self.refuse(name, "must be a finite number above 0")
        return value

    def mapping(self, name: str) -> dict[str, Any]:
        value: dict[str, Any] = self._of_kind(name, dict, "a mapping")
        if not all(isinstance(key, str) for key in value):
            self.refuse(name, "must have text keys")
        return value

    def texts(self, name: str) -> list[str]:
        value = self._content[name]
        if not isinstance(value, (list, tuple)) or not all(isinstance(item, str) for item in value):
            self.refuse(name, "must be a list of texts")
        return list(value)

    def optional(self, name: str, read: Callable[[str], T]) -> T | None:
        return None if self._content[name] is None else read(name)

    def inner(self, name: str, names: Iterable[str]) -> _Fields:
        return _Fields(self._source, self._path(name), self._content[name], names)

    def each(self, name: str, read: Callable[[str, _Fields], T], *, names: Iterable[str]) -> dict[str, T]:
        inner = self.inner(name, self.mapping(name))
        return {key: read(key, inner.inner(key, names)) for key in self.mapping(name)}

    def items(self, name: str, names: Iterable[str]) -> list[_Fields]:
        value = self._content[name]
        if not isinstance(value, (list, tuple)):
            self.refuse(name, "must be a list")
        return [
            _Fields(self._source, f"{self._path(name)}[{i}]", item, names) for i, item in enumerate(value)
        ]

    def _of_kind(self, name: str, kind: type[T], words: str) -> T:
        value = self._content[name]
        if not isinstance(value, kind):
            self.refuse(name, f"must be {words}")
        return value

    def _path(self, name: str) -> str:
        return f"{self._where}.{name}" if self._where else name


_SUGGESTION_FIELDS = ("outcome", "reason", "lr", "low", "high", "log10_std")


def _versioned(source: str | os.PathLike[str], content: object, names: Iterable[str]) -> _Fields:
    if not isinstance(content, dict):
        raise DamagedFile(source, f"must hold a mapping; got {_short(content)}")
    # Before any field is looked at: a newer file has other fields, and "upgrade" is the message that helps.
    if "schema_version" not in content:
        raise DamagedFile(source, "lacks schema_version: it is no file of steadylr")
    checked_version(source, content["schema_version"], known=SCHEMA_VERSION)
    return _Fields(source, "", content, ["schema_version", *names])


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}..."


def _created(top: _Fields) -> str:
    text = top.text("created")
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.utcoffset() != timedelta(0):
        top.refuse("created", "must be a time in UTC such as 2026-01-31T12:00:00.000000+00:00")
    return text


def _run_facts(facts: _Fields) -> RunFacts:
    stop = facts.text("stop")
    if stop not in {known.value for known in Stop}:
        facts.refuse("stop", f"must be one of {[known.value for known in Stop]}")
    num_points, num_iter = facts.integer("num_points"), facts.integer("num_iter")
    if num_points < 1:
        facts.refuse("num_points", "must be at least 1")
    if num_iter < num_points:
        facts.refuse("num_iter", f"must be at least the {num_points} points recorded")
    return RunFacts(
        key=facts.text("key"),
        curve_digest=facts.text("curve_digest"),
        from_store=facts.flag("from_store"),
        num_iter=num_iter,
        num_points=num_points,
        stop=stop,
    )


def _seed_use(_stream: str, use: _Fields) -> SeedUse:
    return SeedUse(seed=use.integer("seed"), used=use.flag("used"))


def _suggestion(rule: str, found: _Fields) -> ToldSuggestion:
    outcome = found.text("outcome")
    if outcome not in {known.value for known in Outcome}:
        found.refuse("outcome", f"must be one of {[known.value for known in Outcome]}")
    lr, low, high, std = (found.optional(name, found.positive) for name in _SUGGESTION_FIELDS[2:])
    if (lr is not None) != (outcome == Outcome.FOUND.value):
        found.refuse("lr", f"must be a number with the outcome {Outcome.FOUND.value!r} and null with others")
    if low is not None and (lr is None or low > lr):
        found.refuse("low", f"must not be above the lr {lr!r}")
    if high is not None and (lr is None or high < lr):
        found.refuse("high", f"must not be below the lr {lr!r}")
    return ToldSuggestion(rule, Outcome(outcome), found.text("reason"), lr, low, high, std)


def _suggestion_json(found: ToldSuggestion) -> dict[str, Any]:
    plain = {name: getattr(found, name) for name in _SUGGESTION_FIELDS}
    return plain | {"outcome": found.outcome.value}


def _diagnosis(top: _Fields) -> list[FindingText]:
    findings = top.items("diagnosis", FindingText.__annotations__)
    return [{"code": f.text("code"), "text": f.text("text"), "advice": f.text("advice")} for f in findings]


def _optional_text(top: _Fields, owner: str, name: str) -> str | None:
    inner = top.inner(owner, top.mapping(owner))
    return inner.optional(name, inner.text)


def _timings(top: _Fields) -> dict[str, float]:
    inner = top.inner("timings", top.mapping("timings"))
    return {name: inner.number(name) for name in top.mapping("timings")}


__all__ = [
    "RECORD_FILE",
    "SCHEMA_VERSION",
    "STATUS_FILE",
    "STOPPING_FILE",
    "DamagedFile",
    "FindingText",
    "JobStatus",
    "NewerSchema",
    "RunFacts",
    "RunRecord",
    "SeedUse",
    "Status",
    "read_record",
    "read_status",
    "read_stopping",
    "utc_now",
    "write_record",
    "write_status",
    "write_stopping",
]
