from __future__ import annotations

import copy
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from steadylr.run.snapshot import restored


class Tied(nn.Module):
    """Dropout, BatchNorm, a frozen part, and one weight used in two places."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.norm = nn.BatchNorm1d(4)
        self.second = nn.Linear(4, 4)
        self.second.weight = self.first.weight
        self.frozen = nn.Linear(4, 4).requires_grad_(False)
        self.register_buffer("wide", torch.ones(1).expand(5), persistent=False)
        self.register_buffer("count", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.count = self.count + 1  # a buffer that is replaced, not written to
        hidden = nn.functional.dropout(self.norm(self.first(x)), training=self.training)
        out: Tensor = self.second(self.frozen(hidden))
        return out


def train(model: nn.Module, optimizer: Optimizer, steps: int = 3) -> None:
    for _ in range(steps):
        optimizer.zero_grad()
        model(torch.randn(8, 4)).square().sum().backward()
        optimizer.step()


def everything(model: nn.Module, optimizer: Optimizer) -> dict[str, Any]:
    """All that must come back, as values."""
    return copy.deepcopy(
        {
            "weights": dict(model.named_parameters(remove_duplicate=False)),
            "buffers": dict(model.named_buffers()),
            "gradients": {name: value.grad for name, value in model.named_parameters()},
            "modes": [module.training for module in model.modules()],
            "state": optimizer.state_dict(),
            "torch": torch.get_rng_state(),
            "python": random.getstate(),
            "numpy": np.random.get_state()[1],  # noqa: NPY002
        }
    )


def equal(one: Any, two: Any) -> bool:
    if isinstance(one, Tensor):
        return isinstance(two, Tensor) and torch.equal(one, two)
    if isinstance(one, np.ndarray):
        return bool(np.array_equal(one, two))
    if isinstance(one, dict):
        return one.keys() == two.keys() and all(equal(value, two[key]) for key, value in one.items())
    if isinstance(one, list | tuple):
        return len(one) == len(two) and all(equal(a, b) for a, b in zip(one, two, strict=True))
    return bool(one == two)


OPTIMIZERS: dict[str, Callable[[nn.Module], Optimizer]] = {
    "sgd": lambda model: torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9),
    "adamw": lambda model: torch.optim.AdamW(model.parameters(), lr=0.1),
    "lr_tensor": lambda model: torch.optim.Adam(model.parameters(), lr=torch.tensor(0.1), foreach=False),
    "rmsprop": lambda model: torch.optim.RMSprop(model.parameters(), lr=0.1, momentum=0.5, centered=True),
}


def lend(kind: str, *, trained: bool) -> tuple[Tied, Optimizer]:
    torch.manual_seed(0)
    model = Tied()
    optimizer = OPTIMIZERS[kind](model)
    if trained:
        train(model, optimizer)
    model.norm.eval()
    return model, optimizer


def misuse(model: Tied, optimizer: Optimizer) -> None:
    """Change all that a training may change, and more."""
    model.train()
    for group in optimizer.param_groups:
        group["lr"] = 123.0
        group["weight_decay"] = 0.5
        group["new"] = 1
    train(model, optimizer)
    model.second.weight = nn.Parameter(torch.zeros(4, 4))
    model.norm.running_mean = torch.full((4,), 7.0)
    random.random()
    np.random.rand()  # noqa: NPY002


@pytest.mark.parametrize("trained", [False, True], ids=["fresh", "trained"])
@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_all_comes_back(kind: str, trained: bool) -> None:
    """Weights, buffers, optimizer state or its absence, settings, modes, gradients, generators; always."""
    model, optimizer = lend(kind, trained=trained)
    before = everything(model, optimizer)
    for _ in range(3):
        with restored(model, optimizer):
            misuse(model, optimizer)
            assert not equal(everything(model, optimizer), before)
        assert equal(everything(model, optimizer), before)


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_all_comes_back_after_an_exception(error: type[BaseException]) -> None:
    """An error or an interrupt in the middle changes nothing, and is passed on."""
    model, optimizer = lend("adamw", trained=True)
    before = everything(model, optimizer)

    def fail() -> None:
        with restored(model, optimizer):
            misuse(model, optimizer)
            raise error

    with pytest.raises(error):
        fail()
    assert equal(everything(model, optimizer), before)


def test_tensors_keep_identity_and_address() -> None:
    """Whoever holds a parameter, a buffer, a gradient or a moment still holds the right one."""
    model, optimizer = lend("adamw", trained=True)

    def identities() -> list[tuple[int, int]]:
        moments = [state["exp_avg"] for state in optimizer.state.values()]
        gradients = [p.grad for p in model.parameters() if p.grad is not None]
        tensors = [*model.parameters(), *model.buffers(), *moments, *gradients]
        return [(id(tensor), tensor.data_ptr()) for tensor in tensors]

    before = identities()
    with restored(model, optimizer):
        misuse(model, optimizer)
    assert identities() == before
    assert model.second.weight is model.first.weight


def test_training_goes_on_as_if_nothing_had_been() -> None:
    """The next steps give the bits that they give without the loan."""
    results = []
    for lent in (False, True):
        model, optimizer = lend("adamw", trained=True)
        if lent:
            with restored(model, optimizer):
                misuse(model, optimizer)
        train(model, optimizer)
        results.append(everything(model, optimizer))
    assert equal(*results)


def test_within_the_loan_there_are_no_gradients_of_before() -> None:
    """Gradients that waited for their step do not leak into the first step of the loan."""
    model, optimizer = lend("sgd", trained=True)
    assert model.first.weight.grad is not None
    with restored(model, optimizer):
        assert all(parameter.grad is None for parameter in model.parameters())


def test_an_optimizer_state_of_lists_comes_back() -> None:
    """LBFGS keeps lists of tensors."""
    torch.manual_seed(0)
    model = nn.Linear(4, 1)
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=3)
    inputs = torch.randn(8, 4)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = model(inputs).square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    before = copy.deepcopy(optimizer.state_dict())
    with restored(model, optimizer):
        optimizer.step(closure)
        assert not equal(optimizer.state_dict(), before)
    assert equal(optimizer.state_dict(), before)


def test_lazy_layers_are_lazy_again() -> None:
    """Their first batch afterwards draws the values that it would have drawn before."""

    def once() -> list[torch.Tensor]:
        for _ in range(2):
            optimizer.zero_grad()
            model(torch.ones(4, 5) * torch.arange(5)).square().sum().backward()
            optimizer.step()
        return [tensor.detach().clone() for tensor in model.state_dict().values()]

    model = nn.Sequential(nn.LazyLinear(3), nn.LazyBatchNorm1d(), nn.Linear(3, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    kinds = [type(each) for each in (*model.modules(), *model.parameters(), *model.buffers())]
    torch.manual_seed(0)
    with restored(model, optimizer):
        first = once()
        assert type(model[0]) is nn.Linear
    assert [type(each) for each in (*model.modules(), *model.parameters(), *model.buffers())] == kinds
    assert not optimizer.state
    assert all(torch.equal(one, two) for one, two in zip(first, once(), strict=True))


class Lookahead:
    """An optimizer around another: slow weights, a counter, and what the inner one keeps."""

    def __init__(self, inner: Optimizer) -> None:
        self.inner = inner
        self.param_groups = inner.param_groups
        self.slow = [[p.detach().clone() for p in group["params"]] for group in inner.param_groups]
        self.count = 0

    def zero_grad(self, set_to_none: bool = True) -> None:
        self.inner.zero_grad(set_to_none=set_to_none)

    def step(self) -> None:
        self.inner.step()
        self.count += 1
        for group, slow in zip(self.param_groups, self.slow, strict=True):
            for parameter, anchor in zip(group["params"], slow, strict=True):
                anchor.lerp_(parameter.detach(), 0.5)


class Preconditioner:
    """What some optimizers keep for each parameter: an object with tensors and counters."""

    def __init__(self) -> None:
        self.sums, self.array, self.steps = torch.zeros(2), np.zeros(2), 0


def test_an_optimizer_around_another_comes_back() -> None:
    """Its attributes and all that the inner one keeps."""
    model, inner = lend("adamw", trained=True)
    outer: Any = Lookahead(inner)
    train(model, outer)
    before = everything(model, inner), copy.deepcopy((outer.slow, outer.count))
    with restored(model, outer):
        train(model, outer)
        assert not equal(everything(model, inner)["state"], before[0]["state"])
        assert outer.count == 6
    assert equal((everything(model, inner), (outer.slow, outer.count)), before)


def test_objects_in_an_optimizers_state_come_back() -> None:
    """Their tensors, arrays and numbers, in the very object."""
    model, optimizer = lend("sgd", trained=True)
    kept = Preconditioner()
    optimizer.state[model.first.weight]["preconditioner"] = kept
    with restored(model, optimizer):
        kept.sums += 1
        kept.array += 1
        kept.steps += 1
    assert optimizer.state[model.first.weight]["preconditioner"] is kept
    assert (kept.sums.tolist(), kept.array.tolist(), kept.steps) == ([0, 0], [0, 0], 0)
