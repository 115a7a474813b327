"""How often attribution's 95% intervals cover the true share, and how long it takes.

    python benchmarks/attribution.py                 both (a few minutes on one core)
    python benchmarks/attribution.py coverage --sweeps 500
    python benchmarks/attribution.py time

Each row of the table is one design with known variance components: so many sweeps are made, each is split, and it is
counted how often the interval of each share holds the true one. "mean" is the interval of the geometric mean.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
import numpy.typing as npt

from steadylr.core.attribution import Attribution, attribute
from steadylr.core.latin_square import latin_seed
from steadylr.core.not_split import NotSplit

STREAMS = ("init", "order", "augment", "noise")
SWEEPS, DRAWS = 2000, 2000

Design = Mapping[str, npt.NDArray[np.int64]]


@dataclass(frozen=True, slots=True)
class Truth:
    """One row of the table.

    Args:
        title: the design.
        design: seeds by stream.
        variances: by source; "init x order" names an interaction.
        rest: the variance of the rest.
        missing: share of runs without an LR.
    """

    title: str
    design: Design
    variances: Mapping[str, float]
    rest: float
    missing: float = 0.0

    def share(self, source: str) -> float:
        """The true share of a source; the rest's includes what the design can't tell from it."""
        known = self.variances.get(source)
        total = sum(self.variances.values()) + self.rest
        if known is not None:
            return known / total
        pairs = sum(v for name, v in self.variances.items() if " x " in name)
        return (self.rest + (pairs if source == "interactions and rest" else 0.0)) / total


@dataclass(slots=True)
class Tally:
    """What came of the sweeps of one truth."""

    split: int = 0
    mean: int = 0
    covered: Counter[str] = field(default_factory=Counter)
    widths: Counter[str] = field(default_factory=Counter)


def crossing(*sizes: int) -> Design:
    """Every combination of so many seeds of each stream."""
    columns = np.meshgrid(*(np.arange(size) for size in sizes), indexing="ij")
    return {name: column.ravel() for name, column in zip(STREAMS, columns, strict=False)}


def latin(streams: int) -> Design:
    """The 64 runs of +experiment=attribution, of three or four used streams."""
    cells = crossing(8, 8)
    pairs = list(zip(cells["init"].tolist(), cells["order"].tolist(), strict=True))
    squares = {STREAMS[1 + square]: square for square in range(1, streams - 1)}
    return {
        **cells,
        **{name: np.array([latin_seed(*pair, square) for pair in pairs]) for name, square in squares.items()},
    }


def shares(*values: float) -> dict[str, float]:
    """Variances of the streams, in their order."""
    return dict(zip(STREAMS, values, strict=False))


def truths() -> list[Truth]:
    """All rows."""
    pairs = {f"{one} x {other}": 0.1 for one, other in combinations(STREAMS[:3], 2)}
    two, square, four = crossing(8, 8), latin(3), latin(4)
    return [
        *(
            Truth("2 streams, 8 x 8", two, shares(*own), rest)
            for own, rest in (
                ((0.3, 0.3), 0.4),
                ((0.6, 0.2), 0.2),
                ((0.1, 0.8), 0.1),
                ((0.1, 0.1), 0.8),
                ((0.0, 0.5), 0.5),
                ((0.0, 0.0), 1.0),
            )
        ),
        Truth("the same, 15% missing", two, shares(0.3, 0.3), 0.4, 0.15),
        Truth("the same, 40% missing", two, shares(0.6, 0.0), 0.4, 0.4),
        Truth("3 streams, Latin square", square, shares(0.2, 0.4, 0.1), 0.3),
        Truth("the same, 15% missing", square, shares(0.2, 0.4, 0.0), 0.4, 0.15),
        Truth("4 streams, Graeco-Latin", four, shares(0.25, 0.25, 0.25, 0.1), 0.15),
        Truth("the same, interactions", four, {**shares(0.2, 0.3, 0.1, 0.0), **pairs}, 0.1),
        Truth("the same, 15% missing", four, shares(0.0, 0.5, 0.1, 0.0), 0.4, 0.15),
        Truth("the same, nothing", four, shares(0.0, 0.0, 0.0, 0.0), 1.0),
        Truth("3 streams, 8 x 8 x 8", crossing(8, 8, 8), {**shares(0.2, 0.2, 0.1), **pairs}, 0.2),
        Truth("2 streams, 3 x 3", crossing(3, 3), shares(0.3, 0.3), 0.4),
    ]


def made(truth: Truth, rng: np.random.Generator) -> list[float | None]:
    """The LRs of one sweep."""
    n = len(truth.design["init"])
    y = np.sqrt(truth.rest) * rng.normal(size=n)
    for name, variance in truth.variances.items():
        columns = np.stack([truth.design[stream] for stream in name.split(" x ")])
        levels = np.unique(columns, axis=1, return_inverse=True)[1].reshape(-1)
        y += np.sqrt(variance) * rng.normal(size=levels.max() + 1)[levels]
    return [None if rng.random() < truth.missing else float(lr) for lr in 10 ** (0.1 * y)]


def tally(truth: Truth, *, sweeps: int, seed: int) -> Tally:
    """Make so many sweeps, split each, and count what its intervals cover."""
    rng, found = np.random.default_rng(seed), Tally()
    for _ in range(sweeps):
        answer = attribute(made(truth, rng), truth.design, draws=DRAWS, rng=rng)
        if isinstance(answer, NotSplit):
            continue
        found.split += 1
        found.mean += answer.interval[0] <= 1.0 <= answer.interval[1]
        for source in answer.sources:
            low, high = source.interval
            found.covered[source.name] += low <= truth.share(source.name) <= high
            found.widths[source.name] += high - low
    return found


def print_coverage(sweeps: int) -> None:
    """The table: true share, how often it is covered, mean width of the interval."""
    error = 100 * np.sqrt(0.95 * 0.05 / sweeps)
    print(f"Coverage of 95% intervals, {sweeps} sweeps a row: percent covered (true share, mean width)")
    print(f"standard error of 95%: {error:.1f}%\n")
    for number, truth in enumerate(truths()):
        found = tally(truth, sweeps=sweeps, seed=number)
        cells = [
            f"{name} {100 * times / found.split:.1f}% ({truth.share(name):.2f}, {found.widths[name] / found.split:.2f})"
            for name, times in found.covered.items()
        ]
        unsplit = f"  [{sweeps - found.split} not split]" if found.split < sweeps else ""
        print(
            f"{truth.title:26} {'; '.join(cells)}; mean {100 * found.mean / found.split:.1f}%{unsplit}",
            flush=True,
        )


def print_times() -> None:
    """CPU seconds for 1,000 records of several designs, 10% of the runs without an LR."""
    rng = np.random.default_rng(0)
    sparse = {name: rng.integers(0, 40, 1000) for name in STREAMS}
    for title, design in (
        ("2 streams, 32 x 32", crossing(32, 32)),
        ("3 streams, 10 x 10 x 10", crossing(10, 10, 10)),
        ("4 streams, 5 x 5 x 5 x 8", crossing(5, 5, 5, 8)),
        ("4 streams, 40 seeds each, drawn at random", sparse),
    ):
        lrs = made(Truth(title, design, shares(*[0.1] * len(design)), 0.5, 0.1), rng)
        start = time.process_time()
        found = attribute(lrs, design)
        seconds = time.process_time() - start
        assert isinstance(found, Attribution), found
        print(f"{title:42} {len(lrs):5} records, {len(found.sources)} sources: {seconds:.2f} CPU s")


def main(argv: Sequence[str] | None = None) -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", choices=["coverage", "time", []], help="what to measure; all")
    parser.add_argument("--sweeps", type=int, default=SWEEPS, help=f"sweeps a row ({SWEEPS})")
    args = parser.parse_args(argv)
    if not args.parts or "time" in args.parts:
        print_times()
        print()
    if not args.parts or "coverage" in args.parts:
        print_coverage(args.sweeps)


if __name__ == "__main__":
    main()
