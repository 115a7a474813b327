"""From a config to the raw numbers of one run: what is trained, on its device, and the range test of it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from steadylr.config.errors import BadInput
from steadylr.present.numbers import count, format_lr
from steadylr.run.ranks import ALONE, Rank
from steadylr.training.identity import Training

if TYPE_CHECKING:
    from torch import nn
    from torch._C._distributed_c10d import Store
    from torch.optim import Optimizer

    from steadylr.config.schema import Config
    from steadylr.core.ramp import Ramp
    from steadylr.present.progress import StepReport
    from steadylr.run.device import Device
    from steadylr.run.fabric import Fabric
    from steadylr.run.options import Options
    from steadylr.run.range_test import RangeTest
    from steadylr.store.curve_file import RunCurves
    from steadylr.training.setup import TrainingSetup


@contextmanager
def too_small_batches(config: Config) -> Iterator[None]:
    """Within this context, BatchNorm's refusal of a batch of one value per channel is explained."""
    try:
        yield
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        data, devices = config.data, config.device.devices
        where = f" on {devices} devices" if devices > 1 else ""
        last = (
            "" if data.drop_last else ", or data.drop_last=true, since an epoch's last batch may be smaller"
        )
        raise BadInput(
            f"data.batch_size={data.batch_size}{where} gives a batch of one image, in which BatchNorm has nothing to "
            f"average with the model {config.model.called} and data.image_size={data.image_size}: "
            f"raise data.batch_size to {2 * devices} or more{last}"
        ) from error


def _skipped_note(test: RangeTest) -> Iterator[str]:
    if test.skipped_steps:
        skipped = f"{len(test.skipped_steps)} of {count(len(test.curve), 'update')}"
        yield f"The gradient scaler left out {skipped}, as gradients overflowed in fp16; their points are marked."


@dataclass(frozen=True, slots=True, eq=False)
class Placed:
    """What one rank trains, on its device: built, wrapped and ready for its first step.

    Args:
        parts: as they were built.
        model, optimizer: of these parts, placed.
        fabric: that placed them.
        device: where.
        rank: whose share of each batch is trained on.
        seeds: of each random stream.
        prepare_seconds: how long it took to get here.
    """

    parts: TrainingSetup
    model: nn.Module
    optimizer: Optimizer
    fabric: Fabric
    device: Device
    rank: Rank
    seeds: Mapping[str, int]
    prepare_seconds: float

    def drawn(self, *, noise: bool) -> dict[str, bool]:
        """Which random streams any rank has drawn from; call it in every rank, after the training."""
        from steadylr.run.process_group import of_any_rank

        flags = {**self.parts.drawn(), "noise": noise}
        drawn = of_any_rank(list(flags.values()), self.rank, self.fabric.device)
        return dict(zip(flags, drawn, strict=True))

    def meta(self, drawn: Mapping[str, bool], *, notes: Iterable[str] = (), seconds: float) -> dict[str, Any]:
        """What a stored training says of itself beside its numbers."""
        return {
            "seeds": {name: {"seed": seed, "used": drawn[name]} for name, seed in self.seeds.items()},
            "device": asdict(self.device),
            "notes": [*self.parts.notes, *notes],
            "timings": {"prepare_seconds": self.prepare_seconds, "train_seconds": seconds},
        }


@contextmanager
def placed(
    config: Config,
    training: Training,
    rank: Rank = ALONE,
    *,
    threads: int,
    gpu: int = 0,
    store: Store | None = None,
) -> Iterator[Placed]:
    """Build what a config asks to train and bring it to its device; errors in this context are explained.

    Args:
        config: what to train.
        training: what identifies it; gives the seeds.
        rank: which process of the training this is. All of them must train to get anywhere.
        threads: of this process.
        gpu: which of this machine's GPUs.
        store: where the ranks meet; None: as the rank says.

    Raises:
        ValueError: data, a model, an optimizer or a device that can't be had as the config says.
        OutOfMemory: it did not fit.
    """
    from steadylr.run.device import memory_errors, on_device, place, resolve_device
    from steadylr.run.randomness import Streams, seed_noise
    from steadylr.training.build import build_setup

    begin = time.perf_counter()
    streams = Streams(**training.seeds)
    device = resolve_device(
        config.device.accelerator.value,
        precision=config.device.precision,
        index=gpu,
        threads=threads,
        channels_last=config.device.channels_last,
        deterministic=config.device.deterministic,
        strategy=config.device.strategy.value,
        devices=rank.count,
    )
    with on_device(device, rank, store=store) as fabric:
        parts = build_setup(config, streams=streams, device=device, rank=rank)
        accumulated = config.finder.accumulation_steps
        with (
            memory_errors(batch_size=parts.batch_size, accumulation_steps=accumulated),
            too_small_batches(config),
        ):
            model, optimizer = place(fabric, device, parts.model, parts.optimizer)
            seed_noise(streams, rank)
            seconds = time.perf_counter() - begin
            yield Placed(parts, model, optimizer, fabric, device, rank, training.seeds, seconds)


def train_rank(
    config: Config,
    training: Training,
    rank: Rank = ALONE,
    *,
    threads: int,
    report: StepReport | None = None,
    gpu: int = 0,
    store: Store | None = None,
) -> RunCurves:
    """Do one rank's part of a range test, in this process; arguments and errors as `placed`.

    Args:
        report: told after every step.
    """
    from steadylr.core.divergence import StopRule
    from steadylr.core.ramp import Ramp
    from steadylr.core.scout import scouted
    from steadylr.run.options import Options
    from steadylr.run.range_test import range_test
    from steadylr.store.curve_file import RunCurves

    finder = config.finder
    ramp = Ramp(finder.start_lr, finder.end_lr, finder.num_iter, finder.step_mode.value)
    with placed(config, training, rank, threads=threads, gpu=gpu, store=store) as ready:
        parts = ready.parts
        options = Options(
            loss_fn=parts.loss_fn,
            step=parts.step,
            stop_rule=StopRule(finder.diverge_th),
            accumulation_steps=finder.accumulation_steps,
            lr_ratios=parts.lr_ratios,
            backward=ready.fabric.backward,
            validate=parts.validate,
            val_every=finder.val_every,
            others=parts.others,
            restore=False,
            on_step=report,
        )
        scout = (
            _scout(ready, replace(ramp, num_iter=finder.scout_steps), options) if finder.scout_steps else None
        )
        if scout is not None:
            ramp = scouted(scout.curve, ramp)
            options = replace(options, on_step=_further(report, ramp.steps.start))
        test = range_test(ready.model, ready.optimizer, parts.batches, ramp, options)
        drawn = ready.drawn(noise=test.noise_used)
    notes = [*_sharing_notes(parts.model, rank), *_scout_note(scout, ramp), *_skipped_note(test)]
    seconds = test.seconds + (0.0 if scout is None else scout.seconds)
    meta = {
        **ready.meta(drawn, notes=notes, seconds=seconds),
        "skipped_steps": list(test.skipped_steps),
        "lr_ratios": list(parts.lr_ratios),
    }
    return RunCurves(test.curve, test.validation, test.group_lrs, meta)


def _scout(ready: Placed, ramp: Ramp, options: Options) -> RangeTest:
    """A range test that leaves model, optimizer, data and random streams as a fresh training finds them."""
    from steadylr.run.range_test import range_test

    alone = replace(options, validate=None, val_every=0, on_step=None, restore=True)
    return range_test(ready.model, ready.optimizer, ready.parts.batches, ramp, alone)


def _further(report: StepReport | None, first: int) -> StepReport | None:
    """A report that counts the steps of the whole ramp, of which the one at `first` is done first."""
    if report is None:
        return None
    return lambda step, lr, loss: report(first + step, lr, loss)


def _scout_note(scout: RangeTest | None, ramp: Ramp) -> Iterator[str]:
    if scout is None:
        return
    steps = count(len(scout.curve), "step")
    if ramp.part is None:
        yield f"A scout of {steps} could not tell which decades matter, so the whole ramp was done."
        return
    first, last = (format_lr(ramp.lr_at(step)) for step in (ramp.steps[0], ramp.steps[-1]))
    yield (
        f"After a scout of {steps} the ramp went from LR {first} to {last} at most: "
        f"{len(ramp.steps):,} of its {ramp.num_iter:,} steps."
    )


def _sharing_notes(model: nn.Module, rank: Rank) -> list[str]:
    """What sharing its batches among devices changes for a model."""
    from torch.nn.modules.batchnorm import _BatchNorm

    if rank.alone or not any(isinstance(module, _BatchNorm) for module in model.modules()):
        return []
    return [
        f"BatchNorm averages over each device's share of a batch (1/{rank.count} of it), so the curve is not quite "
        "that of one device"
    ]
