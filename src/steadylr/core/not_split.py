"""Why a spread can't be split by random stream."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Unsplit(str, Enum):
    """What the runs lack."""

    NO_STREAM_VARIES = "no_stream_varies"
    ONE_STREAM_VARIES = "one_stream_varies"  # others are fixed
    ONE_STREAM_DRAWN = "one_stream_drawn"  # nothing draws from any other, so all of the spread is its own
    NO_SPREAD = "no_spread"  # all LRs are equal
    CHANGE_TOGETHER = "change_together"  # one's seed is known once the other's is
    NOT_APART = "not_apart"  # a stream's seed is known once those of all others are
    NO_REST = "no_rest"  # cells of the crossing are empty, and the others leave no degree of freedom
    DIFFERENT_TRAININGS = "different_trainings"  # the runs differ in more than their seeds


@dataclass(frozen=True, slots=True)
class NotSplit:
    """Why the spread can't be split, and what is missing.

    Attributes:
        code: what the runs lack.
        streams: which streams that is about, the one that can't be told first.
        to_cross: streams to let vary independently of each other; empty where that is no remedy.
        n: runs with an LR.
        num_cells, num_empty: of NO_REST: combinations of seeds, and those without a run.
    """

    code: Unsplit
    streams: tuple[str, ...] = ()
    to_cross: tuple[str, ...] = ()
    n: int = 0
    num_cells: int = 0
    num_empty: int = 0
