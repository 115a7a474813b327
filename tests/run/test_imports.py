from __future__ import annotations

import subprocess
import sys

import pytest

TRAINING = """
import sys

sys.modules["torchmetrics"] = None  # lightning-fabric imports it where it is installed, with all that it brings

import torch

from steadylr.core.ramp import Ramp
from steadylr.run.datasets import fashion_mnist_mini
from steadylr.run.held_out import validation_batches
from steadylr.run.training_data import train_batches, training_data
from steadylr.run.device import on_device, place, resolve_device
from steadylr.run.losses import mean_loss
from steadylr.run.models import SmallResNet, SmallViT, mlp
from steadylr.run.optimizers import build_optimizer
from steadylr.run.randomness import Streams
from steadylr import range_test

name, image_size = sys.argv[1], int(sys.argv[2])
device = resolve_device("cpu", threads=1)
with on_device(device) as fabric:
    data = training_data(fashion_mnist_mini(image_size=image_size), path="mini")
    batches = train_batches(data, batch_size=8, streams=Streams.same(0))
    held_out = validation_batches(data, size=8, batch_size=8)
    sizes = (10, 1) if name == "small_resnet" else (10, 1, image_size)
    built = {"small_resnet": SmallResNet, "small_vit": SmallViT, "mlp": mlp}[name](*sizes)
    loss = torch.nn.CrossEntropyLoss()
    optimizer, ratios = build_optimizer(torch.optim.SGD, built, lr=1e-3, called="sgd")
    model, optimizer = place(fabric, device, built, optimizer)
    range_test(
        model, optimizer, batches, loss, Ramp(1e-5, 1e-3, 3), lr_ratios=ratios, backward=fabric.backward,
        validate=lambda trained: mean_loss(trained, held_out, loss), val_every=2, restore=False,
    )
print(*sorted({"torchvision", "PIL", "pandas", "matplotlib"} & set(sys.modules)))
"""


def imported_by(name: str, image_size: int) -> set[str]:
    command = [sys.executable, "-c", TRAINING, name, str(image_size)]
    return set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["small_resnet", "small_vit", "mlp"])
def test_training_our_models_on_images_in_memory_imports_no_torchvision(name: str) -> None:
    """Data, model and training at the images' own size do without torchvision, which takes time to import."""
    assert imported_by(name, 28) == set()


@pytest.mark.slow
def test_resizing_images_imports_torchvision() -> None:
    """The same training at another size does need it: the way to look works."""
    assert "torchvision" in imported_by("mlp", 14)
