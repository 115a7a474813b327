"""Files that are whole or absent: atomic writes, strict JSON, and the errors that name a file."""

from __future__ import annotations

import json
import math
import os
import re
import secrets
from collections.abc import Mapping
from contextlib import suppress
from enum import Enum
from pathlib import Path
from typing import Any, NoReturn

TEMP_SUFFIX = ".tmp"
FLOAT_TAG = "$float"

_NON_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_STRING_OR_NUMBER = re.compile(r'"(?:[^"\\]|\\.)*"|-?(?:NaN|Infinity|\d[\d.eE+-]*)', re.DOTALL)


class DamagedFile(ValueError):
    """A file that doesn't hold what it should; the message names the file and what is wrong with it.

    Args:
        path: the file.
        problem: what is wrong, which value came and what is allowed.
    """

    def __init__(self, path: str | os.PathLike[str], problem: str) -> None:
        super().__init__(f"{os.fspath(path)}: {problem}")
        self.path = Path(path)
        self.problem = problem

    def __reduce__(self) -> tuple[type[DamagedFile], tuple[Path, str]]:
        return type(self), (self.path, self.problem)


class NewerSchema(ValueError):
    """A file that a newer steadylr wrote.

    Args:
        path: the file.
        found: the version that the file has.
        known: the newest version that this steadylr reads.
    """

    def __init__(self, path: str | os.PathLike[str], *, found: int, known: int) -> None:
        super().__init__(
            f"{os.fspath(path)}: has version {found}, this steadylr reads up to version {known}; "
            "upgrade steadylr to read it"
        )
        self.path = Path(path)
        self.found = found
        self.known = known

    def __reduce__(self) -> tuple[Any, ...]:
        return _newer_schema, (self.path, self.found, self.known)


def _newer_schema(path: Path, found: int, known: int) -> NewerSchema:
    return NewerSchema(path, found=found, known=known)


def checked_version(path: str | os.PathLike[str], value: object, *, known: int) -> int:
    """The version in a file, which is 1 to known.

    Raises:
        DamagedFile: it is no whole number above 0.
        NewerSchema: it is above known.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise DamagedFile(path, f"the version must be a whole number from 1 to {known}; got {value!r}")
    if value > known:
        raise NewerSchema(path, found=value, known=known)
    return value


def temp_name(name: str) -> str:
    """A name for a file being written: unlike any other, and recognised by is_temp_name."""
    # File names end at 255 bytes on the common file systems; the original's name is only there for people.
    return f".{name[:40]}.{os.getpid()}-{secrets.token_hex(8)}{TEMP_SUFFIX}"


def is_temp_name(name: str) -> bool:
    """Whether write_atomic gave this name to a file that it was writing."""
    return name.startswith(".") and name.endswith(TEMP_SUFFIX)


def write_atomic(
    path: str | os.PathLike[str], data: bytes | str, *, temp_folder: str | os.PathLike[str] | None = None
) -> None:
    """Write a file so that others see the old content or the whole new one, never a part.

    The bytes go to a temporary name, are flushed to the disk and get the name by os.replace. Whatever ends
    the writing (an exception, Ctrl-C) removes the temporary file; only SIGKILL or a power cut leaves one.

    Args:
        path: the file; missing folders are made.
        data: bytes, or text that is written as UTF-8.
        temp_folder: where the temporary file lies, on the same file system; by default beside the file.

    Raises:
        OSError: the folder can't be made or written, or the disk is full.
    """
    path = Path(path)
    content = data.encode("utf-8") if isinstance(data, str) else data
    folder = path.parent if temp_folder is None else Path(temp_folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
    temp = folder / temp_name(path.name)
    try:
        # Not tempfile.mkstemp: its mode 0600 ignores the umask, and stores are shared in teams.
        with open(temp, "xb") as file:
            file.write(content)
            file.flush()
            # Without it a power cut after the rename can leave an empty file under the final name.
            os.fsync(file.fileno())
        os.replace(temp, path)
    except BaseException:
        with suppress(OSError):
            temp.unlink()
        raise


def json_text(value: object, *, indent: int | None = 2, sort_keys: bool = False) -> str:
    """A value as JSON text that every JSON reader accepts.

    Non-finite floats, for which JSON has no form, become {"$float": "NaN"}, {"$float": "Infinity"} and
    {"$float": "-Infinity"}; a key "$float" of the value itself becomes "$$float", that one "$$$float" and so
    on. read_json and parse_json turn them back. Tuples become lists.

    Raises:
        ValueError: a value that JSON can't carry or a key that is no string; the message says where.
    """
    plain = _plain(value, "")
    text = json.dumps(plain, indent=indent, sort_keys=sort_keys, ensure_ascii=False, allow_nan=False)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:  # half a surrogate pair, as in file names that are no UTF-8
        return json.dumps(plain, indent=indent, sort_keys=sort_keys, allow_nan=False)
    return text


def write_json(
    path: str | os.PathLike[str], value: object, *, temp_folder: str | os.PathLike[str] | None = None
) -> None:
    """Write a value as JSON (see json_text), atomically (see write_atomic)."""
    write_atomic(path, json_text(value) + "\n", temp_folder=temp_folder)


def read_json(path: str | os.PathLike[str]) -> Any:
    """Read what write_json wrote.

    Raises:
        FileNotFoundError: there is no such file.
        DamagedFile: no UTF-8 or no JSON (the message has line and column), a key that comes twice, a number
            that no finite float holds.
    """
    return parse_json(Path(path).read_bytes(), source=path)


def parse_json(content: bytes, *, source: str | os.PathLike[str]) -> Any:
    """Parse JSON bytes strictly; source names the file in errors. Raises as read_json does."""
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DamagedFile(source, f"is no UTF-8 text (byte {error.start})") from None
    try:
        return json.loads(text, object_pairs_hook=_object, parse_constant=_refuse, parse_float=_finite)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise DamagedFile(source, f"is no JSON at {where}: {error.msg}") from None
    except _BadNumber as error:
        where = _position(text, str(error))
        raise DamagedFile(source, f"is no JSON at {where}: {error} is no finite number") from None
    except RecursionError:
        raise DamagedFile(source, "is nested too deeply to be read") from None
    except ValueError as error:
        raise DamagedFile(source, f"can't be read as JSON: {error}") from None


class _BadNumber(ValueError):
    """A number in JSON text that no finite float equals."""


def _refuse(token: str) -> NoReturn:
    raise _BadNumber(token)


def _finite(token: str) -> float:
    value = float(token)
    return value if math.isfinite(value) else _refuse(token)


def _position(text: str, token: str) -> str:
    for match in _STRING_OR_NUMBER.finditer(text):
        if match.group() == token:
            line = text.count("\n", 0, match.start()) + 1
            return f"line {line}, column {match.start() - text.rfind(chr(10), 0, match.start())}"
    return "an unknown place"


def _object(pairs: list[tuple[str, Any]]) -> Any:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice!r} comes more than once")
    if FLOAT_TAG not in found:
        return {key[1:] if _looks_like_tag(key) else key: value for key, value in found.items()}
    value = found[FLOAT_TAG]
    if len(found) > 1 or not isinstance(value, str) or value not in _NON_FINITE:
        raise ValueError(f"{FLOAT_TAG!r} must stand alone with one of {list(_NON_FINITE)}; got {found!r}")
    return _NON_FINITE[value]


def _plain(value: object, where: str) -> Any:
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else {FLOAT_TAG: _non_finite_name(value)}
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, Mapping):
        return {_written_key(key, where): _plain(item, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item, f"{where}[{i}]") for i, item in enumerate(value)]
    raise ValueError(
        f"JSON carries None, bool, int, float, str, lists and mappings; got {type(value).__name__} "
        f"{value!r} at {where.lstrip('.') or 'the top'}"
    )


def _written_key(key: object, where: str) -> str:
    if not isinstance(key, str):
        raise ValueError(f"a key in JSON must be text; got {key!r} at {where.lstrip('.') or 'the top'}")
    return f"${key}" if _looks_like_tag(key) else str(key)


def _looks_like_tag(key: str) -> bool:
    return key.startswith("$") and key.lstrip("$") == "float"


def _non_finite_name(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"


def plain_values(value: Any) -> Any:
    """Enums as their values, tuples as lists, keys as text, all the way down."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(key): plain_values(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain_values(item) for item in value]
    return value
