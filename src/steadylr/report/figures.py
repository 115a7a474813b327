"""What an answer looks like: the figures of a run and of a sweep, gathered and drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from steadylr.report.run_text import run_title
from steadylr.report.sweep_text import by_run, condition_title, lr_in_group
from steadylr.store.file_names import figure_files

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
    """Draw the figure of one run, in the formats of its config beside each other; path is that of the PNG."""
    if not config.figures:
        return
    from steadylr.core.landmarks import find_landmarks
    from steadylr.present.figures import curve_figure, curve_info

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
    _save(curve_figure(info), path, [str(form) for form in config.figures])


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


def _save(figure: Figure, path: Path, formats: Sequence[str]) -> None:
    from steadylr.present.figures import save_figure

    for name in figure_files(path.name, formats):
        save_figure(figure, path.with_name(name))


def draw_condition(
    condition: ConditionAnswer,
    formats: Sequence[str],
    *,
    summary: Path,
    plan: Path,
    attribution: Path,
    length: Path,
) -> None:
    """Draw the summary of one condition; the plan, the attribution and the ladder where there are any.

    Args:
        condition: whose figures.
        formats: png, svg and pdf, or some of them; none draws nothing.
        summary, plan, attribution, length: where each lies as a PNG.
    """
    if not formats:
        return
    from steadylr.core.attribution import Attribution
    from steadylr.present.figures import (
        attribution_figure,
        attribution_info,
        length_figure,
        length_info,
        plan_figure,
        plan_info,
        summary_figure,
    )

    _save(summary_figure(summary_of(condition)), summary, formats)
    if condition.plan is not None:
        _save(plan_figure(plan_info(condition.plan, subtitle=condition_title(condition))), plan, formats)
    if isinstance(condition.attribution, Attribution):
        shares = attribution_info(condition.attribution, title=condition_title(condition))
        _save(attribution_figure(shares), attribution, formats)
    if condition.length is not None and condition.length.answer.trials:
        found, judged_by = condition.length.answer, condition.length.ladder.judged_by
        info = length_info(found, title=condition_title(condition), judged_by=judged_by)
        _save(length_figure(info), length, formats)


def summary_of(condition: ConditionAnswer) -> SummaryInfo:
    """Gather what the summary figure shows."""
    from steadylr.core.landmarks import find_landmarks
    from steadylr.present.figures import SummaryGroup, SummaryInfo, SummaryRun, curves_to_draw
    from steadylr.present.numbers import setting_label

    consensus = condition.consensus
    readings = by_run(condition)
    with_curve = [run for run in condition.runs if readings[run][0].curve is not None]
    drawn_runs = {with_curve[place] for place in curves_to_draw(len(with_curve))}
    runs = []
    for run, name in condition.runs.items():
        first = readings[run][0]
        lr = consensus.run_lrs[run]
        outcome = "" if lr is not None else first.headline.outcome.value.replace("_", " ")
        row = SummaryRun(name, suggestion=lr, outcome=outcome)
        if run in drawn_runs and first.curve is not None:
            line = find_landmarks(first.curve, first.read_with).line
            row = replace(row, lr=10.0**line.log10_lr, loss=line.loss)
        runs.append(row)
    groups = []
    if len(consensus.groups) > 1:
        groups = [
            SummaryGroup(
                setting_label(g.label), tuple(lr_in_group(readings[run], g.label) for run in condition.runs)
            )
            for g in consensus.groups
        ]
    head, mean = consensus.headline, condition.mean
    drawn = None
    if mean is not None:
        line = find_landmarks(mean.curve, next(iter(readings.values()))[0].read_with).line
        drawn = SummaryRun(mean.name, 10.0**line.log10_lr, line.loss, suggestion=mean.lr)
    return SummaryInfo(
        runs=tuple(runs),
        groups=tuple(groups),
        lr=condition.suggested.lr,
        choose=head.choose.replace("_", " ") if mean is None else mean.name,
        interval=head.interval if mean is None else None,
        mean=drawn,
        num_curves=len(with_curve),
        title=condition_title(condition),
        subtitle=condition.verdict.summary,
    )
