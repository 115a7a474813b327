"""Seeds of further streams in a crossing of two: Latin squares of order 8 that are orthogonal to each other.

Imports nothing: the config is composed with it.
"""

from __future__ import annotations

ORDER = 8
_POLYNOMIAL = 0b1011  # x^3 + x + 1, which no polynomial over {0, 1} of lower degree divides


def latin_seed(row: int, column: int, square: int) -> int:
    """The seed in a cell of a Latin square: row + square * column in the field of 8 elements.

    In each square every seed stands once in each row and once in each column; of two squares, every pair of
    seeds stands in exactly one cell (Bose 1938). So two, three or four streams that take their seeds from
    row, column, square 1 and square 2 are each fully crossed with each other one, in 64 runs.

    Args:
        row, column: seeds, whole numbers of at least 0; they count modulo 8, so any 8 in a row will do.
        square: which square, from 1 to 7.

    Returns:
        A seed from 0 to 7.

    Raises:
        ValueError: a square that there isn't.
    """
    if not 1 <= square < ORDER:
        raise ValueError(f"square must be a whole number from 1 to {ORDER - 1}; got {square!r}")
    return (row % ORDER) ^ _product(square, column % ORDER)


def _product(a: int, b: int) -> int:
    """Of two elements of the field: polynomials over {0, 1}, the bits their coefficients."""
    product = 0
    for bit in range(3):
        if b >> bit & 1:
            product ^= a << bit
    for bit in (4, 3):  # the degrees above 2 that a product can have
        if product >> bit & 1:
            product ^= _POLYNOMIAL << (bit - 3)
    return product
