"""Trials, the short OneCycle trainings: said what they are, done side by side, and read from the store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from steadylr.answer.reading import plan_of
from steadylr.config.errors import BadInput
from steadylr.exit_codes import EXIT_FAILED
from steadylr.jobs.engine import Engine, Task
from steadylr.present.numbers import format_lr
from steadylr.present.streams import complain
from steadylr.present.sweep_progress import SweepProgress
from steadylr.store.curve_store import TrialStore
from steadylr.training.failure import TrainingFailed
from steadylr.training.identity import Training, full_key
from steadylr.training.trial import describe_trial, trial_config

if TYPE_CHECKING:
    from steadylr.config.schema import Config, OneCycle
    from steadylr.core.onecycle import Plan
    from steadylr.store.trial_file import Trial


@dataclass(frozen=True, slots=True)
class TrialToDo:
    """One trial that is asked for.

    Args:
        label: what people call it.
        config: trial_config of a job's config.
        training: describe_trial of it.
        plan: its schedule.
    """

    label: str
    config: Config
    training: Training
    plan: Plan

    @property
    def key(self) -> str:
        """What identifies it."""
        return full_key(self.training)

    @property
    def task(self) -> Task:
        """The trial as an engine has it."""
        return Task(self.key, self.label, self.config, self.training, self.plan)


@dataclass(frozen=True, slots=True)
class TrialMaker:
    """What all trials of one kind of run have in common.

    Args:
        config: of a job.
        onecycle: the settings of their schedule; each trial has its own number of steps.
        momentum: whether the optimizer has one that can be cycled.
        val_samples: validation samples that each is judged by; None: all.
        steps_key: what people call the number of steps of a trial.
    """

    config: Config
    onecycle: OneCycle
    momentum: bool
    val_samples: int | None
    steps_key: str = "steps"

    def trial(self, steps: int, lr: float, seed: int, *, label: str = "") -> TrialToDo:
        """One of them.

        Raises:
            BadInput: the schedule can't do so few steps.
        """
        schedule = replace(self.onecycle, total_steps=steps)
        try:
            plan = plan_of(schedule, lr, low=None, high=None, momentum=self.momentum)
        except ValueError as error:
            raise BadInput(f"onecycle with {self.steps_key}={steps}: {error}") from None
        own = trial_config(self.config, seed=seed, total_steps=steps, val_samples=self.val_samples)
        named = label or f"LR {format_lr(lr)}, seed {seed}"
        return TrialToDo(named, own, describe_trial(own, plan), plan)


def stored_trials(trials: Sequence[TrialToDo], folder: Path) -> dict[str, Trial]:
    """Those of some trials that a store holds, by key."""
    if not folder.is_dir():
        return {}
    store = TrialStore(folder)
    entries = {trial.key: store.find(trial.training.shape, trial.training.seeds) for trial in trials}
    return {key: entry for key, entry in entries.items() if entry is not None}


def train_trials(
    trials: Sequence[TrialToDo], store: Path, engine: Engine, *, workers: int
) -> dict[str, TrainingFailed]:
    """Train some trials into the store, so many at a time; give those that failed."""
    tasks = [trial.task for trial in trials]
    with (
        engine.begin(tasks, store, workers=workers) as at_work,
        SweepProgress(len(tasks), sum(task.num_steps for task in tasks)) as progress,
    ):
        outcomes = dict(at_work.results(progress))
    return {key: outcome for key, outcome in outcomes.items() if isinstance(outcome, TrainingFailed)}


def refuse(missing: Sequence[TrialToDo], failed: Mapping[str, TrainingFailed]) -> int:
    """Name the trials that failed; without them there is no answer."""
    labels = {trial.key: trial.label for trial in missing}
    reasons: dict[str, list[str]] = {}
    for key, failure in failed.items():
        reasons.setdefault(failure.message, []).append(labels[key])
    for message, own in reasons.items():
        others = f" and {len(own) - 1} more" if len(own) > 1 else ""
        complain(f"training with {own[0]}{others} failed: {message}")
        details = next(failure.details for failure in failed.values() if failure.message == message)
        complain(details, end="")
    complain("No answer without these; what has finished is kept, and the same command goes on")
    return EXIT_FAILED
