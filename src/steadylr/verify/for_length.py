"""A sweep that goes from range tests to the LR for the planned length, by a ladder of short trainings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.overrides_parser import OverridesParser

from steadylr.answer.answer import ConditionAnswer, answer_sweep
from steadylr.answer.conditions import condition_key, condition_of
from steadylr.answer.lengths import read_ladders
from steadylr.answer.readings import each_seed_once, from_sweep
from steadylr.config.errors import BadInput
from steadylr.core.length.ladder import (
    OF_LONGEST,
    Ladder,
    lengths_of,
    next_trials,
    range_test_steps,
)
from steadylr.core.length.law import start_of
from steadylr.core.length.trials import TrialLoss
from steadylr.core.log10 import geometric_mean
from steadylr.exit_codes import EXIT_FAILED
from steadylr.jobs.launchers import engine_of
from steadylr.jobs.session import SESSION
from steadylr.jobs.work import check_jobs, combinations
from steadylr.present.numbers import count, format_lr
from steadylr.present.streams import complain
from steadylr.report.sweep_text import condition_title
from steadylr.store.files import DamagedFile, NewerSchema
from steadylr.store.job_folder import next_job_number
from steadylr.store.ladder_file import ConditionLadder, LadderFile, StoredLoss
from steadylr.store.records import utc_now
from steadylr.training.obtain import store_folder
from steadylr.verify.trials import TrialMaker, TrialToDo, refuse, stored_trials, train_trials
from steadylr.words.numbers import percent

if TYPE_CHECKING:
    from hydra.types import HydraContext
    from omegaconf import DictConfig

    from steadylr.jobs.engine import Engine
    from steadylr.jobs.job import Job


USUAL_BUDGET = 0.1
"""The share that range tests are made for where the budget is given in minutes."""


@dataclass(frozen=True, slots=True)
class Budget:
    """How much range tests and trials together may take.

    Args:
        budget: as a share of the planned training's steps; counts where neither of the next two is given.
        budget_steps: in optimizer steps.
        budget_minutes: in minutes of this machine, by how fast the range tests were.
        val_samples: validation samples that each trial is judged by; None: all.
        shortest: steps of the shortest trials.

    Raises:
        BadInput: a value that can't be, or both steps and minutes.
    """

    budget: float
    budget_steps: int | None
    budget_minutes: float | None
    val_samples: int | None
    shortest: int

    def __post_init__(self) -> None:
        steps, minutes, samples = self.budget_steps, self.budget_minutes, self.val_samples
        ranges = {
            "budget": (0 < self.budget <= 1, "a share of the planned training, above 0 and at most 1"),
            "budget_steps": (steps is None or steps >= 1, "at least 1, or null"),
            "budget_minutes": (minutes is None or 0 < minutes < 1e6, "above 0, or null"),
            "val_samples": (samples is None or samples >= 1, "at least 1, or null for all"),
            "shortest": (self.shortest >= 2, "at least 2"),
        }
        problems = [
            f"hydra.sweeper.{name} must be {allowed}; got {getattr(self, name)}"
            for name, (fine, allowed) in ranges.items()
            if not fine
        ]
        if steps is not None and minutes is not None:
            problems.append(
                "hydra.sweeper.budget_steps and budget_minutes can't both be given: leave one out"
            )
        if problems:
            raise BadInput.of(problems)

    @property
    def asked(self) -> str:
        """As people say it."""
        if self.budget_steps is not None:
            return count(self.budget_steps, "step")
        if self.budget_minutes is not None:
            return f"{self.budget_minutes:g} minutes"
        return f"{percent(self.budget)} of the training"

    def known_steps(self, planned: int) -> int | None:
        """The budget in steps; None where that depends on how fast they are."""
        if self.budget_minutes is not None:
            return None
        return int(self.budget * planned) if self.budget_steps is None else self.budget_steps

    def in_steps(self, planned: int, *, seconds_per_step: float, workers: int) -> int:
        """The budget in steps, given how fast a step is and how many trainings run side by side."""
        known = self.known_steps(planned)
        if known is not None:
            return known
        assert self.budget_minutes is not None
        return int(60 * self.budget_minutes * workers / max(seconds_per_step, 1e-6))


def sweep_for_length(
    arguments: Sequence[str],
    *,
    budget: dict[str, Any],
    range_tests: Callable[[Sequence[str]], Any],
    hydra_context: HydraContext,
    config: DictConfig,
) -> Any:
    """Make the range tests of a sweep, then climb a ladder for each condition.

    The ladders are in the sweep's folder (ladder.json); the answer of the sweep reads them there.

    Args:
        arguments: the command line's overrides, without Hydra's own.
        budget: the fields of Budget.
        range_tests: launches jobs with these overrides beside the command line's, and gives what Hydra expects of a
            sweeper.
        hydra_context, config: as Hydra hands them to a sweeper.
    """
    folder = Path(str(config.hydra.sweep.dir))
    try:
        engine = engine_of(config.hydra.launcher)
        asked = Budget(**budget)
        jobs = check_jobs(combinations(arguments), hydra_context=hydra_context, config=config)
        more = _ramp(asked, jobs, arguments)
        if more:
            with_ramp = combinations([*arguments, *more])
            jobs = check_jobs(with_ramp, hydra_context=hydra_context, config=config)
        _announce(asked, jobs)
    except BadInput as error:
        complain(error)
        SESSION.exit_code, SESSION.sweep_folder = EXIT_FAILED, None
        return []
    returns = range_tests(more)
    if SESSION.exit_code is None and not jobs[0].config.dry_run and next_job_number(folder) > 0:
        try:
            _climb_all(folder, asked, jobs, engine)
        except BadInput as error:
            complain(error)
            SESSION.exit_code = EXIT_FAILED
    return returns


# ---- before anything is trained


def _planned(jobs: Sequence[Job]) -> int:
    """Steps of the training that is planned.

    Raises:
        BadInput: none are given, or several.
    """
    given = {job.config.onecycle.total_steps for job in jobs}
    if given == {None}:
        raise BadInput(
            "the LR for which length? Give onecycle.total_steps: the optimizer steps of the training that you plan, "
            "epochs times batches per epoch"
        )
    if len(given) > 1:
        raise BadInput(
            f"onecycle.total_steps must have one value with for_length; got {', '.join(map(str, given))}. "
            "Finished trials are kept, so that a second command for another length takes what it can from the first"
        )
    if any(job.config.consensus.mix for job in jobs):
        raise BadInput(
            "consensus.mix=true averages runs that train different things, and no one of them has a length: leave it "
            "out"
        )
    (steps,) = given
    assert steps is not None
    return steps


def _ramp(asked: Budget, jobs: Sequence[Job], arguments: Sequence[str]) -> list[str]:
    """The overrides that make the range tests as long as the budget wants them; none where their length is given."""
    planned = _planned(jobs)
    given = OverridesParser.create().parse_overrides(list(arguments))
    if any(override.key_or_group == "finder.num_iter" for override in given):
        return []
    whole = asked.known_steps(planned) or int(USUAL_BUDGET * planned)
    kinds = {condition_key(condition_of(job.plain_config)) for job in jobs}
    runs = -(-len({job.run for job in jobs}) // len(kinds))
    return [f"finder.num_iter={range_test_steps(planned, whole, runs=runs, shortest=asked.shortest)}"]


def _announce(asked: Budget, jobs: Sequence[Job]) -> None:
    """Say what the ladder will be, as far as it is known before the range tests.

    Raises:
        BadInput: the schedule can't do the shortest trials.
    """
    planned = _planned(jobs)
    runs = {job.run: job for job in jobs}
    _maker(jobs[0], asked).trial(asked.shortest, 1.0, 0)
    whole = asked.known_steps(planned)
    if whole is None:
        print(f"LR for {planned:,} steps within {asked.asked}: range tests first", flush=True)
        return
    tests = sum(job.config.finder.num_iter for job in runs.values())
    lengths = ", ".join(f"{steps:,}" for steps in lengths_of(planned, whole - tests, asked.shortest))
    then = f"then trials of {lengths} steps" if lengths else "which leaves nothing for trials"
    print(
        f"LR for {planned:,} steps within {whole:,} ({asked.asked}): {count(tests, 'step')} of range tests, {then}",
        flush=True,
    )


def _maker(job: Job, asked: Budget, *, momentum: bool = True) -> TrialMaker:
    onecycle = job.config.onecycle
    return TrialMaker(job.config, onecycle, momentum, asked.val_samples, "hydra.sweeper.shortest")


# ---- the ladders


def _climb_all(folder: Path, asked: Budget, jobs: Sequence[Job], engine: Engine) -> None:
    """Climb a ladder for each condition."""
    gathered = each_seed_once(from_sweep(folder))
    config = jobs[0].config
    answer = answer_sweep(
        replace(gathered, ladders=()), choose=config.consensus.choose.value, onecycle=config.onecycle
    )
    try:
        earlier = {ladder.condition: ladder for ladder in read_ladders(folder)}
    except (DamagedFile, NewerSchema) as error:
        raise BadInput(f"{error}; move it away, and the same command makes it anew from the store") from None
    with store_folder(config, folder) as store:
        for condition in answer.conditions:
            job = _job_of(condition, jobs)
            if job is None:
                continue
            known = earlier.get(condition.readings[0].condition_key)
            ladder = _planned_ladder(condition, job, asked, known, workers=engine.capacity(job.config.device))
            climb = _Climb(condition, job, asked, ladder, store, engine)
            if condition.suggested.lr is None and not ladder.lengths:
                continue  # neither says anything: no LR
            while SESSION.exit_code is None and not climb.ladder.finished:
                if climb.go_on():
                    earlier[ladder.condition] = climb.ladder
                    LadderFile(created=utc_now(), conditions=list(earlier.values())).write(folder)
            if SESSION.exit_code is not None:
                return


def _job_of(condition: ConditionAnswer, jobs: Sequence[Job]) -> Job | None:
    """A job of this command that is of a condition."""
    keys = {reading.record.job_key for reading in condition.readings if reading.record is not None}
    return next((job for job in jobs if job.key in keys), None)


def _planned_ladder(
    condition: ConditionAnswer, job: Job, asked: Budget, earlier: ConditionLadder | None, *, workers: int
) -> ConditionLadder:
    """The ladder of one condition, without a trial; a budget in minutes stays that of the earlier command."""
    planned = job.config.onecycle.total_steps
    assert planned is not None
    by_run = {own.run: own.record for own in condition.readings if own.record is not None}
    records = list(by_run.values())
    tests = sum(record.run.num_iter for record in records)
    points = sum(record.run.num_points for record in records)
    seconds = sum(record.timings.get("train_seconds", 0.0) for record in records)
    whole = asked.in_steps(planned, seconds_per_step=seconds / max(1, points), workers=workers)
    if earlier is not None and (earlier.asked, earlier.steps) == (asked.asked, planned):
        whole = earlier.budget + earlier.range_tests if asked.budget_minutes is not None else whole
    curves = [own.curve for own in condition.readings if own.curve is not None]
    start = start_of(
        condition.suggested.lr,
        last_lr=geometric_mean(sorted(float(curve.lr[-1]) for curve in curves)),
        num_iter=max(record.run.num_iter for record in records),
    )
    ladder = ConditionLadder(
        condition=condition.readings[0].condition_key,
        steps=planned,
        asked=asked.asked,
        budget=max(0, whole - tests),
        range_tests=tests,
        start_lr=start.lr,
        start_steps=start.steps,
        start_octaves_std=start.octaves_std,
        lengths=[],
        judged_by="",
        trials=[],
        finished=False,
    )
    return ladder.model_copy(update={"lengths": list(_core(ladder, asked).lengths)})


def _core(ladder: ConditionLadder, asked: Budget) -> Ladder:
    return Ladder(ladder.steps, ladder.budget, ladder.start, asked.shortest)


class _Climb:
    """A ladder under way. It begins at the bottom each time: what the store holds is not trained again.

    Args:
        condition: whose it is.
        job: of that condition.
        asked: the budget.
        ladder: as planned.
        store: the folder of the store.
        engine: where trials are done.
    """

    def __init__(
        self,
        condition: ConditionAnswer,
        job: Job,
        asked: Budget,
        ladder: ConditionLadder,
        store: Path,
        engine: Engine,
    ) -> None:
        self.ladder = ladder
        self._rungs = _core(ladder, asked)
        momentum = all(reading.momentum for reading in condition.readings)
        self._maker = _maker(job, asked, momentum=momentum)
        self._device = job.config.device
        self._store = store
        self._engine = engine
        self._title = condition_title(condition)
        if not ladder.lengths:
            least = OF_LONGEST * asked.shortest + ladder.range_tests
            print(
                f"{self._title}: the range tests leave {ladder.budget:,} of "
                f"{ladder.budget + ladder.range_tests:,} steps, which affords no trials; {least:,.0f} in all would",
                flush=True,
            )

    def go_on(self) -> bool:
        """Do the next trials side by side, or note that there are none; False when some failed."""
        done = self.ladder.losses
        asked = next_trials(self._rungs, done)
        if not asked:
            self.ladder = self.ladder.model_copy(update={"finished": True})
            return True
        trials = [
            self._maker.trial(
                own.steps,
                own.lr,
                own.seed,
                label=f"{own.steps} steps, LR {format_lr(own.lr)}, seed {own.seed}",
            )
            for own in asked
        ]
        if not self._trained(trials):
            return False
        held = stored_trials(trials, self._store)
        losses = [
            TrialLoss(own.steps, own.lr, own.seed, held[trial.key].final_loss)
            for own, trial in zip(asked, trials, strict=True)
        ]
        judged_by = str(held[trials[0].key].meta["judged_by"])
        stored = [
            StoredLoss(steps=own.steps, lr=own.lr, seed=own.seed, loss=own.loss) for own in (*done, *losses)
        ]
        self.ladder = self.ladder.model_copy(update={"trials": stored, "judged_by": judged_by})
        return True

    def _trained(self, trials: Sequence[TrialToDo]) -> bool:
        """Whether the store holds them all now."""
        there = stored_trials(trials, self._store)
        missing = [trial for trial in trials if trial.key not in there]
        steps = trials[0].plan.total_steps
        lrs = ", ".join(format_lr(trial.plan.max_lr) for trial in trials)
        note = f" ({len(there)} from the store)" if there else ""
        print(
            f"{self._title}: {count(len(missing), 'trial')} of {steps:,} steps at LR {lrs}{note}", flush=True
        )
        workers = self._engine.workers_for(self._device, len(missing))
        failed = train_trials(missing, self._store, self._engine, workers=workers)
        if failed:
            SESSION.exit_code = refuse(missing, failed)
        return not failed
