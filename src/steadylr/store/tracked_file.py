"""The file that says what of a folder a tracker has been sent."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar
from uuid import uuid4

from pydantic import Field

from steadylr.store.stored_file import StoredFile


class Tracked(StoredFile):
    """What of a sweep or run has been sent where.

    Args:
        id: of the sweep or run, the same in every tracker and in copies of the folder: 32 hexadecimal digits.
        sent: by place, what is there: keys of jobs and digests of answers.
    """

    FILE: ClassVar[str] = "tracker.json"

    id: Annotated[str, Field(pattern="^[0-9a-f]{32}$")]
    sent: dict[str, list[str]]

    @classmethod
    def of(cls, folder: Path) -> Tracked:
        """That of a folder; of one that has none, a new one.

        Raises:
            DamagedFile, NewerSchema: see StoredFile.from_json.
        """
        try:
            return cls.read(folder)
        except FileNotFoundError:
            return cls(id=uuid4().hex, sent={})

    def having(self, place: str, what: str) -> Tracked:
        """The same once something more was sent to a place."""
        return self.model_copy(update={"sent": {**self.sent, place: [*self.sent.get(place, []), what]}})
