from __future__ import annotations

import subprocess
import sys

import pytest

TRAINING = """
import sys

sys.modules["torchmetrics"] = None  # lightning-fabric imports it where it is installed, with all that it brings

import torch

from steadylr.core.ramp import Ramp
from steadylr.run.augmentation import build_augmentation
from steadylr.run.data import ValidationBatches, load_data, make_batches
from steadylr.run.device import on_device, place, resolve_device
from steadylr.run.losses import build_loss, mean_loss
from steadylr.run.models import build_model
from steadylr.run.optimizers import build_optimizer
from steadylr.run.randomness import Streams
from steadylr import range_test

name, image_size = sys.argv[1], int(sys.argv[2])
device = resolve_device("cpu", threads=1)
with on_device(device) as fabric:
    data = load_data("fashion_mnist_mini", image_size=image_size)
    augmentation = build_augmentation({}, image_size=data.image_size)
    batches = make_batches(data, batch_size=8, streams=Streams.same(0), augmentation=augmentation)
    held_out = ValidationBatches(data, size=8, batch_size=8)
    built = build_model(name, num_classes=10, in_channels=1, image_size=data.image_size)
    loss = build_loss("cross_entropy", num_classes=10)
    optimizer, ratios = build_optimizer("sgd", built.model, lr=1e-3)
    model, optimizer = place(fabric, device, built.model, optimizer)
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
