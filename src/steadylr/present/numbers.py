"""How numbers are written, on the terminal and in figures alike."""

from __future__ import annotations

import math
from collections.abc import Mapping

from steadylr.words.numbers import format_lr as format_lr

_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def format_lr_range(low: float, high: float) -> str:
    """Two LRs as a range: "1.79e-2 to 6.16e-2"."""
    return f"{format_lr(low)} to {format_lr(high)}"


def format_loss(loss: float) -> str:
    """A loss with four significant digits, or all before the point: "0.6034", "12346"; no exponent from 1e-4 to 1e5."""
    if not math.isfinite(loss):
        return str(loss)
    if 9999.5 <= abs(loss) < 1e5:
        return f"{loss:.0f}"
    return f"{loss:#.4g}".rstrip(".")


def format_ratio(ratio: float) -> str:
    """A ratio of LRs with three significant digits: "3.44", "12.0", "1.07e5"; from 1000 on with an exponent."""
    return format_lr(ratio) if ratio >= 999.5 else f"{ratio:#.3g}".rstrip(".")


def format_share(share: float) -> str:
    """A share in percent: "61%", "0.4%"; 0 and 1 only where it is exactly that."""
    percent = 100 * share
    if 0 < percent < 1:
        return f"{percent:.1f}%" if percent >= 0.05 else "<0.1%"
    return f"{percent:.0f}%" if not 99.5 <= percent < 100 else ">99%"


def format_duration(seconds: float) -> str:
    """A time span as people say it: "8 s", "3 min 20 s", "2 h 10 min"."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min" + (f" {whole % 60} s" if whole % 60 and whole < 600 else "")
    minutes = round(seconds / 60)
    return f"{minutes // 60} h" + (f" {minutes % 60} min" if minutes % 60 else "")


def format_power(exponent: int, factor: float = 1) -> str:
    """A tick label of a log axis: "10⁻²", or "3×10⁻²" with a factor."""
    power = "10" + str(exponent).translate(_SUPERSCRIPTS)
    return power if factor == 1 else f"{factor:g}×{power}"


def count(number: int, noun: str) -> str:
    """A count with its noun in the right number: "1 run", "3 runs"."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def setting_label(settings: Mapping[str, object]) -> str:
    """Analysis settings as a label: "smooth_f 0.05, rule bracket"; "none" for a setting that is off."""
    return ", ".join(
        f"{name} {'none' if value is None else f'{value:g}' if isinstance(value, float) else value}"
        for name, value in settings.items()
    )
