"""Trials: the short OneCycle trainings of a verification. What identifies one, how it is done, and the store."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from steadylr.config.schema import Seeds, Strategy
from steadylr.run.names import STREAMS
from steadylr.training.identity import Training, describe_training

if TYPE_CHECKING:
    from steadylr.config.schema import Config
    from steadylr.core.onecycle import Plan
    from steadylr.present.progress import StepReport
    from steadylr.store.curve_store import TrialStore
    from steadylr.store.trial_file import Trial

TRIAL_VERSION = 1
"""Raised whenever a trial would take other steps, or be judged by another loss, from the same config and plan."""

ALL_SAMPLES = 10**9
"""More validation samples than anybody has: all of them."""


def trial_config(config: Config, *, seed: int, total_steps: int, val_samples: int | None) -> Config:
    """The config of a trial: a job's, with one seed for all streams and the trial's length, on one device.

    Several devices share a batch among them, so that one device takes the same steps.

    Args:
        config: of a range test.
        seed: of all streams.
        total_steps: optimizer steps.
        val_samples: validation samples that the trial is judged by; None: all.
    """
    finder = replace(config.finder, num_iter=total_steps, val_samples=val_samples or ALL_SAMPLES, val_every=0)
    device = replace(config.device, strategy=Strategy.single, devices=1)
    seeds = Seeds(*(seed for _ in STREAMS))
    return replace(config, seed=seed, seeds=seeds, finder=finder, device=device)


def describe_trial(config: Config, plan: Plan, *, threads: int) -> Training:
    """Say what identifies a trial, without importing torch.

    Of the finder's keys only those count that a trial depends on: it has no ramp.

    Raises:
        DataError: the data isn't where the config says.
    """
    finder = config.finder
    training = describe_training(config, threads=threads)
    schedule = {key: value for key, value in plan.as_dict().items() if key not in ("low", "high")}
    trial = {
        "one_cycle": schedule,
        "trial": TRIAL_VERSION,
        "finder": {
            "accumulation_steps": finder.accumulation_steps,
            "diverge_th": finder.diverge_th,
            "val_samples": finder.val_samples,
        },
    }
    return replace(training, shape={**training.shape, **trial})


def open_trials(config: Config, *, create: bool = True) -> TrialStore | None:
    """The store that a config names; None when it is switched off, or isn't there and is not to be made."""
    from steadylr.store.curve_store import TrialStore

    folder = Path(config.store.dir)
    if not config.store.enabled or (not create and not folder.is_dir()):
        return None
    return TrialStore(folder, create=create)


def obtain_trial(
    config: Config,
    training: Training,
    *,
    plan: Plan,
    report: StepReport | None = None,
    gpus: Sequence[int] = (),
) -> Trial:
    """The trial from the store, or trained now and stored.

    Args:
        config: trial_config of a job's config.
        training: describe_trial of it.
        plan: the schedule.
        report: told after every step.
        gpus: which GPU, alone in it; empty: the first.

    Raises:
        Exception: whatever ended the training.
    """

    def train_now() -> tuple[Trial, tuple[str, ...]]:
        return train_trial(config, training, plan, report=report, gpus=gpus)

    store = open_trials(config)
    if store is None:
        return train_now()[0]
    return store.obtain(training.shape, training.seeds, train_now)[0]


def train_trial(
    config: Config,
    training: Training,
    plan: Plan,
    *,
    report: StepReport | None = None,
    gpus: Sequence[int] = (),
) -> tuple[Trial, tuple[str, ...]]:
    """Do a trial; arguments and errors as obtain_trial.

    Returns:
        The numbers, and the names of the random streams that something drew from.
    """
    from steadylr.core.divergence import StopRule
    from steadylr.run.device import memory_errors, on_device, place, resolve_device
    from steadylr.run.one_cycle import train_one_cycle
    from steadylr.run.options import Options
    from steadylr.run.randomness import Streams, seed_noise
    from steadylr.store.trial_file import Trial
    from steadylr.training.build import build_parts
    from steadylr.training.train import too_small_batches

    begin = time.perf_counter()
    finder = config.finder
    streams = Streams(**training.seeds)
    device = resolve_device(
        config.device.accelerator.value,
        precision=config.device.precision,
        index=gpus[0] if gpus else 0,
        threads=training.shape["threads"],
        channels_last=config.device.channels_last,
        deterministic=config.device.deterministic,
    )
    with on_device(device) as fabric:
        parts = build_parts(config, streams=streams, device=device)
        with (
            memory_errors(batch_size=parts.batch_size, accumulation_steps=finder.accumulation_steps),
            too_small_batches(config),
        ):
            model, optimizer = place(fabric, device, parts.model, parts.optimizer)
            seed_noise(streams)
            ready = time.perf_counter()
            options = Options(
                loss_fn=parts.loss_fn,
                step=parts.step,
                stop_rule=StopRule(finder.diverge_th),
                accumulation_steps=finder.accumulation_steps,
                backward=fabric.backward,
                validate=parts.validate,
                on_step=report,
            )
            schedule = replace(plan, lr_ratios=parts.lr_ratios)
            done = train_one_cycle(model, optimizer, parts.batches, schedule, options)
    assert plan.total_steps is not None
    drawn = {**parts.drawn(), "noise": done.noise_used}
    meta: dict[str, Any] = {
        "seeds": {name: {"seed": seed, "used": drawn[name]} for name, seed in training.seeds.items()},
        "device": asdict(device),
        "notes": list(parts.notes),
        "judged_by": "training loss" if parts.validate is None else "validation loss",
        "timings": {"prepare_seconds": ready - begin, "train_seconds": done.seconds},
    }
    trial = Trial(done.losses, plan.total_steps, done.stop, done.final_loss, meta)
    return trial, tuple(name for name in STREAMS if drawn[name])
