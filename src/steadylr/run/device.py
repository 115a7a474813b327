"""The device of a training: which one, how precise, how many threads. Lightning Fabric does the work."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.optim import Optimizer

from steadylr.errors import InvalidValue, SteadylrError
from steadylr.run.environment import ACCELERATORS, DeviceKind
from steadylr.run.fabric import Fabric, LightningEnvironment
from steadylr.run.process_group import STRATEGIES, OneDeviceRanks, has_fsdp, joined, rebound
from steadylr.run.ranks import ALONE, Rank

if TYPE_CHECKING:
    from torch._C._distributed_c10d import Store

PRECISIONS = {"32": "32-true", "bf16-mixed": "bf16-mixed", "16-mixed": "16-mixed"}
"""From a precision in the config to Fabric's."""


class DeviceError(InvalidValue):
    """A device or precision that this machine can't give."""


class OutOfMemory(SteadylrError, RuntimeError):
    """A training did not fit into memory; the message says which batch size was tried."""


@dataclass(frozen=True, slots=True)
class Device:
    """Where and how a training computes; made by resolve_device.

    Args:
        kind: cpu, cuda or mps.
        index: which of several GPUs, from 0.
        precision: "32", "bf16-mixed" or "16-mixed".
        threads: threads of the CPU, None: as torch has it.
        channels_last: memory layout of images and convolution weights.
        deterministic: only algorithms that give the same bits every time.
        name: of the hardware, for the record.
        strategy: how several devices share a training: "ddp" or "fsdp"; "single" where there is one.
        devices: how many share it, on all machines together.
    """

    kind: DeviceKind
    index: int
    precision: str
    threads: int | None
    channels_last: bool
    deterministic: bool
    name: str
    strategy: str = "single"
    devices: int = 1


def resolve_device(
    accelerator: str = "auto",
    *,
    precision: str = "32",
    index: int = 0,
    threads: int | None = None,
    channels_last: bool = False,
    deterministic: bool = False,
    strategy: str = "single",
    devices: int = 1,
) -> Device:
    """Find the device that a config asks for.

    Args:
        accelerator: "auto" (cuda, then mps, then cpu), "cpu", "cuda" or "mps".
        precision: "32", "bf16-mixed" or "16-mixed" (not on a CPU, which would silently train in bfloat16).
        index: which GPU, from 0.
        threads: threads of the CPU, at least 1; None: as torch has it.
        channels_last: memory layout of images and convolution weights.
        deterministic: only algorithms that give the same bits every time; some operations then raise.
        strategy: "ddp" or "fsdp" for several devices; of no account for one.
        devices: how many devices share the training, at least 1. Each has its own process, and its own Device.

    Raises:
        DeviceError: a device that is not there (the message says what is), or a value outside its range.
    """
    if accelerator not in ACCELERATORS:
        raise DeviceError(f"device.accelerator must be one of {', '.join(ACCELERATORS)}; got {accelerator!r}")
    if precision not in PRECISIONS:
        raise DeviceError(f"device.precision must be one of {', '.join(PRECISIONS)}; got {precision!r}")
    if threads is not None and threads < 1:
        raise DeviceError(f"device.threads must be at least 1; got {threads!r}")
    kind = _choose(accelerator)
    if kind == "cuda" and not 0 <= index < torch.cuda.device_count():
        raise DeviceError(f"there is no CUDA device {index}; there are {torch.cuda.device_count()}, from 0")
    if kind == "cpu" and precision == "16-mixed":
        raise DeviceError("device.precision=16-mixed does not work on a CPU: use bf16-mixed or 32")
    if kind == "cuda" and precision == "bf16-mixed" and not torch.cuda.is_bf16_supported():
        raise DeviceError("device.precision=bf16-mixed is not supported by this GPU: use 16-mixed or 32")
    shared = devices > 1
    if shared and strategy not in STRATEGIES:
        raise DeviceError(
            f"device.strategy must be one of {', '.join(STRATEGIES)} for {devices} devices; got {strategy!r}"
        )
    if shared and kind == "mps":
        raise DeviceError(f"device.devices={devices} needs device.accelerator=cpu or cuda: a Mac has one GPU")
    if shared and strategy == "fsdp" and precision == "16-mixed":
        raise DeviceError(
            "device.precision=16-mixed does not work with device.strategy=fsdp: use bf16-mixed or 32"
        )
    if shared and strategy == "fsdp" and not has_fsdp():
        raise DeviceError(
            f"device.strategy=fsdp needs torch 2.6 or later; this is {torch.__version__}: use device.strategy=ddp"
        )
    name = torch.cuda.get_device_name(index) if kind == "cuda" else kind
    settings = (threads, channels_last, deterministic, name, strategy if shared else "single", devices)
    return Device(kind, index, precision, *settings)


def _choose(accelerator: str) -> DeviceKind:
    there = available_kinds()
    if accelerator == "auto":
        return there[0]
    for kind in there:
        if kind == accelerator:
            return kind
    why = ""
    if accelerator == "cuda" and torch.version.cuda is None and torch.version.hip is None:
        why = "; the installed torch is built without CUDA"
    raise DeviceError(
        f"device.accelerator={accelerator} is not there: this machine has {', '.join(there)}{why}; "
        "use device=auto to take the best that is there"
    )


def available_kinds() -> tuple[DeviceKind, ...]:
    """The kinds of device that torch can use here, best first."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a driver that is too old warns, and then counts as absent
        cuda = torch.cuda.is_available() and torch.cuda.device_count() > 0
    mps = torch.backends.mps.is_available()
    return (*(("cuda",) if cuda else ()), *(("mps",) if mps else ()), "cpu")


@contextmanager
def on_device(device: Device, rank: Rank = ALONE, *, store: Store | None = None) -> Iterator[Fabric]:
    """Give a Fabric for a device; threads and determinism hold within the context only.

    Args:
        device: of this process.
        rank: which of device.devices processes this is. All of them must enter the context to get anywhere.
        store: where they meet; see joined.
    """
    with _settings(device), joined(rank, _torch_device(device), store):
        with _quiet():
            here = (
                LightningEnvironment() if rank.alone else OneDeviceRanks(rank)
            )  # no cluster is to be looked for
            fabric = Fabric(
                accelerator=device.kind,
                devices=[device.index] if device.kind == "cuda" else 1,
                num_nodes=rank.count,
                strategy="auto" if rank.alone else STRATEGIES[device.strategy](),
                precision=PRECISIONS[device.precision],  # type: ignore[arg-type]
                plugins=[here],
            )
            fabric.launch()
        yield fabric


def _torch_device(device: Device) -> torch.device:
    return torch.device(device.kind, device.index) if device.kind == "cuda" else torch.device(device.kind)


@contextmanager
def _settings(device: Device) -> Iterator[None]:
    threads = torch.get_num_threads()
    algorithms = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    filling = torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    cudnn = torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark
    if device.threads is not None:
        torch.set_num_threads(device.threads)
    if device.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when the GPU is first used
        torch.use_deterministic_algorithms(True)
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
        torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(algorithms, warn_only=warn_only)
        torch.utils.deterministic.fill_uninitialized_memory = filling  # type: ignore[attr-defined]
        torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = cudnn


@contextmanager
def _quiet() -> Iterator[None]:
    """Within this context Fabric says neither what it warns of nor what it is about to do."""
    logger = logging.getLogger("lightning_fabric")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def place(fabric: Fabric, device: Device, model: nn.Module, optimizer: Optimizer) -> tuple[Any, Any]:
    """Put a model on its device and wrap both for precision and strategy: (model, optimizer) for range_test.

    The step's backward must then be fabric.backward. In full precision on one device nothing is wrapped: on a small
    model the wrapping costs one or two hundredths of every step, and has nothing to do there.

    Raises:
        ValueError: an optimizer that can't go on with the parts of a model that strategy fsdp leaves here.
    """
    if device.channels_last:
        model = model.to(memory_format=torch.channels_last)
    with _quiet():
        if device.precision == "32" and device.devices == 1:
            return fabric.to_device(model), optimizer
        if device.strategy == "fsdp":
            before = dict(model.named_parameters())
            sharded = fabric.setup_module(model)
            rebound(optimizer, before, model)
            return sharded, fabric.setup_optimizers(optimizer)
        placed = fabric.setup(model, optimizer)
    return placed[0], placed[1]


@contextmanager
def memory_errors(*, batch_size: int | None, accumulation_steps: int = 1) -> Iterator[None]:
    """Within this context, running out of memory raises OutOfMemory, which says what was tried.

    Args:
        batch_size: samples per batch that were tried; None where nobody knows.
        accumulation_steps: batches per optimizer step.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        tried = "" if batch_size is None else f" with data.batch_size={batch_size}"
        raise OutOfMemory(
            f"out of memory{tried}: lower data.batch_size, and raise "
            f"finder.accumulation_steps (now {accumulation_steps}) to keep the samples per step; "
            f"the device said: {(str(error).splitlines() or [''])[0]}"
        ) from error


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that memory ran out, on a GPU or on the CPU."""
    if isinstance(error, torch.cuda.OutOfMemoryError | MemoryError):
        return True
    text = str(error).lower()
    signs = ("out of memory", "not enough memory", "can't allocate memory", "cannot allocate memory")
    return isinstance(error, RuntimeError) and any(sign in text for sign in signs)
