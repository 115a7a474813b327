"""What steadylr costs, as ratios measured in turns within one run.

    python benchmarks/speed.py                    all of it (about half an hour on two cores)
    python benchmarks/speed.py iteration startup  some of it
    python benchmarks/speed.py gpu                what needs a GPU; nothing without one

Each figure is the median of ratios, one side measured right after the other and each side first in half of the rounds,
so that it holds on a noisy machine. Exit status 1 when a target is missed. `sweep` needs torch-lr-finder:
pip install '.[bench]'.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.optim import Optimizer

    from steadylr.core.suggestion import Suggestion

ROOT = Path(__file__).resolve().parent.parent
FIND_LR = (sys.executable, str(ROOT / "src" / "find_lr.py"))
AGGREGATE = (sys.executable, str(ROOT / "src" / "aggregate.py"))
PLAIN_SWEEP = (sys.executable, str(ROOT / "benchmarks" / "plain_sweep.py"))
SWEEP = ("-m", "seed=1,2,3", "finder.smooth_f=0.05,0.15", "sweep_name=speed")

NO_ANSWER = 3
"""Exit status of a command that did all its work, and found no LR to take."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One figure beside what it must not exceed; target None means that it is only shown."""

    name: str
    value: float
    target: float | None = None
    note: str = ""

    @property
    def holds(self) -> bool:
        """Whether the target, if any, holds."""
        return self.target is None or self.value <= self.target

    def __str__(self) -> str:
        wanted = "" if self.target is None else f"at most {self.target:.2f}: {'yes' if self.holds else 'NO'}"
        return f"{self.name:<72} {self.value:7.2f}  {wanted:<18} {self.note}".rstrip()


@dataclass(frozen=True, slots=True)
class Turns:
    """Times of two sides measured in turns, in seconds; element i of both from the same round."""

    ours: Sequence[float]
    other: Sequence[float]

    @property
    def ratio(self) -> float:
        """The median over rounds of ours / other."""
        return statistics.median(self._ratios())

    @property
    def difference(self) -> float:
        """The median over rounds of ours - other."""
        return statistics.median(ours - other for ours, other in zip(self.ours, self.other, strict=True))

    def note(self, unit: str, factor: float) -> str:
        """Both medians in a unit that has `factor` to the second, and the spread of the ratio."""
        ours, other = (statistics.median(side) * factor for side in (self.ours, self.other))
        ratios = self._ratios()
        text = f"{ours:.2f} {unit} against {other:.2f} {unit}"
        if len(ratios) < 4:
            return text
        low, _, high = statistics.quantiles(ratios, n=4)
        return f"{text}; quartiles of {len(ratios)} ratios {low:.2f} and {high:.2f}"

    def _ratios(self) -> list[float]:
        return [ours / other for ours, other in zip(self.ours, self.other, strict=True)]


def in_turns(ours: Callable[[], float], other: Callable[[], float], *, rounds: int) -> Turns:
    """Measure two sides round by round, each first in every second round; both have been warmed up."""
    pairs = []
    for number in range(rounds):
        if number % 2:
            last = other()
            pairs.append((ours(), last))
        else:
            pairs.append((ours(), other()))
    return Turns(*zip(*pairs, strict=True))


def seconds(command: Sequence[str], *, folder: str | Path = ROOT) -> float:
    """Wall time of one command, which must do its work."""
    return timed(command, folder=folder)[0]


def timed(command: Sequence[str], *, folder: str | Path) -> tuple[float, str]:
    """Wall time of one command, which must do its work, and what it printed."""
    start = time.perf_counter()
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    took = time.perf_counter() - start
    if done.returncode not in (0, NO_ANSWER):
        raise SystemExit(f"{' '.join(command)} exited with {done.returncode}:\n{done.stdout}{done.stderr}")
    return took, done.stdout


# ---- one iteration


def embedded_batches(batch_size: int) -> Any:
    """Batches of the embedded images, as a training makes them."""
    from steadylr.run.datasets import fashion_mnist_mini
    from steadylr.run.randomness import Streams
    from steadylr.run.training_data import train_batches, training_data

    data = training_data(fashion_mnist_mini(), path="fashion_mnist_mini")
    return train_batches(data, batch_size=batch_size, streams=Streams.same(0))


def iteration() -> Iterator[Measured]:
    """The range test's iteration, as find_lr.py runs it, against that of a bare PyTorch loop on the same batches."""
    import torch

    from steadylr.run.models import SmallResNet

    torch.set_num_threads(1)
    torch.manual_seed(0)
    batches = embedded_batches(64)
    loss_fn = torch.nn.CrossEntropyLoss()

    def fresh() -> tuple[nn.Module, Optimizer]:
        model = SmallResNet(10, 1)
        return model, torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9, weight_decay=5e-4)

    turns = iteration_times(fresh, batches, loss_fn, steps=20, rounds=100)
    note = turns.note("ms", 1e3)
    yield Measured(
        "one iteration / bare PyTorch loop (small ResNet, batch 64, 1 thread)", turns.ratio, 1.05, note
    )

    def tiny() -> tuple[nn.Module, Optimizer]:
        model = torch.nn.Linear(1, 1)
        return model, torch.optim.SGD(model.parameters(), lr=1e-3)

    pair = torch.zeros(1, 1), torch.zeros(1, 1)
    turns = iteration_times(tiny, [pair] * 2000, torch.nn.functional.mse_loss, steps=2000, rounds=10)
    note = f"with a model of two parameters: {turns.note('us', 1e6)}"
    yield Measured(
        "what the range test adds to one iteration, in microseconds", turns.difference * 1e6, None, note
    )


def own_code() -> Iterator[Measured]:
    """The same for what users bring: a step on whole batches, and a data set named by a _target_."""
    import torch
    from torch.utils.data import DataLoader, TensorDataset

    from steadylr.run.models import SmallResNet
    from steadylr.run.randomness import Streams
    from steadylr.run.training_data import train_batches, training_data

    torch.set_num_threads(1)
    torch.manual_seed(0)
    loss_fn = torch.nn.CrossEntropyLoss()

    def fresh() -> tuple[nn.Module, Optimizer]:
        model = SmallResNet(10, 1)
        return model, torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9, weight_decay=5e-4)

    def step(model: nn.Module, batch: Any) -> Tensor:
        inputs, targets = batch
        loss: Tensor = loss_fn(model(inputs), targets)
        return loss

    batches = embedded_batches(64)
    turns = iteration_times(fresh, batches, loss_fn, steps=20, rounds=100, step=step)
    yield Measured("one iteration with step= / bare PyTorch loop", turns.ratio, 1.05, turns.note("ms", 1e3))

    inputs, targets = next(iter(embedded_batches(4096)))
    pairs = TensorDataset(inputs, targets)
    own = train_batches(training_data(pairs, path="pairs"), batch_size=64, streams=Streams.same(0))
    plain = DataLoader(pairs, batch_size=64, shuffle=True, drop_last=True)
    turns = iteration_times(fresh, own, loss_fn, steps=20, rounds=100, plain=plain)
    note = turns.note("ms", 1e3)
    yield Measured(
        "one iteration on a data set of one's own / bare loop on a DataLoader", turns.ratio, 1.05, note
    )


def iteration_times(
    fresh: Callable[[], tuple[nn.Module, Optimizer]],
    batches: Any,
    loss_fn: Callable[[Tensor, Tensor], Tensor],
    *,
    steps: int,
    rounds: int,
    step: Callable[[nn.Module, Any], Tensor] | None = None,
    plain: Any = None,
    kind: str = "cpu",
) -> Turns:
    """Seconds an iteration of the range test and of a bare loop, which also zips, reads and keeps its losses.

    With a step the range test takes that; `plain` are the batches of the bare loop, where they are others. On a GPU,
    where models and batches are made, the bare loop reads its losses at the end, so that no step waits.
    """
    import torch

    from steadylr.core.divergence import StopRule
    from steadylr.core.ramp import Ramp
    from steadylr.run.device import on_device, place, resolve_device
    from steadylr.run.options import Options
    from steadylr.run.range_test import range_test

    device = resolve_device(kind, threads=1)
    on_gpu = device.kind == "cuda"

    def bare() -> float:
        model, optimizer = fresh()
        model.train()
        losses: list[Any] = []
        start = time.perf_counter()
        for _, (inputs, targets) in zip(range(steps), batches if plain is None else plain, strict=False):
            optimizer.zero_grad()
            loss = loss_fn(model(inputs), targets)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            losses.append(loss.detach() if on_gpu else loss.item())
        if on_gpu:
            torch.stack(losses).tolist()
        return (time.perf_counter() - start) / steps

    with on_device(device) as fabric:

        def ours() -> float:
            model, optimizer = place(fabric, device, *fresh())
            options = Options(
                loss_fn=loss_fn,
                step=step,
                stop_rule=StopRule(diverge_th=1e9),  # watches, and never stops
                backward=fabric.backward,
                restore=False,
                on_step=lambda step, lr, loss: None,
            )
            start = time.perf_counter()
            range_test(model, optimizer, batches, Ramp(1e-7, 1e-3, steps), options)
            return (time.perf_counter() - start) / steps

        ours(), bare()
        return in_turns(ours, bare, rounds=rounds)


def gpu() -> Iterator[Measured]:
    """The same on the first GPU, for the small ResNet and a ResNet-50 on batches that are there."""
    import torch
    from torchvision.models import resnet50

    from steadylr.run.models import SmallResNet

    if not torch.cuda.is_available():
        print("gpu: no CUDA device here, so nothing was measured", file=sys.stderr)
        return
    loss_fn = torch.nn.CrossEntropyLoss()
    card = torch.cuda.get_device_name(0)
    for name, build, size, channels, classes in (
        ("small ResNet, batch 64", lambda: SmallResNet(10, 1), 28, 1, 10),
        ("ResNet-50, batch 64", lambda: resnet50(num_classes=1000), 224, 3, 1000),
    ):
        torch.manual_seed(0)
        inputs = torch.randn(64, channels, size, size, device="cuda")
        pair = inputs, torch.randint(classes, (64,), device="cuda")

        def fresh(build: Callable[[], nn.Module] = build) -> tuple[nn.Module, Optimizer]:
            model = build().cuda()
            return model, torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9, weight_decay=5e-4)

        turns = iteration_times(fresh, [pair] * 60, loss_fn, steps=60, rounds=20, kind="cuda")
        yield Measured(
            f"one iteration / bare PyTorch loop ({name}, {card})", turns.ratio, 1.02, turns.note("ms", 1e3)
        )


# ---- one iteration of the drop-in for torch-lr-finder


def drop_in() -> Iterator[Measured]:
    """steadylr.compat's range test, with all that it copies and gives back, against a bare PyTorch loop."""
    import torch

    from steadylr.compat import LRFinder, TrainDataLoaderIter
    from steadylr.run.models import SmallResNet

    torch.set_num_threads(1)
    torch.manual_seed(0)
    batches = embedded_batches(64)
    criterion = torch.nn.CrossEntropyLoss()
    steps = 50

    def fresh() -> tuple[nn.Module, Optimizer]:
        model = SmallResNet(10, 1)
        return model, torch.optim.SGD(model.parameters(), lr=1e-7, momentum=0.9, weight_decay=5e-4)

    def bare() -> float:
        model, optimizer = fresh()
        losses = []
        start = time.perf_counter()
        for _, (inputs, labels) in zip(range(steps), batches, strict=False):
            optimizer.zero_grad()
            loss = criterion(model(inputs), labels)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        return (time.perf_counter() - start) / steps

    def ours() -> float:
        finder = LRFinder(*fresh(), criterion)
        start = time.perf_counter()
        finder.range_test(TrainDataLoaderIter(batches), end_lr=1e-3, num_iter=steps, diverge_th=1e9)
        return (time.perf_counter() - start) / steps

    ours(), bare()
    turns = in_turns(ours, bare, rounds=40)
    yield Measured(
        "drop-in for torch-lr-finder / bare PyTorch loop", turns.ratio, 1.05, turns.note("ms", 1e3)
    )


# ---- one iteration of a LightningModule


def lightning() -> Iterator[Measured]:
    """A LightningModule's range test, by itself and in a Trainer, against a bare loop over its training_step."""
    import torch
    from lightning.pytorch import LightningModule, Trainer

    from steadylr.core.divergence import StopRule
    from steadylr.core.ramp import Ramp
    from steadylr.lightning import LRFinderCallback, range_test
    from steadylr.run.lightning_module import quiet_lightning
    from steadylr.run.models import SmallResNet

    class Classifier(LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = SmallResNet(10, 1)

        def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
            return torch.nn.functional.cross_entropy(self.net(batch[0]), batch[1])

        def configure_optimizers(self) -> Optimizer:
            return torch.optim.SGD(self.parameters(), lr=1e-3, momentum=0.9, weight_decay=5e-4)

    steps = 20
    ramp, watching = Ramp(1e-7, 1e-3, steps), StopRule(diverge_th=1e9)  # it watches, and never stops
    torch.set_num_threads(1)
    torch.manual_seed(0)
    batches = embedded_batches(64)
    quiet = ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary")

    def bare() -> float:
        module = Classifier()
        optimizer = module.configure_optimizers()
        losses = []
        start = time.perf_counter()
        for number, batch in zip(range(steps), batches, strict=False):
            optimizer.zero_grad()
            loss = module.training_step(batch, number)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        return (time.perf_counter() - start) / steps

    def by_itself() -> float:
        return range_test(Classifier(), batches, ramp, stop_rule=watching, restore=False).seconds / steps

    def in_trainer() -> float:
        finder = LRFinderCallback(ramp, stop_rule=watching, set_lr=False)
        settings = dict.fromkeys(quiet, False)
        with quiet_lightning(), redirect_stdout(io.StringIO()):
            trainer = Trainer(accelerator="cpu", devices=1, max_epochs=0, callbacks=[finder], **settings)
            trainer.fit(Classifier(), batches)
        assert finder.result is not None
        return finder.result.seconds / steps

    for name, ours in (("", by_itself), (", in a Trainer", in_trainer)):
        ours(), bare()
        turns = in_turns(ours, bare, rounds=50)
        note = turns.note("ms", 1e3)
        yield Measured(f"LightningModule / bare loop over its training_step{name}", turns.ratio, 1.05, note)


# ---- peak memory


def memory() -> Iterator[Measured]:
    """Peak memory of the range test against the bare loop's, each in a process of its own."""
    bare, ours, restored = (peak_gib(kind) for kind in ("bare", "ours", "restored"))
    note = f"{ours:.2f} GiB against {bare:.2f} GiB"
    yield Measured(
        "peak memory / bare loop (100M parameters, AdamW), as find_lr.py runs it", ours / bare, 1.10, note
    )
    note = "on a CPU the copy that is given back lies in the same memory"
    yield Measured("the same as a library call that gives the model back", restored / bare, None, note)


def peak_gib(kind: str) -> float:
    """The peak memory of one process that trains for a few steps."""
    command = [sys.executable, __file__, "--child", kind]
    return float(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)


def train_large(kind: str) -> None:
    """Train a model of 100 million parameters for a few steps: in a bare loop, by a range test, or by one that
    gives the model back; print this process's peak memory in GiB.
    """
    import torch

    from steadylr.core.divergence import StopRule
    from steadylr.core.ramp import Ramp
    from steadylr.run.options import Options
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
        options = Options(loss_fn=loss_fn, stop_rule=StopRule(None), restore=kind == "restored")
        range_test(model, optimizer, batches, ramp, options)
    units = 2**30 if sys.platform == "darwin" else 2**20  # bytes there, KiB elsewhere
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / units)


# ---- starting up


def startup() -> Iterator[Measured]:
    """What a command costs before it does anything."""

    def importing() -> float:
        return seconds([sys.executable, "-c", "import hydra"])

    for arguments in (("--help",), ("--cfg", "job")):

        def ours(arguments: tuple[str, ...] = arguments) -> float:
            return seconds([*FIND_LR, *arguments])

        ours(), importing()
        turns = in_turns(ours, importing, rounds=10)
        name = f"find_lr.py {' '.join(arguments)} / python -c 'import hydra'"
        yield Measured(name, turns.ratio, 3.0, turns.note("s", 1))


# ---- sweeps


def sweep() -> Iterator[Measured]:
    """The sweep of README against a plain script that makes its six runs with torch-lr-finder, one by one."""
    for model, target in (("small_resnet", 0.40), ("small_vit", 0.45)):
        with scratch() as folder:
            yield from sweep_of(model, target, folder)


def single() -> Iterator[Measured]:
    """One run against a plain script that makes one with torch-lr-finder."""
    with scratch() as folder:

        def ours() -> float:
            shutil.rmtree(folder / "outputs", ignore_errors=True)
            return seconds(FIND_LR, folder=folder)

        def plain() -> float:
            return seconds([*PLAIN_SWEEP, "small_resnet", "one"], folder=folder)

        turns = in_turns(ours, plain, rounds=4)
        yield Measured("a single run / one run of torch-lr-finder", turns.ratio, 0.95, turns.note("s", 1))


def sweep_of(model: str, target: float, folder: Path) -> Iterator[Measured]:
    """The figures of one model; every round of ours starts from an empty folder."""
    first: list[float] = []
    again: list[float] = []
    iterations = {"plain": 0, "ours": 0}
    command = [*FIND_LR, *SWEEP, f"model={model}"]

    def ours() -> float:
        shutil.rmtree(folder / "outputs", ignore_errors=True)
        first.append(seconds(command, folder=folder))
        again.append(seconds(command, folder=folder))
        iterations["ours"] = iterations_of(folder / "outputs" / "sweeps" / "speed")
        return first[-1]

    def plain() -> float:
        took, text = timed([*PLAIN_SWEEP, model], folder=folder)
        iterations["plain"] = sum(json.loads(text.splitlines()[-1])["iterations"])
        return took

    turns = in_turns(ours, plain, rounds=2)
    name = f"sweep of six jobs / six runs of torch-lr-finder ({model})"
    note = f"{turns.note('s', 1)}; {iterations['ours']} iterations against {iterations['plain']}"
    yield Measured(name, turns.ratio, target, note)
    repeat = Turns(again, first)
    name = f"the finished sweep run again / its first time ({model})"
    yield Measured(name, repeat.ratio, 0.15, repeat.note("s", 1))


def iterations_of(folder: Path) -> int:
    """How many iterations the distinct runs of a sweep had."""
    from steadylr.store.records import RunRecord

    runs = [RunRecord.read(file.parent).run for file in folder.glob("*/record.json")]
    return sum({run.curve_digest: run.num_points for run in runs}.values())


# ---- aggregates


def aggregation() -> Iterator[Measured]:
    """aggregate.py over many finished jobs."""
    took: dict[int, float] = {}
    peak: dict[int, float] = {}
    with scratch() as folder:
        template = folder / "template"
        command = [*FIND_LR, "finder.diverge_th=null", f"hydra.run.dir={template}"]
        seconds(command, folder=folder)
        for jobs in (100, 1000):
            took[jobs], peak[jobs] = aggregated_copies(template, folder, jobs)
        name = "aggregate.py, 1,000 records of 1,000 points / 100 records"
        note = f"{took[1000]:.1f} s against {took[100]:.1f} s"
        yield Measured(name, took[1000] / took[100], 10.0, note)
        yield Measured("its peak memory with 1,000 records, in GiB", peak[1000], 1.0)
        many, most = aggregated_copies(template, folder, 10_000)
        note = f"{many:.0f} s and {most:.2f} GiB"
        yield Measured("aggregate.py, 10,000 records / 1,000 records", many / took[1000], None, note)


def aggregated_copies(template: Path, folder: Path, count: int) -> tuple[float, float]:
    """Seconds and peak GiB of aggregating so many copies of one job."""
    sweep_folder = folder / "outputs" / "sweeps" / f"of{count}"
    copy_job(template, sweep_folder, count=count)
    return aggregated(folder, f"outputs/sweeps/{sweep_folder.name}")


def aggregated(folder: Path, sweep_folder: str) -> tuple[float, float]:
    """Seconds and peak GiB of one aggregation."""
    command = [*AGGREGATE, f"sweep={sweep_folder}"]
    start = time.perf_counter()
    with (folder / "aggregate.log").open("w+") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=subprocess.STDOUT)
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            process.kill()
            process.wait()
            raise
        process.returncode = os.waitstatus_to_exitcode(status)
        took = time.perf_counter() - start
        if process.returncode not in (0, NO_ANSWER):
            log.seek(0)
            raise SystemExit(f"{' '.join(command)} exited with {process.returncode}:\n{log.read()}")
    return took, usage.ru_maxrss / (2**30 if sys.platform == "darwin" else 2**20)


def copy_job(template: Path, sweep_folder: Path, *, count: int) -> None:
    """A finished sweep over seeds: one real job, copied with its LRs moved and other noise on its losses."""
    import numpy as np

    from steadylr.core.curve import Curve
    from steadylr.store.curve_file import RunCurves
    from steadylr.store.curve_store import STORED_AS, run_key
    from steadylr.store.records import JobStatus, RunRecord

    record, status = RunRecord.read(template), JobStatus.read(template)
    run = RunCurves.load(template / "curve.npz")
    if len(run.curve) != run.curve.num_iter:
        raise SystemExit(f"the run to copy ended after {len(run.curve)} of {run.curve.num_iter} points")
    rng = np.random.default_rng(0)
    for seed in range(count):
        loss = run.curve.loss + rng.normal(0, 0.01, len(run.curve))
        factor = float(np.exp(rng.normal(0, 0.3)))
        curve = Curve(run.curve.lr * factor, loss, run.curve.num_iter, run.curve.stop)
        config = {**record.config, "seed": seed, "seeds": dict.fromkeys(record.config["seeds"], seed)}
        training, own = run.meta[STORED_AS]["training"], config["seeds"]
        read = {"training": training, "finder": config["finder"], "onecycle": config["onecycle"]}
        key = run_key(read, own)
        stored_as = {"training": training, "seeds": own}
        moved_run = RunCurves(curve, None, run.group_lrs * factor, {**run.meta, STORED_AS: stored_as})
        digests = {"curve_digest": curve.digest(), "content_digest": moved_run.digest()}
        facts = record.run.model_copy(update={"key": run_key(training, own), **digests})
        seeds = {name: use.model_copy(update={"seed": seed}) for name, use in record.seeds.items()}
        changes: dict[str, Any] = {
            "run": facts,
            "seeds": seeds,
            "config": config,
            "overrides": [f"seed={seed}"],
        }
        target = sweep_folder / str(seed)
        moved_run.save(target / "curve.npz")
        record.model_copy(update={"job_key": key, **changes}).write(target)
        status.model_copy(update={"job_key": key, "overrides": [f"seed={seed}"]}).write(target)


def moved(found: Suggestion, factor: float) -> Suggestion:
    """A suggestion with all its LRs times a factor."""
    lr, low, high = (None if lr is None else lr * factor for lr in (found.lr, found.low, found.high))
    return replace(found, lr=lr, low=low, high=high)


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder that is gone afterwards."""
    folder = tempfile.mkdtemp(prefix="steadylr-speed-")
    try:
        yield Path(folder)
    finally:
        shutil.rmtree(folder)


PARTS = {
    part.__name__: part
    for part in (iteration, own_code, drop_in, lightning, memory, startup, sweep, single, aggregation, gpu)
}


def main() -> None:
    """Measure the parts asked for and print one line a figure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all by default")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures to this file")
    arguments = parser.parse_args()
    if arguments.child:
        train_large(arguments.child)
        return
    unknown = set(arguments.parts) - set(PARTS)
    if unknown:
        parser.error(f"no part is called {', '.join(sorted(unknown))}; choose from {', '.join(PARTS)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that being stopped leaves no folder behind
    figures = []
    for name in arguments.parts or PARTS:
        for figure in PARTS[name]():
            print(figure, flush=True)
            figures.append(figure)
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(figure) for figure in figures], indent=2) + "\n")
    sys.exit(not all(figure.holds for figure in figures))


if __name__ == "__main__":
    main()
