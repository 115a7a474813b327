"""Files that are whole or absent: atomic writes, strict JSON, and the errors that name a file."""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import re
import secrets
import stat
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from enum import Enum
from pathlib import Path
from typing import Any, NoReturn

from steadylr.errors import InvalidValue

TEMP_SUFFIX = ".tmp"
FLOAT_TAG = "$float"

MOST_BYTES = 2**30
"""What a file may have that is read whole: the curves of ten million steps have a third of it."""

MOST_JSON_BYTES = 2**26
"""The same for JSON, which takes many times its size once it is read."""

MOST_SHARED = 200
"""Letters of a text in JSON up to which equal ones are kept once."""

_NON_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_STRING_OR_NUMBER = re.compile(r'"(?:[^"\\]|\\.)*"|-?(?:NaN|Infinity|\d[\d.eE+-]*)', re.DOTALL)


class DamagedFile(InvalidValue):
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


class NewerSchema(InvalidValue):
    """A file that a newer steadylr wrote.

    Args:
        path: the file.
        version: the version that the file has.
        known: the newest version that this steadylr reads.
    """

    def __init__(self, path: str | os.PathLike[str], version: int, known: int) -> None:
        super().__init__(
            f"{os.fspath(path)}: has version {version}, this steadylr reads up to version {known}; "
            "upgrade steadylr to read it"
        )
        self.path = Path(path)
        self.version = version
        self.known = known

    def __reduce__(self) -> tuple[type[NewerSchema], tuple[Path, int, int]]:
        return type(self), (self.path, self.version, self.known)


def checked_version(path: str | os.PathLike[str], value: object, *, known: int) -> int:
    """The version in a file, which is 1 to known.

    Raises:
        DamagedFile: it is no whole number above 0.
        NewerSchema: it is above known.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise DamagedFile(path, f"the version must be a whole number from 1 to {known}; got {value!r}")
    if value > known:
        raise NewerSchema(path, value, known)
    return value


def temp_name(name: str) -> str:
    """A name for a file being written: unlike any other, and recognised by is_temp_name."""
    # File names end at 255 bytes on the common file systems; the original's name is only there for people.
    return f".{name[:40]}.{os.getpid()}-{secrets.token_hex(8)}{TEMP_SUFFIX}"


def is_temp_name(name: str) -> bool:
    """Whether write_atomic gave this name to a file that it was writing."""
    return name.startswith(".") and name.endswith(TEMP_SUFFIX)


def remove_temp_files(folder: str | os.PathLike[str], *, older_than: float = 5.0) -> int:
    """Remove what kills left of files that were being written into a folder, and say how many files that were.

    Folders below are left alone. A folder that isn't there holds none.

    Args:
        folder: of a job, say.
        older_than: seconds since they were last written, at least 0: another process may be writing right now.
    """
    try:
        left = [Path(entry.path) for entry in os.scandir(folder) if is_temp_name(entry.name)]
    except (FileNotFoundError, NotADirectoryError):
        return 0
    limit = time.time() - older_than
    return sum(removed(path) for path in left if was_written_before(path, limit))


def was_written_before(path: Path, limit: float | None) -> bool:
    """Whether a file is there and was last written at a time, in seconds since 1970, or earlier; None: at any."""
    try:
        return limit is None or path.lstat().st_mtime <= limit
    except FileNotFoundError:
        return False


def removed(path: Path) -> bool:
    """Remove a file, and say whether it was there."""
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    return True


def read_bytes(path: str | os.PathLike[str], *, most: int = MOST_BYTES) -> bytes:
    """The content of a regular file, or of one that a link names. All that the store reads, it reads by this.

    Args:
        path: the file.
        most: bytes that it may have.

    Raises:
        FileNotFoundError: there is no such file.
        DamagedFile: there is something else by this name, such as a folder, a FIFO, a device or links in a circle:
            reading one of those may never end. Or the file is larger than it may be.
        OSError: the file can't be read.
    """
    # Without O_NONBLOCK opening a FIFO waits for somebody who writes to it.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        handle = os.open(path, flags)
    except OSError as error:
        if error.errno in (errno.ENXIO, errno.ENODEV):  # a socket, a device that isn't there
            raise DamagedFile(path, "is no regular file") from None
        if error.errno == errno.ELOOP:
            raise DamagedFile(path, "is no regular file but a link that leads back to itself") from None
        raise
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise DamagedFile(path, f"is no regular file but {_kind_of_file(status.st_mode)}")
        if status.st_size > most:
            raise DamagedFile(path, f"has {status.st_size:,} bytes, and may have {most:,} at most")
        with open(handle, "rb", closefd=False) as file:
            return file.read(most)
    finally:
        os.close(handle)


def _kind_of_file(mode: int) -> str:
    kinds = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a FIFO"}
    return kinds.get(stat.S_IFMT(mode), "a device")


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
        DamagedFile: there is a folder by the file's name.
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
        if path.is_dir() and not path.is_symlink():
            raise DamagedFile(path, "is a folder, and a file is to be written there; move it away")
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


def canonical_digest(content: object) -> str:
    """SHA-256 over plain values, as 64 hex digits: equal for what write_json would write as equal JSON values.

    The order of keys and the layout of a file don't count; an int and an equal float differ.
    """
    try:
        text = json.dumps(content, sort_keys=True, allow_nan=False)
    except (TypeError, ValueError):  # a non-finite number, or what JSON has no form for
        text = json_text(content, indent=None, sort_keys=True)
    return hashlib.sha256(text.encode("ascii", "backslashreplace")).hexdigest()


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
            that no finite float holds, or more than MOST_JSON_BYTES.
    """
    return parse_json(read_bytes(path, most=MOST_JSON_BYTES), source=path)


def parse_json(content: bytes, *, source: str | os.PathLike[str]) -> Any:
    """Parse JSON bytes strictly; source names the file in errors. Raises as read_json does."""
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DamagedFile(source, f"is no UTF-8 text (byte {error.start})") from None
    # Most files hold no non-finite number: then no key has to be looked at, which halves the time.
    hook = _object if FLOAT_TAG in text else _mapping
    try:
        return json.loads(text, object_pairs_hook=hook, parse_constant=_refuse, parse_float=_finite)
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


def _mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    mapping = {_shared(name): _shared(value) for name, value in pairs}
    if len(mapping) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice!r} comes more than once")
    return mapping


def _object(pairs: list[tuple[str, Any]]) -> Any:
    mapping = _mapping(pairs)
    if FLOAT_TAG not in mapping:
        return {key[1:] if _looks_like_tag(key) else key: value for key, value in mapping.items()}
    value = mapping[FLOAT_TAG]
    if len(mapping) > 1 or not isinstance(value, str) or value not in _NON_FINITE:
        raise ValueError(f"{FLOAT_TAG!r} must stand alone with one of {list(_NON_FINITE)}; got {mapping!r}")
    return _NON_FINITE[value]


def _shared(value: Any) -> Any:
    """A value, as the one text of its letters where it is short: thousands of records say the same few words."""
    return sys.intern(value) if type(value) is str and len(value) <= MOST_SHARED else value


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
