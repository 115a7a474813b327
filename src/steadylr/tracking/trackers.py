"""The trackers: each takes an entry, and has it once however often it is sent."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from steadylr.run.extras import needed

if TYPE_CHECKING:
    from steadylr.config.tracker import Tracker
    from steadylr.tracking.entry import Entry

MOST_AT_ONCE = 1000
"""Numbers that MLflow takes in one request."""

KEY_TAG = "steadylr.key"


def to_tensorboard(entry: Entry, tracker: Tracker) -> None:
    """Event files in a folder of its own, those of jobs within that of their sweep; earlier ones are replaced."""
    needed("tensorboard", by="tracker=tensorboard")
    from lightning_fabric.loggers.tensorboard import TensorBoardLogger
    from matplotlib.image import imread

    home = Path(tracker.dir)
    home.mkdir(parents=True, exist_ok=True)
    # written elsewhere and then moved: Lightning follows a $ in a path, and who looks on sees whole files
    with tempfile.TemporaryDirectory(prefix=".steadylr-", dir=home) as temp:
        logger = TensorBoardLogger(temp, name="", version="events")
        if entry.params:
            logger.log_hyperparams(dict(entry.params), metrics=dict(entry.numbers))
        else:
            logger.log_metrics(entry.numbers, step=0)
        for place, step in enumerate(entry.steps):
            logger.log_metrics({name: float(own[place]) for name, own in entry.points.items()}, step=step)
        writer = logger.experiment
        # four spaces make it text as it is, which Markdown leaves alone
        writer.add_text("tags", "\n".join(f"    {name}: {text}" for name, text in entry.tags.items()))
        for file in entry.files:
            if file.suffix == ".png":
                writer.add_image(file.stem, imread(file), dataformats="HWC")
        logger.finalize("success")
        folder = home.joinpath(*entry.place)
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob("events.out.tfevents.*"):
            old.unlink()
        for new in Path(temp, "events").iterdir():
            shutil.move(new, folder / new.name)


def to_mlflow(entry: Entry, tracker: Tracker) -> None:
    """A run of an experiment; jobs are nested in their sweep. A job's run is made anew, a sweep's goes on."""
    mlflow = needed("mlflow", by="tracker=mlflow")
    needed("lightning", by="tracker=mlflow")
    from lightning.pytorch.loggers import MLFlowLogger

    home = Path(tracker.dir).resolve()
    if tracker.uri is None:
        home.mkdir(parents=True, exist_ok=True)
    uri = f"sqlite:///{home / 'mlflow.db'}" if tracker.uri is None else tracker.uri
    # else a server that isn't there is asked for minutes, and one that is has two lines printed for each run
    patience = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "20"}
    with _environment(**patience, MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT="true"):
        client = mlflow.MlflowClient(uri)
        earlier = _mlflow_run(client, tracker.project, entry.key)
        if earlier is not None and entry.parent is not None:
            client.delete_run(earlier)
            earlier = None
        tags = {KEY_TAG: entry.key, **entry.tags}
        if entry.parent is not None:
            tags["mlflow.parentRunId"] = _mlflow_run(client, tracker.project, entry.parent) or ""
        logger = MLFlowLogger(
            experiment_name=tracker.project,
            run_name=entry.name,
            tracking_uri=uri,
            tags=dict(tags),
            run_id=earlier,
            artifact_location=(home / "artifacts").as_uri() if tracker.uri is None else None,
        )
        run = logger.run_id
        if earlier is not None:
            for name, text in tags.items():
                client.set_tag(run, name, text)
        logger.log_hyperparams(dict(entry.params))
        numbers = list(_mlflow_numbers(entry, mlflow.entities.Metric))
        for first in range(0, len(numbers), MOST_AT_ONCE):
            client.log_batch(run, metrics=numbers[first : first + MOST_AT_ONCE])
        for file in entry.files:
            client.log_artifact(run, str(file))
        logger.finalize("success")


def _mlflow_run(client: Any, project: str, key: str) -> str | None:
    """The run of a key; None where there is none."""
    experiment = client.get_experiment_by_name(project)
    if experiment is None:
        return None
    found = client.search_runs([experiment.experiment_id], f"tags.`{KEY_TAG}` = '{key}'")
    return found[0].info.run_id if found else None


def _mlflow_numbers(entry: Entry, metric: Callable[..., Any]) -> Iterator[Any]:
    now = int(time.time() * 1000)
    for name, number in entry.numbers.items():
        yield metric(name, number, now, 0)
    for name, points in entry.points.items():
        for point, step in zip(points.tolist(), entry.steps, strict=True):
            yield metric(name, point, now, step)


def to_wandb(entry: Entry, tracker: Tracker) -> None:
    """A run of a project, in a group of its sweep; its id follows from its key, so that it is the same run again.

    Not by Lightning's logger: that passes on a setting which newer versions of wandb warn of.
    """
    wandb = needed("wandb", by="tracker=wandb")
    home = Path(tracker.dir)
    home.mkdir(parents=True, exist_ok=True)
    with _environment(WANDB_SILENT="true"):
        run = wandb.init(
            name=entry.name,
            dir=str(home),
            id=entry.key,
            resume="allow",
            project=tracker.project,
            mode="offline" if tracker.offline else None,
            group=entry.place[0],
            job_type="run" if entry.points else "sweep",
            tags=["steadylr", *(entry.tags[name][:64] for name in ("rule", "outcome") if name in entry.tags)],
            config={**entry.params, "tags": dict(entry.tags)},
            allow_val_change=True,
            settings=wandb.Settings(
                silent=True, console="off", disable_git=True, init_timeout=30, login_timeout=30
            ),
        )
        try:
            for place, step in enumerate(entry.steps):
                run.log({name: float(own[place]) for name, own in entry.points.items()}, step=step)
            figures = {file.stem: wandb.Image(str(file)) for file in entry.files if file.suffix == ".png"}
            run.log({**figures, **entry.numbers})
        finally:
            run.finish()


@contextmanager
def _environment(**values: str) -> Iterator[None]:
    """Variables of the environment within this context, where they aren't set."""
    given = {name: value for name, value in values.items() if name not in os.environ}
    os.environ.update(given)
    try:
        yield
    finally:
        for name in given:
            os.environ.pop(name, None)


TRACKERS: dict[str, Callable[[Entry, Tracker], None]] = {
    "tensorboard": to_tensorboard,
    "mlflow": to_mlflow,
    "wandb": to_wandb,
}
"""By the name in tracker.name."""
