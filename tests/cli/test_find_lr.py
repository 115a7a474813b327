"""find_lr.py as people use it: what it says, what it leaves, and how it ends."""

from __future__ import annotations

import json
import os
import re
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from omegaconf import OmegaConf

from command_line import FIND_LR, TINY, Finished, FullDisk, at_terminal, find_lr, imported, only_run, process
from made_jobs import leave_status
from steadylr.cli import find_lr as program
from steadylr.store.records import JobStatus, RunRecord

PLAN = {"plan.yaml", "plan.json", "plan.txt"}
OF_AN_ANSWER = {"record.json", "curve.npz", "lr_finder.png", "report.html"}
LEFT = {
    *(
        "record.json",
        "curve.npz",
        "config.yaml",
        "find_lr.log",
        "lr_finder.png",
        "report.html",
        "status.json",
    ),
    ".hydra",
}
HEAVY = (
    "torch",
    "torchvision",
    "numpy",
    "scipy",
    "matplotlib",
    "rich",
    "pyarrow",
    "pydantic",
    "lightning_fabric",
)

pytestmark = pytest.mark.usefixtures("undrawn")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that the commands are run in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def trainings(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by one at each training."""
    from steadylr.run import range_test as module

    counted: list[int] = []
    original = module.range_test

    def counting(*args: Any, **kwargs: Any) -> Any:
        counted.append(1)
        return original(*args, **kwargs)

    monkeypatch.setattr(module, "range_test", counting)
    return counted


def breaks(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Let every training end with an error."""
    from steadylr.run import range_test as module

    def raising(*args: Any, **kwargs: Any) -> Any:
        raise error

    monkeypatch.setattr(module, "range_test", raising)


def torch_line(out: str) -> str:
    (line,) = (line for line in out.splitlines() if line.startswith("torch.optim.lr_scheduler"))
    return line


# ---- one run


@pytest.mark.usefixtures("drawn")
def test_a_run_leaves_everything_and_says_what_matters(folder: Path) -> None:
    """The table, the plan, the torch line and the folder; the record, the curve, the config, the figure."""
    done = find_lr(*TINY, "seed=0")
    run = only_run(folder)
    assert (done.code, done.err) == (0, "")
    assert {entry.name for entry in run.iterdir()} == LEFT | PLAN
    record = RunRecord.read(run)
    lr = record.suggestions["bracket"].lr
    assert lr is not None
    title, *lines = done.out.splitlines()
    mantissa, exponent = f"{lr:.2e}".split("e")
    assert title == f"mlp on fashion_mnist_mini, seed 0: LR {mantissa}e{int(exponent)}"
    assert re.search(r"^  >  bracket +\S+ +\S+ +\S+$", done.out, flags=re.M)
    assert all(
        re.search(rf"^     {rule} ", done.out, flags=re.M) for rule in record.suggestions if rule != "bracket"
    )
    assert "OneCycle plan" in lines
    assert lines[-1] == str(run.relative_to(folder))
    assert "\x1b" not in done.out
    assert JobStatus.read(run).status == "finished"
    assert (run / "lr_finder.png").read_bytes().startswith(b"\x89PNG")
    with np.load(run / "curve.npz", allow_pickle=False) as arrays:
        assert arrays.files


def test_the_torch_line_gives_the_plan(folder: Path) -> None:
    """Pasted beside an optimizer, the printed line starts, peaks and ends at the plan's LRs."""
    done = find_lr(*TINY, 'optimizer.groups=[{pattern:"1.*",lr_mult:10}]')
    plan = RunRecord.read(only_run(folder)).plan
    assert plan is not None
    layers = torch.nn.ModuleList([torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)])
    groups = [{"params": layer.parameters()} for layer in layers]
    names = {"torch": torch, "epochs": 4, "train_loader": range(25)}
    optimizer = torch.optim.SGD(groups, lr=1.0, momentum=0.9)
    scheduler = eval(torch_line(done.out), {**names, "optimizer": optimizer})
    lrs = []
    for _ in range(100):
        lrs.append(scheduler.get_last_lr())
        optimizer.step()
        if len(lrs) < 100:
            scheduler.step()
    first, second = np.array(lrs).T
    wanted = (plan["initial_lr"], plan["max_lr"], plan["final_lr"])
    np.testing.assert_allclose((first[0], first.max(), first[-1]), wanted, rtol=1e-3)
    np.testing.assert_allclose(second, 10 * first, rtol=1e-3)


def test_the_config_that_is_left_is_resolved_and_runs_again(folder: Path) -> None:
    """config.yaml holds values, no references: what was trained can be read off it, and trained again."""
    find_lr(*TINY, "seed=7")
    run = only_run(folder)
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert "${" not in (run / "config.yaml").read_text()
    assert (config["seeds"]["noise"], config["data"]["image_size"]) == (7, 28)
    assert config["sweep_name"]
    again = find_lr(
        "--config-path", str(run), "--config-name", "config", "hydra.run.dir=again", "dry_run=true"
    )
    assert (again.code, again.out) == (0, "1 job, 0 trainings (1 run from the store)\n")


def test_seed_zero_is_a_seed(folder: Path) -> None:
    """Seed 0 gives the same curve as itself, and another than seed 1."""
    for seed in ("seed=0", "seed=1", "seed=0"):
        assert find_lr(*TINY, seed, "store.enabled=false").code == 0
    first, other, again = (
        RunRecord.read(run) for run in sorted((folder / "outputs" / "runs").iterdir(), key=lambda p: p.name)
    )
    assert first.run.curve_digest == again.run.curve_digest != other.run.curve_digest
    assert {stream.seed for stream in first.seeds.values()} == {0}


def test_without_an_answer_the_exit_code_is_3(folder: Path) -> None:
    """A ramp that never reaches a useful LR leaves its record and figure, and says once what to do."""
    done = find_lr(*TINY, "finder.end_lr=1e-6")
    run = only_run(folder)
    assert (done.code, done.err) == (3, "")
    assert {entry.name for entry in run.iterdir()} == LEFT
    assert done.out.splitlines()[0] == "mlp on fashion_mnist_mini, seed 0: no answer"
    assert done.out.count("raise finder.end_lr") == 1
    assert "torch.optim" not in done.out
    assert "seed=range" not in done.out
    status, record = JobStatus.read(run), RunRecord.read(run)
    assert status.status == "no_answer"
    assert status.error == record.suggestions["bracket"].reason
    assert record.plan is None


# ---- the store


def test_a_second_run_comes_from_the_store(folder: Path, trainings: list[int]) -> None:
    """The same training is done once; a reading that differs needs no training either."""
    first = find_lr(*TINY)
    second = find_lr(*TINY)
    smoother = find_lr(*TINY, "finder.smooth_f=0.15")
    assert len(trainings) == 1
    assert "from the store" not in first.out
    for done in (second, smoother):
        assert "This run came from the store: nothing was trained" in done.out
        assert "-m 'seed=range(0,5)'" in done.out
    assert torch_line(first.out) == torch_line(second.out)


def test_without_the_store_every_run_trains(folder: Path, trainings: list[int]) -> None:
    """store.enabled=false trains afresh, also where the run is stored, and writes no store."""
    find_lr(*TINY, "store.enabled=false")
    assert not (folder / "outputs" / "store").exists()
    find_lr(*TINY)
    done = find_lr(*TINY, "store.enabled=false")
    assert len(trainings) == 3
    assert "from the store" not in done.out


def test_a_damaged_entry_is_named_and_trained_again(folder: Path, trainings: list[int]) -> None:
    """A stored run that can't be read costs a training and a warning, never the answer."""
    first = find_lr(*TINY)
    (entry,) = (folder / "outputs" / "store" / "v1").rglob("*.npz")
    entry.write_bytes(entry.read_bytes()[:500])
    second = find_lr(*TINY)
    assert (second.code, len(trainings)) == (0, 2)
    assert entry.name[:64] in second.err
    assert "Traceback" not in second.err
    assert torch_line(first.out) == torch_line(second.out)
    assert find_lr(*TINY).err == ""


def test_a_dry_run_says_what_it_would_do_and_leaves_nothing(folder: Path, trainings: list[int]) -> None:
    """No folder and no store appear; a stored run is counted as such."""
    assert find_lr(*TINY, "dry_run=true").out == "1 job, 1 training\n"
    assert not list((folder / "outputs").rglob("*.json"))
    assert not (folder / "outputs" / "store").exists()
    find_lr(*TINY)
    assert find_lr(*TINY, "dry_run=true").out == "1 job, 0 trainings (1 run from the store)\n"
    assert len(trainings) == 1


# ---- bad input


def write_tree(root: Path) -> None:
    """Image folders, each with something wrong."""
    from PIL import Image

    picture = Image.new("RGB", (12, 12))
    for name in ("broken", "lacking", "empty"):
        for split in ("train", "val"):
            for kind in ("cat", "dog"):
                (root / name / split / kind).mkdir(parents=True)
                picture.save(root / name / split / kind / "1.jpg")
    (root / "broken" / "train" / "dog" / "2.jpg").write_text("no picture")
    (root / "lacking" / "val" / "dog" / "1.jpg").unlink()
    (root / "lacking" / "val" / "dog").rmdir()
    (root / "empty" / "train" / "cat" / "1.jpg").unlink()
    (root / "only" / "train").mkdir(parents=True)
    (root / "text.txt").write_text("x")


BAD_INPUT = [
    (["finder.smoth_f=0.2"], r"^finder\.smoth_f is not a key of the config; did you mean finder\.smooth_f\?$"),
    (["model=resnet19"], r"^model=resnet19 is not an option of model; did you mean resnet18"),
    (["model=null"], r"^model=null: a group needs one of its options"),
    (["model=torchvision", "model.name=resnet19"], r"^model\.name='resnet19' is not known; did you mean resnet18 "),
    (["++model.widht=3"], r"widht is not known; did you mean widths"),
    (["model.weights=nowhere.pt"], r"^model\.weights='nowhere\.pt' is not a file"),
    (["finder.start_lr=1", "finder.end_lr=0.1"], r"^finder\.start_lr must be below finder\.end_lr; got "),
    (["finder.start_lr=-1"], r"^finder\.start_lr must be above 0; got -1\.0$"),
    (["finder.num_iter=20"], r"^finder\.num_iter=20 leaves 5 points .* raise finder\.num_iter to 25 or more"),
    (["finder.num_iter=many"], r"^finder\.num_iter must be a whole number; got many$"),
    (["finder.smooth_f=1.0"], r"^finder\.smooth_f must be in \[0, 1\)"),
    (["data=imagefolder"], r"^data\.root is needed for data\._target_=.*\.imagefolder: give data\.root="),
    (["data=imagefolder", "data.root=nowhere"], r"^data\.root='nowhere' is not a folder; it must hold train/"),
    (["data=imagefolder", "data.root=empty"], r"^the class folder 'empty/train/cat' under data\.root holds no images$"),
    (["data=imagefolder", "data.root=lacking"], r"^data\.root='lacking': train/ and val/ must have the same class"),
    (["data=imagefolder", "data.root=broken"], r"^'broken/train/dog/2\.jpg' under data\.root can't be read as"),
    (["data=cifar10"], r"^cifar10 is not in data\.root='data': set data\.download=true"),
    (["data=fashion_mnist"], r"^fashion_mnist is not in data\.root='data'"),
    (["data.batch_size=6000"], r"^data\.batch_size=6000 is above the 5000 training samples"),
    (["data.batch_size=1", "model=resnet18"], r"^data\.batch_size=1 gives a batch of one image, in which BatchNorm"),
    (["data.mean=[0,0]", "data.std=[1,1]"], r"^data\.mean must be one finite number, or 1 "),
    (["optimizer.name=adamz"], r"^optimizer\.name is now optimizer\._target_; did you mean .*torch\.optim\.Adam\?$"),
    (["++optimizer.momentun=0.9"], r"momentun is not known; did you mean momentum\? "),
    (["optimizer.groups=[{pattern:head}]"], r"^optimizer\.groups.0.*'head' matches no trainable parameter"),
    (["loss.name=huber"], r"^loss\.name is now loss\._target_; take loss="),
    (["+augmentation.transforms.RandomFlop=null"],
     r"^augmentation\.transforms\.RandomFlop\._target_=.* has no RandomFlop; did you mean "),
    (["+augmentation.transforms.RandomGrayscale={q:0.1}"],
     r"^augmentation\.transforms\.RandomGrayscale\.q is not known; allowed: p "),
    (["device=cpu", "device.precision=16-mixed"], r"^device\.precision=16-mixed does not work on a CPU: use "),
    (["store.dir=text.txt"], r"^store\.dir=\S+text\.txt can't be opened: Not a directory; .* store\.enabled=false$"),
    (["store.dir=broken"], r"^store\.dir=\S+broken is no steadylr store"),
    (["seed=1,2"], r"To sweep over it, add --multirun"),
    (["--config-dir", "nowhere"], r"^--config-dir nowhere is not a folder"),
]  # fmt: skip


@pytest.mark.parametrize(("overrides", "message"), BAD_INPUT, ids=[" ".join(o[0]) for o in BAD_INPUT])
def test_bad_input_gets_one_clear_message_and_trains_nothing(
    overrides: list[str], message: str, folder: Path
) -> None:
    """The key, what came and what is allowed on standard error, exit code 1, no curve, no traceback."""
    write_tree(folder)
    done = find_lr(*overrides)
    assert (done.code, done.out) == (1, "")
    assert re.search(message, done.err.strip(), flags=re.M), done.err
    assert "Traceback" not in done.err
    assert len(done.err.strip().splitlines()) == 1 or "HYDRA_FULL_ERROR" in done.err
    assert not list(folder.rglob("*.npz"))
    assert not list(folder.rglob("record.json"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_a_gpu_that_is_not_there_is_bad_input(folder: Path) -> None:
    """The message says what this machine has, also for a precision that needs a GPU."""
    assert re.match(
        r"device\.accelerator=cuda is not there: this machine has .*cpu", find_lr("device=cuda").err
    )
    if not torch.backends.mps.is_available():
        half = find_lr("device.precision=16-mixed").err
        assert half.startswith(
            "device.precision=16-mixed does not work on a CPU, which is all that this machine has"
        )


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_a_sweep_on_a_gpu_that_is_not_there_starts_nothing(folder: Path) -> None:
    """It is one sentence, before there are workers or folders."""
    done = find_lr("-m", *TINY, "seed=1,2", "device.accelerator=cuda")
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("device.accelerator=cuda is not there: this machine has ")
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("there_before", [True, False])
def test_a_dry_run_with_another_launcher_leaves_nothing(folder: Path, there_before: bool) -> None:
    """Each job says what it would do; what the sweep holds stays as it is."""
    sweep = folder / "outputs" / "sweeps" / "x"
    if there_before:
        leave_status(sweep / "0", "failed", error="no data")
    done = find_lr("-m", *TINY, "seed=1,2", "hydra/launcher=basic", "dry_run=true", "sweep_name=x")
    assert (done.code, done.out, done.err) == (0, "1 job, 1 training\n" * 2, "")
    assert [path.name for path in sweep.glob("[0-9]*")] == (["0"] if there_before else [])
    assert there_before or list(folder.iterdir()) == []


def test_a_job_that_a_dry_run_with_another_launcher_refuses_is_told(folder: Path) -> None:
    """With exit code 1."""
    done = find_lr("-m", *TINY, "finder.end_lr=1,inf", "hydra/launcher=basic", "dry_run=true")
    assert done.code == 1
    assert "finder.end_lr must be finite and above 0; got inf" in done.out


def test_bad_input_that_a_job_meets_is_in_its_status(folder: Path) -> None:
    """What is wrong stays readable in the folder of the run, without a traceback."""
    done = find_lr("optimizer.groups=[{pattern:head}]")
    run = only_run(folder)
    status = JobStatus.read(run)
    assert (status.status, status.traceback) == ("failed", None)
    assert status.error == done.err.strip()
    assert status.config is not None
    assert status.config["optimizer"]["groups"][0]["pattern"] == "head"
    assert done.err.strip() in (run / "find_lr.log").read_text()


# ---- what goes wrong while training


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
        MemoryError(),
    ],
    ids=["torch", "python"],
)
def test_out_of_memory_says_which_batch_size_was_tried(
    error: Exception, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One message with the batch size and what to change; the exit code is 1."""
    breaks(monkeypatch, error)
    done = find_lr(*TINY, "data.batch_size=50")
    assert done.code == 1
    assert re.match(r"out of memory with data\.batch_size=50: lower data\.batch_size", done.err)
    assert "Traceback" not in done.err


@pytest.mark.parametrize("error", [ZeroDivisionError("float division"), RuntimeError("boom")], ids=repr)
def test_an_unforeseen_error_is_told_in_one_line_with_its_traceback_in_a_file(
    error: Exception, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The terminal shows what went wrong and where the traceback is; status and log hold it."""
    breaks(monkeypatch, error)
    done = find_lr(*TINY)
    run = only_run(folder)
    assert (done.code, done.out) == (1, "")
    assert done.err.splitlines() == [
        f"{type(error).__name__}: {error}",
        f"The traceback is in {run / 'status.json'}",
    ]
    assert "in raising" in json.loads((run / "status.json").read_text())["traceback"]
    assert "in raising" in (run / "find_lr.log").read_text()
    assert not (run / "record.json").exists()


def test_an_interrupted_run_says_so_and_leaves_no_record(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C ends with 130; the status says interrupted, and the store holds nothing of it."""
    breaks(monkeypatch, KeyboardInterrupt())
    done = find_lr(*TINY)
    run = only_run(folder)
    assert (done.code, done.out) == (130, "")
    assert done.err == f"Interrupted: {run} holds no answer\n"
    assert JobStatus.read(run).status == "interrupted"
    assert {entry.name for entry in run.iterdir()} == LEFT - OF_AN_ANSWER
    assert not list(folder.rglob("*.npz"))


def test_an_interrupt_after_the_last_word_changes_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that finished stays finished, also where Ctrl-C comes while its answer is printed."""
    from steadylr.jobs import job

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(job, "show_run", interrupted)
    done = find_lr(*TINY)
    run = only_run(folder)
    assert (done.code, done.out, done.err) == (130, "", "")
    assert JobStatus.read(run).status == "finished"
    assert RunRecord.read(run).run.num_points


def test_a_cluster_that_ends_a_run_is_heard(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SIGTERM ends it as Ctrl-C does."""
    from steadylr.run import range_test as module

    monkeypatch.setattr(module, "range_test", lambda *_, **__: os.kill(os.getpid(), signal.SIGTERM))
    done = find_lr(*TINY)
    run = only_run(folder)
    assert (done.code, done.out, done.err) == (130, "", f"Interrupted: {run} holds no answer\n")
    assert JobStatus.read(run).status == "interrupted"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_of_the_aggregation_is_one_sentence(
    folder: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    """And 130: what has been trained is kept."""
    from steadylr.jobs.session import SESSION
    from steadylr.report import conclude as module

    def run_hydra() -> int:
        SESSION.sweep_folder, SESSION.sweep_config = folder, OmegaConf.create({"dry_run": False})
        return program.finish()

    monkeypatch.setattr(program, "_run_hydra", run_hydra)
    monkeypatch.setattr(module, "conclude_sweep", lambda *_, **__: os.kill(os.getpid(), number))
    done = find_lr("-m", "seed=1")
    assert (done.code, done.out) == (130, "")
    assert done.err == "interrupted before the answer was written; the same command goes on from here\n"


def test_an_answer_that_cannot_be_printed_is_an_answer(folder: Path) -> None:
    """A closed pipe or a full disk behind standard output fails no job; the exit code and a sentence tell of it."""
    done = find_lr(*TINY, out=FullDisk())
    assert done.code == 1
    assert done.err.splitlines() == [
        "standard output can't be written (No space left on device); what the command leaves in files is there all "
        "the same"
    ]
    assert JobStatus.read(only_run(folder)).status == "finished"


# ---- processes


@pytest.mark.slow
def test_the_program_from_an_empty_folder_and_again_from_the_store(tmp_path: Path) -> None:
    """Output without a terminal is plain; the second time neither torch nor anything of it is imported."""
    first = process(FIND_LR, "finder.num_iter=60", "device.threads=1", cwd=tmp_path)
    assert (first.code, first.err) == (0, "")
    assert first.out.startswith("small_resnet on fashion_mnist_mini, seed 0: LR ")
    assert not re.search(r"\x1b|\r|it/s", first.out)
    assert {entry.name for entry in only_run(tmp_path).iterdir()} == LEFT | PLAN
    second = process("-X", "importtime", FIND_LR, "finder.num_iter=60", "device.threads=1", cwd=tmp_path)
    assert second.code == 0
    assert torch_line(second.out) == torch_line(first.out)
    assert "This run came from the store" in second.out
    assert imported(second, "numpy", "torch", "torchvision", "lightning_fabric") == ["numpy"]


@pytest.mark.slow
def test_at_a_terminal_a_progress_bar_runs(tmp_path: Path) -> None:
    """Loss, LR and speed while it trains; then the answer, in lines of at most 80 columns but for the paste."""
    done = at_terminal(FIND_LR, "finder.num_iter=150", "device.threads=1", cwd=tmp_path)
    assert done.code == 0
    assert re.search(r"\d+/150 .*loss [\d.]+ +LR \d\.\d\de-\d +\d+ it/s", done.out)
    answer = re.sub(r"\x1b\[[\d;]*m", "", done.out[done.out.index("small_resnet on") :])
    lines = answer.splitlines()
    assert lines[0].startswith("small_resnet on fashion_mnist_mini, seed 0: LR ")
    assert all(len(line) <= 80 for line in lines if not line.startswith("torch.optim"))


@pytest.mark.slow
@pytest.mark.parametrize(
    "overrides", [(), ("data.workers=1", "augmentation=light")], ids=["plain", "data worker"]
)
def test_control_c_while_training_leaves_no_half_written_record(
    tmp_path: Path, overrides: tuple[str, ...]
) -> None:
    """Typed once the progress shows a loss: exit code 130, status interrupted, no record, no stored run."""
    typed = False

    def once_it_trains(seen: str) -> str:
        nonlocal typed
        if typed or "it/s" not in seen:
            return ""
        typed = True
        return "\x03"

    command = (FIND_LR, "finder.num_iter=100000", "device.threads=1", *overrides)
    done = at_terminal(*command, cwd=tmp_path, answer=once_it_trains)
    run = only_run(tmp_path)
    assert done.code == 130
    assert "Interrupted: " in done.out
    assert "Traceback" not in done.out
    assert JobStatus.read(run).status == "interrupted"
    assert {entry.name for entry in run.iterdir()} == LEFT - OF_AN_ANSWER
    left = [path.name for path in (tmp_path / "outputs" / "store").rglob("*") if path.is_file()]
    assert all(name == "STEADYLR_STORE" or name.endswith(".lock") for name in left)


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["--cfg", "job"], ["--cfg", "job", "--resolve"], ["--info"], ["--hydra-help"]],
    ids=" ".join,
)
def test_asking_about_the_program_imports_nothing_heavy(tmp_path: Path, arguments: list[str]) -> None:
    """Help, config and information come at once, without torch or numpy, and leave no folder."""
    done = process("-X", "importtime", FIND_LR, *arguments, cwd=tmp_path)
    assert done.code == 0
    assert done.out
    assert imported(done, *HEAVY) == []
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("find_lr.py optim", {"optimizer=", "optimizer."}),
        (
            "find_lr.py optimizer=s",
            {"optimizer=schedulefree_adamw", "optimizer=schedulefree_sgd", "optimizer=sgd"},
        ),
        ("find_lr.py finder.sk", {"finder.skip_start=", "finder.skip_end="}),
    ],
)
def test_tab_completion_imports_nothing_heavy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, expected: set[str]
) -> None:
    """Groups, options and keys are completed without torch or numpy."""
    monkeypatch.setenv("COMP_LINE", line)
    monkeypatch.setenv("COMP_POINT", str(len(line)))
    done = process("-X", "importtime", FIND_LR, "-sc", "query=bash", cwd=tmp_path)
    assert set(done.out.split()) == expected
    assert imported(done, *HEAVY) == []


def test_a_cfg_with_a_typo_still_shows_the_config(tmp_path: Path) -> None:
    """--cfg refuses unknown keys like a run does."""
    done = find_lr("--cfg", "job", "+finder.smoth_f=1")
    assert isinstance(done, Finished)
    assert (done.code, done.out) == (1, "")
    assert "did you mean finder.smooth_f?" in done.err
