"""Where an import path leads and what stands there, read without importing it.

So a command line can be checked, and a training looked up, without importing torch and without running a user's code.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import os
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import Any

from steadylr.errors import InvalidValue
from steadylr.run.extras import EXTRAS
from steadylr.run.names import did_you_mean

TARGET = "_target_"
"""The key that names a class or function by its import path, as in Hydra."""


class TargetError(InvalidValue):
    """An import path that leads nowhere, or arguments that what it leads to does not take."""


@dataclass(frozen=True, slots=True)
class Located:
    """Where an import path leads, found without importing it.

    Args:
        path: as given: "my_models.SmallNet".
        module: the part of it that is a module: "my_models".
        attribute: the rest: "SmallNet", or "SmallNet.from_config".
        file: the source of the module; None where it has none (built in, or compiled).
        installed: whether it belongs to an installed package, or to this project, and not to the user's own code.
    """

    path: str
    module: str
    attribute: str
    file: Path | None
    installed: bool


def make_current_folder_importable() -> None:
    """Put the current folder on the search path of modules, before installed packages and after Python's own."""
    here = os.getcwd()
    if here in sys.path or "" in sys.path:
        return
    installed = (position for position, entry in enumerate(sys.path) if is_installed(Path(entry)))
    sys.path.insert(next(installed, len(sys.path)), here)
    importlib.invalidate_caches()


def locate(path: str, *, key: str) -> Located:
    """Find what an import path leads to, without importing it; the current folder is searched as well.

    Args:
        path: module and name with dots between: "my_models.SmallNet".
        key: the config key that the path stands under, for messages.

    Raises:
        TargetError: no such module, or a module that has no such name.
    """
    make_current_folder_importable()
    parts = path.split(".")
    if len(parts) < 2 or not all(part.isidentifier() for part in parts):
        raise TargetError(
            f"{key} must be an import path, a module and a name in it such as my_models.SmallNet; got {path!r}"
        )
    spec = _top_spec(parts[0])
    if spec is None and parts[0] in EXTRAS:
        raise TargetError(f"{key}={path} needs {parts[0]}: pip install 'steadylr[{EXTRAS[parts[0]]}]'")
    if spec is None:
        raise TargetError(
            f"{key}={path}: there is no module {parts[0]}: it must be a file {parts[0]}.py or a package in the "
            f"current folder ({os.getcwd()}), or an installed package"
        )
    names = [parts[0]]
    for part in parts[1:-1]:
        inner = _submodule(spec, part)
        if inner is None:
            break
        spec, names = inner, [*names, part]
    attributes = parts[len(names) :]
    file = _source(spec)
    known = None if file is None else names_in(file)
    if known is not None and attributes[0] not in known and _submodule(spec, attributes[0]) is None:
        hint = did_you_mean(attributes[0], sorted(name for name in known if not name.startswith("_")))
        raise TargetError(f"{key}={path}: {file} has no {attributes[0]}; {hint}")
    origin = spec.origin
    installed = parts[0] == "steadylr" or origin is None or is_installed(Path(origin))
    return Located(path, ".".join(names), ".".join(attributes), file, installed)


@dataclass(frozen=True, slots=True)
class Signature:
    """What a class or function takes, as far as it can be told.

    Args:
        names: of its arguments that can be given by name, in their order; a `self` is not among them.
        needed: those without a default.
        more: whether it takes any further ones (**kwargs).
        is_class: whether it is a class.
    """

    names: tuple[str, ...]
    needed: frozenset[str]
    more: bool
    is_class: bool

    @classmethod
    def of(cls, function: Any) -> Signature | None:
        """That of a class or function in hand; None for one that is written in C and doesn't tell."""
        try:
            parameters = inspect.signature(function).parameters.values()
        except (TypeError, ValueError):
            return None
        named = [p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
        return cls(
            tuple(p.name for p in named),
            frozenset(p.name for p in named if p.default is p.empty),
            any(p.kind is p.VAR_KEYWORD for p in parameters),
            inspect.isclass(function),
        )

    def takes(self, name: str) -> bool:
        """Whether an argument of this name is one of its own; what **kwargs would take is not."""
        return name in self.names

    def by_place(self, arguments: Mapping[str, Any]) -> tuple[str, ...]:
        """The names of those arguments that a config gives by their place, under _args_."""
        given = arguments.get("_args_")
        return self.names[: len(given)] if isinstance(given, list) else ()


def written_signature(target: Located) -> Signature | None:
    """What a class or function takes, read from its source.

    Imports of the name are followed, and where a class has no __init__ so are its bases.

    Returns:
        None where the source does not tell: compiled code, decorators, metaclasses, a name that is bound twice.
    """
    return None if "." in target.attribute else _signature_in(target.module, target.attribute)


def _signature_in(module: str, name: str) -> Signature | None:
    spec = spec_of(module)
    file = None if spec is None else _source(spec)
    if spec is None or file is None:
        return None
    bindings = _bindings(file, file.stat().st_mtime_ns)
    bound = bindings.get(name, ())
    if not bound:
        stars = (each for each in bindings.get("*", ()) if isinstance(each, ast.ImportFrom))
        sources = [imported_from(each, module, is_package=_is_package(spec)) for each in stars]
        found = (_signature_in(source, name) for source in sources if source != module)
        return next((signature for signature in found if signature is not None), None)
    if len(bound) != 1:
        return None
    statement = bound[0]
    if isinstance(statement, ast.ImportFrom):
        alias = next(alias for alias in statement.names if name in (alias.asname, alias.name))
        source = imported_from(statement, module, is_package=_is_package(spec))
        return None if source == module else _signature_in(source, alias.name)
    if isinstance(statement, ast.FunctionDef) and not statement.decorator_list:
        return _of_arguments(statement.args)
    if isinstance(statement, ast.ClassDef) and not (statement.keywords or statement.decorator_list):
        return _of_class(statement, module)
    return None


def _is_package(spec: ModuleSpec) -> bool:
    return spec.submodule_search_locations is not None


def _of_class(statement: ast.ClassDef, module: str) -> Signature | None:
    made = {part.name: part for part in statement.body if isinstance(part, ast.FunctionDef)}
    if "__new__" in made:
        return None
    if "__init__" in made:
        start = made["__init__"]
        return None if start.decorator_list else _of_arguments(start.args, is_class=True)
    base = statement.bases[0] if len(statement.bases) == 1 else None
    return _signature_in(module, base.id) if isinstance(base, ast.Name) else None


def _of_arguments(arguments: ast.arguments, *, is_class: bool = False) -> Signature:
    positional = [*arguments.posonlyargs, *arguments.args]
    without_default = positional[: len(positional) - len(arguments.defaults)]
    by_name = positional[max(int(is_class), len(arguments.posonlyargs)) :]  # without self
    needed = {part.arg for part in without_default if part in by_name}
    needed |= {
        part.arg
        for part, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
        if default is None
    }
    names = tuple(part.arg for part in (*by_name, *arguments.kwonlyargs))
    return Signature(names, frozenset(needed), arguments.kwarg is not None, is_class)


def _bound_by(statement: ast.stmt) -> set[str]:
    """The names that a statement at the top of a module binds."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {statement.name}
    if isinstance(statement, ast.Import | ast.ImportFrom):
        return {alias.asname or alias.name.partition(".")[0] for alias in statement.names}
    return {
        node.id
        for node in ast.walk(statement)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }


def imported_from(statement: ast.ImportFrom, module: str, *, is_package: bool) -> str:
    """The full name of the module that a statement of another module imports from.

    Args:
        statement: "from .parts import Net".
        module: that it stands in.
        is_package: whether that is a package, so that one dot means itself.
    """
    base = statement.module or ""
    if not statement.level:
        return base
    parts = module.split(".")
    above = parts[: len(parts) - statement.level + is_package]
    return ".".join([*above, *filter(None, [base])])


# ---- reading without importing


def spec_of(module: str) -> ModuleSpec | None:
    first, *rest = module.split(".")
    spec = _top_spec(first)
    for part in rest:
        spec = None if spec is None else _submodule(spec, part)
    return spec


def _top_spec(name: str) -> ModuleSpec | None:
    try:
        return importlib.util.find_spec(name) if name else None
    except (ImportError, ValueError):  # ValueError: a module that was made without one
        return None


def _submodule(package: ModuleSpec, name: str) -> ModuleSpec | None:
    """A module in a package, found without importing the package (as find_spec would)."""
    if package.submodule_search_locations is None:
        return None
    return PathFinder.find_spec(f"{package.name}.{name}", list(package.submodule_search_locations))


def _source(spec: ModuleSpec) -> Path | None:
    file = None if spec.origin is None else Path(spec.origin)
    return file if file is not None and file.suffix == ".py" and file.is_file() else None


@cache
def _python_folders() -> tuple[Path, ...]:
    return tuple(Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "platstdlib"))


def is_installed(path: Path) -> bool:
    """Whether a path belongs to Python or to an installed package, and not to the user's own code."""
    if {"site-packages", "dist-packages"} & set(path.parts):
        return True
    return any(path.resolve().is_relative_to(folder) for folder in _python_folders())


def tree_of(file: Path) -> ast.Module:
    """A source file, parsed.

    Raises:
        TargetError: it is no Python; the message names the file and the line.
    """
    return _tree(file, file.stat().st_mtime_ns)


@lru_cache(maxsize=64)
def _tree(file: Path, _changed: int) -> ast.Module:
    try:
        return ast.parse(file.read_bytes(), filename=str(file))
    except SyntaxError as error:
        raise TargetError(f"{file}, line {error.lineno}: {error.msg}") from None


def _statements(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """Statements that run when a module is imported, those inside if, try and with included."""
    for statement in body:
        yield statement
        for block in ("body", "orelse", "finalbody"):
            if isinstance(statement, ast.If | ast.Try | ast.With):
                yield from _statements(getattr(statement, block, []))
        if isinstance(statement, ast.Try):
            for handler in statement.handlers:
                yield from _statements(handler.body)


def names_in(file: Path) -> set[str] | None:
    """The names that a module has once imported; None where its source does not tell."""
    names = set(_bindings(file, file.stat().st_mtime_ns))
    return None if names & {"*", "__getattr__", "globals"} else names


@lru_cache(maxsize=64)
def _bindings(file: Path, changed: int) -> dict[str, list[ast.stmt]]:
    """The statements at the top of a file by the names that they bind; those too that make names unforeseeable."""
    found: dict[str, list[ast.stmt]] = {}
    for statement in _statements(_tree(file, changed).body):
        used = {node.id for node in ast.walk(statement) if isinstance(node, ast.Name)} & {"globals"}
        for name in _bound_by(statement) | used:
            found.setdefault(name, []).append(statement)
    return found
