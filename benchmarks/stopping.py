"""Does the interval keep its coverage when one adds runs until it is narrow? By simulation.

    python benchmarks/stopping.py                  the tables: half a minute
    python benchmarks/stopping.py --draws 200000   more exactly
    python benchmarks/stopping.py --figure docs/images/stopping.png

log10 LRs are drawn with a standard deviation sigma; runs are added in batches until the upper end of the interval is
within a factor of 1.25 of the geometric mean, or there are max_runs. Only sigma / log10(factor) counts, so other
factors are other rows of the same table.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

from steadylr.core import log10
from steadylr.core.stopping import EACH_LOOK, MIN_RUNS

FloatArray = npt.NDArray[np.float64]

LIMIT = math.log10(1.25)
SIGMAS = (0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5)
TICKS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
FINE_SIGMAS = tuple(np.geomspace(0.02, 0.6, 30))
BATCHES, MOST_RUNS = (1, 2, 4), (10, 20, 50)
NO_END = 200  # runs that a sweep without max_runs is followed for


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--draws", type=int, default=50_000, help="simulated sweeps (50000)")
    parser.add_argument("--figure", type=Path, help="draw coverage and runs over sigma into this file")
    options = parser.parse_args()
    spreads = Spreads.drawn(options.draws, MOST_RUNS[-1], np.random.default_rng(0))
    for line in (*design_lines(spreads), "", *method_lines(spreads), "", *shape_lines(options.draws)):
        print(line)
    if options.figure is not None:
        draw(spreads, options.figure)


# ---- intervals: half widths for a standard deviation of 1, by the number of runs


def corrected(runs: int) -> float:
    """The interval of steadylr: the t interval at the confidence of each look."""
    return log10.half_width(1.0, runs, EACH_LOOK)


def ordinary(runs: int) -> float:
    """The t interval at 95%, which doesn't know that somebody has looked."""
    return log10.half_width(1.0, runs, 0.95)


def sequence(runs: int) -> float:
    """A 95% confidence sequence, valid for every stopping rule: a t test with normal prior N(0, g) on the effect.

    The Bayes factor sqrt(1 / (1 + n g)) ((1 + t^2 / v) / (1 + t^2 / (v (1 + n g))))^(n/2), v = n - 1, is a test
    martingale for scale-invariant data (after Lai 1976 by Wang and Ramdas 2024, arXiv 2310.03722); it is inverted here
    for t.
    """
    g, v = 2.0, runs - 1
    power = (math.sqrt(1 + runs * g) / 0.05) ** (2 / runs)
    if power >= 1 + runs * g:
        return math.inf
    t = math.sqrt(v * (power - 1) / (1 - power / (1 + runs * g)))
    return t / math.sqrt(runs)


METHODS: dict[str, Callable[[int], float]] = {
    "95% t interval at each look": ordinary,
    f"{EACH_LOOK:.0%} t interval at each look (steadylr)": corrected,
    "95% confidence sequence": sequence,
}


# ---- simulation


def looks(batch: int, max_runs: int) -> list[int]:
    """The numbers of runs at which one looks: whole batches, the first look at three runs or the next batch's end."""
    first = -(-MIN_RUNS // batch) * batch
    return [*range(first, max_runs, batch), max_runs]


@dataclass(frozen=True)
class Spreads:
    """Standard deviations of simulated sweeps as runs are added, of normal numbers with sigma 1.

    Args:
        s: shape (sweeps, runs - 1); column k is of k + 2 runs.
    """

    s: FloatArray

    @classmethod
    def drawn(cls, sweeps: int, runs: int, rng: np.random.Generator) -> Spreads:
        """By Helmert's transformation: (n - 1) s^2 gets one chi-square of one degree of freedom more with each run."""
        freedom = np.arange(1, runs)
        return cls(np.sqrt(np.cumsum(rng.standard_normal((sweeps, runs - 1)) ** 2, axis=1) / freedom))

    def outcome(
        self, sigma: float, at: Sequence[int], half_width: Callable[[int], float]
    ) -> tuple[float, float]:
        """Coverage and mean number of runs, when one looks at these numbers of runs.

        The mean of n normals is independent of all s up to n, so given where a sweep ends, the interval covers with
        probability 2 Phi(half width sqrt(n) / sigma) - 1; the mean of that over sweeps is the coverage.
        """
        runs, widths = stopped(self.s, sigma, at, half_width)
        return float((2 * ndtr(widths * np.sqrt(runs) / sigma) - 1).mean()), float(runs.mean())


def stopped(
    s: FloatArray, sigma: float, at: Sequence[int], half_width: Callable[[int], float]
) -> tuple[npt.NDArray[np.int64], FloatArray]:
    """Where each sweep ends, and half its interval there, log10; s as in Spreads, to be multiplied by sigma."""
    number = np.asarray(at)
    widths = s[:, number - 2] * sigma * np.array([half_width(n) for n in at])
    enough = widths <= LIMIT
    enough[:, -1] = True
    look = enough.argmax(axis=1)
    return number[look], widths[np.arange(len(s)), look]


def outcome_of_numbers(
    numbers: FloatArray,
    sigma: float,
    at: Sequence[int],
    half_width: Callable[[int], float],
    *,
    step: float = 0.0,
) -> tuple[float, float]:
    """The same for any numbers with mean 0 and standard deviation 1, shape (sweeps, runs): by counting.

    step is how far apart the numbers lie that there can be, as consensus' log10_step over sigma.
    """
    n = np.arange(1, numbers.shape[1] + 1)
    means = np.cumsum(numbers, axis=1) / n
    squares = np.maximum(np.cumsum(numbers**2, axis=1) - n * means**2, 0.0)
    s = np.maximum(np.sqrt(squares[:, 1:] / (n[1:] - 1)), step / math.sqrt(12))
    runs, widths = stopped(s, sigma, at, half_width)
    ends = means[np.arange(len(numbers)), runs - 1] * sigma
    return float((np.abs(ends) <= widths).mean()), float(runs.mean())


# ---- tables


def design_lines(spreads: Spreads) -> list[str]:
    """Coverage and mean number of runs of steadylr's rule, by sigma, batch and max_runs."""
    designs = [(batch, most) for most in MOST_RUNS for batch in BATCHES]
    lines = [
        "Coverage of the reported 95% interval, and the mean number of runs (factor 1.25, normal log10 LRs)",
        "",
    ]
    names = [f"max {most}, by {batch}" for batch, most in designs]
    lines += _header(["sigma of log10 LR", *names])
    for sigma in SIGMAS:
        found = [spreads.outcome(sigma, looks(batch, most), corrected) for batch, most in designs]
        lines.append(_row([f"{sigma:g}", *(f"{covered:.1%}, {runs:.1f}" for covered, runs in found)]))
    return lines


def method_lines(spreads: Spreads) -> list[str]:
    """What the correction costs, and what others would: worst coverage over all designs, and runs in one of them."""
    endless = Spreads.drawn(len(spreads.s) // 4, NO_END, np.random.default_rng(1))
    lines = [
        "Looking after every 1, 2 or 4 runs: the worst over sigma and max_runs (10, 20, 50, none), and the runs",
        "",
    ]
    shown = (0.05, 0.1, 0.2)
    lines += _header(
        ["interval", "worst coverage", *(f"runs at sigma {sigma:g} (max 50, by 2)" for sigma in shown)]
    )
    for name, half_width in METHODS.items():
        designs = [(spreads, batch, most) for batch in BATCHES for most in MOST_RUNS]
        designs += [(endless, batch, NO_END) for batch in BATCHES]
        worst = min(
            some.outcome(sigma, looks(batch, most), half_width)[0]
            for some, batch, most in designs
            for sigma in FINE_SIGMAS
        )
        runs = [spreads.outcome(sigma, looks(2, 50), half_width)[1] for sigma in shown]
        lines.append(_row([name, f"{worst:.1%}", *(f"{number:.1f}" for number in runs)]))
    return lines


def shapes(sweeps: int, runs: int, rng: np.random.Generator) -> dict[str, FloatArray]:
    """Numbers of mean 0 and standard deviation 1 that are not normal."""
    size = (sweeps, runs)
    return {
        "normal": rng.standard_normal(size),
        "uniform": rng.uniform(-math.sqrt(3), math.sqrt(3), size),
        "heavy tails (t, 5 degrees of freedom)": rng.standard_t(5, size) / math.sqrt(5 / 3),
        "skewed (exponential)": rng.exponential(1.0, size) - 1,
        "one run in ten three times as far off": _mixture(size, rng),
        "normal, on a ramp with steps of one sigma": _rounded(rng.standard_normal(size), rng),
    }


def _mixture(size: tuple[int, int], rng: np.random.Generator) -> FloatArray:
    wide = np.where(rng.random(size) < 0.1, 3.0, 1.0)
    return rng.standard_normal(size) * wide / math.sqrt(0.9 + 0.1 * 9)


def _rounded(numbers: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Rounded to whole numbers, each sweep's grid in another place."""
    place = rng.random((len(numbers), 1))
    return np.round(numbers + place) - place


def shape_lines(sweeps: int) -> list[str]:
    """What is left of the coverage where log10 LRs are not normal; a fixed number of runs for comparison."""
    lines = [
        "Other distributions, by 2, max 20: coverage, worst over sigma; beside it ten runs without looking (95% t)",
        "",
    ]
    lines += _header(["log10 LRs are", "worst coverage", "ten runs, no looking"])
    for name, numbers in shapes(sweeps, 20, np.random.default_rng(2)).items():
        step = 1.0 if "steps" in name else 0.0
        worst = min(
            outcome_of_numbers(numbers, sigma, looks(2, 20), corrected, step=step)[0] for sigma in FINE_SIGMAS
        )
        ten, _ = outcome_of_numbers(numbers, 1.0, [10], ordinary)
        lines.append(_row([name, f"{worst:.1%}", f"{ten:.1%}"]))
    return lines


def _header(cells: Sequence[str]) -> list[str]:
    return [_row(cells), "|" + "---|" * len(cells)]


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


# ---- figure


def draw(spreads: Spreads, path: Path) -> None:
    """Coverage over sigma with and without the correction, and the runs that it takes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 3.8), layout="constrained")
    coverage, runs = figure.subplots(1, 2)
    sigmas = np.geomspace(0.01, 0.5, 40)
    for (name, half_width), colour in zip(METHODS.items(), ("#D55E00", "#0072B2", "#8C8C8C"), strict=True):
        found = [spreads.outcome(sigma, looks(1, 50), half_width) for sigma in sigmas]
        label = name.replace(" at each look", "")
        coverage.plot(sigmas, [100 * covered for covered, _ in found], color=colour, label=label)
        runs.plot(sigmas, [number for _, number in found], color=colour, label=label)
    coverage.axhline(95, color="0.6", linewidth=1, linestyle=":")
    coverage.set_ylabel("the interval covers (%)")
    runs.set_ylabel("mean number of runs")
    for ax in (coverage, runs):
        ax.set_xscale("log")
        ax.set_xticks(TICKS, [f"{sigma:g}" for sigma in TICKS])
        ax.minorticks_off()
        ax.set_xlabel("sigma of log10 LR")
        ax.spines[["top", "right"]].set_visible(False)
    runs.legend(frameon=False, loc="upper left")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
