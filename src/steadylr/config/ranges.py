"""What every number of the config may be."""

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

    def words(self) -> str:
        """The range as one would say it."""
        if self.said:
            return self.said
        note = f" ({self.note})" if self.note else ""
        if self.high == math.inf:
            return f"{'above' if self.open_low else 'at least'} {self.low:g}{note}"
        ends = f"{'(' if self.open_low else '['}{self.low:g}, {self.high:g}{')' if self.open_high else ']'}"
        return f"in {ends}{note}"


_SEED = Range(0, 2**63, said="from 0 to 2**63 - 1")

_COUNT = Range(1)

POSITIVE = Range(0, open_low=True)

NOT_NEGATIVE = Range(0)

RANGES: dict[str, Range] = {
    "seed": _SEED,
    "seeds.init": _SEED,
    "seeds.order": _SEED,
    "seeds.augment": _SEED,
    "seeds.noise": _SEED,
    "model.min_image_size": _COUNT,
    "data.image_size": _COUNT,
    "data.batch_size": _COUNT,
    "data.workers": Range(0, note="0: none besides the training itself, null: as suits the machine"),
    "optimizer.weight_decay": NOT_NEGATIVE,
    "loss.label_smoothing": Range(0, 1),
    "finder.start_lr": POSITIVE,
    "finder.end_lr": POSITIVE,
    "finder.num_iter": Range(
        2, 1e7, open_high=False, said="from 2 (the two ends of the ramp) to ten million"
    ),
    "finder.diverge_th": Range(0, open_low=True, note="null switches the stop rule off"),
    "finder.accumulation_steps": _COUNT,
    "finder.val_every": Range(0, note="0: never"),
    "finder.val_samples": _COUNT,
    "finder.smooth_f": Range(0, 1, note="the share of the curve that one smoothed point sees; 0 is off"),
    "finder.ema_weight": Range(0, 1, open_low=True, open_high=False),
    "finder.skip_start": NOT_NEGATIVE,
    "finder.skip_end": NOT_NEGATIVE,
    "device.threads": Range(1, note="null: the cores divided by the workers"),
    "device.devices": _COUNT,
    "device.workers": Range(1, note="null: as many as there are cores, or GPUs"),
    "onecycle.div_factor": Range(1, note="it divides the peak LR"),
    "onecycle.final_div_factor": Range(1, note="it divides the peak LR"),
    "onecycle.pct_start": Range(0, 1, open_low=True),
    "onecycle.base_momentum": Range(0, 1),
    "onecycle.max_momentum": Range(0, 1),
    "onecycle.total_steps": Range(2, note="null: not known yet"),
}
"""What every number of the config may be. null is allowed where the schema says so."""
