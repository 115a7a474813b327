"""The range test on a CUDA device: what it reads, how precise it is, and what it does when memory runs out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from command_line import find_lr, only_run
from steadylr.core.divergence import StopRule
from steadylr.core.ramp import Ramp
from steadylr.run.device import OutOfMemory, memory_errors, on_device, place, resolve_device
from steadylr.run.loss_readers import loss_reader
from steadylr.run.options import Options
from steadylr.run.range_test import range_test
from steadylr.store.curve_file import RunCurves

RUN = ("device=cuda", "model=small_resnet", "finder=quick", "finder.num_iter=60", "store.enabled=false")


def run_of(folder: Path, monkeypatch: pytest.MonkeyPatch, *overrides: str) -> RunCurves:
    """One range test by the command, in a folder of its own."""
    folder.mkdir()
    monkeypatch.chdir(folder)
    done = find_lr(*RUN, *overrides)
    assert done.code in (0, 3), done.err
    return RunCurves.load(only_run(folder) / "curve.npz")


@pytest.fixture
def sync_is_an_error() -> Iterator[None]:
    """Whatever makes the host wait for the GPU raises."""
    torch.cuda.set_sync_debug_mode("error")
    yield
    torch.cuda.set_sync_debug_mode("default")


def test_losses_are_read_without_a_wait(sync_is_an_error: None) -> None:
    """Each goes to page-locked memory as the GPU gets to it; all arrive, in their order."""
    losses = torch.arange(100.0, device="cuda")
    reader = loss_reader(losses[0], 100, None)
    found: list[float] = []
    for loss in losses.unbind():
        reader.put(loss)
        found += reader.ready()
    found += reader.rest()
    assert found == list(map(float, range(100)))


def test_a_step_of_a_range_test_does_not_wait() -> None:
    """Not between the first steps, which warm up, and the last, after which all is read."""
    model = nn.Linear(16, 4).cuda()
    batch = torch.randn(32, 16, device="cuda"), torch.randint(4, (32,), device="cuda")

    def forever() -> Iterator[Any]:
        while True:
            yield batch

    def on_step(step: int, lr: float, loss: float | None) -> None:
        if step == 30:
            torch.cuda.set_sync_debug_mode("error")
        if step == 80:
            torch.cuda.set_sync_debug_mode("default")

    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    options = Options(loss_fn=nn.functional.cross_entropy, on_step=on_step, stop_rule=StopRule(None))
    try:
        test = range_test(model, optimizer, forever(), Ramp(1e-6, 1e-2, 100, "exp"), options)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert len(test.curve) == 100


def test_fp16_marks_the_updates_that_overflow() -> None:
    """A loss whose scaled gradients are beyond fp16 makes the scaler leave out updates, which the curve names."""
    device = resolve_device("cuda", precision="16-mixed")
    with on_device(device) as fabric:
        model = nn.Linear(8, 1)
        optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
        placed, wrapped = place(fabric, device, model, optimizer)
        batch = torch.full((4, 8), 100.0, device="cuda"), torch.zeros(4, 1, device="cuda")

        def large(output: Tensor, target: Tensor) -> Tensor:
            return 1e4 * (output.float() - target).abs().mean()

        options = Options(loss_fn=large, backward=fabric.backward, stop_rule=StopRule(None))
        test = range_test(placed, wrapped, [batch], Ramp(1e-9, 1e-8, 60, "exp"), options)
    assert test.skipped_steps
    assert test.skipped_steps[0] == 0
    assert len(test.skipped_steps) < 60


@pytest.mark.parametrize("precision", ["bf16-mixed", "16-mixed"])
def test_mixed_precision_finds_the_same_descent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, precision: str
) -> None:
    """Near full precision while the LR is small, and a run of its own: another digest."""
    if precision == "bf16-mixed" and not torch.cuda.is_bf16_supported():
        pytest.skip("this GPU has no bf16")
    full = run_of(tmp_path / "full", monkeypatch)
    mixed = run_of(tmp_path / "mixed", monkeypatch, f"device.precision={precision}")
    assert mixed.curve.loss[:20] == pytest.approx(full.curve.loss[:20], rel=0.05)
    assert mixed.curve.digest() != full.curve.digest()


def test_channels_last_is_the_same_up_to_rounding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another memory layout, no other training."""
    first = run_of(tmp_path / "first", monkeypatch)
    last = run_of(tmp_path / "last", monkeypatch, "device.channels_last=true")
    assert last.curve.loss[:20] == pytest.approx(first.curve.loss[:20], rel=0.02)


def test_deterministic_gives_the_same_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twice, with convolutions."""
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    curves = [
        run_of(tmp_path / str(k), monkeypatch, "device.deterministic=true", "augmentation=light").curve.loss
        for k in range(2)
    ]
    assert np.array_equal(*curves)


def test_out_of_memory_is_one_sentence() -> None:
    """With what to lower; and what was taken is given back."""
    before = torch.cuda.memory_allocated()
    allocate: Callable[[], Tensor] = lambda: torch.empty(2**46, dtype=torch.uint8, device="cuda")  # noqa: E731
    with (
        pytest.raises(OutOfMemory, match=r"data\.batch_size"),
        memory_errors(batch_size=64, accumulation_steps=1),
    ):
        allocate()
    assert torch.cuda.memory_allocated() == before
