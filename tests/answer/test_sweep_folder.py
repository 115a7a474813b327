"""The folder of a sweep as people name it: by its path or its name, and what is said where it isn't there."""

from __future__ import annotations

from pathlib import Path

import pytest

from steadylr.answer.sweep_folder import check_sweep, sweep_folder
from steadylr.config.errors import BadInput


@pytest.fixture(autouse=True)
def sweeps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of sweeps below the current one, with three of them."""
    monkeypatch.chdir(tmp_path)
    for name in ("night", "nightly", "adamw"):
        (tmp_path / "outputs" / "sweeps" / name).mkdir(parents=True)
    return tmp_path / "outputs" / "sweeps"


def test_a_name_will_do_unless_a_folder_here_has_it(tmp_path: Path) -> None:
    """A path is taken as it is."""
    assert sweep_folder(Path("night")) == Path("outputs/sweeps/night")
    assert sweep_folder(Path("outputs/sweeps/night")) == Path("outputs/sweeps/night")
    (tmp_path / "night").mkdir()
    assert sweep_folder(Path("night")) == Path("night")


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("nigth", "did you mean night or nightly?"),
        ("outputs/sweeps/adam", "did you mean adamw?"),
        ("zzz", "give the folder of a sweep, outputs/sweeps/<sweep_name>"),
        ("elsewhere/night", "give the folder of a sweep, outputs/sweeps/<sweep_name>"),
    ],
)
def test_one_that_is_not_there_is_refused_with_those_that_are_nearly_named_so(given: str, meant: str) -> None:
    """Beside the path that was given, or among all sweeps where a name was."""
    with pytest.raises(BadInput) as refused:
        check_sweep(sweep_folder(Path(given)))
    assert str(refused.value) == f"sweep={given}: no such folder; {meant}"


def test_one_that_is_there_is_let_through(sweeps: Path) -> None:
    """Whatever is in it."""
    check_sweep(sweeps / "night")
