"""The models: a small ResNet, a small vision transformer, an MLP, and every classifier of torchvision, by name.

torchvision is imported when one of its own is asked for: that takes a third of a second.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from steadylr.run.names import UnknownModelError, check_kwargs, did_you_mean, keyword_names

__all__ = [
    "BuiltModel",
    "SmallResNet",
    "SmallViT",
    "UnknownModelError",
    "build_mlp",
    "build_model",
    "model_names",
]

PREFIXES = ("module.", "_orig_mod.", "model.")
"""What wrappers put before the names of parameters."""


class BuiltModel(NamedTuple):
    """A model, and what is worth knowing about how it came to be."""

    model: nn.Module
    notes: tuple[str, ...]


class _Block(nn.Module):
    """Two 3 x 3 convolutions beside a shortcut that changes width and halves the size."""

    def __init__(self, width_in: int, width: int, *, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width_in, width, 3, stride=stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)
        self.shortcut = nn.Sequential(
            nn.Conv2d(width_in, width, 1, stride=stride, bias=False), nn.BatchNorm2d(width)
        )

    def forward(self, x: Tensor) -> Tensor:
        inner = torch.relu_(self.norm1(self.conv1(x)))
        return torch.relu_(self.norm2(self.conv2(inner)).add_(self.shortcut(x)))


class SmallResNet(nn.Module):
    """A ResNet with BatchNorm and three blocks, made for small images on a CPU: 104,154 parameters by
    default.

    Every stage halves the size, the stem included, so that 28 x 28 ends as 2 x 2. Works in channels-last
    layout, which is a quarter faster on CPUs.

    Args:
        num_classes: number of outputs.
        in_channels: channels of the images.
        widths: channels of the blocks, at least one.
        stem_width: channels after the first convolution.
        dropout: share of the features left out before the classifier, in [0, 1).
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        *,
        widths: Sequence[int] = (16, 32, 80),
        stem_width: int = 16,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if not widths or min(*widths, stem_width) < 1:
            raise ValueError(f"widths and stem_width must be at least 1; got {widths!r} and {stem_width!r}")
        self.stem = nn.Conv2d(in_channels, stem_width, 3, stride=2, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(stem_width)
        before = (stem_width, *widths[:-1])
        blocks = [_Block(old, new, stride=2) for old, new in zip(before, widths, strict=True)]
        self.blocks = nn.Sequential(*blocks)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(widths[-1], num_classes)
        self.to(memory_format=torch.channels_last)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of shape (n, num_classes) for images of shape (n, channels, height, width)."""
        x = x.contiguous(memory_format=torch.channels_last)
        x = self.blocks(torch.relu_(self.norm(self.stem(x))))
        logits: Tensor = self.fc(self.dropout(x.mean(dim=(2, 3))))
        return logits


class SmallViT(nn.Module):
    """A vision transformer for small images: 138,890 parameters for 28 x 28 grey images and 10 classes.

    Patches become tokens, a learned embedding says where each was, and the mean over the last layer's tokens is
    classified. LayerNorm comes before attention and before the two linear layers with GELU (Xiong et al., 2020).

    Args:
        num_classes: number of outputs.
        in_channels: channels of the images.
        image_size: height and width of the images, in pixels. Unless it is a multiple of `patch`, zeros are put
            around them.
        patch: height and width of a patch, in pixels.
        dim: numbers per token, a multiple of `heads`.
        depth: number of layers, at least 1.
        heads: attention heads per layer.
        dropout: share left out of the tokens, of the attention and of each layer's inner features, in [0, 1).

    Raises:
        ValueError: heads that do not divide dim, a number below 1, or a dropout outside its range.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        image_size: int,
        *,
        patch: int = 7,
        dim: int = 64,
        depth: int = 4,
        heads: int = 4,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if min(patch, dim, depth, heads) < 1:
            raise ValueError(
                f"patch, dim, depth and heads must be at least 1; got {patch}, {dim}, {depth} and {heads}"
            )
        if dim % heads:
            raise ValueError(f"heads must divide dim={dim}; got {heads}")
        rows = math.ceil(image_size / patch)
        padding = math.ceil((rows * patch - image_size) / 2)
        self.patches = nn.Conv2d(in_channels, dim, patch, stride=patch, padding=padding)
        self.positions = nn.Parameter(0.02 * torch.randn(1, rows**2, dim))
        self.dropout = nn.Dropout(dropout)
        self.layers = nn.Sequential(
            *[
                nn.TransformerEncoderLayer(
                    dim, heads, 2 * dim, dropout, "gelu", batch_first=True, norm_first=True
                )
                for _ in range(depth)  # not nn.TransformerEncoder, whose layers all start with equal weights
            ]
        )
        self.norm = nn.LayerNorm(dim)
        self.fc = nn.Linear(dim, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of shape (n, num_classes) for images of shape (n, channels, height, width)."""
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        tokens = self.norm(self.layers(self.dropout(tokens + self.positions)))
        logits: Tensor = self.fc(tokens.mean(dim=1))
        return logits


def build_mlp(
    num_classes: int,
    in_channels: int,
    image_size: int,
    *,
    hidden: Sequence[int] = (256, 128),
    dropout: float = 0.0,
) -> nn.Sequential:
    """A perceptron: the pixels in a row, hidden layers with ReLU (and dropout), one output per class."""
    if any(width < 1 for width in hidden):
        raise ValueError(f"hidden must be layer widths of at least 1; got {list(hidden)!r}")
    layers: list[nn.Module] = [nn.Flatten()]
    width = in_channels * image_size**2
    for next_width in hidden:
        layers += [nn.Linear(width, next_width), nn.ReLU()]
        layers += [nn.Dropout(dropout)] if dropout > 0 else []
        width = next_width
    return nn.Sequential(*layers, nn.Linear(width, num_classes))


def model_names() -> tuple[str, ...]:
    """All names that build_model knows: our own, then torchvision's classifiers."""
    zoo = _zoo()
    return (*_OWN, *zoo.list_models(module=zoo))


def _zoo() -> ModuleType:
    from torchvision import models

    return cast("ModuleType", models)


def build_model(
    name: str,
    *,
    num_classes: int,
    in_channels: int,
    image_size: int,
    library: str | None = None,
    weights: str | None = None,
    freeze: bool = False,
    kwargs: Mapping[str, Any] | None = None,
) -> BuiltModel:
    """Build a classifier whose last layer has num_classes outputs, drawing from the global generator.

    Args:
        name: one of model_names(): small_resnet, small_vit, mlp, or a classifier of torchvision; with library
            "timm" one of timm's.
        num_classes: number of classes, at least 1.
        in_channels: channels of the images. The first convolution of a model made for colour is adapted: to
            grey images the sum over the colours of given weights, else the first of the colours.
        image_size: height and width of the images, in pixels. Models that need it at building (small_vit, vit_b_16)
            get it.
        library: whose model it is: None (ours or torchvision's) or "timm".
        weights: None; the path of a file with a state dict (loaded with weights_only=True); or the name of
            torchvision's weights such as "DEFAULT" or "IMAGENET1K_V2". The last layer stays fresh when it has
            another shape in the weights, always so for torchvision's; a note says so.
        freeze: train the last layer only. All else keeps its values, BatchNorm's running statistics included:
            its layers evaluate also in train mode.
        kwargs: further arguments of the model's class, such as {"dropout": 0.1} for small_resnet.

    Raises:
        UnknownModelError: no such model; the message gives the nearest names.
        ValueError: an unknown argument or weights name, a file that is not there or does not fit, or images
        of a
            size that the model can't take.
    """
    model: nn.Module
    notes: tuple[str, ...]
    published = weights is not None and _is_published(name, weights, library)
    if library == "timm":
        model, notes = _build_from_timm(name, num_classes, in_channels, image_size, published, kwargs or {})
    elif name in _OWN:
        model, notes = _build_own(name, num_classes, in_channels, image_size, kwargs or {})
    elif name in model_names():
        model, notes = _build_from_zoo(
            name, num_classes, in_channels, image_size, weights if published else None, kwargs or {}
        )
    else:
        raise UnknownModelError(f"model.name={name!r} is not known; {did_you_mean(name, model_names())}")
    if weights is not None and not published:
        notes += _load_file(model, name, Path(weights).expanduser(), library)
    if freeze:
        _freeze(model)
    _check_forward(model, name, in_channels=in_channels, image_size=image_size, num_classes=num_classes)
    return BuiltModel(model, notes)


# ---- our own

_OWN: dict[str, tuple[Callable[..., nn.Module], bool]] = {
    "small_resnet": (SmallResNet, False),
    "small_vit": (SmallViT, True),
    "mlp": (build_mlp, True),
}
"""From a name to what builds it, and whether it wants the image size."""


def _build_own(
    name: str, num_classes: int, in_channels: int, image_size: int, kwargs: Mapping[str, Any]
) -> tuple[nn.Module, tuple[str, ...]]:
    build, sized = _OWN[name]
    check_kwargs(
        kwargs, keyword_names(build, without={"num_classes", "in_channels", "image_size"}), key="model.kwargs"
    )
    sizes = (image_size,) if sized else ()
    try:
        return build(num_classes, in_channels, *sizes, **kwargs), ()
    except (TypeError, ValueError) as error:
        raise ValueError(f"model.name={name} refuses {dict(kwargs)}: {error}") from error


# ---- torchvision's

_SET_HERE = frozenset({"weights", "progress", "num_classes", "image_size", "input_size"})


def _model_class(name: str) -> type[nn.Module]:
    return cast(
        "type[nn.Module]", inspect.get_annotations(_zoo().get_model_builder(name), eval_str=True)["return"]
    )


def _is_published(name: str, weights: str, library: str | None) -> bool:
    if library == "timm":
        return weights == "DEFAULT"
    return name not in _OWN and weights in {"DEFAULT", *_zoo().get_model_weights(name).__members__}


def _published_names(name: str, library: str | None) -> list[str]:
    if library == "timm":
        return ["DEFAULT"]
    return [] if name in _OWN else [*dict.fromkeys(["DEFAULT", *_zoo().get_model_weights(name).__members__])]


def _build_from_timm(
    name: str,
    num_classes: int,
    in_channels: int,
    image_size: int,
    published: bool,
    kwargs: Mapping[str, Any],
) -> tuple[nn.Module, tuple[str, ...]]:
    from steadylr.run.timm_model import build_timm

    model = build_timm(
        name,
        num_classes=num_classes,
        in_channels=in_channels,
        image_size=image_size,
        pretrained=published,
        kwargs=kwargs,
    )
    fresh = f"model.weights=DEFAULT: the last layer is fresh, for {num_classes} classes"
    return model, (fresh,) if published else ()


def _build_from_zoo(
    name: str,
    num_classes: int,
    in_channels: int,
    image_size: int,
    weights: str | None,
    kwargs: Mapping[str, Any],
) -> tuple[nn.Module, tuple[str, ...]]:
    taken = keyword_names(_model_class(name))
    filled = {"block", "layers", "inverted_residual_setting", "block_setting", "features", "cfg"}
    allowed = (taken | {"dropout"} if "mobilenet" in name else taken) - _SET_HERE - filled
    check_kwargs(kwargs, allowed, key="model.kwargs")
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
        model = _zoo().get_model(name, weights=weights, **arguments)
    except (TypeError, ValueError, RuntimeError, AssertionError) as error:
        raise ValueError(
            f"model.name={name} can't be built with data.image_size={image_size} and {dict(kwargs)}: {error}"
        ) from error
    except OSError as error:
        raise ValueError(
            f"model.weights={weights} of {name} could not be downloaded ({error}); "
            "give the path of a file instead"
        ) from error
    _drop_auxiliary(model)
    _adapt_first_layer(model, in_channels, summed=weights is not None)
    if weights is None:
        return model, ()
    _replace(model, _last_layer_name(model), _fresh_last_layer(model, num_classes))
    return model, (f"model.weights={weights}: the last layer is fresh, for {num_classes} classes",)


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


# ---- the last layer


def _last_layer_name(model: nn.Module) -> str:
    """The name of the layer that gives the logits: the last linear or convolutional one."""
    names: list[str] = [n for n, m in model.named_modules() if isinstance(m, nn.Linear | nn.Conv2d)]
    return names[-1]


def _fresh_last_layer(model: nn.Module, num_classes: int) -> nn.Module:
    old = model.get_submodule(_last_layer_name(model))
    if isinstance(old, nn.Linear):
        return nn.Linear(old.in_features, num_classes, bias=old.bias is not None)
    conv = cast("nn.Conv2d", old)
    return nn.Conv2d(conv.in_channels, num_classes, cast("tuple[int, int]", conv.kernel_size))


def _replace(model: nn.Module, name: str, new: nn.Module) -> None:
    parent, _, child = name.rpartition(".")
    setattr(model.get_submodule(parent), child, new)


# ---- weights from a file


def _load_file(model: nn.Module, name: str, path: Path, library: str | None) -> tuple[str, ...]:
    key = f"model.weights={str(path)!r}"
    if not path.is_file():
        published = _published_names(name, library)
        also = (
            f", nor one of {library or 'torchvision'}'s for {name} ({', '.join(published)})"
            if published
            else ""
        )
        raise ValueError(f"{key} is not a file{also}")
    state = _read_state(path, key)
    own = model.state_dict()
    last = _last_layer_name(model)
    fresh = [
        k for k in own if k.startswith(f"{last}.") and (k not in state or state[k].shape != own[k].shape)
    ]
    if fresh:  # a bias of the right shape beside a weight of another would belong to other classes
        fresh = [k for k in own if k.startswith(f"{last}.")]
    wanted = [k for k in own if k not in fresh]
    missing = [k for k in wanted if k not in state]
    unknown = [k for k in state if k not in own]
    other = [
        f"{k} {tuple(state[k].shape)} instead of {tuple(own[k].shape)}"
        for k in wanted
        if k in state and state[k].shape != own[k].shape
    ]
    for problem, found in (("lacks", missing), ("has unknown", unknown), ("has other shapes:", other)):
        if found:
            raise ValueError(
                f"{key} does not fit model.name={name}: it {problem} {', '.join(found[:3])}"
                f"{f' and {len(found) - 3} more' if len(found) > 3 else ''}"
            )
    model.load_state_dict({**own, **{k: state[k] for k in wanted}})
    return (f"{key}: the last layer ({last}) is fresh, its shape is another there",) if fresh else ()


def _read_state(path: Path, key: str) -> dict[str, Tensor]:
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises whatever the damage leads to
        reason = (str(error).splitlines() or [""])[0]
        raise ValueError(f"{key} can't be loaded as weights: {type(error).__name__}: {reason}") from error
    for outer in ("state_dict", "model_state_dict", "model"):
        if isinstance(loaded, dict) and isinstance(loaded.get(outer), dict):
            loaded = loaded[outer]
    if not isinstance(loaded, dict) or not all(isinstance(value, Tensor) for value in loaded.values()):
        raise ValueError(f"{key} holds no state dict (a mapping from parameter names to tensors)")
    state = cast("dict[str, Tensor]", dict(loaded))
    for prefix in PREFIXES:
        if state and all(k.startswith(prefix) for k in state):
            state = {k.removeprefix(prefix): value for k, value in state.items()}
    return state


# ---- freezing


class _FrozenBatchNorm1d(nn.BatchNorm1d):
    """A BatchNorm that evaluates also in train mode."""

    def train(self, mode: bool = True) -> _FrozenBatchNorm1d:
        return super().train(False)


class _FrozenBatchNorm2d(nn.BatchNorm2d):
    """A BatchNorm that evaluates also in train mode."""

    def train(self, mode: bool = True) -> _FrozenBatchNorm2d:
        return super().train(False)


_FROZEN: dict[type[nn.Module], type[nn.Module]] = {
    nn.BatchNorm1d: _FrozenBatchNorm1d,
    nn.BatchNorm2d: _FrozenBatchNorm2d,
}


def _freeze(model: nn.Module) -> None:
    model.requires_grad_(False)
    model.get_submodule(_last_layer_name(model)).requires_grad_(True)
    for module in model.modules():
        frozen_class = _FROZEN.get(type(module))
        if frozen_class is not None:
            module.__class__ = frozen_class  # keeps names, values and identity, unlike a wrapper
            module.eval()


# ---- does it run?


def _check_forward(
    model: nn.Module, name: str, *, in_channels: int, image_size: int, num_classes: int
) -> None:
    """Run one empty image through the model, so that a size that it can't take is found before training."""
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            outputs = model(torch.zeros(1, in_channels, image_size, image_size))
    except (RuntimeError, ValueError, AssertionError) as error:
        reason = (str(error).splitlines() or [""])[0]
        raise ValueError(
            f"model.name={name} can't take images of data.image_size={image_size}: {reason}; "
            "choose a larger data.image_size or another model"
        ) from error
    finally:
        model.train(was_training)
    if tuple(outputs.shape) != (1, num_classes):
        raise ValueError(
            f"model.name={name} gives outputs of shape {tuple(outputs.shape)}, not (1, {num_classes})"
        )
