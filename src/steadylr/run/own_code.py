"""The user's own classes and functions: found by import path, read before they are imported, then called.

What stands in a file is read without running it, so that a command line can be checked, and a training looked up,
without importing torch. Only `load` and `build` run the user's code.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import importlib.metadata
import importlib.util
import inspect
import os
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache, partial
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import Any

from steadylr.run.names import check_kwargs, did_you_mean

TARGET = "_target_"
"""The key that names a class or function by its import path, as in Hydra."""


class OwnCodeError(ValueError):
    """An import path that leads nowhere, or arguments that what it leads to does not take."""


@dataclass(frozen=True, slots=True)
class Located:
    """Where an import path leads, found without importing it.

    Args:
        path: as given: "my_models.SmallNet".
        module: the part of it that is a module: "my_models".
        attribute: the rest: "SmallNet", or "SmallNet.from_config".
        file: the source of the module; None where it has none (built in, or compiled).
    """

    path: str
    module: str
    attribute: str
    file: Path | None


def make_current_folder_importable() -> None:
    """Put the current folder on the search path of modules, before installed packages and after Python's own."""
    here = os.getcwd()
    if here in sys.path or "" in sys.path:
        return
    installed = (position for position, entry in enumerate(sys.path) if _is_installed(Path(entry)))
    sys.path.insert(next(installed, len(sys.path)), here)
    importlib.invalidate_caches()


def locate(path: str, *, key: str) -> Located:
    """Find what an import path leads to, without importing it; the current folder is searched as well.

    Args:
        path: module and name with dots between: "my_models.SmallNet".
        key: the config key that the path stands under, for messages.

    Raises:
        OwnCodeError: no such module, or a module that has no such name.
    """
    make_current_folder_importable()
    parts = path.split(".")
    if len(parts) < 2 or not all(part.isidentifier() for part in parts):
        raise OwnCodeError(
            f"{key} must be an import path, a module and a name in it such as my_models.SmallNet; got {path!r}"
        )
    spec = _top_spec(parts[0])
    if spec is None:
        raise OwnCodeError(
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
    known = None if file is None else _names_in(file)
    if known is not None and attributes[0] not in known and _submodule(spec, attributes[0]) is None:
        hint = did_you_mean(attributes[0], sorted(name for name in known if not name.startswith("_")))
        raise OwnCodeError(f"{key}={path}: {file} has no {attributes[0]}; {hint}")
    return Located(path, ".".join(names), ".".join(attributes), file)


def check_written_arguments(found: Located, kwargs: Mapping[str, Any], *, prefix: str) -> None:
    """Refuse arguments that a class or function does not take, as far as its source tells.

    What it inherits, what decorators change and what **kwargs take can't be told from the source: `build` sees it.

    Args:
        found: the class or function.
        kwargs: the arguments.
        prefix: the config key that the arguments stand under.

    Raises:
        OwnCodeError: naming the first unknown argument and the nearest ones.
    """
    names = None if found.file is None else _written_parameters(found.file, found.attribute)
    if names is not None:
        _check_names(kwargs, names, path=found.path, prefix=prefix)


def load(path: str, *, key: str) -> Any:
    """Import what an import path leads to.

    Raises:
        OwnCodeError: it leads nowhere.
        Exception: whatever importing the module raises.
    """
    found = locate(path, key=key)
    value: Any = importlib.import_module(found.module)
    for name in found.attribute.split("."):
        if not hasattr(value, name):
            raise OwnCodeError(f"{key}={path}: {found.module} has no {found.attribute}")
        value = getattr(value, name)
    return value


def check_arguments(
    function: Any, kwargs: Mapping[str, Any], *, path: str, prefix: str, filled: int = 0
) -> None:
    """Refuse arguments that a class or function does not take, or that it lacks.

    Args:
        function: the class or function.
        kwargs: the arguments.
        path: its import path, for messages.
        prefix: the config key that the arguments stand under.
        filled: how many of its positional arguments are given when it is called.

    Raises:
        OwnCodeError: an unknown argument (with the nearest ones), or a missing one.
    """
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # written in C
        return
    parameters = list(signature.parameters.values())
    if not any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters):
        named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
        _check_names(kwargs, [p.name for p in parameters if p.kind in named], path=path, prefix=prefix)
    try:
        signature.bind(*[None] * filled, **kwargs)
    except TypeError as error:
        raise OwnCodeError(
            f"{path}{signature} can't be called with {_shown(kwargs)}: {error}; its arguments stand under {prefix}"
        ) from None


def build(path: str, kwargs: Mapping[str, Any], *, key: str, prefix: str) -> Any:
    """Call what an import path leads to; a mapping with a _target_ among the arguments is built first.

    Args:
        path: of the class or function.
        kwargs: its keyword arguments.
        key: the config key of the path.
        prefix: the config key that the arguments stand under.

    Raises:
        OwnCodeError: it leads nowhere, or does not take these arguments.
        Exception: whatever it raises itself.
    """
    function = load(path, key=key)
    arguments = built_arguments(kwargs, prefix=prefix)
    if not callable(function):
        raise OwnCodeError(f"{key}={path} must be a class or a function; it is {function!r}")
    check_arguments(function, arguments, path=path, prefix=prefix)
    return function(**arguments)


def bound(path: str, kwargs: Mapping[str, Any], *, key: str, prefix: str, filled: int) -> Any:
    """What an import path leads to, ready to be called: a function with its arguments bound, or an object of a class.

    Args:
        path: of the function, or of a class whose objects are called.
        kwargs: its keyword arguments.
        key: the config key of the path.
        prefix: the config key that the arguments stand under.
        filled: how many positional arguments a function is given when it is called.

    Raises:
        OwnCodeError: it leads nowhere, does not take these arguments, or gives nothing that can be called.
        Exception: whatever a class raises itself.
    """
    function = load(path, key=key)
    if inspect.isclass(function):
        function = build(path, kwargs, key=key, prefix=prefix)
    elif kwargs:
        arguments = built_arguments(kwargs, prefix=prefix)
        check_arguments(function, arguments, path=path, prefix=prefix, filled=filled)
        function = partial(function, **arguments)
    if not callable(function):
        raise OwnCodeError(f"{key}={path} must be a function, or a class whose objects can be called")
    return function


def built_arguments(kwargs: Mapping[str, Any], *, prefix: str) -> dict[str, Any]:
    """The arguments with every mapping that has a _target_ replaced by what that gives."""
    return {str(name): _built(value, f"{prefix}.{name}") for name, value in kwargs.items()}


def _built(value: Any, key: str) -> Any:
    if isinstance(value, Mapping) and TARGET in value:
        inner = {name: item for name, item in value.items() if name not in (TARGET, "_partial_")}
        if value.get("_partial_"):
            function = load(str(value[TARGET]), key=f"{key}.{TARGET}")
            return partial(function, **built_arguments(inner, prefix=key))
        return build(str(value[TARGET]), inner, key=f"{key}.{TARGET}", prefix=key)
    if isinstance(value, Mapping):
        return {name: _built(item, f"{key}.{name}") for name, item in value.items()}
    if isinstance(value, list):
        return [_built(item, f"{key}.{place}") for place, item in enumerate(value)]
    return value


def targets_in(value: Any) -> Iterator[str]:
    """The import paths anywhere in a config value, its own first."""
    if isinstance(value, Mapping):
        if isinstance(value.get(TARGET), str):
            yield value[TARGET]
        for item in value.values():
            yield from targets_in(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from targets_in(item)


def _check_names(kwargs: Mapping[str, Any], names: Iterable[str], *, path: str, prefix: str) -> None:
    try:
        check_kwargs(kwargs, frozenset(names), key=prefix)
    except ValueError as error:
        raise OwnCodeError(f"{error} (these are the arguments of {path})") from None


def _shown(kwargs: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in kwargs.items()) or "no arguments"


# ---- what identifies code


def source_fingerprint(paths: Iterable[str]) -> dict[str, Any]:
    """What the code behind import paths is, as plain JSON values that change when it does.

    - sources: SHA-256 over the sources of the modules and of all modules of the user's own that they import,
      directly or through others: those that are neither Python's nor installed as packages.
    - packages: the version of each installed package that these modules import.

    Imports are read from the source; one that is made in another way (importlib, plug-ins) goes unseen.

    Args:
        paths: import paths that `locate` finds.

    Raises:
        OwnCodeError: a path that leads nowhere.
    """
    sources: dict[str, str] = {}
    packages: dict[str, str | None] = {}
    waiting = [locate(path, key=TARGET).module for path in paths]
    seen: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        spec = _spec(name)
        if spec is None or name.partition(".")[0] in sys.stdlib_module_names:
            continue
        if spec.origin is not None and _is_installed(Path(spec.origin)):
            top = name.partition(".")[0]
            packages[top] = _version(top)
            continue
        waiting += _parents(name)
        file = None if spec.origin is None else Path(spec.origin)
        if file is not None and file.is_file():
            sources[name] = hashlib.sha256(file.read_bytes()).hexdigest()
            if file.suffix == ".py":
                waiting += _imported(file, name, is_package=spec.submodule_search_locations is not None)
    digest = hashlib.sha256(repr(sorted(sources.items())).encode()).hexdigest()[:16]
    return {"sources": digest, "packages": dict(sorted(packages.items()))}


def files_fingerprint(value: Any) -> str | None:
    """What the files and folders that a config value names hold, by path, size and time; None for no such file.

    Of a folder all files count, at any depth.
    """
    content = hashlib.sha256()
    found = False
    for text in sorted(set(_texts(value))):
        path = Path(text).expanduser()
        if not path.exists():
            continue
        found = True
        for file in [path] if path.is_file() else sorted(part for part in path.rglob("*") if part.is_file()):
            status = file.stat()
            content.update(
                f"{file}\0{status.st_size}\0{status.st_mtime_ns}\n".encode("utf-8", "surrogateescape")
            )
    return f"files:{content.hexdigest()}" if found else None


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        if value and "\0" not in value and len(value) < 4096:
            yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)


def _parents(module: str) -> list[str]:
    parts = module.split(".")
    return [".".join(parts[:count]) for count in range(1, len(parts))]


def _imported(file: Path, module: str, *, is_package: bool) -> Iterator[str]:
    """The modules that a file imports, by their full names; names imported from a package may be modules too."""
    package = module if is_package else module.rpartition(".")[0]
    for node in ast.walk(_tree(file, file.stat().st_mtime_ns)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, *filter(None, [base])])
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names if alias.name != "*")


@cache
def _version(package: str) -> str | None:
    """The version of the distribution that a top-level package comes from."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        names = importlib.metadata.packages_distributions().get(package, [])
        return ", ".join(f"{name} {importlib.metadata.version(name)}" for name in sorted(names)) or None


# ---- reading without importing


def _spec(module: str) -> ModuleSpec | None:
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


def _is_installed(path: Path) -> bool:
    """Whether a path belongs to Python or to an installed package, and not to the user's own code."""
    if {"site-packages", "dist-packages"} & set(path.parts):
        return True
    return any(path.resolve().is_relative_to(folder) for folder in _python_folders())


@lru_cache(maxsize=64)
def _tree(file: Path, _changed: int) -> ast.Module:
    try:
        return ast.parse(file.read_bytes(), filename=str(file))
    except SyntaxError as error:
        raise OwnCodeError(f"{file}, line {error.lineno}: {error.msg}") from None


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


def _names_in(file: Path) -> set[str] | None:
    """The names that a module has once imported; None where its source does not tell."""
    names: set[str] = set()
    for statement in _statements(_tree(file, file.stat().st_mtime_ns).body):
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(statement.name)
        elif isinstance(statement, ast.Import | ast.ImportFrom):
            names |= {alias.asname or alias.name.partition(".")[0] for alias in statement.names}
        else:
            names |= {node.id for node in ast.walk(statement) if isinstance(node, ast.Name)}
    return None if names & {"*", "__getattr__", "globals"} else names


def _written_parameters(file: Path, attribute: str) -> list[str] | None:
    """The keyword arguments of a function or class at the top of a file; None where its source does not tell."""
    for statement in _statements(_tree(file, file.stat().st_mtime_ns).body):
        if getattr(statement, "name", None) != attribute or getattr(statement, "decorator_list", None):
            continue
        if isinstance(statement, ast.FunctionDef):
            return _parameters(statement.args)
        if isinstance(statement, ast.ClassDef) and not statement.keywords:
            made = {part.name: part for part in statement.body if isinstance(part, ast.FunctionDef)}
            if "__init__" in made and "__new__" not in made and not made["__init__"].decorator_list:
                return _parameters(made["__init__"].args, bound=True)
    return None


def _parameters(arguments: ast.arguments, *, bound: bool = False) -> list[str] | None:
    if arguments.kwarg is not None:
        return None
    skipped = 0 if not bound or arguments.posonlyargs else 1
    return [part.arg for part in (*arguments.args[skipped:], *arguments.kwonlyargs)]
