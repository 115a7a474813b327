"""Files of JSON as frozen models: each field is checked when one is made, when it is written and when it is read."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from steadylr.store.files import DamagedFile, canonical_digest, checked_version, read_json, write_json

if TYPE_CHECKING:
    from typing_extensions import Self

SCHEMA_VERSION = 2
"""Version of all these files; raised when a field comes, goes or changes its meaning.

Version 1 had no checksum.
"""

VERSION_FIELD = "schema_version"
CHECKSUM_FIELD = "checksum"

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0)]


def _is_a_number(loss: float) -> float:
    if math.isnan(loss):
        raise ValueError("must be a number, infinite where there was none")
    return loss


FinalLoss = Annotated[float, AfterValidator(_is_a_number)]
"""What a trial is judged by: infinite where it was given up."""


class Part(BaseModel):
    """Something of a file: no field may lack, be unknown or be of another type, and none is turned into another type.

    An int will do for a float. Values are as they are in the file: nothing in them is interpolated or looked up.
    """

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class StoredFile(Part):
    """One whole file: the fields of its class, the version of the schema, and a checksum over all of them.

    The checksum is canonical_digest of the file's content but for itself. It tells of a file that was changed by
    accident or by hand; whoever wants to can make another that fits.
    """

    FILE: ClassVar[str]
    """The name of the file in its folder."""

    @classmethod
    def read(cls, folder_or_file: str | os.PathLike[str]) -> Self:
        """Read from the folder that holds the file, or from the file itself.

        Raises:
            FileNotFoundError: there is none.
            NewerSchema, DamagedFile: see from_json.
        """
        path = Path(folder_or_file)
        path = path / cls.FILE if path.is_dir() else path
        return cls.from_json(read_json(path), source=path)

    def write(self, folder: str | os.PathLike[str]) -> Path:
        """Write into a folder, atomically; gives the path of the file.

        Raises:
            ValueError: a value that read would refuse; nothing is written.
            OSError: the file can't be written.
        """
        path = Path(folder) / self.FILE
        content = self.to_json()
        # What can't be read back must not get to the disk: there it would be found days later.
        self.from_json(content, source=path)
        write_json(path, content)
        return path

    def to_json(self) -> dict[str, Any]:
        """Plain values for write_json; from_json turns them back."""
        content = {VERSION_FIELD: SCHEMA_VERSION, **self.model_dump()}
        return {**content, CHECKSUM_FIELD: canonical_digest(content)}

    @classmethod
    def from_json(cls, content: object, *, source: str | os.PathLike[str]) -> Self:
        """What to_json gave; source names the file in errors.

        Raises:
            NewerSchema: a newer steadylr wrote it.
            DamagedFile: a field is missing, unknown or of another type, or has a value that can't be; or the
                checksum is that of another content.
        """
        if not isinstance(content, dict):
            raise DamagedFile(source, f"must hold a mapping; got {_short(content)}")
        # Before any field is looked at: a newer file has other fields, and "upgrade" is the message that helps.
        if VERSION_FIELD not in content:
            raise DamagedFile(source, f"lacks {VERSION_FIELD}: it is no file of steadylr")
        version = checked_version(source, content[VERSION_FIELD], known=SCHEMA_VERSION)
        own = {name: value for name, value in content.items() if name != CHECKSUM_FIELD}
        if version > 1 or CHECKSUM_FIELD in content:  # else one digit would do away with the checksum
            _verify(own, content.get(CHECKSUM_FIELD), source)
        del own[VERSION_FIELD]
        return checked(cls, own, source=source)


Model = TypeVar("Model", bound=BaseModel)


def checked(model: type[Model], content: object, *, source: str | os.PathLike[str], where: str = "") -> Model:
    """The model of a content.

    Args:
        model: its class.
        content: plain values.
        source: the file that they come from.
        where: the field of the file that holds them; empty for the whole file.

    Raises:
        DamagedFile: the first field that is wrong, by name, what is allowed there and what came.
    """
    try:
        return model.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
    *owner, last = (where, *first["loc"]) if where or first["loc"] else ("the file",)
    if first["type"] == "missing":
        raise DamagedFile(source, f"{_field(owner)} lacks {last}")
    if first["type"] == "extra_forbidden":
        raise DamagedFile(source, f"{_field(owner)} has an unknown field: {last}")
    problem = first["ctx"]["error"] if first["type"] == "value_error" else first["msg"]
    problem = str(problem).replace("Input should", "must")
    raise DamagedFile(source, f"{_field([*owner, last])} {problem}; got {_short(first['input'])}")


def _verify(content: dict[str, Any], checksum: object, source: str | os.PathLike[str]) -> None:
    computed = canonical_digest(content)
    if checksum != computed:
        raise DamagedFile(
            source,
            f"was changed after it was written: its content has the checksum {computed[:12]}..., and "
            f"{CHECKSUM_FIELD} is {_short(checksum)}",
        )


def _field(path: list[str | int]) -> str:
    """A field as people write it, such as diagnosis[0].text."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return text.strip(".") or "the file"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}..."
