"""Range tests in two processes at once, on the CPU: what must not depend on how a training is shared."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.precision.amp import MixedPrecision
from torch import nn

from built import batches_of, data_of, model_of, optimizer_of
from steadylr import range_test
from steadylr.core.divergence import StopRule
from steadylr.core.ramp import Ramp
from steadylr.run.device import on_device, place, resolve_device
from steadylr.run.process_group import STRATEGIES, OneDeviceRanks, of_any_rank
from steadylr.run.randomness import Streams, drawing_init, seed_noise
from steadylr.run.ranks import ALONE, Rank

pytestmark = pytest.mark.slow

Measured = dict[str, Any]


def curve(
    rank: Rank,
    strategy: str = "single",
    *,
    optimizer: str = "sgd",
    precision: str = "32",
    accumulation_steps: int = 1,
    restore: bool = False,
    store: Any = None,
) -> Measured:
    """A short run as the application makes it, of a model without BatchNorm or dropout, with augmentation."""
    streams = Streams.same(5)
    device = resolve_device("cpu", precision=precision, threads=1, strategy=strategy, devices=rank.count)
    with on_device(device, rank, store=store) as fabric:
        data = data_of("fashion_mnist_mini", augmented={"RandomHorizontalFlip": {}}, image_size=28)
        batches = batches_of(data.train, batch_size=32, streams=streams, rank=rank, drop_last=True)
        with drawing_init(streams):
            net = model_of("mlp")
        made, ratios = optimizer_of(optimizer, net, lr=1e-3, groups=[("*bias*", 2.0, None)])
        model, placed = place(fabric, device, net, made)
        before = [_local(parameter) for parameter in model.parameters()]
        seed_noise(streams, rank)
        result = range_test(
            model,
            placed,
            batches,
            nn.CrossEntropyLoss(),
            Ramp(1e-4, 0.5, 16),
            lr_ratios=ratios,
            accumulation_steps=accumulation_steps,
            backward=fabric.backward,
            restore=restore,
        )
        after = [_local(parameter) for parameter in model.parameters()]
        alike = [torch.equal(one, two) for one, two in zip(before, after, strict=True)]
    return {
        "loss": result.curve.loss.tolist(),
        "given_back": all(alike),
        "elements": sum(part.numel() for part in after),
    }


def _local(parameter: Any) -> torch.Tensor:
    part = parameter.to_local() if hasattr(parameter, "to_local") else parameter
    return part.detach().clone()


def scaled(rank: Rank, store: Any) -> Measured:
    """Two steps in float16 with Fabric's gradient scaler; in the first the gradients of rank 1 overflow."""
    device = resolve_device("cpu", threads=1, strategy="ddp", devices=2)
    with on_device(device, rank, store=store):
        fabric = Fabric(
            accelerator="cpu",
            devices=1,
            num_nodes=rank.count,
            strategy=STRATEGIES["ddp"](),
            plugins=[OneDeviceRanks(rank), MixedPrecision("16-mixed", "cpu")],
        )
        fabric.launch()
        torch.manual_seed(0)
        model, optimizer = fabric.setup(net := nn.Linear(4, 1), torch.optim.SGD(net.parameters(), lr=1e-3))
        weights = [net.weight.tolist()]
        large = 2000.0 if rank.index == 1 else 0.01
        result = range_test(
            model,
            optimizer,
            [torch.full((2, 4), large), torch.full((2, 4), 0.01), torch.full((2, 4), 0.01)],
            None,
            Ramp(1e-3, 1e-2, 3),
            step=lambda net, batch: net(batch).mean(),
            backward=fabric.backward,
            stop_rule=StopRule(None),
            restore=False,
            on_step=lambda *_: weights.append(net.weight.tolist()),
        )
        scale = fabric.strategy.precision.scaler.get_scale()
    return {"weights": weights, "scale": scale, "loss": result.curve.loss.tolist()}


def stopped(rank: Rank, store: Any) -> Measured:
    """A run in which the loss of rank 1 alone stops being finite."""
    with on_device(resolve_device("cpu", threads=1, strategy="ddp", devices=2), rank, store=store):
        weight = nn.Linear(1, 1)
        values = iter([1.0, 1.0, math.nan, 1.0] if rank.index == 1 else [3.0] * 4)
        result = range_test(
            weight,
            torch.optim.SGD(weight.parameters(), lr=0.1),
            [torch.ones(1, 1)],
            None,
            Ramp(1e-3, 1.0, 4),
            step=lambda net, batch: net(batch).sum() * 0 + next(values),
        )
        used = of_any_rank([rank.index == 1, False], rank, torch.device("cpu"))
    return {
        "loss": [str(value) for value in result.curve.loss],
        "stop": result.curve.stop.value,
        "used": used,
    }


def measure(index: int, folder: str) -> None:
    """What one of two processes does: a range test after the other, each in a group of its own."""
    rank = Rank(index, 2, index, 2, f"{folder}/meeting")
    stores = (torch.distributed.FileStore(f"{folder}/{number}", 2) for number in range(100))
    found = {
        "ddp": curve(rank, "ddp", store=next(stores)),
        "fsdp": curve(rank, "fsdp", optimizer="adamw", store=next(stores)),
        "accumulated": curve(rank, "ddp", accumulation_steps=2, store=next(stores)),
        "bf16 ddp": curve(rank, "ddp", precision="bf16-mixed", store=next(stores)),
        "bf16 fsdp": curve(rank, "fsdp", precision="bf16-mixed", store=next(stores)),
        "lent ddp": curve(rank, "ddp", optimizer="adamw", restore=True, store=next(stores)),
        "lent fsdp": curve(rank, "fsdp", optimizer="adamw", restore=True, store=next(stores)),
        "scaled": scaled(rank, next(stores)),
        "stopped": stopped(rank, next(stores)),
    }
    Path(folder, f"{index}.json").write_text(json.dumps(found))


def test_how_a_training_is_shared_changes_nothing_that_counts(tmp_path: Path) -> None:
    """One test, as starting processes is what takes the time: each statement below is a law of its own."""
    torch.multiprocessing.spawn(measure, args=(str(tmp_path),), nprocs=2)
    first, second = (json.loads((tmp_path / f"{index}.json").read_text()) for index in (0, 1))

    # All ranks have one curve, and it is that of one process up to rounding.
    alone = {optimizer: curve(ALONE, optimizer=optimizer)["loss"] for optimizer in ("sgd", "adamw")}
    accumulated = curve(ALONE, accumulation_steps=2)["loss"]
    for name, wanted in (("ddp", alone["sgd"]), ("fsdp", alone["adamw"]), ("accumulated", accumulated)):
        assert first[name]["loss"] == second[name]["loss"]
        assert first[name]["loss"] == pytest.approx(wanted, rel=1e-4), name
    halves = first["fsdp"]["elements"] + second["fsdp"]["elements"]
    assert halves == first["ddp"]["elements"] == curve(ALONE)["elements"]

    # bfloat16 rounds more, and still trains alike.
    for name in ("bf16 ddp", "bf16 fsdp"):
        assert first[name]["loss"] == pytest.approx(alone["sgd"], rel=0.02)
        assert first[name]["loss"] != first["ddp"]["loss"]

    # A lent model comes back as it was, whole or in parts.
    for name in ("lent ddp", "lent fsdp"):
        assert first[name]["given_back"]
        assert second[name]["given_back"]
    assert not first["ddp"]["given_back"]
    assert first["lent ddp"]["loss"] == pytest.approx(alone["adamw"], rel=1e-4)

    # Where the scaled gradients of one rank overflow, all leave that step out, and halve the scale.
    assert first["scaled"] == second["scaled"]
    assert first["scaled"]["weights"][0] == first["scaled"]["weights"][1] != first["scaled"]["weights"][2]
    assert first["scaled"]["scale"] == 2.0**15

    # One rank's NaN ends the run on both at the same step; what one rank drew, all did.
    assert first["stopped"] == second["stopped"]
    assert first["stopped"] == {"loss": ["2.0", "2.0", "nan"], "stop": "non_finite", "used": [True, False]}
