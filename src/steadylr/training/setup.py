"""What one training consists of, and the data and the model that a config asks for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from steadylr.config.targets import transforms_of
from steadylr.run.fingerprint import DataError
from steadylr.run.ranks import ALONE, Rank

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.optim import Optimizer

    from steadylr.config.schema import Config
    from steadylr.run.augmentation import Augmentation
    from steadylr.run.device import Device
    from steadylr.run.randomness import Streams
    from steadylr.run.snapshot import Stateful
    from steadylr.run.training_data import ImageFacts, LoaderBatches, TrainBatches


@dataclass(frozen=True, slots=True, eq=False)
class TrainingSetup:
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
        others: what else the step trains: see Options.
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
    others: Sequence[Stateful] = ()


LossFn = Callable[[Any, Any], "Tensor"]

Validate = Callable[["nn.Module"], "float | Tensor"]


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """Data, wherever they come from.

    Args:
        batches: of the training data.
        image_facts: image_facts() gives the number of classes and channels and the size of the images; a DataError
            where the data do not tell.
        validate: from a loss_fn or a step to what measures it on validation data; to None where there are none.
        notes: what the record should say of them.
        data_module: a LightningDataModule in place of batches, or None.
    """

    batches: TrainBatches | LoaderBatches
    image_facts: Callable[[], ImageFacts]
    validate: Callable[[LossFn | None, LossFn | None], Validate | None]
    notes: tuple[str, ...] = ()
    data_module: Any = None


def build_samples(config: Config, *, streams: Streams, device: Device, rank: Rank = ALONE) -> Samples:
    """Build the data that a config asks for; what that draws is the same for every seed.

    Args:
        config: what to train.
        streams: the seeds.
        device: where it will be trained: says how batches are laid out and how many processes prepare them.
        rank: whose share of each batch comes.

    Raises:
        ValueError: data that can't be had as the config says.
        Exception: whatever the user's own code raises.
    """
    from steadylr.run import training_data as made_of
    from steadylr.run.held_out import validation_batches, validation_of
    from steadylr.run.lightning_module import is_lightning
    from steadylr.run.randomness import kept_generators, seed_generators
    from steadylr.training.targets import called, target_of

    asked = config.data
    with kept_generators():
        seed_generators(0)
        offers = {
            "augmentation": lambda: build_augmentation(config),
            "channels_last": lambda: device.channels_last,
        }
        made = called(target_of("data", asked, offers))
    if is_lightning(made, kind="LightningDataModule"):
        return data_module_samples(made)
    data = made_of.training_data(made, path=asked._target_)
    if config.finder.val_every and data.validation is None:
        raise DataError(
            f"finder.val_every={config.finder.val_every} needs validation data: {asked._target_} must give a pair "
            "(training data, validation data)"
        )
    batches = made_of.train_batches(
        data,
        batch_size=asked.batch_size,
        streams=streams,
        workers=asked.workers,
        cores=device.threads,
        pin_memory=device.kind == "cuda" if asked.pin_memory is None else asked.pin_memory,
        drop_last=asked.drop_last,
        rank=rank,
    )
    held_out = validation_batches(data, size=config.finder.val_samples, batch_size=asked.batch_size)
    return Samples(
        batches=batches,
        image_facts=cache(partial(made_of.image_facts, data)),
        validate=lambda loss_fn, step: (
            None if held_out is None else validation_of(held_out, loss_fn=loss_fn, step=step)
        ),
        notes=batches.notes,
    )


def data_module_samples(data_module: Any) -> Samples:
    """A LightningDataModule as data: it gives its loader once there is a module to set it up with."""
    from steadylr.run.training_data import LOADER_ORDER, LoaderBatches

    def no_facts() -> ImageFacts:
        raise DataError(
            f"{type(data_module).__name__} is a LightningDataModule: it goes with model=lightning"
        )

    return Samples(
        batches=LoaderBatches(()),
        image_facts=no_facts,
        validate=lambda loss_fn, step: None,
        notes=(LOADER_ORDER,),
        data_module=data_module,
    )


def build_augmentation(config: Config) -> Augmentation | None:
    """The transforms that a config asks for; sizes that it does not give are the images'.

    Raises:
        ValueError: a transform that can't be had or used, or an argument that it does not take.
    """
    from steadylr.run.augmentation import Augmentation, interpolation
    from steadylr.training.targets import transform_of

    size = config.data.image_size
    offers = {"size": lambda: None if size is None else (size, size)}
    made = []
    for name, entry in transforms_of(config.augmentation).items():
        prefix = f"augmentation.transforms.{name}"
        if isinstance(entry.get("interpolation"), str):
            mode = interpolation(entry["interpolation"], key=f"{prefix}.interpolation")
            entry = {**entry, "interpolation": mode}
        made.append(transform_of(entry, prefix=prefix, offers=offers))
    return Augmentation.of(made)


def build_model(config: Config, image_facts: Callable[[], ImageFacts]) -> nn.Module:
    """The model that a config asks for, drawing from the global generator.

    Args:
        config: what to train.
        image_facts: image_facts() gives the number of classes and channels and the size of the images.

    Raises:
        ValueError: a model that can't be had, or a LightningModule that the config does not call one.
    """
    from torch import nn

    from steadylr.config.located import Signature, TargetError
    from steadylr.run.fitting import freeze, load_weights
    from steadylr.run.lightning_module import is_lightning
    from steadylr.training.targets import called, load, target_of

    asked = config.model
    offers = {
        name: (lambda name=name: getattr(image_facts(), name))
        for name in ("num_classes", "in_channels", "image_size")
    }
    model = called(target_of("model", asked, offers))
    if not isinstance(model, nn.Module):
        raise TargetError(
            f"model._target_={asked._target_} must give a torch.nn.Module; it gave a {type(model).__name__}"
        )
    if is_lightning(model) and not asked.is_lightning:
        raise TargetError(
            f"model._target_={asked._target_} gives a LightningModule: take model=lightning, or put is_lightning: true "
            "beside _target_ in your own YAML"
        )
    signature = Signature.of(load(asked._target_, key="model._target_"))
    if asked.weights is not None and (signature is None or not signature.takes("weights")):
        load_weights(model, asked.weights, name=asked.called)
    if asked.freeze and (signature is None or not signature.takes("freeze")):
        freeze(model)
    return model
