"""Latin squares of order 8: every pair of seeds once."""

from __future__ import annotations

from itertools import combinations, product

import pytest

from steadylr.core.latin_square import ORDER, latin_seed

SEEDS = range(ORDER)


@pytest.mark.parametrize("square", range(1, ORDER))
def test_every_seed_is_once_in_each_row_and_column(square: int) -> None:
    """The definition of a Latin square."""
    table = [[latin_seed(row, column, square) for column in SEEDS] for row in SEEDS]
    assert all(sorted(line) == list(SEEDS) for line in (*table, *zip(*table, strict=True)))


@pytest.mark.parametrize(("one", "other"), list(combinations(range(1, ORDER), 2)))
def test_two_squares_are_orthogonal(one: int, other: int) -> None:
    """Every pair of seeds stands in exactly one cell."""
    pairs = {(latin_seed(r, c, one), latin_seed(r, c, other)) for r, c in product(SEEDS, SEEDS)}
    assert len(pairs) == ORDER**2


def test_any_eight_seeds_in_a_row_will_do() -> None:
    """Rows and columns count modulo 8."""
    assert latin_seed(101, 14, 3) == latin_seed(101 % 8, 14 % 8, 3)


@pytest.mark.parametrize("square", [0, 8, -1])
def test_a_square_that_is_none_is_refused(square: int) -> None:
    """There are seven."""
    with pytest.raises(ValueError, match="square must be a whole number from 1 to 7"):
        latin_seed(0, 0, square)
