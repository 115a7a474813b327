"""What a person sees: gathers values into the views that present/ prints and draws."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from steadylr.present.terminal import (
    FailedRow,
    KindView,
    RunRow,
    RunView,
    SweepView,
    answer_console,
    print_run,
    print_sweep,
    sweep_text,
)

if TYPE_CHECKING:
    from steadylr.app.analysis import Answer
    from steadylr.app.job import Obtained
    from steadylr.app.members import Member
    from steadylr.app.schema import Config
    from steadylr.app.sweep import KindAnswer, SweepAnswer
    from steadylr.present.figures import SummaryInfo

SEVERAL_RUNS = "-m 'seed=range(0,5)'"


# ---- one run


def run_title(config: Config) -> str:
    """Which model, data and seed: what tells a run from others to a person."""
    return f"{config.model.name} on {config.data.name}, seed {config.seed}"


def show_run(folder: Path, config: Config, run: Obtained, answer: Answer) -> None:
    """Print the answer of a single run."""
    notes = list(run.curves.meta["notes"])
    if run.from_store:
        notes.append(
            "This run came from the store: nothing was trained, and one run says nothing about the spread. "
            f"For independent runs add {SEVERAL_RUNS}"
        )
    else:
        notes.append(f"One run says nothing about the spread. For several add {SEVERAL_RUNS}")
    view = RunView(
        title=run_title(config),
        rule=answer.rule,
        suggestions=tuple(answer.suggestions.values()),
        findings=answer.findings,
        plan=answer.plan,
        folder=str(_shown(folder)),
        notes=tuple(notes),
    )
    print_run(answer_console(), view)


def draw_run(path: Path, config: Config, run: Obtained, answer: Answer) -> None:
    """Draw the figure of one run."""
    from steadylr.core.landmarks import find_landmarks
    from steadylr.present.figures import curve_figure, curve_info, save_figure

    curves = run.curves
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
        on_validation=curves.validation is not None,
        background=None if curves.validation is None else (curves.curve.lr, curves.curve.loss),
    )
    save_figure(curve_figure(info), path)


# ---- a sweep


def show_sweep(answer: SweepAnswer, folder: Path) -> None:
    """Print the answer of a sweep."""
    print_sweep(answer_console(), sweep_view(answer, folder))


def sweep_answer_text(answer: SweepAnswer, folder: Path) -> str:
    """The answer of a sweep as plain text."""
    return sweep_text(sweep_view(answer, folder))


def sweep_view(answer: SweepAnswer, folder: Path) -> SweepView:
    """Gather what the answer of a sweep prints."""
    notes = []
    if len(answer.kinds) > 1:
        notes.append(
            f"These runs train {len(answer.kinds)} different things, so their LRs are not averaged; "
            "consensus.mix=true would"
        )
    return SweepView(
        kinds=tuple(_kind_view(kind) for kind in answer.kinds),
        failed=tuple(FailedRow(job.label, job.reason, job.overrides) for job in answer.failed),
        problems=answer.problems,
        folder=str(_shown(folder)),
        notes=tuple(notes),
    )


def _kind_view(kind: KindAnswer) -> KindView:
    return KindView(
        title=kind_title(kind),
        runs=tuple(_run_row(kind, run, name) for run, name in kind.runs.items()),
        consensus=kind.consensus,
        verdict=kind.verdict,
        plan=kind.plan,
    )


def kind_title(kind: KindAnswer) -> str:
    """Which model and data, and what sets this kind of run apart from others in the sweep."""
    record = kind.members[0].record
    if record is None:
        return kind.title or "Suggestions from elsewhere"
    title = f"{record.config['model']['name']} on {record.config['data']['name']}"
    return f"{title} ({kind.title})" if kind.title else title


def _run_row(kind: KindAnswer, run: str, name: str) -> RunRow:
    members = [member for member in kind.members if member.run == run]
    lr = kind.consensus.run_lrs[run]
    remarks = sorted({code.replace("_", " ") for member in members for code in member.findings})
    if name in kind.odd:
        remarks.append("another shape than the rest")
    return RunRow(
        label=name,
        lr=lr,
        reason="" if lr is not None else members[0].headline.reason,
        by_group=tuple(_lr_in_group(members, group.label) for group in kind.consensus.groups),
        remarks=tuple(remarks),
    )


def _lr_in_group(members: Sequence[Member], label: object) -> float | None:
    """The LR of one run under the settings of a group."""
    assert isinstance(label, dict)
    for member in members:
        if all(member.setting.get(name) == value for name, value in label.items()):
            return member.headline.lr
    return None


def draw_sweep(folder: Path, answer: SweepAnswer) -> None:
    """Draw the summary and the plan of each kind of run; several kinds are numbered from 1."""
    from steadylr.present.figures import plan_figure, plan_info, save_figure, summary_figure

    for number, kind in enumerate(answer.kinds, start=1):
        suffix = f"-{number}" if len(answer.kinds) > 1 else ""
        save_figure(summary_figure(summary_of(kind)), folder / f"summary{suffix}.png")
        if kind.plan is not None:
            info = plan_info(kind.plan, subtitle=kind_title(kind))
            save_figure(plan_figure(info), folder / f"plan{suffix}.png")


def summary_of(kind: KindAnswer) -> SummaryInfo:
    """Gather what the summary figure shows."""
    from steadylr.core.curve import frozen_array
    from steadylr.core.landmarks import find_landmarks
    from steadylr.core.settings import Reading
    from steadylr.present.figures import SummaryGroup, SummaryInfo, SummaryRun
    from steadylr.present.numbers import setting_label

    found = kind.consensus
    members = {run: [member for member in kind.members if member.run == run] for run in kind.runs}
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
                setting_label(g.label), tuple(_lr_in_group(members[run], g.label) for run in kind.runs)
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


def _shown(folder: Path) -> Path:
    """A folder as people would type it: from where the command was given, where it lies below."""
    try:
        return folder.resolve().relative_to(Path.cwd())
    except ValueError:
        return folder
