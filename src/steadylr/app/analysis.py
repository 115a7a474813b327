"""From one curve to an answer: suggestions by every rule, the diagnosis and the plan."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from steadylr.core.diagnosis import Finding, diagnose
from steadylr.core.onecycle import Plan, plan
from steadylr.core.settings import Reading
from steadylr.core.suggestion import Suggestion, suggest_all

if TYPE_CHECKING:
    from collections.abc import Sequence

    from steadylr.app.schema import Config, Finder, OneCycle
    from steadylr.core.curve import Curve


@dataclass(frozen=True, slots=True)
class Answer:
    """What one curve says under one set of reading settings."""

    reading: Reading
    rule: str
    suggestions: dict[str, Suggestion]
    findings: tuple[Finding, ...]
    plan: Plan | None

    @property
    def headline(self) -> Suggestion:
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


def plan_of(
    onecycle: OneCycle, max_lr: float, *, low: float | None, high: float | None, lr_ratios: Sequence[float] = (1.0,)
) -> Plan:
    """The OneCycle plan that follows from a peak LR and a onecycle config."""
    return plan(
        max_lr,
        low=low,
        high=high,
        total_steps=onecycle.total_steps,
        div_factor=onecycle.div_factor,
        final_div_factor=onecycle.final_div_factor,
        pct_start=onecycle.pct_start,
        cycle_momentum=onecycle.cycle_momentum,
        base_momentum=onecycle.base_momentum,
        max_momentum=onecycle.max_momentum,
        anneal_strategy=onecycle.anneal_strategy.value,
        lr_ratios=lr_ratios,
    )


def answer_of(curve: Curve, config: Config, *, lr_ratios: Sequence[float] = (1.0,)) -> Answer:
    """Read one curve with every rule; the plan follows from the rule that the config picked."""
    reading = reading_of(config.finder)
    suggestions = suggest_all(curve, reading=reading)
    headline = suggestions[config.finder.rule]
    return Answer(
        reading=reading,
        rule=config.finder.rule,
        suggestions=suggestions,
        findings=diagnose(curve, reading),
        plan=None
        if headline.lr is None
        else plan_of(config.onecycle, headline.lr, low=headline.low, high=headline.high, lr_ratios=lr_ratios),
    )
