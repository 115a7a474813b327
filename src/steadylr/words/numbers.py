"""How LRs are written, in sentences, tables and figures alike."""

from __future__ import annotations

import math


def format_lr(lr: float) -> str:
    """An LR with three significant digits and a short exponent: 0.0616 is "6.16e-2"."""
    if not math.isfinite(lr):
        return str(lr)
    mantissa, exponent = f"{lr:.2e}".split("e")
    return f"{mantissa}e{int(exponent)}"


def percent(share: float) -> str:
    """A share as sentences have it: 0.4%, 12%."""
    return f"{share:.1%}" if share < 0.0995 else f"{share:.0%}"
