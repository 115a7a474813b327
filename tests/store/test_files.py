"""Files are whole or absent, and JSON says what it can't read and where."""

from __future__ import annotations

import json
import math
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steadylr.store.files import (
    MOST_BYTES,
    MOST_JSON_BYTES,
    DamagedFile,
    NewerSchema,
    is_temp_name,
    json_text,
    parse_json,
    read_bytes,
    read_json,
    remove_temp_files,
    temp_name,
    write_atomic,
    write_json,
)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def test_write_atomic_makes_folders_and_replaces(tmp_path: Path) -> None:
    """Missing folders are made, an old content is replaced, nothing else stays in the folder."""
    path = tmp_path / "a" / "b" / "file.txt"
    write_atomic(path, "old")
    write_atomic(path, "neu: \u00e4\n")
    assert path.read_bytes() == "neu: \u00e4\n".encode()
    assert os.listdir(path.parent) == ["file.txt"]


def test_write_atomic_honours_the_umask(tmp_path: Path) -> None:
    """A file has the mode that any new file would have, so that a team can share it."""
    write_atomic(tmp_path / "ours", b"")
    (tmp_path / "plain").write_bytes(b"")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize("function", ["replace", "fsync"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_write_atomic_leaves_nothing_half_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: str, error: Any
) -> None:
    """An exception or Ctrl-C during the writing leaves the old content and no temporary file."""
    path = tmp_path / "file"
    write_atomic(path, b"old")

    def interrupted(*_: object) -> None:
        raise error

    monkeypatch.setattr(os, function, interrupted)
    with pytest.raises((KeyboardInterrupt, OSError)):
        write_atomic(path, b"new")
    monkeypatch.undo()
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_write_atomic_names_a_folder_in_the_way(tmp_path: Path) -> None:
    """The folder stays, and nothing half written; a link is replaced, and what it leads to stays."""
    (tmp_path / "folder").mkdir()
    with pytest.raises(DamagedFile, match="folder: is a folder, and a file is to be written there"):
        write_atomic(tmp_path / "folder", "text")
    (tmp_path / "link").symlink_to("folder")
    write_atomic(tmp_path / "link", "text")
    assert (tmp_path / "folder").is_dir()
    assert sorted(os.listdir(tmp_path)) == ["folder", "link"]
    assert (tmp_path / "link").read_text() == "text"


def test_temp_names_are_recognised_and_unlike() -> None:
    """Every temporary name is new and recognised; ordinary and over-long names are safe."""
    names = {temp_name("x" * 300) for _ in range(100)}
    assert len(names) == 100
    assert all(is_temp_name(name) and len(name) < 200 for name in names)
    assert not is_temp_name("record.json")


@settings(deadline=None)
@given(json_values)
def test_json_round_trip(value: Any) -> None:
    """Plain values come back equal, floats bit for bit, and the text is valid JSON."""
    text = json_text(value)
    assert parse_json(text.encode(), source="x") == value
    json.loads(text, parse_constant=pytest.fail)


@settings(deadline=None)
@given(st.floats())
def test_json_float_round_trip(value: float) -> None:
    """Every float comes back with its sign and all its bits, non-finite ones too, in valid JSON."""
    text = json_text({"x": [value]})
    json.loads(text, parse_constant=pytest.fail)
    back = parse_json(text.encode(), source="x")["x"][0]
    assert repr(back) == repr(value)


def test_non_finite_floats_have_one_form() -> None:
    """NaN and infinities are written as an object with the key $float; the texts stay texts."""
    assert json.loads(json_text([math.nan, math.inf, -math.inf, "NaN"])) == [
        {"$float": "NaN"},
        {"$float": "Infinity"},
        {"$float": "-Infinity"},
        "NaN",
    ]


def test_the_key_of_non_finite_floats_is_free_for_others(tmp_path: Path) -> None:
    """Mappings that have the key $float themselves come back unchanged."""
    value = {"$float": "NaN", "$$float": {"$float": math.inf}, "$floats": 1, "$": 2}
    write_json(tmp_path / "x.json", value)
    assert read_json(tmp_path / "x.json") == value


def test_half_a_surrogate_pair_is_written(tmp_path: Path) -> None:
    """A file name that is no UTF-8 goes through JSON unchanged."""
    write_json(tmp_path / "x.json", {"path": "\udcff"})
    assert read_json(tmp_path / "x.json") == {"path": "\udcff"}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"a": [{1, 2}]}, r"set .* at a\[0\]"),
        ({"a": {1: 2}}, r"a key in JSON must be text; got 1 at a"),
        (object(), r"object .* at the top"),
    ],
)
def test_json_refuses_what_it_cannot_carry(value: object, message: str) -> None:
    """A value that JSON can't carry is refused with its place."""
    with pytest.raises(ValueError, match=message):
        json_text(value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"is no JSON at line 1, column 1"),
        (b'{"a": 1,\n  "b": }', r"is no JSON at line 2, column 8"),
        (b'{"a": 1', r"is no JSON at line 1, column 8"),
        (b'{"NaN": 1,\n "b": NaN}', r"line 2, column 7: NaN is no finite number"),
        (b'{"a": [1,\n1e999]}', r"line 2, column 1: 1e999 is no finite number"),
        (b"-Infinity", r"line 1, column 1: -Infinity is no finite"),
        (b'{"a": 1, "a": 2}', r"the key 'a' comes more than once"),
        (b'{"a": "\xff"}', r"is no UTF-8 text \(byte 7\)"),
        (b'{"$float": "seven"}', r"\$float.*seven"),
        (b'{"$float": ["NaN"]}', r"\$float.*NaN"),
        (b'{"$float": "NaN", "a": 1}', r"\$float.* must stand alone"),
        (b"[" * 100_000, r"nested too deeply"),
        (b"1" * 10_000, r"can't be read as JSON"),
    ],
)
def test_read_json_names_file_and_position(tmp_path: Path, content: bytes, message: str) -> None:
    """What is no JSON raises DamagedFile with the file's name and the position."""
    path = tmp_path / "broken.json"
    path.write_bytes(content)
    with pytest.raises(DamagedFile, match=r"broken\.json: .*" + message) as caught:
        read_json(path)
    assert caught.value.path == path


def test_only_regular_files_are_read(tmp_path: Path) -> None:
    """A folder, a FIFO, a device and a link to itself are named and not waited for; a link to a file is that file."""
    os.mkfifo(tmp_path / "fifo")
    loop = tmp_path / "loop"
    loop.symlink_to("loop")
    odd = {tmp_path / "fifo": "a FIFO", tmp_path: "a folder", Path(os.devnull): "a device", loop: "a link"}
    for path, kind in odd.items():
        with pytest.raises(DamagedFile, match=f"is no regular file but {kind}"):
            read_bytes(path)
    (tmp_path / "file").write_bytes(b"content")
    (tmp_path / "link").symlink_to("file")
    assert read_bytes(tmp_path / "link") == b"content"
    with pytest.raises(FileNotFoundError):
        read_bytes(tmp_path / "absent")


def test_what_kills_left_in_a_folder_is_removed(tmp_path: Path) -> None:
    """Once it is older than a file takes to be written; other files, and folders below, are left alone."""
    (tmp_path / "below").mkdir()
    names = [temp_name("record.json"), temp_name("curve.npz"), "record.json", f"below/{temp_name('x')}"]
    for name in names:
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (0, 0))
    young = temp_name("status.json")
    (tmp_path / young).touch()
    assert remove_temp_files(tmp_path) == 2
    left = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {"record.json", names[3], young}
    assert remove_temp_files(tmp_path, older_than=0) == 1
    assert remove_temp_files(tmp_path / "absent") == 0


def test_errors_travel_between_processes(tmp_path: Path) -> None:
    """DamagedFile and NewerSchema come through pickle whole, as process pools need."""
    damaged = pickle.loads(pickle.dumps(DamagedFile(tmp_path / "f", "is bad")))
    newer = pickle.loads(pickle.dumps(NewerSchema(tmp_path / "f", 3, 1)))
    assert (damaged.path, damaged.problem) == (tmp_path / "f", "is bad")
    assert str(damaged) == f"{tmp_path / 'f'}: is bad"
    assert (newer.version, newer.known) == (3, 1)
    assert "version 3" in str(newer)
    assert "version 1" in str(newer)
    assert "upgrade steadylr" in str(newer)


def test_store_imports_no_heavy_package() -> None:
    """The store runs where torch, Hydra and matplotlib aren't imported."""
    code = (
        "import sys, steadylr.store.curve_store, steadylr.store.records; "
        "print([m for m in ('torch', 'hydra', 'omegaconf', 'matplotlib', 'scipy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    """Its size is looked at first; of text, a smaller one is too large."""
    large = tmp_path / "large"
    with large.open("wb") as file:
        file.truncate(MOST_BYTES + 1)  # takes no room on the disk
    with pytest.raises(DamagedFile, match=r"has 1,073,741,825 bytes, and may have 1,073,741,824 at most"):
        read_bytes(large)
    with large.open("wb") as file:
        file.truncate(MOST_JSON_BYTES + 1)
    with pytest.raises(DamagedFile, match=r"may have 67,108,864 at most"):
        read_json(large)
    (tmp_path / "small").write_bytes(b"123")
    assert read_bytes(tmp_path / "small", most=3) == b"123"
