"""Image classifiers of timm, by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from steadylr.run.extras import needed
from steadylr.run.names import UnknownModelError, did_you_mean


def build_timm(
    name: str,
    *,
    num_classes: int,
    in_channels: int,
    image_size: int,
    pretrained: bool = False,
    kwargs: Mapping[str, Any] | None = None,
) -> nn.Module:
    """Build a classifier of timm, drawing from the global generator.

    Args:
        name: of timm.list_models(), with or without a tag: resnet18, vit_tiny_patch16_224, resnet18.a1_in1k.
        num_classes: number of outputs, at least 1.
        in_channels: channels of the images; timm adapts the first layer.
        image_size: height and width of the images, in pixels; models that need it at building get it.
        pretrained: fetch timm's weights for this name; the last layer is fresh.
        kwargs: further arguments of timm.create_model, such as {"drop_path_rate": 0.1}.

    Raises:
        MissingPackage: timm isn't installed.
        UnknownModelError: no such model.
        ValueError: arguments that the model refuses, or weights that can't be fetched.
    """
    timm = needed("timm", extra="timm", by=f"model.name={name} of timm")
    if not timm.is_model(name):
        raise UnknownModelError(
            f"model.name={name!r} is no model of timm; {did_you_mean(name, timm.list_models())}"
        )
    config = timm.models.get_pretrained_cfg(name)
    sized = {"img_size": image_size} if config is not None and config.fixed_input_size else {}
    arguments = {**sized, **dict(kwargs or {})}
    try:
        model: nn.Module = timm.create_model(
            name, pretrained=pretrained, num_classes=num_classes, in_chans=in_channels, **arguments
        )
    except (TypeError, ValueError, RuntimeError, AssertionError, OSError) as error:
        raise ValueError(f"model.name={name} of timm can't be built with {arguments}: {error}") from error
    return model
