"""The answer of one run as text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from steadylr.core.certainty import factor_95
from steadylr.present.numbers import format_lr, format_lr_range
from steadylr.present.text import Part, Row, heading, pasted, sentence, show, table, title
from steadylr.words.length import holds_for
from steadylr.words.names import COMMAND_LINE

if TYPE_CHECKING:
    from steadylr.answer.reading import Answer
    from steadylr.config.schema import Config
    from steadylr.core.onecycle import Plan
    from steadylr.store.curve_file import RunCurves
    from steadylr.words.names import Names
    from steadylr.words.reading import ToldSuggestion

SEVERAL_RUNS = "-m 'seed=range(0,5)'"


def run_title(config: Config) -> str:
    """Which model, data and seeds: what tells a run from others to a person.

    Streams whose seed is another than the run's are named; the seed alone where all have the same.
    """
    seeds = asdict(config.seeds)
    alike = set(seeds.values())
    seed = alike.pop() if len(alike) == 1 else config.seed
    others = [f"{stream} {own}" for stream, own in seeds.items() if own != seed]
    return f"{config.model.called} on {config.data.called}, {', '.join([f'seed {seed}', *others])}"


def show_run(folder: Path, config: Config, curves: RunCurves, answer: Answer, *, from_store: bool) -> None:
    """Print the answer of a single run, whose files are in a folder."""
    headline = answer.headline
    lr = "no answer" if headline.lr is None else f"LR {format_lr(headline.lr)}"
    notes = (*curves.meta["notes"], *_spread_notes(answer, from_store=from_store))
    show([title(f"{run_title(config)}: {lr}"), pasted(), *answer_parts(answer), *ending(notes, folder)])


def answer_parts(answer: Answer) -> Iterator[Part]:
    """What one curve says: a table of the rules, what is wrong with it, and the plan."""
    headline = answer.headline
    yield table(
        ("", "rule", "LR", "low", "high", ""), [_rule_row(s, answer.rule) for s in _told_apart(answer)]
    )
    if headline.lr is None:
        yield pasted()
        yield sentence(f"No answer: {headline.reason}", "bold red", indent=0)
    findings = [finding for finding in answer.findings if finding.text not in headline.reason]
    if findings:
        yield from heading("Diagnosis")
    for finding in findings:
        yield sentence(f"{_capital(finding.text)} {_capital(finding.advice)}", "yellow")
    if answer.plan is not None:
        yield from plan_parts(answer.plan, COMMAND_LINE)


def _told_apart(answer: Answer) -> tuple[ToldSuggestion, ...]:
    """The suggestions of all rules; the headline alone when none has an answer, all for one reason."""
    suggestions = tuple(answer.suggestions.values())
    alike = len({suggestion.reason for suggestion in suggestions}) == 1
    return (answer.headline,) if alike and answer.headline.lr is None else suggestions


def _rule_row(suggestion: ToldSuggestion, headline: str) -> Row:
    is_headline = suggestion.rule == headline
    mark = ">" if is_headline else ""
    if suggestion.lr is None:
        reason = f"no answer: {short(suggestion.reason)}"
        return Row((mark, suggestion.rule, "", "", "", reason), "bold" if is_headline else "dim")
    lrs = (suggestion.lr, suggestion.low, suggestion.high)
    cells = (mark, suggestion.rule, *("" if lr is None else format_lr(lr) for lr in lrs))
    return Row(cells, "bold" if is_headline else "")


def short(reason: str) -> str:
    """What is wrong, without what to do about it."""
    return reason.partition(": ")[0].partition(". ")[0].rstrip(".")


def _capital(text: str) -> str:
    """Some words as a sentence."""
    text = text.strip()
    if not text:
        return ""
    return text[0].upper() + text[1:] + ("" if text[-1] in ".!?" else ".")


def _spread_notes(answer: Answer, *, from_store: bool) -> Iterator[str]:
    """Where an LR came from, and how one learns how far it can be trusted."""
    if from_store:
        yield "This run came from the store: nothing was trained (store.enabled=false would)."
    if answer.headline.lr is None:
        return
    std = answer.headline.log10_std
    if std is None:
        yield f"One run says nothing about the spread; to see it add {SEVERAL_RUNS}"
    else:
        factor = f"{factor_95(std):.2g}"
        yield f"The mean over seeds lies within a factor of {factor} (19 of 20 runs over our tasks)"
        yield f"To see the spread add {SEVERAL_RUNS}"


def plan_parts(plan: Plan, names: Names, *, for_length: bool = False) -> Iterator[Part]:
    """The schedule, which length it is for, and the line of torch that makes it.

    Args:
        plan: the schedule.
        names: of the door.
        for_length: whether its peak was found for its length; else it is that of range tests.
    """
    yield from heading("OneCycle plan")
    steps = "" if plan.total_steps is None else f" in {plan.total_steps:,} steps"
    lrs = (plan.initial_lr, plan.max_lr, plan.final_lr)
    yield sentence(f"LR {' -> '.join(format_lr(lr) for lr in lrs)} (start, peak, end){steps}")
    if plan.low is not None and plan.high is not None:
        yield sentence(f"range of the peak {format_lr_range(plan.low, plan.high)}")
    if not for_length:
        for words in holds_for(plan.total_steps, names):
            yield sentence(words)
    yield pasted()
    yield pasted(plan.torch_line(), "cyan")


def ending(notes: Sequence[str], folder: Path | None) -> Iterator[Part]:
    """Notes, most of which name a command, and where everything was written."""
    if notes:
        yield pasted()
    for note in notes:
        yield pasted(note)
    if folder is not None:
        yield pasted()
        yield pasted(str(shown_folder(folder)))


def shown_folder(folder: Path) -> Path:
    """A folder as people would type it: from where the command was given, where it lies below."""
    try:
        return folder.resolve().relative_to(Path.cwd())
    except ValueError:
        return folder
