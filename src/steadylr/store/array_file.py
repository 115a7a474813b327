"""One .npz file: named arrays, and a header of JSON beside them. No pickle."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from steadylr.core.curve import FloatArray
from steadylr.store.files import DamagedFile, checked_version, json_text, parse_json


def array_bytes(arrays: Mapping[str, npt.NDArray[Any]]) -> bytes:
    """The content of an .npz file: nothing is compressed, equal arrays give equal bytes."""
    # Not numpy.savez: before numpy 2.2 it can't be told to refuse pickle.
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, array in arrays.items():
            member = io.BytesIO()
            np.lib.format.write_array(member, array, allow_pickle=False)
            # A bare ZipInfo has a fixed time, so that equal runs give equal bytes.
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), member.getvalue())
    return buffer.getvalue()


def header_bytes(header: Mapping[str, Any]) -> npt.NDArray[np.uint8]:
    """A header as the array that holds it: the bytes of its JSON.

    Raises:
        ValueError: it holds what JSON can't carry.
    """
    return np.frombuffer(json_text(header, indent=None).encode(), dtype=np.uint8)


def header_field(
    path: str | os.PathLike[str], owner: dict[str, Any], name: str, kind: type | tuple[type, ...]
) -> Any:
    """One entry of a header, or of a mapping in it.

    Raises:
        DamagedFile: it isn't there, or of another type.
    """
    if name not in owner:
        raise DamagedFile(path, f"its header has no {name!r}")
    value = owner[name]
    if not isinstance(value, kind) or isinstance(value, bool):
        raise DamagedFile(path, f"its header has a wrong {name!r}: {value!r}")
    return value


class ArrayFile:
    """The arrays of one .npz file, each read when asked for.

    Raises:
        FileNotFoundError: there is no such file.
        DamagedFile: it is no .npz file.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        content = self.path.read_bytes()
        try:
            self._zip = zipfile.ZipFile(io.BytesIO(content))
        except Exception as error:  # zipfile meets changed bytes with a dozen exception types
            raise self._damaged(error) from None

    def _damaged(self, error: Exception) -> DamagedFile:
        return DamagedFile(self.path, f"is cut short or damaged ({type(error).__name__}: {error})")

    def array(self, name: str) -> npt.NDArray[Any]:
        """One array; raises DamagedFile where it isn't there or can't be read."""
        try:
            member = self._zip.getinfo(f"{name}.npy")
        except KeyError:
            held = [stored.removesuffix(".npy") for stored in self._zip.namelist()]
            raise DamagedFile(self.path, f"holds no array {name!r}; it holds {held}") from None
        try:
            # ZipFile.read goes to the end of the member, so that its CRC is compared before parsing.
            content = self._zip.read(member)
            array: npt.NDArray[Any] = np.lib.format.read_array(io.BytesIO(content), allow_pickle=False)
        except Exception as error:  # as above
            raise self._damaged(error) from None
        return array

    def floats(self, name: str) -> FloatArray:
        """One array of float64; raises DamagedFile for any other."""
        array = self.array(name)
        if array.dtype != np.float64:
            raise DamagedFile(self.path, f"{name} must be an array of float64; got {array.dtype}")
        return array

    def header(self, *, newest: int) -> dict[str, Any]:
        """The header: what isn't an array. newest is the newest format that this steadylr reads.

        Raises:
            DamagedFile: no header, or none that can be read.
            NewerSchema: a newer steadylr wrote the file.
        """
        array = self.array("header")
        if array.dtype != np.uint8 or array.ndim != 1:
            raise DamagedFile(
                self.path, f"header must be a row of uint8; got {array.dtype}, shape {array.shape}"
            )
        header = parse_json(array.tobytes(), source=self.path)
        if not isinstance(header, dict):
            raise DamagedFile(self.path, f"its header must be a mapping; got {header!r}")
        checked_version(self.path, header.get("format"), known=newest)
        return header
