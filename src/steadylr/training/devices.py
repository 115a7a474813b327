"""What a training may use of the machine, and which processes do it: this one, or one for each of several devices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from steadylr.run.environment import cpu_cores, visible_gpus
from steadylr.run.ranks import torchrun_rank
from steadylr.training.identity import Training
from steadylr.training.train import train_rank

if TYPE_CHECKING:
    from steadylr.config.schema import Config
    from steadylr.present.progress import StepReport
    from steadylr.store.curve_file import RunCurves


@dataclass(frozen=True, slots=True)
class Share:
    """What one training may use of the machine. It is in the record of a training, and no part of its key.

    Args:
        threads: of each of its processes, at least 1.
        gpus: which GPUs, one per device; empty: the first ones.
    """

    threads: int
    gpus: tuple[int, ...] = ()

    @property
    def first_gpu(self) -> int:
        """The GPU of a training on one device."""
        return self.gpus[0] if self.gpus else 0


def threads_for(config: Config, *, workers: int) -> int:
    """Threads of one device's process: what the config says, else the cores divided by the processes that train.

    Args:
        config: of one training.
        workers: how many trainings share the machine.
    """
    if config.device.threads is not None:
        return config.device.threads
    rank = torchrun_rank()
    here = config.device.devices if rank is None else rank.local_count
    return max(1, cpu_cores() // (workers * here))


def shared_gpus(trainings: Sequence[Training]) -> Sequence[str]:
    """The GPUs that some trainings share; none where they train elsewhere."""
    on_gpus = bool(trainings) and trainings[0].shape["device_kind"] == "cuda"
    return visible_gpus() if on_gpus else ()


def train(config: Config, training: Training, *, share: Share, report: StepReport | None = None) -> RunCurves:
    """Do the range test that a config asks for: in this process, or in one per device where there are several.

    Args:
        config: what to train.
        training: describe_training of it.
        share: what it may use of the machine.
        report: told after every step, or every now and then by a training in other processes.

    Raises:
        ValueError: data, a model, an optimizer or a device that can't be had as the config says.
        OutOfMemory: it did not fit.
        TrainingFailed: something went wrong in one of several processes.
    """
    if config.device.devices == 1:
        return train_rank(config, training, threads=share.threads, report=report, gpu=share.first_gpu)
    if torchrun_rank() is not None:
        from steadylr.training.torchrun import train_in_torchrun

        return train_in_torchrun(config, training, threads=share.threads, report=report)
    from steadylr.training.ranks import in_ranks

    work = partial(train_rank, config, training, threads=share.threads)
    return in_ranks(work, config.device.devices, report=report, gpus=share.gpus)
