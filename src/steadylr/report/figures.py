"""What an answer looks like: the figures of a run and of a sweep, gathered and drawn."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from steadylr.report.run_text import run_title
from steadylr.report.sweep_text import by_run, kind_title, lr_in_group

if TYPE_CHECKING:
    from steadylr.answer.answer import KindAnswer
    from steadylr.answer.reading import Answer
    from steadylr.config.schema import Config
    from steadylr.present.figures import SummaryInfo
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


def draw_kind(kind: KindAnswer, *, summary: Path, plan: Path, attribution: Path) -> None:
    """Draw the summary of one kind of run, and the plan and the attribution where there are any."""
    from steadylr.core.attribution import Attribution
    from steadylr.present.figures import (
        attribution_figure,
        attribution_info,
        plan_figure,
        plan_info,
        save_figure,
        summary_figure,
    )

    save_figure(summary_figure(summary_of(kind)), summary)
    if kind.plan is not None:
        save_figure(plan_figure(plan_info(kind.plan, subtitle=kind_title(kind))), plan)
    if isinstance(kind.attribution, Attribution):
        save_figure(
            attribution_figure(attribution_info(kind.attribution, title=kind_title(kind))), attribution
        )


def summary_of(kind: KindAnswer) -> SummaryInfo:
    """Gather what the summary figure shows."""
    from steadylr.core.curve import frozen_array
    from steadylr.core.landmarks import find_landmarks
    from steadylr.core.settings import Reading
    from steadylr.present.figures import SummaryGroup, SummaryInfo, SummaryRun
    from steadylr.present.numbers import setting_label

    found = kind.consensus
    members = by_run(kind)
    nothing = frozen_array([])
    runs = []
    for run, name in kind.runs.items():
        first = members[run][0]
        line = None
        if first.curve is not None:
            settings = {key: value for key, value in first.setting.items() if key != "rule"}
            line = find_landmarks(first.curve, Reading(**settings)).line
        lr = found.run_lrs[run]
        lrs, losses = (nothing, nothing) if line is None else (10.0**line.log10_lr, line.loss)
        outcome = "" if lr is not None else first.headline.outcome.value.replace("_", " ")
        runs.append(SummaryRun(name, lrs, losses, suggestion=lr, outcome=outcome))
    groups = []
    if len(found.groups) > 1:
        groups = [
            SummaryGroup(
                setting_label(g.label), tuple(lr_in_group(members[run], g.label) for run in kind.runs)
            )
            for g in found.groups
        ]
    head = found.headline
    return SummaryInfo(
        runs=tuple(runs),
        groups=tuple(groups),
        lr=head.lr,
        choose=head.choose.replace("_", " "),
        interval=head.interval,
        title=kind_title(kind),
        subtitle=kind.verdict.summary,
    )
