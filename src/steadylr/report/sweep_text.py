"""The answer of a sweep as text: a block for each condition, what failed, what was left out, how to go on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from steadylr.core.decision import State
from steadylr.core.verdict import Level
from steadylr.present.escaped import escaped
from steadylr.present.numbers import (
    count,
    format_lr,
    format_lr_range,
    format_ratio,
    format_share,
    setting_label,
)
from steadylr.present.text import (
    MOST_WIDTH,
    Part,
    Row,
    answer_console,
    heading,
    pasted,
    plain,
    sentence,
    show,
    table,
    text_width,
    title,
)
from steadylr.report.length_text import length_parts
from steadylr.report.run_text import ending, plan_parts, short
from steadylr.words.attribution import attribution_advice, attribution_summary, not_split_words
from steadylr.words.consensus import GUIDE, decision_text, mean_curve_text
from steadylr.words.names import COMMAND_LINE, Names

if TYPE_CHECKING:
    from steadylr.answer.answer import ConditionAnswer, SweepAnswer
    from steadylr.answer.readings import FailedJob, RunReading
    from steadylr.core.attribution import Source
    from steadylr.core.consensus import Consensus
    from steadylr.core.sweep_consensus import Shift, SweepConsensus

MOST_RUNS = 10  # a table of more runs says less than their extremes
MOST_FAILED = 20
MOST_FURTHER_RUNS = 50  # no command is given for more: the verdict says to find out first why runs differ
_ROOM_OF_A_RUN = 30  # letters of its name, LR and remarks

_LEVEL_COLOURS = {
    Level.TIGHT: "green",
    Level.VERY_NORMAL: "green",
    Level.NORMAL: "yellow",
    Level.MEAN_CURVE: "yellow",
    Level.TOO_FEW: "yellow",
}
"""The other levels are red."""


def show_sweep(answer: SweepAnswer, folder: Path) -> None:
    """Print the answer of a sweep, whose files are in a folder."""
    console = answer_console()
    show(_sweep_parts(answer, folder, width=text_width(console)), console)


def sweep_text(answer: SweepAnswer) -> str:
    """The answer of a sweep as plain text; where its files lie is not in it, so that they can be moved."""
    return plain(_sweep_parts(answer, None))


def condition_text(condition: ConditionAnswer, named: str, *, names: Names = COMMAND_LINE) -> str:
    """What one condition says as plain text, under another title and for another door."""
    return plain(_condition_parts(condition, named, names))


def _sweep_parts(answer: SweepAnswer, folder: Path | None, *, width: int = MOST_WIDTH) -> Iterator[Part]:
    for number, condition in enumerate(answer.conditions):
        if number:
            yield pasted()
        yield from _condition_parts(condition, condition_title(condition), COMMAND_LINE, width=width)
    yield from failed_parts(answer.failed)
    if answer.problems:
        yield from heading("Left out")
        for problem in answer.problems:
            yield sentence(one_line(problem), "red")
    yield from ending([*_mixed_note(answer), *_to_go_on(answer, folder)], folder)


def condition_title(condition: ConditionAnswer) -> str:
    """Which model and data, and what sets this condition apart from others in the sweep."""
    records = [reading.record for reading in condition.readings if reading.record is not None]
    if not records:
        return condition.title or "Suggestions from elsewhere"
    parts = ([record.config[group] for group in ("model", "data")] for record in records)
    trained = (" on ".join(part.get("name") or part["_target_"] for part in pair) for pair in parts)
    model_and_data = " and ".join(dict.fromkeys(trained))  # several where they are averaged all the same
    return escaped(f"{model_and_data} ({condition.title})" if condition.title else model_and_data)


def failed_parts(jobs: Sequence[FailedJob]) -> Iterator[Part]:
    """The jobs that failed, and apart from them those that have not ended: they may be at it right now."""
    failed = [job for job in jobs if job.has_failed]
    if failed:
        yield from heading(f"{count(len(failed), 'job')} failed")
        rows = [Row((job.label, " ".join(job.overrides), one_line(job.reason)), "red") for job in failed]
        yield table(("job", "overrides", "why"), rows[:MOST_FAILED])
        if len(failed) > MOST_FAILED:
            yield sentence(f"and {len(failed) - MOST_FAILED:,} more")
    under_way = [job.label for job in jobs if not job.has_failed]
    if under_way:
        yield from heading("Not ended")
        named = ", ".join(under_way[:MOST_FAILED]) + (" ..." if len(under_way) > MOST_FAILED else "")
        yield sentence(
            f"{count(len(under_way), 'job')} ({named}): stopped, or another process is at it; the command that asked "
            "for them goes on from there"
        )


def one_line(text: str) -> str:
    """A text with its lines and spaces as one line."""
    return " ".join(text.split())


def _mixed_note(answer: SweepAnswer) -> Iterator[str]:
    if len(answer.conditions) > 1:
        yield (
            f"These runs train {len(answer.conditions)} different things, so their LRs are not averaged; "
            "consensus.mix=true would"
        )


def _to_go_on(answer: SweepAnswer, folder: Path | None) -> Iterator[str]:
    """How to go on where a sweep has run out of runs before it was stable."""
    gave_up = [k for k in answer.conditions if k.decision is not None and k.decision.state is State.MAX_RUNS]
    needed = max((condition.consensus.headline.runs_needed or 0 for condition in gave_up), default=0)
    if 0 < needed <= MOST_FURTHER_RUNS:
        runs = (
            max(condition.decision.num_runs for condition in gave_up if condition.decision is not None)
            + needed
        )
        name = (
            "the name of this folder as sweep_name, and" if folder is None else f"sweep_name='{folder.name}'"
        )
        yield f"To go on: the same command with {name} hydra.sweeper.max_runs={runs}"


# ---- one condition


def _condition_parts(
    condition: ConditionAnswer, named: str, names: Names, *, width: int = MOST_WIDTH
) -> Iterator[Part]:
    head = condition.consensus.headline
    yield title(named)
    if condition.runs:
        yield pasted()
        yield from _run_parts(condition, width)
    yield from group_parts(condition.consensus)
    yield from heading("Consensus")
    yield from _consensus_parts(head)
    if condition.mean is not None:
        yield sentence(mean_curve_text(condition.mean, n=head.n), "bold")
    if condition.decision is not None:
        yield sentence(decision_text(condition.decision))
    if condition.length is not None:  # what the range tests say was only the start
        yield from length_parts(condition.length, names)
    else:
        yield from _verdict_parts(condition)
        yield from attribution_parts(condition, names)
        if head.n > 1 and condition.mean is None:  # of one run all choices are the same
            yield from heading("Which LR")
            yield table([""] * 5, guide_rows(head, names))
    if condition.plan is not None:
        yield from plan_parts(condition.plan, names, for_length=condition.length is not None)


def _verdict_parts(condition: ConditionAnswer) -> Iterator[Part]:
    yield from heading("Verdict")
    yield sentence(condition.verdict.summary, f"bold {_LEVEL_COLOURS.get(condition.verdict.level, 'red')}")
    for advice in condition.verdict.advice:
        yield sentence(advice)


def by_run(condition: ConditionAnswer) -> dict[str, list[RunReading]]:
    """The readings of each run, the runs in the order in which they are listed."""
    readings: dict[str, list[RunReading]] = {run: [] for run in condition.runs}
    for reading in condition.readings:
        readings[reading.run].append(reading)
    return readings


def lr_in_group(readings: Sequence[RunReading], label: Mapping[str, object]) -> float | None:
    """The LR of one run under the settings of a group."""
    for reading in readings:
        if all(reading.setting.get(name) == value for name, value in label.items()):
            return reading.headline.lr
    return None


def _run_parts(condition: ConditionAnswer, width: int) -> Iterator[Part]:
    """A row for each run, with its LR in each group where the width has room for them; many runs: the extremes."""
    groups = condition.consensus.groups if len(condition.consensus.groups) > 1 else ()
    labels = [setting_label(group.label) for group in groups]
    if sum(len(label) + 2 for label in labels) > width - _ROOM_OF_A_RUN:
        groups, labels = (), []
    of_run = by_run(condition)

    def row(run: str, note: str = "") -> Row:
        readings, lr = of_run[run], condition.consensus.run_lrs[run]
        if lr is None:
            reason = short(readings[0].headline.reason)
            why = "no answer" + (f": {reason}" if reason else "")
            return Row((condition.runs[run], *[""] * (1 + len(groups)), why), "yellow")
        in_groups = [lr_in_group(readings, group.label) for group in groups]
        cells = ["-" if each is None else format_lr(each) for each in in_groups]
        noted = ", ".join(filter(None, [note, *remarks(condition, run, readings)]))
        return Row((condition.runs[run], format_lr(lr), *cells, noted))

    header = ("run", "LR", *labels, "")
    if len(condition.runs) <= MOST_RUNS:
        yield table(header, [row(run) for run in condition.runs])
        return
    lrs = {run: lr for run in condition.runs if (lr := condition.consensus.run_lrs[run]) is not None}
    if by_lr := sorted(lrs, key=lrs.__getitem__):
        yield table(header, [row(by_lr[0], "lowest"), row(by_lr[-1], "highest")])
    yield sentence(f"{count(len(condition.runs), 'run')}, each with its LR in runs.csv")


def remarks(condition: ConditionAnswer, run: str, readings: Sequence[RunReading]) -> list[str]:
    """What is worth knowing of a run beside its LR."""
    codes = sorted({code.replace("_", " ") for reading in readings for code in reading.findings})
    return [*codes, "another shape than the rest"] if condition.runs[run] in condition.odd else codes


def group_parts(consensus: SweepConsensus) -> Iterator[Part]:
    """The groups beside one another, and how far the LR moves between them on the same curves."""
    if len(consensus.groups) < 2:
        return
    yield from heading("By analysis setting")
    rows = [_group_row(setting_label(group.label), group.consensus) for group in consensus.groups]
    yield table(("setting", "n", "median", "geometric mean", "low", "high", "ratio", ""), rows)
    first = consensus.groups[0].label.get("rule")
    if first is not None and any(group.label.get("rule") != first for group in consensus.groups):
        yield sentence(f"Rules are compared, not averaged: all else here is by {first}, the first one named.")
    yield from _shift_parts(consensus.shifts)


def _group_row(label: str, consensus: Consensus) -> Row:
    lrs = (consensus.median, consensus.geometric_mean, consensus.low, consensus.high)
    ratio = "" if consensus.ratio is None else format_ratio(consensus.ratio)
    return Row((label, str(consensus.n), *("-" if lr is None else format_lr(lr) for lr in lrs), ratio))


def _shift_parts(shifts: Sequence[Shift]) -> Iterator[Part]:
    for shift in shifts:
        if shift.factor is None:
            continue
        before, after = setting_label(shift.before), setting_label(shift.after)
        text = f"from {before} to {after}: the LR of a run times {format_ratio(shift.factor)} (n = {shift.n}"
        if shift.interval is not None:
            low, high = (format_ratio(factor) for factor in shift.interval)
            text += f", 95% interval {low} to {high}"
        yield sentence(f"{text})")


def attribution_parts(condition: ConditionAnswer, names: Names) -> Iterator[Part]:
    """The shares of the sources, the largest in words, and what other rules read off the same curves."""
    from steadylr.core.attribution import ENOUGH_LEVELS
    from steadylr.core.not_split import NotSplit

    attribution = condition.attribution
    if attribution is None:
        return
    yield from heading("Where the spread comes from")
    if isinstance(attribution, NotSplit):
        reason, remedy = not_split_words(attribution, names)
        yield sentence(f"Not known: {reason}. {remedy}".rstrip())
        return
    header = ("source", "share", "95% interval", "seeds", "geometric std", "")
    yield table(header, [_source_row(source) for source in attribution.sources])
    yield sentence(attribution_summary(attribution), "bold")
    yield sentence(attribution_advice(attribution, names))
    few = [f"{s.name} has {s.levels}" for s in attribution.sources if s.used and 0 < s.levels < ENOUGH_LEVELS]
    if few:
        yield sentence(f"Few seeds make wide intervals: {', '.join(few)}; take at least {ENOUGH_LEVELS}.")
    if attribution.fixed:
        yield sentence(f"One seed in all runs, so not in these shares: {', '.join(attribution.fixed)}.")
    yield sentence(
        "Runs that share seeds are not independent: over new seeds the geometric mean has the 95% interval "
        f"{format_lr_range(*attribution.interval)}."
    )
    yield from _shift_parts(condition.rule_shifts)


def _source_row(source: Source) -> Row:
    if not source.used:
        return Row(
            (source.name, format_share(source.share), "", "", "", "unused: nothing draws from it"), "dim"
        )
    low, high = source.interval
    interval = f"{format_share(low)} to {format_share(high)}"
    seeds = str(source.levels) if source.levels else ""
    return Row((source.name, format_share(source.share), interval, seeds, format_ratio(source.geometric_std)))


def _consensus_parts(consensus: Consensus) -> Iterator[Part]:
    yield sentence(runs_with_lr(consensus))
    if consensus.geometric_mean is not None:
        yield table(("", "", ""), consensus_rows(consensus))


def runs_with_lr(consensus: Consensus) -> str:
    """How many runs have an LR, and why the others have none."""
    failures = ", ".join(f"{n} {outcome.replace('_', ' ')}" for outcome, n in consensus.failures.items())
    without = f", {consensus.num_failed} without ({failures})" if consensus.num_failed else ""
    return f"{count(consensus.n, 'run')} with an LR{without}"


def consensus_rows(consensus: Consensus) -> Iterator[Row]:
    """The numbers of a consensus: name, value, remark; none where no run has an LR."""
    mean, median, low, high = consensus.geometric_mean, consensus.median, consensus.low, consensus.high
    if mean is None or median is None or low is None or high is None:
        return
    yield Row(("median", format_lr(median)))
    yield Row(("geometric mean", format_lr(mean), _interval_text(consensus)))
    if consensus.ratio is not None and consensus.n > 1:
        typical = consensus.expected_ratio
        of_five = "" if typical is None else f", {format_ratio(typical)} typical of five runs"
        yield Row(("range", format_lr_range(low, high), f"ratio {format_ratio(consensus.ratio)}{of_five}"))
    if consensus.geometric_std is not None:
        yield Row(("geometric std", f"a factor of {format_ratio(consensus.geometric_std)}"))
    if consensus.leave_one_out is not None and consensus.n > 2:
        yield Row(("leaving one out", format_lr_range(*consensus.leave_one_out), "geometric mean"))


def _interval_text(consensus: Consensus) -> str:
    if consensus.interval is None:
        return "no interval below 3 runs"
    looks = ", corrected for looking repeatedly" if consensus.corrected else ""
    return f"95% interval {format_lr_range(*consensus.interval)}{looks}"


def guide_rows(consensus: Consensus, names: Names) -> Iterator[Row]:
    """Which number for which purpose, the chosen one marked."""
    lrs = {
        "geometric_mean": consensus.geometric_mean,
        "median": consensus.median,
        "conservative": consensus.low,
        "aggressive": consensus.high,
    }
    for purpose, choice, words in GUIDE:
        lr, chosen = lrs[choice], choice == consensus.choose
        cells = (">" if chosen else "", purpose, "" if lr is None else format_lr(lr), words)
        yield Row((*cells, names.choose.format(choice=choice)), "bold" if chosen else "")
