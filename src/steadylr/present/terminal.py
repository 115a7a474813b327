"""What a person reads on the terminal: the answer of a run or a sweep, and how far the work has come.

Answers go to standard output, progress to standard error. What is meant to be pasted (the torch line, the
folder) is never broken. Where there is no terminal, the same text comes without colours and unbroken.
"""

from __future__ import annotations

import io
import math
import textwrap
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.text import Text

from steadylr.present.numbers import (
    count,
    format_duration,
    format_loss,
    format_lr,
    format_lr_range,
    format_ratio,
    format_share,
    setting_label,
)
from steadylr.present.progress import REFRESH_SECONDS, progress_console
from steadylr.words.names import COMMAND_LINE, Names

if TYPE_CHECKING:
    from steadylr.core.attribution import Attribution, Source
    from steadylr.core.consensus import Consensus
    from steadylr.core.not_split import NotSplit
    from steadylr.core.onecycle import Plan
    from steadylr.core.sweep_consensus import Shift, SweepConsensus
    from steadylr.core.verification import Tried, Verification
    from steadylr.words.consensus import ToldVerdict
    from steadylr.words.reading import ToldFinding, ToldSuggestion

MOST_RUNS = 10  # a table of more runs says less than their extremes
MOST_FAILED = 20
FIRST_SHARE = (
    0.02  # of all steps, before which time says nothing on speed: processes start, first steps are slow
)
LEAST_SHARE = 0.1  # of all steps after that, before the time left is told in a line of its own
_TEXT_WIDTH = 100  # longer lines read badly

_LEVEL_COLOURS = {"tight": "green", "very normal": "green", "normal": "yellow", "too few runs": "yellow"}
"""By the level's text; the others are red. (core's statistics need scipy, which progress bars should not load.)"""


# ---- what is shown


@dataclass(frozen=True, slots=True)
class RunView:
    """The answer of one run.

    Args:
        title: which model, data and seed.
        rule: the headline rule.
        suggestions: one per rule, in the order in which they are shown.
        findings: the diagnosis; empty for a clean curve.
        plan: the plan, or None without an answer.
        folder: where everything was written.
        notes: further sentences, such as that the run came from the store.
    """

    title: str
    rule: str
    suggestions: tuple[ToldSuggestion, ...]
    findings: tuple[ToldFinding, ...] = ()
    plan: Plan | None = None
    folder: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RunRow:
    """One run of a sweep: its LR or why there is none, its LR in each group, remarks such as "noisy"."""

    label: str
    lr: float | None
    reason: str = ""
    by_group: tuple[float | None, ...] = ()
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FailedRow:
    """A job that failed: its number or folder, its overrides, and why."""

    label: str
    reason: str
    overrides: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class KindView:
    """What the runs of one kind (equal but for their seeds) say.

    Args:
        title: which model and data.
        runs: in the order in which they are listed; by_group in the order of the consensus' groups.
        consensus: over the runs, and in each group.
        verdict: how far it may be trusted.
        plan: the plan, or None without an answer.
        stopping: whether it is stable, where that decides how many runs there are.
        attribution: where the spread comes from, or why that can't be told; None where nobody asked.
        rule_shifts: how far other rules are from the headline's; shown beside the attribution.
        names: what the door that shows it calls settings.
    """

    title: str
    runs: tuple[RunRow, ...]
    consensus: SweepConsensus
    verdict: ToldVerdict
    plan: Plan | None = None
    stopping: str = ""
    attribution: Attribution | NotSplit | None = None
    rule_shifts: tuple[Shift, ...] = ()
    names: Names = COMMAND_LINE


@dataclass(frozen=True, slots=True)
class SweepView:
    """The answer of a sweep: one block per kind of run, what failed, what can't be read, where it lies."""

    kinds: tuple[KindView, ...]
    failed: tuple[FailedRow, ...] = ()
    problems: tuple[str, ...] = ()
    folder: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class VerifiedKind:
    """One kind of run with what its trainings say."""

    title: str
    found: Verification


@dataclass(frozen=True, slots=True)
class VerificationView:
    """The answer of a verification.

    Args:
        kinds: one block each.
        steps: of each training.
        judged_by: "validation loss" or "training loss".
        folder: where everything was written.
    """

    kinds: tuple[VerifiedKind, ...]
    steps: int
    judged_by: str
    folder: str = ""


# ---- consoles


def answer_console() -> Console:
    """Standard output."""
    return Console(highlight=False, markup=False, emoji=False)


def print_run(console: Console, view: RunView) -> None:
    """Print the answer of one run."""
    _print(console, _run_lines(view, console))


def print_sweep(console: Console, view: SweepView) -> None:
    """Print the answer of a sweep."""
    _print(console, _sweep_lines(view, console))


def run_text(view: RunView) -> str:
    """The answer of one run as plain text, for a file."""
    return _plain(lambda console: print_run(console, view))


def sweep_text(view: SweepView) -> str:
    """The answer of a sweep as plain text, for a file."""
    return _plain(lambda console: print_sweep(console, view))


def print_verification(console: Console, view: VerificationView) -> None:
    """Print the answer of a verification."""
    _print(console, _verification_lines(view, console))


def verification_text(view: VerificationView) -> str:
    """The answer of a verification as plain text, for a file."""
    return _plain(lambda console: print_verification(console, view))


def _plain(show: Callable[[Console], None]) -> str:
    file = io.StringIO()
    show(
        Console(file=file, force_terminal=False, color_system=None, highlight=False, markup=False, width=200)
    )
    return file.getvalue()


# ---- lines


@dataclass(frozen=True, slots=True)
class _Line:
    """One line of output; a line to paste is never broken, others at the edge of a terminal."""

    text: str = ""
    style: str = ""
    paste: bool = False


def _print(console: Console, lines: Iterable[_Line]) -> None:
    for line in lines:
        for part in _broken(line, console):
            # soft_wrap: rich neither breaks nor crops; a line that was left whole stays whole
            console.print(Text(part, style=line.style), soft_wrap=True)


def _broken(line: _Line, console: Console) -> list[str]:
    """The line, broken where a terminal ends; continued one step further in than it begins."""
    if line.paste or not console.is_terminal:
        return [line.text]
    width = max(20, min(console.width, _TEXT_WIDTH))
    if len(line.text) <= width:
        return [line.text]
    indent = " " * (len(line.text) - len(line.text.lstrip()) + 2)
    return textwrap.wrap(
        line.text, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


def _heading(text: str) -> list[_Line]:
    return [_Line(), _Line(text, "bold")]


@dataclass(frozen=True, slots=True)
class _Row:
    """Cells of a table; tail is text of any length behind the last cell."""

    cells: tuple[str, ...]
    tail: str = ""
    style: str = ""


def _table(header: Sequence[str], rows: Sequence[_Row], console: Console, *, tail: str = "") -> list[_Line]:
    """Aligned columns under a header, tails broken where a terminal ends; tail is the tails' header.

    A column in which nothing stands is left out.
    """
    used = [i for i, _ in enumerate(header) if any(i < len(row.cells) and row.cells[i] for row in rows)]
    cells = [[row.cells[i] for i in used if i < len(row.cells)] for row in rows]
    widths = [
        max(len(header[i]), *(len(line[k]) for line in cells if k < len(line))) for k, i in enumerate(used)
    ]
    names = [*(header[i] for i in used), tail]
    lines = [_Line(_aligned(names, [*widths, 0]).rstrip(), "dim", paste=True)]
    for row, line in zip(rows, cells, strict=True):
        lines += _row_lines(_aligned(line, widths), row, console)
    return lines


def _aligned(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "  " + "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=False))


def _row_lines(text: str, row: _Row, console: Console) -> list[_Line]:
    if not row.tail:
        return [_Line(text.rstrip(), row.style, paste=True)]
    room = min(console.width, _TEXT_WIDTH) - len(text) - 2
    if not console.is_terminal or len(row.tail) <= room:
        return [_Line(f"{text}  {row.tail}", row.style, paste=True)]
    if room < max(24, *map(len, row.tail.split())):
        tails = textwrap.wrap(row.tail, max(16, console.width - 6), break_long_words=False)
        return [
            _Line(part, row.style, paste=True)
            for part in (text.rstrip(), *(f"      {tail}" for tail in tails))
        ]
    first, *others = textwrap.wrap(row.tail, room, break_long_words=False)
    pad = " " * (len(text) + 2)
    return [_Line(part, row.style, paste=True) for part in (f"{text}  {first}", *(pad + o for o in others))]


# ---- one run


def _run_lines(view: RunView, console: Console) -> Iterator[_Line]:
    yield _Line(view.title, "bold")
    yield _Line()
    yield from _table(
        ("", "rule", "LR", "low", "high"), [_rule_row(s, view.rule) for s in view.suggestions], console
    )
    headline = next((s for s in view.suggestions if s.rule == view.rule), None)
    if headline is not None and headline.lr is None:
        yield _Line()
        yield _Line(f"No answer: {headline.reason}", "bold red")
    if view.findings:
        yield from _heading("Diagnosis")
        for finding in view.findings:
            yield _Line(f"  {_sentence(finding.text)} {_sentence(finding.advice)}", "yellow")
    if view.plan is not None:
        yield from _plan_lines(view.plan)
    yield from _ending(view.notes, view.folder)


def _rule_row(suggestion: ToldSuggestion, headline: str) -> _Row:
    is_headline = suggestion.rule == headline
    mark = ">" if is_headline else ""
    if suggestion.lr is None:
        tail = f"no answer: {_short(suggestion.reason)}"
        return _Row((mark, suggestion.rule), tail, "bold" if is_headline else "dim")
    lrs = (suggestion.lr, suggestion.low, suggestion.high)
    cells = (mark, suggestion.rule, *("" if lr is None else format_lr(lr) for lr in lrs))
    return _Row(cells, style="bold" if is_headline else "")


def _short(reason: str) -> str:
    """What is wrong, without what to do about it."""
    return reason.partition(": ")[0].partition(". ")[0].rstrip(".")


def _sentence(text: str) -> str:
    text = text.strip()
    if not text:
        return ""
    return text[0].upper() + text[1:] + ("" if text[-1] in ".!?" else ".")


def _plan_lines(plan: Plan) -> Iterator[_Line]:
    yield from _heading("OneCycle plan")
    steps = "" if plan.total_steps is None else f" in {plan.total_steps:,} steps"
    lrs = (plan.initial_lr, plan.max_lr, plan.final_lr)
    yield _Line(f"  LR {' -> '.join(format_lr(lr) for lr in lrs)} (start, peak, end){steps}")
    if plan.low is not None and plan.high is not None:
        yield _Line(f"  range of the peak {format_lr_range(plan.low, plan.high)}")
    yield _Line()
    yield _Line(plan.torch_line(), "cyan", paste=True)


def _ending(notes: Sequence[str], folder: str) -> Iterator[_Line]:
    if notes:
        yield _Line()
    for note in notes:
        yield _Line(note, paste=True)  # most name a command
    if folder:
        yield _Line()
        yield _Line(folder, paste=True)


# ---- a sweep


def _sweep_lines(view: SweepView, console: Console) -> Iterator[_Line]:
    for number, kind in enumerate(view.kinds):
        if number:
            yield _Line()
        yield from _kind_lines(kind, console)
    if view.failed:
        yield from _heading(f"{count(len(view.failed), 'job')} failed")
        shown = view.failed[:MOST_FAILED]
        rows = [_Row((job.label, " ".join(job.overrides)), _one_line(job.reason), "red") for job in shown]
        yield from _table(("job", "overrides"), rows, console, tail="why")
        if len(view.failed) > MOST_FAILED:
            yield _Line(f"  and {len(view.failed) - MOST_FAILED:,} more")
    if view.problems:
        yield from _heading("Left out")
        for problem in view.problems:
            yield _Line(f"  {_one_line(problem)}", "red")
    yield from _ending(view.notes, view.folder)


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _kind_lines(kind: KindView, console: Console) -> Iterator[_Line]:
    yield _Line(kind.title, "bold")
    if kind.runs:
        yield _Line()
        yield from _run_table(kind, console)
    yield from _group_lines(kind.consensus, console)
    yield from _heading("Consensus")
    yield from _consensus_lines(kind.consensus.headline, console)
    if kind.stopping:
        yield _Line(f"  {kind.stopping}")
    yield from _heading("Verdict")
    yield _Line(f"  {kind.verdict.summary}", f"bold {_LEVEL_COLOURS.get(kind.verdict.level.value, 'red')}")
    for advice in kind.verdict.advice:
        yield _Line(f"  {advice}")
    yield from _attribution_lines(kind, console)
    if kind.consensus.headline.n:
        yield from _guide_lines(kind.consensus.headline, kind.names, console)
    if kind.plan is not None:
        yield from _plan_lines(kind.plan)


def _run_table(kind: KindView, console: Console) -> Iterator[_Line]:
    groups = kind.consensus.groups
    labels = [setting_label(group.label) for group in groups] if len(groups) > 1 else []
    room = min(console.width, _TEXT_WIDTH) if console.is_terminal else _TEXT_WIDTH
    if sum(len(label) + 2 for label in labels) > room - 30:
        labels = []
    header = ("run", "LR", *labels)
    if len(kind.runs) <= MOST_RUNS:
        yield from _table(header, [_run_row(run, with_groups=bool(labels)) for run in kind.runs], console)
        return
    found = sorted((run for run in kind.runs if run.lr is not None), key=lambda run: run.lr or 0.0)
    if found:
        extremes = [("lowest", found[0]), ("highest", found[-1])]
        rows = [_run_row(run, with_groups=bool(labels), note=note) for note, run in extremes]
        yield from _table(header, rows, console)
    yield _Line(f"  {count(len(kind.runs), 'run')}, each with its LR in runs.csv")


def _run_row(run: RunRow, *, with_groups: bool, note: str = "") -> _Row:
    by_group = ["-" if lr is None else format_lr(lr) for lr in run.by_group] if with_groups else []
    remarks = ", ".join(part for part in (note, *run.remarks) if part)
    if run.lr is None:
        reason = _short(run.reason)
        return _Row((run.label,), "no answer" + (f": {reason}" if reason else ""), "yellow")
    return _Row((run.label, format_lr(run.lr), *by_group), remarks)


def _group_lines(found: SweepConsensus, console: Console) -> Iterator[_Line]:
    """The groups beside one another, and how far the LR moves between them on the same curves."""
    if len(found.groups) < 2:
        return
    yield from _heading("By analysis setting")
    rows = [_group_row(setting_label(group.label), group.consensus) for group in found.groups]
    yield from _table(("setting", "n", "median", "geometric mean", "low", "high", "ratio"), rows, console)
    for shift in found.shifts:
        if shift.factor is not None:
            yield _Line(f"  {_shift_text(shift)}")


def _group_row(label: str, found: Consensus) -> _Row:
    lrs = (found.median, found.geometric_mean, found.low, found.high)
    ratio = "" if found.ratio is None else format_ratio(found.ratio)
    return _Row((label, str(found.n), *("-" if lr is None else format_lr(lr) for lr in lrs), ratio))


def _shift_text(shift: Shift) -> str:
    before, after = setting_label(shift.before), setting_label(shift.after)
    text = f"from {before} to {after}: the LR of a run times {format_ratio(shift.factor or 1.0)}"
    if shift.interval is None:
        return f"{text} (n = {shift.n})"
    low, high = (format_ratio(factor) for factor in shift.interval)
    return f"{text} (n = {shift.n}, 95% interval {low} to {high})"


def _attribution_lines(kind: KindView, console: Console) -> Iterator[_Line]:
    """The shares of the sources, the largest in words, and what other rules read off the same curves."""
    found = kind.attribution
    if found is None:
        return
    from steadylr.core.attribution import ENOUGH_LEVELS
    from steadylr.core.not_split import NotSplit
    from steadylr.words.attribution import attribution_advice, attribution_summary, not_split_words

    yield from _heading("Where the spread comes from")
    if isinstance(found, NotSplit):
        reason, remedy = not_split_words(found, kind.names)
        yield _Line(f"  Not known: {reason}. {remedy}".rstrip())
        return
    header = ("source", "share", "95% interval", "seeds", "geometric std")
    yield from _table(header, [_source_row(source) for source in found.sources], console)
    yield _Line(f"  {attribution_summary(found)}", "bold")
    yield _Line(f"  {attribution_advice(found, kind.names)}")
    few = [f"{s.name} has {s.levels}" for s in found.sources if s.used and 0 < s.levels < ENOUGH_LEVELS]
    if few:
        yield _Line(f"  Few seeds make wide intervals: {', '.join(few)}; take at least {ENOUGH_LEVELS}.")
    if found.fixed:
        yield _Line(f"  One seed in all runs, so not in these shares: {', '.join(found.fixed)}.")
    yield _Line(
        "  Runs that share seeds are not independent: over new seeds the geometric mean has the 95% interval "
        f"{format_lr_range(*found.interval)}."
    )
    for shift in kind.rule_shifts:
        if shift.factor is not None:
            yield _Line(f"  {_shift_text(shift)}")


def _source_row(source: Source) -> _Row:
    if not source.used:
        return _Row((source.name, format_share(source.share)), "unused: nothing draws from it", "dim")
    low, high = source.interval
    interval = f"{format_share(low)} to {format_share(high)}"
    seeds = str(source.levels) if source.levels else ""
    return _Row(
        (source.name, format_share(source.share), interval, seeds, format_ratio(source.geometric_std))
    )


def _consensus_lines(found: Consensus, console: Console) -> Iterator[_Line]:
    failures = ", ".join(
        f"{number} {outcome.replace('_', ' ')}" for outcome, number in found.failures.items()
    )
    without = f", {found.num_failed} without ({failures})" if found.num_failed else ""
    yield _Line(f"  {count(found.n, 'run')} with an LR{without}")
    if found.geometric_mean is None or found.median is None or found.low is None or found.high is None:
        return
    rows = [
        _Row(("median", format_lr(found.median))),
        _Row(("geometric mean", format_lr(found.geometric_mean)), _interval_text(found)),
    ]
    if found.ratio is not None and found.n > 1:
        expected = found.expected_ratio
        of_five = "" if expected is None else f", {format_ratio(expected)} typical of five runs"
        ratio = f"ratio {format_ratio(found.ratio)}{of_five}"
        rows.append(_Row(("range", format_lr_range(found.low, found.high)), ratio))
    if found.geometric_std is not None:
        rows.append(_Row(("geometric std", f"a factor of {format_ratio(found.geometric_std)}")))
    if found.leave_one_out is not None and found.n > 2:
        rows.append(_Row(("leaving one out", format_lr_range(*found.leave_one_out)), "geometric mean"))
    yield from _table(("", ""), rows, console)[1:]


def _interval_text(found: Consensus) -> str:
    if found.interval is not None:
        looks = ", corrected for looking repeatedly" if found.corrected else ""
        return f"95% interval {format_lr_range(*found.interval)}{looks}"
    return "no interval below 3 runs"


def _guide_lines(found: Consensus, names: Names, console: Console) -> Iterator[_Line]:
    """Which number for which purpose, the chosen one marked."""
    from steadylr.words.consensus import GUIDE

    yield from _heading("Which LR")
    lrs = {
        "geometric_mean": found.geometric_mean,
        "median": found.median,
        "conservative": found.low,
        "aggressive": found.high,
    }
    rows = []
    for purpose, choice, words in GUIDE:
        lr, chosen = lrs[choice], choice == found.choose
        cells = (">" if chosen else "", purpose, "" if lr is None else format_lr(lr), words)
        rows.append(_Row(cells, names.choose.format(choice=choice), "bold" if chosen else ""))
    yield from _table(("", "", "", "", ""), rows, console)[1:]


# ---- a verification


def _verification_lines(view: VerificationView, console: Console) -> Iterator[_Line]:
    for number, kind in enumerate(view.kinds):
        if number:
            yield _Line()
        yield from _verified_lines(kind, view, console)
    yield from _ending((), view.folder)


def _verified_lines(kind: VerifiedKind, view: VerificationView, console: Console) -> Iterator[_Line]:
    found = kind.found
    yield _Line(
        f"{kind.title}: {count(view.steps, 'step')} of OneCycle, {count(found.num_seeds, 'seed')}, by {view.judged_by}",
        "bold",
    )
    yield _Line()
    header = ("", "peak LR", "", "loss", "over seeds", "regret", "+-")
    yield from _table(header, [_tried_row(found, tried) for tried in found.tried], console)
    yield from _heading("Verification")
    from steadylr.words.verification import verification_advice, verification_summary

    style = "yellow" if not found.sure else "green" if found.conclusion.value == "harmless" else "red"
    yield _Line(f"  {verification_summary(found)}", f"bold {style}")
    for advice in verification_advice(found):
        yield _Line(f"  {advice}")
    yield _Line()
    yield from _table(("", ""), _verified_rows(found), console)[1:]


def _tried_row(found: Verification, tried: Tried) -> _Row:
    suggested = found.suggested
    names = [
        name
        for name, lr in (("lowest", suggested.low), ("chosen", suggested.chosen), ("highest", suggested.high))
        if found.at(lr) is tried
    ]
    kept = [loss for loss in tried.losses if math.isfinite(loss)]
    spread = f"{format_loss(min(kept))} to {format_loss(max(kept))}" if len(kept) > 1 else ""
    chosen = "chosen" in names
    cells = (
        ">" if chosen else "",
        format_lr(tried.lr),
        ", ".join(names),
        format_loss(tried.loss),
        spread,
        f"{tried.regret:.1%}",
        "" if tried.half_width is None else f"{tried.half_width:.1%}",
    )
    given_up = f"{tried.num_given_up} of {len(tried.losses)} given up" if tried.num_given_up else ""
    best = "best" if tried is found.best else ""
    return _Row(cells, ", ".join(part for part in (best, given_up) if part), "bold" if chosen else "")


def _verified_rows(found: Verification) -> list[_Row]:
    low, high = found.flat_is_open
    ends = " and ".join(name for name, is_open in (("lowest", low), ("highest", high)) if is_open)
    open_text = f"up to the {ends} LR tried: it may go on beyond" if ends else ""
    tried = format_lr_range(found.tried[0].lr, found.tried[-1].lr)
    share = f"{found.sensitivity / found.descent:.1%} of the descent" if found.descent > 0 else ""
    return [
        _Row(("before training", format_loss(found.initial_loss)), "mean loss of the first batch"),
        _Row(("flat region", format_lr_range(*found.flat)), open_text),
        _Row(
            ("LR sensitivity", format_loss(found.sensitivity)),
            ", ".join(filter(None, (share, f"over {tried}"))),
        ),
    ]


# ---- progress


class SweepProgress:
    """One display for a whole sweep: done, running, failed, time left.

    On a terminal a bar on standard error; elsewhere one line there as soon as the time left can be told, and one
    for each run that ends. Use as a context.

    Args:
        total_runs: runs to train.
        total_steps: steps of all of them together, for the time left; without it the runs are counted.
        total_jobs: jobs that wait for these runs, to be named beside them; None for not named.
        console: where; standard error by default.
    """

    def __init__(
        self,
        total_runs: int,
        total_steps: int | None = None,
        *,
        total_jobs: int | None = None,
        console: Console | None = None,
    ) -> None:
        self._console = progress_console() if console is None else console
        self._total_runs = total_runs
        self._total_steps = total_steps
        self._jobs = "" if total_jobs is None else f" ({count(total_jobs, 'job')})"
        self._steps = self._done = self._failed = self._running = 0
        self._started = time.perf_counter()
        self._share_at_start = 0.0
        self._stepping = self._told = False
        self._due = 0.0
        self._progress: Progress | None = None
        if self._console.is_terminal and total_runs:
            self._progress = Progress(
                BarColumn(bar_width=16),
                TextColumn("{task.description}"),
                console=self._console,
                auto_refresh=False,
            )
            self._task = self._progress.add_task("", total=total_steps or total_runs)

    def __enter__(self) -> SweepProgress:
        self._started = time.perf_counter()
        if self._progress is not None:
            self._progress.start()
            self._draw()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._progress is not None:
            self._draw()
            self._progress.stop()

    def update(self, *, steps: int | None = None, running: int | None = None) -> None:
        """Tell how many steps are done, and how many runs train right now.

        Count a run that ended early with all its planned steps, or the time left is too long.
        """
        self._steps = self._steps if steps is None else steps
        self._running = self._running if running is None else running
        now = time.perf_counter()
        if not self._stepping and self._share() >= FIRST_SHARE:
            self._stepping = True
            if self._share() < LEAST_SHARE:  # else runs are so short that their ends tell enough
                self._started, self._share_at_start = now, self._share()
        self._tell_early()
        if now >= self._due:
            self._due = now + REFRESH_SECONDS
            self._draw()

    def _tell_early(self) -> None:
        """One line where there is no terminal, as soon as the time left can be told."""
        if self._progress is not None or self._told or not self._share_at_start:
            return
        if self._share() - self._share_at_start >= LEAST_SHARE and self._done + self._failed == 0:
            self._told = True
            self._console.print(Text(self.text()), soft_wrap=True)

    def run_done(self, label: str = "", *, failed: bool = False) -> None:
        """Tell that a run has ended."""
        self._done += not failed
        self._failed += failed
        self._running = max(0, self._running - 1)
        if self._progress is not None:
            self._draw()
            return
        what = f"run {label}" if label else "run"
        ended = self._done + self._failed
        verb = "failed" if failed else "done"
        text = f"{what} {verb} ({ended} of {self._total_runs}){self._left_text()}"
        self._console.print(Text(text), soft_wrap=True)

    def text(self) -> str:
        """The display's text: "2 of 5 runs done, 2 running, 1 failed, about 3 min left"."""
        parts = [f"{self._done} of {count(self._total_runs, 'run')}{self._jobs} done"]
        if self._running:
            parts.append(f"{self._running} running")
        if self._failed:
            parts.append(f"{self._failed} failed")
        return ", ".join(parts) + self._left_text()

    def _share(self) -> float:
        ended = (self._done + self._failed) / max(self._total_runs, 1)
        if not self._total_steps:
            return ended
        return min(1.0, max(self._steps / self._total_steps, ended))

    def _left_text(self) -> str:
        share = self._share()
        seen = share - self._share_at_start
        if not (seen > 0 and share < 1):
            return ""
        left = (time.perf_counter() - self._started) * (1 - share) / seen
        return f", about {format_duration(left)} left"

    def _draw(self) -> None:
        if self._progress is None:
            return
        total = self._total_steps or self._total_runs
        self._progress.update(self._task, completed=self._share() * total, description=self.text())
        self._progress.refresh()
