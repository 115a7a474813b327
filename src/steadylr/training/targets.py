"""The classes and functions that a config names, imported, given their arguments by Hydra, and called."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate

from steadylr.config.located import TARGET, Signature, TargetError, locate
from steadylr.config.targets import FILLED, Part, argument_problems, arguments_of
from steadylr.run.fingerprint import DataError

Offers = Mapping[str, Callable[[], Any]]
"""What follows from the rest of a training, by the name of the argument that takes it; made when it is taken."""

NOTHING: Offers = {}


def load(path: str, *, key: str) -> Any:
    """Import what an import path leads to.

    Args:
        path: of the class or function.
        key: the config key that it stands under, for messages.

    Raises:
        TargetError: it leads nowhere, or to what can't be called.
        Exception: whatever importing the module raises.
    """
    found = locate(path, key=key)
    value: Any = importlib.import_module(found.module)
    for name in found.attribute.split("."):
        if not hasattr(value, name):
            raise TargetError(f"{key}={path}: {found.module} has no {found.attribute}")
        value = getattr(value, name)
    if not callable(value):
        raise TargetError(f"{key}={path} must be a class or a function; it is {value!r}")
    return value


def target_of(group: str, part: Part, offers: Offers = NOTHING) -> partial[Any]:
    """The target of a group, with all that it is given by name; what is left is to call it.

    Args:
        group: its name: model, data, optimizer or loss.
        part: its part of the config.
        offers: what it is given if it takes an argument of that name which the config does not give.

    Raises:
        TargetError: it leads nowhere, or does not take the arguments that the config gives.
        Exception: whatever building an argument raises that is a target itself.
    """
    function = load(part._target_, key=f"{group}.{TARGET}")
    signature = Signature.of(function)
    filled = 0 if group == "loss" and inspect.isclass(function) else FILLED.get(group, 0)
    return _bound(
        function,
        part._target_,
        arguments_of(group, part, signature),
        signature=signature,
        prefix=group,
        offers=offers,
        filled=filled,
    )


def transform_of(entry: Mapping[str, Any], *, prefix: str, offers: Offers) -> Any:
    """One transform: what its target gives, or the target itself where it says _partial_.

    Raises:
        TargetError: as target_of.
    """
    path = str(entry[TARGET])
    function = load(path, key=f"{prefix}.{TARGET}")
    arguments = {name: value for name, value in entry.items() if name not in (TARGET, "_partial_")}
    made = _bound(
        function, path, arguments, signature=Signature.of(function), prefix=prefix, offers=offers, filled=0
    )
    return made if entry.get("_partial_") else called(made)


def _bound(
    function: Any,
    path: str,
    arguments: Mapping[str, Any],
    *,
    signature: Signature | None,
    prefix: str,
    offers: Offers,
    filled: int,
) -> partial[Any]:
    taken = {} if signature is None else _taken(signature, arguments, offers)
    if signature is not None:
        known = {**arguments, **taken}
        problems = argument_problems(path, signature, arguments, prefix=prefix, known=known, filled=filled)
        if (problem := next(problems, None)) is not None:
            raise TargetError(problem)
    try:
        convert = arguments.get("_convert_", "all")
        made: partial[Any] = instantiate({TARGET: path, **arguments}, _partial_=True, _convert_=convert)
    except InstantiationException as error:
        raise (error.__cause__ or error) from None
    return partial(made, **taken)


def _taken(signature: Signature, arguments: Mapping[str, Any], offers: Offers) -> dict[str, Any]:
    """The offers that a target takes and a config does not give; one that can't be had must be needed to be missed."""
    found: dict[str, Any] = {}
    for name, make in offers.items():
        if not signature.takes(name) or name in arguments or name in signature.by_place(arguments):
            continue
        try:
            value = make()
        except DataError:
            if name in signature.needed:
                raise
            continue
        if value is not None:
            found[name] = value
    return found


def called(target: partial[Any], *arguments: Any, **more: Any) -> Any:
    """Call a target; what one that isn't the user's own says against its arguments is told with them.

    Raises:
        TargetError: it refuses its arguments.
        Exception: whatever else it raises.
    """
    function = function_of(target)
    path = f"{function.__module__}.{getattr(function, '__qualname__', function)}"
    try:
        return target(*arguments, **more)
    except (TypeError, ValueError) as error:
        ours = path.startswith("steadylr.")
        if type(error) not in (TypeError, ValueError) or not (ours or locate(path, key=TARGET).installed):
            raise
        of_config = target.func if isinstance(target.func, partial) else target
        given = {name: value for name, value in of_config.keywords.items() if isinstance(value, PLAIN)}
        raise TargetError(f"{path} refuses {given}: {error}{_as_tensor(given, error)}") from error


def _as_tensor(given: Mapping[str, Any], error: Exception) -> str:
    """How a list becomes a tensor, where one was wanted."""
    lists = [(name, value) for name, value in given.items() if isinstance(value, list)]
    if not lists or "tensor" not in str(error).lower():
        return ""
    name, value = lists[0]
    return f"; a list becomes a tensor by {name}: {{_target_: torch.tensor, data: {value}}}"


PLAIN = (str, int, float, bool, list, tuple, dict, type(None))
"""Arguments as a config gives them."""


def function_of(target: Any) -> Any:
    """The class or function that a target calls in the end."""
    return function_of(target.func) if isinstance(target, partial) else target
