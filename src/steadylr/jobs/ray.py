"""Trainings on a Ray cluster: a task for each. Curves come back through Ray, and only this process stores them."""

from __future__ import annotations

import logging
import os
import signal
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from steadylr.config.choices import Accelerator
from steadylr.config.errors import BadInput
from steadylr.jobs.engine import Outcome, Task
from steadylr.present.streams import complain
from steadylr.present.sweep_progress import Running, SweepProgress
from steadylr.run.extras import needed
from steadylr.training.elsewhere import Needs, Parcel
from steadylr.training.failure import TrainingFailed, as_failure
from steadylr.training.obtain import keep

if TYPE_CHECKING:
    from steadylr.config.schema import Device
    from steadylr.store.curve_file import RunCurves
    from steadylr.store.trial_file import Trial

POLL_SECONDS = 0.2
MOST_RETRIES = 2
IN_FLIGHT = 64
"""So many tasks more than fit on the cluster are given to Ray at a time: each look at them takes time for each."""


class RayEngine:
    """Trainings on a Ray cluster.

    Args:
        address: of the cluster; None: RAY_ADDRESS, else the cluster on this machine, else Ray is started here.
        cores: of each training; None: device.threads, or 1, for each of its devices.
        gpus: of each training on GPUs, 0.5 for two that share one; None: one for each of its devices.
        retries: how often a training is begun again whose machine has died.
        runtime_env: Ray's, for what the machines lack.

    Raises:
        BadInput: values that can't be.
        MissingPackage: Ray isn't installed.
    """

    def __init__(
        self,
        address: str | None,
        cores: int | None,
        gpus: float | None,
        retries: int,
        runtime_env: Mapping[str, Any],
    ) -> None:
        problems = [
            f"hydra.launcher.{name} must be {allowed}; got {value}"
            for name, value, fine, allowed in (
                ("cores", cores, cores is None or cores >= 1, "at least 1, or null"),
                ("gpus", gpus, gpus is None or gpus > 0, "above 0, or null"),
                ("retries", retries, 0 <= retries <= MOST_RETRIES, f"from 0 to {MOST_RETRIES}"),
            )
            if not fine
        ]
        if problems:
            raise BadInput.of(problems)
        self._address = address
        self._cores = cores
        self._gpus = gpus
        self.retries = retries
        self._runtime_env = dict(runtime_env)
        self._ray: Any = needed("ray", by="hydra/launcher=steadylr_ray")

    def capacity(self, device: Device) -> int:
        """How many trainings fit on the cluster as it is now, unless device.workers says so."""
        return self.fitting(device) if device.workers is None else device.workers

    def fitting(self, device: Device) -> int:
        """How many trainings fit on the cluster as it is now, at least 1; says where none does yet."""
        needs = self._needs(device)
        asked = {name: amount for name, amount in (("CPU", needs.cores), ("GPU", needs.gpus)) if amount}
        nodes = [node["Resources"] for node in self.connected().nodes() if node["Alive"]]
        fits = sum(min(int(node.get(name, 0) / share) for name, share in asked.items()) for node in nodes)
        if not fits:
            text = " and ".join(f"{amount:g} {name}" for name, amount in asked.items())
            complain(f"each training needs {text}, which no machine of the Ray cluster has: waiting for one")
        return max(1, fits)

    def workers_for(self, device: Device, trainings: int) -> int:
        """All, as Ray has them wait where they don't fit, unless device.workers says so."""
        return trainings if device.workers is None else min(device.workers, trainings)

    def described(self, workers: int) -> str:
        """Ray."""
        return "on Ray"

    def has(self, kind: Accelerator) -> bool:
        """Any: what a cluster lacks it may get."""
        return True

    def begin(self, tasks: Sequence[Task], store: Path, *, workers: int) -> RayTasks:
        """Connect to the cluster; the tasks are given to Ray when the context is entered."""
        return RayTasks(self, tasks, store, at_once=workers)

    def connected(self) -> Any:
        """Ray, connected to the cluster.

        Raises:
            BadInput: there is none at that address.
        """
        if not self._ray.is_initialized():
            os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
            with _handlers_kept():
                try:
                    self._ray.init(
                        address=self._address,
                        runtime_env=self._runtime_env or None,
                        log_to_driver=False,
                        logging_level=logging.ERROR,
                    )
                except (ConnectionError, ValueError, RuntimeError) as error:
                    reason = str(error).strip().partition("\n")[0]
                    raise BadInput(
                        f"hydra.launcher.address={self._address}: no Ray cluster can be reached there ({reason}); give "
                        "the address that `ray start --head` printed, auto for the cluster on this machine, or null"
                    ) from error
        return self._ray

    def submitted(self, task: Task) -> Any:
        """Give a task to Ray."""
        device = task.config.device
        needs = self._needs(device)
        parcel = Parcel.of(task.config, task.training, task.plan, share=needs.share(device))
        # Ray's own retries would also begin those again that ran out of memory, without end.
        remote = self.connected().remote(_train)
        options = {"num_cpus": needs.cores, "num_gpus": needs.gpus, "max_retries": 0, "name": task.label}
        return remote.options(**options).remote(parcel)

    def _needs(self, device: Device) -> Needs:
        return Needs.of(device, cores=self._cores, gpus=self._gpus)


@contextmanager
def _handlers_kept() -> Iterator[None]:
    """Keep the answers to signals that Ray would replace."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@dataclass(slots=True)
class _Attempt:
    task: Task
    number: int


class RayTasks:
    """Trainings under way on a cluster. Leaving the context cancels those that have not ended.

    Args:
        engine: the cluster.
        tasks: what to train.
        store: the folder of the store.
        at_once: how many may be given to Ray at a time.
    """

    def __init__(self, engine: RayEngine, tasks: Sequence[Task], store: Path, *, at_once: int) -> None:
        self._engine = engine
        self._store = store
        self._at_once = at_once
        self._waiting = deque(_Attempt(task, 1) for task in tasks)
        self._running: dict[Any, _Attempt] = {}
        self._ray: Any = engine.connected() if tasks else None

    def __enter__(self) -> RayTasks:
        try:
            if self._waiting:
                fitting = self._engine.fitting(self._waiting[0].task.config.device)
                self._at_once = min(self._at_once, fitting + IN_FLIGHT)
            self._submit()
        except BaseException:
            self._cancel()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._cancel()

    def running(self) -> Sequence[Running]:
        """None: losses come back at the end of a training."""
        return ()

    def results(self, progress: SweepProgress) -> Iterator[tuple[str, Outcome]]:
        """Give each task's key and outcome as it ends; the one whose machine dies is begun again on another."""
        steps = 0
        while self._running:
            ready, _ = self._ray.wait(list(self._running), num_returns=1, timeout=POLL_SECONDS)
            for reference in ready:
                attempt = self._running.pop(reference)
                outcome = self._outcome(reference, attempt)
                self._submit()
                if outcome is None:
                    continue
                steps += attempt.task.num_steps
                progress.run_done(attempt.task.label, failed=isinstance(outcome, TrainingFailed))
                yield attempt.task.key, outcome
            progress.update(steps=steps)

    def _submit(self) -> None:
        while self._waiting and len(self._running) < self._at_once:
            attempt = self._waiting[0]
            self._running[self._engine.submitted(attempt.task)] = attempt
            self._waiting.popleft()

    def _outcome(self, reference: Any, attempt: _Attempt) -> Outcome | None:
        """What came of an attempt; None where there will be another."""
        errors = self._ray.exceptions
        try:
            found = self._ray.get(reference)
            if isinstance(found, TrainingFailed):
                return found
            numbers, seconds = found
            return keep(self._store, attempt.task.training, numbers, seconds=seconds)
        except (errors.NodeDiedError, errors.LocalRayletDiedError, errors.ObjectLostError):
            if attempt.number <= self._engine.retries:
                self._waiting.appendleft(_Attempt(attempt.task, attempt.number + 1))
                return None
            return TrainingFailed(
                f"the machine that trained it died, {attempt.number} times in all; the same command begins it again"
            )
        except errors.OutOfMemoryError as error:
            return TrainingFailed(
                f"Ray ended it, as its machine ran out of memory; {_LESS_MEMORY}", str(error)
            )
        except errors.WorkerCrashedError as error:
            return TrainingFailed(
                f"the process that trained it died: killed from outside, or out of memory; {_LESS_MEMORY}",
                str(error),
            )
        except Exception as error:
            return as_failure(error)

    def _cancel(self) -> None:
        for reference in self._running:
            self._ray.cancel(reference, force=True)
        self._running.clear()


_LESS_MEMORY = (
    "lower data.batch_size, or give each training more of a machine with hydra.launcher.cores, and run the same "
    "command again"
)


# ---- on a machine of the cluster


def _train(parcel: Parcel) -> tuple[RunCurves | Trial, float] | TrainingFailed:
    """What a training found and how long it took; errors are a value, as not every exception can cross."""
    begin = time.perf_counter()
    try:
        parcel.unpack()
        return parcel.train(), time.perf_counter() - begin
    except Exception as error:
        return as_failure(error)
