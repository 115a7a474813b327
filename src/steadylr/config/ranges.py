"""What a key of the config is for, and what a number there may be."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Range:
    """The allowed values of a number: from low to high, an end left out where it is open.

    Args:
        low, high: the ends.
        open_low, open_high: whether an end is left out.
        note: what the words of the range are followed by, in brackets.
        said: the range in other words.
    """

    low: float
    high: float = math.inf
    open_low: bool = False
    open_high: bool = True
    note: str = ""
    said: str = ""

    def holds(self, value: float) -> bool:
        """Whether a value is allowed; NaN never is."""
        above = value > self.low if self.open_low else value >= self.low
        return above and (value < self.high if self.open_high else value <= self.high)

    def words(self, value: float | None = None) -> str:
        """The range as one would say it; of a value that it does not hold, if one is given."""
        if self.said:
            return self.said
        note = f" ({self.note})" if self.note else ""
        if self.high == math.inf:
            finite = "finite and " if value == math.inf else ""
            return f"{finite}{'above' if self.open_low else 'at least'} {self.low:g}{note}"
        ends = f"{'(' if self.open_low else '['}{self.low:g}, {self.high:g}{')' if self.open_high else ']'}"
        return f"in {ends}{note}"


@dataclass(frozen=True, slots=True)
class Key:
    """What a key of the config is.

    Args:
        words: what it is for.
        allowed: its range, for a number.
    """

    words: str
    allowed: Range | None = None


POSITIVE = Range(0, open_low=True)

NOT_NEGATIVE = Range(0)

AT_LEAST_ONE = Range(1)

SEED = Range(0, 2**63, said="from 0 to 2**63 - 1")
