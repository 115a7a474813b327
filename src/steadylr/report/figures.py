"""What an answer looks like: the figures of a run and of a sweep, gathered and drawn."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from steadylr.report.run_text import run_title
from steadylr.report.sweep_text import by_run, condition_title, lr_in_group

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from steadylr.answer.answer import ConditionAnswer
    from steadylr.answer.reading import Answer
    from steadylr.config.schema import Config
    from steadylr.core.curve import Curve
    from steadylr.present.figures import SummaryInfo
    from steadylr.run.range_test import RangeTest
    from steadylr.store.curve_file import RunCurves


def draw_run(path: Path, config: Config, curves: RunCurves, answer: Answer) -> None:
    """Draw the figure of one run."""
    from steadylr.core.landmarks import find_landmarks
    from steadylr.present.figures import curve_figure, curve_info, save_figure

    line = find_landmarks(curves.read, answer.reading).line
    info = curve_info(
        curves.read,
        answer.suggestions,
        answer.rule,
        smooth_lr=10.0**line.log10_lr,
        smooth_loss=line.loss,
        reading=answer.reading,
        title=run_title(config),
        subtitle="; ".join(finding.text for finding in answer.findings),
        background=None if curves.validation is None else (curves.curve.lr, curves.curve.loss),
        left_out=curves.skipped_steps,
    )
    save_figure(curve_figure(info), path)


def range_test_figure(test: RangeTest | Curve, answer: Answer, *, title: str = "") -> Figure:
    """The figure of a range test in hand, read as the answer says; validation losses before those of the training."""
    from steadylr.core.curve import Curve
    from steadylr.core.landmarks import find_landmarks
    from steadylr.present.figures import curve_figure, curve_info

    curve = test if isinstance(test, Curve) else test.read
    line = find_landmarks(curve, answer.reading).line
    train = test if isinstance(test, Curve) else test.curve
    info = curve_info(
        curve,
        answer.suggestions,
        answer.rule,
        smooth_lr=10.0**line.log10_lr,
        smooth_loss=line.loss,
        reading=answer.reading,
        title=title,
        subtitle="; ".join(finding.text for finding in answer.findings),
        background=None if curve is train else (train.lr, train.loss),
        left_out=() if isinstance(test, Curve) else test.skipped_steps,
    )
    return curve_figure(info)


def draw_condition(
    condition: ConditionAnswer, *, summary: Path, plan: Path, attribution: Path, length: Path
) -> None:
    """Draw the summary of one condition; the plan, the attribution and the ladder where there are any."""
    from steadylr.core.attribution import Attribution
    from steadylr.present.figures import (
        attribution_figure,
        attribution_info,
        length_figure,
        length_info,
        plan_figure,
        plan_info,
        save_figure,
        summary_figure,
    )

    save_figure(summary_figure(summary_of(condition)), summary)
    if condition.plan is not None:
        save_figure(plan_figure(plan_info(condition.plan, subtitle=condition_title(condition))), plan)
    if isinstance(condition.attribution, Attribution):
        save_figure(
            attribution_figure(attribution_info(condition.attribution, title=condition_title(condition))),
            attribution,
        )
    if condition.length is not None and condition.length.found.trials:
        found, judged_by = condition.length.found, condition.length.ladder.judged_by
        info = length_info(found, title=condition_title(condition), judged_by=judged_by)
        save_figure(length_figure(info), length)


def summary_of(condition: ConditionAnswer) -> SummaryInfo:
    """Gather what the summary figure shows."""
    from steadylr.core.curve import frozen_array
    from steadylr.core.landmarks import find_landmarks
    from steadylr.core.settings import Reading
    from steadylr.present.figures import SummaryGroup, SummaryInfo, SummaryRun
    from steadylr.present.numbers import setting_label

    consensus = condition.consensus
    readings = by_run(condition)
    nothing = frozen_array([])
    runs = []
    for run, name in condition.runs.items():
        first = readings[run][0]
        line = None
        if first.curve is not None:
            settings = {key: value for key, value in first.setting.items() if key != "rule"}
            line = find_landmarks(first.curve, Reading(**settings)).line
        lr = consensus.run_lrs[run]
        lrs, losses = (nothing, nothing) if line is None else (10.0**line.log10_lr, line.loss)
        outcome = "" if lr is not None else first.headline.outcome.value.replace("_", " ")
        runs.append(SummaryRun(name, lrs, losses, suggestion=lr, outcome=outcome))
    groups = []
    if len(consensus.groups) > 1:
        groups = [
            SummaryGroup(
                setting_label(g.label), tuple(lr_in_group(readings[run], g.label) for run in condition.runs)
            )
            for g in consensus.groups
        ]
    head = consensus.headline
    return SummaryInfo(
        runs=tuple(runs),
        groups=tuple(groups),
        lr=head.lr,
        choose=head.choose.replace("_", " "),
        interval=head.interval,
        title=condition_title(condition),
        subtitle=condition.verdict.summary,
    )
