"""torch-lr-finder's interface: the same numbers where torch-lr-finder is right, and what it gets wrong."""

from __future__ import annotations

import copy
import math
import random
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

import steadylr
from docs_programs import run_program
from steadylr import compat
from steadylr.core.curve import Stop


@pytest.fixture(scope="module")
def peer() -> ModuleType:
    """The package that is stood in for."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about its progress bar
        return pytest.importorskip(
            "torch_lr_finder", reason="torch-lr-finder is not installed: pip install '.[bench]'"
        )


@pytest.fixture(autouse=True)
def _alone() -> Any:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="torch.optim.lr_scheduler")  # about the peer's schedules
        yield
    torch.set_num_threads(threads)
    plt.close("all")


class Dicts(Dataset[Any]):
    """Samples that are no pairs."""

    def __init__(self, inputs: Tensor, labels: Tensor) -> None:
        self.inputs, self.labels = inputs, labels

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {"x": self.inputs[index], "y": self.labels[index]}


def samples(count: int = 22) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(3)
    inputs = torch.randn(count, 6, generator=generator)
    return inputs, (inputs.sum(dim=1) > 0).long()


def loader(*, shuffle: bool = True, kind: Any = TensorDataset) -> DataLoader[Any]:
    """22 samples in batches of 4: six an epoch, the last one short."""
    return DataLoader(kind(*samples()), batch_size=4, shuffle=shuffle)


def model_and_optimizer(
    name: str = "SGD", *, lr: float = 1e-3
) -> tuple[nn.Sequential, torch.optim.Optimizer]:
    torch.manual_seed(1)
    layers = nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 2)
    model = nn.Sequential(*layers)
    kwargs = {"momentum": 0.9} if name == "SGD" else {}
    return model, getattr(torch.optim, name)(model.parameters(), lr=lr, weight_decay=1e-2, **kwargs)


def history_of(package: Any, arguments: dict[str, Any]) -> dict[str, list[float]]:
    """What one package measures; some arguments are for here."""
    given = dict(arguments)
    model, optimizer = model_and_optimizer(given.pop("optimizer", "SGD"))
    own = given.pop("finder", {})
    if own:
        own = {**own, "grad_scaler": torch.amp.GradScaler("cpu", init_scale=2.0**10)}
    finder = package.LRFinder(model, optimizer, nn.CrossEntropyLoss(), **own)
    torch.manual_seed(7)
    if given.pop("dicts", False):

        class Train(package.TrainDataLoaderIter):  # type: ignore[misc,name-defined]
            def inputs_labels_from_batch(self, batch_data: Any) -> Any:
                return batch_data["x"], batch_data["y"]

        class Validation(package.ValDataLoaderIter):  # type: ignore[misc,name-defined]
            def inputs_labels_from_batch(self, batch_data: Any) -> Any:
                return batch_data["x"], batch_data["y"]

        train: Any = Train(loader(kind=Dicts))
        validation: Any = Validation(loader(kind=Dicts))
    else:
        train, validation = loader(), loader(shuffle=False)
    if given.pop("validate", False):
        given["val_loader"] = validation
    finder.range_test(train, **given)
    history: dict[str, list[float]] = finder.history
    return history


CASES: dict[str, dict[str, Any]] = {
    "exp": {"num_iter": 40},
    "linear": {"num_iter": 40, "step_mode": "linear", "end_lr": 1},
    "defaults": {},
    "from a start_lr": {"start_lr": 1e-5, "end_lr": 1.0, "num_iter": 30},
    "no smoothing": {"num_iter": 40, "smooth_f": 0},
    "light smoothing": {"num_iter": 40, "smooth_f": 0.5},
    "stopped by divergence": {"num_iter": 60, "end_lr": 1e4, "smooth_f": 0.3, "diverge_th": 3},
    "accumulation of two": {"num_iter": 20, "accumulation_steps": 2},
    "accumulation of three": {"num_iter": 20, "accumulation_steps": 3},
    "validation": {"num_iter": 25, "validate": True},
    "validation, linear, accumulated": {
        "num_iter": 15,
        "validate": True,
        "step_mode": "linear",
        "accumulation_steps": 3,
    },
    "validation, stopped": {
        "num_iter": 60,
        "validate": True,
        "end_lr": 1e4,
        "smooth_f": 0.3,
        "diverge_th": 3,
    },
    "blocking transfer": {"num_iter": 20, "non_blocking_transfer": False},
    "batches of dicts": {"num_iter": 20, "dicts": True},
    "batches of dicts, validation": {"num_iter": 15, "dicts": True, "validate": True},
    "AdamW": {"num_iter": 40, "optimizer": "AdamW", "end_lr": 1},
    "bf16": {
        "num_iter": 20,
        "finder": {"amp_backend": "torch", "amp_config": {"device_type": "cpu", "dtype": torch.bfloat16}},
    },
    "fp16": {
        "num_iter": 20,
        "finder": {"amp_backend": "torch", "amp_config": {"device_type": "cpu", "dtype": torch.float16}},
    },
}


@pytest.mark.parametrize("case", CASES)
def test_history_is_torch_lr_finders_bit_for_bit(peer: ModuleType, case: str) -> None:
    """Every LR and every smoothed loss, where the run ends, over shuffled epochs with dropout and BatchNorm."""
    arguments = dict(CASES[case])
    theirs = history_of(peer, copy.copy(arguments))
    ours = history_of(compat, copy.copy(arguments))
    assert ours["loss"] == theirs["loss"]
    assert ours["lr"][:-1] == theirs["lr"][:-1]
    assert ours["lr"][-1] == pytest.approx(theirs["lr"][-1], rel=1e-15)
    if "stopped" in case:
        assert 5 < len(ours["lr"]) < arguments["num_iter"]


def test_the_plot_suggests_what_torch_lr_finders_does(
    peer: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same point, printed the same way, on the axes that are given."""
    answers = []
    for package in (peer, compat):
        finder = finder_of(package)
        torch.manual_seed(7)
        finder.range_test(loader(), num_iter=40)
        capsys.readouterr()
        ax = Figure().add_subplot()
        drawn, lr = finder.plot(skip_start=3, skip_end=2, show_lr=0.1, ax=ax)
        assert drawn is ax
        answers.append((lr, capsys.readouterr().out, ax.lines[0].get_xydata().tolist(), ax.get_xscale()))
    assert answers[0] == answers[1]


@pytest.mark.parametrize("points", range(8))
def test_the_plot_shows_the_points_that_torch_lr_finders_does(peer: ModuleType, points: int) -> None:
    """None where the skips leave none, however few there are."""
    shown = []
    for package in (peer, compat):
        finder = finder_of(package)
        finder.history = {"lr": [10.0**k for k in range(points)], "loss": [float(k) for k in range(points)]}
        axes = [Figure().add_subplot() for _ in range(2)]
        finder.plot(skip_start=0, skip_end=5, suggest_lr=False, ax=axes[0])
        finder.plot(skip_start=2, skip_end=3, suggest_lr=False, ax=axes[1])
        shown.append([ax.lines[0].get_xydata().tolist() for ax in axes])
    assert shown[0] == shown[1]


def finder_of(package: Any = compat, **changes: Any) -> Any:
    model, optimizer = model_and_optimizer()
    return package.LRFinder(model, optimizer, **{"criterion": nn.CrossEntropyLoss(), **changes})


def everything(finder: Any) -> dict[str, Any]:
    return copy.deepcopy(
        {
            "model": finder.model.state_dict(),
            "optimizer": finder.optimizer.state_dict(),
            "modes": [module.training for module in finder.model.modules()],
            "gradients": [parameter.grad for parameter in finder.model.parameters()],
            "torch": torch.get_rng_state(),
            "python": random.getstate(),
            "numpy": np.random.get_state()[1].tolist(),  # type: ignore[index]  # noqa: NPY002
        }
    )


def same(one: Any, two: Any) -> bool:
    if isinstance(one, Tensor):
        return torch.equal(one, two)
    if isinstance(one, dict):
        return one.keys() == two.keys() and all(same(value, two[key]) for key, value in one.items())
    if isinstance(one, list | tuple):
        return len(one) == len(two) and all(same(a, b) for a, b in zip(one, two, strict=True))
    return bool(one == two)


def train(finder: Any, steps: int = 2) -> None:
    for _ in range(steps):
        inputs, labels = samples()
        finder.criterion(finder.model(inputs), labels).backward()
        finder.optimizer.step()


def test_all_is_as_before_after_each_test_and_each_reset() -> None:
    """Weights, optimizer with state, modes, gradients, generators: twice, without and with a reset in between."""
    model, optimizer = model_and_optimizer("AdamW")
    finder = compat.LRFinder(model, optimizer, nn.CrossEntropyLoss())
    train(finder)
    model.eval()
    finder = compat.LRFinder(model, optimizer, nn.CrossEntropyLoss())
    before = everything(finder)
    histories = []
    for _ in range(2):
        finder.range_test(loader(), val_loader=loader(), num_iter=6)
        assert same(everything(finder), before)
        finder.reset()
        assert same(everything(finder), before)
        histories.append(finder.history)
    assert histories[0] == histories[1]


def test_reset_undoes_a_training_as_often_as_it_is_called() -> None:
    """It brings back what was there when the finder was made; torch-lr-finder's second one doesn't."""
    model, optimizer = model_and_optimizer("AdamW")
    train(compat.LRFinder(model, optimizer, nn.CrossEntropyLoss()))
    finder = compat.LRFinder(model, optimizer, nn.CrossEntropyLoss())
    kept = ("model", "optimizer", "modes")
    before = {name: everything(finder)[name] for name in kept}
    for _ in range(3):
        train(finder)
        assert not same({name: everything(finder)[name] for name in kept}, before)
        finder.reset()
        assert same({name: everything(finder)[name] for name in kept}, before)


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt])
def test_all_is_as_before_after_an_exception(error: type[BaseException]) -> None:
    """Raised by the criterion in the middle of the run; what was measured until then stays in history."""
    finder = finder_of(criterion=nn.CrossEntropyLoss())
    criterion, calls = finder.criterion, []

    def fail(outputs: Tensor, labels: Tensor) -> Tensor:
        calls.append(0)
        if len(calls) == 5:
            raise error
        loss: Tensor = criterion(outputs, labels)
        return loss

    finder.criterion = fail
    before = everything(finder)
    with pytest.raises(error):
        finder.range_test(loader(), num_iter=10)
    assert same(everything(finder), before)
    assert len(finder.history["loss"]) == 4
    with pytest.raises(RuntimeError, match="no range_test has ended"):
        _ = finder.curve


class Losses(nn.Module):
    """A criterion whose n-th value is what the script says."""

    def __init__(self, values: list[float]) -> None:
        super().__init__()
        self.values = iter(values)

    def forward(self, outputs: Tensor, _labels: Tensor) -> Tensor:
        return outputs.sum() * 0 + next(self.values)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_ends_the_run(bad: float) -> None:
    """It stays out of history, so that no suggestion lies next to it; the curve has it."""
    finder = finder_of(criterion=Losses([3.0, 2.0, 1.0, 0.5, bad, 1.0]))
    finder.range_test(loader(), num_iter=6)
    assert len(finder.history["loss"]) == len(finder.history["lr"]) == 4
    assert finder.curve.stop is Stop.NON_FINITE
    assert finder.curve.loss.tolist()[:4] == [3.0, 2.0, 1.0, 0.5]
    assert not math.isfinite(finder.curve.loss[4])
    _, lr = finder.plot(skip_start=0, skip_end=0, ax=Figure().add_subplot())
    assert lr in finder.history["lr"]


def test_a_validation_loss_that_is_not_finite_ends_the_run() -> None:
    """Training and validation take turns here; the curve is the validation's."""
    one = DataLoader(TensorDataset(*samples(4)), batch_size=4)
    finder = finder_of(criterion=Losses([9.0, 3.0, 9.0, 2.0, 9.0, math.nan]))
    finder.range_test(one, val_loader=one, num_iter=6)
    assert finder.history["loss"] == [3.0, pytest.approx(2.95)]
    assert finder.curve.stop is Stop.NON_FINITE
    assert finder.curve.loss.tolist() == [3.0, 2.0, pytest.approx(math.nan, nan_ok=True)]


def test_negative_losses_end_nothing(peer: ModuleType) -> None:
    """A loss that falls below zero goes on; torch-lr-finder stops there, at once."""
    falling = [1.0 - 0.1 * i for i in range(40)]
    lengths = []
    for package in (compat, peer):
        finder = finder_of(package, criterion=Losses(falling))
        finder.range_test(loader(), num_iter=40, smooth_f=0)
        lengths.append(len(finder.history["loss"]))
    assert lengths == [40, 12]


def test_a_loss_below_zero_that_climbs_ends_the_run() -> None:
    """Where the best loss is not above zero, differences decide."""
    climbing = [1.0 - 0.1 * i for i in range(30)] + [-1.9 + 1.5 * i for i in range(30)]
    finder = finder_of(criterion=Losses(climbing))
    finder.range_test(loader(), num_iter=60, smooth_f=0)
    assert finder.curve.stop is Stop.DIVERGED
    assert 30 < len(finder.curve) < 60


def test_the_groups_of_an_optimizer_keep_their_ratios() -> None:
    """Also from a start_lr; history has the first group's LR."""
    model, _ = model_and_optimizer()
    groups = [{"params": model[0].parameters()}, {"params": model[4].parameters(), "lr": 0.05}]
    optimizer = torch.optim.SGD(groups, lr=0.5)
    seen: list[list[float]] = []
    optimizer.register_step_pre_hook(lambda opt, *_: seen.append([group["lr"] for group in opt.param_groups]))
    finder = compat.LRFinder(model, optimizer, nn.CrossEntropyLoss())
    finder.range_test(loader(), start_lr=1e-3, end_lr=1, num_iter=5)
    assert [first for first, _ in seen] == finder.history["lr"]
    assert [second / first for first, second in seen] == pytest.approx([0.1] * 5)


def test_a_group_at_0_stays_at_0() -> None:
    """The ramp starts at the LR of the first group above 0; where there is none start_lr must be given."""
    model, optimizer = model_and_optimizer()
    optimizer.param_groups[0]["lr"] = 0.0
    first, *others = model.parameters()
    optimizer.param_groups[0]["params"] = [first]
    optimizer.add_param_group({"params": others, "lr": 0.01})
    finder = compat.LRFinder(model, optimizer, nn.CrossEntropyLoss())
    before, moved = first.detach().clone(), []
    optimizer.register_step_post_hook(lambda *_: moved.append(torch.equal(before, first)))
    finder.range_test(loader(), num_iter=5)
    assert (finder.history["lr"][0], moved) == (0.01, [True] * 5)
    optimizer.param_groups[1]["lr"] = 0.0
    with pytest.raises(
        ValueError, match="start_lr must be above 0, and the optimizer's LR is 0: give start_lr"
    ):
        finder.range_test(loader(), num_iter=5)


def test_a_part_in_eval_mode_stays_so() -> None:
    """A frozen BatchNorm keeps its statistics during the test too; torch-lr-finder trains it."""
    finder = finder_of()
    finder.model[1].eval()
    counts: list[int] = []
    finder.optimizer.register_step_pre_hook(
        lambda *_: counts.append(int(finder.model[1].num_batches_tracked))
    )
    finder.range_test(loader(), num_iter=3)
    assert counts == [0, 0, 0]


def test_the_validation_loss_is_the_mean_over_the_samples_that_come() -> None:
    """Of a loader that leaves some out too; torch-lr-finder divides by all that the data set has."""
    one = DataLoader(TensorDataset(*samples(4)), batch_size=4)
    part = DataLoader(TensorDataset(*samples(10)), batch_size=4, drop_last=True)
    finder = finder_of(criterion=Losses([9.0, 2.0, 4.0] * 2))
    finder.range_test(one, val_loader=part, num_iter=2)
    assert finder.curve.loss.tolist() == [3.0, 3.0]


@pytest.mark.parametrize("kind", [dict, list])
def test_samples_are_counted_where_labels_are_several(kind: type) -> None:
    """Two kinds of label are not two samples: batches of four and two weigh two to one."""

    def collate(rows: list[Any]) -> Any:
        inputs, labels = (torch.stack(column) for column in zip(*rows, strict=True))
        return inputs, {"a": labels, "b": labels} if kind is dict else [labels, labels]

    one = DataLoader(TensorDataset(*samples(4)), batch_size=4)
    two = DataLoader(TensorDataset(*samples(6)), batch_size=4, collate_fn=collate)
    finder = finder_of(criterion=Losses([9.0, 3.0, 6.0] * 2))
    finder.range_test(one, val_loader=two, num_iter=2)
    assert finder.curve.loss.tolist() == [4.0, 4.0]


def test_the_curve_holds_the_raw_losses_for_everything_else_here() -> None:
    """Its EMA is history, bit for bit, and steadylr reads it."""
    finder = finder_of()
    finder.range_test(loader(), num_iter=60, smooth_f=0.2, diverge_th=math.inf)
    smoothed = [float(finder.curve.loss[0])]
    for loss in finder.curve.loss[1:].tolist():
        smoothed.append(0.2 * loss + (1 - 0.2) * smoothed[-1])
    assert finder.history == {"lr": finder.curve.lr.tolist(), "loss": smoothed}
    assert finder.best_loss == min(smoothed)
    assert steadylr.suggest(finder.curve).reason


@pytest.mark.parametrize(("smooth_f", "wanted"), [(0.2, 1.5e-2), (0.05, 3.1e-2), (0.02, 4.5e-2)])
def test_the_lag_of_the_smoothing_moves_its_suggestion_and_not_ours(smooth_f: float, wanted: float) -> None:
    """A noise-free descent that is steepest at 1e-2, as docs/migrating.md has it."""
    x = np.linspace(-7, 1, 100)
    finder = finder_of(criterion=Losses((2 - 1 / (1 + np.exp(-(x + 2) / 0.25))).tolist()))
    finder.range_test(loader(), start_lr=1e-7, end_lr=10, smooth_f=smooth_f)
    _, lr = finder.plot(ax=Figure().add_subplot())
    assert float(f"{lr:.1e}") == wanted
    ours = steadylr.suggest(finder.curve, "steepest").lr
    assert ours is not None
    assert float(f"{ours:.1e}") == 1.0e-2


def test_train_iterators_start_again_and_validation_iterators_end() -> None:
    """As their names say; auto_reset=False ends the first kind too, and then the run says what it needs."""
    pairs = loader(shuffle=False)
    endless = compat.TrainDataLoaderIter(pairs)
    assert [len(next(endless)[1]) for _ in range(8)] == [4, 4, 4, 4, 4, 2, 4, 4]
    once = compat.ValDataLoaderIter(pairs)
    assert [len(list(once)) for _ in range(3)] == [6, 6, 6]
    assert once.dataset is pairs.dataset
    with pytest.raises(ValueError, match="batches ended after 6, and 7 are needed"):
        finder_of().range_test(compat.TrainDataLoaderIter(pairs, auto_reset=False), num_iter=7)


def test_a_new_figure_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without axes; where nothing can be shown, nothing is said about it."""
    finder = finder_of()
    finder.range_test(loader(), num_iter=20)
    shown: list[int] = []
    monkeypatch.setattr(plt, "show", lambda: shown.append(1))
    ax = finder.plot(suggest_lr=False, log_lr=False)
    assert (ax.get_xscale(), ax.get_xlabel(), ax.get_ylabel()) == ("linear", "Learning rate", "Loss")
    assert shown == [1]
    monkeypatch.undo()
    finder.plot(skip_end=0)


def with_scheduler() -> Any:
    model, optimizer = model_and_optimizer()
    torch.optim.lr_scheduler.StepLR(optimizer, 1)
    return compat.LRFinder(model, optimizer, nn.CrossEntropyLoss())


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (with_scheduler, RuntimeError, "already has a scheduler attached"),
        (lambda: finder_of(amp_backend="apex"), ValueError, "Unknown amp backend: 'apex'"),
        (lambda: finder_of(amp_backend="torch"), ValueError, "`grad_scaler` is required"),
        (lambda: finder_of(cache_dir="/no/such/folder"), ValueError, "not a valid directory"),
        (lambda: finder_of().range_test([1, 2]), ValueError, "`train_loader` has unsupported type: list"),
        (
            lambda: finder_of().range_test(loader(), [1]),
            ValueError,
            "`val_loader` has unsupported type: list",
        ),
        (lambda: finder_of().range_test(loader(), step_mode="cos"), ValueError, "expected one of"),
        (lambda: finder_of().range_test(loader(), smooth_f=1), ValueError, "smooth_f is outside the range"),
        (
            lambda: finder_of().range_test(loader(), num_iter=1),
            ValueError,
            "`num_iter` must be larger than 1",
        ),
        (lambda: finder_of().range_test(loader(), end_lr=1e-4), ValueError, "start_lr must be below end_lr"),
        (lambda: finder_of().range_test(loader(kind=Dicts)), ValueError, "override inputs_labels_from_batch"),
        (lambda: finder_of().plot(skip_start=-1), ValueError, "skip_start cannot be negative"),
        (lambda: finder_of().plot(skip_end=-1), ValueError, "skip_end cannot be negative"),
        (lambda: finder_of().plot(show_lr=1), ValueError, "show_lr must be float"),
        (lambda: finder_of().plot(), RuntimeError, "Need at least 17 iterations"),
    ],
)
def test_wrong_arguments_raise_what_torch_lr_finder_raises(
    call: Any, error: type[Exception], message: str
) -> None:
    """The same kind of error, and a message that says what came."""
    with pytest.raises(error, match=message):
        call()


@pytest.mark.slow
def test_the_program_of_the_page_runs(tmp_path: Path) -> None:
    """docs/migrating.md starts with a program that prints torch-lr-finder's suggestion and ours."""
    printed = run_program("migrating.md", tmp_path)
    assert "Suggested LR: " in printed


def test_its_module_path_is_there() -> None:
    """For those who import the class and its iterators from torch_lr_finder.lr_finder."""
    from steadylr.compat.lr_finder import LRFinder, TrainDataLoaderIter, ValDataLoaderIter

    assert (LRFinder, TrainDataLoaderIter) == (compat.LRFinder, compat.TrainDataLoaderIter)
    assert ValDataLoaderIter is compat.ValDataLoaderIter


def test_what_cannot_be_ramped_is_refused_when_the_finder_is_made() -> None:
    """No module, one without values, an optimizer that needs a closure: a sentence, not what happens to fail first."""
    model, optimizer = model_and_optimizer()
    picture = torch.zeros(3, requires_grad=True)
    for given, message in (
        ((None, optimizer), "model must be a torch.nn.Module; got None"),
        ((picture, torch.optim.SGD([picture])), r"as torch\.nn\.ParameterList\(\[parameter\]\)"),
        ((model, torch.optim.SGD([picture])), r"To train a tensor outside of it .*ParameterList"),
        ((nn.Linear(2, 2, device="meta"), optimizer), "is on the meta device"),
        ((nn.Linear(2, 2), None), "optimizer must be a torch.optim.Optimizer; got None"),
        ((lines := nn.Linear(2, 2), torch.optim.LBFGS(lines.parameters())), "LBFGS can't be ramped"),
    ):
        with pytest.raises(ValueError, match=message):
            compat.LRFinder(*given, nn.CrossEntropyLoss())


def test_what_a_criterion_raises_is_told_with_its_name() -> None:
    """An AssertionError too."""

    def strict(outputs: Tensor, labels: Tensor) -> Tensor:
        assert outputs.shape == labels.shape, "other shapes"
        return outputs.mean()

    finder = finder_of(criterion=strict)
    with pytest.raises(ValueError, match=r"criterion .*strict with model Sequential failed .*: other shapes"):
        finder.range_test(loader(), num_iter=3)
