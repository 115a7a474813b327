from __future__ import annotations

import pytest
import torch
from torch import nn

from steadylr.run import device as device_module
from steadylr.run.device import (
    Device,
    DeviceError,
    OutOfMemory,
    memory_errors,
    on_device,
    place,
    resolve_device,
)


@pytest.fixture
def only_a_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


def test_auto_takes_the_best_that_is_there(monkeypatch: pytest.MonkeyPatch, only_a_cpu: None) -> None:
    """cuda, then mps, then cpu."""
    assert resolve_device("auto").kind == "cpu"
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert resolve_device("auto").kind == "mps"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: f"GPU {index}")
    assert resolve_device("auto", index=1) == Device("cuda", 1, "32", None, False, False, "GPU 1")
    with pytest.raises(DeviceError, match="there is no CUDA device 2; there are 2, from 0"):
        resolve_device("cuda", index=2)


@pytest.mark.parametrize("kind", ["cuda", "mps"])
def test_a_device_that_is_not_there_says_what_is(only_a_cpu: None, kind: str) -> None:
    """The message names the key, what came and what this machine has."""
    with pytest.raises(DeviceError, match=rf"device\.accelerator={kind} is not there: this machine has cpu"):
        resolve_device(kind)


def test_half_precision_on_a_cpu_is_refused() -> None:
    """Fabric would train in bfloat16 without a word."""
    with pytest.raises(DeviceError, match="16-mixed does not work on a CPU: use bf16-mixed or 32"):
        resolve_device("cpu", precision="16-mixed")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"accelerator": "gpu"}, r"device\.accelerator must be one of auto, cpu, cuda, mps; got 'gpu'"),
        ({"precision": "64"}, r"device\.precision must be one of 32, bf16-mixed, 16-mixed; got '64'"),
        ({"threads": 0}, r"device\.threads must be at least 1; got 0"),
    ],
)
def test_settings_outside_their_range_are_refused(changes: dict[str, str], message: str) -> None:
    """The message names the key, what is allowed and what came."""
    with pytest.raises(DeviceError, match=message):
        resolve_device(**changes)  # type: ignore[arg-type]


def test_several_devices_need_a_way_to_share(monkeypatch: pytest.MonkeyPatch, only_a_cpu: None) -> None:
    """Each message names the key and what to use; for one device the strategy is of no account."""
    assert resolve_device("cpu", strategy="fsdp", devices=2).strategy == "fsdp"
    assert resolve_device("cpu", strategy="ddp").strategy == "single"
    with pytest.raises(
        DeviceError, match=r"device\.strategy must be one of ddp, fsdp for 2 devices; got 'single'"
    ):
        resolve_device("cpu", devices=2)
    monkeypatch.setattr(device_module, "has_fsdp", lambda: False)
    with pytest.raises(
        DeviceError, match=r"device\.strategy=fsdp needs torch 2\.6 or later; this is .*=ddp$"
    ):
        resolve_device("cpu", strategy="fsdp", devices=2)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    with pytest.raises(DeviceError, match=r"device\.devices=2 needs .*=cpu or cuda: a Mac has one GPU"):
        resolve_device("mps", strategy="ddp", devices=2)
    with monkeypatch.context() as cuda:
        cuda.setattr(device_module, "_choose", lambda _: "cuda")
        cuda.setattr(torch.cuda, "device_count", lambda: 2)
        with pytest.raises(DeviceError, match=r"16-mixed does not work with device\.strategy=fsdp"):
            resolve_device("cuda", strategy="fsdp", devices=2, precision="16-mixed")


def test_threads_and_determinism_hold_within_the_context_only() -> None:
    """Also when the training raises."""
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    with on_device(resolve_device("cpu", threads=2, deterministic=True)):
        assert (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()) == (2, True)
    assert (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()) == before
    with pytest.raises(RuntimeError, match="of ours"), on_device(resolve_device("cpu", threads=2)):
        raise RuntimeError("of ours")
    assert (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()) == before


def test_mixed_precision_computes_in_bfloat16_and_keeps_float32_weights() -> None:
    """Products are rounded to bfloat16; weights, outputs and loss are float32. No warning is shown."""
    device = resolve_device("cpu", precision="bf16-mixed")
    with on_device(device) as fabric:
        net = nn.Linear(64, 64)
        plain = net(torch.ones(1, 64)).detach()
        model, optimizer = place(fabric, device, net, torch.optim.SGD(net.parameters(), lr=0.1))
        outputs = model(torch.ones(1, 64))
        fabric.backward(outputs.sum())
        optimizer.step()
    assert outputs.dtype == net.weight.dtype == torch.float32
    assert not torch.equal(outputs, plain)
    assert torch.allclose(outputs, plain, atol=0.05)


def test_channels_last_is_a_matter_of_layout() -> None:
    """Convolution weights get the layout, values stay."""
    device = resolve_device("cpu", channels_last=True)
    net = nn.Conv2d(3, 4, 3)
    before = net.weight.detach().clone()
    with on_device(device) as fabric:
        place(fabric, device, net, torch.optim.SGD(net.parameters(), lr=0.1))
    assert net.weight.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(net.weight, before)


def test_running_out_of_memory_says_what_was_tried() -> None:
    """A real allocation failure of the CPU, told with the batch size and what to do."""
    with (
        pytest.raises(
            OutOfMemory, match=r"data\.batch_size=512: lower data\.batch_size.*accumulation_steps \(now 2\)"
        ),
        memory_errors(batch_size=512, accumulation_steps=2),
    ):
        torch.empty(2**55, dtype=torch.uint8)


@pytest.mark.parametrize(
    "error", [torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate"), MemoryError()]
)
def test_other_kinds_of_memory_error_are_known(error: Exception) -> None:
    """That of a GPU, and Python's own."""
    with pytest.raises(OutOfMemory, match=r"data\.batch_size=8"), memory_errors(batch_size=8):
        raise error


def test_other_errors_pass_unchanged() -> None:
    """Only memory is spoken of as memory."""
    with pytest.raises(RuntimeError, match=r"^shapes differ$"), memory_errors(batch_size=8):
        raise RuntimeError("shapes differ")


def test_a_torch_without_cuda_is_named(monkeypatch: pytest.MonkeyPatch, only_a_cpu: None) -> None:
    """The commonest reason why a GPU can't be used."""
    monkeypatch.setattr(device_module.torch.version, "cuda", None)
    monkeypatch.setattr(device_module.torch.version, "hip", None)
    with pytest.raises(DeviceError, match="the installed torch is built without CUDA"):
        resolve_device("cuda")
