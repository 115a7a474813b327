"""What identifies the code and the files that a config names, found without importing the code."""

from __future__ import annotations

import ast
import hashlib
import importlib.metadata
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from steadylr.config.located import TARGET, imported_from, is_installed, locate, spec_of, tree_of


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


@dataclass(frozen=True, slots=True)
class Sources:
    """The modules of the user's own behind some import paths, and the packages that they import.

    Args:
        files: from the name of each module of the user's own, imported directly or through others, to its source.
        packages: the version of each installed package that they import, or that a path leads into.
    """

    files: dict[str, Path]
    packages: dict[str, str | None]

    def fingerprint(self) -> dict[str, Any] | None:
        """What these sources are, as plain JSON values that change when they do; None where there are none."""
        if not self.files:
            return None
        content = [(name, hashlib.sha256(file.read_bytes()).hexdigest()) for name, file in self.files.items()]
        digest = hashlib.sha256(repr(sorted(content)).encode()).hexdigest()[:16]
        return {"sources": digest, "packages": dict(sorted(self.packages.items()))}


def sources_of(paths: Iterable[str]) -> Sources:
    """Follow import paths through the user's own modules.

    Imports are read from the source; one that is made in another way (importlib, plug-ins) goes unseen.

    Args:
        paths: import paths that `locate` finds.

    Raises:
        TargetError: a path that leads nowhere.
    """
    found = Sources({}, {})
    waiting = [locate(path, key=TARGET).module for path in paths]
    seen: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        spec, top = spec_of(name), name.partition(".")[0]
        if (
            spec is None or top in sys.stdlib_module_names or top == "steadylr"
        ):  # which has a version of its own
            continue
        if spec.origin is not None and is_installed(Path(spec.origin)):
            found.packages[top] = _version(top)
            continue
        waiting += _parents(name)
        file = None if spec.origin is None else Path(spec.origin)
        if file is not None and file.is_file():
            found.files[name] = file
            if file.suffix == ".py":
                waiting += _imported(file, name, is_package=spec.submodule_search_locations is not None)
    return found


def files_fingerprint(value: Any) -> str | None:
    """What the files and folders that a config value names hold, by path, size and time; None for no such file.

    Of a folder all files count, at any depth.
    """
    content = hashlib.sha256()
    found = False
    for text in sorted(set(_texts(value))):
        path = Path(text).expanduser()
        if not os.path.exists(path):
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
    for node in ast.walk(tree_of(file)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = imported_from(node, module, is_package=is_package)
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


# ---- code that can read files


QUIET = frozenset(
    {
        *(
            "torch",
            "numpy",
            "lightning",
            "pytorch_lightning",
            "torchvision",
            "timm",
            "transformers",
            "einops",
        ),
        *(
            "__future__",
            "abc",
            "collections",
            "copy",
            "dataclasses",
            "enum",
            "functools",
            "itertools",
            "logging",
        ),
        *("math", "operator", "random", "statistics", "string", "typing", "typing_extensions", "warnings"),
        "steadylr",
    }
)
"""Packages that read files only by names with a word of READING in them."""

READING = frozenset(
    {
        *("load", "loads", "loadtxt", "open", "read", "file", "files", "fromfile", "path", "memmap", "mmap"),
        *("genfromtxt", "fromregex", "datasource", "pretrained", "checkpoint", "hub", "datasets", "folder"),
        *("download", "url", "exec", "getattr", "import", "module", "builtins", "ops"),
        *("package", "ctypeslib", "storage", "cpp", "library", "jit"),
    }
)
"""Words of names that can lead to files: load_state, from_file, DataSource, ..."""

HARMLESS = frozenset(
    {"DataLoader", "Module", "ModuleList", "ModuleDict", "modules", "LightningModule", "LightningDataModule"}
)
"""Names with such a word that lead to none."""


def reading_code(paths: Iterable[str]) -> str | None:
    """Where code behind import paths may read files, as "data.py, line 12: load"; None where it surely doesn't.

    It surely doesn't where the user's own modules import QUIET packages only and use no name with a word of
    READING. Of the module that a path leads into, what the path's own class or function needs is looked at; of others
    all. Too much is suspected rather than too little.

    Args:
        paths: import paths that `locate` finds.

    Raises:
        TargetError: a path that leads nowhere.
    """
    for path in paths:
        found = locate(path, key=TARGET)
        if found.installed:
            if found.module.partition(".")[0] not in QUIET or _reads(path.split(".")):
                return path
            continue
        files = sources_of([path]).files
        own = files.pop(found.module, None)
        parts = [] if own is None else [(own, node) for node in _needed_by(found.attribute, tree_of(own))]
        for file, node in [
            *parts,
            *((file, tree_of(file)) for file in files.values() if file.suffix == ".py"),
        ]:
            if (place := _reading_place(node, set(files) | {found.module})) is not None:
                return f"{file.name}, {place}"
        if own is None or any(file.suffix != ".py" for file in files.values()):
            return path
    return None


def _needed_by(attribute: str, module: ast.Module) -> list[ast.AST]:
    """The statements of a module that run at its import or when one of its classes or functions is called."""
    defined = {
        node.name: node
        for node in module.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    }
    chosen: list[ast.AST] = [node for node in module.body if node not in defined.values()]
    names = [attribute.partition(".")[0], *_names_used(chosen)]
    while names:
        node = defined.pop(names.pop(), None)
        if node is not None:
            chosen.append(node)
            names += _names_used([node])
    return chosen


def _names_used(nodes: Iterable[ast.AST]) -> list[str]:
    return [part.id for node in nodes for part in ast.walk(node) if isinstance(part, ast.Name)]


def _reading_place(node: ast.AST, own: set[str]) -> str | None:
    """The first place in some code that may read files: its line and the name there."""
    for part in ast.walk(node):
        names: list[str] = []
        if isinstance(part, ast.Import):
            names = [alias.name for alias in part.names]
        elif isinstance(part, ast.ImportFrom) and not part.level:
            names = [part.module or "", *(alias.name for alias in part.names)]
        elif isinstance(part, ast.ImportFrom):
            names = ["", *(alias.name for alias in part.names)]
        elif isinstance(part, ast.Name):
            names = ["", part.id]
        elif isinstance(part, ast.Attribute):
            names = ["", part.attr]
        foreign = (
            names[:1] if isinstance(part, ast.ImportFrom) else names if isinstance(part, ast.Import) else []
        )
        tops = {name.partition(".")[0] for name in foreign if name and name not in own}
        if (odd := tops - QUIET - {name.partition(".")[0] for name in own}) or _reads(names):
            return f"line {getattr(part, 'lineno', 1)}: {', '.join(sorted(odd)) or names[-1]}"
    return None


def _reads(names: Iterable[str]) -> bool:
    words = (
        word.lower()
        for name in names
        for last in name.split(".")
        if last not in HARMLESS
        for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", last)
    )
    return not READING.isdisjoint(words)
