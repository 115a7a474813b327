"""What Hydra, OmegaConf and YAML say of a config that can't be composed, as one sentence."""

from __future__ import annotations

import yaml
from hydra.errors import HydraException, MissingConfigException
from omegaconf.errors import OmegaConfBaseException

CompositionError = (HydraException, OmegaConfBaseException, yaml.YAMLError)
"""The errors that tell of a config, and never of the program that reads it."""

SEARCHED = "Config search path:"


def composition_problem(error: BaseException) -> str:
    """An error that was met while a config was composed: what is wrong, where, and what is allowed where that is known.

    Args:
        error: one of CompositionError, or another that Hydra lets through.
    """
    if isinstance(error, OmegaConfBaseException):
        return _at_key(error)
    if isinstance(error, yaml.MarkedYAMLError):
        return _at_line(error)
    if isinstance(error, MissingConfigException) and error.options:
        missing = str(error.missing_cfg_file).rpartition("/")
        chosen = f"{missing[0]}={missing[2]}" if missing[0] else missing[2]
        return f"{chosen}: there is no such option; allowed: {', '.join(sorted(error.options))}"
    if isinstance(error, UnicodeDecodeError) and (file := _file_being_read(error)) is not None:
        return f"{file}: is no UTF-8 text (byte {error.start})"
    if isinstance(error, HydraException | yaml.YAMLError):
        told = " ".join(str(error).partition(SEARCHED)[0].split())
    else:
        told = f"{type(error).__name__}: {_first_line(error)}"
    reason = error.__cause__
    return told.rstrip(": ") if reason is None else f"{told.rstrip(': ')}: {_first_line(reason)}"


def _at_key(error: OmegaConfBaseException) -> str:
    key = getattr(error, "full_key", None)
    return f"{key}: {_first_line(error)}" if key else _first_line(error)


def _at_line(error: yaml.MarkedYAMLError) -> str:
    mark = error.problem_mark or error.context_mark
    what = error.problem or error.context or "can't be read"
    return f"{what}" if mark is None else f"{mark.name}, line {mark.line + 1}: is no YAML: {what}"


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0]


def _file_being_read(error: BaseException) -> str | None:
    """The file of the config that Hydra was reading when it met an error."""
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_name == "load_config" and "full_path" in trace.tb_frame.f_locals:
            return str(trace.tb_frame.f_locals["full_path"])
        trace = trace.tb_next
    return None
