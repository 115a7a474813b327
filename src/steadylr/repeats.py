"""Range tests repeated with other seeds, from Python, and what they say together.

It joins the engine with the answers and figures of the command line. docs/from-python.md shows it at work.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from torch import nn
from torch.optim import Optimizer

from steadylr.answer.answer import ConditionAnswer, answer_sweep
from steadylr.answer.readings import Gathered, RunReading
from steadylr.config.schema import OneCycle
from steadylr.core.arguments import check_kind, check_whole
from steadylr.core.consensus import Choice, Consensus
from steadylr.core.curve import Curve
from steadylr.core.divergence import StopRule
from steadylr.core.onecycle import Plan
from steadylr.core.ramp import Ramp
from steadylr.core.rules import DEFAULT_RULE
from steadylr.core.settings import Reading
from steadylr.errors import InvalidValue
from steadylr.present.progress import run_progress
from steadylr.report.figures import summary_of
from steadylr.report.notebook import RangeTest, figure_below
from steadylr.report.sweep_text import condition_text
from steadylr.run.optimizer_facts import NO_MOMENTUM_CYCLE, optimizer_doubt
from steadylr.run.options import LossFn, Options
from steadylr.run.randomness import Streams, kept_generators, seed_generators, seed_noise
from steadylr.run.range_test import range_test
from steadylr.run.steps import Step, described, function_name
from steadylr.run.training_data import is_dataset, train_batches, training_data
from steadylr.words.consensus import Verdict
from steadylr.words.names import PYTHON
from steadylr.words.python import Suggestion, diagnose, suggest, suggest_all

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Run(NamedTuple):
    """What one run trains, made afresh for each seed: a plain tuple in this order will do.

    Attributes:
        model: with its initial weights, on its device.
        optimizer: over its parameters.
        data: a loader or list of batches; or a data set, which is then shuffled and batched by the order stream.
        loss_fn: loss_fn(model(inputs), targets), for batches that are pairs.
        step: step(model, batch) -> loss, for any other batch.
    """

    model: nn.Module
    optimizer: Optimizer
    data: Any
    loss_fn: LossFn | None = None
    step: Step | None = None


MakeRun = Callable[[int], "Run | tuple[Any, ...]"]
"""make_run(seed) -> what that run trains."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class FoundLR:
    """What repeated range tests say. Printed, it is the text that the command line shows; a notebook adds the figure.

    Args:
        seeds: of the runs.
        tests: what each run measured, in the order of the seeds.
        answer: all that follows from them.
        title: what was trained, for texts and figures.
    """

    seeds: tuple[int, ...]
    tests: tuple[RangeTest, ...]
    answer: ConditionAnswer
    title: str

    @property
    def lr(self) -> float | None:
        """The LR to use, as `choose` says; that of the mean curve where too few runs gave one; None without any."""
        return self.answer.suggested.lr

    @property
    def curves(self) -> tuple[Curve, ...]:
        """The raw curves, in the order of the seeds."""
        return tuple(test.curve for test in self.tests)

    @property
    def suggestions(self) -> tuple[Suggestion, ...]:
        """What the rule reads off each curve, in the order of the seeds."""
        return tuple(reading.headline for reading in self.answer.readings)

    @property
    def consensus(self) -> Consensus:
        """What they say together."""
        return self.answer.consensus.headline

    @property
    def verdict(self) -> Verdict:
        """How far that may be trusted, and what to do."""
        return self.answer.verdict

    @property
    def plan(self) -> Plan | None:
        """The OneCycle schedule that follows; None without an LR."""
        return self.answer.plan

    def plot(self, path: str | PathLike[str] | None = None) -> Figure:
        """Draw all curves with their suggestions and the consensus; see plot for notebooks and `path`."""
        from steadylr.present.figures import save_figure, summary_figure

        figure = summary_figure(replace(summary_of(self.answer), title=self.title))
        if path is not None:
            save_figure(figure, Path(path))
        return figure

    def __str__(self) -> str:
        return condition_text(self.answer, self.title, names=PYTHON).rstrip()

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        return figure_below(str(self), self.plot())


def find_lr(
    make_run: MakeRun,
    seeds: Iterable[int] = range(3),
    ramp: Ramp | None = None,
    *,
    stop_rule: StopRule | None = None,
    accumulation_steps: int = 1,
    batch_size: int | None = None,
    rule: str = DEFAULT_RULE,
    reading: Reading | None = None,
    choose: Choice = "geometric_mean",
    progress: bool = True,
) -> FoundLR:
    """Repeat a range test with fresh weights and a fresh order for each seed, and bring the answers together.

    make_run(seed) is called with the global random generators seeded from the run's init stream, and the training
    draws (dropout, a loader that shuffles) from its noise stream. Where make_run gives a data set instead of a loader,
    the order follows the order stream and what its samples draw the augment stream. The generators are as before
    afterwards. Nothing is stored: the command line does that.

    Args:
        make_run: makes everything anew: what two runs share, the second would get as the first left it.
        seeds: one run each; whole numbers of at least 0, each once. At least three, better five, for an interval.
        ramp: of every run; None: Ramp(), from 1e-7 to 10 in 1000 steps.
        stop_rule: when a run has diverged; None: StopRule().
        accumulation_steps: batches per optimizer step, at least 1.
        batch_size: samples per batch, for make_run that gives data sets.
        rule: which rule reads the curves; see suggest.
        reading: how they are smoothed and cut; None: Reading().
        choose: "geometric_mean", "median", "conservative" (the lowest) or "aggressive" (the highest).
        progress: show a bar, on a terminal or in a notebook.

    Raises:
        ValueError: no seeds or one twice, something else than a Run, a data set without batch_size, or what
            range_test refuses.

    Warns:
        UserWarning: an optimizer for which a learning-rate finder makes little sense.
    """
    chosen = _checked_seeds(seeds)
    ramp = Ramp() if ramp is None else ramp
    reading = Reading() if reading is None else reading
    check_kind(Ramp, ramp=ramp)
    check_kind(Reading, reading=reading)
    if batch_size is not None:
        check_whole(batch_size=batch_size)
    if not callable(make_run):
        raise InvalidValue(f"make_run must be a function, make_run(seed) -> Run; got {described(make_run)}")
    tests: list[RangeTest] = []
    readings: list[RunReading] = []
    options = Options(
        stop_rule=StopRule() if stop_rule is None else stop_rule,
        accumulation_steps=accumulation_steps,
        restore=False,
    )
    with kept_generators():
        for place, seed in enumerate(chosen, start=1):
            streams = Streams.same(seed)
            seed_generators(streams.derive("init"))
            run = _checked_run(make_run(seed), make_run)
            batches = _batches(run.data, streams, batch_size)
            if place == 1 and (doubt := optimizer_doubt(type(run.optimizer).__name__)) is not None:
                warnings.warn(doubt, stacklevel=2)
            seed_noise(streams)
            label = f"seed {seed} ({place} of {len(chosen)})"
            with run_progress(ramp.num_iter, shown=progress, label=label) as bar:
                this = replace(options, loss_fn=run.loss_fn, step=run.step, on_step=bar)
                test = RangeTest.of(range_test(run.model, run.optimizer, batches, ramp, this))
            tests.append(test)
            readings.append(_reading(f"seed {seed}", test, run.optimizer, rule=rule, settings=reading))
    answer = answer_sweep(Gathered(tuple(readings)), choose=choose, onecycle=OneCycle())
    return FoundLR(chosen, tuple(tests), answer.conditions[0], title=type(run.model).__name__)


def _checked_seeds(seeds: Iterable[int]) -> tuple[int, ...]:
    if not isinstance(seeds, Iterable):
        raise InvalidValue(f"seeds must be several, such as range(3); got {described(seeds)}")
    chosen = tuple(seeds)
    for seed in chosen:
        check_whole(seeds=seed)
    if not chosen:
        raise ValueError("seeds must name at least one run; got none")
    if len(set(chosen)) < len(chosen):
        raise ValueError(
            f"seeds must be different: the same seed trains the same run again; got {list(chosen)}"
        )
    return chosen


def _checked_run(made: Any, make_run: MakeRun) -> Run:
    name = function_name(make_run)
    if isinstance(made, tuple) and 3 <= len(made) <= len(Run._fields):
        run = Run(*made)
        if isinstance(run.model, nn.Module) and isinstance(run.optimizer, Optimizer):
            if run.loss_fn is None and run.step is None:
                raise ValueError(
                    f"{name} gave neither loss_fn nor step: return Run(model, optimizer, data, loss_fn)"
                )
            return run
    raise ValueError(
        f"{name}(seed) must give a steadylr.Run or (model, optimizer, data, loss_fn); it gave {described(made)}"
    )


def _batches(data: Any, streams: Streams, batch_size: int | None) -> Iterable[Any]:
    if not is_dataset(data):
        batches: Iterable[Any] = data
        return batches
    if batch_size is None:
        raise ValueError("make_run gave a data set: give find_lr a batch_size, or let make_run give a loader")
    return train_batches(
        training_data(data, path="make_run"),
        batch_size=batch_size,
        streams=streams,
        workers=0,
        pin_memory=False,
        drop_last=True,
    )


def _reading(
    label: str, test: RangeTest, optimizer: Optimizer, *, rule: str, settings: Reading
) -> RunReading:
    """One run as an aggregate takes it."""
    ratios = test.group_lrs[0] / test.curve.lr[0]
    headline = suggest(test.curve, rule, reading=settings)  # first: it says what is wrong with a rule's name
    return RunReading(
        label=label,
        run=test.curve.digest(),
        condition={},
        setting={**asdict(settings), "rule": rule},
        overrides=(),
        suggestions={**suggest_all(test.curve, reading=settings), rule: headline},
        rule=rule,
        findings=tuple(
            finding.code.value for finding in diagnose(test.curve, settings, skipped_share=test.skipped_share)
        ),
        curve=test.curve,
        lr_ratios=tuple(float(f"{ratio:.12g}") for ratio in ratios),
        momentum=_cycles_momentum(optimizer),
    )


def _cycles_momentum(optimizer: Optimizer) -> bool:
    """Whether a OneCycle schedule may cycle the optimizer's momentum or beta1."""
    if type(optimizer).__name__.lower() in NO_MOMENTUM_CYCLE:
        return False
    return all("betas" in group or group.get("momentum") for group in optimizer.param_groups)
