"""A sweep that adds seeds until its LR is known closely enough, through whichever launcher is configured."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count as counter
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf, open_dict, read_write

from steadylr.answer.answer import consensus_of_readings
from steadylr.answer.conditions import Seeds, condition_key, condition_of, seeds_of
from steadylr.answer.readings import (
    Gathered,
    RunReading,
    each_seed_once,
    from_sweep,
    lost_runs,
)
from steadylr.config.errors import BadInput
from steadylr.core.decision import Decision, State, decide
from steadylr.core.settings import READING_KEYS
from steadylr.core.stopping import MIN_RUNS, StoppingRule
from steadylr.exit_codes import EXIT_FAILED
from steadylr.jobs.job import Job
from steadylr.jobs.launchers import engine_of
from steadylr.jobs.session import SESSION
from steadylr.jobs.work import check_jobs, combinations, differing
from steadylr.present.numbers import count
from steadylr.present.streams import complain
from steadylr.store.job_folder import job_folders
from steadylr.store.records import Stopping
from steadylr.words.consensus import decision_text

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override
    from hydra.core.utils import JobReturn
    from hydra.plugins.launcher import Launcher
    from hydra.types import HydraContext
    from omegaconf import DictConfig

SEED_KEYS = ("seed", "seeds.init", "seeds.order", "seeds.augment", "seeds.noise")

Overrides = tuple[str, ...]
Setting = dict[str, Any]
AlreadyRead = set[tuple[Seeds, str]]
"""Which runs have been read, and how."""


@dataclass(slots=True)
class Condition:
    """Runs that train the same thing, seeds aside: each condition gets as many seeds as it needs.

    Args:
        key: as RunReading.condition_key.
        label: what sets it apart from the other conditions; empty where there is one.
        jobs: what each seed asks for: overrides without the seed, and how the curve is read.
        first_seed: the first seed.
        streams: the seed of each random stream that doesn't follow the seed, None for one that does.
        tried: the seeds that this command has asked for.
        before: how much could be read when the last batch was asked for.
        stuck: whether a batch has left nothing new.
    """

    key: str
    label: str
    jobs: list[tuple[Overrides, Setting]]
    first_seed: int
    streams: Mapping[str, int | None]
    tried: set[int] = field(default_factory=set)
    before: int | None = None
    stuck: bool = False

    def seeds(self, seed: int) -> Seeds:
        """The seeds of all streams in the run with this seed."""
        return tuple((name, seed if fixed is None else fixed) for name, fixed in self.streams.items())

    def own(self, gathered: Gathered) -> list[RunReading]:
        """Its runs among others."""
        return [reading for reading in gathered.readings if reading.condition_key == self.key]

    def is_read(self, seed: int, read: AlreadyRead) -> bool:
        """Whether the run with a seed has been read in all the ways asked for."""
        return all((self.seeds(seed), repr(setting)) in read for _, setting in self.jobs)

    def to_read(self, read: AlreadyRead) -> list[int]:
        """The seeds of runs that are there, and that this command has to read in another way."""
        there = sorted({seed for run, _ in read for _, seed in run if self.seeds(seed) == run})
        return [seed for seed in there if seed not in self.tried and not self.is_read(seed, read)]

    def to_train(self, read: AlreadyRead) -> Iterator[int]:
        """The seeds that this command hasn't tried, and that don't have all their jobs finished; without end."""
        return (
            seed
            for seed in counter(self.first_seed)
            if seed not in self.tried and not self.is_read(seed, read)
        )


def sweep_until_stable(
    arguments: Sequence[str],
    *,
    factor: float,
    max_runs: int,
    batch: int | None,
    hydra_context: HydraContext,
    launcher: Launcher,
    config: DictConfig,
) -> list[Sequence[JobReturn]]:
    """Launch batches of seeds until every condition is stable, or more runs would not help.

    What there is, is read from the jobs' folders after each batch; so the same command goes on after a kill,
    and adds to any sweep of that name.

    Args:
        arguments: the command line's overrides, without Hydra's own.
        factor, max_runs: the StoppingRule.
        batch: seeds at a time; None for as many as are trained side by side.
        hydra_context, launcher, config: as Hydra hands them to a sweeper.
    """
    folder = Path(str(config.hydra.sweep.dir))
    try:
        rule = _rule(factor, max_runs, batch)
        jobs = check_jobs(_of_one_seed(arguments), hydra_context=hydra_context, config=config)
        conditions = _conditions(jobs)
    except BadInput as error:
        complain(error)
        SESSION.exit_code, SESSION.sweep_folder = EXIT_FAILED, None
        return []
    width = batch or _width(jobs[0], config)
    if jobs[0].config.dry_run:
        print(_plan_text(rule, conditions, width))
        SESSION.sweep_folder = None
        return []
    folder.mkdir(parents=True, exist_ok=True)
    OmegaConf.save(config, folder / "multirun.yaml")
    Stopping(factor=rule.factor, max_runs=rule.max_runs).write(folder)
    returns: list[Sequence[JobReturn]] = []
    search = _Search(folder, rule, conditions, width)
    while asked := search.next_batch():
        done = launcher.launch(asked, initial_job_idx=sum(map(len, returns)))
        for job in done:
            _ = job.return_value  # raises what Hydra met around a job
        returns.append(done)
        if SESSION.exit_code is not None:  # the launcher has refused the jobs, and said why
            break
    return returns


class _Search:
    """Which seeds come next, by what the folders of the jobs hold.

    Args:
        folder: of the sweep.
        rule: when a condition has enough runs.
        conditions: all of the sweep.
        width: seeds in a batch, of all conditions together.
    """

    def __init__(self, folder: Path, rule: StoppingRule, conditions: Sequence[Condition], width: int) -> None:
        self._folder = folder
        self._rule = rule
        self._conditions = conditions
        self._width = width

    def next_batch(self) -> list[Overrides]:
        """The overrides of the jobs to do next; none when all conditions are settled."""
        gathered = _left(self._folder)
        decided = [(condition, self._decision(condition, gathered)) for condition in self._conditions]
        for condition, decision in decided:
            _look(condition, gathered, decision)
        still_open = sum(decision.state is State.OPEN for _, decision in decided)
        share = max(1, self._width // max(1, still_open))
        return [
            (*overrides, f"seed={seed}")
            for condition, decision in decided
            for seed in self._seeds(condition, gathered, decision, share)
            for overrides, _ in condition.jobs
        ]

    def _decision(self, condition: Condition, gathered: Gathered) -> Decision:
        """Where a condition stands. A run that failed in an earlier command is not lost: it is tried again."""
        tried = {condition.seeds(seed) for seed in condition.tried}
        failed = tuple(job for job in gathered.failed if job.seeds in tried)
        own = condition.own(gathered)
        consensus = consensus_of_readings(own, choose="geometric_mean", rule=self._rule, rules=gathered.rules)
        head = consensus.headline
        lost = lost_runs(Gathered(gathered.readings, failed), condition.key)
        return decide(self._rule, head, lost_runs=lost)

    def _seeds(self, condition: Condition, gathered: Gathered, decision: Decision, share: int) -> list[int]:
        """The seeds of a condition in the next batch, none when it is settled.

        Runs that are there but have not been read in all the ways asked for come first, in any case: they train
        nothing. Else its share of the width; at first as many shares as it takes to have an interval.
        """
        read = {(reading.seeds, repr(reading.setting)) for reading in condition.own(gathered)}
        seeds = condition.to_read(read)
        if not seeds and decision.state is State.OPEN and not condition.stuck:
            for_interval = -(-max(0, MIN_RUNS - decision.num_runs) // share) * share
            room = self._rule.max_runs - max(decision.num_runs, len(condition.tried))
            seeds = list(islice(condition.to_train(read), max(0, min(max(share, for_interval), room))))
        condition.tried.update(seeds)
        return seeds


def _look(condition: Condition, gathered: Gathered, decision: Decision) -> None:
    """Say where a condition stands after a batch, and note when the batch has left nothing new."""
    read = {(reading.run, repr(reading.setting)) for reading in condition.own(gathered)}
    before, condition.before = condition.before, len(read) + decision.num_runs
    if condition.stuck or not condition.tried or decision.state is not State.OPEN:
        return
    label = f"{condition.label}: " if condition.label else ""
    if condition.before == before:
        condition.stuck = True
        complain(
            f"{label}the last seeds left no new run, so no more are tried: their streams may be unused, "
            "or their jobs left nothing that can be read"
        )
    else:
        print(f"{label}{decision_text(decision)}", flush=True)


def _left(folder: Path) -> Gathered:
    """What the jobs of a sweep have left, the problems aside: the answer tells them."""
    return each_seed_once(from_sweep(folder)) if job_folders(folder) else Gathered()


# ---- before anything is trained


def _rule(factor: float, max_runs: int, batch: int | None) -> StoppingRule:
    try:
        rule = StoppingRule(factor, max_runs)
    except ValueError as error:
        raise BadInput(f"hydra.sweeper.{error}") from None
    if batch is not None and batch < 1:
        raise BadInput(
            f"hydra.sweeper.batch must be at least 1 (null: as many as are trained side by side); got {batch}"
        )
    return rule


def _of_one_seed(arguments: Sequence[str]) -> list[Overrides]:
    """The jobs of one seed: every combination of what is swept.

    Raises:
        BadInput: seeds are swept, too, or what is swept can't be listed.
    """
    for override in OverridesParser.create().parse_overrides(list(arguments)):
        _refuse_swept_seed(override)
    return combinations(arguments)


def _refuse_swept_seed(override: Override) -> None:
    key = override.key_or_group
    if key not in SEED_KEYS or not override.is_sweep_override():
        return
    if key == "seed":
        raise BadInput(
            "seed can't be swept with until_stable, which adds seeds itself: give the first one, seed=1, or none"
        )
    raise BadInput(
        f"{key} can't be swept with until_stable, as runs that share a stream are not independent: give one value, "
        "which fixes what the stream draws in all runs, or leave it out"
    )


def _streams(job: Job) -> dict[str, int | None]:
    """The seed of each random stream that doesn't follow the seed, None for one that does."""
    other = copy.deepcopy(job.composed)
    with read_write(other), open_dict(other):
        other.seed = job.config.seed + 1
    moved = other.seeds
    return {name: seed if moved[name] == seed else None for name, seed in seeds_of(job.plain_config)}


def _conditions(jobs: Sequence[Job]) -> list[Condition]:
    """The conditions among the jobs of one seed.

    Raises:
        BadInput: no stream follows the seed, or conditions are to be averaged.
    """
    streams = _streams(jobs[0])
    if None not in streams.values():
        raise BadInput(
            "until_stable adds seeds, but seeds.init, .order, .augment and .noise are all given, so that every run "
            "would be the same: leave at least one of them out"
        )
    by_key: dict[str, list[Job]] = {}
    for job in jobs:
        by_key.setdefault(condition_key(condition_of(job.plain_config)), []).append(job)
    if len(by_key) > 1 and jobs[0].config.consensus.mix:
        raise BadInput(
            "consensus.mix=true averages different kinds of run, but until_stable adds seeds to each of them until "
            "it is stable by itself: leave consensus.mix out, or sweep fixed seeds, such as 'seed=range(0,5)'"
        )
    labels = [" ".join(own) for own in differing([group[0].overrides for group in by_key.values()])]
    return [
        Condition(
            key, label, [(_seedless(job), _setting(job)) for job in group], group[0].config.seed, streams
        )
        for (key, group), label in zip(by_key.items(), labels, strict=True)
    ]


def _seedless(job: Job) -> Overrides:
    return tuple(text for text in job.overrides if text.lstrip("+").partition("=")[0] != "seed")


def _setting(job: Job) -> Setting:
    """How a job reads its curve, as RunReading.setting has it."""
    finder = job.plain_config["finder"]
    return {name: finder[name] for name in READING_KEYS}


def _width(job: Job, config: DictConfig) -> int:
    """How many trainings the launcher does side by side."""
    launcher = config.hydra.launcher
    if str(launcher._target_).endswith("BasicLauncher"):
        return 1
    jobs = launcher.get("n_jobs")  # joblib's name for it; -1 is all cores
    return int(jobs) if jobs is not None and jobs > 0 else engine_of(launcher).capacity(job.config.device)


def _plan_text(rule: StoppingRule, conditions: Sequence[Condition], width: int) -> str:
    """What would be done, in one line."""
    jobs = len(conditions[0].jobs)
    each = f", {jobs} jobs each" if jobs > 1 else ""
    return (
        f"{count(len(conditions), 'kind')} of run, 3 to {rule.max_runs} seeds each{each}, {width} at a time, until the "
        f"interval's upper end is within a factor of {rule.factor:g} of the geometric mean"
    )
