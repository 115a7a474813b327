"""find_lr.py with a training that takes no torch and no time: run by tests of sweeps, never collected.

Workers import this module too, as they are started like the program itself. The environment says what goes
wrong: seeds that raise (RAISE), kill their process (DIE), give a flat curve (FLAT) or wait until a file is
there (WAIT, WAIT_FOR). PLAIN=1 leaves out the figures of the jobs, which take most of the time. Every
training that ends adds a line to the file TRAINED.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np

import steadylr.jobs.job as job
import steadylr.jobs.workers as workers
from steadylr.core.curve import Curve, Stop
from steadylr.store.curve_file import RunCurves
from steadylr.store.records import RunRecord
from steadylr.training import obtain


def seeds_in(variable: str) -> set[int]:
    return {int(seed) for seed in os.environ.get(variable, "").split(",") if seed}


def fake_train(config: Any, training: Any, *, share: Any, report: Any = None) -> Any:
    """A curve with a descent and a climb, the same for equal seeds."""
    seed, n = config.seed, config.finder.num_iter
    if seed in seeds_in("RAISE"):
        raise ValueError(f"seed {seed} can't be trained")
    lr = np.geomspace(config.finder.start_lr, config.finder.end_lr, n)
    x = np.log10(lr)
    rng = np.random.default_rng(seed)
    middle = -2.5 + 0.2 * rng.normal()
    loss = 2.3 - 1.5 / (1 + np.exp(-4 * (x - middle))) + 3 / (1 + np.exp(-8 * (x - middle - 2.2)))
    loss = loss + 0.01 * rng.normal(size=n)
    if seed in seeds_in("FLAT"):
        loss = np.full(n, 2.3 + 0.01 * seed)
    for step in range(n):
        time.sleep(0.002)
        if report is not None:
            report(step, float(lr[step]), float(loss[step]))
    if seed in seeds_in("DIE"):
        os.kill(os.getpid(), signal.SIGKILL)
    while seed in seeds_in("WAIT") and not Path(os.environ["WAIT_FOR"]).exists():
        time.sleep(0.02)
    with open(os.environ["TRAINED"], "a") as file:
        file.write(f"{seed}\n")
    curve = Curve(lr, loss, num_iter=n, stop=Stop.COMPLETED)
    meta = {
        "seeds": {name: {"seed": value, "used": name != "augment"} for name, value in training.seeds.items()},
        "device": {},
        "notes": [],
        "timings": {},
    }
    return RunCurves(curve, None, lr[:, None], meta)


obtain.train = fake_train  # type: ignore[assignment]
workers.PRELOADED = "steadylr"  # torch isn't needed here

if os.environ.get("PLAIN"):

    def no_figure(path: Path, *args: Any, **kwargs: Any) -> None:
        path.write_bytes(b"")

    job.draw_run = no_figure

if os.environ.get("COUNT"):
    from hydra._internal.config_loader_impl import ConfigLoaderImpl

    def counted(owner: Any, function: str, name: str) -> None:
        """Have every call of a function leave its name in a file."""
        original = getattr(owner, function)

        def counting(*args: Any, **kwargs: Any) -> Any:
            with open(os.environ["COUNT"], "a") as file:
                file.write(f"{name}\n")
            return original(*args, **kwargs)

        setattr(owner, function, counting)

    counted(ConfigLoaderImpl, "load_sweep_config", "composed")
    counted(job, "check_config", "checked")
    counted(job, "describe_training", "described")
    counted(RunRecord, "read", "record")

if os.environ.get("BREAK_SUMMARY"):
    import steadylr.report.conclude as conclude

    def broken(*args: Any, **kwargs: Any) -> Any:
        raise RuntimeError("the summary broke")

    conclude.answer_sweep = broken  # type: ignore[assignment]

if __name__ == "__main__":
    from steadylr.cli.find_lr import main

    main()
