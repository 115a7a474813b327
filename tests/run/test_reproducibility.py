from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import nn

from built import batches_of, data_of, model_of, optimizer_of
from steadylr import range_test
from steadylr.core.ramp import Ramp
from steadylr.run.device import on_device, place, resolve_device
from steadylr.run.names import STREAMS
from steadylr.run.randomness import Streams, drawing_init, seed_noise

DRAWING: dict[str, dict[str, Any]] = {"RandomCrop": {"padding": 2}, "RandomHorizontalFlip": {}}


@dataclass(frozen=True)
class Trained:
    digest: str
    used: dict[str, bool]


def train(
    streams: Streams, *, workers: int = 0, augmented: bool = True, dropout: float = 0.2, threads: int = 1
) -> Trained:
    """A short run as the application makes it."""
    data = data_of("fashion_mnist_mini", augmented=DRAWING if augmented else {}, image_size=28)
    device = resolve_device("cpu", threads=threads)
    with on_device(device) as fabric:
        with drawing_init(streams) as init:
            built = model_of("small_resnet", dropout=dropout, widths=[8, 16])
        optimizer, ratios = optimizer_of("sgd", built, lr=0.1, momentum=0.9)
        model, wrapped = place(fabric, device, built, optimizer)
        batches = batches_of(data.train, batch_size=32, streams=streams, workers=workers, drop_last=True)
        seed_noise(streams)
        result = range_test(
            model,
            wrapped,
            batches,
            nn.CrossEntropyLoss(),
            Ramp(1e-4, 1.0, 10),
            lr_ratios=ratios,
            backward=fabric.backward,
            restore=False,
        )
    used = {
        "init": init.used,
        "order": batches.order_used,
        "augment": batches.augment_used,
        "noise": result.noise_used,
    }
    return Trained(result.curve.digest(), used)


@pytest.mark.slow
def test_the_same_seeds_give_the_same_bits_for_any_number_of_workers() -> None:
    """0, 1 and 3 data workers, whatever was drawn before."""
    wanted = train(Streams(0, 1, 2, 3))
    torch.manual_seed(99)
    assert train(Streams(0, 1, 2, 3)) == wanted
    assert train(Streams(0, 1, 2, 3), workers=1) == wanted
    assert train(Streams(0, 1, 2, 3), workers=3) == wanted


@pytest.mark.parametrize("stream", STREAMS)
def test_the_seed_of_each_used_stream_changes_the_curve(stream: str) -> None:
    """All four are used by a model with dropout on augmented data."""
    base = Streams.same(0)
    one = train(base)
    two = train(dataclasses.replace(base, **{stream: 1}))
    assert one.used == dict.fromkeys(STREAMS, True)
    assert one.digest != two.digest


@pytest.mark.parametrize(
    ("stream", "without"), [("augment", {"augmented": False}), ("noise", {"dropout": 0.0})]
)
def test_a_stream_that_nothing_draws_from_is_unused_and_changes_nothing(
    stream: str, without: dict[str, Any]
) -> None:
    """So its seed may be left out of what identifies the run."""
    base = Streams.same(0)
    one = train(base, **without)
    two = train(dataclasses.replace(base, **{stream: 1}), **without)
    assert one.used == {**dict.fromkeys(STREAMS, True), stream: False}
    assert one.digest == two.digest
