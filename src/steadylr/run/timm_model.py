"""Image classifiers of timm, by name."""

from __future__ import annotations

from typing import Any

from torch import nn

from steadylr.run.extras import needed
from steadylr.run.fitting import ModelError, add_note, check_forward, load_weights
from steadylr.run.names import did_you_mean


def timm_classifier(
    name: str,
    num_classes: int,
    in_channels: int,
    image_size: int,
    *,
    weights: str | None = None,
    **kwargs: Any,
) -> nn.Module:
    """Build a classifier of timm, drawing from the global generator.

    Args:
        name: of timm.list_models(), with or without a tag: resnet18, vit_tiny_patch16_224, resnet18.a1_in1k.
        num_classes: number of outputs, at least 1.
        in_channels: channels of the images; timm adapts the first layer.
        image_size: height and width of the images, in pixels; models that need it at building get it.
        weights: None; "DEFAULT" for those that timm publishes under the name, with a fresh last layer; or the path of
            a file with a state dict.
        kwargs: further arguments of timm.create_model, such as drop_path_rate=0.1.

    Raises:
        MissingPackage: timm isn't installed.
        ModelError: no such model, arguments that it refuses, weights that can't be had, or images of a size that it
            can't take.
    """
    timm = needed("timm", by=f"model.name={name} of timm")
    if not timm.is_model(name):
        raise ModelError(f"model.name={name!r} is no model of timm; {did_you_mean(name, timm.list_models())}")
    config = timm.models.get_pretrained_cfg(name)
    sized = {"img_size": image_size} if config is not None and config.fixed_input_size else {}
    arguments = {**sized, **kwargs}
    published = weights == "DEFAULT"
    try:
        model: nn.Module = timm.create_model(
            name, pretrained=published, num_classes=num_classes, in_chans=in_channels, **arguments
        )
    except (TypeError, ValueError, RuntimeError, AssertionError, OSError) as error:
        raise ModelError(f"model.name={name} of timm can't be built with {arguments}: {error}") from error
    if published:
        add_note(model, f"model.weights=DEFAULT: the last layer is fresh, for {num_classes} classes")
    elif weights is not None:
        load_weights(model, weights, name=f"model.name={name}", published=["DEFAULT"])
    check_forward(model, name, in_channels=in_channels, image_size=image_size, num_classes=num_classes)
    return model
