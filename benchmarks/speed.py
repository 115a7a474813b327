"""What steadylr costs, as ratios measured in turns within one run.

    python benchmarks/speed.py                    all of it (about 15 minutes on two cores)
    python benchmarks/speed.py iteration startup  some of it

Every figure is a ratio of medians, one side measured right after the other and in turns, so that it holds on a noisy
machine. `sweep` needs torch-lr-finder: pip install '.[bench]'.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FIND_LR = str(ROOT / "src" / "find_lr.py")
AGGREGATE = str(ROOT / "src" / "aggregate.py")
SWEEP = ["-m", "seed=1,2,3", "finder.smooth_f=0.05,0.15"]


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured ratio beside what it must not exceed; target None means it is only shown."""

    name: str
    value: float
    target: float | None
    note: str = ""

    def __str__(self) -> str:
        verdict = "" if self.target is None else f"  (at most {self.target:.2f}: {self.holds})"
        return f"{self.name:<66} {self.value:6.2f}{verdict}  {self.note}".rstrip()

    @property
    def holds(self) -> str:
        """Whether the target holds, in a word."""
        return "yes" if self.target is None or self.value <= self.target else "NO"


def seconds(command: list[str], *, cwd: str | Path = ROOT) -> float:
    """Wall time of one command, which must succeed."""
    start = time.perf_counter()
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{command} exited with {done.returncode}:\n{done.stdout}{done.stderr}")
    return time.perf_counter() - start


def ratio_in_turns(ours: Callable[[], float], other: Callable[[], float], *, rounds: int) -> tuple[float, float, float]:
    """Median of ours / other over rounds that measure one right after the other, and both medians."""
    pairs = [(ours(), other()) for _ in range(rounds)]
    first, second = (statistics.median(side) for side in zip(*pairs, strict=True))
    return statistics.median(a / b for a, b in pairs), first, second


# ---- one iteration


def iteration() -> Iterator[Figure]:
    """The range test's iteration against the same iteration in a bare PyTorch loop."""
    import torch

    from steadylr.core.divergence import StopRule
    from steadylr.core.ramp import Ramp
    from steadylr.run.models import build_model
    from steadylr.run.range_test import range_test

    torch.set_num_threads(1)
    torch.manual_seed(0)
    steps = 150
    batches = [(torch.randn(64, 1, 28, 28), torch.randint(10, (64,))) for _ in range(steps)]
    loss_fn = torch.nn.CrossEntropyLoss()

    def fresh() -> tuple[torch.nn.Module, torch.optim.Optimizer]:
        model = build_model("small_resnet", num_classes=10, in_channels=1, image_size=28)[0]
        return model, torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9)

    def bare() -> float:
        model, optimizer = fresh()
        model.train()
        start = time.perf_counter()
        for inputs, targets in batches:
            optimizer.zero_grad()
            loss = loss_fn(model(inputs), targets)
            loss.backward()
            optimizer.step()
            loss.item()
        return time.perf_counter() - start

    def ours() -> float:
        model, optimizer = fresh()
        start = time.perf_counter()
        range_test(
            model, optimizer, batches, loss_fn, Ramp(1e-7, 1e-3, steps), stop_rule=StopRule(None), restore=False
        )
        return time.perf_counter() - start

    bare(), ours()
    ratio, first, second = ratio_in_turns(ours, bare, rounds=11)
    note = f"{1e3 * first / steps:.2f} ms against {1e3 * second / steps:.2f} ms"
    yield Figure("one iteration / bare PyTorch loop (small ResNet, batch 64, 1 thread)", ratio, 1.05, note)


# ---- peak memory


def memory() -> Iterator[Figure]:
    """Peak memory of the range test against the bare loop's, each in a process of its own."""
    bare, ours, borrowed = (_peak(kind) for kind in ("bare", "ours", "borrowed"))
    note = f"{ours / 2**20:.2f} GiB against {bare / 2**20:.2f} GiB"
    yield Figure("peak memory / bare loop (100M parameters, AdamW), as find_lr.py runs it", ours / bare, 1.10, note)
    note = "the copy that gives the model back lies in host memory: here the same memory"
    yield Figure("the same as a library call that gives the model back", borrowed / bare, None, note)


def _peak(kind: str) -> float:
    command = [sys.executable, __file__, "--child", f"memory-{kind}"]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def child_memory(kind: str) -> None:
    """Train a model of 100 million parameters for a few steps and print the peak memory in KiB."""
    import torch

    from steadylr.core.divergence import StopRule
    from steadylr.core.ramp import Ramp
    from steadylr.run.range_test import range_test

    width = 5000
    model = torch.nn.Sequential(*[torch.nn.Linear(width, width, bias=False) for _ in range(4)])
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-6)
    batches = [(torch.randn(8, width), torch.randn(8, width)) for _ in range(4)]
    loss_fn = torch.nn.MSELoss()
    if kind == "bare":
        for inputs, targets in batches:
            optimizer.zero_grad()
            loss_fn(model(inputs), targets).backward()
            optimizer.step()
    else:
        ramp = Ramp(1e-7, 1e-5, len(batches))
        restore = kind == "borrowed"
        range_test(model, optimizer, batches, loss_fn, ramp, stop_rule=StopRule(None), restore=restore)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


# ---- starting up


def startup() -> Iterator[Figure]:
    """What a command costs before it does anything."""

    def importing() -> float:
        return seconds([sys.executable, "-c", "import hydra"])

    importing()
    for arguments in (["--help"], ["--cfg", "job"]):

        def ours(arguments: list[str] = arguments) -> float:
            return seconds([sys.executable, FIND_LR, *arguments])

        ours()
        ratio, first, second = ratio_in_turns(ours, importing, rounds=9)
        note = f"{first:.2f} s against {second:.2f} s"
        yield Figure(f"find_lr.py {' '.join(arguments)} / python -c 'import hydra'", ratio, 3.0, note)


# ---- sweeps


def sweep() -> Iterator[Figure]:
    """The sweep of README against a plain script that makes its six runs with torch-lr-finder, one by one."""
    for model, target in (("small_resnet", 0.50), ("small_vit", 0.20)):
        with scratch() as folder:
            ours = seconds([sys.executable, FIND_LR, *SWEEP, f"model={model}", "sweep_name=speed"], cwd=folder)
            again = seconds([sys.executable, FIND_LR, *SWEEP, f"model={model}", "sweep_name=speed"], cwd=folder)
            plain = seconds([sys.executable, str(ROOT / "benchmarks" / "plain_sweep.py"), model], cwd=folder)
        note = f"{ours:.0f} s against {plain:.0f} s"
        yield Figure(f"sweep of six jobs / six runs of torch-lr-finder ({model})", ours / plain, target, note)
        note = f"{again:.1f} s"
        yield Figure(f"the finished sweep run again / its first time ({model})", again / ours, 0.15, note)


def aggregation() -> Iterator[Figure]:
    """aggregate.py over many finished jobs."""
    with scratch() as folder:
        took, peak = {}, {}
        for jobs in (100, 1000, 10_000):
            make_sweep(Path(folder) / "outputs" / "sweeps" / str(jobs), jobs)
            command = [sys.executable, AGGREGATE, f"sweep='outputs/sweeps/{jobs}'"]
            start = time.perf_counter()
            process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)
            _, status, usage = os.wait4(process.pid, 0)
            if status:
                raise SystemExit(f"{command} exited with {os.waitstatus_to_exitcode(status)}")
            took[jobs], peak[jobs] = time.perf_counter() - start, usage.ru_maxrss / 2**20
    note = f"{took[1000]:.1f} s against {took[100]:.1f} s"
    yield Figure("aggregate.py, 1,000 records / 100 records (1,000 points each)", took[1000] / took[100], 10.0, note)
    yield Figure("its peak memory with 1,000 records, GiB", peak[1000], 1.0)
    note = f"{took[10_000]:.0f} s, {peak[10_000]:.2f} GiB"
    yield Figure("aggregate.py, 10,000 records / 1,000 records", took[10_000] / took[1000], None, note)


def make_sweep(folder: Path, jobs: int) -> None:
    """A finished sweep: one real job, copied with other numbers in its curve and record."""
    import numpy as np

    from steadylr.core.curve import Curve
    from steadylr.store.curve_file import RunCurves, load_run_curves, save_run_curves
    from steadylr.store.records import read_record, read_status, write_record, write_status

    template = folder.parent.parent / "template"
    if not template.exists():
        command = [FIND_LR, "device.threads=1", f"hydra.run.dir={template}", "finder.diverge_th=null"]
        seconds([sys.executable, *command], cwd=folder.parent.parent.parent if folder.parent.parent.exists() else None or ".")
    record, status, run = read_record(template), read_status(template), load_run_curves(template / "curve.npz")
    rng = np.random.default_rng(0)
    for number in range(jobs):
        loss = run.curve.loss + rng.normal(0, 0.01, len(run.curve))
        curve = Curve(run.curve.lr, loss, run.curve.num_iter)
        from dataclasses import replace

        key = f"{number:064d}"
        copied = replace(record, job_key=key, run={**record.run, "key": key, "curve_digest": curve.digest()})
        target = folder / str(number)
        save_run_curves(target / "curve.npz", RunCurves(curve, None, run.group_lrs, run.meta))
        write_record(target, copied)
        write_status(target, replace(status, job_key=key))


@contextmanager
def scratch() -> Iterator[str]:
    """A folder that is gone afterwards."""
    folder = tempfile.mkdtemp(prefix="steadylr-speed-")
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


PARTS = {part.__name__: part for part in (iteration, memory, startup, sweep, aggregation)}


def main() -> None:
    """Measure the parts asked for and print one line a figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all by default")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    arguments = parser.parse_args()
    if arguments.child:
        child_memory(arguments.child.removeprefix("memory-"))
        return
    unknown = set(arguments.parts) - set(PARTS)
    if unknown:
        parser.error(f"no part {sorted(unknown)}; choose from {list(PARTS)}")
    figures = []
    for name in arguments.parts or PARTS:
        for figure in PARTS[name]():
            print(figure, flush=True)
            figures.append(figure)
    if arguments.json:
        arguments.json.write_text(json.dumps([{"name": f.name, "value": f.value} for f in figures], indent=2))
    sys.exit(any(figure.holds == "NO" for figure in figures))


if __name__ == "__main__":
    main()
