"""Trainings on Slurm, through submitit: an array with a task for each. They meet in the store, a shared folder."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from steadylr.config.choices import Accelerator
from steadylr.config.errors import BadInput
from steadylr.jobs.engine import Outcome, Task
from steadylr.present.sweep_progress import Running, SweepProgress
from steadylr.run.extras import needed
from steadylr.store.curve_store import CurveStore
from steadylr.training.elsewhere import Needs, Parcel
from steadylr.training.failure import TrainingFailed, as_failure
from steadylr.training.obtain import train_into

if TYPE_CHECKING:
    from steadylr.config.schema import Device

CLUSTERS = ("slurm", "local")

AT_ONCE = 16
"""Trainings that may run at a time unless device.workers says so."""

POLL_SECONDS = 0.5

MOST_LINES = 20
"""Of what a task wrote, in the account of its end."""

LOOK_SECONDS = 10.0
"""How often Slurm is asked how its tasks are, beside the look for what they have left."""

ENDED = frozenset(
    {
        *(
            "BOOT_FAIL",
            "CANCELLED",
            "COMPLETED",
            "DEADLINE",
            "FAILED",
            "FORGOTTEN",
            "NODE_FAIL",
            "OUT_OF_MEMORY",
        ),
        *("PREEMPTED", "REVOKED", "TIMEOUT"),
    }
)
"""States of tasks that are over; FORGOTTEN is ours, for those that Slurm no longer lists."""


class SlurmEngine:
    """Trainings as tasks of Slurm's job arrays.

    Args:
        cluster: slurm, or local for processes on this machine, to try it out.
        partition: where to; None: Slurm's default.
        minutes: the most that each training may take.
        cores: of each training; None: device.threads, or 1, for each of its devices.
        gpus: of each training on GPUs; None: one for each of its devices.
        memory_gb: of each training; None: Slurm's default.
        more: further parameters of submitit, such as slurm_qos.

    Raises:
        BadInput: values that can't be.
        MissingPackage: submitit isn't installed.
    """

    def __init__(
        self,
        cluster: str,
        partition: str | None,
        minutes: int,
        cores: int | None,
        gpus: int | None,
        memory_gb: float | None,
        more: Mapping[str, Any],
    ) -> None:
        problems = [
            f"hydra.launcher.{name} must be {allowed}; got {value}"
            for name, value, fine, allowed in (
                ("cluster", cluster, cluster in CLUSTERS, f"one of {', '.join(CLUSTERS)}"),
                ("minutes", minutes, minutes >= 1, "at least 1"),
                ("cores", cores, cores is None or cores >= 1, "at least 1, or null"),
                ("gpus", gpus, gpus is None or gpus >= 1, "at least 1, or null"),
                ("memory_gb", memory_gb, memory_gb is None or memory_gb > 0, "above 0, or null"),
            )
            if not fine
        ]
        if cluster == "slurm" and shutil.which("sbatch") is None:
            problems.append(
                "hydra/launcher=steadylr_slurm needs sbatch, which this machine lacks: run it where Slurm is"
            )
        if problems:
            raise BadInput.of(problems)
        self.cluster = cluster
        self._cores = cores
        self._gpus = gpus
        self._parameters = {
            "name": "steadylr",
            "timeout_min": minutes,
            **({} if partition is None else {"slurm_partition": partition}),
            **({} if memory_gb is None else {"mem_gb": memory_gb}),
            **more,
        }
        self._submitit: Any = needed("submitit", by="hydra/launcher=steadylr_slurm")

    def capacity(self, device: Device) -> int:
        """What device.workers says, else AT_ONCE: what Slurm has free now says little."""
        return device.workers or AT_ONCE

    def workers_for(self, device: Device, trainings: int) -> int:
        """How many tasks of the array may run at a time."""
        return min(self.capacity(device), trainings)

    def described(self, workers: int) -> str:
        """Slurm."""
        return f"at most {workers} at a time on Slurm"

    def has(self, kind: Accelerator) -> bool:
        """Any, for all that this machine knows."""
        return True

    def begin(self, tasks: Sequence[Task], store: Path, *, workers: int) -> SlurmTasks:
        """The array is submitted when the context is entered."""
        return SlurmTasks(self, tasks, store.absolute(), at_once=workers)

    def submitted(self, tasks: Sequence[Task], store: Path, folder: Path, *, at_once: int) -> list[Any]:
        """Submit an array, and give submitit's jobs in the order of the tasks.

        Raises:
            BadInput: Slurm refuses it.
        """
        device = tasks[0].config.device
        needs = Needs.of(device, cores=self._cores, gpus=self._gpus)
        executor = self._submitit.AutoExecutor(folder=str(folder / "%j"), cluster=self.cluster)
        gpus = {"gpus_per_node": int(needs.gpus)} if needs.gpus else {}
        share = needs.share(device)
        parcels = [Parcel.of(task.config, task.training, task.plan, share=share) for task in tasks]
        try:
            executor.update_parameters(
                cpus_per_task=needs.cores, slurm_array_parallelism=at_once, **gpus, **self._parameters
            )
            return list(executor.map_array(SlurmTraining(store), parcels))
        except (self._submitit.core.utils.FailedJobError, NameError, ValueError) as error:
            raise BadInput(f"hydra/launcher=steadylr_slurm: {str(error).strip()}") from error


class SlurmTraining:
    """What a task of the array does. submitit queues one again that is preempted, and it begins at its first step.

    Args:
        store: the folder of the store.
    """

    def __init__(self, store: Path) -> None:
        self._store = store

    def __call__(self, parcel: Parcel) -> Outcome:
        """Train into the store; errors are a value."""
        from submitit.core.utils import UncompletedJobError

        try:
            parcel.unpack()
            return train_into(self._store, parcel.config, parcel.training, parcel.plan, share=parcel.share)
        except UncompletedJobError as error:  # raised wherever the training is
            return TrainingFailed(f"{error} Give it more time with hydra.launcher.minutes")
        except Exception as error:
            return as_failure(error)


class SlurmTasks:
    """Trainings under way on Slurm. Leaving the context cancels those that have not ended.

    Args:
        engine: that submits them.
        tasks: what to train.
        store: the folder of the store, as an absolute path. A folder in it holds what submitit writes meanwhile.
        at_once: how many may run at a time.
    """

    def __init__(self, engine: SlurmEngine, tasks: Sequence[Task], store: Path, *, at_once: int) -> None:
        self._engine = engine
        self._tasks = tuple(tasks)
        self._store = store
        self._at_once = at_once
        self._folder: Path | None = None
        self._running: dict[str, tuple[Task, Any]] = {}
        self._next_look = time.monotonic() + LOOK_SECONDS
        self._suspected: set[str] = set()
        self._gone: dict[str, str] = {}

    def __enter__(self) -> SlurmTasks:
        if self._tasks:
            CurveStore(self._store)  # made, where it isn't there
            meanwhile = self._store / "tmp"
            meanwhile.mkdir(parents=True, exist_ok=True)
            self._folder = Path(tempfile.mkdtemp(prefix="slurm-", dir=meanwhile))
            try:
                jobs = self._engine.submitted(self._tasks, self._store, self._folder, at_once=self._at_once)
                self._running = {job.job_id: (task, job) for task, job in zip(self._tasks, jobs, strict=True)}
            except BaseException:
                self._leave()
                raise
        return self

    def __exit__(self, *_: object) -> None:
        self._leave()

    def running(self) -> Sequence[Running]:
        """None: losses come back at the end of a training."""
        return ()

    def results(self, progress: SweepProgress) -> Iterator[tuple[str, Outcome]]:
        """Give each task's key and outcome as it ends."""
        steps = 0
        while self._running:
            self._look()
            ended = [name for name, (_, job) in self._running.items() if self._has_ended(job)]
            for name in ended:
                task, job = self._running.pop(name)
                outcome = self._outcome(job)
                steps += task.num_steps
                progress.run_done(task.label, failed=isinstance(outcome, TrainingFailed))
                yield task.key, outcome
            progress.update(steps=steps)
            if not ended:
                time.sleep(POLL_SECONDS)

    def _has_ended(self, job: Any) -> bool:
        if self._engine.cluster == "local":
            return bool(job.done())
        return job.job_id in self._gone or job.paths.result_pickle.exists()

    def _look(self) -> None:
        """Ask Slurm now and then how its tasks are. One is gone that twice was not under way.

        submitit would ask for each task, and Slurm's history at that, which is often switched off.
        """
        if self._engine.cluster != "slurm" or time.monotonic() < self._next_look:
            return
        self._next_look = time.monotonic() + LOOK_SECONDS
        states = _states()
        if states is not None:
            ended = {name: states.get(name, "FORGOTTEN") for name in self._running}
            ended = {name: state for name, state in ended.items() if state in ENDED}
            self._gone = {name: state for name, state in ended.items() if name in self._suspected}
            self._suspected = set(ended)

    def _outcome(self, job: Any) -> Outcome:
        """What came of a task that has ended; one that left nothing is told by its state and what it wrote last."""
        if job.paths.result_pickle.exists():
            try:
                outcome: Outcome = job.result()
                return outcome
            except Exception as error:
                return as_failure(error)
        state = self._gone.get(job.job_id, "its process died")
        written = (job.stderr() or job.stdout() or "").strip().splitlines()
        return TrainingFailed(
            f"Slurm's job {job.job_id} ended without a result ({state}): killed, out of memory or out of time; see "
            "hydra.launcher.memory_gb and hydra.launcher.minutes, and run the same command again",
            "\n".join(written[-MOST_LINES:]),
        )

    def _leave(self) -> None:
        """Cancel what has not ended, and remove what submitit has written."""
        for _, job in self._running.values():
            with suppress(OSError, subprocess.SubprocessError):
                job.cancel()
        self._running.clear()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)


def _states() -> dict[str, str] | None:
    """The state of each task of this user that Slurm knows; None where it doesn't answer."""
    command = ["squeue", "--me", "--noheader", "--array", "--states=all", "--format=%i %T"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return dict(line.split() for line in done.stdout.splitlines())
