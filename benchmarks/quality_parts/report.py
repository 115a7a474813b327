"""The tables: all rules, ours and the peers', on the tuning tasks and on those set aside."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from quality_parts.candidates import CANDIDATES
from quality_parts.evaluate import (
    Answers,
    Regret,
    RuleFunction,
    Score,
    answers_of,
    mean_curve_answers,
    oracle_answers,
    peer_answers,
    read_curves,
    read_truths,
    score,
)
from steadylr.core.rules import DEFAULT_RULE, RULES, suggest

if TYPE_CHECKING:
    from quality_parts.tasks import Task

PEER_NAMES = ("torch-lr-finder", "fastai", "lightning", "ignite")
BOOTSTRAP_SEED = 20_260_101
TOGETHER = (3, 5)
"""Runs of a consensus."""

GROUPS = ("aside", "tuning")


def report(
    folder: Path,
    tasks: Sequence[Task],
    *,
    out: Path,
    seeds: int,
    seeds_aside: int,
    iterations: Sequence[int],
    candidates: Sequence[str] = (),
) -> int:
    """Print the tables and write quality.md and quality.json; 1 where no task is complete.

    Args:
        folder: the cache.
        tasks: those to look at; the ones without a truth are named and left out.
        out: folder of the two files.
        seeds, seeds_aside: how many seeds to look for, on tuning tasks and on those set aside.
        iterations: the lengths of the range tests.
        candidates: which groups ("tuning", "aside") the experimental rules are judged on.
    """
    steps = {task.name: task.steps for task in tasks}
    truths = read_truths(folder, steps)
    if not truths:
        print("no task has its truth yet: run benchmarks/quality.py without --report first")
        return 1
    missing = [name for name in steps if name not in truths]
    scores: dict[str, list[Score]] = {}
    for group in GROUPS:
        members = {t.name: t.steps for t in tasks if t.group == group and t.name in truths}
        if members:
            number = range(1, (seeds_aside if group == "aside" else seeds) + 1)
            functions = _functions(with_candidates=group in candidates)
            scores[group] = group_scores(folder, members, truths, number, iterations, functions)
    text = "\n".join(_document(tasks, truths, scores, missing))
    print(text)
    out.mkdir(parents=True, exist_ok=True)
    (out / "quality.md").write_text(text + "\n", encoding="utf-8")
    (out / "quality.json").write_text(json.dumps(_plain(truths, scores), indent=1) + "\n", encoding="utf-8")
    return 0


def group_scores(
    folder: Path,
    members: dict[str, int],
    truths: dict[str, Regret],
    seeds: Iterable[int],
    iterations: Sequence[int],
    functions: dict[str, RuleFunction],
) -> list[Score]:
    """All rows of one group of tasks (name -> steps)."""
    rng = np.random.default_rng(BOOTSTRAP_SEED)
    seeds = list(seeds)
    all_answers: list[Answers] = []
    means: list[Answers] = []
    for num_iter in iterations:
        curves = {name: read_curves(folder, name, num_iter, seeds) for name in members}
        all_answers += [answers_of(rule, function, curves, num_iter) for rule, function in functions.items()]
        if all(len(of_task) >= TOGETHER[0] for of_task in curves.values()):
            means += mean_curve_answers(DEFAULT_RULE, curves, num_iter, together=TOGETHER[0], rng=rng)
        for peer in PEER_NAMES:
            all_answers += peer_answers(folder, peer, num_iter, list(members), seeds)
    all_answers += oracle_answers(folder, members)
    # a mean over some of the tasks compares with nothing
    all_answers = [answers for answers in all_answers if set(answers.lrs) == set(members)]
    rows = [
        score(answers, truths, together=together, rng=rng)
        for answers in all_answers
        for together in (1, *TOGETHER)
        if min(len(lrs) for lrs in answers.lrs.values()) >= together and (answers.num_iter or together == 1)
    ]
    return rows + [replace(score(answers, truths, rng=rng), together=TOGETHER[0]) for answers in means]


def _functions(*, with_candidates: bool) -> dict[str, RuleFunction]:
    def named(rule: str) -> RuleFunction:
        return lambda curve: suggest(curve, rule).lr

    functions = {rule: named(rule) for rule in RULES}
    return functions | dict(CANDIDATES) if with_candidates else functions


# ---- text


def _document(
    tasks: Sequence[Task], truths: dict[str, Regret], scores: dict[str, list[Score]], missing: list[str]
) -> Iterable[str]:
    yield "# Quality: what comes of training with the suggested LR"
    yield ""
    yield (
        "Regret of an LR: (loss there - best loss) / (loss at 1e-5 - best loss), in validation loss after a OneCycle "
        "training with that peak. Hit: at most 5%. Close: at most 1%. Worst: the worst run of all. Spread: max / min "
        "over seeds, median over tasks. No answer counts as regret 100%. In brackets: 95% bootstrap interval over "
        "tasks and seeds. Rows that lack a task are left out. "
        "Oracle: the best LR of the grid by independent training seeds, one or all three."
    )
    yield ""
    yield f"torch {version('torch')}, Python {platform.python_version()}, {platform.machine()}, CPU."
    if missing:
        yield f"Not computed yet, and not in the tables: {', '.join(missing)}."
    for group, rows in scores.items():
        n = sum(1 for task in tasks if task.group == group and task.name in truths)
        title = "set aside before any tuning" if group == "aside" else "rules were tuned on these"
        yield ""
        yield f"## {n} tasks, {title}"
        yield from _table([row for row in rows if row.together == 1])
        for together in TOGETHER:
            chosen = [row for row in rows if row.together == together]
            if chosen:
                yield ""
                yield f"Consensus of {together}: geometric means, over subsets of the seeds"
                yield from _table(chosen)
    yield ""
    yield "## Tasks"
    yield ""
    yield "| task | group | batch | steps | best LR | regret at most 1% | at most 5% |"
    yield "|---|---|---|---|---|---|---|"
    for task in tasks:
        if task.name in truths:
            truth = truths[task.name]
            close, hit = (_range(truth.good_range(limit)) for limit in (0.01, 0.05))
            best = f"{truth.best_lr:.1e}"
            yield (
                f"| {task.name} | {task.group} | {task.batch_size} | {task.steps} | {best} | {close} | {hit} |"
            )


def _table(rows: Sequence[Score]) -> Iterable[str]:
    yield ""
    yield "| rule | N | tasks, runs | no answer | hits | close | mean regret | worst | spread | max spread |"
    yield "|---|---|---|---|---|---|---|---|---|---|"
    for row in rows:
        low_high = {key: f"{_percent(v)} [{_percent(row.interval[key][0])}, {_percent(row.interval[key][1])}]"
                    for key, v in (("hits", row.hits), ("close", row.close), ("regret", row.regret))}  # fmt: skip
        yield (
            f"| {row.rule} | {row.num_iter or '-'} | {row.tasks}, {row.runs} | {_percent(row.missing)} "
            f"| {low_high['hits']} | {low_high['close']} | {low_high['regret']} | {_percent(row.worst)} "
            f"| {row.spread:.3g} | {row.max_spread:.3g} |"
        )


def _percent(share: float) -> str:
    return f"{100 * share:.1f}%" if 0 < share < 0.0995 else f"{100 * share:.0f}%"


def _range(ends: tuple[float, float]) -> str:
    return f"{ends[0]:.1e} to {ends[1]:.1e}"


def _plain(truths: dict[str, Regret], scores: dict[str, list[Score]]) -> dict[str, Any]:
    return {
        "truths": {
            name: {"log10_lr": truth.log10_lr.tolist(), "regret": truth.values.tolist()}
            for name, truth in truths.items()
        },
        "scores": {group: [asdict(row) for row in rows] for group, rows in scores.items()},
    }
