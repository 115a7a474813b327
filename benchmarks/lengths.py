"""The LR for a long training: what does each way to choose it waste, at equal cost?

    python benchmarks/lengths.py truth     the trainings that judge: continues where it was stopped
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

FOLDER = Path(__file__).parent / "lengths_results"


def main() -> int:
    """Compute what is missing, or report."""
    import torch
    from lengths_parts.tasks import TASKS
    from lengths_parts.truth import Truths, compute

    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["truth"])
    parser.add_argument("--tasks", nargs="+", default=[task.name for task in TASKS])
    options = parser.parse_args()
    truths = Truths(FOLDER / "truth.csv")
    for name in options.tasks:
        start, cpu = time.monotonic(), time.process_time()
        compute(truths, [name])
        print(f"{name}: {time.monotonic() - start:.0f} s, {time.process_time() - cpu:.0f} s of it on the core", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
