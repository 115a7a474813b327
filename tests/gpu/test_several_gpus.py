"""Sweeps and trainings over as many GPUs as there are: one run per GPU, several that share one, DDP with nccl."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from command_line import FIND_LR, only_run, process
from steadylr.store.curve_file import RunCurves

SHORT = ("device=cuda", "model=mlp", "finder=quick", "finder.num_iter=40")


def records_of(sweep: Path) -> list[dict[str, object]]:
    return [json.loads(file.read_text()) for file in sorted(sweep.glob("*/record.json"))]


def test_each_gpu_has_a_run(tmp_path: Path) -> None:
    """One worker for each, and every GPU is used where there are as many runs."""
    count = torch.cuda.device_count()
    done = process(FIND_LR, "-m", f"seed=range(0,{2 * count})", *SHORT, "sweep_name=x", cwd=tmp_path)
    assert done.code == 0, done.err
    assert f"{count} worker" in done.out
    records = records_of(tmp_path / "outputs/sweeps/x")
    assert len(records) == 2 * count
    assert {record["device"]["index"] for record in records} == set(range(count))  # type: ignore[index]


def test_several_runs_share_a_gpu(tmp_path: Path) -> None:
    """As many workers as asked for; each run gives the curve that it gives alone."""
    shared = ("device.deterministic=true", f"device.workers={2 * torch.cuda.device_count()}", "sweep_name=x")
    done = process(FIND_LR, "-m", "seed=0,1", *SHORT, *shared, cwd=tmp_path)
    assert done.code == 0, done.err
    alone = process(
        FIND_LR, "seed=1", *SHORT, "device.deterministic=true", "store.enabled=false", cwd=tmp_path
    )
    assert alone.code in (0, 3), alone.err
    ours = RunCurves.load(tmp_path / "outputs/sweeps/x/1/curve.npz").curve.loss
    assert (ours == RunCurves.load(only_run(tmp_path) / "curve.npz").curve.loss).all()


@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_gpus_share_a_training(tmp_path: Path, strategy: str) -> None:
    """By nccl, over all there are; without BatchNorm and dropout it is the curve of one, up to rounding."""
    count = torch.cuda.device_count()
    if count < 2:
        pytest.skip("one GPU has nobody to share with")
    sharing = (f"device.strategy={strategy}", f"device.devices={count}", f"data.batch_size={16 * count}")
    curves = []
    for name, more in (("all", sharing), ("one", sharing[2:])):
        (tmp_path / name).mkdir()
        done = process(FIND_LR, *SHORT, *more, "store.enabled=false", cwd=tmp_path / name)
        assert done.code in (0, 3), done.err
        curves.append(RunCurves.load(only_run(tmp_path / name) / "curve.npz").curve.loss[:20])
    assert curves[0] == pytest.approx(curves[1], rel=1e-2)
