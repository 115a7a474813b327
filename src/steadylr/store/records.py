"""Records: what one job found and how it ended, when its sweep stops, and what came of it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    GetPydanticSchema,
    PlainSerializer,
    Strict,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core.core_schema import no_info_after_validator_function

from steadylr.core.curve import Stop
from steadylr.core.stopping import StoppingRule
from steadylr.core.suggestion import Outcome
from steadylr.store.files import DamagedFile
from steadylr.store.stored_file import Part, Positive, StoredFile
from steadylr.words.reading import ToldSuggestion

if TYPE_CHECKING:
    from typing_extensions import Self

    from steadylr.store.curve_file import RunCurves

RECORD_FILE = "record.json"
STATUS_FILE = "status.json"
STOPPING_FILE = "stopping.json"
SUMMARY_FILE = "summary.json"
VERIFICATION_FILE = "verification.json"

Status = Literal["finished", "no_answer", "failed", "interrupted"]


class RunFacts(Part):
    """The run that a job read.

    Args:
        key: its key.
        curve_digest: SHA-256 of the curve that the rules read (Curve.digest): equal for readings of one run.
        content_digest: SHA-256 of all that the curve's file holds (RunCurves.digest); None in records of version 1.
        from_store: whether it was there already.
        num_points: points recorded, at least 1.
        num_iter: points that the ramp was planned to have, at least num_points.
        stop: why it ended.
    """

    key: str
    curve_digest: str
    content_digest: str | None = None
    from_store: bool
    num_points: Annotated[int, Field(ge=1)]
    num_iter: int
    stop: Annotated[Stop, Strict(False)]

    @field_validator("num_iter")
    @classmethod
    def _has_room(cls, num_iter: int, info: ValidationInfo) -> int:
        points = info.data.get("num_points", 0)
        if num_iter < points:
            raise ValueError(f"must be at least the {points} points recorded")
        return num_iter


class SeedUse(Part):
    """The seed of one random stream, and whether anything drew from the stream."""

    seed: int
    used: bool


class FindingText(Part):
    """One finding of the diagnosis."""

    code: str
    text: str
    advice: str


class _StoredSuggestion(Part):
    """A suggestion as a record holds it: under its rule, which it doesn't name again."""

    model_config = ConfigDict(from_attributes=True)

    outcome: Annotated[Outcome, Strict(False)]
    reason: str
    lr: Positive | None
    low: Positive | None
    high: Positive | None
    log10_std: Positive | None

    @field_validator("lr")
    @classmethod
    def _only_where_found(cls, lr: float | None, info: ValidationInfo) -> float | None:
        if (lr is not None) != (info.data.get("outcome") is Outcome.FOUND):
            raise ValueError(
                f"must be a number with the outcome {Outcome.FOUND.value!r} and null with others"
            )
        return lr

    @field_validator("low", "high")
    @classmethod
    def _around_the_lr(cls, end: float | None, info: ValidationInfo) -> float | None:
        lr = info.data.get("lr")
        if end is not None and (lr is None or (end > lr if info.field_name == "low" else end < lr)):
            side = "above" if info.field_name == "low" else "below"
            raise ValueError(f"must not be {side} the lr {lr!r}")
        return end


def _with_rules(stored: Mapping[str, _StoredSuggestion]) -> dict[str, ToldSuggestion]:
    return {
        rule: ToldSuggestion(rule, own.outcome, own.reason, own.lr, own.low, own.high, own.log10_std)
        for rule, own in stored.items()
    }


def _without_rules(suggestions: Mapping[str, ToldSuggestion]) -> dict[str, Any]:
    names = _StoredSuggestion.model_fields
    return {rule: {name: getattr(own, name) for name in names} for rule, own in suggestions.items()}


Suggestions = Annotated[
    dict[str, ToldSuggestion],
    GetPydanticSchema(
        lambda _, build: no_info_after_validator_function(_with_rules, build(dict[str, _StoredSuggestion]))
    ),
    PlainSerializer(_without_rules),
]
"""By rule, each possible: an lr where one was found and only there, and ends that lie around it."""


def _in_utc(created: str) -> str:
    try:
        moment = datetime.fromisoformat(created)
    except ValueError:
        moment = None
    if moment is None or moment.utcoffset() != timedelta(0):
        raise ValueError("must be a time in UTC such as 2026-01-31T12:00:00.000000+00:00")
    return created


Created = Annotated[str, AfterValidator(_in_utc)]
"""When, as utc_now gives it: ISO 8601 in UTC with microseconds."""


class RunRecord(StoredFile):
    """All that one job found, complete enough to be understood years later.

    Args:
        created: when.
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

    FILE: ClassVar[str] = RECORD_FILE

    created: Created
    job_key: str
    run: RunFacts
    config: dict[str, Any]
    overrides: list[str]
    seeds: dict[str, SeedUse]
    rule: str
    suggestions: Suggestions
    diagnosis: list[FindingText]
    plan: dict[str, Any] | None
    versions: dict[str, str | None]
    device: dict[str, Any]
    git_commit: str | None
    timings: dict[str, float]
    notes: list[str]

    @field_validator("suggestions")
    @classmethod
    def _hold_the_headline(
        cls, suggestions: dict[str, ToldSuggestion], info: ValidationInfo
    ) -> dict[str, ToldSuggestion]:
        rule = info.data.get("rule")
        if rule is not None and rule not in suggestions:
            raise ValueError(f"must hold one of the rule {rule!r}")
        return suggestions

    @property
    def headline(self) -> ToldSuggestion:
        """The suggestion of the headline rule."""
        return self.suggestions[self.rule]

    def check_curves(self, curves: RunCurves, *, source: str | os.PathLike[str]) -> None:
        """Refuse the curves of another run, or of this one with any number changed; source names their file.

        Records of version 1 say less of a run: then only that is compared.

        Raises:
            DamagedFile: they aren't those that the record was made from.
        """
        run, curve = self.run, curves.curve
        same = (
            run.curve_digest == curves.read.digest()
            and (run.num_points, run.num_iter, run.stop) == (len(curve), curve.num_iter, curve.stop)
            and run.content_digest in (None, curves.digest())
        )
        if not same:
            raise DamagedFile(source, f"is not the curve that {RECORD_FILE} describes")


class JobStatus(StoredFile):
    """How one job ended.

    Args:
        status: "finished" (an LR was found), "no_answer" (the curve gives none), "failed" or "interrupted".
        job_key: identifies the job; empty when it failed before that was known.
        overrides: the command line's overrides.
        config: the resolved config as plain values, or None when it failed before there was one.
        error: one message, or None when nothing went wrong.
        traceback: the exception's traceback, or None.
    """

    FILE: ClassVar[str] = STATUS_FILE

    status: Status
    job_key: str
    overrides: list[str]
    config: dict[str, Any] | None = None
    error: str | None = None
    traceback: str | None = None


class Stopping(StoredFile):
    """Which rule decides how many runs a sweep has: the fields of StoppingRule."""

    FILE: ClassVar[str] = STOPPING_FILE

    factor: float
    max_runs: int

    @model_validator(mode="after")
    def _is_a_rule(self) -> Self:
        StoppingRule(self.factor, self.max_runs)
        return self


class Summary(StoredFile):
    """The answer of a sweep in numbers. We read it only to see what it was made of.

    Args:
        created: when.
        inputs: digest of all that it was made from.
        settings: how the answer was made.
        kinds: one answer for each kind of run.
        failed: the jobs that left no suggestion.
        problems: what could not be read.
        files: the names of the files beside it.
        digests: SHA-256 of each of them as it was written; none in summaries of earlier versions.
    """

    FILE: ClassVar[str] = SUMMARY_FILE

    created: Created
    inputs: str
    settings: dict[str, Any]
    kinds: list[dict[str, Any]]
    failed: list[dict[str, Any]]
    problems: list[str]
    files: list[str]
    digests: dict[str, str] = Field(default_factory=dict)


class Verified(StoredFile):
    """What short trainings at and around the suggestions of a sweep said.

    Args:
        created: when.
        steps: of each training.
        seeds: of the trainings.
        judged_by: which loss.
        val_samples: that it was measured on; None: all.
        onecycle: the settings of the schedule.
        kinds: the verification of each kind of run.
    """

    FILE: ClassVar[str] = VERIFICATION_FILE

    created: Created
    steps: int
    seeds: list[int]
    judged_by: str
    val_samples: int | None
    onecycle: dict[str, Any]
    kinds: list[dict[str, Any]]


def utc_now() -> str:
    """The time now as records have it: ISO 8601 in UTC with microseconds."""
    return datetime.now(timezone.utc).isoformat(timespec="microseconds")


def read_stopping(sweep: str | os.PathLike[str]) -> StoppingRule | None:
    """The rule that decided how many runs a sweep has; None where that was settled beforehand.

    Raises:
        NewerSchema, DamagedFile: see StoredFile.from_json.
    """
    try:
        stored = Stopping.read(sweep)
    except FileNotFoundError:
        return None
    return StoppingRule(stored.factor, stored.max_runs)
