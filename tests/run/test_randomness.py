from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
import torch

from steadylr.run.names import STREAMS
from steadylr.run.randomness import (
    DrawSampler,
    GeneratorStates,
    SampleDraws,
    Streams,
    drawing_init,
    kept_generators,
    seed_noise,
)


def sampler(
    size: int = 10, batch_size: int = 4, *, drop_last: bool = False, streams: Streams | None = None
) -> DrawSampler:
    chosen = Streams.same(0) if streams is None else streams
    return DrawSampler(size, batch_size=batch_size, drop_last=drop_last, streams=chosen)


def take(batches: DrawSampler, count: int) -> list[list[tuple[int, int]]]:
    return list(itertools.islice(batches, count))


@pytest.mark.parametrize("seed", [-1, 2**63, 1.0, "1", True, None])
def test_a_seed_that_is_no_seed_is_refused_by_its_key(seed: object) -> None:
    """Negative, huge and non-integer seeds are refused, with the key and the allowed range."""
    with pytest.raises(
        ValueError, match=r"seeds\.order must be a whole number from 0 to 9223372036854775807"
    ):
        Streams(init=0, order=seed, augment=0, noise=0)  # type: ignore[arg-type]


def test_zero_and_the_largest_seed_are_seeds_of_their_own() -> None:
    """Seeds that agree in their lower 32 bits, all that torch's CPU generator takes, still differ."""
    derived = [Streams.same(seed).derive("noise") for seed in (0, 1, 2**32, 2**63 - 1)]
    assert len({number & 0xFFFFFFFF for number in derived}) == 4


def test_equal_seeds_in_two_streams_do_not_give_equal_draws() -> None:
    """The streams are kept apart by their names."""
    streams = Streams.same(7)
    assert len({streams.derive(name) for name in STREAMS}) == 4


def test_a_stream_depends_on_its_own_seed_only() -> None:
    """Changing the other seeds does not move what a stream derives."""
    assert Streams(1, 5, 1, 1).derive("order", 3) == Streams(2, 5, 3, 4).derive("order", 3)


def test_an_unknown_stream_is_refused() -> None:
    """derive takes the four streams only."""
    with pytest.raises(ValueError, match="stream must be one of"):
        Streams.same(0).derive("data")


def test_each_epoch_draws_every_sample_once_in_an_order_of_its_own() -> None:
    """Without drop_last an epoch is a permutation, its last batch is smaller, and epochs go on."""
    batches = take(sampler(), 9)
    assert [len(batch) for batch in batches] == [4, 4, 2] * 3
    epochs = [[i for b in batches[k : k + 3] for i, _ in b] for k in (0, 3, 6)]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]


def test_drop_last_leaves_out_the_smaller_batch_of_each_epoch() -> None:
    """With drop_last all batches have the same size, and epochs go on."""
    assert [len(batch) for batch in take(sampler(drop_last=True), 7)] == [4] * 7


@pytest.mark.parametrize("drop_last", [False, True])
def test_the_draw_number_counts_how_often_a_sample_came_before(drop_last: bool) -> None:
    """The k-th time that a sample comes its draw number is k, from 0, dropped ones not counted."""
    seen: Counter[int] = Counter()
    for batch in take(sampler(drop_last=drop_last), 20):
        for index, draw_number in batch:
            assert draw_number == seen[index]
            seen[index] += 1


def test_a_second_pass_over_the_sampler_starts_again() -> None:
    """Two iterations give the same batches."""
    batches = sampler()
    assert take(batches, 7) == take(batches, 7)


def test_the_order_depends_on_its_seed_and_the_epoch_only() -> None:
    """Other seeds leave it, its own seed changes it, batch size and drop_last leave it."""
    base = sampler(streams=Streams(1, 2, 3, 4)).order(1)
    assert sampler(streams=Streams(9, 2, 9, 9), batch_size=3, drop_last=True).order(1) == base
    assert sampler(streams=Streams(1, 3, 3, 4)).order(1) != base


@pytest.mark.parametrize(("batch_size", "used"), [(9, True), (10, False), (11, False)])
def test_a_batch_that_holds_all_samples_draws_no_order(batch_size: int, used: bool) -> None:
    """When there is one batch an epoch, without drops, samples come as they are stored: nothing is drawn."""
    batches = sampler(batch_size=batch_size)
    assert batches.order_used is used
    assert (batches.order(0) == list(range(10))) is not used


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda: sampler(batch_size=11, drop_last=True),
            "batch_size=11 is above the 10 training samples",
        ),
        (lambda: sampler(batch_size=0), r"data\.batch_size must be at least 1; got 0"),
        (lambda: sampler(size=0), "at least 1 sample"),
    ],
)
def test_impossible_batches_are_refused(change: Callable[[], object], message: str) -> None:
    """A batch above the data with drop_last would leave nothing to train on: said before training."""
    with pytest.raises(ValueError, match=message):
        change()


def drawn(draws: SampleDraws, *items: tuple[int, int]) -> list[float]:
    """What samples draw that draw one number each."""

    def one(index: int) -> float:
        return torch.rand(()).item()

    made: list[float] = draws.samples(items, one, lambda indices: [one(index) for index in indices])
    return made


def test_an_augmentation_draw_depends_on_seed_draw_number_and_index_only() -> None:
    """What was drawn before, and in which order samples come, changes nothing."""
    draws = SampleDraws(Streams(1, 2, 3, 4))
    torch.manual_seed(5)
    items = [(index, number) for index in range(5) for number in range(5)]
    forwards = drawn(draws, *items)
    assert forwards == drawn(draws, *reversed(items))[::-1]
    assert len(set(forwards)) == 25
    assert drawn(SampleDraws(Streams(8, 8, 3, 8)), (2, 3)) == drawn(draws, (2, 3))
    assert drawn(SampleDraws(Streams(1, 2, 4, 4)), (2, 3)) != drawn(draws, (2, 3))


def test_augmentation_that_draws_nothing_is_noticed() -> None:
    """`used` is False until a sample really drew a number."""
    draws = SampleDraws(Streams.same(0))
    draws.samples([(0, 0)], lambda index: index, lambda indices: indices)
    assert not draws.used
    drawn(draws, (1, 0))
    assert draws.used


def test_initial_weights_depend_on_the_init_seed_only() -> None:
    """Within drawing_init the same seed gives the same weights, another gives others."""

    def weights(streams: Streams) -> torch.Tensor:
        with drawing_init(streams) as draws:
            weight = torch.nn.Linear(3, 2).weight.detach().clone()
        assert draws.used
        return weight

    base = weights(Streams(1, 2, 3, 4))
    assert torch.equal(base, weights(Streams(1, 9, 9, 9)))
    assert not torch.equal(base, weights(Streams(2, 2, 3, 4)))


def test_an_init_stream_that_nothing_draws_from_is_reported_as_unused() -> None:
    """A model whose weights are constants does not use the init stream."""
    with drawing_init(Streams.same(0)) as draws:
        torch.nn.BatchNorm2d(3)
    assert not draws.used


def test_building_a_model_leaves_the_callers_generators_alone() -> None:
    """drawing_init puts torch's, Python's and NumPy's generators back."""
    before = GeneratorStates.now()
    with drawing_init(Streams.same(0)):
        torch.rand(1)
    assert before.same_as(GeneratorStates.now())


@pytest.mark.parametrize(
    "draw",
    [lambda: torch.rand(1), random.random, lambda: np.random.rand()],  # noqa: NPY002
    ids=["torch", "python", "numpy"],
)
def test_every_global_generator_is_watched_and_put_back(draw: Callable[[], object]) -> None:
    """A draw from any of them shows as a changed state, and kept_generators undoes it."""
    before = GeneratorStates.now()
    with kept_generators():
        draw()
        assert not before.same_as(GeneratorStates.now())
    assert before.same_as(GeneratorStates.now())


def test_the_noise_stream_seeds_every_global_generator() -> None:
    """After seed_noise the same seed gives the same numbers from torch, Python and NumPy."""

    def numbers(streams: Streams) -> tuple[float, float, float]:
        with kept_generators():
            seed_noise(streams)
            return torch.rand(()).item(), random.random(), float(np.random.rand())  # noqa: NPY002

    base = numbers(Streams(1, 2, 3, 4))
    assert numbers(Streams(7, 7, 7, 4)) == base
    assert all(one != other for one, other in zip(numbers(Streams(1, 2, 3, 5)), base, strict=True))
