"""The page in a real browser: what it draws, what it asks the network for, and what a reader can do with it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from browser import missing, open_browser

from made_jobs import curve_of, leave_status, make_job, make_sweep
from steadylr.answer.answer import answer_sweep
from steadylr.answer.readings import each_seed_once, from_sweep
from steadylr.config.schema import OneCycle
from steadylr.core.curve import Curve
from steadylr.present.numbers import format_lr, format_lr_range
from steadylr.present.sweep_progress import Running
from steadylr.report.page.live import LivePage, served
from steadylr.report.page.write import write_page

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = [pytest.mark.slow, pytest.mark.skipif(missing() is not None, reason=str(missing()))]

HOSTILE = "</script><script>window.owned = 1</script><img src=x onerror='window.owned = 2'>"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser() as made:
        yield made


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three runs read in two ways, a failed job, and a page."""
    folder = tmp_path_factory.mktemp("sweep") / "x"
    make_sweep(folder, seeds=3, overrides=(("finder.smooth_f=0.05",), ("finder.smooth_f=0.15",)))
    leave_status(folder / "6", "failed", overrides=["seed=9"], error="no memory")
    written(folder)
    return folder


def written(folder: Path) -> Path:
    gathered = each_seed_once(from_sweep(folder))
    answer = answer_sweep(gathered, choose="geometric_mean", onecycle=OneCycle())
    write_page(folder, answer, OneCycle())
    return folder / "report.html"


@contextmanager
def opened(browser: Browser, file: Path, **options: Any) -> Iterator[Page]:
    """The page, which must log no error and ask for nothing but itself."""
    context = browser.new_context(**options)
    page = context.new_page()
    asked: list[str] = []
    said: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(file.as_uri())
    try:
        yield page
        assert said == []
        assert [url for url in asked if not url.startswith("data:")] == [file.as_uri()]
    finally:
        context.close()


def field(page: Page, name: str) -> str:
    return page.locator(f'[data-field="{name}"]').first.inner_text()


def drawn_series(page: Page) -> int:
    """How many dots of runs are drawn."""
    return page.locator("[data-strip] .dot").count()


def test_it_shows_the_answer_of_the_sweep(browser: Browser, sweep: Path) -> None:
    """LR, range, verdict and torch line as the summary has them, without a step of the reader."""
    answer = answer_sweep(each_seed_once(from_sweep(sweep)), choose="geometric_mean", onecycle=OneCycle())
    (condition,) = answer.conditions
    head = condition.consensus.headline
    assert condition.plan is not None
    with opened(browser, sweep / "report.html") as page:
        assert field(page, "lr") == format_lr(head.lr or 0)
        assert field(page, "range") == f"range {format_lr_range(head.low or 0, head.high or 0)}"
        assert field(page, "summary") == condition.verdict.summary
        assert field(page, "torch") == condition.plan.torch_line()
        assert "no memory" in page.locator("main").inner_text()


def test_slider_and_switch_move_the_answer_to_what_python_says(browser: Browser, sweep: Path) -> None:
    """From the keyboard; the way back leads to the sweep's own answer."""
    reread = from_sweep(sweep, reread={"smooth_f": 0.2, "rule": "steepest"})
    (condition,) = answer_sweep(
        each_seed_once(reread), choose="geometric_mean", onecycle=OneCycle()
    ).conditions
    head = condition.consensus.headline
    with opened(browser, sweep / "report.html") as page:
        own = field(page, "lr")
        slider = page.locator("[data-slider]")
        slider.focus()
        while "0.2" not in page.locator("[data-value]").inner_text():
            page.keyboard.press("ArrowRight")
        page.locator('.rules input[type="radio"]').nth(0).focus()
        page.keyboard.press("ArrowRight")
        assert field(page, "lr") == format_lr(head.lr or 0)
        assert field(page, "summary") == condition.verdict.summary
        lrs = [condition.consensus.run_lrs[run] for run in condition.runs]
        assert page.locator("[data-run] [data-lr]").all_inner_texts() == [format_lr(lr or 0) for lr in lrs]
        assert f"asked for: {own}" in page.locator("[data-moved]").inner_text()
        page.locator("[data-back]").press("Enter")
        assert field(page, "lr") == own
        assert page.locator("[data-moved]").is_hidden()


def test_the_slider_moves_the_lines(browser: Browser, sweep: Path) -> None:
    """The picture of the curves is another one, and the first one again on the way back."""
    with opened(browser, sweep / "report.html") as page:
        canvas = page.locator("[data-plot] canvas").first
        first = canvas.evaluate("canvas => canvas.toDataURL()")
        page.locator("[data-slider]").press("End")
        second = canvas.evaluate("canvas => canvas.toDataURL()")
        page.locator("[data-back]").click()
        assert first != second
        assert canvas.evaluate("canvas => canvas.toDataURL()") == first


def test_a_click_on_a_line_hides_its_run_everywhere(browser: Browser, sweep: Path) -> None:
    """In the curves, among the suggestions and in the table; a click in the table shows it again."""
    with opened(browser, sweep / "report.html") as page:
        assert drawn_series(page) == 3
        over = page.locator("[data-plot] .u-over")
        over.scroll_into_view_if_needed()
        box = over.bounding_box()
        assert box is not None
        for share in (0.2, 0.3, 0.4, 0.5):  # down along the left end, where all lines are
            page.mouse.move(box["x"] + 0.1 * box["width"], box["y"] + share * box["height"])
            if page.locator(".tip").is_visible():
                break
        name = page.locator(".tip b").inner_text()
        before = page.locator("[data-plot] canvas").first.evaluate("canvas => canvas.toDataURL()")
        page.mouse.down()
        page.mouse.up()
        row = page.locator(".toggle", has_text=name)
        assert row.get_attribute("aria-pressed") == "false"
        assert drawn_series(page) == 2
        assert page.locator("[data-plot] canvas").first.evaluate("canvas => canvas.toDataURL()") != before
        row.click()
        assert row.get_attribute("aria-pressed") == "true"
        assert drawn_series(page) == 3


def test_the_pointer_and_the_keyboard_read_the_curves(browser: Browser, sweep: Path) -> None:
    """Run, seed, LR and loss, as the curve has them at that point."""
    with opened(browser, sweep / "report.html") as page:
        plot = page.locator("[data-plot]")
        plot.focus()
        page.keyboard.press("ArrowDown")
        page.keyboard.press("ArrowRight")
        said = page.locator("[data-said]").inner_text()
        found = re.fullmatch(
            r"seed 0, LR ([\d.e-]+), loss ([\d.]+), smoothed ([\d.]+), suggestion [\d.e-]+", said
        )
        assert found is not None, said
        curve = curve_of(0)
        at = int(abs(curve.lr - float(found[1])).argmin())
        assert format_lr(float(curve.lr[at])) == found[1]
        assert float(found[2]) == pytest.approx(float(curve.loss[at]), rel=1e-3)
        page.keyboard.press("Enter")
        assert page.locator(".toggle").first.get_attribute("aria-pressed") == "false"


def test_every_control_is_reached_and_named(browser: Browser, sweep: Path) -> None:
    """By Tab alone, in the order of the page, with a name for each."""
    with opened(browser, sweep / "report.html") as page:
        seen = []
        for _ in range(60):
            page.keyboard.press("Tab")
            seen.append(
                page.evaluate("document.activeElement.className || document.activeElement.type || ''")
            )
            if page.evaluate("document.activeElement === document.body"):
                break
        assert {"copy", "range", "radio", "plot", "toggle"} <= set(seen)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1400, 390])
def test_axe_finds_nothing(browser: Browser, sweep: Path, scheme: Any, width: int) -> None:
    """Contrast, names, roles and order, wide and narrow, light and dark; nor does anything stick out sideways."""
    from axe_playwright_python.sync_playwright import Axe

    with opened(
        browser,
        sweep / "report.html",
        color_scheme=scheme,
        viewport={"width": width, "height": 900},
        bypass_csp=True,
    ) as page:
        results = Axe().run(page).response
        found = [
            f"{one['id']}: {one['nodes'][0]['html'][:120]} {one['nodes'][0]['failureSummary']}"
            for one in results["violations"]
        ]
        assert found == []
        assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")


def test_hostile_names_stay_text(browser: Browser, tmp_path: Path) -> None:
    """No script of theirs runs, no image of theirs is asked for, and they are read as they are written."""
    make_job(tmp_path / "0", change=lambda record: record["config"]["model"].update(name=HOSTILE))
    make_job(tmp_path / "1", seed=1, change=lambda record: record["config"]["model"].update(name=HOSTILE))
    leave_status(tmp_path / "2", "failed", overrides=[HOSTILE], error=HOSTILE)
    with opened(browser, written(tmp_path)) as page:
        assert page.evaluate("window.owned") is None
        assert HOSTILE in page.locator("h1").inner_text()
        page.locator("[data-slider]").press("End")
        assert page.evaluate("window.owned") is None
        assert page.locator("img").count() == 0


def test_what_is_printed_has_the_curves_on_white(browser: Browser, sweep: Path, tmp_path: Path) -> None:
    """From a dark screen as well, with the colours of paper in the picture; controls are left out."""
    with opened(browser, sweep / "report.html", color_scheme="dark") as page:
        page.pdf(path=tmp_path / "page.pdf", format="A4")
        assert (tmp_path / "page.pdf").read_bytes().startswith(b"%PDF")
        canvas = page.locator("[data-plot] canvas").first
        dark = canvas.evaluate("canvas => canvas.toDataURL()")
        page.evaluate("dispatchEvent(new Event('beforeprint'))")
        printed = canvas.evaluate("canvas => canvas.toDataURL()")
        page.emulate_media(color_scheme="light")
        page.evaluate("dispatchEvent(new Event('afterprint'))")
        assert printed == canvas.evaluate("canvas => canvas.toDataURL()") != dark
        page.emulate_media(media="print", color_scheme="dark")
        assert page.locator(".controls").first.is_hidden()
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"


def test_pages_of_bad_input_open(browser: Browser, tmp_path: Path) -> None:
    """Failed jobs only, one run, a flat curve."""
    leave_status(tmp_path / "failed" / "0", "failed", overrides=["seed=0"], error="no memory")
    make_job(tmp_path / "one" / "0")
    flat = curve_of(0)
    make_job(tmp_path / "flat" / "0", curve=Curve(flat.lr, 0 * flat.loss + 1, num_iter=len(flat)))
    for name, lr in (("failed", "none"), ("one", None), ("flat", "none")):
        with opened(browser, written(tmp_path / name)) as page:
            shown = page.locator(".big").inner_text()
            assert shown == lr or (lr is None and re.fullmatch(r"[\d.]+e-\d", shown))


def test_the_data_it_holds_are_those_that_were_written(browser: Browser, sweep: Path) -> None:
    """As the browser parses them."""
    with opened(browser, sweep / "report.html") as page:
        text = page.locator("script[data-of]").first.evaluate("element => element.textContent")
        assert json.loads(text)["runs"][0]["name"] == "seed 0"


def test_a_sweep_under_way_is_followed(browser: Browser, tmp_path: Path) -> None:
    """Runs appear without a step of the reader, what the reader has set stays, and the end is told."""
    under_way = [Running("seed=2", (1e-5, 1e-4, 1e-3), (2.3, 2.2, 2.0), 0.3)]
    folder = make_sweep(tmp_path / "x", seeds=2)
    live = LivePage(folder, lambda: under_way)
    said: list[str] = []
    with open_page(browser, said) as page:
        with served(live, host="127.0.0.1", port=0, key="port") as address:
            page.goto(address)
            page.locator("[data-live-figure]").wait_for()
            assert page.locator("[data-live-runs]").inner_text() == "seed=2 30%"
            page.locator("[data-slider]").press("End")
            page.locator(".toggle", has_text="seed 1").click()
            make_job(folder / "2", seed=2)
            page.locator(".toggle", has_text="seed 2").wait_for()
            assert page.locator("[data-value]").inner_text() == "smooth_f 0.3"
            assert page.locator(".toggle", has_text="seed 1").get_attribute("aria-pressed") == "false"
            assert "3 runs spread over" in field(page, "summary")
        page.locator("[data-live-said]", has_text="The sweep has ended").wait_for()
        assert page.locator("[data-live-figure]").is_hidden()
    assert said == []


@contextmanager
def open_page(browser: Browser, said: list[str]) -> Iterator[Page]:
    """An empty page whose errors are noted."""
    context = browser.new_context()
    page = context.new_page()
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    try:
        yield page
    finally:
        context.close()
