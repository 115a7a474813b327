"""What a sweep costs beside its trainings, as it grows: python benchmarks/growth.py [10 100 1000 10000].

A training is a stub that takes no time and gives a known curve; workers, jobs, files and the answer are real. For each
number of trainings (one job each, seeds only) it prints

    start      seconds from the command to the first training
    driver     milliseconds of CPU time of the command's own process for each training
    per job    milliseconds from command to answer for each training, all processes together, as the clock has it
    answer     seconds from the last training to the end
    memory     of the command's own process at its peak, in MB
    files      the most entries of one folder below outputs/
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve()
SRC = str(HERE.parents[1] / "src")
sys.path.insert(0, SRC)

import steadylr.jobs.workers as workers  # noqa: E402
from steadylr.core.curve import Curve, Stop  # noqa: E402
from steadylr.store.curve_file import RunCurves  # noqa: E402
from steadylr.training import obtain  # noqa: E402

TRAINED = "GROWTH_TRAINED"
"""The environment variable that names the file where each training notes the time of its end."""


def stub(config: Any, training: Any, *, share: Any, report: Any = None) -> RunCurves:
    """A descent and a climb around an LR that the seed moves."""
    n = config.finder.num_iter
    rng = np.random.default_rng(config.seed)
    lr = np.geomspace(config.finder.start_lr, config.finder.end_lr, n)
    x = np.log10(lr)
    middle = -2.5 + 0.2 * rng.normal()
    loss = 2.3 - 1.5 / (1 + np.exp(-4 * (x - middle))) + 3 / (1 + np.exp(-8 * (x - middle - 2.2)))
    seeds = {name: {"seed": seed, "used": name != "augment"} for name, seed in training.seeds.items()}
    with open(os.environ[TRAINED], "a") as file:
        file.write(f"{time.time()}\n")
    curve = Curve(lr, loss + 0.01 * rng.normal(size=n), num_iter=n, stop=Stop.COMPLETED)
    return RunCurves(curve, None, lr[:, None], {"seeds": seeds, "device": {}, "notes": [], "timings": {}})


obtain.train = stub  # type: ignore[assignment]
workers.PRELOADED = "steadylr"  # torch isn't needed here


def sweep(count: int) -> None:
    """Run a sweep of so many seeds in this process, and say on standard error what it took."""
    from steadylr.cli.find_lr import main

    sys.argv[1:] = ["-m", f"seed=range(0,{count})", "model=mlp", "finder.num_iter=60", "device.threads=1"]
    sys.argv += ["sweep_name=x"]
    try:
        main()
    except SystemExit as end:
        used = resource.getrusage(resource.RUSAGE_SELF)
        found = {"code": end.code, "cpu": used.ru_utime + used.ru_stime, "memory": used.ru_maxrss / 1024}
        print(f"\n{json.dumps(found)}", file=sys.stderr)


def measured(count: int) -> dict[str, float]:
    """One sweep in a process and a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        trained = Path(folder, "trained")
        begin = time.time()
        done = subprocess.run(
            [sys.executable, str(HERE), "sweep", str(count)],
            cwd=folder,
            env={**os.environ, TRAINED: str(trained), "OMP_NUM_THREADS": "1", "PYTHONPATH": SRC},
            capture_output=True,
            text=True,
            check=False,
        )
        end = time.time()
        found = json.loads(done.stderr.splitlines()[-1])
        times = [float(line) for line in trained.read_text().splitlines()]
        if found["code"] != 0 or len(times) != count:
            raise SystemExit(
                f"{count} trainings: exit code {found['code']}, {len(times)} done\n{done.stderr}"
            )
        files = max(len(names) + len(inner) for _, inner, names in os.walk(Path(folder, "outputs")))
    return {
        "start": min(times) - begin,
        "driver": 1000 * found["cpu"] / count,
        "per job": 1000 * (end - begin) / count,
        "answer": end - max(times),
        "memory": found["memory"],
        "files": files,
    }


def main() -> None:
    """Measure sweeps of several sizes."""
    counts = [int(text) for text in sys.argv[1:]] or [10, 100, 1000, 10000]
    names = ("start", "driver", "per job", "answer", "memory", "files")
    print(f"{'trainings':>10}" + "".join(f"{name:>10}" for name in names), flush=True)
    for count in counts:
        found = measured(count)
        print(f"{count:>10,}" + "".join(f"{found[name]:>10,.1f}" for name in names), flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["sweep"]:
        sweep(int(sys.argv[2]))
    else:
        main()
