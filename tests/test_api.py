"""The library: range tests, figures and repeats from Python."""

from __future__ import annotations

import inspect
import random
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import steadylr
from steadylr import api
from steadylr.run.options import Options
from steadylr.run.randomness import GeneratorStates

RAMP = steadylr.Ramp(1e-4, 10, 40)
INPUTS = torch.randn(120, 6, generator=torch.Generator().manual_seed(0))
PAIRS = TensorDataset(INPUTS, INPUTS[:, :3].argmax(dim=1))


def network(dropout: float = 0.0) -> nn.Sequential:
    return nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Dropout(dropout), nn.Linear(16, 3))


def sgd(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)


def make_run(seed: int) -> tuple[Any, ...]:
    model = network()
    return model, sgd(model), DataLoader(PAIRS, batch_size=12, shuffle=True), nn.functional.cross_entropy


def test_five_lines_give_a_plan_and_a_figure(tmp_path: Path) -> None:
    """A range test, a suggestion, a plan, a figure; the model is as it was."""
    torch.manual_seed(0)
    model, optimizer, loader, loss_fn = make_run(0)
    before = model[0].weight.clone()
    result = steadylr.range_test(model, optimizer, loader, loss_fn, RAMP)
    found = steadylr.suggest(result.curve)
    assert found.lr is not None
    plan = steadylr.plan(found)
    assert (plan.max_lr, plan.low, plan.high) == (found.lr, found.low, found.high)
    steadylr.plot(result, found, title="mine", path=tmp_path / "curve.png")
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")
    assert torch.equal(model[0].weight, before)


def test_every_option_of_the_engine_is_an_argument(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside what is trained, on what, along which ramp, and the bar; each arrives as it is given."""
    options = {field.name for field in fields(Options)}
    arguments = set(inspect.signature(steadylr.range_test).parameters)
    assert arguments - {"model", "optimizer", "data", "ramp", "progress"} == options
    seen: list[Options] = []
    monkeypatch.setattr(api, "_range_test", lambda *arguments: seen.append(arguments[-1]))
    monkeypatch.setattr(api.RangeTest, "of", lambda test: test)
    given: dict[str, Any] = {name: object() for name in options} | {
        "stop_rule": steadylr.StopRule(3.0),
        "accumulation_steps": 3,
        "val_every": 2,
        "read_lag": 1,
    }
    model, optimizer, loader, _ = make_run(0)
    steadylr.range_test(model, optimizer, loader, ramp=RAMP, **given)
    assert {name: getattr(seen[0], name) for name in options} == given


def test_an_option_that_is_left_out_is_the_engines_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is one default."""
    seen: list[Options] = []
    monkeypatch.setattr(api, "_range_test", lambda *arguments: seen.append(arguments[-1]))
    monkeypatch.setattr(api.RangeTest, "of", lambda test: test)
    model, optimizer, loader, _ = make_run(0)
    steadylr.range_test(model, optimizer, loader, ramp=RAMP)
    assert asdict(seen[0]) == asdict(Options())


def test_dict_batches_and_several_losses_go_through_a_step() -> None:
    """Nothing but the step knows the batch."""
    model = network()

    def step(net: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        outputs = net(batch["x"] + batch["shift"])
        return nn.functional.cross_entropy(outputs, batch["y"]) + 0.1 * outputs.square().mean()

    batches = [{"x": INPUTS[:12], "shift": torch.zeros(6), "y": PAIRS.tensors[1][:12]}]
    result = steadylr.range_test(model, sgd(model), batches, ramp=steadylr.Ramp(1e-4, 1e-2, 5), step=step)
    assert len(result.curve) == 5


def test_the_default_ramp_is_that_of_the_command_line() -> None:
    """From 1e-7 to 10 in 1000 steps."""
    from steadylr.config.schema import Finder

    ramp, finder = steadylr.Ramp(), Finder()
    assert (ramp.start_lr, ramp.end_lr, ramp.num_iter) == (finder.start_lr, finder.end_lr, finder.num_iter)


def test_repeats_give_one_answer_and_leave_the_generators_alone() -> None:
    """Curves, suggestions, consensus, verdict, plan, text and figure; the same for the same seeds."""
    before = GeneratorStates.now()
    found = steadylr.find_lr(make_run, range(3), RAMP)
    assert GeneratorStates.now().same_as(before)
    assert found.seeds == (0, 1, 2)
    assert len({curve.digest() for curve in found.curves}) == 3
    assert found.consensus.n == 3
    assert found.lr == found.consensus.lr == steadylr.consensus(found.suggestions).lr
    assert found.plan is not None
    assert found.verdict.n == 3
    assert str(found).startswith("Sequential\n")
    assert "Consensus\n  3 runs with an LR" in str(found)
    assert "OneCycleLR(optimizer" in str(found)
    random.seed(1)
    torch.manual_seed(1)
    again = steadylr.find_lr(make_run, range(3), RAMP)
    assert [curve.digest() for curve in again.curves] == [curve.digest() for curve in found.curves]


def test_repeats_can_be_drawn(tmp_path: Path) -> None:
    """All curves in one figure."""
    found = steadylr.find_lr(make_run, [4, 5], RAMP, rule="steepest", choose="median")
    found.plot(tmp_path / "summary.png")
    assert (tmp_path / "summary.png").read_bytes().startswith(b"\x89PNG")
    assert {suggestion.rule for suggestion in found.suggestions} == {"steepest"}
    assert found.consensus.choose == "median"


def test_a_notebook_shows_tables_and_the_figure() -> None:
    """Of a range test, with validation losses too, and of an answer; nowhere an array's numbers."""
    torch.manual_seed(0)
    model, optimizer, loader, loss_fn = make_run(0)
    result = steadylr.range_test(model, optimizer, loader, loss_fn, RAMP)
    validated = steadylr.range_test(
        model,
        optimizer,
        loader,
        loss_fn,
        RAMP,
        val_every=2,
        validate=lambda model: loss_fn(model(INPUTS), PAIRS.tensors[1]),
    )
    found = steadylr.find_lr(make_run, [4, 5], RAMP)
    shown = [each._repr_html_() for each in (result, validated, found, found.tests[0])]
    assert all(html.startswith("<pre>") for html in shown)
    assert all(html.count('<img src="data:image/png;base64,iVBOR') == 1 for html in shown)
    assert all(f"  {rule} " in shown[0] for rule in ("bracket", "steepest", "valley"))
    assert "  bracket  " in shown[1]
    assert "Consensus\n" in shown[2]
    assert repr(found) == str(found)
    assert repr(result.curve).startswith(f"Curve({len(result.curve)} of 40 points, LR 0.0001 to ")
    assert "array" not in repr(result) + repr(found) + "".join(shown)


def test_a_data_set_is_shuffled_by_the_order_stream() -> None:
    """Then the order does not hang on what the training draws."""

    def with_data_set(dropout: float) -> Any:
        def make(seed: int) -> steadylr.Run:
            model = network(dropout)
            seen.append([])

            def step(net: nn.Module, batch: Any) -> Tensor:
                seen[-1].append(float(batch[0].sum()))
                return nn.functional.cross_entropy(net(batch[0]), batch[1])

            return steadylr.Run(model, sgd(model), PAIRS, step=step)

        return make

    seen: list[list[float]] = []
    steadylr.find_lr(with_data_set(0.0), [1], RAMP, batch_size=12)
    steadylr.find_lr(with_data_set(0.5), [1, 2], RAMP, batch_size=12)
    assert seen[0][:10] == seen[1][:10]
    assert seen[1][:10] != seen[2][:10]


@pytest.mark.parametrize(
    ("make", "changes", "message"),
    [
        (make_run, {"seeds": []}, r"^seeds must name at least one run"),
        (make_run, {"seeds": [1, 1]}, r"^seeds must be different"),
        (
            lambda seed: 3,
            {},
            r"<lambda>\(seed\) must give a steadylr\.Run or \(model, .*\); it gave 3",
        ),
        (lambda seed: make_run(seed)[:3], {}, r"gave neither loss_fn nor step"),
        (
            lambda seed: (*make_run(seed)[:2], PAIRS, nn.MSELoss()),
            {},
            r"gave a data set: give find_lr a batch_size",
        ),
        (make_run, {"rule": "stepest"}, r"^rule 'stepest' is not known; did you mean steepest"),
    ],
    ids=["no seeds", "a seed twice", "no run", "no loss", "no batch size", "no rule"],
)
def test_what_cannot_be_repeated_is_refused(make: Any, changes: dict[str, Any], message: str) -> None:
    """The message names the user's function."""
    with pytest.raises(ValueError, match=message):
        steadylr.find_lr(make, **{"seeds": [0], "ramp": RAMP, **changes})


def test_runs_without_an_lr_are_counted() -> None:
    """A loss that is flat gives no LR; the answer says so."""

    def flat(seed: int) -> steadylr.Run:
        model = network()
        return steadylr.Run(model, sgd(model), [0], step=lambda net, batch: net[0].weight.sum() * 0 + 1)

    found = steadylr.find_lr(flat, [0, 1], RAMP)
    assert (found.lr, found.plan, found.consensus.n) == (None, None, 0)
    assert found.consensus.failures == {"flat": 1}  # two equal curves are one run
    with pytest.raises(ValueError, match="there is no LR to plan with"):
        steadylr.plan(found.consensus)


def test_doubtful_optimizers_warn() -> None:
    """Where a learning-rate finder makes little sense, the call says so."""
    model = network()
    optimizer = torch.optim.Adadelta(model.parameters())
    with pytest.warns(UserWarning, match="Adadelta finds its own step size"):
        steadylr.range_test(model, optimizer, DataLoader(PAIRS, 12), nn.functional.cross_entropy, RAMP)


def test_a_stop_from_on_step_ends_the_run_beside_the_bar() -> None:
    """What on_step answers reaches the engine, whether or not a bar is shown."""
    model, optimizer, loader, loss_fn = make_run(0)

    def enough(step: int, lr: float, loss: float | None) -> steadylr.Stop | None:
        return steadylr.Stop.DIVERGED if step == 4 else None

    result = steadylr.range_test(model, optimizer, loader, loss_fn, RAMP, on_step=enough)
    assert (len(result.curve), result.curve.stop) == (5, steadylr.Stop.DIVERGED)
