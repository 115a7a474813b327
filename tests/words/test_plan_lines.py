"""The lines of a plan: each is run with its library, and trains along the plan."""

from __future__ import annotations

import os
from typing import Any

import pytest
import torch

from steadylr.core.onecycle import Plan, plan
from steadylr.words.plan_lines import LIBRARIES, plan_lines, plan_text

STEPS = 20
TOLERANCE = 1e-3
"""Of LRs that are pasted with four digits."""

PLANS = {
    "of the defaults": plan(0.0332, total_steps=STEPS, cycle_momentum=False),
    "in lines": plan(0.4, total_steps=STEPS, anneal_strategy="linear", div_factor=7, cycle_momentum=False),
    "with a short rise": plan(
        1.77e-3, total_steps=STEPS, pct_start=0.15, final_div_factor=250, cycle_momentum=False
    ),
    "without its steps": plan(0.0332, cycle_momentum=False),
    "of one group with a ratio": plan(0.01, total_steps=STEPS, lr_ratios=(0.5,), cycle_momentum=False),
}
each_plan = pytest.mark.parametrize("name", PLANS)


def wanted(schedule: Plan) -> list[float]:
    return [schedule.lr_ratios[0] * schedule.lr_at(step, STEPS) for step in range(STEPS)]


class Loader(list[Any]):
    """Batches, so many that with `epochs` they make the steps of the plan."""


GIVEN = {"epochs": 5, "train_loader": Loader([None] * (STEPS // 5))}
"""What stands in the code of a plan that doesn't know its steps."""


def run(code: str, **names: Any) -> dict[str, Any]:
    known = {"torch": torch, **GIVEN, **names}
    exec(code, known)
    return known


def an_optimizer() -> torch.optim.Optimizer:
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)


def lrs_of(optimizer: torch.optim.Optimizer, scheduler: Any) -> list[float]:
    lrs = []
    for _ in range(STEPS):
        lrs.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return lrs


@each_plan
def test_torch(name: str) -> None:
    """Step for step."""
    optimizer = an_optimizer()
    known = run(plan_lines(PLANS[name])["torch"], optimizer=optimizer)
    assert lrs_of(optimizer, known["scheduler"]) == pytest.approx(wanted(PLANS[name]), rel=TOLERANCE)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@each_plan
def test_lightning(name: str, tmp_path: Any) -> None:
    """In a Trainer that trains."""
    lightning = pytest.importorskip("lightning")
    body = "".join(f"    {line}\n" for line in plan_lines(PLANS[name])["lightning"].splitlines())
    known = run(f"def configured(self, optimizer):\n{body}")
    seen: list[float] = []

    class Module(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(1, 1)

        def configure_optimizers(self) -> Any:
            return known["configured"](self, torch.optim.SGD(self.parameters(), lr=1.0))

        def training_step(self, batch: Any, _: int) -> Any:
            seen.append(self.trainer.optimizers[0].param_groups[0]["lr"])
            return self.layer(batch).mean()

    trainer = lightning.Trainer(
        max_steps=STEPS,
        max_epochs=-1,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
    )
    trainer.fit(Module(), torch.utils.data.DataLoader([torch.ones(1)] * 4))
    assert seen == pytest.approx(wanted(PLANS[name]), rel=TOLERANCE)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@each_plan
def test_keras(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In an optimizer of Keras that steps, with torch below it."""
    monkeypatch.setitem(os.environ, "KERAS_BACKEND", "torch")
    keras = pytest.importorskip("keras")
    optimizer = run(plan_lines(PLANS[name])["keras"])["optimizer"]
    weight = keras.Variable([0.0])
    lrs = []
    for _ in range(STEPS):
        lrs.append(float(optimizer.learning_rate))
        optimizer.apply([keras.ops.ones(1)], [weight])
    assert lrs == pytest.approx(wanted(PLANS[name]), rel=TOLERANCE)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@each_plan
def test_transformers(name: str, tmp_path: Any) -> None:
    """TrainingArguments make the schedule that rises in a line; one that falls in a line is the Trainer's to take."""
    transformers = pytest.importorskip("transformers")
    schedule = PLANS[name]
    code = plan_lines(schedule)["transformers"]
    optimizer = an_optimizer()
    if schedule.anneal_strategy == "linear":

        def trainer(*_: Any, optimizers: Any) -> Any:
            return optimizers

        given, scheduler = run(code, optimizer=optimizer, Trainer=trainer)["trainer"]
        assert given is optimizer
        assert lrs_of(optimizer, scheduler) == pytest.approx(wanted(schedule), rel=TOLERANCE)
        return
    made = code.replace('"outputs"', repr(str(tmp_path)))
    arguments = run(made, TrainingArguments=transformers.TrainingArguments)["arguments"]
    assert arguments.max_steps == STEPS
    optimizer.param_groups[0]["lr"] = arguments.learning_rate
    scheduler = transformers.get_scheduler(
        arguments.lr_scheduler_type,
        optimizer,
        num_warmup_steps=arguments.get_warmup_steps(STEPS),
        num_training_steps=STEPS,
        scheduler_specific_kwargs=arguments.lr_scheduler_kwargs,
    )
    found, expected = lrs_of(optimizer, scheduler), wanted(schedule)
    peak = round(schedule.pct_start * STEPS)
    assert found[0] == pytest.approx(expected[0], rel=TOLERANCE)
    assert max(found) == pytest.approx(max(expected), rel=TOLERANCE)
    assert found[:peak] == sorted(found[:peak])
    falls = [schedule.lr_ratios[0] * schedule.lr_at(step, STEPS) for step in range(peak, STEPS)]
    assert found[peak:] == pytest.approx(falls, rel=0.02, abs=0.03 * max(expected))


def test_a_group_with_an_lr_of_its_own() -> None:
    """torch and the Trainer get a list; Keras has one LR, which is said."""
    lines = plan_lines(plan(0.01, total_steps=STEPS, lr_ratios=(1.0, 10.0)))
    assert "max_lr=[1e-2, 1e-1]" in lines["torch"]
    assert "max_lr=[1e-2, 1e-1]" in lines["transformers"]
    assert lines["keras"].startswith("# Keras has one LR for all")


def test_the_text_names_each_library() -> None:
    """All lines, and what each of them is."""
    text = plan_text(PLANS["of the defaults"])
    assert [line for line in text.splitlines() if line.startswith("# ")] == [
        f"# {words}" for words in LIBRARIES.values()
    ]
    assert all(code in text for code in plan_lines(PLANS["of the defaults"]).values())


def test_too_few_steps_are_refused() -> None:
    """As the plan itself refuses them."""
    with pytest.raises(ValueError, match="total_steps must be at least"):
        plan_lines(PLANS["without its steps"], 2)
