"""Tables and the figure: the waste of each method at each budget, tasks set aside and others apart."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lengths_parts.choices import BUDGETS, Choice, Choices
from lengths_parts.methods import BASELINES, METHODS, OURS
from lengths_parts.tasks import STEPS, TASKS
from lengths_parts.truth import Truth, Truths
from steadylr.core.curve import FloatArray
from steadylr.present.figures._drawing import BLUE, GREEN, ORANGE, SKY, frame

if TYPE_CHECKING:
    from matplotlib.axes import Axes

GROUPS = {"aside": "Tasks set aside", "tuning": "Tasks that the method was chosen on"}

Wastes = Mapping[tuple[str, int], FloatArray]
"""By method and budget: what each choice wastes, over tasks and repeats."""


def report(truths: Truths, choices: Choices, out: Path) -> int:
    """Write and print lengths.md, draw lengths.png; 1 while nothing is there to report."""
    known = {task.name: Truth.of(truths, task.name) for task in TASKS}
    judged = {name: truth for name, truth in known.items() if truth is not None}
    if not judged:
        print("no task has its truth yet: python benchmarks/lengths.py truth")
        return 1
    chosen = {choice.task for choice in choices} & set(judged)
    falling = {name for name in chosen if judged[name].still_falls}
    lines = [*truth_lines(judged)]
    wastes = {group: _wastes(choices, judged, _names(group) & falling) for group in GROUPS}
    for group, title in GROUPS.items():
        lines += ["", *waste_lines(title, wastes[group], len(_names(group) & falling))]
    flat = chosen - falling
    if flat:
        title = f"Regret where the loss hardly falls any more: {', '.join(sorted(flat))}"
        regrets = _wastes(choices, judged, flat, regret=True)
        lines += ["", *waste_lines(title, regrets, len(flat))]
    lines += ["", *octave_lines(choices, judged)]
    text = "\n".join(lines) + "\n"
    print(text, end="")
    out.mkdir(parents=True, exist_ok=True)
    (out / "lengths.md").write_text(text)
    (out / "lengths.json").write_text(json.dumps(_as_plain(wastes), indent=1) + "\n")
    draw(wastes, out / "lengths.png")
    return 0


def _names(group: str) -> set[str]:
    return {task.name for task in TASKS if task.group == group}


def _wastes(
    choices: Iterable[Choice], truths: Mapping[str, Truth], names: set[str], *, regret: bool = False
) -> Wastes:
    """Each task counts equally: as many of its choices as every task has, and nothing where one has none."""
    found: dict[tuple[str, int], dict[str, list[float]]] = {}
    for choice in sorted(choices, key=lambda choice: choice.repeat):
        if choice.task in names and choice.method in METHODS:
            truth = truths[choice.task]
            value = truth.regret(choice.lr) if regret else truth.wasted(choice.lr)
            own = found.setdefault((choice.method, choice.budget), {name: [] for name in sorted(names)})
            own[choice.task].append(value)
    least = {key: min(len(values) for values in own.values()) for key, own in found.items()}
    return {
        key: np.array([value for values in own.values() for value in values[: least[key]]])
        for key, own in found.items()
        if least[key]
    }


def alternatives() -> tuple[str, ...]:
    """What a user would do instead, by the installed packages."""
    return tuple(name for name in METHODS if name != OURS and name not in BASELINES)


def best_alternative(wastes: Wastes, budget: int, quantile: float) -> tuple[str, float] | None:
    """The alternative with the lowest quantile of waste at a budget, known only afterwards; None without any."""
    values = {
        m: float(np.quantile(wastes[m, budget], quantile)) for m in alternatives() if (m, budget) in wastes
    }
    best = min(values, key=lambda method: values[method], default=None)
    return None if best is None else (best, values[best])


# ---- tables


def truth_lines(truths: Mapping[str, Truth]) -> Iterator[str]:
    """The best LR of each length, and what lower and higher ones waste at the longest, as a markdown table."""
    lengths = next(iter(truths.values())).lengths
    joined = ", ".join(f"{steps:,}" for steps in lengths)
    header = ("task", f"best LR at {joined} steps", f"exponent from {lengths[1]:,}", "best loss there")
    header += (f"wasted at {STEPS:,} by 1/4, 1/2, 2, 4 times the best", "still falls")
    yield f"| {' | '.join(header)} |"
    yield "|---|" + "---|" * (len(header) - 1)
    groups = {task.name: task.group for task in TASKS}
    for name, truth in truths.items():
        lrs = ", ".join(f"{2**valley.best_octave:.1e}" for valley in truth.valleys)
        octaves = math.log2(lengths[-1] / lengths[1])
        exponent = (truth.valleys[1].best_octave - truth.valleys[-1].best_octave) / octaves
        losses = ", ".join(f"{valley.bottom:.3f}" for valley in truth.valleys)
        best = truth.valleys[-1].best_octave
        away = ", ".join(f"{truth.wasted(2 ** (best + octave)):.0%}" for octave in (-2, -1, 1, 2))
        aside = " (set aside)" if groups[name] == "aside" else ""
        yield f"| {name}{aside} | {lrs} | {exponent:.2f} | {losses} | {away} | {'yes' if truth.still_falls else 'no'} |"


def waste_lines(title: str, wastes: Wastes, num_tasks: int) -> Iterator[str]:
    """Median and 90th percentile by method and budget, as a markdown table."""
    numbers = [max((len(wastes[m, b]) for m in METHODS if (m, b) in wastes), default=0) for b in BUDGETS]
    of_each = ", ".join(f"{number} at {budget}%" for number, budget in zip(numbers, BUDGETS, strict=True))
    yield f"{title}: {num_tasks} tasks; choices of each method: {of_each}; median, 90th percentile"
    yield ""
    yield "| method | " + " | ".join(f"{budget}%" for budget in BUDGETS) + " |"
    yield "|---|" + "---|" * len(BUDGETS)
    for method in METHODS:
        cells = [_cell(wastes.get((method, budget))) for budget in BUDGETS]
        yield f"| {f'**{method}**' if method == OURS else method} | " + " | ".join(cells) + " |"
    best = [[best_alternative(wastes, budget, q) for q in (0.5, 0.9)] for budget in BUDGETS]
    cells = [", ".join("-" if one is None else f"{one[1]:.0%}" for one in pair) for pair in best]
    yield "| best of the last " + f"{len(alternatives())}, known afterwards | " + " | ".join(cells) + " |"


def octave_lines(choices: Iterable[Choice], truths: Mapping[str, Truth]) -> Iterator[str]:
    """How far this project's answers lie from the best LR, over tasks, as a markdown table."""
    yield "Octaves of *for a length* above the best LR: mean and standard deviation over tasks, of each task's mean"
    yield ""
    yield "| tasks | " + " | ".join(f"{budget}%" for budget in BUDGETS) + " |"
    yield "|---|" + "---|" * len(BUDGETS)
    own = [choice for choice in choices if choice.method == OURS and choice.lr is not None]
    for group, title in GROUPS.items():
        cells = []
        for budget in BUDGETS:
            away: dict[str, list[float]] = {}
            for choice in own:
                if choice.budget == budget and choice.task in _names(group) & set(truths):
                    best = truths[choice.task].valleys[-1].best_octave
                    away.setdefault(choice.task, []).append(math.log2(choice.lr or math.nan) - best)
            means = [float(np.mean(octaves)) for octaves in away.values()]
            cells.append(
                f"{np.mean(means):+.2f}, {np.std(means, ddof=1):.2f} ({len(means)})"
                if len(means) > 1
                else "-"
            )
        yield f"| {title} | {' | '.join(cells)} |"


def _cell(values: FloatArray | None) -> str:
    if values is None:
        return "-"
    return f"{np.median(values):.0%}, {np.quantile(values, 0.9):.0%}"


def _as_plain(wastes: Mapping[str, Wastes]) -> dict[str, object]:
    return {
        group: {f"{method} at {budget}%": values.tolist() for (method, budget), values in sorted(own.items())}
        for group, own in wastes.items()
    }


# ---- figure

DRAWN = {
    OURS: (BLUE, "this project: for_length"),
    "range test": (GREEN, "range test alone"),
    "range test, fixed exponent": (SKY, "range test and an exponent of 0.32"),
}
OTHERS = (ORANGE, "best of Optuna, halving and grids, known afterwards")
APART = 0.032
"""Between the marks of two methods at one budget, as a share of the axis."""


def draw(wastes: Mapping[str, Wastes], path: Path) -> None:
    """Wasted compute against budget: the median as a dot on a line, and from it up to the 90th percentile."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10.5, 4.6), layout="constrained")
    axes = figure.subplots(1, len(GROUPS), sharey=True)
    for ax, (group, title) in zip(axes, GROUPS.items(), strict=True):
        own = wastes[group]
        frame(ax)
        for place, (method, (colour, label)) in enumerate(DRAWN.items()):
            found = {b: np.quantile(own[method, b], (0.5, 0.9)) for b in BUDGETS if (method, b) in own}
            _marks(ax, found, place, colour, label)
        best = {b: [best_alternative(own, b, q) for q in (0.5, 0.9)] for b in BUDGETS}
        known = {b: np.array([one[1] for one in pair if one]) for b, pair in best.items() if None not in pair}
        _marks(ax, known, len(DRAWN), *OTHERS)
        ax.set_xticks(range(len(BUDGETS)), [f"{budget}%" for budget in BUDGETS])
        ax.set_xlim(-0.4, len(BUDGETS) - 0.6)
        ax.set_ylim(0, 1.03)
        ax.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
        ax.set_xlabel(f"Spent on the choice, of the {STEPS:,} steps planned")
        ax.set_title(title, loc="left", fontsize=11)
    axes[0].set_ylabel("Training wasted by the LR chosen")
    handles, labels = axes[0].get_legend_handles_labels()
    if handles:
        figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False, fontsize=9)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def _marks(ax: Axes, found: Mapping[int, FloatArray], place: int, colour: str, label: str) -> None:
    """One method: each budget's median, and a thin line up to its 90th percentile."""
    if not found:
        return
    shift = (place - len(DRAWN) / 2) * APART * len(BUDGETS)
    x = np.array([BUDGETS.index(budget) for budget in found]) + shift
    median, high = np.array(list(found.values())).T
    ax.vlines(x, median, high, color=colour, linewidth=1.4, alpha=0.6)
    ax.plot(x, high, color=colour, marker="_", markersize=8, linestyle="", markeredgewidth=1.6)
    ax.plot(x, median, color=colour, marker="o", markersize=6, linewidth=1.6, label=label)
