"""Runs and trials as .npz files: named arrays, and a header of JSON beside them. No pickle."""

from __future__ import annotations

import hashlib
import io
import os
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from pydantic import ConfigDict

from steadylr.core.curve import FloatArray
from steadylr.store.files import (
    DamagedFile,
    canonical_digest,
    checked_version,
    json_text,
    parse_json,
    read_bytes,
    write_atomic,
)
from steadylr.store.stored_file import Part, checked

if TYPE_CHECKING:
    from typing_extensions import Self

Arrays = Mapping[str, npt.NDArray[Any]]


class Header(Part):
    """What a file holds beside its arrays. Fields that no kind of file has are passed over.

    Args:
        meta: what else is known: None, bool, int, float, str, lists, mappings with text keys.
    """

    model_config = ConfigDict(extra="ignore")

    meta: dict[str, Any]


class StoredArrays(ABC):
    """Numbers that have a file of their own: the common shape of RunCurves and Trial.

    A kind says in FORMAT which version of its file it writes, in HEADER what the header must hold, and gives and takes
    its content by _content and _from_content.
    """

    __slots__ = ()

    FORMAT: ClassVar[int]
    """Version of the file; raised when older readers could not read one."""
    HEADER: ClassVar[type[Header]]
    meta: dict[str, Any]

    @abstractmethod
    def _content(self) -> tuple[Arrays, dict[str, Any]]:
        """The arrays by name, and the header but for format and meta."""

    @classmethod
    @abstractmethod
    def _from_content(cls, file: ArrayFile, header: Any) -> Self:
        """The object of a file and its header; may raise ValueError for numbers that can't be."""

    def save(
        self, path: str | os.PathLike[str], *, temp_folder: str | os.PathLike[str] | None = None
    ) -> None:
        """Write one .npz file, atomically; equal content gives equal bytes.

        Nothing is compressed, since losses hardly compress and reading is what counts.

        Args:
            path: the file; missing folders are made.
            temp_folder: see write_atomic.

        Raises:
            ValueError: meta holds what JSON can't carry.
            OSError: the file can't be written.
        """
        arrays, header = self._content()
        header = {"format": self.FORMAT, **header, "meta": self.meta}
        content = array_bytes({**arrays, "header": header_bytes(header)})
        write_atomic(path, content, temp_folder=temp_folder)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read what save wrote; every byte of the numbers is verified by its CRC.

        Raises:
            FileNotFoundError: there is no such file.
            DamagedFile: cut short, changed, no such arrays, arrays of another type, or numbers that can't be.
            NewerSchema: a newer steadylr wrote it.
        """
        file = ArrayFile(path)
        header = checked(cls.HEADER, file.header(newest=cls.FORMAT), source=path, where="header")
        try:
            return cls._from_content(file, header)
        except DamagedFile:
            raise
        except ValueError as error:
            raise DamagedFile(path, str(error)) from None

    @classmethod
    def load_meta(cls, path: str | os.PathLike[str]) -> dict[str, Any]:
        """Read only the meta of a file, of whichever kind it is; raises as load does."""
        content = ArrayFile(path).header(newest=cls.FORMAT)
        return checked(Header, content, source=path, where="header").meta

    def digest(self) -> str:
        """SHA-256 over all that the file holds, meta too: equal for what is bit for bit the same."""
        arrays, header = self._content()
        numbers = {
            name: [str(array.dtype), *array.shape, hashlib.sha256(array.tobytes()).hexdigest()]
            for name, array in arrays.items()
        }
        return canonical_digest([numbers, header, self.meta])


def array_bytes(arrays: Arrays) -> bytes:
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


class ArrayFile:
    """The arrays of one .npz file, each read when asked for.

    Raises:
        FileNotFoundError: there is no such file.
        DamagedFile: it is no .npz file.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        content = read_bytes(path)
        try:
            self._zip = zipfile.ZipFile(io.BytesIO(content))
        except Exception as error:  # zipfile meets changed bytes with a dozen exception types
            raise self._damaged(error) from None

    def _damaged(self, error: Exception) -> DamagedFile:
        return DamagedFile(self.path, f"is cut short or damaged ({type(error).__name__}: {error})")

    def array(self, name: str) -> npt.NDArray[Any]:
        """One array, read-only.

        Raises:
            DamagedFile: it isn't there, can't be read, or is compressed: unpacked it may be of any size.
        """
        try:
            member = self._zip.getinfo(f"{name}.npy")
        except KeyError:
            held = [stored.removesuffix(".npy") for stored in self._zip.namelist()]
            raise DamagedFile(self.path, f"holds no array {name!r}; it holds {held}") from None
        if member.compress_type != zipfile.ZIP_STORED:
            claimed = f"{member.compress_size:,} bytes that claim to be {member.file_size:,}"
            raise DamagedFile(self.path, f"{name} is compressed, which steadylr never does ({claimed})")
        try:
            # ZipFile.read goes to the end of the member, so that its CRC is compared before parsing.
            return _array_of(self._zip.read(member))
        except Exception as error:  # as above
            raise self._damaged(error) from None

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


def _array_of(content: bytes) -> npt.NDArray[Any]:
    """The array in the bytes of an .npy file; a view of them, so it can't claim to be larger than they are."""
    begin = 10 + int.from_bytes(content[8:10], "little")
    shape, order, dtype = _npy_header(content[:begin])
    return np.frombuffer(content, dtype, offset=begin).reshape(shape, order=order)


@lru_cache(maxsize=64)
def _npy_header(head: bytes) -> tuple[tuple[int, ...], Literal["C", "F"], np.dtype[Any]]:
    """Shape, order and type by the header of an .npy file. Kept: parsing one takes longer than reading its array."""
    stream = io.BytesIO(head)
    version = np.lib.format.read_magic(stream)
    if version != (1, 0):
        raise ValueError(f"arrays of .npy version 1.0 are read; got {version}")
    shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
    return shape, "F" if fortran else "C", dtype
