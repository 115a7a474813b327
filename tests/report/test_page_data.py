"""The data of a page: what they say is what Python says, for every reading; names stay text; bad input has its page."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from made_jobs import curve_of, leave_status, make_job, make_noisy_sweep, make_sweep
from steadylr.answer.answer import answer_sweep
from steadylr.answer.other_readings import MOST_READ, SMOOTH_F, values_to_try
from steadylr.answer.readings import Gathered, each_seed_once, from_curves, from_sweep, from_values
from steadylr.config.schema import OneCycle
from steadylr.core.curve import Curve, Stop
from steadylr.core.landmarks import find_landmarks
from steadylr.core.rules import RULES
from steadylr.core.settings import Reading
from steadylr.present.numbers import format_lr
from steadylr.report.page.data import page_data
from steadylr.report.page.facts import commands
from steadylr.report.page.html import inline_json, page_html

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>&\u2028\u202e\x1b[31m"


def data_of(gathered: Gathered, **onecycle: Any) -> dict[str, Any]:
    settings = OneCycle(**onecycle)
    answer = answer_sweep(each_seed_once(gathered), choose="geometric_mean", onecycle=settings)
    return page_data(answer, onecycle=settings)


def written_in(html: str) -> list[Any]:
    """The data that a page holds for its script."""
    found = re.findall(r'<script type="application/json" data-of="\d+">(.*?)</script>', html, flags=re.DOTALL)
    return [json.loads(text) for text in found]


def array(text: str, kind: str) -> Any:
    return np.frombuffer(base64.b64decode(text), dtype=kind)


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_sweep(tmp_path_factory.mktemp("sweep") / "x", seeds=3)


@pytest.fixture(scope="module")
def data(sweep: Path) -> dict[str, Any]:
    return data_of(from_sweep(sweep))


def test_every_reading_is_what_aggregating_with_it_says(sweep: Path, data: dict[str, Any]) -> None:
    """LR, range, verdict, torch line and the LR of each run, for each value of the slider and each rule."""
    (condition,) = data["conditions"]
    states = condition["js"]["states"]["others"]
    assert set(states) == {f"{value:g} {rule}" for value in SMOOTH_F for rule in RULES}
    for value in SMOOTH_F:
        for rule in RULES:
            reread = from_sweep(sweep, reread={"smooth_f": value, "rule": rule})
            (again,) = answer_sweep(reread, choose="geometric_mean", onecycle=OneCycle()).conditions
            head, state = again.consensus.headline, states[f"{value:g} {rule}"]
            assert (state["middle"], state["low"], state["high"]) == (again.suggested.lr, head.low, head.high)
            assert (state["level"], state["summary"]) == (again.verdict.level.value, again.verdict.summary)
            assert state["torch"] == ("" if again.plan is None else again.plan.torch_line())
            lrs = [again.consensus.run_lrs[run] for run in again.runs]
            assert state["lrs"] == [None if lr is None else format_lr(lr) for lr in lrs]


def test_an_answer_by_the_mean_curve_is_named_so(tmp_path: Path) -> None:
    """The LR on the card with what it comes from; at the slider's first place, too."""
    found = from_sweep(make_noisy_sweep(tmp_path / "x"))
    (condition,) = data_of(found)["conditions"]
    (answer,) = answer_sweep(found, choose="geometric_mean", onecycle=OneCycle()).conditions
    assert answer.mean is not None
    own = condition["own"]
    assert (own["lr"], own["middle"]) == (format_lr(answer.mean.lr), answer.mean.lr)
    assert (own["choice"], own["n"], own["level"]) == (
        "mean curve of 3 runs",
        "0 of 3 runs",
        "mean curve only",
    )
    assert own["range"].startswith("range ")
    assert own["with"] == "0 runs with an LR, 3 without (3 flat), so by the mean curve of 3 runs"
    assert condition["js"]["states"]["others"]["0.05 bracket"] == own


def test_the_first_state_is_the_answer_of_the_sweep(data: dict[str, Any]) -> None:
    """With one setting the slider stands at it, and the reading there is the same."""
    (condition,) = data["conditions"]
    js = condition["js"]
    assert js["start"] == {"said": "smooth_f 0.05", "value": SMOOTH_F.index(0.05), "rule": 0, "same": True}
    assert js["states"]["others"]["0.05 bracket"] == js["states"]["own"] == condition["own"]


def test_swept_settings_are_among_the_values_and_the_answer_is_their_mean(tmp_path: Path) -> None:
    """The slider then starts at the first one, and no place of it is the answer."""
    make_sweep(tmp_path, seeds=3, overrides=(("finder.smooth_f=0.04",), ("finder.smooth_f=0.25",)))
    found = from_sweep(tmp_path)
    (condition,) = data_of(found)["conditions"]
    assert {"0.04", "0.25"} <= set(condition["values"])
    assert condition["js"]["start"] == {
        "said": "smooth_f 0.04 and 0.25",
        "value": condition["values"].index("0.04"),
        "rule": 0,
        "same": False,
    }
    (own,) = answer_sweep(found, choose="geometric_mean", onecycle=OneCycle()).conditions
    assert condition["own"]["middle"] == own.consensus.headline.lr
    assert condition["reading"] == "smooth_f 0.04 and 0.25, rule bracket"
    assert condition["groups"]


def test_lines_and_losses_are_those_of_python(sweep: Path, data: dict[str, Any]) -> None:
    """Lines to a part in 65,534 of their height, raw losses and LRs as float32 has them."""
    (condition,) = data["conditions"]
    packed, values = condition["js"]["curves"], condition["values"]
    lr = array(packed["lr"], "<f4")
    raw = array(packed["raw"], "<f4").reshape(3, -1)
    for run in range(3):
        curve = curve_of(run)
        assert lr == pytest.approx(curve.lr, rel=1e-6)
        assert raw[run] == pytest.approx(curve.loss, rel=1e-6)
        bottom, top = packed["ends"][run]
        for value, text in zip(values, packed["lines"], strict=True):
            steps = array(text, "<u2").reshape(3, -1)[run]
            line = find_landmarks(curve, Reading(smooth_f=float(value))).line
            assert bottom + steps / 65534 * (top - bottom) == pytest.approx(
                line.loss, abs=(top - bottom) / 65534
            )


def test_curves_of_many_points_are_thinned_and_it_is_said() -> None:
    """Lines and numbers are of all points all the same."""
    lr = np.geomspace(1e-6, 10, 30_000)
    x = np.log10(lr)
    loss = 2 - 1.5 / (1 + np.exp(-4 * (x + 3))) + 5 / (1 + np.exp(-10 * (x - 0.3)))
    curve = Curve(lr, loss, num_iter=30_000)
    answer = answer_sweep(gathered_of(curve), choose="geometric_mean", onecycle=OneCycle())
    data = page_data(answer, onecycle=OneCycle())
    (condition,) = data["conditions"]
    assert (condition["js"]["curves"]["points"], condition["js"]["curves"]["thinned"]) == (1_000, 29_000)
    assert "29,000 fewer than were trained" in page_html(data)
    assert array(condition["js"]["curves"]["lr"], "<f4")[[0, -1]] == pytest.approx([1e-6, 10], rel=1e-6)


def gathered_of(*curves: Curve, **settings: Any) -> Gathered:
    from steadylr.answer.readings import RunReading, read_again

    return Gathered(
        tuple(
            read_again(
                RunReading(f"curve {k}", curve.digest(), {}, {}, (), {}, "bracket", (), curve),
                Reading(**settings),
            )
            for k, curve in enumerate(curves)
        )
    )


def test_many_runs_are_read_with_fewer_values_but_always_as_they_were() -> None:
    """So that a page of a thousand runs takes seconds and no minute."""
    curve = curve_of(0, points=20)
    readings = gathered_of(*(curve_of(seed, points=20) for seed in range(3))).readings
    (few,) = answer_sweep(Gathered(readings), choose="geometric_mean", onecycle=OneCycle()).conditions
    assert values_to_try(few) == SMOOTH_F
    many = tuple(
        type(readings[0])(
            f"{k}", f"{k}", {}, readings[0].setting, (), readings[0].suggestions, "bracket", (), curve
        )
        for k in range(MOST_READ // 2)
    )
    (condition,) = answer_sweep(Gathered(many), choose="geometric_mean", onecycle=OneCycle()).conditions
    assert values_to_try(condition) == (0.02, 0.05)


def test_the_ema_smoother_has_its_own_line_first(tmp_path: Path) -> None:
    """The slider reads with local_linear, which is another line; the answer is the ema's."""
    make_sweep(tmp_path, seeds=3, overrides=(("finder.smoother=ema", "finder.ema_weight=0.2"),))
    (condition,) = data_of(from_sweep(tmp_path))["conditions"]
    packed = condition["js"]["curves"]
    assert condition["js"]["start"]["same"] is False
    assert packed["own"] not in packed["lines"]
    assert condition["reading"] == "smooth_f 0.05, smoother ema, ema_weight 0.2, rule bracket"


BAD_CURVES = {
    "nan from the start": Curve(np.geomspace(1e-5, 1, 40), np.full(40, np.nan), 40, Stop.NON_FINITE),
    "nan at once after a descent": Curve(
        np.geomspace(1e-5, 1, 40),
        np.where(np.arange(40) < 30, 2 - np.arange(40) / 30, np.nan),
        40,
        Stop.NON_FINITE,
    ),
    "one point": Curve(np.array([0.1]), np.array([1.0]), 40, Stop.NON_FINITE),
    "huge": Curve(np.geomspace(1e-5, 1, 40), np.geomspace(1, 1e300, 40), 40, Stop.DIVERGED),
    "flat": Curve(np.geomspace(1e-5, 1, 40), np.ones(40), 40),
}


@pytest.mark.parametrize("name", BAD_CURVES)
def test_a_curve_without_an_answer_has_its_page(name: str) -> None:
    """It says that there is none, why, and what to do next."""
    data = data_of(gathered_of(BAD_CURVES[name]))
    (condition,) = data["conditions"]
    assert condition["own"]["lr"] is None
    html = page_html(data)
    (held,) = written_in(html)
    assert held["states"]["own"]["why"] != [0]
    assert "No answer" in html


def test_no_points_left_after_the_skips() -> None:
    """The curve is drawn, the reason says how many points are needed."""
    data = data_of(gathered_of(curve_of(0), skip_start=40, skip_end=20))
    (condition,) = data["conditions"]
    assert condition["own"]["lr"] is None
    assert "points are left after the skips" in page_html(data)
    assert np.isfinite(array(condition["js"]["curves"]["raw"], "<f4")).all()


def test_numbers_without_curves_and_curves_of_others(tmp_path: Path) -> None:
    """Neither has a record: the page has the answer, the suggestions, and what it knows."""
    (condition,) = data_of(from_values([0.01, 0.02, 0.04]))["conditions"]
    assert (condition["own"]["lr"], condition["js"]["curves"], condition["values"]) == ("2.00e-2", None, [])
    curve = curve_of(0)
    rows = "\n".join(f"{lr},{loss}" for lr, loss in zip(curve.lr, curve.loss, strict=True))
    (tmp_path / "a.csv").write_text(f"lr,loss\n{rows}\n")
    data = data_of(from_curves([tmp_path / "a.csv"]))
    assert data["conditions"][0]["js"]["curves"]["points"] == 60
    assert data["versions"] == []
    assert page_html(data)


def test_failed_jobs_only(tmp_path: Path) -> None:
    """The page says so, lists each with its reason, and gives the command."""
    leave_status(tmp_path / "0", "failed", overrides=["seed=0"], error="no memory")
    leave_status(tmp_path / "1", "failed", overrides=["seed=1"], error="no memory")
    data = data_of(from_sweep(tmp_path))
    html = page_html(data)
    assert data["conditions"] == []
    assert data["commands"] == ["python src/find_lr.py -m seed=0,1"]
    assert "2 jobs failed" in html
    assert html.count("no memory") == 2


def test_several_kinds_of_run_have_a_section_each(tmp_path: Path) -> None:
    """And a table of them before."""
    make_sweep(tmp_path, seeds=2, overrides=((), ("model.hidden=[8]",)))
    data = data_of(from_sweep(tmp_path))
    html = page_html(data)
    assert data["title"] == "2 kinds of run"
    assert [f'id="kind-{k}"' in html for k in (1, 2, 3)] == [True, True, False]
    assert len(written_in(html)) == 2
    assert data["differences"]["rows"][-1]["cells"] == ["model.hidden", "[256, 128], [8]"]


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    """In names, overrides, reasons and versions: no markup, no script, no letter that turns a text's direction."""
    make_job(tmp_path / "0", change=lambda record: record["config"]["model"].update(name=HOSTILE))
    make_job(tmp_path / "1", seed=1, change=lambda record: record["versions"].update({HOSTILE: HOSTILE}))
    leave_status(tmp_path / "2", "failed", overrides=[f"model.name={HOSTILE}"], error=HOSTILE)
    html = page_html(data_of(from_sweep(tmp_path)))
    assert "alert(1)" in html
    assert "<script>alert" not in html
    assert "<img" not in html
    assert not {"\u202e", "\u2028", "\x1b"} & set(html)


def test_json_in_a_script_element_ends_no_element() -> None:
    """And is the same value again."""
    value = {"a": ["</script>", "<!--", "&amp;", "\u2028\u2029"]}
    text = inline_json(value)
    assert not set("<>&\u2028\u2029") & set(text)
    assert json.loads(text) == value


def test_a_page_fetches_nothing(data: dict[str, Any]) -> None:
    """No address stands in it where a browser would follow one, and its policy forbids all but what is inside."""
    html = page_html(data)
    assert re.findall(r'(?:src|href)="(?!#|data:,")', html) == []
    (policy,) = re.findall(r'Content-Security-Policy" content="(.*?)"', html)
    assert policy.startswith("default-src &#39;none&#39;; script-src &#39;sha256-")
    assert "unsafe" not in policy


def test_equal_answers_have_equal_pages(sweep: Path, data: dict[str, Any]) -> None:
    """Nothing of the time or place of writing is in them."""
    assert page_html(data_of(from_sweep(sweep))) == page_html(data)
    assert str(sweep.parent) not in page_html(data)


@pytest.mark.parametrize(
    ("jobs", "said"),
    [
        ([["seed=1"], ["seed=2"]], ["p -m seed=1,2"]),
        (
            [["a=1", "seed=1"], ["a=2", "seed=1"], ["a=1", "seed=2"], ["a=2", "seed=2"]],
            ["p -m a=1,2 seed=1,2"],
        ),
        ([["a=1", "seed=1"], ["a=2", "seed=2"]], ["p -m a=1 seed=1", "p -m a=2 seed=2"]),
        ([["seed=1"], ["a=2"]], ["p -m seed=1", "p -m a=2"]),
        ([["a=b c"]], ["p -m 'a=b c'"]),
        ([["seed=1"], ["seed=1"]], ["p -m seed=1"]),
        ([[], []], ["p -m"]),
        ([], []),
    ],
)
def test_the_command_that_makes_it_again(jobs: list[list[str]], said: list[str]) -> None:
    """One where the jobs are every combination of some values, else one for each."""
    assert commands(jobs, program="p", single=False) == said


def test_commands_of_many_unlike_jobs_are_cut_short() -> None:
    """And how many are left out is said."""
    told = commands([[f"a={k}", f"b={k}"] for k in range(30)], program="p", single=False)
    assert len(told) == 11
    assert told[-1] == "# and 20 more"


def test_the_sources_of_the_spread_are_on_the_page(tmp_path: Path) -> None:
    """Where streams vary apart, in the words of the terminal."""
    for number, (init, order) in enumerate([(0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (2, 1)]):
        make_job(
            tmp_path / str(number),
            seed=number,
            seeds={"init": init, "order": order, "augment": 0, "noise": 0},
        )
    data = data_of(from_sweep(tmp_path))
    html = page_html(data)
    assert "Where the spread comes from" in html
    assert data["conditions"][0]["runs"][0]["seeds"] == "seed 0"
    assert data["conditions"][0]["runs"][1]["seeds"] == "augment 0, init 0, noise 0, order 1"
