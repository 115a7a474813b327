"""What a person sees: gathers values into the views that present/ prints and draws."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from steadylr.core.certainty import factor_95
from steadylr.core.decision import State
from steadylr.present.numbers import format_lr
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
from steadylr.words.consensus import decision_text

if TYPE_CHECKING:
    from steadylr.answer.answer import KindAnswer, SweepAnswer
    from steadylr.answer.reading import Answer
    from steadylr.answer.readings import Member
    from steadylr.config.schema import Config
    from steadylr.present.figures import SummaryInfo
    from steadylr.store.curve_file import RunCurves
    from steadylr.words.reading import ToldSuggestion

SEVERAL_RUNS = "-m 'seed=range(0,5)'"


# ---- one run


def run_title(config: Config) -> str:
    """Which model, data and seed: what tells a run from others to a person."""
    return f"{config.model.name} on {config.data.name}, seed {config.seed}"


def show_run(folder: Path, config: Config, curves: RunCurves, answer: Answer, *, from_store: bool) -> None:
    """Print the answer of a single run."""
    headline = answer.headline
    lr = "no answer" if headline.lr is None else f"LR {format_lr(headline.lr)}"
    view = RunView(
        title=f"{run_title(config)}: {lr}",
        rule=answer.rule,
        suggestions=_told_apart(answer),
        findings=tuple(finding for finding in answer.findings if finding.text not in headline.reason),
        plan=answer.plan,
        folder=str(shown_folder(folder)),
        notes=(*curves.meta["notes"], *_spread_note(answer, from_store=from_store)),
    )
    print_run(answer_console(), view)


def _told_apart(answer: Answer) -> tuple[ToldSuggestion, ...]:
    """The suggestions of all rules; the headline alone when none has an answer, all for one reason."""
    suggestions = tuple(answer.suggestions.values())
    alike = len({suggestion.reason for suggestion in suggestions}) == 1
    return (answer.headline,) if alike and answer.headline.lr is None else suggestions


def _spread_note(answer: Answer, *, from_store: bool) -> Iterator[str]:
    """Where an LR came from, and how one learns how far it can be trusted."""
    if from_store:
        yield "This run came from the store: nothing was trained (store.enabled=false would)."
    if answer.headline.lr is None:
        return
    std = answer.headline.log10_std
    if std is None:
        yield f"One run says nothing about the spread; to see it add {SEVERAL_RUNS}"
    else:
        yield f"By this curve the mean over seeds lies within a factor of {factor_95(std):.2g} (19 of 20 runs)"
        yield f"To see the spread add {SEVERAL_RUNS}"


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
        on_validation=curves.validation is not None,
        background=None if curves.validation is None else (curves.curve.lr, curves.curve.loss),
        left_out=curves.skipped_steps,
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
    notes += _to_go_on(answer, folder)
    return SweepView(
        kinds=tuple(_kind_view(kind) for kind in answer.kinds),
        failed=tuple(FailedRow(job.label, job.reason, job.overrides) for job in answer.failed),
        problems=answer.problems,
        folder=str(shown_folder(folder)),
        notes=tuple(notes),
    )


MOST_FURTHER_RUNS = 50  # no command is given for more: the verdict says to find out first why runs differ


def _to_go_on(answer: SweepAnswer, folder: Path) -> list[str]:
    """How to go on where a sweep has run out of runs before it was stable."""
    gave_up = [k for k in answer.kinds if k.decision is not None and k.decision.state is State.MAX_RUNS]
    needed = max((kind.consensus.headline.runs_needed or 0 for kind in gave_up), default=0)
    if not 0 < needed <= MOST_FURTHER_RUNS:
        return []
    runs = max(kind.decision.num_runs for kind in gave_up if kind.decision is not None) + needed
    return [f"To go on: the same command with sweep_name='{folder.name}' hydra.sweeper.max_runs={runs}"]


def _kind_view(kind: KindAnswer) -> KindView:
    return KindView(
        title=kind_title(kind),
        runs=tuple(_run_row(kind, run, members) for run, members in by_run(kind).items()),
        consensus=kind.consensus,
        verdict=kind.verdict,
        plan=kind.plan,
        stopping="" if kind.decision is None else decision_text(kind.decision),
        attribution=kind.attribution,
        rule_shifts=kind.rule_shifts,
    )


def kind_title(kind: KindAnswer) -> str:
    """Which model and data, and what sets this kind of run apart from others in the sweep."""
    records = [member.record for member in kind.members if member.record is not None]
    if not records:
        return kind.title or "Suggestions from elsewhere"
    trained = (f"{record.config['model']['name']} on {record.config['data']['name']}" for record in records)
    title = " and ".join(dict.fromkeys(trained))  # several where they are averaged all the same
    return f"{title} ({kind.title})" if kind.title else title


def by_run(kind: KindAnswer) -> dict[str, list[Member]]:
    """The members of each run, the runs in the order in which they are listed."""
    found: dict[str, list[Member]] = {run: [] for run in kind.runs}
    for member in kind.members:
        found[member.run].append(member)
    return found


def _run_row(kind: KindAnswer, run: str, members: Sequence[Member]) -> RunRow:
    name = kind.runs[run]
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


def shown_folder(folder: Path) -> Path:
    """A folder as people would type it: from where the command was given, where it lies below."""
    try:
        return folder.resolve().relative_to(Path.cwd())
    except ValueError:
        return folder
