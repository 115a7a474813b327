"""Attribution: known components are found, with intervals that cover, and what can't be split is refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steadylr.core.attribution import Attribution, attribute
from steadylr.core.latin_square import latin_seed
from steadylr.core.not_split import NotSplit
from steadylr.words.attribution import attribution_summary, not_split_words
from steadylr.words.names import COMMAND_LINE

Ints = npt.NDArray[np.int64]
Design = dict[str, Ints]


def crossing(*sizes: int) -> Design:
    """Every combination of so many seeds of init, order and so on."""
    columns = np.meshgrid(*(np.arange(size) for size in sizes), indexing="ij")
    return {
        name: column.ravel()
        for name, column in zip(("init", "order", "augment", "noise"), columns, strict=False)
    }


def graeco_latin() -> Design:
    """What +experiment=attribution runs."""
    cells = crossing(8, 8)
    for name, square in (("augment", 1), ("noise", 2)):
        cells[name] = np.array(
            [latin_seed(int(i), int(j), square) for i, j in zip(*_two(cells), strict=True)]
        )
    return cells


def _two(cells: Design) -> tuple[Ints, Ints]:
    return cells["init"], cells["order"]


def drawn(
    design: Mapping[str, Ints], variances: Mapping[str, float], rest: float, rng: np.random.Generator
) -> list[float]:
    """LRs with these variance components of log10 LR; "init x order" names an interaction."""
    n = len(next(iter(design.values())))
    y = -2 + np.sqrt(rest) * rng.normal(size=n)
    for name, variance in variances.items():
        columns = np.stack([design[stream] for stream in name.split(" x ")])
        levels = np.unique(columns, axis=1, return_inverse=True)[1].reshape(-1)
        y += np.sqrt(variance) * rng.normal(size=levels.max() + 1)[levels]
    return [float(lr) for lr in 10**y]


def split(
    lrs: Sequence[float | None], design: Mapping[str, Sequence[int] | Ints], **options: object
) -> Attribution:
    found = attribute(lrs, design, **options)  # type: ignore[arg-type]
    assert isinstance(found, Attribution), found
    return found


def refused(
    lrs: Sequence[float | None], design: Mapping[str, Sequence[int] | Ints], **options: object
) -> NotSplit:
    found = attribute(lrs, design, **options)  # type: ignore[arg-type]
    assert isinstance(found, NotSplit), found
    return found


def numbers(found: Attribution) -> npt.NDArray[np.float64]:
    return np.array([[source.share, *source.interval] for source in found.sources])


# ---- what is known


def test_balanced_estimates_are_those_of_the_analysis_of_variance() -> None:
    """Two streams, one run a cell: mean squares by hand."""
    design = crossing(5, 4)
    lrs = drawn(design, {"init": 0.02, "order": 0.01}, 0.005, np.random.default_rng(3))
    table = np.log10(lrs).reshape(5, 4)
    rows, columns, mean = table.mean(axis=1), table.mean(axis=0), table.mean()
    left = table - rows[:, None] - columns + mean
    rest = (left**2).sum() / (4 * 3)
    init = (4 * ((rows - mean) ** 2).sum() / 4 - rest) / 4
    order = (5 * ((columns - mean) ** 2).sum() / 3 - rest) / 5
    found = split(lrs, design)
    assert [source.name for source in found.sources] == ["init", "order", "interactions and rest"]
    assert [source.df for source in found.sources] == [4, 3, 12]
    assert [source.variance for source in found.sources] == pytest.approx([init, order, rest])


@pytest.mark.parametrize("missing", [0.0, 0.25])
def test_many_seeds_recover_the_components(missing: float) -> None:
    """With 40 seeds a stream, and with a quarter of the runs missing, estimates are near the truth."""
    rng = np.random.default_rng(0)
    design = crossing(40, 40)
    lrs: list[float | None] = [*drawn(design, {"init": 0.06, "order": 0.02}, 0.02, rng)]
    lrs = [None if rng.random() < missing else lr for lr in lrs]
    found = split(lrs, design)
    assert found.n == sum(lr is not None for lr in lrs)
    assert [s.share for s in found.sources] == pytest.approx([0.6, 0.2, 0.2], abs=0.12)
    assert (found.largest, found.sure, found.rivals) == ("init", True, ())
    assert attribution_summary(found).startswith("The largest source is the starting weights (init): ")


def test_interactions_are_told_where_the_runs_can() -> None:
    """Three streams fully crossed: each pair has its share, and the planted one is the largest."""
    design = crossing(7, 7, 7)
    lrs = drawn(design, {"init": 0.005, "init x order": 0.03}, 0.01, np.random.default_rng(5))
    found = split(lrs, design)
    pairs = [f"{one} x {other}" for one, other in combinations(("init", "order", "augment"), 2)]
    assert [source.name for source in found.sources] == ["init", "order", "augment", *pairs, "rest"]
    assert found.largest == "init x order"
    assert found.source("init x order").share == pytest.approx(0.03 / 0.045, abs=0.12)
    assert "how init and order go together" in attribution_summary(found)


def test_interactions_add_to_the_rest_of_a_latin_square_and_to_no_stream() -> None:
    """Every pair of seeds occurs once, so the streams of 400 such designs keep a mean variance of 0."""
    rng, design = np.random.default_rng(1), graeco_latin()
    pairs = {f"{one} x {other}": 0.01 for one, other in combinations(design, 2)}
    centred = []
    for _ in range(400):
        y = np.log10(drawn(design, pairs, 0.0, rng))
        means = np.array([y[design["augment"] == k].mean() for k in range(8)])
        centred.append(means.var(ddof=1) - 0.06 / 8)
    assert abs(np.mean(centred)) < 3 * np.std(centred) / np.sqrt(400)


def test_an_unused_stream_has_a_share_of_exactly_0() -> None:
    """Whatever its seeds: nothing draws from it."""
    design = graeco_latin()
    lrs = drawn(design, {"init": 0.02}, 0.02, np.random.default_rng(2))
    found = split(lrs, design, unused=("augment", "noise"))
    for name in ("augment", "noise"):
        source = found.source(name)
        assert (source.share, source.interval, source.variance, source.used) == (0.0, (0.0, 0.0), 0.0, False)
    alone = split(lrs, {name: design[name] for name in ("init", "order")})
    assert found.source("init") == alone.source("init")


def test_a_stream_with_one_seed_is_in_no_share() -> None:
    """And it is named."""
    design = crossing(4, 4)
    lrs = drawn(design, {"init": 0.02}, 0.02, np.random.default_rng(2))
    found = split(lrs, {**design, "noise": [7] * 16})
    assert found.fixed == ("noise",)
    assert [source.name for source in found.sources] == ["init", "order", "interactions and rest"]


def test_effects_that_add_up_exactly_leave_nothing_to_the_rest() -> None:
    """No noise at all: the rest's share is 0, and no number is NaN."""
    design = crossing(4, 4)
    lrs = [float(10 ** (-2 + 0.1 * i + 0.05 * j)) for i, j in zip(*_two(design), strict=True)]
    found = split(lrs, design)
    assert found.sources[-1].share == pytest.approx(0, abs=1e-12)
    assert np.isfinite(numbers(found)).all()


def test_the_interval_of_the_mean_is_wider_than_that_of_independent_runs() -> None:
    """64 runs that share 8 seeds of the only source know the mean as 8 runs do."""
    design = crossing(8, 8)
    effects = np.random.default_rng(4).normal(size=8)
    lrs = [float(10 ** (0.1 * effects[i])) for i in design["init"]]
    low, high = np.log10(split(lrs, design).interval)
    half_width = 2.3646 * 0.1 * effects.std(ddof=1) / np.sqrt(8)  # t(0.975, 7)
    assert (high - low) / 2 == pytest.approx(half_width, rel=0.05)


# ---- laws


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    factor=st.floats(1e-3, 1e3),
    sizes=st.tuples(st.integers(3, 6), st.integers(3, 6)),
    missing=st.sampled_from([0.0, 0.2]),
)
def test_scaling_permuting_and_renaming_change_nothing(
    seed: int, factor: float, sizes: tuple[int, int], missing: float
) -> None:
    """All LRs times a factor, runs in another order, seeds with other names: the same split."""
    rng = np.random.default_rng(seed)
    design = crossing(*sizes)
    lrs = [
        None if rng.random() < missing else lr
        for lr in drawn(design, {"init": 0.02, "order": 0.01}, 0.01, rng)
    ]
    first = attribute(lrs, design, draws=200)
    order = rng.permutation(len(lrs))
    names = {name: rng.permutation(100) for name in design}
    other = attribute(
        [None if (lr := lrs[i]) is None else lr * factor for i in order],
        {name: names[name][column[order]] for name, column in design.items()},
        draws=200,
    )
    if isinstance(first, NotSplit):
        assert isinstance(other, NotSplit)
        return
    assert isinstance(other, Attribution)
    assert numbers(other) == pytest.approx(numbers(first), abs=1e-6)
    assert np.array(other.interval) / factor == pytest.approx(np.array(first.interval), rel=1e-6)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), missing=st.floats(0, 0.5))
def test_shares_are_shares(seed: int, missing: float) -> None:
    """They add up to 1, and each lies in its interval, which lies in [0, 1]."""
    rng, design = np.random.default_rng(seed), graeco_latin()
    variances = {name: float(10 ** rng.uniform(-4, -1)) for name in design}
    lrs = [None if rng.random() < missing else lr for lr in drawn(design, variances, 0.01, rng)]
    found = attribute(lrs, design, draws=200)
    if isinstance(found, Attribution):
        shares, lows, highs = numbers(found).T
        assert shares.sum() == pytest.approx(1)
        assert ((lows >= 0) & (lows <= shares) & (shares <= highs) & (highs <= 1)).all()


def test_equal_runs_give_equal_numbers() -> None:
    """What is drawn is drawn from a fixed seed, unless another generator is given."""
    design = crossing(4, 4)
    lrs = drawn(design, {"init": 0.02}, 0.02, np.random.default_rng(2))
    assert attribute(lrs, design) == attribute(lrs, design)
    assert attribute(lrs, design) != attribute(lrs, design, rng=np.random.default_rng(9))


# ---- intervals


@pytest.mark.parametrize(
    ("design", "variances", "rest", "missing"),
    [
        (crossing(8, 8), {"init": 0.3, "order": 0.3}, 0.4, 0.0),
        (crossing(8, 8), {"init": 0.0, "order": 0.5}, 0.5, 0.15),
        (graeco_latin(), {"init": 0.1, "order": 0.4, "augment": 0.2, "noise": 0.0}, 0.3, 0.0),
    ],
    ids=["two streams", "two streams, runs missing", "four streams"],
)
def test_intervals_cover(design: Design, variances: dict[str, float], rest: float, missing: float) -> None:
    """95% intervals hold the true share in 93% to 97% of 300 made sweeps, give or take what 300 can show."""
    rng, sweeps, covered = np.random.default_rng(7), 300, dict.fromkeys([*variances, "rest"], 0)
    for _ in range(sweeps):
        made = drawn(design, variances, rest, rng)
        lrs = [None if rng.random() < missing else lr for lr in made]
        found = split(lrs, design, draws=1000, rng=rng)
        for source in found.sources:
            truth = variances.get(source.name, rest)
            covered[source.name if source.streams else "rest"] += (
                source.interval[0] <= truth <= source.interval[1]
            )
    slack = 2.5 * np.sqrt(0.95 * 0.05 / sweeps)
    for name, times in covered.items():
        assert times / sweeps >= (0.93 if variances.get(name, rest) else 0.95) - slack, name
        assert times / sweeps <= (0.97 if variances.get(name, rest) else 1.0) + slack, name


# ---- what can't be split


def reason_of(refusal: NotSplit) -> str:
    return not_split_words(refusal, COMMAND_LINE)[0]


def remedy_of(refusal: NotSplit) -> str:
    return not_split_words(refusal, COMMAND_LINE)[1]


def made(n: int) -> list[float]:
    return [float(lr) for lr in 10 ** (0.1 * np.random.default_rng(0).normal(size=n))]


def test_streams_that_change_together_are_refused() -> None:
    """As with seed=1,2,3: nothing tells one from the other."""
    found = refused(made(3), {"init": [1, 2, 3], "order": [1, 2, 3]})
    assert reason_of(found) == "init and order change together, so nothing tells one from the other"
    assert "-m seeds.init='range(0,8)' seeds.order='range(0,8)'" in remedy_of(found)


def test_a_stream_inside_another_is_refused() -> None:
    """Each order seed comes with one init seed only."""
    found = refused(made(6), {"init": [0, 0, 0, 1, 1, 1], "order": [0, 1, 2, 3, 4, 5]})
    assert "init and order change together" in reason_of(found)


def test_a_stream_that_two_others_give_away_is_refused() -> None:
    """The sum of the other two, in a design too small for a Latin square."""
    design = {"init": [0, 0, 1, 1] * 2, "order": [0, 1, 0, 1] * 2, "augment": [0, 1, 2, 3] * 2}
    assert "change together" in reason_of(refused(made(8), design))


def test_one_seed_or_one_stream_is_refused() -> None:
    """There is nothing to tell it from; what to vary is said."""
    one = refused(made(4), {"init": [1, 2, 3, 4], "order": [0] * 4})
    assert reason_of(one) == "only init varies, so there is nothing to tell it from"
    assert "seeds.order" in remedy_of(one)
    assert reason_of(refused(made(2), {"init": [1, 1], "order": [0, 0]})).startswith("no stream varies")
    alone = refused(made(4), {"init": [1, 2, 3, 4], "order": [0] * 4}, unused=("order",))
    assert "all of the spread is its own" in reason_of(alone)


def test_one_stream_at_a_time_is_refused_for_its_empty_cells() -> None:
    """A star: no effect occurs twice, so there is no rest."""
    found = refused(made(5), {"init": [0, 1, 2, 0, 0], "order": [0, 0, 0, 1, 2]})
    assert reason_of(found).startswith("4 of the 9 combinations of init and order seeds have no run")
    assert "at least two seeds of each other one" in remedy_of(found)


def test_equal_lrs_are_refused() -> None:
    """Nothing spreads."""
    assert reason_of(refused([0.1] * 9, crossing(3, 3))) == "all runs have the same LR"


def test_no_answers_are_refused() -> None:
    """Every run flat."""
    assert "0 runs with an LR" in reason_of(refused([None] * 9, crossing(3, 3)))


@pytest.mark.parametrize("lr", [0.0, -1.0, float("nan"), float("inf")])
def test_an_lr_that_is_none_raises(lr: float) -> None:
    """A wrong argument."""
    with pytest.raises(ValueError, match="an LR must be a finite number above 0"):
        attribute([lr, 0.1], {"init": [0, 1]})


def test_seeds_must_be_as_many_as_runs() -> None:
    """A wrong argument."""
    with pytest.raises(ValueError, match="order: one seed for each of the 2 runs is needed; got 1"):
        attribute([0.1, 0.2], {"init": [0, 1], "order": [0]})
