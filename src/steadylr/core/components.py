"""Variance components: what the seeds of random streams, alone and in pairs, explain of the spread of log10 LR."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt

from steadylr.core.curve import FloatArray
from steadylr.core.not_split import NotSplit, Unsplit

TAILS = (0.025, 0.975)
_LEAST_DF = 7  # of a pair, and of the rest beside all pairs: with fewer, a variance is hardly known
_MOST_STEPS = 100  # of Newton's method
_PRECISION = 1e-10  # relative, of its answer
_RANK_TOLERANCE = 1e-8
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Term:
    """One source with what the data say of it.

    Attributes:
        streams: one or two.
        labels: which of its levels each run has, shape (n,).
        squares: z_i^2, shape (r,).
        gains: g_i, shape (r,), above 0.
        borrowed: for each pair term how much of its variance lies in each z_i, on average.
    """

    streams: tuple[str, ...]
    labels: IntArray
    squares: FloatArray
    gains: FloatArray
    borrowed: tuple[float, ...] = ()

    @property
    def df(self) -> int:
        return self.squares.size


@dataclass(frozen=True, slots=True, eq=False)
class Terms:
    """All sources: streams, pairs where they can be told (else empty), and the rest's sum of squares."""

    streams: tuple[Term, ...]
    pairs: tuple[Term, ...]
    rest_square: float
    rest_df: int


def terms_of(y: FloatArray, varied: Mapping[str, IntArray]) -> Terms | NotSplit:
    """The sources of y, shape (n,), over the levels of each stream; or why they can't be told apart."""
    y = y - y.mean()
    names = list(varied)
    mains = [_indicators(column) for column in varied.values()]
    cells = {
        (one, other): np.unique(np.stack([varied[one], varied[other]]), axis=1, return_inverse=True)[
            1
        ].reshape(-1)
        for one, other in combinations(names, 2)
    }
    basis = _basis(np.hstack([np.ones((y.size, 1)), *mains]))
    rest_df = y.size - basis.shape[1]
    if rest_df < 1:
        return _no_rest(varied, y.size)
    pairs = _pair_terms(y, mains, cells)
    crossed = [_indicators(pair.labels) for pair in pairs]
    streams = []
    for i, name in enumerate(names):
        own = _told_apart(mains[i], [*mains[:i], *mains[i + 1 :]])
        if own is None:
            others = tuple(other for other in names if other != name)
            return NotSplit(Unsplit.NOT_APART, (name, *others), to_cross=tuple(names))
        vectors, gains = own
        borrowed = tuple(float(np.sum((vectors.T @ z) ** 2)) / gains.size for z in crossed)
        streams.append(Term((name,), varied[name], (vectors.T @ y) ** 2, gains, borrowed))
    if pairs:
        basis = _basis(np.hstack([np.ones((y.size, 1)), *mains, *crossed]))
        rest_df = y.size - basis.shape[1]
    rest = y - basis @ (basis.T @ y)
    return Terms(tuple(streams), pairs, float(rest @ rest), rest_df)


def _no_rest(varied: Mapping[str, IntArray], n: int) -> NotSplit:
    """The refusal where every run is used up."""
    num_cells = math.prod(num_levels(column) for column in varied.values())
    filled = len(set(zip(*(column.tolist() for column in varied.values()), strict=True)))
    names = tuple(varied)
    return NotSplit(Unsplit.NO_REST, names, names, n, num_cells, num_cells - filled)


def _pair_terms(
    y: FloatArray, mains: Sequence[FloatArray], cells: Mapping[tuple[str, str], IntArray]
) -> tuple[Term, ...]:
    """A term for each pair of streams, or none where the runs can't tell all of them from the rest."""
    if any(y.size - num_levels(labels) < _LEAST_DF for labels in cells.values()):
        return ()
    crossed = [_indicators(labels) for labels in cells.values()]
    if y.size - _basis(np.hstack([np.ones((y.size, 1)), *crossed])).shape[1] < _LEAST_DF:
        return ()
    terms = []
    for i, (streams, labels) in enumerate(cells.items()):
        own = _told_apart(crossed[i], [*mains, *crossed[:i], *crossed[i + 1 :]])
        if own is None or own[1].size < _LEAST_DF:
            return ()
        vectors, gains = own
        terms.append(Term(streams, labels, (vectors.T @ y) ** 2, gains))
    return tuple(terms)


def _told_apart(own: FloatArray, others: Sequence[FloatArray]) -> tuple[FloatArray, FloatArray] | None:
    """Q and g (see attribute) of a source beside others, shapes (n, r) and (r,); None when r is 0."""
    basis = _basis(np.hstack([np.ones((own.shape[0], 1)), *others]))
    left, singular, _ = np.linalg.svd(own - basis @ (basis.T @ own), full_matrices=False)
    rank = int(np.sum(singular > _RANK_TOLERANCE * math.sqrt(own.shape[0])))
    return (left[:, :rank], singular[:rank] ** 2) if rank else None


def _basis(columns: FloatArray) -> FloatArray:
    """An orthonormal basis of what some columns span, shape (n, rank)."""
    rows, number = columns.shape
    if number > rows:  # thousands of cells: the product of rows is smaller, and exact for indicators
        squares, left = np.linalg.eigh(columns @ columns.T)
        return left[:, squares > max(_RANK_TOLERANCE**2, rows * np.finfo(float).eps) * squares[-1]]
    left, singular, _ = np.linalg.svd(columns, full_matrices=False)
    return left[:, singular > _RANK_TOLERANCE * singular[0]]


def _indicators(labels: IntArray) -> FloatArray:
    """Which run has which level, shape (n, levels)."""
    return np.eye(num_levels(labels))[labels]


def num_levels(labels: IntArray) -> int:
    """How many levels a source has, from 0 to its highest label."""
    return int(labels.max()) + 1


def solved(terms: Terms, rest: FloatArray, solve: Callable[[Term, FloatArray], FloatArray]) -> FloatArray:
    """The variances of streams, pairs and the rest, shape (sources, draws), from the rest up."""
    pairs = [solve(pair, rest) for pair in terms.pairs]
    streams = [
        solve(
            term,
            rest + sum((share * pair for share, pair in zip(term.borrowed, pairs, strict=True)), 0.0 * rest),
        )
        for term in terms.streams
    ]
    return np.stack([*streams, *pairs, rest])


def by_moments(term: Term, noise: FloatArray) -> FloatArray:
    """The variance at which the sum of squares is what one expects, below 0 where noise (c of attribute, shape
    (m,)) alone would give more."""
    return np.asarray((term.squares.sum() - term.df * noise) / term.gains.sum())


def by_pivot(term: Term, noise: FloatArray, chi_squared: FloatArray) -> FloatArray:
    """The v at which sum z_i^2 / (v g_i + c) is a chi-squared draw; noise is c, shape (m,).

    Above 0 by Newton's method on the reciprocal of the sum, which is concave in v (so it comes from the left
    and never oversteps) and linear where all g_i are equal: then the first step is the answer. Below 0, where
    only the sum of all variances needs it, with the mean of g.
    """
    squares, gains = term.squares, term.gains
    noise = np.maximum(noise, np.finfo(float).tiny)
    excess = squares.sum() / chi_squared - noise
    v = np.asarray(excess / np.where(excess > 0, gains.max(), gains.mean()))
    unsolved = np.flatnonzero(v > 0)
    for _ in range(_MOST_STEPS):
        scale = np.outer(v[unsolved], gains) + noise[unsolved, None]
        total = (squares / scale).sum(axis=1)
        slope = (squares * gains / scale**2).sum(axis=1)
        step = total * (total / chi_squared[unsolved] - 1) / slope
        v[unsolved] += step
        unsolved = unsolved[step > _PRECISION * v[unsolved]]
        if unsolved.size == 0:
            break
    return v


def shares_of(variances: FloatArray) -> FloatArray:
    """Each variance over their sum, columns each on its own, in [0, 1]; shape (sources, m)."""
    above, total = np.maximum(variances, 0.0), variances.sum(axis=0)
    return np.asarray(above / np.maximum(total, above.max(axis=0)))


def mean_interval(
    y: FloatArray, sources: Sequence[Term], drawn: FloatArray, rng: np.random.Generator
) -> tuple[float, float]:
    """95% interval of 10^mean: the mean of the runs is off by each effect, as often as its seed occurs."""
    repeats = [float(np.sum((np.bincount(term.labels) / y.size) ** 2)) for term in sources] + [1 / y.size]
    off = rng.standard_normal(drawn.shape[1]) * np.sqrt(
        np.maximum(np.array(repeats) @ drawn, drawn[-1] / y.size)
    )
    low, high = np.quantile(off, TAILS)
    return float(10.0 ** (y.mean() + low)), float(10.0 ** (y.mean() + high))
