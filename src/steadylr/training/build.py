"""From a config to what one training consists of: a model, an optimizer, batches and a loss, not yet placed.

Whoever trains (along a ramp, along a schedule, on one device or on several) takes a Parts and places it; whoever
brings another kind of model or data makes one. torch is imported when parts are built.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from steadylr.config.names import LIGHTNING
from steadylr.run.fingerprint import DataError
from steadylr.run.ranks import ALONE, Rank
from steadylr.training.parts import LossFn, Parts, Samples, build_one_model

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer

    from steadylr.config.schema import Config
    from steadylr.run.device import Device
    from steadylr.run.randomness import Streams


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
        from steadylr.training.lightning import build_lightning

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
    from steadylr.training.lightning import data_module_samples

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
) -> tuple[LossFn | None, LossFn | None]:
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
