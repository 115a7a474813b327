"""How the answer of a finished sweep was made: the settings that its own jobs were given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar, cast

from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from steadylr.config.schema import Consensus, FigureFormat, OneCycle

if TYPE_CHECKING:
    from steadylr.answer.readings import Gathered


def as_recorded(
    consensus: Consensus,
    onecycle: OneCycle,
    gathered: Gathered,
    overrides: Sequence[str],
    *,
    settings: Mapping[str, Any] | None = None,
) -> tuple[Consensus, OneCycle]:
    """How the answer is made: as the latest job was told, but for what the command line says.

    So aggregating a sweep again without further words gives the same answer again.

    Args:
        consensus, onecycle: as the command line has them.
        gathered: the sweep.
        overrides: of the command line.
        settings: of the answer that the folder holds (Summary.settings), in place of the latest job's.
    """
    records = [reading.record for reading in gathered.readings if reading.record is not None]
    known = settings is not None and "${" not in repr(settings)  # a reference in a file is never followed
    if not records and not known:
        return consensus, onecycle
    keys = [text.lstrip("+").partition("=")[0] for text in overrides]
    latest = settings if settings is not None and known else records[-1].config
    return (
        _merged(consensus, "consensus", latest, keys),
        _merged(onecycle, "onecycle", latest, keys),
    )


def figures_as_recorded(
    asked: Sequence[FigureFormat], gathered: Gathered, overrides: Sequence[str]
) -> list[str]:
    """What figures are written as: as the latest job was told, but for what the command line says.

    Args: see as_recorded.
    """
    records = [reading.record for reading in gathered.readings if reading.record is not None]
    told = records[-1].config.get("figures") if records else None
    given = any(text.lstrip("+").partition("=")[0] == "figures" for text in overrides)
    known = [form.value for form in FigureFormat]
    if given or not isinstance(told, list) or any(form not in known for form in told):
        return [str(form) for form in asked]
    return told


def given_overrides() -> tuple[str, ...]:
    """The overrides of this job or command as they were typed: Hydra would follow a `${...}` in them."""
    given = OmegaConf.to_container(HydraConfig.get().overrides.task, resolve=False)
    return tuple(map(str, cast("list[str]", given)))


Part = TypeVar("Part", Consensus, OneCycle)


def _merged(asked: Part, name: str, recorded: Mapping[str, Any], keys: Sequence[str]) -> Part:
    """One part of a recorded config, with the values that the command line gives."""
    if name in keys:  # a whole group
        return asked
    said = {key.partition(".")[2] for key in keys if key.startswith(f"{name}.")}
    try:
        merged = OmegaConf.merge(OmegaConf.structured(type(asked)), recorded.get(name) or {})
    except OmegaConfBaseException:  # another version wrote it
        return asked
    part = cast(Part, OmegaConf.to_object(merged))
    return replace(part, **{key: getattr(asked, key) for key in said})
