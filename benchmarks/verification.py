"""How often is the sentence of verify_lr.py right? Simulated on the cache of quality.py; nothing is trained.

    python benchmarks/verification.py --cache outputs/quality

For each task, three seeds define the truth: losses after OneCycle trainings at 21 peak LRs. Three other seeds play the
verification: their losses, linear over log LR, are read at the LRs that verify_lr.py would train at for the consensus
of three range tests. Its sentence is compared with what the truth says about the same suggestions.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np

from quality import ITERATIONS, NUM_SEEDS, chosen_tasks
from quality_parts.compute import GRID, ORACLE_SEEDS, TRUTH_SEEDS, read_truth
from quality_parts.evaluate import Regret, answers_of, read_curves
from quality_parts.tasks import CIFAR10, Task
from steadylr.core.consensus import consensus
from steadylr.core.curve import FloatArray
from steadylr.core.rules import suggest
from steadylr.core.verification import TOLERANCE, Conclusion, Suggested, Verification, lrs_to_try, verify

RUNS = 3
"""Range tests in a consensus."""

SENTENCES = (Conclusion.HARMLESS, Conclusion.ENDS, Conclusion.MOVE)


@dataclass(frozen=True, slots=True)
class Judged:
    """One simulated verification.

    Args:
        task: whose suggestions.
        said: what the verification concluded.
        sure: whether it was sure.
        true: what the fine grid says about the same suggestions.
    """

    task: str
    said: Conclusion
    sure: bool
    true: Conclusion


def main() -> int:
    """Judge all simulated verifications and print how often they were right."""
    options = _options()
    if options.cifar10:
        os.environ[CIFAR10] = str(options.cifar10.resolve())
    tasks = chosen_tasks(options.tasks, quick=False)
    rows = list(simulations(options.cache, tasks, range(1, NUM_SEEDS + 1), shift=options.shift))
    print("\n".join(lines(rows)))
    return 0


def simulations(
    folder: Path, tasks: Iterable[Task], seeds: Iterable[int], *, shift: float = 1.0
) -> Iterator[Judged]:
    """Verify every consensus of three range tests of every task, as far as the cache has what that takes.

    Args:
        folder: the cache.
        tasks: whose numbers are looked for.
        seeds: of the range tests.
        shift: the suggestions are multiplied by this: how good is the sentence when a rule is that far off?
    """
    seeds = list(seeds)
    for task in tasks:
        truth = read_truth(folder, task.name, task.steps, TRUTH_SEEDS)
        trained = read_truth(folder, task.name, task.steps, ORACLE_SEEDS)
        if truth is None or trained is None:
            continue
        for num_iter in ITERATIONS:
            curves = read_curves(folder, task.name, num_iter, seeds)
            lrs = answers_of("default", lambda curve: suggest(curve).lr, {task.name: curves}, num_iter).lrs
            for subset in combinations(
                [lr * shift for lr in lrs.get(task.name, ()) if np.isfinite(lr)], RUNS
            ):
                yield judged(task.name, subset, truth, trained)


def judged(task: str, lrs: tuple[float, ...], truth: FloatArray, trained: FloatArray) -> Judged:
    """Compare the sentence about one consensus with the truth.

    Args:
        task: a name.
        lrs: the suggestions.
        truth, trained: losses of shape (seeds, LRs of GRID), infinite where a training diverged.
    """
    found = consensus(lrs)
    assert found.low is not None
    assert found.lr is not None
    assert found.high is not None
    suggested = Suggested(*(float(f"{lr:.2e}") for lr in (found.low, found.lr, found.high)))
    said = simulated(suggested, trained)
    regrets = Regret.of(truth).at(np.array(suggested.lrs))
    return Judged(task, said.conclusion, said.sure, true_conclusion(regrets))


def simulated(suggested: Suggested, losses: FloatArray) -> Verification:
    """What the verification of a consensus would say, with losses read off those of the grid."""
    initial = float(np.mean(losses[:, 0]))  # at an LR of 1e-5 hardly anything is learned
    capped = np.where(np.isfinite(losses), np.minimum(losses, initial), initial)
    lrs = lrs_to_try(suggested)
    x = np.log10(GRID)
    there = np.array([np.interp(np.log10(lrs), x, row) for row in capped])
    return verify(lrs, there, initial_loss=initial, suggested=suggested)


def true_conclusion(regrets: FloatArray) -> Conclusion:
    """What the regrets of the lowest, the chosen and the highest suggestion amount to."""
    low, chosen, high = (regrets <= TOLERANCE).tolist()
    if not chosen:
        return Conclusion.MOVE
    return Conclusion.HARMLESS if low and high else Conclusion.ENDS


def lines(rows: list[Judged]) -> Iterator[str]:
    """The confusion table, in all and of the sure ones, and the share of right ones by task."""
    tasks = {row.task for row in rows}
    yield f"{len(rows)} verifications of consensuses of {RUNS} runs, {len(tasks)} tasks"
    for name, chosen in (
        ("all", rows),
        ("sure", [row for row in rows if row.sure]),
        ("not sure", [row for row in rows if not row.sure]),
    ):
        yield ""
        yield from _table(name, chosen)
    yield ""
    yield "| task | n | right | sure | right when sure |"
    yield "|---|---|---|---|---|"
    for task in sorted(tasks):
        own = [row for row in rows if row.task == task]
        sure = [row for row in own if row.sure]
        yield f"| {task} | {len(own)} | {_right(own)} | {len(sure) / len(own):.0%} | {_right(sure)} |"


def _table(name: str, rows: list[Judged]) -> Iterator[str]:
    counts: Mapping[tuple[Conclusion, Conclusion], int] = Counter((row.said, row.true) for row in rows)
    yield f"| {name}: said \\ true | {' | '.join(true.value for true in SENTENCES)} | n | right |"
    yield "|---" * (len(SENTENCES) + 3) + "|"
    for said in Conclusion:
        own = [row for row in rows if row.said is said]
        cells = [str(counts[said, true]) for true in SENTENCES]
        yield f"| {said.value} | {' | '.join(cells)} | {len(own)} | {_right(own)} |"
    by_task = [_share([row for row in rows if row.task == task]) for task in {row.task for row in rows}]
    mean = f" (mean over tasks {np.mean(by_task):.0%})" if by_task else ""
    yield f"| in all | {' | '.join('' for _ in SENTENCES)} | {len(rows)} | {_right(rows)}{mean} |"


def _share(rows: list[Judged]) -> float:
    return float(np.mean([row.said is row.true for row in rows]))


def _right(rows: list[Judged]) -> str:
    return f"{_share(rows):.0%}" if rows else "-"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cache", type=Path, default=Path("outputs/quality"), help="the cache of quality.py")
    parser.add_argument("--tasks", nargs="+", help="only these tasks")
    parser.add_argument("--cifar10", type=Path, metavar="FOLDER", help="as for quality.py")
    parser.add_argument("--shift", type=float, default=1.0, help="multiply all suggestions by this")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
