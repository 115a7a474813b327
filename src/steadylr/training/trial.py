"""Trials: the short OneCycle trainings of a verification. What identifies one, and how it is done."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from steadylr.config.schema import Seeds, Strategy
from steadylr.run.names import STREAMS
from steadylr.training.devices import Share
from steadylr.training.identity import Training, describe_training
from steadylr.training.train import placed

if TYPE_CHECKING:
    from steadylr.config.schema import Config
    from steadylr.core.onecycle import Plan
    from steadylr.present.progress import StepReport
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
    samples = val_samples or ALL_SAMPLES
    finder = replace(config.finder, num_iter=total_steps, scout_steps=0, val_samples=samples, val_every=0)
    device = replace(config.device, strategy=Strategy.single, devices=1)
    seeds = Seeds(*(seed for _ in STREAMS))
    return replace(config, seed=seed, seeds=seeds, finder=finder, device=device)


def describe_trial(config: Config, plan: Plan) -> Training:
    """Say what identifies a trial, without importing torch.

    Of the finder's keys only those count that a trial depends on: it has no ramp.

    Raises:
        DataError: the data isn't where the config says.
    """
    finder = config.finder
    training = describe_training(config)
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


def train_trial(
    config: Config,
    training: Training,
    plan: Plan,
    *,
    share: Share,
    report: StepReport | None = None,
) -> Trial:
    """Do a trial.

    Args:
        config: trial_config of a job's config.
        training: describe_trial of it.
        plan: the schedule.
        share: what it may use of the machine.
        report: told after every step.

    Raises:
        Exception: whatever ended the training.
    """
    from steadylr.core.divergence import StopRule
    from steadylr.run.one_cycle import train_one_cycle
    from steadylr.run.options import Options
    from steadylr.store.trial_file import Trial

    with placed(config, training, threads=share.threads, gpu=share.first_gpu) as ready:
        parts = ready.parts
        options = Options(
            loss_fn=parts.loss_fn,
            step=parts.step,
            stop_rule=StopRule(config.finder.diverge_th),
            accumulation_steps=config.finder.accumulation_steps,
            backward=ready.fabric.backward,
            validate=parts.validate,
            on_step=report,
        )
        schedule = replace(plan, lr_ratios=parts.lr_ratios)
        done = train_one_cycle(ready.model, ready.optimizer, parts.batches, schedule, options)
        drawn = ready.drawn(noise=done.noise_used)
    assert plan.total_steps is not None
    judged_by = "training loss" if parts.validate is None else "validation loss"
    meta = {**ready.meta(drawn, seconds=done.seconds), "judged_by": judged_by}
    return Trial(done.losses, plan.total_steps, done.stop, done.final_loss, meta)
