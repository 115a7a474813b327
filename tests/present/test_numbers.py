"""Numbers as people read them."""

from __future__ import annotations

import pytest

from steadylr.present.numbers import (
    count,
    format_duration,
    format_loss,
    format_lr,
    format_lr_range,
    format_power,
    format_ratio,
    format_share,
    setting_label,
)


@pytest.mark.parametrize(
    ("lr", "text"),
    [
        (0.0616, "6.16e-2"),
        (0.033, "3.30e-2"),
        (3.3e-7, "3.30e-7"),
        (9.999e-3, "1.00e-2"),
        (1.0, "1.00e0"),
        (12.5, "1.25e1"),
        (float("nan"), "nan"),
    ],
)
def test_an_lr_has_three_digits_and_a_short_exponent(lr: float, text: str) -> None:
    """LRs are written in the field's usual style, as 6.16e-2."""
    assert format_lr(lr) == text


def test_a_range_of_lrs_reads_from_to() -> None:
    """A range is two LRs with "to" between them."""
    assert format_lr_range(1.79e-2, 6.16e-2) == "1.79e-2 to 6.16e-2"


@pytest.mark.parametrize(
    ("loss", "text"),
    [
        (0.60342, "0.6034"),
        (2.3, "2.300"),
        (1234.0, "1234"),
        (12345.6, "12346"),
        (9999.6, "10000"),
        (-54321.0, "-54321"),
        (2.5e6, "2.500e+06"),
        (float("inf"), "inf"),
        (-0.5, "-0.5000"),
    ],
)
def test_a_loss_has_four_digits(loss: float, text: str) -> None:
    """Losses keep four significant digits, whatever their sign, and no exponent below 1e5."""
    assert format_loss(loss) == text


@pytest.mark.parametrize(
    ("ratio", "text"),
    [
        (3.4413, "3.44"),
        (12.0, "12.0"),
        (1.0, "1.00"),
        (320.0, "320"),
        (999.4, "999"),
        (999.7, "1.00e3"),
        (1.07e5, "1.07e5"),
    ],
)
def test_a_ratio_has_three_digits(ratio: float, text: str) -> None:
    """Ratios keep three significant digits, large ones with an exponent."""
    assert format_ratio(ratio) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1.0, "0 s"),
        (8.4, "8 s"),
        (59.7, "1 min"),
        (200, "3 min 20 s"),
        (1234, "20 min"),
        (3599.6, "1 h"),
        (7800, "2 h 10 min"),
    ],
)
def test_a_duration_is_said_as_people_say_it(seconds: float, text: str) -> None:
    """Seconds, then minutes with seconds, then hours with minutes."""
    assert format_duration(seconds) == text


def test_ticks_are_powers_of_ten() -> None:
    """Tick labels use superscripts, with a factor in front where there is one."""
    assert format_power(-2) == "10⁻²"
    assert format_power(1, 3) == "3×10¹"
    assert format_power(-10, 1.5) == "1.5×10⁻¹⁰"


def test_counts_agree_with_their_nouns() -> None:
    """One run, but three runs."""
    assert (count(1, "run"), count(3, "run"), count(10000, "run")) == ("1 run", "3 runs", "10,000 runs")


def test_settings_become_a_label() -> None:
    """Swept settings are named with their values; one that is off says so."""
    assert setting_label({"rule": "bracket", "smooth_f": 0.05}) == "rule bracket, smooth_f 0.05"
    assert setting_label({"smooth_f": None}) == "smooth_f none"
    assert setting_label({}) == ""


@pytest.mark.parametrize(
    ("share", "text"),
    [(0.0, "0%"), (1e-5, "<0.1%"), (0.004, "0.4%"), (0.614, "61%"), (0.997, ">99%"), (1.0, "100%")],
)
def test_a_share_is_0_or_100_percent_only_when_it_is(share: float, text: str) -> None:
    """A small share isn't none, and a large one isn't all."""
    assert format_share(share) == text
