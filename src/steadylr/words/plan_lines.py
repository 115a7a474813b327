"""A plan as lines that are ready to paste, for the libraries that people train with."""

from __future__ import annotations

from typing import Any

from steadylr.core.onecycle import Plan, pasted_lr
from steadylr.errors import InvalidValue

LIBRARIES = {
    "torch": "torch: scheduler.step() after every optimizer.step()",
    "lightning": "Lightning: the end of configure_optimizers",
    "keras": "Keras: the LR of an optimizer; the momentum stays as it is",
    "transformers": "Hugging Face: arguments of the Trainer",
}
"""What each library's lines are, by its name."""

UNKNOWN_STEPS = "epochs * len(train_loader)"
"""What stands for the number of optimizer steps where a plan doesn't know it."""


def plan_lines(plan: Plan, total_steps: int | None = None) -> dict[str, str]:
    """A plan as code for torch, Lightning, Keras and transformers, by the name of the library.

    Those for torch, Lightning and Keras make the plan itself; TrainingArguments have a schedule that rises in a line,
    and falls as the plan does. LRs are exact to 1e-3 relative. Where nobody knows the number of steps, `epochs` and
    `train_loader` stand in the code.

    Args:
        plan: the schedule.
        total_steps: optimizer steps of the whole training; None: the plan's own.

    Raises:
        ValueError: too few steps.
    """
    steps = plan.total_steps if total_steps is None else total_steps
    if steps is not None:
        plan.lr_at(0, steps)
    line = plan.torch_line(total_steps=steps)
    return {
        "torch": f"scheduler = {line}",
        "lightning": _lightning(plan, steps),
        "keras": _keras(plan, steps),
        "transformers": _transformers(plan, steps),
    }


def plan_text(plan: Plan) -> str:
    """The lines for all libraries, each under a comment that says what they are."""
    lines = plan_lines(plan)
    return "\n\n".join(f"# {words}\n{lines[name]}" for name, words in LIBRARIES.items()) + "\n"


def training_arguments(plan: Plan, total_steps: int | None = None) -> dict[str, Any]:
    """A plan as keyword arguments of TrainingArguments: what comes nearest to it among the schedules of transformers.

    The LR rises in a line from the plan's start to its peak, where OneCycle rises along a cosine, and then falls along
    a cosine to its end; the momentum stays as it is. For the schedule itself give the Trainer
    optimizers=(optimizer, plan.scheduler(optimizer, total_steps)).

    Args:
        plan: with anneal_strategy "cos", and groups of equal ratios.
        total_steps: of the whole training, max_steps there; None: the plan's own.

    Raises:
        ValueError: a plan that falls in a line, whose groups have LRs of their own, or whose number of steps nobody
            knows.
    """
    if (what := _beyond_arguments(plan)) is not None:
        raise InvalidValue(
            f"TrainingArguments can't say a plan that {what}: give the Trainer "
            "optimizers=(optimizer, plan.scheduler(optimizer, total_steps))"
        )
    steps = plan.total_steps if total_steps is None else total_steps
    if steps is None:
        raise InvalidValue("total_steps is not known to this plan: give the number of optimizer steps")
    return {
        "learning_rate": plan.lr_ratios[0] * plan.max_lr,
        "max_steps": steps,
        "warmup_steps": round(plan.pct_start * steps),
        "lr_scheduler_type": "cosine_warmup_with_min_lr",
        "lr_scheduler_kwargs": {
            "min_lr_rate": 1 / plan.final_div_factor,
            "warmup_lr_rate": 1 / plan.div_factor,
        },
    }


def _beyond_arguments(plan: Plan) -> str | None:
    """What of a plan TrainingArguments have no words for; None where they do."""
    if plan.anneal_strategy != "cos":
        return "falls in a line"
    return "has groups with LRs of their own" if len(set(plan.lr_ratios)) > 1 else None


def _lightning(plan: Plan, steps: int | None) -> str:
    line = plan.torch_line(total_steps="self.trainer.estimated_stepping_batches" if steps is None else steps)
    return (
        f"scheduler = {line}\n"
        'return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}'
    )


def _keras(plan: Plan, steps: int | None) -> str:
    """A schedule of one's own; (1 + cos(pi x)) / 2 is written as cos(pi x / 2)^2, which float32 rounds less."""
    several = len(set(plan.lr_ratios)) > 1
    scale = 1.0 if several else plan.lr_ratios[0]
    peak, start, end = (pasted_lr(scale * lr) for lr in (plan.max_lr, plan.initial_lr, plan.final_lr))
    left = "1 - x" if plan.anneal_strategy == "linear" else "keras.ops.cos(math.pi / 2 * x) ** 2"
    note = "# Keras has one LR for all: this is that of a group whose ratio is 1\n" if several else ""
    return f"""{note}import math

import keras

total_steps = {UNKNOWN_STEPS if steps is None else steps}

class OneCycle(keras.optimizers.schedules.LearningRateSchedule):
    def __call__(self, step):
        step, peak = keras.ops.cast(step, "float32"), {plan.pct_start!r} * total_steps - 1
        rise = keras.ops.clip(step / peak, 0, 1)
        fall = keras.ops.clip((step - peak) / (total_steps - 1 - peak), 0, 1)
        left = lambda x: {left}
        up, down = {peak} + ({start} - {peak}) * left(rise), {end} + ({peak} - {end}) * left(fall)
        return keras.ops.where(step <= peak, up, down)

optimizer = keras.optimizers.SGD(OneCycle(), momentum=0.9)"""


def _transformers(plan: Plan, steps: int | None) -> str:
    if (what := _beyond_arguments(plan)) is not None:
        line = plan.torch_line(total_steps="total_steps" if steps is None else steps)
        return f"# TrainingArguments have no plan that {what}\ntrainer = Trainer(..., optimizers=(optimizer, {line}))"
    known = training_arguments(plan, steps or _STAND_IN)
    words = {name: repr(value) for name, value in known.items()}
    words["learning_rate"] = pasted_lr(known["learning_rate"])
    words["lr_scheduler_kwargs"] = (
        f'{{"min_lr_rate": {1 / plan.final_div_factor:.4g}, "warmup_lr_rate": {1 / plan.div_factor:.4g}}}'
    )
    words["lr_scheduler_type"] = f'"{known["lr_scheduler_type"]}"'
    before = ""
    if steps is None:
        before = f"total_steps = {UNKNOWN_STEPS}\n"
        words |= {"max_steps": "total_steps", "warmup_steps": f"round({plan.pct_start!r} * total_steps)"}
    arguments = ", ".join(f"{name}={value}" for name, value in words.items())
    return f'{before}arguments = TrainingArguments("outputs", {arguments})'


_STAND_IN = 1000  # in place of the number of steps where code stands for it
