"""Every classifier of torchvision, by name, for whatever images."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from types import ModuleType
from typing import Any, cast

import torch
from torch import nn

from steadylr.run.fitting import ModelError, add_note, check_forward, last_layer_name, load_weights
from steadylr.run.names import check_kwargs, did_you_mean, keyword_names

SET_HERE = frozenset({"weights", "progress", "num_classes", "image_size", "input_size"})
"""Arguments of torchvision's classes that are not for a config to give."""

FILLED_THERE = frozenset({"block", "layers", "inverted_residual_setting", "block_setting", "features", "cfg"})
"""Arguments that torchvision's functions fill themselves."""


def torchvision_classifier(
    name: str,
    num_classes: int,
    in_channels: int,
    image_size: int,
    *,
    weights: str | None = None,
    **kwargs: Any,
) -> nn.Module:
    """Build a classifier of torchvision whose last layer has num_classes outputs, drawing from the global generator.

    Args:
        name: of torchvision.models.list_models(): resnet18, convnext_tiny, ...
        num_classes: number of classes, at least 1.
        in_channels: channels of the images. The first convolution of a model made for colour is adapted: to
            grey images the sum over the colours of given weights, else the first of the colours.
        image_size: height and width of the images, in pixels. Models that need it at building (vit_b_16) get it.
        weights: None; the path of a file with a state dict; or torchvision's name of weights such as "DEFAULT" or
            "IMAGENET1K_V2". The last layer is fresh when it has another shape in the weights, always so for
            torchvision's; a note says so.
        kwargs: further arguments of the model's class, such as zero_init_residual=True.

    Raises:
        ModelError: no such model (with the nearest names), an unknown argument or weights name, a file that is not
            there or does not fit, or images of a size that the model can't take.
    """
    zoo = _zoo()
    names = zoo.list_models(module=zoo)
    if name not in names:
        raise ModelError(f"model.name={name!r} is not known; {did_you_mean(name, names)}")
    known = ["DEFAULT", *zoo.get_model_weights(name).__members__]
    published = weights if weights in known else None
    model = _built(name, num_classes, image_size, published, kwargs)
    _drop_auxiliary(model)
    _adapt_first_layer(model, in_channels, summed=published is not None)
    if published is not None:
        _replace(model, last_layer_name(model), _fresh_last_layer(model, num_classes))
        add_note(model, f"model.weights={published}: the last layer is fresh, for {num_classes} classes")
    elif weights is not None:
        load_weights(model, weights, name=f"model.name={name}", published=list(dict.fromkeys(known)))
    check_forward(model, name, in_channels=in_channels, image_size=image_size, num_classes=num_classes)
    return model


def _zoo() -> ModuleType:
    from torchvision import models

    return cast("ModuleType", models)


def _built(
    name: str, num_classes: int, image_size: int, weights: str | None, kwargs: Mapping[str, Any]
) -> nn.Module:
    """The model as torchvision has it, with its own last layer where it starts from published weights."""
    builder = _zoo().get_model_builder(name)
    taken = keyword_names(inspect.get_annotations(builder, eval_str=True)["return"])
    allowed = (taken | {"dropout"} if "mobilenet" in name else taken) - SET_HERE - FILLED_THERE
    try:
        check_kwargs(kwargs, allowed, key="model")
    except ValueError as error:
        raise ModelError(f"{error} (these are the arguments of {name})") from None
    arguments = dict(kwargs)
    if "image_size" in taken:
        arguments["image_size"] = image_size
    if "input_size" in taken:
        arguments["input_size"] = (image_size, image_size)
    if weights is None:
        arguments["num_classes"] = num_classes
        for option, value in (("aux_logits", False), ("init_weights", True)):
            if option in taken and name in ("googlenet", "inception_v3"):
                arguments.setdefault(option, value)
    try:
        return cast("nn.Module", _zoo().get_model(name, weights=weights, **arguments))
    except (TypeError, ValueError, RuntimeError, AssertionError) as error:
        raise ModelError(
            f"model.name={name} can't be built with data.image_size={image_size} and {dict(kwargs)}: {error}"
        ) from error
    except OSError as error:
        raise ModelError(
            f"model.weights={weights} of {name} could not be downloaded ({error}); "
            "give the path of a file instead"
        ) from error


def _drop_auxiliary(model: nn.Module) -> None:
    """Take away the extra outputs that GoogLeNet and Inception give in train mode."""
    if not getattr(model, "aux_logits", False):
        return
    model.aux_logits = False  # type: ignore[assignment]
    for name in ("aux1", "aux2", "AuxLogits"):
        if hasattr(model, name):
            setattr(model, name, None)


def _adapt_first_layer(model: nn.Module, in_channels: int, *, summed: bool) -> None:
    if in_channels == 3:
        return
    name, old = next((n, m) for n, m in model.named_modules() if isinstance(m, nn.Conv2d))
    new = nn.Conv2d(
        in_channels,
        old.out_channels,
        cast("tuple[int, int]", old.kernel_size),
        stride=cast("tuple[int, int]", old.stride),
        padding=cast("tuple[int, int]", old.padding),
        bias=old.bias is not None,
    )
    with torch.no_grad():
        if summed:
            new.weight.copy_(old.weight.sum(dim=1, keepdim=True).expand_as(new.weight) / in_channels)
        else:
            new.weight.copy_(old.weight[:, [channel % 3 for channel in range(in_channels)]])
        if old.bias is not None and new.bias is not None:
            new.bias.copy_(old.bias)
    _replace(model, name, new)
    if hasattr(model, "transform_input"):
        model.transform_input = False  # type: ignore[assignment]


def _fresh_last_layer(model: nn.Module, num_classes: int) -> nn.Module:
    old = model.get_submodule(last_layer_name(model))
    if isinstance(old, nn.Linear):
        return nn.Linear(old.in_features, num_classes, bias=old.bias is not None)
    conv = cast("nn.Conv2d", old)
    return nn.Conv2d(conv.in_channels, num_classes, cast("tuple[int, int]", conv.kernel_size))


def _replace(model: nn.Module, name: str, new: nn.Module) -> None:
    parent, _, child = name.rpartition(".")
    setattr(model.get_submodule(parent), child, new)
