"""Models of Hugging Face's transformers: by class name, and the step that takes the loss from their answer."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from steadylr.run.extras import needed
from steadylr.run.fabric import move_data_to_device
from steadylr.run.fitting import ModelError, add_note
from steadylr.run.names import check_kwargs, did_you_mean
from steadylr.run.steps import Step, StepError


def transformers_model(
    name: str,
    num_classes: int | None = None,
    in_channels: int | None = None,
    image_size: int | None = None,
    *,
    weights: str | None = None,
    **kwargs: Any,
) -> nn.Module:
    """Build a model of transformers that answers with a loss, drawing from the global generator.

    Args:
        name: a class of transformers, such as BertForSequenceClassification.
        num_classes, in_channels, image_size: of the images, where that is what it trains on: they fill num_labels,
            num_channels and image_size of a config that has them, unless kwargs do.
        weights: None (random), or a folder that save_pretrained wrote, or the name of a model on the Hub. A last
            layer of another shape is fresh.
        kwargs: values of the model's config, such as hidden_size=128.

    Raises:
        MissingPackage: transformers isn't installed.
        ModelError: no such class, a value that the config does not know, or weights that can't be loaded.
    """
    transformers = needed("transformers", by=f"model.name={name}")
    model_class: Any = getattr(transformers, name, None)
    config_class: Any = getattr(model_class, "config_class", None)
    if config_class is None:
        classes = [each for each in dir(transformers) if "For" in each or "LMHead" in each]
        raise ModelError(
            f"model.name={name!r} is no model class of transformers; {did_you_mean(name, classes)}"
        )
    known = set(config_class().to_dict()) | {"num_labels"}
    try:
        check_kwargs(kwargs, known, key="model")
    except ValueError as error:
        raise ModelError(f"{error} (these are the values of the config of {name})") from None
    images = {"num_labels": num_classes, "num_channels": in_channels, "image_size": image_size}
    filled = {key: value for key, value in images.items() if key in known and value is not None}
    values = {**filled, **kwargs}
    try:
        if weights is None:
            made: nn.Module = model_class(config_class(**values))
            return made
        folder = Path(weights).expanduser()
        source = str(folder) if folder.is_dir() else weights
        model: nn.Module = model_class.from_pretrained(source, ignore_mismatched_sizes=True, **values)
    except (TypeError, ValueError, KeyError, OSError) as error:
        raise ModelError(f"model.name={name} can't be built with {values}: {error}") from error
    add_note(model, f"model.weights={weights}: a last layer of another shape is fresh")
    return model


def is_transformers(model: Any) -> bool:
    """Whether a model is one of transformers, which answers a batch with its loss."""
    return any(
        base.__name__ == "PreTrainedModel" and base.__module__.startswith("transformers.")
        for base in type(model).__mro__
    )


# ---- the step


def step(model: nn.Module, batch: Mapping[str, Any]) -> Tensor:
    """The loss that a model answers a batch with: model(**batch).loss.

    Args:
        model: a model of transformers, or one like it: its output has a loss, as an attribute or an entry.
        batch: from the names of the model's arguments to tensors, labels among them; it is moved to the model.

    Raises:
        StepError: a batch that is no mapping, or an answer without a loss; the message names the model.
    """
    if not isinstance(batch, Mapping):
        raise StepError(
            f"a batch for {_name(model)} must be a mapping from argument names to tensors; "
            f"got {type(batch).__name__}: let the loader's collate_fn make one "
            "(transformers.default_data_collator does)"
        )
    first = next(model.parameters(), None)
    inputs = dict(batch) if first is None else move_data_to_device(dict(batch), first.device)
    output = model(**inputs)
    loss = output.get("loss") if isinstance(output, Mapping) else getattr(output, "loss", None)
    if not isinstance(loss, Tensor):
        raise StepError(
            f"{_name(model)} answered with {type(output).__name__} without a loss to a batch of "
            f"{', '.join(map(str, batch))}: a model of transformers computes it when the batch has labels and "
            "return_dict is on; for any other model write a step(model, batch) that returns the loss"
        )
    return loss


def _name(model: nn.Module) -> str:
    """The class of the user's model, not that of what wraps it."""
    inner = getattr(model, "_orig_mod", getattr(model, "module", model))
    return type(inner).__name__


def image_step(model: nn.Module) -> Step:
    """A step for batches that are mappings, and for pairs (inputs, labels) as our images come in.

    Args:
        model: of transformers; it says what its first argument is called.
    """
    argument = getattr(model, "main_input_name", "input_ids")

    def take_step(wrapped: Any, batch: Any) -> Tensor:
        if isinstance(batch, tuple | list) and len(batch) == 2:
            batch = {argument: batch[0], "labels": batch[1]}
        return step(wrapped, batch)

    return take_step
