"""Parts of a text: on a terminal, piped, and in a file."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence

import pytest
from rich.console import Console

from steadylr.present.text import Part, Row, heading, pasted, plain, sentence, show, table, title

FOLDER = "outputs/sweeps/a name with spaces [and brackets] :smile:/" + "very_long_" * 12
LONG = "no LR has a slope steeper than the threshold within reach: raise finder.end_lr or take another rule"
PARTS: list[Part] = [
    title("[red]small_resnet[/red] on data :smile:"),
    pasted(),
    table(
        ("", "rule", "LR", "", ""),
        [Row((">", "bracket", "3.30e-2")), Row(("", "slide", "", "", LONG), "dim")],
    ),
    *heading("Verdict"),
    sentence(LONG, "bold red"),
    pasted(FOLDER, "cyan"),
]


def shown(parts: Sequence[Part], *, width: int, terminal: bool) -> str:
    file = io.StringIO()
    colours = "standard" if terminal else None
    show(
        parts, Console(file=file, force_terminal=terminal, width=width, color_system=colours, highlight=False)
    )
    return file.getvalue()


def bare(text: str) -> str:
    """A text without the codes of colours."""
    return re.sub("\x1b\\[[0-9;]*m", "", text)


@pytest.mark.parametrize("is_terminal", [False, True])
def test_what_is_pasted_is_never_broken(is_terminal: bool) -> None:
    """It stands on a line of its own, at a width of 40, exactly as it is."""
    assert FOLDER in bare(shown(PARTS, width=40, terminal=is_terminal)).splitlines()


def test_without_a_terminal_there_are_no_escape_codes_and_no_breaks() -> None:
    """Piped output is plain, doesn't depend on the width, has no trailing spaces, and is what a file holds."""
    narrow, wide = (shown(PARTS, width=width, terminal=False) for width in (30, 300))
    assert "\x1b" not in narrow
    assert narrow == wide == plain(PARTS)
    assert all(line == line.rstrip() for line in narrow.splitlines())


def test_markup_in_names_is_text() -> None:
    """Brackets and smileys stay what they are."""
    assert plain(PARTS).startswith("[red]small_resnet[/red] on data :smile:\n")


@pytest.mark.parametrize("width", [40, 72, 100])
def test_on_a_terminal_prose_is_broken_between_words(width: int) -> None:
    """Prose on a terminal fits its width, and no word is lost or cut, in tables as well."""
    narrow = bare(shown(PARTS, width=width, terminal=True))
    lines = [line for line in narrow.splitlines() if line != FOLDER]
    assert max(map(len, lines)) <= width
    assert all(line == line.rstrip() for line in lines)
    assert sorted(narrow.split()) == sorted(plain(PARTS).split())


def test_a_last_column_without_room_stands_below_its_rows() -> None:
    """Neither its words nor the cells before it are cut; short ones and those that fit stay beside their rows."""
    overrides = " ".join(f"optimizer.weight_decay=0.0{k}" for k in range(1, 4))
    rows = [Row(("7", overrides, LONG)), Row(("8", "seed=8"))]
    parts = [table(("job", "overrides", "why"), rows)]
    assert bare(shown(parts, width=80, terminal=True)).splitlines() == [
        "  job  overrides",
        f"  7    {overrides}",
        "      no LR has a slope steeper than the threshold within reach: raise",
        "        finder.end_lr or take another rule",
        "  8    seed=8",
    ]
    keys = [table(("", "", ""), [Row((">", "take the geometric mean", "consensus.choose=geometric_mean"))])]
    assert shown(keys, width=61, terminal=True) == plain(keys)
    assert bare(shown(keys, width=60, terminal=True)).splitlines() == [
        "  >  take the geometric mean",
        "      consensus.choose=geometric_mean",
    ]


def test_a_broken_sentence_goes_on_further_in() -> None:
    """By two steps, so that its beginning is seen."""
    lines = bare(shown([sentence(LONG)], width=60, terminal=True)).splitlines()
    assert lines[0].startswith("  no LR")
    assert lines[1].startswith("    ")
    assert not lines[1].startswith("     ")


def test_a_word_longer_than_the_line_is_left_whole() -> None:
    """A path in a sentence can still be copied."""
    lines = bare(shown([sentence(f"see {FOLDER[-100:]} there")], width=60, terminal=True)).splitlines()
    assert lines == ["  see", f"    {FOLDER[-100:]}", "    there"]


def test_columns_are_aligned_and_empty_ones_left_out() -> None:
    """Two spaces before each column; a header where one has a name."""
    rows = [Row(("seed 1", "1.08e-1", "", "noisy")), Row(("seed 10", "9.45e-2"))]
    assert plain([table(("run", "LR", "nothing", ""), rows)]) == (
        "  run      LR\n  seed 1   1.08e-1  noisy\n  seed 10  9.45e-2\n"
    )
    assert plain([table(("", ""), [Row(("median", "1.15e-1"))])]) == "  median  1.15e-1\n"


def test_a_long_table_is_wider_than_a_narrow_terminal_rather_than_cut() -> None:
    """Numbers are never broken or shortened."""
    row = Row(tuple(f"{k}.00e-{k}" for k in range(1, 9)))
    text = bare(shown([table([*(f"c{k}" for k in range(8)), ""], [row])], width=30, terminal=True))
    assert text.split() == [f"c{k}" for k in range(8)] + list(row.cells)


def test_answers_go_to_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    """Unless another console is given."""
    show(PARTS)
    out, err = capsys.readouterr()
    assert out == plain(PARTS)
    assert err == ""


def test_names_stay_in_their_line_and_sentences_below_their_heading() -> None:
    """So no name from a sweep's folder can pass for another row, or for a heading."""
    rows = [Row(("a\nb", "c"))]
    assert plain([title("one\ntwo"), table(("", ""), rows), sentence("failed:\nVerdict")]) == (
        "one\\ntwo\n  a\\nb  c\n  failed:\n    Verdict\n"
    )
