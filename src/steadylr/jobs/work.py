"""What a command has to do: its jobs checked, their places, which trainings are missing, how many at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import filter_overrides
from hydra.errors import HydraException

from steadylr.config.composing import CompositionError, composition_problem
from steadylr.config.errors import BadInput
from steadylr.config.values import refuse_sweep_in_torchrun
from steadylr.core.settings import READING_KEYS
from steadylr.errors import SteadylrError
from steadylr.jobs.composing import ComposedOnce, SeedsApart
from steadylr.jobs.engine import Engine, Task
from steadylr.jobs.job import Job
from steadylr.jobs.places import Place, places
from steadylr.present.numbers import count
from steadylr.run.environment import probe_device
from steadylr.training.obtain import open_store

if TYPE_CHECKING:
    from hydra.types import HydraContext
    from omegaconf import DictConfig

NOT_TRAINED = (
    *(f"finder.{name}" for name in READING_KEYS),
    *("onecycle", "consensus", "live", "live_port", "live_host", "report", "figures", "tracker", "output"),
)
"""Keys that change no training; runs are not named after them."""

OF_THE_SWEEP = (
    "consensus.choose",
    "consensus.mix",
    "sweep_name",
    "dry_run",
    "output",
    "live",
    "live_port",
    "live_host",
    "report",
    "device.workers",
)
"""Keys that a sweep has one value of."""

MOST_DRAWN = 100
"""Jobs of a sweep of which each gets a figure: it takes longer than all else that a job does after its training."""

MOST_NAMED = 3  # jobs with one problem that are named one by one
MOST_LETTERS = 60  # of a run's name


@dataclass(frozen=True, slots=True)
class Work:
    """What a command has to do.

    Args:
        jobs: all jobs, with the place of each.
        runs: the jobs that are still to do by the numbers of their places, by run.
        stored: the runs among them that the store holds.
        engine: where trainings are done.
        workers: how many at a time.
    """

    jobs: tuple[tuple[Place, Job], ...]
    runs: Mapping[str, Mapping[int, Job]]
    stored: tuple[str, ...]
    engine: Engine
    workers: int

    @property
    def missing(self) -> tuple[str, ...]:
        """The runs that have to be trained, in the order of the command line."""
        return tuple(key for key in self.runs if key not in self.stored)

    @property
    def draws(self) -> bool:
        """Whether each job gets a figure of its own."""
        return len(self.jobs) <= MOST_DRAWN

    def announcement(self) -> str:
        """What is about to be done, in one line."""
        finished, missing = sum(place.finished for place, _ in self.jobs), len(self.missing)
        parts = [count(len(self.jobs), "job"), count(missing, "training")]
        parts += [self.engine.described(self.workers)] if missing else []
        notes = [f"{count(finished, 'job')} already finished"] if finished else []
        notes += [f"{count(len(self.stored), 'run')} from the store"] if self.stored else []
        notes += [] if self.draws else [f"no figure of each job: they are more than {MOST_DRAWN}"]
        return ", ".join(parts) + (f" ({', '.join(notes)})" if notes else "")


def check_jobs(
    job_overrides: Sequence[Sequence[str]], *, hydra_context: HydraContext, config: DictConfig
) -> list[Job]:
    """Compose and check every job.

    Raises:
        BadInput: naming each job that can't run and why.
    """
    refuse_sweep_in_torchrun()
    given = [tuple(filter_overrides(overrides)) for overrides in job_overrides]
    swept = {text.partition("=")[0] for own in differing(given) for text in own} & set(OF_THE_SWEEP)
    if swept:
        raise BadInput(
            f"{', '.join(sorted(swept))} can have one value in a sweep, as it belongs to the sweep and not to a job: "
            "give one value, or several commands"
        )
    checked = _Checked(hydra_context, config)
    jobs: list[Job] = []
    problems: dict[str, list[str]] = {}
    for overrides, own in zip(job_overrides, differing(given), strict=True):
        with _noted(problems, " ".join(own)):
            jobs.append(checked.job(tuple(overrides)))
    if problems:
        raise BadInput("\n".join(_named_problem(text, own) for text, own in problems.items()))
    return jobs


class _Checked:
    """Jobs as they are composed and checked: those that differ in their seeds only, once."""

    def __init__(self, hydra_context: HydraContext, config: DictConfig) -> None:
        loader: Any = hydra_context.config_loader
        self._loader = loader if isinstance(loader, ComposedOnce) else ComposedOnce(loader)
        self._config = config
        self._jobs: dict[tuple[str, ...], Job] = {}

    def job(self, overrides: tuple[str, ...]) -> Job:
        """The job of these overrides.

        Raises:
            BadInput: what is wrong with it, or with its store.
        """
        compose = partial(self._loader.config_of, self._config, overrides)
        own = tuple(filter_overrides(overrides))
        apart = SeedsApart.of(overrides)
        like = None if apart is None else self._jobs.get(apart.others)
        if apart is not None and like is not None:
            job = like.with_seeds(apart.seeds, own, compose)
            if job is not None:
                return job
        job = Job.of(compose(), own)
        open_store(job.config, create=False)  # refused before anything is trained
        if apart is not None:
            self._jobs.setdefault(apart.others, job)
        return job


def combinations(arguments: Sequence[str]) -> list[tuple[str, ...]]:
    """The jobs of a sweep, by their overrides: every combination of what is swept.

    Raises:
        BadInput: what is swept can't be listed.
    """
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper

    given = OverridesParser.create().parse_overrides(list(arguments))
    try:
        (found,) = BasicSweeper.split_arguments(given, None)
    except HydraException as error:
        raise BadInput(f"{error}; give the values one by one, key=a,b,c") from None
    return [tuple(overrides) for overrides in found]


@contextmanager
def _noted(problems: dict[str, list[str]], label: str) -> Iterator[None]:
    """Keep what is wrong with a job, so that all that is wrong is told together."""
    try:
        yield
    except SteadylrError as error:
        problems.setdefault(str(error), []).append(label)
    except CompositionError as error:
        problems.setdefault(composition_problem(error), []).append(label)


def _named_problem(text: str, labels: Sequence[str]) -> str:
    """One problem with the jobs that have it, by the overrides that are not common to all jobs."""
    if not any(labels):
        return text
    return f"{'job' if len(labels) == 1 else 'jobs'} {some_of(labels)}: {text}"


def some_of(labels: Sequence[str]) -> str:
    """The first of some labels, and how many more there are."""
    named = ", ".join(f"`{label}`" for label in labels[:MOST_NAMED])
    return f"{named} and {len(labels) - MOST_NAMED} more" if len(labels) > MOST_NAMED else named


def differing(overrides: Sequence[Sequence[str]]) -> list[tuple[str, ...]]:
    """Of each job the overrides that not all jobs have."""
    common = set.intersection(*map(set, overrides)) if overrides else set()
    return [tuple(text for text in own if text not in common) for own in overrides]


def plan_work(sweep: Path, jobs: Sequence[Job], engine: Engine, *, reserve: bool) -> Work:
    """Say what is still to do.

    Args:
        sweep: the folder of the sweep.
        jobs: in the order of the command line.
        engine: where trainings are done.
        reserve: take the places of new jobs; False writes nothing.
    """
    placed = tuple(zip(places(sweep, jobs, reserve=reserve), jobs, strict=True))
    runs: dict[str, dict[int, Job]] = {}
    for place, job in placed:
        if not place.finished:
            runs.setdefault(job.run, {})[place.number] = job
    stored = tuple(key for key, group in runs.items() if next(iter(group.values())).is_stored())
    devices = {id(job.config.device): job.config.device for job in jobs}
    missing = len(runs) - len(stored)
    workers = min(engine.workers_for(device, missing) for device in devices.values())
    return Work(placed, runs, stored, engine, workers)


def refuse_missing_device(sweep: Path, jobs: Sequence[Job], engine: Engine) -> None:
    """Refuse jobs that would train on a kind of device that there isn't; what is stored is read anywhere.

    Raises:
        BadInput: naming what there is.
    """
    asked = sorted({job.config.device.accelerator for job in jobs})
    lacking = [kind for kind in asked if not engine.has(kind)]
    if lacking and any(
        job.config.device.accelerator in lacking
        for key in plan_work(sweep, jobs, engine, reserve=False).missing
        for job in jobs
        if job.run == key
    ):
        raise BadInput(
            f"device.accelerator={lacking[0]} is not there: this machine has {probe_device('auto')}; "
            "use device=auto to take the best that is there"
        )


def training_tasks(jobs: Sequence[Job]) -> list[Task]:
    """The trainings of some jobs, each named by the overrides that set it apart."""
    trained = [tuple(text for text in job.overrides if not _only_read(text)) for job in jobs]
    labels = [" ".join(own) for own in differing(trained)]
    short = [label if len(label) <= MOST_LETTERS else f"{label[: MOST_LETTERS - 3]}..." for label in labels]
    return [Task(job.run, label, job.config, job.training) for job, label in zip(jobs, short, strict=True)]


def _only_read(override: str) -> bool:
    key = override.lstrip("+~").partition("=")[0]
    return any(key == name or key.startswith(f"{name}.") for name in NOT_TRAINED)
