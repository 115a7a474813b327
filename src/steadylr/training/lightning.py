"""The parts of a training whose model is a LightningModule, which brings its optimizers and its loss."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from steadylr.config.errors import BadInput
from steadylr.run.fitting import notes_of
from steadylr.run.lightning_module import take_apart
from steadylr.run.randomness import Streams, drawing_init, kept_generators, seed_generators
from steadylr.run.training_data import LoaderBatches
from steadylr.training.setup import Samples, TrainingSetup, build_model

if TYPE_CHECKING:
    from steadylr.config.schema import Config


def build_lightning(config: Config, samples: Samples, *, streams: Streams) -> TrainingSetup:
    """Build a LightningModule and take it apart; its weights are drawn from the init stream.

    Args:
        config: names the module under model._target_.
        samples: this project's data, the user's, or a LightningDataModule.
        streams: the seeds.

    Raises:
        ValueError: a module that can't be tested, no LightningModule, or validation that nothing is there for.
    """
    with drawing_init(streams) as init:
        module = build_model(config, samples.image_facts)
        data_module = samples.data_module
        parts = take_apart(
            module,
            samples.batches if data_module is None else data_module,
            optimizer=config.model.optimizer_index,
            num_steps=config.finder.num_iter,
            drawing_data=_same_for_every_seed(),
        )
    if parts.held and config.device.precision == "16-mixed":
        raise BadInput(
            "device.precision=16-mixed scales the loss for one optimizer, and the module has several: "
            "take bf16-mixed or 32"
        )
    validate = samples.validate(None, parts.step)
    if config.finder.val_every and validate is None:
        raise BadInput(
            f"finder.val_every={config.finder.val_every} needs validation data, which this project does not take from "
            "a LightningDataModule: set finder.val_every=0, or name a function that gives two data sets under "
            "data._target_"
        )
    batches = samples.batches if data_module is None else LoaderBatches(parts.batches)
    return TrainingSetup(
        model=parts.module,
        optimizer=parts.optimizer,
        lr_ratios=parts.lr_ratios,
        batches=batches,
        loss_fn=None,
        step=parts.step,
        validate=validate,
        batch_size=config.data.batch_size if data_module is None else None,
        drawn=lambda: {
            "init": init.used,
            "order": batches.order_used,
            "augment": batches.augment_used,
        },
        notes=(*notes_of(module), *parts.notes, *samples.notes),
        others=parts.held,
    )


@contextmanager
def _same_for_every_seed() -> Iterator[None]:
    """Within this context a random split comes out the same for every seed, as with all data."""
    with kept_generators():
        seed_generators(0)
        yield
