from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from steadylr.run import environment
from steadylr.run.environment import cpu_cores, git_commit, package_versions, probe_device, visible_gpus


def test_what_the_parent_process_needs_imports_no_torch() -> None:
    """names, environment, ranks, fingerprint and the like can be used, fingerprints made, without torch."""
    code = (
        "import sys\n"
        "from steadylr.run import augmentation, environment, fingerprint, names, processes, ranks\n"
        "ranks.torchrun_rank()\n"
        "environment.probe_device('auto'); environment.package_versions(); environment.git_commit()\n"
        "fingerprint.data_fingerprint('fashion_mnist_mini')\n"
        "augmentation.Augmentation.of([])\n"
        "sys.exit(any(name in sys.modules for name in ('torch', 'torchvision', 'numpy')))\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_auto_takes_the_best_kind_that_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """cuda when a GPU can be seen, else mps on Apple silicon, else cpu."""
    monkeypatch.setattr(environment, "_torch_has_cuda", lambda: True)
    monkeypatch.setattr(environment, "_gpus_present", lambda: ["0", "1"])
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert probe_device("auto") == "cuda"
    monkeypatch.setattr(environment, "_gpus_present", list)
    monkeypatch.setattr(sys, "platform", "linux")
    assert probe_device("auto") == "cpu"
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(environment.platform, "machine", lambda: "arm64")
    assert probe_device("auto") == "mps"


@pytest.mark.parametrize(
    ("variable", "seen"),
    [
        (None, ["0", "1", "2"]),
        ("", []),
        ("-1", []),
        ("2,0", ["2", "0"]),
        ("1,-1,2", ["1"]),
        ("0,7,1", ["0"]),
        ("GPU-abc", ["GPU-abc"]),
    ],
)
def test_gpus_are_those_that_cuda_visible_devices_leaves(
    monkeypatch: pytest.MonkeyPatch, variable: str | None, seen: list[str]
) -> None:
    """The variable chooses and orders; as with the driver, an id that is not there ends the list."""
    monkeypatch.setattr(environment, "_torch_has_cuda", lambda: True)
    monkeypatch.setattr(environment, "_gpus_present", lambda: ["0", "1", "2"])
    if variable is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", variable)
    assert visible_gpus() == seen


def test_a_torch_without_cuda_sees_no_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU that the installed torch can't use does not count."""
    monkeypatch.setattr(environment, "_torch_has_cuda", lambda: False)
    monkeypatch.setattr(environment, "_gpus_present", lambda: ["0"])
    assert visible_gpus() == []


@pytest.mark.parametrize("kind", ["cpu", "cuda", "mps"])
def test_a_kind_that_was_asked_for_is_the_answer(kind: str) -> None:
    """Whether it is there is the training's to say."""
    assert probe_device(kind) == kind


def test_an_unknown_accelerator_is_refused() -> None:
    """The message has the key and what is allowed."""
    with pytest.raises(
        ValueError, match=r"device\.accelerator must be one of auto, cpu, cuda, mps; got 'tpu'"
    ):
        probe_device("tpu")


def test_cores_are_limited_by_the_quota_of_the_control_group(monkeypatch: pytest.MonkeyPatch) -> None:
    """A quota of 0.5 cores is one core, one of 1000 cores changes nothing."""
    monkeypatch.setattr(environment, "_cgroup_quota", lambda: None)
    cores = cpu_cores()
    monkeypatch.setattr(environment, "_cgroup_quota", lambda: 1000.0)
    assert cpu_cores() == cores
    monkeypatch.setattr(environment, "_cgroup_quota", lambda: 0.5)
    assert cpu_cores() == 1


def test_versions_come_from_package_metadata() -> None:
    """Python, this package and torch are named; what is asked twice is a fresh copy."""
    versions = package_versions()
    assert {"python", "steadylr", "torch", "torchvision"} <= versions.keys()
    versions.clear()
    assert package_versions()


@pytest.fixture
def unasked() -> Iterator[None]:
    """As if no commit had been asked for yet in this process."""
    environment._commit_of.cache_clear()
    yield
    environment._commit_of.cache_clear()


@pytest.mark.usefixtures("unasked")
def test_the_commit_is_none_without_git(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without git, or a folder outside any repository, has no commit."""
    monkeypatch.setattr(environment, "_git", lambda *_: None)
    assert git_commit() is None


@pytest.mark.usefixtures("unasked")
def test_a_changed_working_copy_is_marked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A commit with changed files on top is not that commit."""
    answers = {"rev-parse": "abc", "status": " M file"}
    monkeypatch.setattr(environment, "_git", lambda _folder, command, *_: answers[command])
    assert git_commit() == "abc-dirty"
    answers["status"] = ""
    assert git_commit() == "abc-dirty"  # a process runs the code that it began with
    environment._commit_of.cache_clear()
    assert git_commit() == "abc"
