"""From a config to what one training consists of: a model, an optimizer, batches and a loss, not yet placed.

Whoever trains (along a ramp, along a schedule, on one device or on several) takes a TrainingSetup and places it. torch
is imported when one is built.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from steadylr.run.fingerprint import DataError
from steadylr.run.ranks import ALONE, Rank
from steadylr.training.setup import LossFn, TrainingSetup, build_model, build_samples

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer

    from steadylr.config.schema import Config
    from steadylr.run.device import Device
    from steadylr.run.randomness import Streams
    from steadylr.run.training_data import ImageFacts


def build_setup(config: Config, *, streams: Streams, device: Device, rank: Rank = ALONE) -> TrainingSetup:
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
    from steadylr.run.fitting import notes_of
    from steadylr.run.randomness import drawing_init

    samples = build_samples(config, streams=streams, device=device, rank=rank)
    if config.model.is_lightning:
        from steadylr.training.lightning import build_lightning

        return build_lightning(config, samples, streams=streams)
    if samples.data_module is not None:
        raise DataError(
            f"data._target_={config.data._target_} gives a LightningDataModule, which goes with a LightningModule: "
            "take model=lightning, or name a function that gives a data set or a loader"
        )
    with drawing_init(streams) as init:
        model = build_model(config, samples.image_facts)
    optimizer, ratios = _optimizer(config, model)
    loss_fn, step = _loss(config, model, samples.image_facts)
    batches = samples.batches
    return TrainingSetup(
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
        notes=(*notes_of(model), *samples.notes),
    )


def _optimizer(config: Config, model: nn.Module) -> tuple[Optimizer, tuple[float, ...]]:
    from steadylr.run.optimizers import build_optimizer
    from steadylr.training.targets import called, target_of

    asked = config.optimizer
    target = target_of("optimizer", asked, {"model": lambda: model})
    return build_optimizer(
        lambda parts, lr: called(target, parts, lr=lr),
        model,
        lr=config.finder.start_lr,
        groups=[(group.pattern, group.lr_mult, group.weight_decay) for group in asked.groups],
        called=f"optimizer._target_={asked._target_}",
    )


def _loss(
    config: Config, model: nn.Module, image_facts: Callable[[], ImageFacts]
) -> tuple[LossFn | None, LossFn | None]:
    """The loss on pairs, or the step on whole batches: one of the two."""
    from steadylr.config.located import TargetError
    from steadylr.run.transformers_model import image_step, is_transformers
    from steadylr.training.targets import called, function_of, target_of

    asked = config.loss
    if is_transformers(model) and asked._target_.startswith(
        ("torch.", "steadylr.")
    ):  # it has a loss of its own
        return None, image_step(model)
    target = target_of("loss", asked, {"num_classes": lambda: image_facts().num_classes})
    function: Any = target
    if inspect.isclass(function_of(target)):  # an object of which is called; a function is called itself
        function = called(target)
    if not callable(function):
        raise TargetError(
            f"loss._target_={asked._target_} must be a function, or a class whose objects can be called"
        )
    return (None, function) if asked.as_step else (function, None)
