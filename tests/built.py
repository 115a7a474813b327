"""Models, data, optimizers and losses as a config names them, built the way that a training builds them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import torch
from torch import nn
from torch.optim import Optimizer

from steadylr.config.schema import Augmentation, Config, Data, Model
from steadylr.config.schema import Optimizer as OptimizerPart
from steadylr.run import optimizers
from steadylr.run.augmentation import Augmentation as Transforms
from steadylr.run.fitting import notes_of
from steadylr.run.images import ArrayImages, Images, Look
from steadylr.run.randomness import Streams
from steadylr.run.training_data import ImageFacts, TrainBatches, train_batches, training_data
from steadylr.training.setup import build_augmentation, build_model
from steadylr.training.targets import called, target_of

MODELS = {
    "small_resnet": "steadylr.run.models.SmallResNet",
    "small_vit": "steadylr.run.models.SmallViT",
    "mlp": "steadylr.run.models.mlp",
}

OPTIMIZERS = {
    "muon": "steadylr.run.muon.muon",
    "schedulefree_adamw": "schedulefree.AdamWScheduleFree",
    "schedulefree_sgd": "schedulefree.SGDScheduleFree",
    "schedulefree_radam": "schedulefree.RAdamScheduleFree",
    "prodigy": "prodigyopt.Prodigy",
    **{
        name.lower(): f"torch.optim.{name}"
        for name in vars(torch.optim)
        if name[:1].isupper() and name != "Muon"
    },
}


def model_of(
    name: str,
    *,
    num_classes: int = 10,
    in_channels: int = 1,
    image_size: int = 28,
    weights: str | None = None,
    freeze: bool = False,
    library: str = "torchvision",
    **arguments: Any,
) -> nn.Module:
    """A model by the name that its option has."""
    zoo = {"torchvision": "steadylr.run.torchvision_model.torchvision_classifier"}
    zoo["timm"] = "steadylr.run.timm_model.timm_classifier"
    ours = MODELS.get(name)
    part = Model(ours or zoo[library], name=name, weights=weights, freeze=freeze, arguments=arguments)
    return build_model(Config(model=part), lambda: ImageFacts(num_classes, in_channels, image_size))


def model_and_notes(name: str, **settings: Any) -> tuple[nn.Module, tuple[str, ...]]:
    """A model, and what is said of how it came to be."""
    model = model_of(name, **settings)
    return model, notes_of(model)


def optimizer_of(
    name: str, model: nn.Module, *, lr: float, weight_decay: float = 0.0, groups: Any = (), **arguments: Any
) -> tuple[Optimizer, tuple[float, ...]]:
    """An optimizer by the name that its option has, and the ratios of its groups."""
    part = OptimizerPart(OPTIMIZERS[name], weight_decay=weight_decay, arguments=arguments)
    target = target_of("optimizer", part, {"model": lambda: model})
    return optimizers.build_optimizer(
        lambda parts, lr: called(target, parts, lr=lr), model, lr=lr, groups=groups, called=part._target_
    )


def augmentation_of(transforms: dict[str, Any], *, image_size: int) -> Transforms | None:
    """Transforms as they stand in a config."""
    data = Data("steadylr.run.datasets.fashion_mnist_mini", image_size=image_size)
    return build_augmentation(Config(data=data, augmentation=Augmentation(transforms)))


def data_of(
    name: str, *, augmented: dict[str, Any] | None = None, channels_last: bool = False, **keys: Any
) -> Any:
    """Training and validation data by the name that their option has."""
    part = Data(f"steadylr.run.datasets.{name}", **keys)
    transforms = (
        None if augmented is None else augmentation_of(augmented, image_size=keys.get("image_size") or 28)
    )
    offers = {"augmentation": lambda: transforms, "channels_last": lambda: channels_last}
    train, validation = called(target_of("data", part, offers))
    return SimpleNamespace(train=train, validation=validation)


def batches_of(dataset: Any, **settings: Any) -> TrainBatches:
    """Batches of a data set."""
    defaults = {"batch_size": 16, "streams": Streams.same(0), "workers": 0, "drop_last": False}
    made = train_batches(training_data(dataset, path="made.here"), **cast(Any, {**defaults, **settings}))
    assert isinstance(made, TrainBatches)
    return made


def images_of(pixels: torch.Tensor, targets: torch.Tensor, classes: int = 3, **look: Any) -> Images:
    """A data set of images in memory."""
    settings = {"image_size": pixels.shape[-1], "mean": (0.5,), "std": (0.25,), **look}
    names = tuple("abcdefghij"[:classes])
    return Images(ArrayImages(pixels, targets), names, pixels.shape[1], Look(**settings))
