"""Models and loops that are not one network, one loss and one batch a step: docs/hard-cases.md, case by case."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.precision import MixedPrecision
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_
from torch.utils.data import DataLoader, IterableDataset

from docs_programs import run_program
from steadylr import RangeTest, range_test
from steadylr.core.curve import Stop
from steadylr.core.divergence import StopRule
from steadylr.core.ramp import Ramp

RAMP = Ramp(1e-4, 1e-1, 9)
SCALE = 2.0**10


def squares(outputs: Tensor, targets: Tensor) -> Tensor:
    return (outputs - targets).square().mean()


def pairs(*sizes: int) -> list[tuple[Tensor, Tensor]]:
    """Batches of so many samples with 4 inputs and 4 targets each."""
    generator = torch.Generator().manual_seed(2)
    return [(torch.randn(n, 4, generator=generator), torch.randn(n, 4, generator=generator)) for n in sizes]


def sgd(module: nn.Module, lr: float = 0.05) -> torch.optim.Optimizer:
    return torch.optim.SGD(module.parameters(), lr=lr, momentum=0.9)


def network(*middle: nn.Module) -> nn.Sequential:
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(4, 4), *middle, nn.Linear(4, 4))


@dataclass
class Case:
    """One way to call range_test; `lent` is all that must come back."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    batches: Any = field(default_factory=lambda: pairs(3, 3, 3))
    loss_fn: Any = squares
    arguments: dict[str, Any] = field(default_factory=dict)

    @property
    def lent(self) -> list[Any]:
        scaler = self.arguments.get("scaler")
        return [self.model, self.optimizer, *self.arguments.get("others", ()), *([scaler] if scaler else [])]

    def run(self, ramp: Ramp = RAMP, **changes: Any) -> RangeTest:
        arguments = {"stop_rule": StopRule(None), **self.arguments, **changes}
        return range_test(self.model, self.optimizer, self.batches, self.loss_fn, ramp, **arguments)


class Gan(nn.Module):
    """A generator of two inputs and four outputs, and a discriminator of them."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(4)
        self.generator = nn.Linear(2, 4)
        self.discriminator = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))

    def generated(self, count: int) -> Tensor:
        fake: Tensor = self.generator(torch.randn(count, 2))
        return fake

    def discriminator_loss(self, real: Tensor) -> Tensor:
        softplus = nn.functional.softplus
        fake = self.generated(len(real)).detach()
        return softplus(-self.discriminator(real)).mean() + softplus(self.discriminator(fake)).mean()

    def generator_loss(self, count: int) -> Tensor:
        return nn.functional.softplus(-self.discriminator(self.generated(count))).mean()


def gan(ramped: str) -> Case:
    """One of the two networks is ramped, the other one trained by the step, at an LR of its own."""
    model = Gan()
    held = "discriminator" if ramped == "generator" else "generator"
    optimizer, other = sgd(getattr(model, ramped)), sgd(getattr(model, held), lr=0.02)

    def step(model: Gan, batch: tuple[Tensor, Tensor]) -> Tensor:
        real = batch[0]
        other.zero_grad()
        if ramped == "generator":
            model.discriminator_loss(real).backward()
            other.step()
            return model.generator_loss(len(real))
        model.generator_loss(len(real)).backward(inputs=list(model.generator.parameters()))
        other.step()
        return model.discriminator_loss(real)

    return Case(model, optimizer, loss_fn=None, arguments={"step": step, "others": [other]})


class Stream(IterableDataset[tuple[Tensor, Tensor]]):
    """Ten samples that come one after the other: no length, no index."""

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        inputs, targets = pairs(10)[0]
        yield from zip(inputs, targets, strict=True)


def of_pairs(batches: Any) -> Case:
    """The easy case."""
    model = network()
    return Case(model, sgd(model), batches)


def iterable() -> Case:
    return of_pairs(DataLoader(Stream(), batch_size=4))


def short_last_batch() -> Case:
    model = network()
    arguments = {"accumulation_steps": 2, "batch_weight": lambda batch: len(batch[1])}
    return Case(model, sgd(model), batches=pairs(4, 4, 2), arguments=arguments)


def summed() -> Case:
    model = network()
    return Case(model, sgd(model), loss_fn=nn.MSELoss(reduction="sum"))


class Gaussian(nn.Module):
    """Mean and log variance of a regression: the negative log likelihood of a good fit is below zero."""

    def __init__(self) -> None:
        super().__init__()
        self.mean = nn.Linear(4, 4)
        self.log_variance = nn.Parameter(torch.full((4,), -4.0))

    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        return self.mean(inputs), self.log_variance.exp().expand(len(inputs), 4)


def negative() -> Case:
    torch.manual_seed(1)
    model = Gaussian()
    inputs = pairs(16)[0][0]
    with torch.no_grad():
        targets = model.mean(inputs) + 0.01

    def loss_fn(outputs: tuple[Tensor, Tensor], targets: Tensor) -> Tensor:
        return nn.functional.gaussian_nll_loss(outputs[0], targets, outputs[1])

    return Case(
        model, torch.optim.SGD(model.parameters(), lr=0.1), batches=[(inputs, targets)], loss_fn=loss_fn
    )


def batch_norm() -> Case:
    model = network(nn.BatchNorm1d(4))
    return Case(model, sgd(model), batches=pairs(2, 2), arguments={"accumulation_steps": 2})


def frozen() -> Case:
    model = network(nn.BatchNorm1d(4))
    model[0].requires_grad_(False)
    model[1].eval()
    return Case(model, torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=0.1))


def tied() -> Case:
    model = network(nn.ReLU())
    model[2].weight = model[0].weight
    return Case(model, sgd(model))


def clipped() -> Case:
    model = network()
    return Case(model, sgd(model), arguments={"before_step": lambda m: clip_grad_norm_(m.parameters(), 0.1)})


def scaled() -> Case:
    case = clipped()
    case.arguments["scaler"] = torch.amp.GradScaler("cpu", init_scale=SCALE, growth_interval=4)
    return case


def validated() -> Case:
    model = network(nn.BatchNorm1d(4), nn.Dropout(0.3))
    held_out = pairs(5, 5)[1]
    arguments = {"validate": lambda m: squares(m(held_out[0]), held_out[1]), "val_every": 3}
    return Case(model, sgd(model), arguments=arguments)


def mixed() -> Case:
    model = network()

    def step(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return squares(model(batch[0]), batch[1])

    return Case(model, sgd(model), loss_fn=None, arguments={"step": step})


CASES: dict[str, Callable[[], Case]] = {
    "validation": validated,
    "a GAN's generator": lambda: gan("generator"),
    "a GAN's discriminator": lambda: gan("discriminator"),
    "iterable data": iterable,
    "short last batch": short_last_batch,
    "summed loss": summed,
    "negative loss": negative,
    "BatchNorm": batch_norm,
    "frozen layers": frozen,
    "tied weights": tied,
    "clipping": clipped,
    "gradient scaler": scaled,
    "bf16": mixed,
}


def state_of(case: Case) -> list[Any]:
    modules = [each for each in case.lent if isinstance(each, nn.Module)]
    return copy.deepcopy(
        [
            [each.state_dict() for each in case.lent],
            [module.training for each in modules for module in each.modules()],
            [parameter.grad for each in modules for parameter in each.parameters()],
            torch.get_rng_state(),
        ]
    )


def same(one: Any, two: Any) -> bool:
    if isinstance(one, Tensor):
        return torch.equal(one, two)
    if isinstance(one, dict):
        return one.keys() == two.keys() and all(same(value, two[key]) for key, value in one.items())
    if isinstance(one, list | tuple):
        return len(one) == len(two) and all(same(a, b) for a, b in zip(one, two, strict=True))
    return bool(one == two)


@pytest.mark.parametrize("name", CASES)
def test_all_that_was_lent_comes_back_and_the_next_run_is_the_same(name: str) -> None:
    """Twice: weights, buffers, optimizers, scalers, modes, gradients and the random generator."""
    case = CASES[name]()
    before = state_of(case)
    digests = []
    for _ in range(2):
        digests.append(case.run().curve.digest())
        assert same(state_of(case), before)
    assert digests[0] == digests[1]


@pytest.mark.parametrize("name", CASES)
def test_all_that_was_lent_comes_back_after_an_exception(name: str) -> None:
    """Raised between the gradients and the step, where a scaler is half way through; the next run is as ever."""
    case = CASES[name]()
    wanted = case.run().curve.digest()
    before = state_of(case)
    clip = case.arguments.get("before_step", lambda _: None)
    steps: list[int] = []

    def fail(model: nn.Module) -> None:
        clip(model)
        steps.append(0)
        if len(steps) == 4:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        case.run(before_step=fail)
    assert same(state_of(case), before)
    assert case.run().curve.digest() == wanted


def by_hand(case: Case, *, losses: Callable[[int], Tensor], before_step: Any = None) -> list[float]:
    """The naive loop: set the LR, take the gradients of losses(i), step."""
    found = []
    for i in range(RAMP.num_iter):
        case.optimizer.param_groups[0]["lr"] = RAMP.lr_at(i)
        case.optimizer.zero_grad()
        loss = losses(i)
        loss.backward()  # type: ignore[no-untyped-call]
        if before_step is not None:
            before_step(case.model)
        case.optimizer.step()
        found.append(loss.item())
    return found


def plain(case: Case) -> Callable[[int], Tensor]:
    """The losses of a case whose batches are a list of pairs."""

    def losses(i: int) -> Tensor:
        inputs, targets = case.batches[i % len(case.batches)]
        loss: Tensor = case.loss_fn(case.model(inputs), targets)
        return loss

    return losses


@pytest.mark.parametrize("ramped", ["generator", "discriminator"])
def test_a_gans_other_network_trains_at_its_own_lr(ramped: str) -> None:
    """The curve is that of a loop written by hand; without restoring, both networks have moved."""
    torch.manual_seed(9)
    twin = gan(ramped)
    model: Any = twin.model
    (other,) = twin.arguments["others"]

    def losses(i: int) -> Tensor:
        real = twin.batches[i % 3][0]
        other.zero_grad()
        own = model.generator_loss if ramped == "generator" else lambda _: model.discriminator_loss(real)
        rival = (
            (lambda: model.discriminator_loss(real))
            if ramped == "generator"
            else (lambda: model.generator_loss(3))
        )
        rival().backward()
        other.step()
        twin.optimizer.zero_grad()
        loss: Tensor = own(3)
        return loss

    torch.manual_seed(9)
    wanted = by_hand(twin, losses=losses)
    case = gan(ramped)
    torch.manual_seed(9)
    result = case.run(restore=False)
    assert result.curve.loss.tolist() == wanted
    assert same(case.model.state_dict(), twin.model.state_dict())
    assert case.arguments["others"][0].param_groups[0]["lr"] == 0.02
    assert result.noise_used


def test_what_is_no_model_and_no_optimizer_cannot_be_lent() -> None:
    """The message says what can."""
    case = of_pairs(pairs(3))
    with pytest.raises(
        TypeError, match=r"models, optimizers and gradient scalers can be given back; got dict"
    ):
        case.run(others=[{}])


def test_a_parameter_that_only_the_optimizer_knows_comes_back() -> None:
    """Such as one of the loss."""
    model = network()
    scale = nn.Parameter(torch.ones(()))
    optimizer = torch.optim.SGD([*model.parameters(), scale], lr=0.1)
    Case(model, optimizer, loss_fn=lambda outputs, targets: squares(outputs * scale, targets)).run()
    assert scale.item() == 1.0


def test_an_iterable_data_set_is_read_again_and_again() -> None:
    """Ten samples in batches of four: 4, 4, 2, 4, 4, 2, ..., as a list of those batches gives them."""
    inputs, targets = pairs(10)[0]
    listed = of_pairs(list(zip(inputs.split(4), targets.split(4), strict=True)))
    assert iterable().run().curve.digest() == listed.run().curve.digest()


class Spent(IterableDataset[tuple[Tensor, Tensor]]):
    """A data set over an iterator: the second epoch has nothing."""

    def __init__(self) -> None:
        self.samples = iter(Stream())

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return self.samples


def test_iterable_data_that_can_be_read_once_say_so() -> None:
    """The loader starts again, its data set doesn't."""
    case = of_pairs(DataLoader(Spent(), batch_size=4))
    with pytest.raises(ValueError, match=r"ended after 3, and 9 are needed .*: started again it gave none"):
        case.run()


def test_weighted_batches_of_a_step_are_one_large_batch() -> None:
    """4 + 4, 2 + 4, 4 + 2 samples: with their sizes as weights each step is that of all its samples together."""
    case = short_last_batch()
    sizes = [(0, 1), (2, 0), (1, 2)]
    whole = [tuple(torch.cat([case.batches[k][part] for k in step]) for part in (0, 1)) for step in sizes]
    large = of_pairs(whole)
    assert case.run().curve.loss == pytest.approx(large.run().curve.loss, rel=1e-5)


def test_without_weights_every_batch_counts_the_same() -> None:
    """The mean of the batches' means, as most training loops take it."""
    case, twin = short_last_batch(), short_last_batch()
    halves = [(0, 1), (2, 0), (1, 2)]

    def losses(i: int) -> Tensor:
        parts = [twin.batches[k] for k in halves[i % 3]]
        return torch.stack([squares(twin.model(inputs), targets) for inputs, targets in parts]).mean()

    result = case.run(batch_weight=None)
    assert result.curve.loss == pytest.approx(by_hand(twin, losses=losses), rel=1e-5)


@pytest.mark.parametrize("weight", [0, -1.0, float("nan")])
def test_a_weight_that_is_none_is_refused(weight: float) -> None:
    """Above zero and finite, or the mean means nothing."""
    with pytest.raises(
        ValueError, match="batch_weight must give a finite number above 0 for every batch; got"
    ):
        short_last_batch().run(batch_weight=lambda _: weight)


def test_a_summed_loss_gives_the_same_curve_at_smaller_lrs() -> None:
    """12 numbers a batch: the LR of the mean over 12, and 12 times its loss."""
    case = summed()
    mean = of_pairs(case.batches).run()
    total = case.run(Ramp(RAMP.start_lr / 12, RAMP.end_lr / 12, RAMP.num_iter))
    assert total.curve.loss / 12 == pytest.approx(mean.curve.loss, rel=1e-5)


def test_a_regression_whose_loss_is_below_zero_runs_to_its_divergence() -> None:
    """A falling negative loss stops nothing; its climb does, where it does with all losses shifted upwards."""
    case = negative()
    ramp = Ramp(1e-5, 1e3, 120)
    result = case.run(ramp, stop_rule=StopRule())
    assert result.curve.loss[0] < 0
    assert result.curve.loss.min() < result.curve.loss[0]
    assert result.curve.stop is not Stop.COMPLETED
    loss_fn = case.loss_fn
    case.loss_fn = lambda outputs, targets: loss_fn(outputs, targets) + 100
    assert len(case.run(ramp, stop_rule=StopRule()).curve) == len(result.curve)


def test_batch_norm_sees_each_small_batch_by_itself() -> None:
    """Accumulation does not enlarge its batches: two updates of its statistics in one step."""
    case = batch_norm()
    twin = copy.deepcopy(case.model).train()
    case.run(Ramp(1e-12, 2e-12, 2), restore=False)
    for inputs, _ in case.batches * 2:
        twin(inputs)
    norm: Any = case.model.get_submodule("1")
    assert norm.num_batches_tracked.item() == 4
    assert norm.running_var.tolist() == pytest.approx(twin.get_submodule("1").running_var.tolist())  # type: ignore[union-attr,operator,arg-type]


def test_batch_norm_refuses_a_batch_of_one_unless_it_is_in_eval_mode() -> None:
    """torch's error, with the model given back; in eval mode, set on the layer alone, it trains with what it has."""
    case = batch_norm()
    case.batches = pairs(1)
    before = state_of(case)
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        case.run()
    assert same(state_of(case), before)
    case.model.get_submodule("1").eval()
    assert len(case.run().curve) == 9


def test_frozen_layers_stay_as_they_are() -> None:
    """Weights that need no gradient feel no weight decay either, and a layer in eval mode keeps its statistics."""
    case, twin = frozen(), frozen()
    before = copy.deepcopy(case.model.state_dict())
    assert case.run(restore=False).curve.loss.tolist() == by_hand(twin, losses=plain(twin))
    changed = {
        name for name, value in case.model.state_dict().items() if not torch.equal(value, before[name])
    }
    assert changed == {"1.weight", "1.bias", "2.weight", "2.bias"}


def test_tied_weights_stay_tied() -> None:
    """They get both gradients and one update, and are the same tensor afterwards."""
    case, twin = tied(), tied()
    weight = case.model.get_parameter("0.weight")
    assert case.run(restore=False).curve.loss.tolist() == by_hand(twin, losses=plain(twin))
    assert case.model.get_submodule("2").weight is weight


def test_gradients_are_clipped_before_the_step() -> None:
    """As in a loop written by hand."""
    case, twin = clipped(), clipped()
    clip = twin.arguments["before_step"]
    wanted = by_hand(twin, losses=plain(twin), before_step=clip)
    assert case.run().curve.loss.tolist() == wanted
    assert case.run(before_step=None).curve.loss.tolist() != wanted


def test_what_comes_before_the_step_sees_gradients_without_scale() -> None:
    """A scale is a power of two, so the clipped curve is the same to the last bit."""
    result = scaled().run()
    assert result.curve.digest() == clipped().run().curve.digest()
    assert result.skipped_steps == ()


# ---- steps that a gradient scaler leaves out


class Steep(nn.Module):
    """One weight with the gradient 2^100, which overflows float32 once it is scaled by 2^28 or more."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))

    def forward(self, batch: Tensor) -> Tensor:
        return self.weight * batch


STEEP_RAMP = Ramp(1e-38, 1e-36, 10)
LEFT_OUT = (0, 1, 2, 5, 8)
"""From 2^30 the scale halves three times, to 2^27; after two good steps it doubles, one step too far."""


def steep(*, fused: bool) -> Case:
    model = Steep()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, fused=fused)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**30, growth_interval=2)
    step = {"step": lambda m, batch: m(batch)}
    return Case(model, optimizer, [torch.tensor(2.0**100)], None, {**step, "scaler": scaler})


@pytest.mark.parametrize("lag", [0, 4])
@pytest.mark.parametrize("fused", [False, True])
def test_steps_that_a_scaler_leaves_out_are_told(fused: bool, lag: int) -> None:
    """Their points stay, with the loss of unmoved weights; a fused optimizer is told by a tensor to skip."""
    case = steep(fused=fused)
    result = case.run(STEEP_RAMP, read_lag=lag)
    assert (result.skipped_steps, result.skipped_share) == (LEFT_OUT, 0.5)
    moved = [
        bool(after != before) for before, after in zip(result.curve.loss, result.curve.loss[1:], strict=False)
    ]
    assert [step for step, did in enumerate(moved) if not did] == list(LEFT_OUT)
    assert case.optimizer.state_dict()["param_groups"][0]["lr"] == 0.1
    assert not case.optimizer._optimizer_step_post_hooks


def test_a_step_at_which_the_run_ended_is_no_skipped_step() -> None:
    """Its update was never tried."""
    case = steep(fused=False)
    calls: list[int] = []

    def step(model: nn.Module, batch: Tensor) -> Tensor:
        calls.append(0)
        loss: Tensor = model(batch)
        return loss * float("nan") if len(calls) == 3 else loss

    result = case.run(STEEP_RAMP, step=step, read_lag=4)
    assert (len(result.curve), result.skipped_steps) == (3, (0, 1))


def test_fabrics_scaler_is_found_and_given_back() -> None:
    """Fabric scales and steps by itself; what it leaves out is told as well, and clipping sees no scale."""
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**30, growth_interval=2)
    fabric = Fabric(accelerator="cpu", devices=1, plugins=[MixedPrecision("16-mixed", "cpu", scaler)])
    inner = Steep()
    model, optimizer = fabric.setup(inner, torch.optim.SGD(inner.parameters(), lr=0.1))
    seen: list[float] = []

    def note(model: nn.Module) -> None:
        seen.extend(parameter.grad.item() for parameter in model.parameters() if parameter.grad is not None)

    result = range_test(
        model,
        optimizer,
        [torch.tensor(2.0**100, dtype=torch.float64)],  # which Fabric doesn't turn into float16
        None,
        STEEP_RAMP,
        stop_rule=StopRule(None),
        step=lambda _, batch: inner.weight * batch.float(),
        backward=fabric.backward,
        before_step=note,
    )
    assert result.skipped_steps == LEFT_OUT
    assert [value for value in seen if value < float("inf")] == [2.0**100] * 5
    assert scaler.get_scale() == 2.0**30


def test_a_stop_that_on_step_gives_ends_the_run_with_that_step() -> None:
    """The step counts, and so does what was validated after it; losses read late change nothing."""
    case = validated()

    def enough(step: int, lr: float, loss: float | None) -> Stop | None:
        return Stop.DIVERGED if step == 3 else None

    whole = case.run()
    for lag in (0, 2):
        result = case.run(on_step=enough, read_lag=lag)
        assert result.curve.stop is Stop.DIVERGED
        assert result.curve.loss.tolist() == whole.curve.loss[:4].tolist()
        assert result.validation is not None
        assert whole.validation is not None
        assert result.validation.loss.tolist() == whole.validation.loss[:2].tolist()


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_a_compiled_model_gives_the_curve_of_the_model_that_was_compiled(backend: str) -> None:
    """And is given back, compiled as it was, also after an exception."""
    wanted = validated().run().curve
    case = validated()
    inner = case.model
    case.model = torch.compile(inner, backend=backend)
    before = state_of(case)
    result = case.run()
    assert result.curve.loss == pytest.approx(wanted.loss, rel=1e-5)
    assert same(state_of(case), before)
    with pytest.raises(ZeroDivisionError):
        case.run(on_step=lambda *_: 1 // 0)
    assert same(state_of(case), before)
    assert case.run().curve.digest() == result.curve.digest()


@pytest.mark.slow
def test_the_program_of_the_page_runs(tmp_path: Path) -> None:
    """docs/hard-cases.md starts with a GAN whose discriminator is ramped."""
    assert run_program("hard-cases.md", tmp_path).startswith("discriminator: LR ")
