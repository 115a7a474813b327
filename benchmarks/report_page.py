"""What report.html costs: seconds to write it, its size, and how long a browser takes until it can be used.

    python benchmarks/report_page.py                 3, 100 and 1,000 runs of 1,000 points
    python benchmarks/report_page.py runs=100        one of them
    python benchmarks/report_page.py keep=FOLDER     leaves the pages there

The curves are made, not trained. Opening needs Playwright and a Chromium (see tests/report/browser.py); without them
only writing is measured. Exit status 1 when a target is missed: 100 runs written within 5 s, below 10 MB and drawn
within 2 s of opening. 1,000 runs have no target of their own.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests"), str(ROOT / "tests" / "report")]

from steadylr.answer.answer import SweepAnswer, answer_sweep  # noqa: E402
from steadylr.answer.readings import Gathered, RunReading, read_again  # noqa: E402
from steadylr.config.schema import OneCycle  # noqa: E402
from steadylr.core.curve import Curve  # noqa: E402
from steadylr.core.settings import Reading  # noqa: E402
from steadylr.report.page.write import write_page  # noqa: E402

WRITE_SECONDS, OPEN_SECONDS, MEGABYTES = 5.0, 2.0, 10.0
POINTS = 1_000


def made_curve(rng: np.random.Generator) -> Curve:
    """A descent and a climb with the noise of batches, as range tests show them."""
    lr = np.geomspace(1e-7, 10, POINTS)
    x = np.log10(lr)
    at = -3 + 0.2 * rng.normal()
    loss = 2.3 - 1.5 / (1 + np.exp(-4 * (x - at))) + 3 / (1 + np.exp(-8 * (x - at - 2.2)))
    return Curve(lr, loss + 0.1 * rng.normal(size=POINTS), num_iter=POINTS)


def made_answer(runs: int) -> SweepAnswer:
    """The answer of a sweep of so many runs."""
    rng = np.random.default_rng(0)
    readings = []
    for number in range(runs):
        curve = made_curve(rng)
        bare = RunReading(f"run {number}", curve.digest(), {}, {}, (), {}, "bracket", (), curve)
        readings.append(read_again(bare, Reading()))
    return answer_sweep(Gathered(tuple(readings)), choose="geometric_mean", onecycle=OneCycle())


def opened(path: Path) -> float | None:
    """Seconds from the start of opening until the curves are drawn and the page takes input; None without a browser."""
    from browser import missing, open_browser

    if missing() is not None:
        return None
    with open_browser() as browser:
        page = browser.new_page(viewport={"width": 1400, "height": 900})
        start = time.perf_counter()
        page.goto(path.as_uri())
        page.locator("[data-plot] canvas").first.wait_for()
        page.locator("[data-slider]").first.press("ArrowRight")
        page.wait_for_function("document.querySelector('[data-value]').textContent.startsWith('smooth_f')")
        return time.perf_counter() - start


def main() -> int:
    """Measure what the command line asks for."""
    given = dict(text.partition("=")[::2] for text in sys.argv[1:])
    holds = True
    for runs in [int(given["runs"])] if "runs" in given else [3, 100, 1_000]:
        answer = made_answer(runs)
        folder = Path(given.get("keep") or tempfile.mkdtemp()) / str(runs)
        folder.mkdir(parents=True, exist_ok=True)
        start = time.perf_counter()
        write_page(folder, answer, OneCycle())
        took = time.perf_counter() - start
        size = (folder / "report.html").stat().st_size / 1e6
        seen = opened(folder / "report.html")
        told = "no browser" if seen is None else f"usable after {seen:.2f} s"
        print(f"{runs:>5} runs of {POINTS:,} points: written in {took:.2f} s, {size:.2f} MB, {told}")
        if runs == 100:
            holds &= took <= WRITE_SECONDS and size < MEGABYTES and (seen is None or seen <= OPEN_SECONDS)
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
