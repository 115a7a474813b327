"""From a config to what one training consists of: a model, an optimizer, batches and a loss, not yet placed.

Whoever trains (along a ramp, along a schedule, on one device or on several) takes a Parts and places it; whoever
brings another kind of model or data makes one. torch is imported when parts are built.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from steadylr.run.ranks import ALONE, Rank

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.optim import Optimizer

    from steadylr.app.schema import Config
    from steadylr.run.device import Device
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
            call it in eval mode and without gradients.
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
    """
    from steadylr.run.augmentation import build_augmentation
    from steadylr.run.data import ValidationBatches, default_data_workers, load_data, make_batches
    from steadylr.run.losses import build_loss, mean_loss
    from steadylr.run.models import build_model
    from steadylr.run.optimizers import build_optimizer
    from steadylr.run.randomness import drawing_init

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
    with drawing_init(streams) as init:
        model, notes = build_model(
            config.model.name,
            num_classes=data.num_classes,
            in_channels=data.in_channels,
            image_size=data.image_size,
            weights=config.model.weights,
            freeze=config.model.freeze,
            kwargs=config.model.kwargs,
        )
    optimizer, ratios = build_optimizer(
        config.optimizer.name,
        model,
        lr=finder.start_lr,
        weight_decay=config.optimizer.weight_decay,
        kwargs=config.optimizer.kwargs,
        groups=[(group.pattern, group.lr_mult, group.weight_decay) for group in config.optimizer.groups],
    )
    loss_kwargs = {"label_smoothing": config.loss.label_smoothing} if config.loss.label_smoothing else {}
    loss = build_loss(config.loss.name, num_classes=data.num_classes, kwargs=loss_kwargs)
    held_out = ValidationBatches(
        data,
        size=finder.val_samples,
        batch_size=data_config.batch_size,
        channels_last=device.channels_last,
    )
    return Parts(
        model=model,
        optimizer=optimizer,
        lr_ratios=ratios,
        batches=batches,
        loss_fn=loss,
        step=None,
        validate=lambda trained: mean_loss(trained, held_out, loss),
        batch_size=data_config.batch_size,
        drawn=lambda: {
            "init": init.used,
            "order": batches.order_used,
            "augment": batches.augment_used,
        },
        notes=tuple(notes),
    )
