"""Attribution: how much of the spread of log10 LR each random stream causes."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from steadylr.core.components import (
    TAILS,
    IntArray,
    Terms,
    by_moments,
    by_pivot,
    mean_interval,
    num_levels,
    shares_of,
    solved,
    terms_of,
)
from steadylr.core.curve import FloatArray
from steadylr.core.not_split import NotSplit, Unsplit

DRAWS = 10_000
ENOUGH_LEVELS = 8
"""Seeds of one stream from which on its share is worth a number: 7 degrees of freedom."""

_SURE = 0.95
_LEAST_SPREAD = 1e-9  # of log10 LR: below it the LRs differ by rounding

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
    """

    n: int
    sources: tuple[Source, ...]
    fixed: tuple[str, ...]
    largest: str
    sure: bool
    rivals: tuple[str, ...]
    interval: tuple[float, float]

    def source(self, name: str) -> Source:
        """The source of that name.

        Raises:
            KeyError: there is none.
        """
        return {source.name: source for source in self.sources}[name]


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
    terms = terms_of(y, varied)
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


def _few_streams(varied: Mapping[str, IntArray], fixed: tuple[str, ...], n: int) -> NotSplit | None:
    if len(varied) >= 2:
        return None
    if not varied:
        return NotSplit(Unsplit.NO_STREAM_VARIES, n=n, to_cross=fixed[:2])
    (name,) = varied
    if not fixed:
        return NotSplit(Unsplit.ONE_STREAM_DRAWN, (name,))
    return NotSplit(Unsplit.ONE_STREAM_VARIES, (name,), to_cross=(name, fixed[0]))


def _no_spread(y: FloatArray) -> NotSplit | None:
    return None if y.size and float(np.ptp(y)) > _LEAST_SPREAD else NotSplit(Unsplit.NO_SPREAD)


def _changing_together(varied: Mapping[str, IntArray]) -> NotSplit | None:
    """Streams of which one's seed is known once the other's is."""
    for one, other in combinations(varied, 2):
        pairs = len(set(zip(varied[one].tolist(), varied[other].tolist(), strict=True)))
        if pairs in (num_levels(varied[one]), num_levels(varied[other])):
            return NotSplit(Unsplit.CHANGE_TOGETHER, (one, other), to_cross=(one, other))
    return None


# ---- how much each causes


def _split(
    y: FloatArray,
    terms: Terms,
    columns: Mapping[str, IntArray],
    fixed: tuple[str, ...],
    *,
    draws: int,
    rng: np.random.Generator,
) -> Attribution:
    rest = terms.rest_square / terms.rest_df
    estimates = solved(terms, np.full(1, rest), lambda term, noise: by_moments(term, noise))[:, 0]
    drawn = solved(
        terms,
        terms.rest_square / rng.chisquare(terms.rest_df, draws),
        lambda term, noise: by_pivot(term, noise, rng.chisquare(term.df, draws)),
    )
    estimates = np.maximum(estimates, 0.0)
    shares, drawn_shares = estimates / estimates.sum(), shares_of(drawn)
    found = _sources(terms, estimates, shares, _intervals(shares, drawn_shares))
    names = list(found)
    largest = int(shares.argmax())
    wins = np.bincount(drawn_shares.argmax(axis=0), minlength=len(names)) / draws
    idle = Source("", (), 0, 0, 0.0, 0.0, (0.0, 0.0), used=False)
    streams = [
        found.pop(name, replace(idle, name=name, streams=(name,))) for name in columns if name not in fixed
    ]
    return Attribution(
        n=y.size,
        sources=(*streams, *found.values()),
        fixed=fixed,
        largest=names[largest],
        sure=bool(wins[largest] >= _SURE),
        rivals=tuple(names[i] for i in np.argsort(-wins) if i != largest and wins[i] > 1 - _SURE),
        interval=mean_interval(y, (*terms.streams, *terms.pairs), drawn, rng),
    )


def _intervals(shares: FloatArray, drawn: FloatArray) -> list[tuple[float, float]]:
    """The 95% interval of each share, which holds its estimate; the rest comes last."""
    ends = np.quantile(drawn, TAILS, axis=1)
    lows, highs = np.minimum(ends[0], shares), np.maximum(ends[1], shares)
    if not lows[:-1].any():  # as every other share may be 0, the rest may be all
        highs[-1] = 1.0
    return list(zip(lows.tolist(), highs.tolist(), strict=True))


def _sources(
    terms: Terms, variances: FloatArray, shares: FloatArray, intervals: Sequence[tuple[float, float]]
) -> dict[str, Source]:
    """The sources by name: streams, pairs, the rest."""
    facts = [
        (" x ".join(t.streams), t.streams, num_levels(t.labels), t.df) for t in terms.streams + terms.pairs
    ]
    facts.append((REST if terms.pairs else INTERACTIONS_AND_REST, (), 0, terms.rest_df))
    return {
        fact[0]: Source(*fact, variance, share, interval)
        for fact, variance, share, interval in zip(
            facts, variances.tolist(), shares.tolist(), intervals, strict=True
        )
    }
