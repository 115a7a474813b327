"""Sweeps on a real Ray cluster of three nodes: the same answers as here, and what survives when something dies."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from clusters import (
    begun,
    curves_in,
    end,
    fated,
    is_answered_as_here,
    process_of,
    start,
    sweepers_train_as_here,
)
from test_sweep_processes import statuses, until

from command_line import SRC, process
from needed import need

need("ray")

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # Ray's own


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A node that takes no tasks, as the command is connected to it, and two with a core each."""
    from ray.cluster_utils import Cluster

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    made.add_node(num_cpus=1)
    made.add_node(num_cpus=1)
    yield made
    made.shutdown()


def on(cluster: Any) -> tuple[str, str]:
    return "hydra/launcher=steadylr_ray", f"hydra.launcher.address='{cluster.address}'"


def test_a_sweep_is_answered_as_here(tmp_path: Path, cluster: Any) -> None:
    """Bit for bit; and the trials of verify_lr.py go to the cluster as well."""
    is_answered_as_here(tmp_path, *on(cluster))
    done = process(
        *(SRC / "verify_lr.py", "sweep=outputs/sweeps/x", "steps=10", "seeds=[0]", "val_samples=20"),
        *on(cluster),
        cwd=tmp_path / "there",
    )
    assert done.code in (0, 3), done.err
    assert "5 trainings of 10 steps, on Ray" in done.out.replace("5 LRs x 1 seed, ", "")
    assert len(list((tmp_path / "there").glob("outputs/store/v1/*/*.npz"))) == 8


def test_what_decides_on_more_trainings_has_them_there(tmp_path: Path, cluster: Any) -> None:
    """until_stable, for_length and attribution give what they give here."""
    sweepers_train_as_here(tmp_path, *on(cluster))


def test_a_training_out_of_memory_costs_its_own_job(tmp_path: Path, cluster: Any) -> None:
    """Told by torch or killed by the system; it is not begun again, and its reason is told."""
    folder = fated(tmp_path)
    done = end(start(folder, "+model.fate=dies,fine,hungry", *on(cluster)))
    assert done.code == 1
    assert list(statuses(folder / "outputs/sweeps/x").values()) == ["failed", "finished", "failed"]
    assert "killed from outside, or out of memory" in done.err
    assert "can't allocate" in done.err or "memory" in done.err.partition("out of memory")[2]
    assert sorted(begun(folder)) == ["dies", "fine", "hungry"]


def node_of(cluster: Any, process_number: int) -> Any:
    """The node that a process belongs to, whose parent is the node's own."""
    parent = int(Path(f"/proc/{process_number}/stat").read_text().rpartition(")")[2].split()[1])
    nodes = {node.all_processes["raylet"][0].process.pid: node for node in cluster.worker_nodes}
    return nodes[parent]


def test_a_node_that_dies_costs_no_training(tmp_path: Path, cluster: Any) -> None:
    """What it trained is begun again on another; what had finished is not."""
    folder = fated(tmp_path)
    program = start(folder, "+model.fate=fine,waits", *on(cluster))
    until(lambda: begun(folder).count("waits") == 1 and len(curves_in(folder)) == 1)
    cluster.remove_node(node_of(cluster, process_of(folder, "waits")), allow_graceful=False)
    cluster.add_node(num_cpus=1)
    until(lambda: begun(folder).count("waits") == 2)
    (folder / "go").touch()
    done = end(program)
    assert (done.code, statuses(folder / "outputs/sweeps/x")) == (0, {"0": "finished", "1": "finished"}), done
    assert sorted(begun(folder)) == ["fine", "waits", "waits"]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_the_same_command_goes_on(tmp_path: Path, cluster: Any, number: signal.Signals) -> None:
    """After a kill and after Ctrl-C, which cancels what is under way: what has finished is not trained again."""
    folder = fated(tmp_path)
    program = start(folder, "+model.fate=fine,waits", *on(cluster))
    until(lambda: begun(folder).count("waits") == 1 and len(curves_in(folder)) == 1)
    os.killpg(program.pid, number)
    stopped = end(program)
    (folder / "go").touch()
    done = end(start(folder, "+model.fate=fine,waits", *on(cluster)))
    assert (stopped.code, done.code) == (130 if number is signal.SIGINT else -number, 0), (stopped, done)
    assert sorted(begun(folder)) == ["fine", "waits", "waits"]
