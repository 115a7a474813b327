"""From one curve to an answer: suggestions by every rule, the diagnosis and the plan."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from steadylr.core.certainty import log10_std
from steadylr.core.diagnosis import diagnose
from steadylr.core.onecycle import Plan, plan
from steadylr.core.rules import DEFAULT_RULE, suggest_all
from steadylr.core.settings import Reading
from steadylr.run.optimizer_facts import NO_MOMENTUM_CYCLE
from steadylr.words.names import COMMAND_LINE
from steadylr.words.reading import ToldFinding, ToldSuggestion, told_finding, told_suggestion

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from steadylr.config.schema import Config, Finder, OneCycle
    from steadylr.core.curve import Curve


@dataclass(frozen=True, slots=True)
class Answer:
    """What one curve says under one set of reading settings."""

    reading: Reading
    rule: str
    suggestions: dict[str, ToldSuggestion]
    findings: tuple[ToldFinding, ...]
    plan: Plan | None

    @property
    def headline(self) -> ToldSuggestion:
        """The suggestion of the rule that the config picked."""
        return self.suggestions[self.rule]


def reading_of(finder: Finder) -> Reading:
    """The analysis settings of a finder config."""
    return Reading(
        smooth_f=finder.smooth_f,
        smoother=finder.smoother.value,
        ema_weight=finder.ema_weight,
        skip_start=finder.skip_start,
        skip_end=finder.skip_end,
    )


def has_momentum(target: str, arguments: Mapping[str, Any]) -> bool:
    """Whether an optimizer has a momentum (or a beta1) for OneCycle to cycle; of torch's own it is known.

    torch's OneCycleLR would switch the momentum of an SGD or RMSprop on that was made without.

    Args:
        target: import path of the optimizer; the case of its class does not count.
        arguments: what it is given.
    """
    module, _, name = target.lower().rpartition(".")
    if module != "torch.optim" or name in NO_MOMENTUM_CYCLE:
        return False
    return bool(arguments.get("momentum")) if name in ("sgd", "rmsprop") else "adam" in name


def plan_of(
    onecycle: OneCycle,
    max_lr: float,
    *,
    low: float | None,
    high: float | None,
    momentum: bool = True,
    lr_ratios: Sequence[float] = (1.0,),
) -> Plan:
    """The OneCycle plan that follows from a peak LR and a onecycle config.

    Args:
        onecycle: the config.
        max_lr: the peak.
        low, high: the range that it was chosen from.
        momentum: whether the optimizer has one that can be cycled.
        lr_ratios: each parameter group's LR over the peak.
    """
    return plan(
        max_lr,
        low=low,
        high=high,
        total_steps=onecycle.total_steps,
        div_factor=onecycle.div_factor,
        final_div_factor=onecycle.final_div_factor,
        pct_start=onecycle.pct_start,
        cycle_momentum=onecycle.cycle_momentum and momentum,
        base_momentum=onecycle.base_momentum,
        max_momentum=onecycle.max_momentum,
        anneal_strategy=onecycle.anneal_strategy.value,
        lr_ratios=lr_ratios,
    )


def answer_of(
    curve: Curve,
    config: Config,
    *,
    lr_ratios: Sequence[float] = (1.0,),
    skipped_share: float = 0.0,
    alone: bool = True,
) -> Answer:
    """Read one curve with every rule; the plan follows from the rule that the config picked.

    Args:
        curve: what a run has measured.
        config: of the run.
        lr_ratios: of its parameter groups to the first.
        skipped_share: of its steps, by the scaler of fp16.
        alone: whether the curve is all that will be known, so that its own certainty is asked for; the runs of a sweep
            show their spread.
    """
    reading = reading_of(config.finder)
    suggestions = {
        rule: told_suggestion(suggestion, COMMAND_LINE)
        for rule, suggestion in suggest_all(curve, reading=reading).items()
    }
    if alone:
        sure = log10_std(curve, reading=reading)
        suggestions[DEFAULT_RULE] = replace(suggestions[DEFAULT_RULE], log10_std=sure)
    headline = suggestions[config.finder.rule]
    planned = None
    if headline.lr is not None:
        planned = plan_of(
            config.onecycle,
            headline.lr,
            low=headline.low,
            high=headline.high,
            momentum=has_momentum(config.optimizer._target_, config.optimizer.arguments),
            lr_ratios=lr_ratios,
        )
    findings = diagnose(curve, reading, skipped_share=skipped_share)
    told = tuple(told_finding(finding, COMMAND_LINE) for finding in findings)
    return Answer(reading, config.finder.rule, suggestions, told, planned)
