"""Results in a CSV file that grows by a row at a time: whoever was stopped goes on where they were."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

from lengths_parts.tasks import LONG_TASKS_VERSION

Cells = tuple[str, ...]


class Results:
    """Rows of a version of the tasks, a key and what belongs to it; the latest row of a key counts.

    Args:
        path: the file; it need not be there.
        num_keys: the first so many cells are the key.
        num_values: the others. Rows of other lengths are left alone: the last may be torn.
        version: of the tasks; rows of another one are left alone.
    """

    def __init__(
        self, path: Path, *, num_keys: int, num_values: int, version: int = LONG_TASKS_VERSION
    ) -> None:
        self._path, self._version = path, version
        self.rows: dict[Cells, Cells] = {}
        if not path.exists():
            return
        text = path.read_text()
        if text and not text.endswith("\n"):  # torn: it is done again
            path.write_text(text[: text.rfind("\n") + 1])
        with path.open(newline="") as file:
            for written, *cells in csv.reader(file):
                if written == str(version) and len(cells) == num_keys + num_values:
                    self.rows[tuple(cells[:num_keys])] = tuple(cells[num_keys:])

    def add(self, key: Iterable[object], values: Iterable[object]) -> None:
        """Write down a row."""
        own_key, own_values = tuple(map(str, key)), tuple(map(str, values))
        self.rows[own_key] = own_values
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a", newline="") as file:
            csv.writer(file, lineterminator="\n").writerow([self._version, *own_key, *own_values])
