"""The tasks: real data, small models and their optimizers, and which of them were set aside before any tuning."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer

from steadylr.run.datasets import FASHION_MEAN, FASHION_STD, fashion_mnist_mini
from steadylr.run.images import ArrayImages, Images
from steadylr.run.models import SmallResNet, SmallViT, mlp
from steadylr.run.randomness import Streams, drawing_init

Group = Literal["tuning", "aside"]

TASKS_VERSION = 1
"""Raise it when a model or data set below changes: it is part of every key."""


@dataclass(frozen=True, slots=True)
class Task:
    """One training as somebody might run it.

    Args:
        name: a short identifier.
        group: "tuning" (rules may be changed after looking at it) or "aside" (for the report only).
        data: a name in DATA.
        model: a name in MODELS.
        optimizer: a name in OPTIMIZERS, with its settings; the LR comes from outside.
        batch_size: samples per step.
        steps: steps of the OneCycle trainings.
        augment: the largest shift of an image in pixels; 0: no augmentation. With it images are flipped too.
    """

    name: str
    group: Group
    data: str
    model: str
    optimizer: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    batch_size: int = 64
    steps: int = 400
    augment: int = 0

    def definition(self) -> dict[str, Any]:
        """All that shapes the numbers, ready for JSON. The group doesn't."""
        return {
            key: dict(value) if isinstance(value, Mapping) else value
            for key, value in asdict(self).items()
            if key != "group"
        } | {"tasks_version": TASKS_VERSION, "data_digest": load(self.data).digest()}


def all_tasks() -> tuple[Task, ...]:
    """The tasks, the tuning ones first.

    Which are set aside was fixed before anything was computed for them. The last fourteen of the tuning tasks were set
    aside for earlier rules; once a rule's misses on them had been looked at, they could only serve for tuning.
    """
    nesterov = {"momentum": 0.9, "nesterov": True}
    return (
        Task("fashion-cnn-sgdm", "tuning", "fashion14", "cnn", "sgd", {"momentum": 0.9}, 64, 400),
        Task("fashion-cnnbn-nesterov", "tuning", "fashion14", "cnn_bn", "sgd", nesterov, 128, 300),
        Task("fashion-mlp-adamw", "tuning", "fashion14", "mlp", "adamw", {"weight_decay": 0.01}, 64, 400),
        Task("digits-mlp-sgd", "tuning", "digits", "mlp", "sgd", {}, 32, 800),
        Task("diabetes-mlp-adamw", "tuning", "diabetes", "table", "adamw", {"weight_decay": 0.01}, 32, 300),
        Task("chars-transformer-adamw", "tuning", "chars", "transformer1", "adamw", {}, 16, 300),
        Task("digits-resnet-rmsprop", "tuning", "digits", "resnet", "rmsprop", {}, 64, 200),
        Task(
            "fashion-resnet-aug-sgdm", "tuning", "fashion14", "resnet", "sgd", {"momentum": 0.9}, 64, 300, 1
        ),
        Task("fashion-vit-adamw", "tuning", "fashion14", "vit", "adamw", {"weight_decay": 0.05}, 64, 200),
        Task("fashion-cnnbn-sgd-512", "tuning", "fashion14", "cnn_bn", "sgd", {}, 512, 150),
        Task("chars2-transformer-rmsprop", "tuning", "chars2", "transformer", "rmsprop", {}, 32, 200),
        Task("cancer-table-nesterov-16", "tuning", "cancer", "table", "sgd", nesterov, 16, 600),
        Task("fashion-resnet-aug-adamw", "tuning", "fashion14", "resnet", "adamw", {}, 128, 200, 1),
        Task("digits-cnn-sgdm-16", "tuning", "digits", "cnn", "sgd", {"momentum": 0.9}, 16, 800),
        Task("cifar-resnet-aug-nesterov", "tuning", "cifar16", "resnet", "sgd", nesterov, 128, 250, 2),
        Task("cifar-cnn-adamw-32", "tuning", "cifar16", "cnn", "adamw", {"weight_decay": 0.01}, 32, 600),
        Task("cifar-vit-adamw", "tuning", "cifar16", "vit4", "adamw", {"weight_decay": 0.05}, 64, 250),
        Task("code-transformer-adamw", "tuning", "code", "transformer1", "adamw", {}, 32, 300),
        Task("health-table-rmsprop-256", "tuning", "health", "table", "rmsprop", {}, 256, 400),
        Task("digits-cnnbn-sgd-32", "tuning", "digits", "cnn_bn", "sgd", {}, 32, 500),
        Task("fashion-mlp-nesterov-256", "tuning", "fashion14", "mlp", "sgd", nesterov, 256, 150),
        Task("digits-mlp-adamw-long", "tuning", "digits", "mlp", "adamw", {"weight_decay": 0.01}, 16, 2000),
        Task("fashion-cnn-adamw-128", "aside", "fashion14", "cnn", "adamw", {"weight_decay": 0.01}, 128, 300),
        Task("cifar-mlp-sgdm", "aside", "cifar16", "mlp", "sgd", {"momentum": 0.9}, 64, 400),
        Task("digits-vit-adamw-32", "aside", "digits", "vit4", "adamw", {"weight_decay": 0.05}, 32, 400),
        Task("health-table-sgd-128", "aside", "health", "table", "sgd", {}, 128, 600),
        Task("code-transformer-sgdm-16", "aside", "code", "transformer1", "sgd", {"momentum": 0.9}, 16, 400),
        Task("digits-resnet-nesterov", "aside", "digits", "resnet", "sgd", nesterov, 64, 300),
    )


QUICK = ("fashion-mlp-adamw", "digits-mlp-sgd", "diabetes-mlp-adamw", "cancer-table-nesterov-16")
"""The tasks of --quick: the cheapest per step."""


# ---- data


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """A data set in memory, split: inputs and targets of training and validation, standardised.

    num_outputs is the number of classes, or 1 for a regression. `kind` says what a model has to take.
    """

    kind: Literal["image", "table", "text"]
    x: Tensor
    y: Tensor
    x_val: Tensor
    y_val: Tensor
    num_outputs: int

    def digest(self) -> str:
        """SHA-256 of all numbers: package versions may ship other data."""
        content = hashlib.sha256()
        for tensor in (self.x, self.y, self.x_val, self.y_val):
            content.update(np.ascontiguousarray(tensor.numpy()).tobytes())
        return content.hexdigest()[:16]


def _fashion14() -> Samples:
    """Fashion-MNIST, the embedded 5,000 and 1,000, each 2 x 2 pixels averaged."""
    (mean,), (std,) = FASHION_MEAN, FASHION_STD

    def small(images: Images) -> tuple[Tensor, Tensor]:
        source = images.source
        assert isinstance(source, ArrayImages)
        return (F.avg_pool2d(source.pixels.float() / 255, 2) - mean) / std, source.targets

    train, validation = fashion_mnist_mini()
    return Samples("image", *small(train), *small(validation), len(train.classes))


def _split(size: int, num_val: int) -> tuple[np.ndarray, np.ndarray]:
    order = np.random.default_rng(0).permutation(size)
    return order[num_val:], order[:num_val]


def _digits() -> Samples:
    """scikit-learn's digits: 1,797 grey images of 8 x 8."""
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    train, val = _split(len(x), 400)
    images = torch.from_numpy((x / 16 - 0.3) / 0.38).float().reshape(-1, 1, 8, 8)
    labels = torch.from_numpy(y).long()
    return Samples("image", images[train], labels[train], images[val], labels[val], 10)


def _regression(x: np.ndarray, y: np.ndarray, num_val: int) -> Samples:
    train, val = _split(len(x), num_val)
    x = (x - x[train].mean(0)) / x[train].std(0)
    y = (y - y[train].mean()) / y[train].std()
    inputs, targets = torch.from_numpy(x).float(), torch.from_numpy(y).float()[:, None]
    return Samples("table", inputs[train], targets[train], inputs[val], targets[val], 1)


def _diabetes() -> Samples:
    """The progression of diabetes in 442 patients from 10 numbers (Efron et al., 2004)."""
    from sklearn.datasets import load_diabetes

    x, y = load_diabetes(return_X_y=True)
    return _regression(x, y, 110)


def _cancer() -> Samples:
    """Of 569 tumours, the worst concavity from the 10 means and their 10 errors (Wolberg et al., 1995)."""
    from sklearn.datasets import load_breast_cancer

    x, _ = load_breast_cancer(return_X_y=True)
    return _regression(x[:, :20], x[:, 26], 140)


def _health() -> Samples:
    """Of 20,190 person-years of the RAND health insurance study, the chronic diseases from 9 other numbers.

    Reference: W. G. Manning et al., "Health insurance and the demand for medical care" (1987), as statsmodels ships it.
    """
    from statsmodels.datasets import randhie

    table = randhie.load_pandas().data
    y = table.pop("disea").to_numpy(dtype=float)
    return _regression(table.to_numpy(dtype=float), y, 4000)


CIFAR10 = "STEADYLR_CIFAR10"
"""Environment variable: the folder with CIFAR-10, for the workers too."""


def _cifar16() -> Samples:
    """CIFAR-10, the first 1,000 images of each class and 200 of its test set, each 2 x 2 pixels averaged.

    Reference: A. Krizhevsky, "Learning multiple layers of features from tiny images" (2009).
    """
    (x, y), (x_val, y_val) = _first_of_cifar10(Path(os.environ[CIFAR10]))
    x, x_val = F.avg_pool2d(x, 2), F.avg_pool2d(x_val, 2)
    mean, std = (x.mean((0, 2, 3), keepdim=True), x.std((0, 2, 3), keepdim=True))
    return Samples("image", (x - mean) / std, y, (x_val - mean) / std, y_val, 10)


def _first_of_cifar10(folder: Path) -> list[tuple[Tensor, Tensor]]:
    """Images in [0, 1] of shape (n, 3, 32, 32) and labels of both splits, from cifar10.npz or torchvision's files."""
    if (folder / "cifar10.npz").is_file():
        with np.load(folder / "cifar10.npz", allow_pickle=False) as arrays:
            found = [(arrays[f"{split}_images"], arrays[f"{split}_labels"]) for split in ("train", "val")]
    else:
        from torchvision.datasets import CIFAR10 as Cifar10

        sets = [Cifar10(str(folder), train=train) for train in (True, False)]
        found = [(split.data, np.array(split.targets)) for split in sets]
    splits = []
    for (images, labels), size in zip(found, (1000, 200), strict=True):
        first = np.sort(np.concatenate([np.flatnonzero(labels == k)[:size] for k in range(10)]))
        pixels = torch.from_numpy(images[first]).permute(0, 3, 1, 2).float() / 255
        splits.append((pixels, torch.from_numpy(labels[first]).long()))
    return splits


_CONTEXT = 32


def _help_texts() -> str:
    """Python's own help texts."""
    from pydoc_data.topics import topics

    return "\n".join(topics[key] for key in sorted(topics))


def _source_code() -> str:
    """Python's own source: three of its larger modules."""
    import argparse
    import inspect
    import tarfile

    return "\n".join(inspect.getsource(module) for module in (inspect, argparse, tarfile))


def _text(text: str, length: int = 120_000) -> Samples:
    """Windows of 32 characters; the target of each is the next character."""
    text = text[:length]
    letters = {letter: i for i, letter in enumerate(sorted(set(text)))}
    codes = torch.tensor([letters[letter] for letter in text])
    windows = codes[: (len(codes) - 1) // _CONTEXT * _CONTEXT + 1]
    x, y = windows[:-1].reshape(-1, _CONTEXT), windows[1:].reshape(-1, _CONTEXT)
    last = len(x) - 300
    return Samples("text", x[:last], y[:last], x[last:], y[last:], len(letters))


DATA: dict[str, Callable[[], Samples]] = {
    "fashion14": _fashion14,
    "digits": _digits,
    "diabetes": _diabetes,
    "cancer": _cancer,
    "chars": lambda: _text(_help_texts()),
    "chars2": lambda: _text(_help_texts()[200_000:]),
    "code": lambda: _text(_source_code()),
    "health": _health,
    "cifar16": _cifar16,
}


@cache
def load(name: str) -> Samples:
    """A data set by name, loaded once in a process."""
    return DATA[name]()


# ---- models


def _cnn(samples: Samples, *, norm: bool) -> nn.Module:
    channels = samples.x.shape[1]
    layers: list[nn.Module] = []
    for width in (8, 16):
        layers += [nn.Conv2d(channels, width, 3, padding=1, bias=not norm)]
        layers += [nn.BatchNorm2d(width)] if norm else []
        layers += [nn.ReLU(), nn.MaxPool2d(2)]
        channels = width
    side = samples.x.shape[-1] // 4
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels * side**2, samples.num_outputs))


def _table(samples: Samples) -> nn.Module:
    inputs = samples.x.shape[1]
    return nn.Sequential(
        nn.Linear(inputs, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, samples.num_outputs)
    )


class _Transformer(nn.Module):
    """Layers of causal attention over characters; logits of shape (n, characters, positions)."""

    def __init__(self, num_letters: int, *, dim: int = 32, depth: int = 2, heads: int = 2) -> None:
        super().__init__()
        self.letters = nn.Embedding(num_letters, dim)
        self.positions = nn.Parameter(0.02 * torch.randn(1, _CONTEXT, dim))
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(dim, heads, 4 * dim, 0.0, "gelu", batch_first=True, norm_first=True)
            for _ in range(depth)
        )
        self.norm = nn.LayerNorm(dim)
        self.out = nn.Linear(dim, num_letters)
        self.register_buffer("mask", nn.Transformer.generate_square_subsequent_mask(_CONTEXT))

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.letters(x) + self.positions
        for layer in self.layers:
            tokens = layer(tokens, src_mask=self.mask, is_causal=True)
        logits: Tensor = self.out(self.norm(tokens))
        return logits.transpose(1, 2)


MODELS: dict[str, Callable[[Samples], nn.Module]] = {
    "cnn": lambda s: _cnn(s, norm=False),
    "cnn_bn": lambda s: _cnn(s, norm=True),
    "mlp": lambda s: mlp(s.num_outputs, s.x.shape[1], s.x.shape[-1], hidden=(64, 64)),
    "resnet": lambda s: SmallResNet(s.num_outputs, s.x.shape[1], widths=(8, 16), stem_width=8),
    "vit": lambda s: SmallViT(s.num_outputs, s.x.shape[1], s.x.shape[-1], patch=7, dim=32, depth=2, heads=2),
    "vit4": lambda s: SmallViT(s.num_outputs, s.x.shape[1], s.x.shape[-1], patch=4, dim=32, depth=2, heads=2),
    "table": _table,
    "transformer1": lambda s: _Transformer(s.num_outputs, depth=1),
    "transformer": lambda s: _Transformer(s.num_outputs),
}


def loss_fn(outputs: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy where the targets are classes, else the mean squared error."""
    if targets.dtype is torch.long:
        return F.cross_entropy(outputs, targets)
    return F.mse_loss(outputs, targets)


def build(task: Task, seed: int, *, lr: float) -> tuple[nn.Module, Optimizer]:
    """The model with the weights of this seed, and its optimizer at an LR."""
    with drawing_init(Streams.same(seed)):
        model = MODELS[task.model](load(task.data))
    return model, optimizer_over(task, model, lr)


OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {
    "sgd": torch.optim.SGD,
    "adamw": torch.optim.AdamW,
    "rmsprop": torch.optim.RMSprop,
}


def optimizer_over(task: Task, model: nn.Module, lr: float) -> Optimizer:
    """The task's optimizer over a given model, without weight decay unless its settings say one."""
    return OPTIMIZERS[task.optimizer](model.parameters(), lr=lr, **{"weight_decay": 0.0, **task.settings})


class Batches:
    """Endless batches of one seed, the same each time they are iterated; smaller last batches are left out."""

    def __init__(self, task: Task, seed: int) -> None:
        self.samples = load(task.data)
        self.size = task.batch_size
        self.augment = task.augment
        self.seed = Streams.same(seed).derive("order")

    def __len__(self) -> int:
        return len(self.samples.x) // self.size

    def indices(self, generator: torch.Generator) -> Iterator[Tensor]:
        """Which samples each batch holds, shape (size,), without end."""
        while True:
            order = torch.randperm(len(self.samples.x), generator=generator)
            for k in range(len(self)):
                yield order[k * self.size : (k + 1) * self.size]

    def generator(self) -> torch.Generator:
        """A fresh generator of this seed."""
        return torch.Generator().manual_seed(self.seed % 2**63)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        generator = self.generator()
        for index in self.indices(generator):
            x = self.samples.x[index]
            if self.augment:
                x = _augmented(x, self.augment, generator)
            yield x, self.samples.y[index]


def _augmented(x: Tensor, shift: int, generator: torch.Generator) -> Tensor:
    """Each image flipped or not, and shifted by up to `shift` pixels, its edges repeated."""
    n, _, height, width = x.shape
    flip = torch.rand(n, generator=generator) < 0.5
    x = torch.where(flip[:, None, None, None], x.flip(3), x)
    dy, dx = torch.randint(-shift, shift + 1, (2, n, 1), generator=generator)
    rows = (torch.arange(height) + dy).clamp(0, height - 1)
    columns = (torch.arange(width) + dx).clamp(0, width - 1)
    return x[torch.arange(n)[:, None, None], :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


@torch.no_grad()
def validation_loss(model: nn.Module, samples: Samples) -> float:
    """The mean loss over the validation samples, in eval mode; infinite where it is no number."""
    model.eval()
    loss = float(loss_fn(model(samples.x_val), samples.y_val))
    return loss if math.isfinite(loss) else math.inf
