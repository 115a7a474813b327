"""Attribution: how much of the spread of log10 LR each random stream causes."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import numpy.typing as npt

from steadylr.core.curve import FloatArray

IntArray = npt.NDArray[np.int64]

DRAWS = 10_000
ENOUGH_LEVELS = 8
"""Seeds of one stream from which on its share is worth a number: 7 degrees of freedom."""

_TAILS = (0.025, 0.975)
_SURE = 0.95
_LEAST_SPREAD = 1e-9  # of log10 LR: below it the LRs differ by rounding
_RANK_TOLERANCE = 1e-8
_LEAST_DF = 7  # of a pair, and of the rest beside all pairs: with fewer, a variance is hardly known
_MOST_STEPS, _PRECISION = 100, 1e-10  # of Newton's method

REST = "rest"
INTERACTIONS_AND_REST = "interactions and rest"


@dataclass(frozen=True, slots=True)
class Source:
    """One source of the spread between runs.

    Attributes:
        name: a stream ("order"), two streams ("init x order"), "rest" or "interactions and rest".
        streams: the streams in it; empty for the rest.
        levels: distinct seeds of a stream, distinct pairs of an interaction; 0 where nothing varies.
        df: degrees of freedom that its variance is estimated from.
        variance: its variance component, of log10 LR; never below 0.
        share: variance over the sum of all variances, in [0, 1].
        interval: 95% interval of the share.
        used: False for a stream that nothing draws from: share and interval are exactly 0.
    """

    name: str
    streams: tuple[str, ...]
    levels: int
    df: int
    variance: float
    share: float
    interval: tuple[float, float]
    used: bool = True

    @property
    def geometric_std(self) -> float:
        """The factor of one standard deviation if this were the only source: 10^sqrt(variance)."""
        return float(10.0 ** math.sqrt(self.variance))


@dataclass(frozen=True, slots=True)
class Attribution:
    """The variance of log10 LR, split by source.

    Attributes:
        n: runs with an LR; the others are left out.
        sources: streams in the order given, then interactions, then the rest. Shares add up to 1.
        fixed: streams that something draws from and that had one seed in all runs: what they cause is not in
            any share.
        largest: name of the source with the largest share.
        sure: whether it is the largest in at least 95% of what the data allow; else `rivals` may be.
        rivals: other sources that are the largest in more than 5% of what the data allow.
        interval: 95% interval of the geometric mean over new seeds of the streams that vary. Runs that share
            seeds are not independent, so it is wider than the interval of as many independent runs.
        summary: one sentence, the largest source.
        advice: one sentence, what would reduce it.
    """

    n: int
    sources: tuple[Source, ...]
    fixed: tuple[str, ...]
    largest: str
    sure: bool
    rivals: tuple[str, ...]
    interval: tuple[float, float]
    summary: str
    advice: str

    def source(self, name: str) -> Source:
        """The source of that name.

        Raises:
            KeyError: there is none.
        """
        return {source.name: source for source in self.sources}[name]


@dataclass(frozen=True, slots=True)
class NotSplit:
    """Why the spread can't be split, and what is missing: one sentence each.

    Attributes:
        reason: what the runs lack.
        remedy: what to run.
    """

    reason: str
    remedy: str


def attribute(
    lrs: Sequence[float | None],
    seeds: Mapping[str, Sequence[int]],
    *,
    unused: Collection[str] = (),
    draws: int = DRAWS,
    rng: np.random.Generator | None = None,
) -> Attribution | NotSplit:
    """Split the variance of log10 LR by random stream, or say why these runs can't tell.

    Seeds are random effects: the seeds that ran are a sample of all that might have. With y the log10 LR of
    a run, and independent normal effects of mean 0,

        y = mean + sum over streams s of a_s[seed of s] + sum over pairs of b_st[seed of s, seed of t] + rest.

    A pair has an effect of its own only where the runs can tell it from the rest: every pair has at least 7
    degrees of freedom, and so has the rest beside them all. Otherwise the last source is "interactions and
    rest". What common designs can tell, each stream with k seeds:

        full crossing of 2 streams, one run a cell (k^2 runs): both streams; their interaction is the rest.
            As equal seeds give equal curves on a CPU, there is no other rest.
        full crossing of 3 or 4 streams: streams, pairs; the rest are interactions of three and more.
        Latin square of 3 streams, or Graeco-Latin of 4, in k^2 runs (+experiment=attribution): all streams,
            and all interactions together with the rest. As every pair of seeds occurs once, interactions
            add to the rest only and bias no stream.
        one stream at a time around one run: nothing, as no effect occurs twice.
        all streams from one seed (seed=1,2,3): nothing, as they change together.

    Method. Q_s is an orthonormal basis of what the seeds of s can explain and all others can't; z = Q_s' y has
    covariance v_s diag(g) + c I, where v_s is the variance of s, g the squared singular values of Q_s' Z_s (Z_s
    says which run has which seed) and c the variance of the rest, plus that of the pairs as far as it
    lies in Q_s. So sum z_i^2 / (v_s g_i + c) is chi-squared: Wald's pivot (1947), exact for missing runs and
    unequal counts. The rest's sum of squares over its variance is chi-squared too. Chi-squared draws are
    put in and the variances solved for, from the rest up, negative ones set to 0; quantiles of the shares that
    follow are the interval. This is the generalized interval of Tsui and Weerahandi (1989) and Weerahandi
    (1993), used for crossed designs by Hamada and Weerahandi (2000); benchmarks/attribution.py prints how often it
    covers the true share. Estimates themselves are by moments (Henderson's method III, 1953), also cut at 0.

    Args:
        lrs: one LR a run, above 0; None for a run without an answer, which is left out.
        seeds: for each stream the seed of every run, as many as lrs.
        unused: streams that nothing draws from: their share is exactly 0, whatever their seeds.
        draws: how many draws the intervals come from.
        rng: what draws them; None: a fixed one, so that equal runs give equal intervals.

    Returns:
        The split. NotSplit where fewer than two streams vary, where streams change together, where no
        combination of seeds leaves a degree of freedom to the rest, or where all LRs are equal.

    Raises:
        ValueError: an LR that is no LR, or streams with more or fewer seeds than there are runs.
    """
    y, columns = _checked(lrs, seeds)
    used = {name: column for name, column in columns.items() if name not in unused}
    varied = {name: column for name, column in used.items() if len(set(column.tolist())) > 1}
    fixed = tuple(name for name in used if name not in varied)
    refusal = _few_streams(varied, fixed, y.size) or _no_spread(y) or _changing_together(varied)
    if refusal is not None:
        return refusal
    terms = _terms(y, varied)
    if isinstance(terms, NotSplit):
        return terms
    rng = np.random.default_rng(0) if rng is None else rng
    return _split(y, terms, columns, fixed, draws=draws, rng=rng)


# ---- what can be told


def _checked(
    lrs: Sequence[float | None], seeds: Mapping[str, Sequence[int]]
) -> tuple[FloatArray, dict[str, IntArray]]:
    """log10 LR of the runs that have one, and their seeds."""
    for name, column in seeds.items():
        if len(column) != len(lrs):
            raise ValueError(f"{name}: one seed for each of the {len(lrs)} runs is needed; got {len(column)}")
    for lr in lrs:
        if lr is not None and not (math.isfinite(lr) and lr > 0):
            raise ValueError(f"an LR must be a finite number above 0; got {lr!r}")
    there = [i for i, lr in enumerate(lrs) if lr is not None]
    y = np.array([math.log10(lr) for lr in lrs if lr is not None])
    return y, {
        name: np.unique([column[i] for i in there], return_inverse=True)[1].astype(np.int64)
        if there
        else np.zeros(0, dtype=np.int64)
        for name, column in seeds.items()
    }


def _few_streams(varied: Mapping[str, IntArray], fixed: Sequence[str], n: int) -> NotSplit | None:
    if len(varied) >= 2:
        return None
    if not varied:
        return NotSplit(f"no stream varies over the {n} runs with an LR", _crossing(fixed[:2]))
    (name,) = varied
    if not fixed:
        return NotSplit(
            f"{name} is the only stream that something draws from, so all of the spread is its own",
            "There is nothing to split.",
        )
    return NotSplit(f"only {name} varies, so there is nothing to tell it from", _crossing((name, fixed[0])))


def _no_spread(y: FloatArray) -> NotSplit | None:
    if y.size and float(np.ptp(y)) > _LEAST_SPREAD:
        return None
    return NotSplit("all runs have the same LR", "There is no spread to split.")


def _changing_together(varied: Mapping[str, IntArray]) -> NotSplit | None:
    """Streams of which one's seed is known once the other's is."""
    for one, other in combinations(varied, 2):
        pairs = len(set(zip(varied[one].tolist(), varied[other].tolist(), strict=True)))
        if pairs in (_levels(varied[one]), _levels(varied[other])):
            return NotSplit(
                f"{one} and {other} change together, so nothing tells one from the other",
                _crossing((one, other)),
            )
    return None


def _crossing(streams: Sequence[str]) -> str:
    """What to run."""
    values = " ".join(f"seeds.{name}='range(0,{ENOUGH_LEVELS})'" for name in streams)
    return f"Let them vary independently: -m {values}, or +experiment=attribution." if values else ""


@dataclass(frozen=True, slots=True, eq=False)
class _Term:
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
class _Terms:
    """All sources: streams, pairs where they can be told (else empty), and the rest's sum of squares."""

    streams: tuple[_Term, ...]
    pairs: tuple[_Term, ...]
    rest_square: float
    rest_df: int


def _terms(y: FloatArray, varied: Mapping[str, IntArray]) -> _Terms | NotSplit:
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
            return NotSplit(
                f"{name} can't be told from {_listed([other for other in names if other != name])} together",
                _crossing(names),
            )
        vectors, gains = own
        borrowed = tuple(float(np.sum((vectors.T @ z) ** 2)) / gains.size for z in crossed)
        streams.append(_Term((name,), varied[name], (vectors.T @ y) ** 2, gains, borrowed))
    if pairs:
        basis = _basis(np.hstack([np.ones((y.size, 1)), *mains, *crossed]))
        rest_df = y.size - basis.shape[1]
    rest = y - basis @ (basis.T @ y)
    return _Terms(tuple(streams), pairs, float(rest @ rest), rest_df)


def _pair_terms(
    y: FloatArray, mains: Sequence[FloatArray], cells: Mapping[tuple[str, str], IntArray]
) -> tuple[_Term, ...]:
    """A term for each pair of streams, or none where the runs can't tell all of them from the rest."""
    if any(y.size - _levels(labels) < _LEAST_DF for labels in cells.values()):
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
        terms.append(_Term(streams, labels, (vectors.T @ y) ** 2, gains))
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
    return np.eye(_levels(labels))[labels]


def _levels(labels: IntArray) -> int:
    return int(labels.max()) + 1


def _no_rest(varied: Mapping[str, IntArray], n: int) -> NotSplit:
    """The refusal where every run is used up: cells of the crossing are empty."""
    sizes = [_levels(column) for column in varied.values()]
    filled = len(set(zip(*(column.tolist() for column in varied.values()), strict=True)))
    return NotSplit(
        f"{math.prod(sizes) - filled} of the {math.prod(sizes)} combinations of {_listed(list(varied))} seeds "
        f"have no run, and the {n} others leave nothing to tell the streams from the rest",
        "Run every seed of one stream with at least two seeds of each other one. " + _crossing(list(varied)),
    )


def _listed(names: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


# ---- how much each causes


def _split(
    y: FloatArray,
    terms: _Terms,
    columns: Mapping[str, IntArray],
    fixed: tuple[str, ...],
    *,
    draws: int,
    rng: np.random.Generator,
) -> Attribution:
    sources = (*terms.streams, *terms.pairs)
    rest = terms.rest_square / terms.rest_df
    estimates = _solved(terms, np.full(1, rest), lambda term, noise: _by_moments(term, noise))[:, 0]
    drawn = _solved(
        terms,
        terms.rest_square / rng.chisquare(terms.rest_df, draws),
        lambda term, noise: _by_pivot(term, noise, rng.chisquare(term.df, draws)),
    )
    estimates = np.maximum(estimates, 0.0)
    shares, drawn_shares = estimates / estimates.sum(), _shares(drawn)
    ends = np.quantile(drawn_shares, _TAILS, axis=1)
    lows, highs = np.minimum(ends[0], shares), np.maximum(ends[1], shares)
    if not lows[:-1].any():  # as every other share may be 0, the rest may be all
        highs[-1] = 1.0
    names = [_name(term) for term in sources] + [REST if terms.pairs else INTERACTIONS_AND_REST]
    found = {
        name: Source(
            name=name,
            streams=sources[i].streams if i < len(sources) else (),
            levels=_levels(sources[i].labels) if i < len(sources) else 0,
            df=sources[i].df if i < len(sources) else terms.rest_df,
            variance=float(estimates[i]),
            share=float(shares[i]),
            interval=(float(lows[i]), float(highs[i])),
        )
        for i, name in enumerate(names)
    }
    idle = Source("", (), 0, 0, 0.0, 0.0, (0.0, 0.0), used=False)
    streams = [
        found.pop(name, replace(idle, name=name, streams=(name,))) for name in columns if name not in fixed
    ]
    largest = int(shares.argmax())
    wins = np.bincount(drawn_shares.argmax(axis=0), minlength=len(names)) / draws
    rivals = tuple(names[i] for i in np.argsort(-wins) if i != largest and wins[i] > 1 - _SURE)
    every = (*streams, *found.values())
    first = next(source for source in every if source.name == names[largest])
    return Attribution(
        n=y.size,
        sources=every,
        fixed=fixed,
        largest=first.name,
        sure=bool(wins[largest] >= _SURE),
        rivals=rivals,
        interval=_mean_interval(y, sources, drawn, rng),
        summary=_summary(first, rivals),
        advice=_advice(first),
    )


def _solved(terms: _Terms, rest: FloatArray, solve: Callable[[_Term, FloatArray], FloatArray]) -> FloatArray:
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


def _by_moments(term: _Term, noise: FloatArray) -> FloatArray:
    """The variance at which the sum of squares is what one expects, below 0 where noise (c of attribute, shape
    (m,)) alone would give more."""
    return np.asarray((term.squares.sum() - term.df * noise) / term.gains.sum())


def _by_pivot(term: _Term, noise: FloatArray, chi_squared: FloatArray) -> FloatArray:
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


def _shares(variances: FloatArray) -> FloatArray:
    """Each variance over their sum, columns each on its own, in [0, 1]; shape (sources, m)."""
    above, total = np.maximum(variances, 0.0), variances.sum(axis=0)
    return np.asarray(above / np.maximum(total, above.max(axis=0)))


def _mean_interval(
    y: FloatArray, sources: Sequence[_Term], drawn: FloatArray, rng: np.random.Generator
) -> tuple[float, float]:
    """95% interval of 10^mean: the mean of the runs is off by each effect, as often as its seed occurs."""
    repeats = [float(np.sum((np.bincount(term.labels) / y.size) ** 2)) for term in sources] + [1 / y.size]
    off = rng.standard_normal(drawn.shape[1]) * np.sqrt(
        np.maximum(np.array(repeats) @ drawn, drawn[-1] / y.size)
    )
    low, high = np.quantile(off, _TAILS)
    return float(10.0 ** (y.mean() + low)), float(10.0 ** (y.mean() + high))


def _name(term: _Term) -> str:
    return " x ".join(term.streams)


# ---- in words


_WORDS: Mapping[str, str] = {
    "init": "the starting weights",
    "order": "the order of the samples",
    "augment": "the augmentation draws",
    "noise": "dropout and other noise in training",
}
_REDUCED_BY: Mapping[str, str] = {
    "init": "start from pretrained weights (model.weights) where there are any",
    "order": "use larger batches (data.batch_size) or more steps (finder.num_iter)",
    "augment": "use larger batches (data.batch_size), more steps (finder.num_iter) or a weaker augmentation",
    "noise": "use less dropout, larger batches (data.batch_size) or more steps (finder.num_iter)",
}


def _summary(first: Source, rivals: Sequence[str]) -> str:
    low, high = first.interval
    size = f"{first.share:.0%} of the variance of log10 LR (95% interval {low:.0%} to {high:.0%})"
    doubt = f", but {_listed(rivals)} may be larger" if rivals else ""
    return f"The largest source is {_words(first)}: {size}{doubt}."


def _words(source: Source) -> str:
    if len(source.streams) == 1:
        return f"{_WORDS.get(source.name, 'the stream')} ({source.name})"
    if source.streams:
        return f"how {source.streams[0]} and {source.streams[1]} go together ({source.name})"
    return source.name


def _advice(first: Source) -> str:
    if len(first.streams) == 1:
        how = _REDUCED_BY.get(first.name, f"look at what draws from {first.name}")
        return f"To reduce it {how}; the mean of more runs, each with seeds of its own, reduces every source."
    return (
        "No single stream is to blame, so fixing one of the seeds changes little: only the mean of more runs, "
        "each with seeds of its own, reduces it."
    )
