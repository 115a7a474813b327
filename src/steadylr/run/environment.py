"""What this machine is, found without importing torch: cores, accelerators, versions, commit."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import math
import os
import platform
import shutil
import subprocess
import sys
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Literal, cast

from steadylr.errors import InvalidValue

DeviceKind = Literal["cpu", "cuda", "mps"]
ACCELERATORS = ("auto", "cpu", "cuda", "mps")
PACKAGES = (
    "steadylr",
    "torch",
    "torchvision",
    "lightning-fabric",
    "numpy",
    "scipy",
    "hydra-core",
    "omegaconf",
    "lightning",
    "timm",
    "transformers",
)


def probe_device(accelerator: str) -> DeviceKind:
    """The kind of device that a training with this accelerator setting will run on.

    "auto" is cuda, then mps, then cpu, as far as can be told without torch; the training process confirms it.
    Any other setting is answered with itself, present or not: whether it is there is the training's to say.

    Raises:
        ValueError: a setting outside ACCELERATORS.
    """
    if accelerator not in ACCELERATORS:
        raise InvalidValue(
            f"device.accelerator must be one of {', '.join(ACCELERATORS)}; got {accelerator!r}"
        )
    if accelerator != "auto":
        return cast("DeviceKind", accelerator)
    if visible_gpus():
        return "cuda"
    if sys.platform == "darwin" and platform.machine() == "arm64":
        return "mps"
    return "cpu"


def visible_gpus() -> list[str]:
    """The GPUs that torch will number from 0, in this order, by index or id; empty when there are none."""
    if not _torch_has_cuda():
        return []
    present = _gpus_present()
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is None:
        return present
    usable: list[str] = []
    for entry in (part.strip() for part in chosen.split(",")):
        if not entry or entry.startswith("-") or (entry.isdecimal() and entry not in present):
            break  # the driver ignores whatever follows an id that is not there
        usable.append(entry)
    return usable if present else []


def cpu_cores() -> int:
    """Cores that this process may use: those of its affinity, within the quota of its control group."""
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else (os.cpu_count() or 1)
    quota = _cgroup_quota()
    return max(1, cores if quota is None else min(cores, math.ceil(quota)))


@lru_cache(maxsize=1)
def _versions() -> tuple[tuple[str, str], ...]:
    found = [("python", platform.python_version())]
    for name in PACKAGES:
        with suppress(importlib.metadata.PackageNotFoundError):
            found.append((name, importlib.metadata.version(name)))
    return tuple(found)


def package_versions() -> dict[str, str]:
    """Versions of Python and of the packages that a record names, from their metadata."""
    return dict(_versions())


def git_commit() -> str | None:
    """The commit of the working copy that this code runs from, with "-dirty" appended when files differ.

    Installed code has no working copy of its own: then it is that of the current folder. None when there is
    none.
    """
    here = Path(__file__).resolve().parent
    return _commit_of(Path.cwd() if "site-packages" in here.parts else here)


@lru_cache
def _commit_of(folder: Path) -> str | None:
    """As git_commit; asked once in a process, whose code was read when it began."""
    commit = _git(folder, "rev-parse", "HEAD")
    if not commit:
        return None
    changes = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return f"{commit}-dirty" if changes else commit


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


@lru_cache(maxsize=1)
def _torch_has_cuda() -> bool:
    """Whether the installed torch was built for GPUs of this kind: its library folder tells."""
    spec = importlib.util.find_spec("torch")
    if spec is None or not spec.submodule_search_locations:
        return False
    folder = Path(spec.submodule_search_locations[0]) / "lib"
    return any((folder / name).exists() for name in ("libtorch_cuda.so", "torch_cuda.dll", "libtorch_hip.so"))


def _gpus_present() -> list[str]:
    devices = [entry[len("nvidia") :] for entry in _listing("/dev") if entry.startswith("nvidia")]
    numbered = sorted(int(number) for number in devices if number.isdecimal())
    if numbered:
        return [str(position) for position in range(len(numbered))]
    if Path("/dev/dxg").exists() or sys.platform == "win32":
        return _listed_by_driver()
    nodes = Path("/sys/class/kfd/kfd/topology/nodes")
    if Path("/dev/kfd").exists():
        gpus = [node for node in _listing(str(nodes)) if _is_amd_gpu(nodes / node)]
        return [str(position) for position in range(len(gpus))]
    return []


def _is_amd_gpu(node: Path) -> bool:
    try:
        return (node / "gpu_id").read_text().strip() not in ("", "0")
    except OSError:
        return False


def _listed_by_driver() -> list[str]:
    if shutil.which("nvidia-smi") is None:
        return []
    try:
        done = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return []
    lines = [line for line in done.stdout.splitlines() if line.startswith("GPU ")]
    return [str(position) for position in range(len(lines))] if done.returncode == 0 else []


def _listing(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _cgroup_quota() -> float | None:
    """Cores that the control group grants, or None without a limit."""
    try:
        limit, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return None if limit == "max" else int(limit) / int(period)
    except (OSError, ValueError):
        pass
    try:
        limit = Path("/sys/fs/cgroup/cpu/cpu.cfs_quota_us").read_text()
        period = Path("/sys/fs/cgroup/cpu/cpu.cfs_period_us").read_text()
        return int(limit) / int(period) if int(limit) > 0 else None
    except (OSError, ValueError):
        return None
