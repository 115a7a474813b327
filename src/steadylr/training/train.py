"""From a config to the raw numbers of one run: what identifies a training, and how it is done."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING

from steadylr.config.errors import BadInput
from steadylr.present.numbers import count
from steadylr.run.names import STREAMS
from steadylr.run.ranks import ALONE, Rank
from steadylr.training.identity import Training

if TYPE_CHECKING:
    from torch import nn
    from torch._C._distributed_c10d import Store

    from steadylr.config.schema import Config
    from steadylr.present.progress import StepReport
    from steadylr.run.range_test import RangeTest
    from steadylr.store.curve_file import RunCurves


RawRun = tuple["RunCurves", tuple[str, ...]]
"""The raw numbers of a run, and the names of the random streams that something drew from."""


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
            f"average with model.name={config.model.name} and data.image_size={data.image_size}: "
            f"raise data.batch_size to {2 * devices} or more{last}"
        ) from error


def _skipped_note(test: RangeTest) -> Iterator[str]:
    if test.skipped_steps:
        skipped = f"{len(test.skipped_steps)} of {count(len(test.curve), 'update')}"
        yield f"The gradient scaler left out {skipped}, as gradients overflowed in fp16; their points are marked."


def train_rank(
    config: Config,
    training: Training,
    rank: Rank = ALONE,
    *,
    report: StepReport | None = None,
    gpu: int = 0,
    store: Store | None = None,
) -> RawRun:
    """Do one rank's part of a training, in this process.

    Args:
        config: what to train.
        training: describe_training of it; gives the number of threads.
        rank: which process of the training this is. All of them must train to get anywhere.
        report: told after every step.
        gpu: which of this machine's GPUs.
        store: where the ranks meet; None: as the rank says.

    Raises:
        ValueError: data, a model, an optimizer or a device that can't be had as the config says.
        OutOfMemory: it did not fit.
    """
    from steadylr.core.divergence import StopRule
    from steadylr.core.ramp import Ramp
    from steadylr.run.device import memory_errors, on_device, place, resolve_device
    from steadylr.run.options import Options
    from steadylr.run.process_group import of_any_rank
    from steadylr.run.randomness import Streams, seed_noise
    from steadylr.run.range_test import range_test
    from steadylr.store.curve_file import RunCurves
    from steadylr.training.build import build_parts

    begin = time.perf_counter()
    finder = config.finder
    streams = Streams(**training.seeds)
    device = resolve_device(
        config.device.accelerator.value,
        precision=config.device.precision,
        index=gpu,
        threads=training.shape["threads"],
        channels_last=config.device.channels_last,
        deterministic=config.device.deterministic,
        strategy=config.device.strategy.value,
        devices=rank.count,
    )
    with on_device(device, rank, store=store) as fabric:
        parts = build_parts(config, streams=streams, device=device, rank=rank)
        with (
            memory_errors(batch_size=parts.batch_size, accumulation_steps=finder.accumulation_steps),
            too_small_batches(config),
        ):
            model, optimizer = place(fabric, device, parts.model, parts.optimizer)
            seed_noise(streams, rank)
            ready = time.perf_counter()
            ramp = Ramp(finder.start_lr, finder.end_lr, finder.num_iter, finder.step_mode.value)
            options = Options(
                loss_fn=parts.loss_fn,
                step=parts.step,
                stop_rule=StopRule(finder.diverge_th),
                accumulation_steps=finder.accumulation_steps,
                lr_ratios=parts.lr_ratios,
                backward=fabric.backward,
                validate=parts.validate,
                val_every=finder.val_every,
                restore=False,
                on_step=report,
            )
            test = range_test(model, optimizer, parts.batches, ramp, options)
        flags = {**parts.drawn(), "noise": test.noise_used}
        drawn = dict(zip(flags, of_any_rank(list(flags.values()), rank, fabric.device), strict=True))
    meta = {
        "seeds": {name: {"seed": seed, "used": drawn[name]} for name, seed in training.seeds.items()},
        "device": asdict(device),
        "notes": [*parts.notes, *_sharing_notes(parts.model, rank), *_skipped_note(test)],
        "skipped_steps": list(test.skipped_steps),
        "lr_ratios": list(parts.lr_ratios),
        "timings": {"prepare_seconds": ready - begin, "train_seconds": test.seconds},
    }
    used = tuple(name for name in STREAMS if drawn[name])
    return RunCurves(test.curve, test.validation, test.group_lrs, meta), used


def _sharing_notes(model: nn.Module, rank: Rank) -> list[str]:
    """What sharing its batches among devices changes for a model."""
    from torch.nn.modules.batchnorm import _BatchNorm

    if rank.alone or not any(isinstance(module, _BatchNorm) for module in model.modules()):
        return []
    return [
        f"BatchNorm averages over each device's share of a batch (1/{rank.count} of it), so the curve is not quite "
        "that of one device"
    ]
