"""The user's step: what goes wrong in it is told in the user's words, and nothing is left changed."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from steadylr import range_test
from steadylr.core.ramp import Ramp
from steadylr.run.steps import StepError, described, function_name

PAIR = (torch.ones(4, 3), torch.zeros(4, 1))


def no_tensor(model: nn.Module, batch: Any) -> Any:
    return model(batch[0]).sum().item()


def no_scalar(model: nn.Module, batch: Any) -> Tensor:
    return model(batch[0])


def no_gradient(model: nn.Module, batch: Any) -> Tensor:
    return model(batch[0]).mean().detach()


def several(model: nn.Module, batch: Any) -> Any:
    return model(batch[0]).mean(), 1.0


class Output(dict[str, Tensor]):
    loss = torch.tensor(1.0)


def model_output(model: nn.Module, batch: Any) -> Any:
    return Output()


def key_error(model: nn.Module, batch: Any) -> Tensor:
    return model(batch["image"]).mean()


BAD_STEPS: list[tuple[Callable[..., Any], Any, str]] = [
    (no_tensor, PAIR, r"^step no_tensor must return the loss, a tensor with one number; it returned 1?-?[\d.]+"),
    (no_scalar, PAIR, r"^step no_scalar: the loss must be one number; got a tensor of shape \(4, 1\): take its mean"),
    (no_gradient, PAIR, r"^step no_gradient: the loss has no gradient: it must depend on parameters .* \.detach\(\)"),
    (several, PAIR, r"^step several must return the loss, .* it returned \(float32 \(\), 1\.0\)$"),
    (model_output, PAIR, r"it returned .*; return its \.loss$"),
    (key_error, {"pixels": PAIR[0]}, r"^step key_error failed on the first batch, \{'pixels': float32 \(4, 3\)\}, in "
     r"step\(model, batch\): KeyError: 'image'$"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("step", "batch", "message"), BAD_STEPS, ids=lambda value: getattr(value, "__name__", "")
)
def test_a_bad_step_is_named_and_the_model_comes_back(
    step: Callable[..., Any], batch: Any, message: str
) -> None:
    """The error names the function, what was expected and what came; weights, modes and optimizer are as before."""
    model = nn.Linear(3, 1).eval()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5, momentum=0.9)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.get_rng_state()
    with pytest.raises(StepError, match=message):
        range_test(model, optimizer, [batch], None, Ramp(1e-3, 1, 5), step=step)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert (model.training, optimizer.param_groups[0]["lr"], len(optimizer.state)) == (False, 0.5, 0)
    assert torch.equal(torch.get_rng_state(), state)


def test_data_of_the_wrong_shape_show_their_shapes() -> None:
    """With a loss: its name, the model's, and what the first batch was."""
    model = nn.Linear(3, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    batch = (torch.ones(4, 7), torch.zeros(4, 1))
    message = (
        r"^loss_fn MSELoss with model Linear failed on the first batch, \(float32 \(4, 7\), float32 \(4, 1\)\), in "
        r"loss_fn\(model\(inputs\), targets\): RuntimeError: mat1"
    )
    with pytest.raises(StepError, match=message) as caught:
        range_test(model, optimizer, [batch], nn.MSELoss(), Ramp(1e-3, 1, 5))
    assert isinstance(caught.value.__cause__, RuntimeError)


def test_an_error_of_the_users_own_and_later_ones_pass() -> None:
    """Only what a batch that doesn't fit raises is explained, and only on the first batch."""

    class Mine(RuntimeError):
        pass

    def raising(model: nn.Module, batch: Any) -> Tensor:
        raise Mine("mine")

    calls = []

    def late(model: nn.Module, batch: Any) -> Tensor:
        calls.append(1)
        if len(calls) == 3:
            raise KeyError("late")
        return model(batch[0]).mean()

    model = nn.Linear(3, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    with pytest.raises(Mine, match=r"^mine$"):
        range_test(model, optimizer, [PAIR], None, Ramp(1e-3, 1, 5), step=raising)
    with pytest.raises(KeyError, match="late"):
        range_test(model, optimizer, [PAIR], None, Ramp(1e-3, 1, 5), step=late)


def test_gradients_that_are_switched_off_are_told() -> None:
    """A range test inside torch.no_grad() is the caller's mistake, not the step's."""
    model = nn.Linear(3, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    with torch.no_grad(), pytest.raises(StepError, match=r"call range_test outside of torch\.no_grad"):
        range_test(model, optimizer, [PAIR], nn.MSELoss(), Ramp(1e-3, 1, 5))


def test_an_optimizer_of_another_model_is_refused() -> None:
    """No step would change the model."""
    optimizer = torch.optim.SGD(nn.Linear(3, 1).parameters(), lr=0.5)
    with pytest.raises(ValueError, match=r"none of the parameters of the model \(Linear\)"):
        range_test(nn.Linear(3, 1), optimizer, [PAIR], nn.MSELoss(), Ramp(1e-3, 1, 5))


def test_functions_are_called_what_their_author_calls_them() -> None:
    """Functions, partials, methods, objects."""
    assert function_name(no_scalar) == "no_scalar"
    assert function_name(functools.partial(no_scalar, batch=1)) == "no_scalar"
    assert function_name(nn.MSELoss()) == "MSELoss"
    assert function_name(nn.MSELoss().forward) == "MSELoss.forward"


def test_values_are_described_by_their_shapes() -> None:
    """Types and shapes of what is nested, cut short where it is long."""
    assert described({"a": [torch.ones(2), "x", None]}) == "{'a': [float32 (2,), str, None]}"
    assert described((1, 2.5, True, 4, 5)) == "(1, 2.5, True, 4, ...)"


def test_errors_of_python_on_the_first_batch_are_explained() -> None:
    """Whatever their class; those of classes that somebody wrote are not."""

    def asserting(model: nn.Module, batch: Any) -> Tensor:
        assert batch is None, "no such batch"
        return model(batch)

    model = nn.Linear(3, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    with pytest.raises(
        StepError, match=r"asserting failed on the first batch, .* AssertionError: no such batch"
    ):
        range_test(model, optimizer, [PAIR], None, Ramp(1e-3, 1, 5), step=asserting)


class NeedsClosure(torch.optim.SGD):
    """As optimizers that evaluate the loss again are."""

    def step(self, closure: Any) -> Any:  # type: ignore[override]
        """A step."""
        return super().step(closure)


@pytest.mark.parametrize(
    ("model", "optimizer", "message"),
    [
        (nn.Linear(3, 1), torch.optim.LBFGS, r"^LBFGS can't be ramped: it evaluates the loss several times"),
        (
            nn.Linear(3, 1),
            torch.optim.SparseAdam,
            r"^SparseAdam can't be ramped: it takes sparse gradients only",
        ),
        (nn.Linear(3, 1), NeedsClosure, r"^NeedsClosure can't be ramped: its step needs a closure"),
        (nn.Linear(3, 1, device="meta"), torch.optim.SGD, r"^Linear is on the meta device.*to_empty"),
    ],
    ids=["LBFGS", "SparseAdam", "a closure", "meta"],
)
def test_what_no_range_test_can_train_is_refused_at_once(
    model: nn.Module, optimizer: Any, message: str
) -> None:
    """Before the first step, and with nothing changed."""
    made = optimizer(model.parameters(), lr=0.5)
    with pytest.raises(ValueError, match=message):
        range_test(model, made, [PAIR], nn.MSELoss(), Ramp(1e-3, 1, 5))
    assert made.param_groups[0]["lr"] == 0.5
    assert not made.state


def test_tensors_outside_any_module_have_a_way() -> None:
    """The message names it, and it works: the picture of a style transfer is moved and comes back."""
    picture = nn.Parameter(torch.ones(3))
    with pytest.raises(
        ValueError, match=r"^model must be a torch\.nn\.Module; got None: .*torch\.nn\.ParameterList"
    ):
        range_test(None, torch.optim.SGD([picture], lr=0.5), [PAIR], None, Ramp(1e-3, 1, 5), step=no_scalar)
    model = nn.ParameterList([picture])
    result = range_test(
        model,
        torch.optim.SGD(model.parameters(), lr=0.5),
        [0],
        ramp=Ramp(1e-3, 1e-1, 5),
        step=lambda held, _: held[0].square().sum(),
    )
    assert result.curve.loss[-1] < result.curve.loss[0]
    assert picture.tolist() == [1, 1, 1]
