"""Range tests of Hugging Face's Trainer, and a plan as its arguments."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

import steadylr
from needed import need
from steadylr import huggingface
from steadylr.core.curve import Stop
from steadylr.core.onecycle import plan

transformers = pytest.importorskip("transformers", reason="pip install 'steadylr[hf]'")
need("accelerate")
pytestmark = pytest.mark.slow

RAMP = steadylr.Ramp(1e-4, 1, 30)


class Rows(Dataset[Any]):
    """Sixteen numbers each, and whether their sum is odd; 90 rows are 11 batches of 8 and a short one."""

    def __init__(self) -> None:
        self.rows = torch.randint(0, 64, (90, 16), generator=torch.Generator().manual_seed(0))

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"input_ids": self.rows[index], "labels": int(self.rows[index].sum() % 2)}


def bert() -> Any:
    torch.manual_seed(3)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    return transformers.BertForSequenceClassification(
        transformers.BertConfig(vocab_size=64, num_labels=2, **sizes)
    )


@pytest.fixture
def trainer_of(tmp_path: Path) -> Callable[..., Any]:
    def make(
        *, kind: Any = transformers.Trainer, optimizer: Any = None, given: Any = None, **settings: Any
    ) -> Any:
        fixed = {"num_train_epochs": 2, "logging_steps": 1, "save_strategy": "no", "report_to": []}
        arguments = transformers.TrainingArguments(
            str(tmp_path),
            per_device_train_batch_size=8,
            use_cpu=True,
            disable_tqdm=True,
            **{**fixed, **settings},
        )
        model = bert()
        made = {"model_init": bert} if given == "model_init" else {"model": model}
        optimizers = (None, None) if optimizer is None else (optimizer(model), None)
        return kind(args=arguments, train_dataset=Rows(), optimizers=optimizers, **made)

    return make


def trained(trainer: Any, *, test: bool) -> tuple[list[Any], dict[str, Tensor]]:
    """What a train() logs and leaves, with a range test before it or without."""
    torch.manual_seed(5)
    if test:
        huggingface.range_test(trainer, RAMP)
    trainer.train()
    names = ("loss", "grad_norm", "learning_rate", "epoch")
    logged = [[entry.get(name) for name in names] for entry in trainer.state.log_history]
    return logged, trainer.model.state_dict()


def with_momentum(model: nn.Module) -> torch.optim.Optimizer:
    """An optimizer with a state of its own, as one that has trained."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for parameter in model.parameters():
        optimizer.state[parameter]["momentum_buffer"] = torch.full_like(parameter, 0.01)
    return optimizer


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"gradient_accumulation_steps": 3},
        {"bf16": True, "label_smoothing_factor": 0.1},
        {"neftune_noise_alpha": 5.0},
        {"optimizer": with_momentum},
        {"given": "model_init"},
        {"dataloader_num_workers": 1, "dataloader_persistent_workers": True},
    ],
    ids=lambda settings: ", ".join(settings) or "plain",
)
def test_a_training_after_the_test_is_the_training_without_it(
    settings: dict[str, Any], trainer_of: Callable[..., Any]
) -> None:
    """Bit for bit: weights, and the losses, norms and LRs that it logs."""
    (plain, weights), (tested, others) = (
        trained(trainer_of(**settings), test=test) for test in (False, True)
    )
    assert plain == tested
    assert all(torch.equal(weights[name], others[name]) for name in weights)


def test_the_trainer_is_given_back_as_it_was(trainer_of: Callable[..., Any]) -> None:
    """Its attributes and its model's, after a failure too; no callback has heard of the test."""

    class Loud(transformers.TrainerCallback):
        def __getattribute__(self, name: str) -> Any:
            if name.startswith("on_") and watching:
                heard.append(name)
            return super().__getattribute__(name)

    class Fails(transformers.Trainer):
        def compute_loss(self, *arguments: Any, **more: Any) -> Any:
            calls.append(1)
            self.log({"mine": 1.0})
            if len(calls) > 7:
                raise ZeroDivisionError
            return super().compute_loss(*arguments, **more)

    watching, heard, calls = False, [], []
    names = ("activation_checkpointing", "gradient_checkpointing")  # as releases of transformers call it
    checkpointing = next(name for name in names if hasattr(transformers.TrainingArguments, name))
    trainer = trainer_of(kind=Fails, **{checkpointing: True})
    trainer.add_callback(Loud)
    before = {**vars(trainer)}, {**vars(trainer.model)}, {**vars(trainer.accelerator)}, torch.get_rng_state()
    weights = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    watching = True
    with pytest.raises(ZeroDivisionError):
        huggingface.range_test(trainer, RAMP)
    watching = False
    assert heard == []
    now = {**vars(trainer)}, {**vars(trainer.model)}, {**vars(trainer.accelerator)}
    for old, new in zip(before, now, strict=False):
        assert old.keys() == new.keys()
        assert all(old[name] is new[name] for name in old)
    assert trainer.optimizer is None
    assert torch.equal(before[-1], torch.get_rng_state())
    assert all(torch.equal(value, weights[name]) for name, value in trainer.model.state_dict().items())


def test_the_losses_are_those_that_the_trainer_would_log(trainer_of: Callable[..., Any]) -> None:
    """At one LR: over the accumulated batches, with clipping; where the Trainer makes a short update this goes on."""
    same_lr = {"learning_rate": 0.01, "lr_scheduler_type": "constant", "gradient_accumulation_steps": 5}
    plain = trainer_of(**same_lr, max_grad_norm=0.1)
    logged, _ = trained(plain, test=False)
    tested = trainer_of(**same_lr, max_grad_norm=0.1)
    torch.manual_seed(5)
    test = huggingface.range_test(tested, steadylr.Ramp(0.01, 0.01 * (1 + 1e-12), 6))
    assert test.curve.loss[:2].tolist() == pytest.approx([entry[0] for entry in logged[:2]], rel=1e-6)
    assert logged[2][0] < test.curve.loss.min()


def test_it_trains_by_what_the_trainer_overrides(trainer_of: Callable[..., Any]) -> None:
    """compute_loss of a class of one's own, collator and sampler included."""

    class Own(transformers.Trainer):
        def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False, **_: Any) -> Any:
            sizes.append(len(inputs["labels"]))
            return model(**inputs).loss * 0 + 3

        def _get_train_sampler(self, *_: Any) -> Any:
            return torch.utils.data.SubsetRandomSampler(range(20))

    sizes: list[int] = []
    test = huggingface.range_test(trainer_of(kind=Own), RAMP)
    assert (test.curve.stop, set(test.curve.loss)) == (Stop.COMPLETED, {3.0})
    assert sizes == [8, 8, 4] * 10


def test_groups_keep_their_ratios(trainer_of: Callable[..., Any]) -> None:
    """Of an optimizer that the Trainer was given; it has its own LRs again afterwards."""

    def two_groups(model: Any) -> torch.optim.Optimizer:
        groups = [{"params": model.bert.parameters(), "lr": 0.01}, {"params": model.classifier.parameters()}]
        return torch.optim.AdamW(groups, lr=0.1)

    trainer = trainer_of(optimizer=two_groups)
    test = huggingface.range_test(trainer, RAMP)
    assert test.group_lrs[:, 1] / test.group_lrs[:, 0] == pytest.approx([10] * len(test.curve))
    assert [group["lr"] for group in trainer.optimizer.param_groups] == [0.01, 0.1]


def test_what_is_no_trainer_or_on_several_devices_is_refused(trainer_of: Callable[..., Any]) -> None:
    """With what to do instead; a step that fails is told by its name."""
    with pytest.raises(
        ValueError, match=r"^trainer must be a transformers\.Trainer; got Linear: steadylr\.range_test"
    ):
        huggingface.range_test(nn.Linear(2, 2))
    trainer = trainer_of()
    trainer.is_fsdp_enabled = True
    with pytest.raises(ValueError, match=r"trains with fsdp, .* raise gradient_accumulation_steps"):
        huggingface.range_test(trainer)

    class Odd(transformers.Trainer):
        def compute_loss(self, *_: Any, **__: Any) -> Any:
            raise KeyError("text")

    with pytest.raises(
        ValueError, match=r"^step Odd\.training_step failed on the first batch, .*KeyError: 'text'"
    ):
        huggingface.range_test(trainer_of(kind=Odd))


# ---- the plan


def test_a_plan_as_arguments_falls_as_the_plan_falls(trainer_of: Callable[..., Any]) -> None:
    """Its start, peak and end at its steps, and its whole second phase; only the rise is a line."""
    schedule = plan(0.02, total_steps=20, div_factor=25, final_div_factor=1e3)
    logged, _ = trained(trainer_of(**huggingface.training_arguments(schedule)), test=False)
    lrs = [entry[2] for entry in logged if entry[2] is not None]
    wanted = [schedule.lr_at(step) for step in range(20)]
    assert lrs[5:] == pytest.approx(wanted[5:])
    assert lrs[0] == pytest.approx(wanted[0])
    assert lrs[1:5] == pytest.approx([0.0008 + step / 5 * 0.0192 for step in range(1, 5)])
    assert huggingface.training_arguments(plan(0.1), 50)["max_steps"] == 50


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, "total_steps is not known"),
        ({"anneal_strategy": "linear"}, r"a plan that falls in a line: .*plan\.scheduler"),
        ({"lr_ratios": (1.0, 2.0)}, r"a plan that has groups with LRs of their own"),
    ],
)
def test_what_arguments_cannot_say_is_refused(changes: dict[str, Any], message: str) -> None:
    """With the way that can."""
    with pytest.raises(ValueError, match=message):
        huggingface.training_arguments(plan(0.1, **changes))
