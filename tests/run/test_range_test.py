from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from steadylr import RangeTest, range_test
from steadylr.core.curve import Stop
from steadylr.core.divergence import StopRule
from steadylr.core.ramp import Ramp

RAMP = Ramp(1e-4, 1e-1, 12)


def squares(outputs: Tensor, targets: Tensor) -> Tensor:
    return (outputs - targets).square().mean()


def small_model(*, dropout: float = 0.0) -> nn.Sequential:
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(5), nn.Dropout(dropout), nn.Linear(5, 1))


def some_batches(count: int = 4) -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(2)
    return [
        (torch.randn(6, 3, generator=generator), torch.randn(6, 1, generator=generator)) for _ in range(count)
    ]


def sgd(model: nn.Module, lr: float = 0.1) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9)


def run(model: nn.Module | None = None, **changes: Any) -> RangeTest:
    chosen = small_model() if model is None else model
    optimizer = changes.pop("optimizer", None) or sgd(chosen)
    batches = changes.pop("batches", some_batches())
    ramp = changes.pop("ramp", RAMP)
    loss_fn = changes.pop("loss_fn", squares)
    changes.setdefault("stop_rule", StopRule(None))
    return range_test(chosen, optimizer, batches, loss_fn, ramp, **changes)


class Scripted(nn.Module):
    """A model whose loss in step i is what the script says, whatever is done to it."""

    def __init__(self, losses: list[float]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))
        self.losses = losses
        self.calls = 0

    def forward(self, _batch: Any) -> Tensor:
        loss = self.weight * 0 + self.losses[min(self.calls, len(self.losses) - 1)]
        self.calls += 1
        return loss


def scripted(losses: list[float], num_iter: int, **changes: Any) -> RangeTest:
    model = Scripted(losses)
    ramp = Ramp(1e-3, 1.0, num_iter)
    settings = {
        "batches": [0],
        "step": lambda m, batch: m(batch),
        "optimizer": sgd(model),
        "ramp": ramp,
        "stop_rule": StopRule(),
    }
    return run(model, **{**settings, **changes})


def bare_loop(model: nn.Module, accumulation_steps: int = 1) -> list[float]:
    """The slow, naive twin: a training loop as anyone would write it."""
    optimizer = sgd(model)
    batches = some_batches()
    losses = []
    for i in range(RAMP.num_iter):
        optimizer.param_groups[0]["lr"] = 1e-4 * (1e-1 / 1e-4) ** (i / (RAMP.num_iter - 1))
        optimizer.zero_grad()
        parts = []
        for k in range(accumulation_steps):
            inputs, targets = batches[(i * accumulation_steps + k) % len(batches)]
            loss = squares(model(inputs), targets)
            (loss / accumulation_steps).backward()
            parts.append(loss.item())
        optimizer.step()
        losses.append(sum(parts) / len(parts))
    return losses


def test_the_losses_are_those_of_a_bare_loop() -> None:
    """Step i trains with LR i, and point i of the curve holds the loss of that step, bit for bit."""
    result = run()
    assert result.curve.loss.tolist() == bare_loop(small_model())
    assert result.curve.stop is Stop.COMPLETED
    assert result.validation is None
    assert result.seconds > 0


def test_accumulation_takes_the_mean_over_its_batches() -> None:
    """Gradients and losses are means over the micro-batches of a step."""
    result = run(accumulation_steps=3)
    assert result.curve.loss == pytest.approx(bare_loop(small_model(), 3), rel=1e-5)


def test_accumulated_batches_train_as_one_large_batch() -> None:
    """Without BatchNorm, two halves of a batch give the curve of the whole."""
    halves = some_batches(4)
    wholes = [
        (torch.cat([halves[i][0], halves[i + 1][0]]), torch.cat([halves[i][1], halves[i + 1][1]]))
        for i in (0, 2)
    ]
    torch.manual_seed(0)
    model = nn.Linear(3, 1)
    one = run(model, batches=halves, accumulation_steps=2)
    two = run(model, batches=wholes)
    assert one.curve.loss == pytest.approx(two.curve.loss, rel=1e-5)


@pytest.mark.parametrize("mode", ["exp", "linear"])
def test_the_first_lr_is_start_lr_and_the_last_is_end_lr(mode: Any) -> None:
    """Both ends exactly, and what is logged is what the optimizer saw, per group and step."""
    model = small_model()
    optimizer = torch.optim.SGD(
        [{"params": model[0].parameters()}, {"params": model[3].parameters(), "lr": 0.3}], lr=0.1
    )
    seen: list[list[float]] = []
    optimizer.register_step_pre_hook(lambda opt, *_: seen.append([group["lr"] for group in opt.param_groups]))
    ramp = Ramp(1e-5, 0.5, 9, mode)
    result = run(model, optimizer=optimizer, ramp=ramp)
    assert (result.curve.lr[0], result.curve.lr[-1]) == (1e-5, 0.5)
    assert result.curve.lr.tolist() == ramp.lrs().tolist()
    assert result.group_lrs.tolist() == seen
    assert result.group_lrs.shape == (9, 2)


def test_ratios_between_groups_are_kept() -> None:
    """Those of the optimizer's LRs, the first group above 0 being 1, unless given."""
    model = small_model()
    groups = [{"params": model[0].parameters(), "lr": 0.2}, {"params": model[3].parameters(), "lr": 0.02}]
    optimizer = torch.optim.SGD(groups, lr=0.1)
    result = run(model, optimizer=optimizer)
    assert result.group_lrs[:, 1] / result.group_lrs[:, 0] == pytest.approx([0.1] * 12)
    given = run(model, optimizer=optimizer, lr_ratios=(0.5, 3.0))
    assert given.group_lrs[-1].tolist() == [0.05, pytest.approx(0.3)]


def test_an_lr_kept_in_a_tensor_stays_in_it() -> None:
    """Compiled optimizers read the LR from the tensor that they were given."""
    model = small_model()
    optimizer = torch.optim.Adam(model.parameters(), lr=torch.tensor(0.1), foreach=False)
    held = optimizer.param_groups[0]["lr"]
    result = run(model, optimizer=optimizer)
    assert len(result.curve) == 12
    assert optimizer.param_groups[0]["lr"] is held
    assert held.item() == pytest.approx(0.1)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("threshold", [2.0, None])
def test_a_loss_that_is_not_finite_ends_the_run_with_it(bad: float, threshold: float | None) -> None:
    """Also when the stop rule is off; the curve's last point is that loss."""
    result = scripted([2.0, 1.0, bad, 1.0], 10, stop_rule=StopRule(threshold))
    assert result.curve.stop is Stop.NON_FINITE
    assert len(result.curve) == 3
    assert not math.isfinite(result.curve.loss[-1])
    assert result.curve.num_iter == 10


def test_a_first_loss_that_is_not_finite_gives_a_curve_of_one_point() -> None:
    """Early divergence is a result, not an exception."""
    result = scripted([math.nan], 10)
    assert (len(result.curve), result.curve.stop) == (1, Stop.NON_FINITE)
    assert result.group_lrs.shape == (1, 1)


def test_a_constant_loss_is_recorded_as_it_is() -> None:
    """Raw losses: no filter touches the curve."""
    result = scripted([1.0] * 20, 20)
    assert result.curve.loss.tolist() == [1.0] * 20
    assert result.curve.stop is Stop.COMPLETED


def test_negative_losses_stop_nothing() -> None:
    """A falling loss below zero is no divergence."""
    result = scripted([-1.0 - 0.1 * i for i in range(40)], 40)
    assert result.curve.stop is Stop.COMPLETED
    assert len(result.curve) == 40


def climbing(count: int = 60) -> list[float]:
    return [2.0 - 0.02 * i for i in range(30)] + [1.4 * 1.5**i for i in range(count - 30)]


def test_divergence_ends_the_run_and_can_be_switched_off() -> None:
    """With a threshold the run ends on the climb; without it the ramp is finished."""
    stopped = scripted(climbing(), 60)
    assert stopped.curve.stop is Stop.DIVERGED
    assert 30 < len(stopped.curve) < 60
    finished = scripted(climbing(), 60, stop_rule=StopRule(None))
    assert finished.curve.stop is Stop.COMPLETED
    assert len(finished.curve) == 60


@pytest.mark.parametrize("lag", [1, 2, 7, 16, 1000])
@pytest.mark.parametrize(
    "losses", [climbing(), [2.0, 1.0, math.nan, 1.0], [1.0] * 5], ids=["up", "nan", "flat"]
)
def test_reading_losses_late_changes_no_result(lag: int, losses: list[float]) -> None:
    """The curve ends where the rule fired, however late that was noticed; so do the validation losses."""

    def measured(read_lag: int) -> tuple[Any, ...]:
        result = scripted(losses, 60, read_lag=read_lag, validate=lambda _: torch.tensor(1.0), val_every=3)
        validation = result.validation
        assert validation is not None
        return result.curve.digest(), result.curve.stop, validation.lr.tolist(), result.group_lrs.tolist()

    assert measured(lag) == measured(0)


def test_late_reading_trains_on_past_the_stop_but_not_for_long() -> None:
    """What the lag costs is at most the steps of one lag and one more."""
    model = Scripted([1.0, math.nan])
    run(
        model,
        batches=[0],
        step=lambda m, batch: m(batch),
        optimizer=sgd(model),
        ramp=Ramp(1e-3, 1, 100),
        read_lag=8,
    )
    assert model.calls <= 10


def state_of(model: nn.Module, optimizer: torch.optim.Optimizer) -> list[Any]:
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    return [
        weights,
        str(optimizer.state_dict()),
        [m.training for m in model.modules()],
        torch.get_rng_state(),
    ]


def same_state(one: list[Any], two: list[Any]) -> bool:
    weights = all(torch.equal(value, two[0][name]) for name, value in one[0].items())
    return weights and one[1:3] == two[1:3] and torch.equal(one[3], two[3])


def test_a_borrowed_model_comes_back_and_a_second_test_gives_the_same_curve() -> None:
    """Twice in a row, on an optimizer that has state: nothing of the first test is left in the second."""
    model = small_model(dropout=0.5)
    optimizer = sgd(model)
    model(some_batches()[0][0]).sum().backward()
    optimizer.step()
    model.eval()
    before = state_of(model, optimizer)
    curves = [run(model, optimizer=optimizer).curve.digest() for _ in range(2)]
    assert curves[0] == curves[1]
    assert same_state(before, state_of(model, optimizer))
    assert not model.training


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt])
def test_a_borrowed_model_comes_back_after_an_exception(error: type[BaseException]) -> None:
    """Raised in the middle of the run, by whatever part of it."""
    model = small_model()
    optimizer = sgd(model)
    before = state_of(model, optimizer)

    def fail(step: int, lr: float, loss: float | None) -> None:
        if step == 5:
            raise error

    with pytest.raises(error):
        run(model, optimizer=optimizer, on_step=fail)
    assert same_state(before, state_of(model, optimizer))


def test_without_restoring_the_model_is_left_trained() -> None:
    """restore=False copies nothing."""
    model = small_model()
    before = model[0].weight.detach().clone()
    run(model, restore=False)
    assert not torch.equal(model[0].weight, before)


def test_gradients_of_before_do_not_enter_the_first_step() -> None:
    """A model with gradients left from elsewhere gives the curve of one without."""
    model = small_model()
    clean = run(model).curve.digest()
    model(some_batches()[0][0]).sum().backward()
    assert run(model).curve.digest() == clean
    assert run(model, restore=False).curve.digest() == clean


def test_an_evaluating_model_is_trained_in_train_mode() -> None:
    """The curve does not depend on the mode in which the model came."""
    model = small_model()
    wanted = run(model).curve.digest()
    assert run(model.eval()).curve.digest() == wanted


def test_a_part_in_eval_mode_stays_so_in_a_training_model() -> None:
    """A user's frozen BatchNorm keeps its statistics during the test."""
    model = small_model()
    model[1].eval()
    statistics = model[1].running_mean.clone()
    run(model, restore=False)
    assert torch.equal(model[1].running_mean, statistics)


def test_whether_anything_was_drawn_during_training_is_reported() -> None:
    """Dropout uses the noise stream; without it nothing does."""
    assert run(small_model(dropout=0.5)).noise_used
    assert not run(small_model()).noise_used


def validated(model: nn.Module, **changes: Any) -> RangeTest:
    def validate(module: nn.Module) -> Tensor:
        torch.rand(3)  # a careless one, which draws
        inputs, targets = some_batches()[0]
        return squares(module(inputs), targets)

    return run(model, validate=validate, **changes)


@pytest.mark.parametrize("every", [1, 5])
def test_validation_leaves_no_trace_in_the_curve(every: int) -> None:
    """Neither BatchNorm nor dropout notices: the curve is that of a run without validation."""
    model = small_model(dropout=0.5)
    torch.manual_seed(3)
    wanted = run(model).curve.digest()
    result = validated(model, val_every=every)
    assert result.curve.digest() == wanted
    assert result.validation is not None
    assert result.validation.lr.tolist() == result.curve.lr[::every].tolist()
    assert result.validation.num_iter == len(result.validation)


def test_a_validation_curve_counts_its_own_points() -> None:
    """Its num_iter is that of a whole run, also where the run stopped early: spans are shares of it."""
    result = scripted([2.0, 1.0, math.nan], 60, validate=lambda _: torch.tensor(1.0), val_every=7)
    assert len(result.curve) == 3
    assert result.validation is not None
    assert (len(result.validation), result.validation.num_iter) == (1, 9)


def test_a_validation_point_is_measured_after_its_step_in_eval_mode() -> None:
    """The point at step 0 is the loss of the model that has taken one step."""
    result = validated(small_model(), val_every=100)
    model = small_model()
    optimizer = sgd(model)
    optimizer.param_groups[0]["lr"] = 1e-4
    inputs, targets = some_batches()[0]
    squares(model(inputs), targets).backward()
    optimizer.step()
    with torch.no_grad():
        wanted = squares(model.eval()(inputs), targets).item()
    assert result.validation is not None
    assert result.validation.loss.tolist() == [wanted]


def test_progress_is_told_after_every_step() -> None:
    """Step, LR and the newest loss that has been read."""
    told: list[tuple[int, float, float | None]] = []
    result = run(on_step=lambda *facts: told.append(facts))
    assert [step for step, _, _ in told] == list(range(12))
    assert [lr for _, lr, _ in told] == result.curve.lr.tolist()
    assert [loss for _, _, loss in told] == result.curve.loss.tolist()
    told.clear()
    run(on_step=lambda *facts: told.append(facts), read_lag=3)
    assert told[0][2] is None
    assert told[-1][2] is not None


def test_a_finite_loader_is_read_again() -> None:
    """Over as many epochs as it takes."""
    inputs, targets = some_batches(1)[0]
    loader = DataLoader(TensorDataset(inputs, targets), batch_size=2)
    assert len(run(batches=loader).curve) == 12


def test_an_iterator_that_ends_early_says_what_came_and_what_is_needed() -> None:
    """It can't be started again."""
    with pytest.raises(ValueError, match=r"batches ended after 4, and 24 are needed"):
        run(batches=iter(some_batches()), accumulation_steps=2)
    with pytest.raises(ValueError, match="batches is empty"):
        run(batches=[])


def test_an_endless_generator_of_the_callers_stays_open() -> None:
    """What was passed as an iterator is not closed: it is the caller's."""

    def endless() -> Iterator[tuple[Tensor, Tensor]]:
        while True:
            yield from some_batches()

    batches = endless()
    run(batches=batches)
    assert len(next(batches)) == 2


def test_dict_batches_need_a_step_of_their_own() -> None:
    """step(model, batch) -> loss takes any batch."""
    batches = [{"x": x, "y": y} for x, y in some_batches()]
    with pytest.raises(ValueError, match=r"a batch must be a pair.*give step\(model, batch\)"):
        run(batches=batches)
    result = run(batches=batches, loss_fn=None, step=lambda m, b: squares(m(b["x"]), b["y"]))
    assert result.curve.digest() == run().curve.digest()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"accumulation_steps": 0}, "accumulation_steps must be at least 1; got 0"),
        ({"val_every": -1}, "val_every must be at least 0"),
        ({"read_lag": -1}, "read_lag must be at least 0"),
        ({"lr_ratios": (1.0, 2.0)}, r"one number per parameter group \(1\); got 2"),
        ({"lr_ratios": (0.0,)}, "lr_ratios must be finite and at least 0, one of them above 0"),
        ({"loss_fn": None}, "give loss_fn, or step"),
        (
            {"loss_fn": lambda o, t: (o - t).square()},
            r"the loss must be one number; got a tensor of shape \(6, 1\)",
        ),
    ],
)
def test_arguments_outside_their_range_are_refused(changes: dict[str, Any], message: str) -> None:
    """The message names the argument and what came."""
    with pytest.raises(ValueError, match=message):
        run(**changes)


def two_groups(model: nn.Module, *lrs: float) -> torch.optim.SGD:
    groups = [{"params": model[place].parameters(), "lr": lr} for place, lr in zip((0, 3), lrs, strict=True)]  # type: ignore[index]
    return torch.optim.SGD(groups, lr=0.1)


@pytest.mark.parametrize(("lrs", "ratios"), [((0.0, 0.1), [0, 1]), ((0.2, 0.0), [1, 0])])
def test_a_group_at_0_stays_at_0(lrs: tuple[float, float], ratios: list[float]) -> None:
    """Whichever it is; the ramp is that of the first group above 0."""
    model = small_model()
    result = run(model, optimizer=two_groups(model, *lrs))
    assert (result.group_lrs / result.curve.lr[:, None]).tolist() == [ratios] * len(result.curve)


@pytest.mark.parametrize(
    "schedule",
    [
        lambda optimizer: torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: step / 10),
        lambda optimizer: torch.optim.lr_scheduler.LambdaLR(optimizer, [lambda _: 1.0, lambda _: 0.05]),
    ],
    ids=["all at 0", "all alike"],
)
def test_a_warm_up_hides_no_ratios(schedule: Callable[[torch.optim.Optimizer], Any]) -> None:
    """Where the groups' LRs are alike now, those count that the scheduler notes."""
    model = small_model()
    optimizer = two_groups(model, 0.01, 0.2)
    schedule(optimizer)
    result = run(model, optimizer=optimizer)
    assert result.group_lrs[:, 1] / result.group_lrs[:, 0] == pytest.approx([20] * len(result.curve))


def test_groups_that_are_all_at_0_are_warned_of() -> None:
    """They all get the ramp's LR; a single group at 0 has nothing to lose."""
    model = small_model()
    with pytest.warns(UserWarning, match="all 2 parameter groups have LR 0, .* Give lr_ratios"):
        result = run(model, optimizer=two_groups(model, 0.0, 0.0))
    assert result.group_lrs[:, 0].tolist() == result.group_lrs[:, 1].tolist() == result.curve.lr.tolist()
    assert len(run(model, optimizer=torch.optim.SGD(model.parameters(), lr=0.0)).curve) == 12


def test_runs_side_by_side_do_not_disturb_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four at once give the curves that they give alone, and leave no file anywhere."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    wanted = run().curve.digest()
    models = [small_model() for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda model: run(model).curve.digest(), models))
    assert results == [wanted] * 4
    assert not list(tmp_path.iterdir())


def test_a_backward_of_the_callers_is_used() -> None:
    """Fabric's, for one: it gets the loss of each micro-batch, divided by their number."""
    seen: list[float] = []

    def backward(loss: Tensor) -> None:
        seen.append(loss.item())
        loss.backward()

    result = run(backward=backward, accumulation_steps=2)
    assert np.reshape(seen, (-1, 2)).sum(axis=1) == pytest.approx(result.curve.loss, rel=1e-5)


def _rank(rank: int, port: int, out: str) -> None:
    torch.distributed.init_process_group(
        "gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2
    )
    losses = [[1.0, 1.0, math.nan, 1.0], [3.0, 3.0, 3.0, 3.0]][rank]
    result = scripted(losses, 8)
    Path(out, str(rank)).write_text(f"{result.curve.loss.tolist()} {result.curve.stop.value}")
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_processes_share_the_mean_loss_and_stop_together(tmp_path: Path) -> None:
    """One rank's NaN ends the run on both, with the same curve."""
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    torch.multiprocessing.spawn(_rank, args=(port, str(tmp_path)), nprocs=2)
    texts = [(tmp_path / str(rank)).read_text() for rank in (0, 1)]
    assert texts == ["[2.0, 2.0, nan] non_finite"] * 2
