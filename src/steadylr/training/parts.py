"""What one training consists of, and the model that a config asks for."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from steadylr.config.names import LIGHTNING

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.optim import Optimizer

    from steadylr.config.schema import Config
    from steadylr.run.data import TrainBatches
    from steadylr.run.own_data import LoaderBatches


@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """What one training consists of, where it was built: nothing is on its device yet, and nothing wrapped.

    Args:
        model: with its initial weights.
        optimizer: over parameters of the model.
        lr_ratios: the LR of each parameter group over that of the ramp or schedule.
        batches: what is iterated for batches, again and again if it ends. Each iter() starts at the first epoch.
        loss_fn: loss_fn(model(inputs), targets) for batches that are pairs; None where there is a step.
        step: step(model, batch) -> loss, for any other batch; None where there is a loss_fn.
        validate: validate(model) -> mean loss on held-out data, or None where there are none. It sets no modes:
            call it in eval mode (the optimizer too, where it has modes: set_train_mode) and without gradients.
        batch_size: samples per batch, for messages; None where nobody knows.
        drawn: drawn() says which of the streams init, order and augment have been drawn from so far; the order
            and augment streams are drawn from while the batches are iterated. Whether noise is, a training sees.
        notes: what the record should say of how they were built.
    """

    model: nn.Module
    optimizer: Optimizer
    lr_ratios: tuple[float, ...]
    batches: Iterable[Any]
    loss_fn: Callable[[Any, Any], Tensor] | None
    step: Callable[[Any, Any], Tensor] | None
    validate: Callable[[nn.Module], float | Tensor] | None
    batch_size: int | None
    drawn: Callable[[], dict[str, bool]]
    notes: tuple[str, ...] = ()


LossFn = Callable[[Any, Any], "Tensor"]

Validate = Callable[["nn.Module"], "float | Tensor"]


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """Data, wherever they come from.

    Args:
        batches: of the training data.
        image_facts: image_facts() gives the number of classes and channels and the size of the images, for models and
            losses of this project.
        validate: from a loss_fn or a step to what measures it on validation data; to None where there are none.
        notes: what the record should say of them.
        data_module: a LightningDataModule in place of batches, or None.
    """

    batches: TrainBatches | LoaderBatches
    image_facts: Callable[[], tuple[int, int, int]]
    validate: Callable[[LossFn | None, LossFn | None], Validate | None]
    notes: tuple[str, ...] = ()
    data_module: Any = None


def build_one_model(
    config: Config, image_facts: Callable[[], tuple[int, int, int]]
) -> tuple[nn.Module, tuple[str, ...]]:
    """The model that a config asks for, drawing from the global generator, and what the record should say of it.

    Args:
        config: what to train.
        image_facts: image_facts() gives the number of classes and channels and the size of the images.

    Raises:
        ValueError: a model that can't be had, or a LightningModule that the config does not call one.
    """
    from torch import nn

    from steadylr.run.lightning_module import is_lightning
    from steadylr.run.models import build_model
    from steadylr.run.own_code import OwnCodeError, build
    from steadylr.run.transformers_model import build_transformers

    asked = config.model
    if asked._target_ is not None:
        model = build(asked._target_, asked.kwargs, key="model._target_", prefix="model")
        if not isinstance(model, nn.Module):
            raise OwnCodeError(
                f"model._target_={asked._target_} must give a torch.nn.Module; it gave a {type(model).__name__}"
            )
        if is_lightning(model) and asked.library != LIGHTNING:
            raise OwnCodeError(
                f"model._target_={asked._target_} gives a LightningModule: take model=lightning, or put library: "
                "lightning beside _target_ in your own YAML"
            )
        return model, ()
    if asked.library == "huggingface":
        facts = image_facts() if config.data._target_ is None else (None, None, None)
        return build_transformers(
            asked.name,
            num_classes=facts[0],
            in_channels=facts[1],
            image_size=facts[2],
            weights=asked.weights,
            kwargs=asked.kwargs,
        )
    num_classes, in_channels, image_size = image_facts()
    built, notes = build_model(
        asked.name,
        num_classes=num_classes,
        in_channels=in_channels,
        image_size=image_size,
        library=asked.library,
        weights=asked.weights,
        freeze=asked.freeze,
        kwargs=asked.kwargs,
    )
    return built, tuple(notes)
