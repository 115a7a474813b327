"""Which processes do a training: this one, or one for each of several devices."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from steadylr.run.ranks import torchrun_rank
from steadylr.training.identity import Training
from steadylr.training.train import RawRun, train_rank

if TYPE_CHECKING:
    from steadylr.config.schema import Config
    from steadylr.present.progress import StepReport


def train(
    config: Config, training: Training, *, report: StepReport | None = None, gpus: Sequence[int] = ()
) -> RawRun:
    """Do the training that a config asks for: in this process, or in one per device where there are several.

    Args:
        config: what to train.
        training: describe_training of it; gives the number of threads.
        report: told after every step, or every now and then by a training in other processes.
        gpus: which GPUs, one per device; empty: the first ones.

    Raises:
        ValueError: data, a model, an optimizer or a device that can't be had as the config says.
        OutOfMemory: it did not fit.
        TrainingFailed: something went wrong in one of several processes.
    """
    if config.device.devices == 1:
        return train_rank(config, training, report=report, gpu=gpus[0] if gpus else 0)
    if torchrun_rank() is not None:
        from steadylr.training.torchrun import train_in_torchrun

        return train_in_torchrun(config, training, report=report)
    from steadylr.training.ranks import in_ranks

    work = partial(train_rank, config, training)
    return in_ranks(work, config.device.devices, report=report, gpus=gpus)
