"""The LR for a long training: what does each way to choose it waste, at equal cost?

    python benchmarks/lengths.py truth      the trainings that judge: half a million steps a task, 2 minutes of a core
    python benchmarks/lengths.py choices    what each method chooses, really training: about as long
    python benchmarks/lengths.py report     no computing: tables and the figure from what is there
    python benchmarks/lengths.py certainty  how often a single range test's own factor holds: some minutes of a core

Each continues where it was stopped: every number is in a row of `lengths_results/`, which is committed.
Remove the files to compute it all anew. Needs `pip install .[bench]`.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import torch

from lengths_parts.certainty import Readings, certainty_lines
from lengths_parts.choices import BUDGETS, Choices, choose
from lengths_parts.methods import METHODS
from lengths_parts.report import report
from lengths_parts.tasks import TASKS
from lengths_parts.truth import Truths, compute

FOLDER = Path(__file__).parent / "lengths_results"
REPEATS = 3


def main() -> int:
    """Compute what is missing, or report."""
    options = _options()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)  # squares of tiny gradients are many times slower else
    truths, choices = Truths(options.results / "truth.csv"), Choices(options.results / "choices.csv")
    if options.what == "report":
        return report(truths, choices, options.out)
    readings = Readings(options.results / "certainty.csv")
    for name in options.tasks:
        start, on_core = time.monotonic(), time.process_time()
        if options.what == "truth":
            number = compute(truths, [name])
        elif options.what == "certainty":
            number = readings.compute(name)
        else:
            repeats = range(1, options.repeats + 1)
            number = choose(choices, name, methods=options.methods, budgets=options.budgets, repeats=repeats)
        seconds, on_core = time.monotonic() - start, time.process_time() - on_core
        print(f"{name}: {number} in {seconds:.0f} s, {on_core:.0f} s of them on the core", flush=True)
    if options.what == "certainty":
        print("\n".join(certainty_lines(readings, options.tasks)))
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = [task.name for task in TASKS]
    parser.add_argument("what", choices=["truth", "choices", "report", "certainty"])
    parser.add_argument("--tasks", nargs="+", default=names, choices=names, metavar="TASK")
    parser.add_argument(
        "--methods", nargs="+", default=list(METHODS), choices=list(METHODS), metavar="METHOD"
    )
    parser.add_argument("--budgets", nargs="+", type=int, default=BUDGETS, choices=BUDGETS, help="percent")
    parser.add_argument("--repeats", type=int, default=REPEATS, help="of each choice, with other seeds")
    parser.add_argument("--results", type=Path, default=FOLDER, help="where the numbers are")
    parser.add_argument(
        "--out", type=Path, default=Path("outputs/lengths"), help="where tables and figure go"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
