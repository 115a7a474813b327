"""How good are the suggested LRs? Judged by what happens when one trains with them.

    python benchmarks/quality.py --cifar10 FOLDER   everything: an hour on two free cores, less what is in the cache
    python benchmarks/quality.py --quick            four tasks and fewer seeds: within ten minutes on two cores
    python benchmarks/quality.py --report           no computing: the table from what is in the cache

For each task it runs range tests, and short OneCycle trainings over a fine grid of peak LRs, which are the truth. All
numbers are kept in a cache, so that the same command continues after an interruption. Needs `pip install .[bench]`.
FOLDER holds CIFAR-10 as torchvision keeps it (`torchvision.datasets.CIFAR10(FOLDER, download=True)`); without it the
four tasks that need it are left out.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

from quality_parts.compute import ORACLE_SEEDS, TRUTH_SEEDS, Unit, compute_all
from quality_parts.peers import available
from quality_parts.report import PEER_NAMES, report
from quality_parts.studies import (
    draw_settings,
    draw_uncertainty,
    length_lines,
    length_units,
    settings_lines,
    settings_study,
    uncertainty_lines,
    uncertainty_study,
)
from quality_parts.tasks import CIFAR10, QUICK, Task, all_tasks

ITERATIONS = (100, 300, 1000)
NUM_SEEDS = 8
NUM_SEEDS_ASIDE = 30  # at N = 100 and 300, on the tasks set aside
COST = {  # ms per step with one thread, roughly: cheap tasks come first
    "digits-mlp-sgd": 0.5,
    "cancer-table-nesterov-16": 0.6,
    "diabetes-mlp-adamw": 0.8,
    "fashion-mlp-adamw": 1.0,
    "digits-cnn-sgdm-16": 2.0,
    "fashion-cnn-sgdm": 3.6,
    "digits-resnet-rmsprop": 4.2,
    "fashion-cnnbn-nesterov": 7.0,
    "fashion-vit-adamw": 7.0,
    "fashion-resnet-aug-adamw": 8.0,
    "chars2-transformer-rmsprop": 12.0,
    "fashion-cnnbn-sgd-512": 20.0,
    "digits-mlp-adamw-long": 0.6,
    "digits-cnnbn-sgd-32": 1.1,
    "health-table-rmsprop-256": 1.3,
    "fashion-mlp-nesterov-256": 1.4,
    "cifar-cnn-adamw-32": 1.9,
    "cifar-resnet-aug-nesterov": 5.8,
    "code-transformer-adamw": 6.1,
    "cifar-vit-adamw": 6.3,
    "health-table-sgd-128": 0.8,
    "cifar-mlp-sgdm": 1.2,
    "digits-vit-adamw-32": 3.0,
    "digits-resnet-nesterov": 3.1,
    "fashion-cnn-adamw-128": 3.8,
    "code-transformer-sgdm-16": 4.2,
}


def main() -> int:
    """Compute what is missing, then print and write the tables."""
    options = _options()
    if options.cifar10 is not None:
        os.environ[CIFAR10] = str(options.cifar10.resolve())
    tasks = chosen_tasks(options.tasks, quick=options.quick)
    if options.study == "length":
        units = length_units({name: steps_of(name) for name in options.tasks or QUICK})
    else:
        units = all_units(tasks, quick=options.quick, peers=options.peers)
    if not options.report:
        _compute(options.cache, units, workers=options.workers)
    if options.compute_only:
        return 0
    if options.study:
        return _study(options)
    return report(
        options.cache,
        tasks,
        out=options.out or options.cache,
        seeds=NUM_SEEDS,
        seeds_aside=NUM_SEEDS_ASIDE,
        iterations=ITERATIONS,
        candidates=options.candidates,
    )


def chosen_tasks(names: list[str] | None, *, quick: bool) -> list[Task]:
    """The tasks by name; those of --quick, or all.

    Raises:
        ValueError: an unknown name.
    """
    known = {task.name: task for task in all_tasks()}
    wanted = names or (list(QUICK) if quick else list(known))
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise ValueError(f"unknown task {unknown[0]!r}; allowed: {', '.join(known)}")
    lacking = [name for name in wanted if known[name].data == "cifar16" and CIFAR10 not in os.environ]
    if lacking:
        print(f"left out, as they need --cifar10 FOLDER: {', '.join(lacking)}")
        wanted = [name for name in wanted if name not in lacking]
    return [known[name] for name in wanted]


def all_units(tasks: list[Task], *, quick: bool, peers: list[str]) -> list[Unit]:
    """All units in the order in which they are worth having: what every number needs first, cheap tasks first."""
    seeds = 5 if quick else NUM_SEEDS
    tasks = sorted(tasks, key=lambda task: task.steps * COST.get(task.name, 5.0))
    asked = available(peers) if peers else []
    units = [unit for task in tasks for unit in _needed(task, seeds, asked)]
    units += [Unit(t.name, "truth", seed, t.steps) for t in tasks for seed in ORACLE_SEEDS]
    units += [] if quick else _more_seeds(tasks)
    for n in () if quick else ITERATIONS[1:]:
        units += [
            Unit(t.name, "peer", s, n, peer) for t in tasks for peer in asked for s in range(1, seeds + 1)
        ]
    return units


def _more_seeds(tasks: list[Task]) -> list[Unit]:
    more = range(NUM_SEEDS + 1, NUM_SEEDS_ASIDE + 1)
    aside = [task for task in tasks if task.group == "aside"]
    return [Unit(t.name, "range", s, n) for t in aside for n in ITERATIONS[:2] for s in more]


def _needed(task: Task, seeds: int, peers: list[str]) -> list[Unit]:
    """Without these a task is not in the table; the peers' own default is 100 iterations."""
    numbers = range(1, seeds + 1)
    truths = [Unit(task.name, "truth", seed, task.steps) for seed in TRUTH_SEEDS]
    ranges = [Unit(task.name, "range", seed, n) for n in ITERATIONS for seed in numbers]
    return (
        truths + ranges + [Unit(task.name, "peer", s, ITERATIONS[0], peer) for peer in peers for s in numbers]
    )


def steps_of(task: str) -> int:
    """The steps of a task's trainings."""
    return chosen_tasks([task], quick=False)[0].steps


def _study(options: argparse.Namespace) -> int:
    """One of the studies beside the table: settings on the tuning tasks, uncertainty on those set aside."""
    if options.study == "length":
        print(
            "\n".join(length_lines(options.cache, {name: steps_of(name) for name in options.tasks or QUICK}))
        )
        return 0
    out = options.out or options.cache
    if options.study == "uncertainty":
        aside = {t.name: t.steps for t in all_tasks() if t.group == "aside"}
        deviations = uncertainty_study(options.cache, aside, range(1, NUM_SEEDS_ASIDE + 1), ITERATIONS)
        print("\n".join(uncertainty_lines(deviations)))
        draw_uncertainty(deviations, out / "reliability.png")
        return 0
    tuning = {t.name: t.steps for t in all_tasks() if t.group == "tuning"}
    rows = settings_study(options.cache, tuning, range(1, NUM_SEEDS + 1), ITERATIONS)
    print("\n".join(settings_lines(rows)))
    draw_settings(rows, out / "reading-settings.png")
    return 0


def _compute(cache: Path, units: list[Unit], *, workers: int) -> None:
    start = time.monotonic()
    steps = 0
    total = sum(unit.steps for unit in units)
    for done, (unit, seconds) in enumerate(compute_all(cache, units, workers=workers), start=1):
        steps += unit.steps
        if seconds:
            elapsed = time.monotonic() - start
            print(
                f"{done}/{len(units)} units, {steps / total:.0%} of the steps, {elapsed:.0f} s: "
                f"{unit.task} {unit.kind} {unit.peer} N={unit.num_iter} seed={unit.seed} in {seconds:.1f} s",
                flush=True,
            )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="four tasks, five seeds")
    parser.add_argument("--report", action="store_true", help="compute nothing, read the cache only")
    parser.add_argument(
        "--study",
        choices=["settings", "uncertainty", "length"],
        help="instead of the table: what the reading settings do, how sure a curve is, how truths move with length",
    )
    parser.add_argument("--compute-only", action="store_true", help="fill the cache, print no table")
    parser.add_argument("--tasks", nargs="+", help="only these tasks")
    parser.add_argument("--peers", nargs="*", default=list(PEER_NAMES), help="only these peers")
    parser.add_argument(
        "--candidates",
        nargs="*",
        default=[],
        choices=["tuning", "aside"],
        help="judge the experimental rules too, on these tasks",
    )
    parser.add_argument(
        "--cifar10", type=Path, help="the folder with CIFAR-10; its tasks are left out without it"
    )
    parser.add_argument("--workers", type=int, default=2, help="processes side by side, one thread each")
    parser.add_argument("--cache", type=Path, default=Path("outputs/quality"), help="where numbers are kept")
    parser.add_argument("--out", type=Path, help="where quality.md and quality.json go; the cache by default")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
