"""From a config to what one training consists of: a model, an optimizer, batches and a loss, not yet placed.

Whoever trains (along a ramp, along a schedule, on one device or on several) takes a Parts and places it; whoever
brings another kind of model or data makes one. torch is imported when parts are built.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from steadylr.app.checks import LIGHTNING
from steadylr.run.fingerprint import DataError
from steadylr.run.ranks import ALONE, Rank

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.optim import Optimizer

    from steadylr.app.schema import Config
    from steadylr.run.data import TrainBatches
    from steadylr.run.device import Device
    from steadylr.run.own_data import LoaderBatches
    from steadylr.run.randomness import Streams


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


def build_parts(config: Config, *, streams: Streams, device: Device, rank: Rank = ALONE) -> Parts:
    """Build what a config asks to train.

    The weights are drawn from the init stream; the global random generators are as they were before.

    Args:
        config: what to train.
        streams: the seeds.
        device: where it will be trained: says how batches are laid out and how many processes prepare them.
        rank: whose share of each batch comes.

    Raises:
        ValueError: data, a model, an optimizer or a loss that can't be had as the config says.
        Exception: whatever the user's own code raises.
    """
    from steadylr.run.randomness import drawing_init

    if config.data._target_ is None:
        samples = _project_data(config, streams=streams, device=device, rank=rank)
    else:
        samples = _own_data(config, streams=streams, device=device)
    if config.model.library == LIGHTNING:
        from steadylr.app.lightning_parts import build_lightning

        return build_lightning(config, samples, streams=streams)
    if samples.data_module is not None:
        raise DataError(
            f"data._target_={config.data._target_} gives a LightningDataModule, which goes with a LightningModule: "
            "take model=lightning, or name a function that gives a data set or a loader"
        )
    with drawing_init(streams) as init:
        model, notes = build_one_model(config, samples.image_facts)
    optimizer, ratios = _optimizer(config, model)
    loss_fn, step = _loss(config, model, samples.image_facts)
    batches = samples.batches
    return Parts(
        model=model,
        optimizer=optimizer,
        lr_ratios=ratios,
        batches=batches,
        loss_fn=loss_fn,
        step=step,
        validate=samples.validate(loss_fn, step),
        batch_size=config.data.batch_size,
        drawn=lambda: {
            "init": init.used,
            "order": batches.order_used,
            "augment": batches.augment_used,
        },
        notes=(*notes, *samples.notes),
    )


_LossFn = Callable[[Any, Any], "Tensor"]
_Validate = Callable[["nn.Module"], "float | Tensor"]


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
    validate: Callable[[_LossFn | None, _LossFn | None], _Validate | None]
    notes: tuple[str, ...] = ()
    data_module: Any = None


def _project_data(config: Config, *, streams: Streams, device: Device, rank: Rank) -> Samples:
    from steadylr.run.augmentation import build_augmentation
    from steadylr.run.data import ValidationBatches, default_data_workers, load_data, make_batches
    from steadylr.run.own_data import validation_of

    data_config, finder = config.data, config.finder
    data = load_data(
        data_config.name,
        root=data_config.root,
        download=data_config.download,
        image_size=data_config.image_size,
        mean=data_config.mean,
        std=data_config.std,
    )
    batches = make_batches(
        data,
        batch_size=data_config.batch_size,
        streams=streams,
        workers=default_data_workers(data, cores=device.threads)
        if data_config.workers is None
        else data_config.workers,
        pin_memory=device.kind == "cuda" if data_config.pin_memory is None else data_config.pin_memory,
        drop_last=data_config.drop_last,
        augmentation=build_augmentation(config.augmentation.transforms, image_size=data.image_size),
        channels_last=device.channels_last,
        rank=rank,
    )
    held_out = ValidationBatches(
        data,
        size=finder.val_samples,
        batch_size=data_config.batch_size,
        channels_last=device.channels_last,
    )
    return Samples(
        batches=batches,
        image_facts=lambda: (data.num_classes, data.in_channels, data.image_size),
        validate=lambda loss_fn, step: validation_of(held_out, loss_fn=loss_fn, step=step),
    )


def _own_data(config: Config, *, streams: Streams, device: Device) -> Samples:
    from steadylr.app.lightning_parts import data_module_samples
    from steadylr.run.lightning_module import is_lightning
    from steadylr.run.own_code import build
    from steadylr.run.own_data import (
        OWN_ORDER,
        LoaderBatches,
        image_facts,
        own_data,
        own_train_batches,
        own_validation_batches,
        validation_of,
    )
    from steadylr.run.randomness import kept_generators, seed_generators

    asked = config.data
    assert asked._target_ is not None
    with kept_generators():
        seed_generators(0)  # a random split or made-up data are the same for every seed
        made = build(asked._target_, asked.kwargs, key="data._target_", prefix="data")
    if is_lightning(made, kind="LightningDataModule"):
        return data_module_samples(made)
    data = own_data(made, path=asked._target_)
    if config.finder.val_every and data.validation is None:
        raise DataError(
            f"finder.val_every={config.finder.val_every} needs validation data: {asked._target_} must give a pair "
            "(training data, validation data)"
        )
    batches = own_train_batches(
        data,
        batch_size=asked.batch_size,
        streams=streams,
        workers=asked.workers or 0,
        pin_memory=device.kind == "cuda" if asked.pin_memory is None else asked.pin_memory,
        drop_last=asked.drop_last,
    )
    held_out = own_validation_batches(data, size=config.finder.val_samples, batch_size=asked.batch_size)
    return Samples(
        batches=batches,
        image_facts=lambda: image_facts(data),
        validate=lambda loss_fn, step: (
            None if held_out is None else validation_of(held_out, loss_fn=loss_fn, step=step)
        ),
        notes=(OWN_ORDER,) if isinstance(batches, LoaderBatches) else (),
    )


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


def _optimizer(config: Config, model: nn.Module) -> tuple[Optimizer, tuple[float, ...]]:
    from steadylr.run.optimizers import build_optimizer
    from steadylr.run.own_code import built_arguments, check_arguments, load

    asked = config.optimizer
    own, kwargs = None, asked.kwargs
    if asked._target_ is not None:
        own = load(asked._target_, key="optimizer._target_")
        kwargs = built_arguments(asked.kwargs, prefix="optimizer")
        check_arguments(own, {"lr": 0.1, **kwargs}, path=asked._target_, prefix="optimizer", filled=1)
    return build_optimizer(
        asked.name,
        model,
        lr=config.finder.start_lr,
        weight_decay=asked.weight_decay,
        kwargs=kwargs,
        groups=[(group.pattern, group.lr_mult, group.weight_decay) for group in asked.groups],
        own=own,
    )


def _loss(
    config: Config, model: nn.Module, image_facts: Callable[[], tuple[int, int, int]]
) -> tuple[_LossFn | None, _LossFn | None]:
    """The loss on pairs, or the step on whole batches: one of the two."""
    from steadylr.run.losses import build_loss
    from steadylr.run.own_code import bound
    from steadylr.run.transformers_model import image_step, is_transformers

    asked = config.loss
    if asked._target_ is not None:
        function = bound(asked._target_, asked.kwargs, key="loss._target_", prefix="loss", filled=2)
        return (None, function) if asked.as_step else (function, None)
    if is_transformers(model):
        return None, image_step(model)
    kwargs = {"label_smoothing": asked.label_smoothing} if asked.label_smoothing else {}
    num_classes = image_facts()[0] if asked.name == "mse" else 1  # which cross entropy does not ask for
    return build_loss(asked.name, num_classes=num_classes, kwargs=kwargs), None
