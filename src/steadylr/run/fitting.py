"""What can be done to any model once it is built: weights from a file, all but the last layer frozen, a trial image."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from steadylr.errors import InvalidValue

PREFIXES = ("module.", "model.")
"""What wrappers put before the names of all parameters, in any order."""

INNER = ("_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module.")
"""What wrappers of single layers put into the middle of names as well."""

NOTES = "steadylr_notes"
"""The attribute of a model that says how it came to be: sentences for the record."""


class ModelError(InvalidValue):
    """A model that can't be had as it is asked for; the message names the key."""


def add_note(model: nn.Module, note: str) -> None:
    """Have the record say something of a model."""
    setattr(model, NOTES, (*notes_of(model), note))


def notes_of(model: nn.Module) -> tuple[str, ...]:
    """What the record should say of how a model came to be."""
    return tuple(getattr(model, NOTES, ()))


def last_layer_name(model: nn.Module) -> str:
    """The name of the layer that gives the logits: the last linear or convolutional one.

    Raises:
        ModelError: there is none.
    """
    names: list[str] = [n for n, m in model.named_modules() if isinstance(m, nn.Linear | nn.Conv2d)]
    if not names:
        raise ModelError(
            f"{type(model).__name__} has no linear or convolutional layer that could be its last one"
        )
    return names[-1]


# ---- weights from a file


def load_weights(model: nn.Module, weights: str, *, name: str, published: Sequence[str] = ()) -> None:
    """Load a file with a state dict into a model.

    The last layer stays as it is where it has another shape in the file; a note says so.

    Args:
        model: gets the weights.
        weights: path of the file, loaded with weights_only=True; ~ is the home folder. The state dict may lie under
            state_dict, model_state_dict or model, and its names may begin as wrappers make them.
        name: of the model, for messages.
        published: names that would have stood for published weights, for messages.

    Raises:
        ModelError: a file that isn't there, can't be read, or doesn't fit.
    """
    path = Path(weights).expanduser()
    key = f"model.weights={str(path)!r}"
    if not path.is_file():
        also = f", nor one of those published for {name} ({', '.join(published)})" if published else ""
        raise ModelError(f"{key} is not a file{also}")
    own = model.state_dict()
    state = _as_named(_read_state(path, key), own)
    last = last_layer_name(model)
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
            raise ModelError(
                f"{key} does not fit {name}: it {problem} {', '.join(found[:3])}"
                f"{f' and {len(found) - 3} more' if len(found) > 3 else ''}"
            )
    model.load_state_dict({**own, **{k: state[k] for k in wanted}})
    if fresh:
        add_note(model, f"{key}: the last layer ({last}) is fresh, its shape is another there")


def _read_state(path: Path, key: str) -> dict[str, Tensor]:
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises whatever the damage leads to
        reason = (str(error).splitlines() or [""])[0]
        raise ModelError(f"{key} can't be loaded as weights: {type(error).__name__}: {reason}") from error
    for outer in ("state_dict", "model_state_dict", "model"):
        if isinstance(loaded, dict) and isinstance(loaded.get(outer), dict):
            loaded = loaded[outer]
    if not isinstance(loaded, dict) or not all(isinstance(value, Tensor) for value in loaded.values()):
        raise ModelError(f"{key} holds no state dict (a mapping from parameter names to tensors)")
    return cast("dict[str, Tensor]", dict(loaded))


def _as_named(state: dict[str, Tensor], own: Collection[str]) -> dict[str, Tensor]:
    """A state dict without what wrappers put into its names, as far as the model itself has no such names."""
    for part in INNER:
        if not any(part in name for name in own):
            state = {name.replace(part, ""): value for name, value in state.items()}
    while not state.keys() & set(own):
        shared = [prefix for prefix in PREFIXES if state and all(name.startswith(prefix) for name in state)]
        if not shared:
            break
        state = {name.removeprefix(shared[0]): value for name, value in state.items()}
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


def freeze(model: nn.Module) -> None:
    """Train the last layer only. All else keeps its values, BatchNorm's running statistics included.

    Its layers of BatchNorm evaluate also in train mode.
    """
    model.requires_grad_(False)
    model.get_submodule(last_layer_name(model)).requires_grad_(True)
    for module in model.modules():
        frozen_class = _FROZEN.get(type(module))
        if frozen_class is not None:
            module.__class__ = frozen_class  # keeps names, values and identity, unlike a wrapper
            module.eval()


# ---- does it run?


def check_forward(
    model: nn.Module, name: str, *, in_channels: int, image_size: int, num_classes: int
) -> None:
    """Run one empty image through a model, so that a size that it can't take is found before training.

    Raises:
        ModelError: it can't, or gives anything but one score for each class.
    """
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            outputs = model(torch.zeros(1, in_channels, image_size, image_size))
    except (RuntimeError, ValueError, AssertionError) as error:
        reason = (str(error).splitlines() or [""])[0]
        raise ModelError(
            f"model.name={name} can't take images of data.image_size={image_size}: {reason}; "
            "choose a larger data.image_size or another model"
        ) from error
    finally:
        model.train(was_training)
    if tuple(outputs.shape) != (1, num_classes):
        raise ModelError(
            f"model.name={name} gives outputs of shape {tuple(outputs.shape)}, not (1, {num_classes})"
        )
