"""Small LightningModules and what they train on, for `lightning` and for `pytorch_lightning`."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

PACKAGES = ("lightning.pytorch", "pytorch_lightning")


def samples(count: int = 96) -> TensorDataset:
    """Points in four dimensions, in two classes."""
    points = torch.randn(count, 4, generator=torch.Generator().manual_seed(0))
    return TensorDataset(points, (points.sum(dim=1) > 0).long())


def loader(**options: Any) -> DataLoader[Any]:
    """Shuffled batches of 16."""
    return DataLoader(samples(), 16, shuffle=True, **options)


def batches() -> list[tuple[Tensor, Tensor]]:
    """The batches of one epoch, always the same."""
    return [tuple(part) for part in zip(*(t.split(16) for t in samples().tensors), strict=True)]


class Behaviour:
    """What all modules here do; put before LightningModule. All that a module may keep is kept."""

    net: nn.Sequential

    def __init__(self, lr: float = 0.1, configure: Callable[[Any], Any] | None = None) -> None:
        super().__init__()
        self.save_hyperparameters("lr")
        self.lr = lr
        self.configure = configure
        self.net = nn.Sequential(
            nn.Linear(4, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 2)
        )
        self.numbers: list[int] = []
        self.outputs: list[float] = []
        self.epochs: list[tuple[int, float]] = []

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        """Cross entropy, logged in both ways."""
        inputs, targets = batch
        loss = nn.functional.cross_entropy(self.net(inputs), targets)
        self.numbers.append(batch_idx)
        self.outputs.append(loss.item())
        self.log("loss", loss, prog_bar=True)
        self.log_dict({"double": 2 * loss, "epoch": float(self.current_epoch)})
        if self.logger is not None:
            self.logger.log_metrics({"loss": loss.item()}, step=batch_idx)
        return {"loss": loss, "size": len(targets)}

    def on_train_epoch_end(self) -> None:
        """Note what one epoch has seen."""
        self.epochs.append((len(self.outputs), sum(self.outputs)))
        self.outputs.clear()

    def configure_optimizers(self) -> Any:
        """SGD, or what the test wants."""
        if self.configure is not None:
            return self.configure(self)
        return torch.optim.SGD(self.parameters(), lr=self.lr, momentum=0.9)


def ours() -> ModuleType:
    """steadylr.lightning, imported when a test needs it: Lightning takes seconds."""
    return import_module("steadylr.lightning")


def package(name: str = PACKAGES[0]) -> ModuleType:
    """One of the two packages."""
    return import_module(name)


def module_of(name: str = PACKAGES[0], *, seed: int = 1, **members: Any) -> Any:
    """A module with its weights drawn from a seed.

    Args:
        name: the package.
        seed: of the weights.
        members: lr and configure, and what is put into the class in place of what stands above.
    """
    options = {key: members.pop(key) for key in ("lr", "configure") if key in members}
    made = type("Classifier", (Behaviour, package(name).LightningModule), members)
    torch.manual_seed(seed)
    return made(**options)
