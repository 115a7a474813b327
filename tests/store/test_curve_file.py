"""The file of one run comes back bit for bit, or says what is wrong with it."""

from __future__ import annotations

import io
import json
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from steadylr.core.curve import Curve, Stop
from steadylr.store.curve_file import RunCurves, load_csv_curve
from steadylr.store.files import DamagedFile, NewerSchema, json_text


def example(*, validation: bool = True, points: int = 5) -> RunCurves:
    """A small run with two groups."""
    lr = np.geomspace(1e-5, 1.0, points)
    curve = Curve(lr, np.linspace(2.0, 1.0, points), num_iter=points + 3, stop=Stop.DIVERGED)
    held_out = Curve(lr[::2], np.linspace(2.5, 1.5, len(lr[::2])), num_iter=4) if validation else None
    meta = {"note": "\u00e4", "x": [1, 2.5, None]}
    return RunCurves(curve, held_out, np.stack([lr, lr / 10], axis=1), meta)


def test_steps_that_a_scaler_left_out_are_kept(tmp_path: Path) -> None:
    """As points of the curve and as their share; none where the meta says nothing."""
    run = example()
    assert (run.skipped_steps, run.skipped_share) == ((), 0.0)
    marked = RunCurves(run.curve, None, run.group_lrs, {"skipped_steps": [0, 3]})
    marked.save(tmp_path / "run.npz")
    read = RunCurves.load(tmp_path / "run.npz")
    assert (read.skipped_steps, read.skipped_share) == ((0, 3), 0.4)


def bits(run: RunCurves) -> tuple[Any, ...]:
    """Everything in a run, comparable bit for bit."""

    def of(curve: Curve | None) -> tuple[Any, ...] | None:
        return curve and (curve.lr.tobytes(), curve.loss.tobytes(), curve.num_iter, curve.stop)

    return (
        of(run.curve),
        of(run.validation),
        run.group_lrs.shape,
        run.group_lrs.tobytes(),
        json_text(run.meta, sort_keys=True),
    )


@st.composite
def curves(draw: st.DrawFn) -> Curve:
    """Any curve: rising LRs of any size, losses with every bit pattern."""
    lrs = draw(
        st.lists(st.floats(min_value=5e-324, allow_infinity=False), min_size=1, max_size=20, unique=True)
    )
    loss = draw(hnp.arrays(np.uint64, len(lrs), elements=st.integers(0, 2**64 - 1))).view(np.float64)
    spare = draw(st.integers(0, 5))
    return Curve(np.sort(lrs), loss, num_iter=len(lrs) + spare, stop=draw(st.sampled_from(Stop)))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(
    curve=curves(),
    validation=st.none() | curves(),
    groups=st.integers(1, 3),
    meta=st.dictionaries(st.text(), st.floats() | st.text() | st.lists(st.integers())),
)
def test_round_trip_is_bit_exact(
    tmp_path: Path, curve: Curve, validation: Curve | None, groups: int, meta: dict[str, Any]
) -> None:
    """Any run comes back with the same bits, NaN payloads and subnormals included."""
    run = RunCurves(curve, validation, np.repeat(curve.lr[:, None], groups, axis=1), meta)
    run.save(tmp_path / "run.npz")
    assert bits(RunCurves.load(tmp_path / "run.npz")) == bits(run)
    assert json_text(RunCurves.load_meta(tmp_path / "run.npz")) == json_text(meta)


def test_read_is_validation_where_there_is_one() -> None:
    """The rules read the validation curve if it was measured, else the training losses."""
    run = example()
    assert run.read is run.validation
    run = example(validation=False)
    assert run.read is run.curve


def test_the_file_opens_with_numpy_alone(tmp_path: Path) -> None:
    """Other programs read lr and loss with np.load, without pickle."""
    example().save(tmp_path / "run.npz")
    with np.load(tmp_path / "run.npz", allow_pickle=False) as arrays:
        assert arrays["lr"].tobytes() == example().curve.lr.tobytes()
        assert arrays["validation_loss"].tolist() == [2.5, 2.0, 1.5]
        assert bytes(arrays["header"]).startswith(b'{"format": 1')


def test_equal_runs_give_equal_files(tmp_path: Path) -> None:
    """A file holds no time or name: the same run gives the same bytes."""
    for name in ("a", "b"):
        example().save(tmp_path / f"{name}.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_every_truncation_is_noticed(tmp_path: Path) -> None:
    """A file cut short at any length raises DamagedFile with its name."""
    path = tmp_path / "short.npz"
    example().save(path)
    content = path.read_bytes()
    for length in range(len(content)):
        path.unlink()  # a new file costs less: what is written again in its place, the system hurries to the disk
        path.write_bytes(content[:length])
        with pytest.raises(DamagedFile, match=r"short\.npz: "):
            RunCurves.load(path)


def test_no_changed_byte_changes_a_number(tmp_path: Path) -> None:
    """With any one byte changed the file is refused, or still gives exactly what was saved."""
    path = tmp_path / "flipped.npz"
    run = example()
    run.save(path)
    content = path.read_bytes()
    refused = 0
    for i in range(len(content)):
        path.unlink()
        path.write_bytes(content[:i] + bytes([content[i] ^ 0x5A]) + content[i + 1 :])
        try:
            loaded = RunCurves.load(path)
        except DamagedFile:
            refused += 1
            continue
        assert bits(loaded) == bits(run)
    assert refused > len(content) / 2


def _rewritten(path: Path, **changes: Any) -> None:
    """Save the example with some arrays replaced (None removes one); header takes a dict of changes."""
    example().save(path)
    with np.load(path) as stored:
        arrays = dict(stored)
    for name, value in changes.items():
        if name == "header" and isinstance(value, dict):
            header = {**json.loads(bytes(arrays["header"])), **value}
            header = {key: item for key, item in header.items() if item != "DROP"}
            value = np.frombuffer(json_text(header).encode(), dtype=np.uint8)
        arrays[name] = value
    buffer = io.BytesIO()
    np.savez(buffer, **{name: value for name, value in arrays.items() if value is not None})
    path.write_bytes(buffer.getvalue())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lr": None}, r"holds no array 'lr'; it holds \['loss', 'group_lrs'"),
        ({"loss": np.zeros(4)}, r"lr and loss are no curve: .*equally long"),
        ({"loss": np.zeros(5, dtype=np.float32)}, r"loss must be an array of float64; got float32"),
        ({"loss": np.array(["a"] * 5)}, r"loss must be an array of float64; got <U1"),
        (
            {"loss": np.array([None] * 5)},
            r"damaged \(ValueError: .*OBJECT array",
        ),
        ({"lr": np.ones(5)}, r"lr must rise from point to point"),
        ({"lr": np.array([np.nan, 1, 2, 3, 4])}, r"lr must be finite and above 0; got nan"),
        ({"lr": np.array([-1.0, 1, 2, 3, 4])}, r"lr must be finite and above 0; got -1"),
        ({"validation_lr": np.ones(3)}, r"validation_lr and validation_loss are no curve"),
        ({"validation_lr": None}, r"holds no array 'validation_lr'"),
        ({"group_lrs": np.ones(5)}, r"group_lrs must have the shape \(5, groups\)"),
        ({"group_lrs": np.full((5, 1), np.nan)}, r"group_lrs must be finite .* got nan"),
        ({"header": np.zeros(3)}, r"header must be a row of uint8; got float64"),
        ({"header": np.zeros(3, dtype=np.uint8)}, r"is no JSON at line 1"),
        ({"header": np.frombuffer(b"[]", dtype=np.uint8)}, r"header must be a mapping"),
        ({"header": {"format": "1"}}, r"version must be a whole number from 1 to 1; got '1'"),
        ({"header": {"num_iter": "DROP"}}, r"header lacks num_iter"),
        ({"header": {"num_iter": True}}, r"header\.num_iter must be a valid integer; got True"),
        ({"header": {"num_iter": 4}}, r"num_iter must be at least the 5 points"),
        ({"header": {"stop": "tired"}}, r"header\.stop must be 'completed', .*; got 'tired'"),
        ({"header": {"meta": []}}, r"header\.meta must be a valid dictionary; got \[\]"),
        ({"header": {"validation": 3}}, r"header\.validation must be a valid dictionary.*; got 3"),
    ],
)
def test_wrong_contents_are_named(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    """Missing arrays, other types and impossible numbers raise DamagedFile with file and reason."""
    path = tmp_path / "wrong.npz"
    _rewritten(path, **changes)
    with pytest.raises(DamagedFile, match=r"wrong\.npz: .*" + message):
        RunCurves.load(path)


def test_a_newer_file_asks_for_an_upgrade(tmp_path: Path) -> None:
    """A file of a newer format raises NewerSchema, not DamagedFile."""
    _rewritten(tmp_path / "new.npz", header={"format": 2})
    with pytest.raises(NewerSchema, match=r"version 2, this steadylr reads up to version 1; upgrade"):
        RunCurves.load(tmp_path / "new.npz")


def test_other_files_are_refused(tmp_path: Path) -> None:
    """Text, an empty file and a zip of other things raise DamagedFile; a missing file FileNotFoundError."""
    path = tmp_path / "other.npz"
    for content in (b"", b"lr,loss\n1,2\n"):
        path.write_bytes(content)
        with pytest.raises(DamagedFile, match="cut short or damaged"):
            RunCurves.load(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(DamagedFile, match=r"holds no array 'header'; it holds \['readme.txt'\]"):
        RunCurves.load(path)
    with pytest.raises(FileNotFoundError):
        RunCurves.load(tmp_path / "absent.npz")


def test_arrays_that_claim_more_than_is_there_are_refused_unread(tmp_path: Path) -> None:
    """Compressed ones by the header of the archive, others by their own: nothing of that size is made."""
    path = tmp_path / "bomb.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("header.npy", b"0" * 20_000_000)
    with pytest.raises(DamagedFile, match=r"header is compressed, .* claim to be 20,000,000\)"):
        RunCurves.load(path)
    claim = io.BytesIO()
    np.lib.format.write_array_header_1_0(claim, {"descr": "<f8", "fortran_order": False, "shape": (10**12,)})
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("header.npy", claim.getvalue() + b"0" * 80)
    with pytest.raises(DamagedFile, match=r"damaged \(ValueError: cannot reshape"):
        RunCurves.load(path)


@pytest.mark.parametrize(
    ("group_lrs", "message"),
    [
        (np.ones((4, 1)), r"shape \(5, groups\).* got \(4, 1\)"),
        (np.ones((5, 0)), r"at least one group"),
        (np.ones(5), r"got \(5,\)"),
        (-np.ones((5, 1)), r"at least 0; got -1"),
    ],
)
def test_group_lrs_fit_the_curve(group_lrs: Any, message: str) -> None:
    """Group LRs of another length, without groups, or below 0 are a wrong argument."""
    with pytest.raises(ValueError, match=message):
        RunCurves(example().curve, None, group_lrs, {})


def test_an_interrupted_save_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C while a run is saved leaves neither the file nor a temporary one."""

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        example().save(tmp_path / "run.npz")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    "content",
    [
        "lr,loss\n1e-3,2.5\n1e-2,1.25\n",
        "step,loss,lr\n0,2.5,1e-3\n1,1.25,1e-2\n",
        '"Loss","extra"," LR "\r\n"2.5","a,b","1e-3"\r\n\r\n"1.25","c\nd","0.01"\r\n',
        "\ufefflr,loss\n1e-3,2.5\n1e-2,1.25",
    ],
)
def test_csv_curves(tmp_path: Path, content: str) -> None:
    """Columns come in any order, quoted or not, with other columns, a BOM, any line ends, empty lines."""
    path = tmp_path / "curve.csv"
    path.write_bytes(content.encode())
    curve = load_csv_curve(path)
    assert curve.lr.tolist() == [1e-3, 1e-2]
    assert curve.loss.tolist() == [2.5, 1.25]
    assert (curve.num_iter, curve.stop) == (2, Stop.COMPLETED)


def test_csv_losses_may_be_non_finite(tmp_path: Path) -> None:
    """A curve that ends in nan says that the run became non-finite."""
    path = tmp_path / "curve.csv"
    path.write_text("lr,loss\n1,2\n2,nan\n")
    assert load_csv_curve(path).stop is Stop.NON_FINITE


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"line 1 must be a header with the columns lr and loss.*got \[\]"),
        (b"1e-3,2.5\n1e-2,1\n", r"line 1 must be a header"),
        (b"lr;loss\n1;2\n", r"separated by commas; got \['lr;loss'\]"),
        (b"lr,loss,lr\n1,2,3\n", r"once each"),
        (b"lr,loss\n", r"holds no points"),
        (b"lr,loss\n1,2\n2,abc\n", r"line 3: loss must be a number; got 'abc'"),
        (b"lr,loss\n1,2\n,3\n", r"line 3: lr must be a number; got ''"),
        (b"lr,loss\n1,2\n2\n", r"line 3: has no loss; got \['2'\]"),
        (b"lr,loss\n0,2\n", r"line 2: lr must be finite and above 0; got '0'"),
        (b"lr,loss\ninf,2\n", r"line 2: lr must be finite and above 0; got 'inf'"),
        (b"lr,loss\n1,2\n\n1,3\n", r"line 4: lr must rise from line to line; got 1.0 then 1.0"),
        (b"lr,loss\n1,\xff\n", r"is no UTF-8 text"),
        (b'lr,loss\n1,"2\n', r"is no CSV"),
    ],
)
def test_bad_csv_names_line_and_value(tmp_path: Path, content: bytes, message: str) -> None:
    """A CSV file that is no curve raises DamagedFile with file, line and value."""
    path = tmp_path / "bad.csv"
    path.write_bytes(content)
    with pytest.raises(DamagedFile, match=r"bad\.csv: .*" + message):
        load_csv_curve(path)
