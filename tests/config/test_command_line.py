"""The command line as a whole: its options in any order, and sweeps and plugins that can't be."""

from __future__ import annotations

import pytest

from steadylr import __version__
from steadylr.config.command_line import CommandLine
from steadylr.config.errors import BadInput
from steadylr.config.overrides import check_keys


@pytest.mark.parametrize("argv", [["-m", "seed=1,2"], ["seed=1,2", "-m"], ["seed=1,2", "--multirun"]])
def test_options_may_stand_anywhere(argv: list[str]) -> None:
    """Hydra's parser gets the options first."""
    assert CommandLine.of([*argv, "model=mlp"]).ordered == ("--multirun", "seed=1,2", "model=mlp")


def test_options_with_values_keep_them() -> None:
    """Each becomes one word, so that no override can be taken for a value."""
    line = CommandLine.of(["seed=1", "--cfg", "job", "--resolve", "-p", "model", "finder=quick"])
    assert line.ordered == ("--cfg=job", "--resolve", "--package=model", "seed=1", "finder=quick")
    assert CommandLine.of(list(line.ordered)).ordered == line.ordered


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["-m", "seed=1", "--foo"], "unrecognized arguments: --foo"),
        (["seed=1", "--cfg"], "argument --cfg/-c: expected one argument"),
        (["-m", "--cfg", "job"], "-m and --cfg can't be given together"),
        (["--resolve"], "--resolve goes with --cfg"),
        (["-p", "model"], "--package goes with --cfg: give --cfg job --package model"),
        (["--experimental-rerun", "x.pickle"], "--experimental-rerun is not supported"),
        (["--config-dir", "nowhere"], "--config-dir nowhere is not a folder"),
    ],
)
def test_what_the_parser_refuses_is_one_sentence(argv: list[str], said: str) -> None:
    """And no usage text."""
    with pytest.raises(BadInput, match=said) as error:
        CommandLine.of(argv)
    assert "\n" not in str(error.value)


def test_the_version_is_this_programs(capsys: pytest.CaptureFixture[str]) -> None:
    """Not Hydra's."""
    with pytest.raises(SystemExit) as ended:
        CommandLine.of(["--version"])
    assert (ended.value.code, capsys.readouterr().out) == (0, f"steadylr {__version__}\n")


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("seed=range(0,0)", r"seed=range\(0,0\) has no values"),
        ("seed=range(5,1)", r"seed=range\(5,1\) has no values"),
        ("seed=range(0,5,0)", r"seed=range\(0,5,0\): range\(\) arg 3 must not be zero"),
        ("seed=interval(0,5)", "a sweep needs single values, and an interval has none"),
        ("seed=glob(*)", r"glob\(\) chooses among the options of a group"),
        ("finder.num_iter=glob(*)", r"glob\(\) chooses among the options of a group"),
        ("hydra/sweeper=optuna", "looks for the best value of an objective"),
        ("hydra/launcher=ray", "hydra/launcher=ray is a plugin that is not installed: pip install hydra-ray-launcher"),
        ("hydra.launcher.backend=dask", "hydra.launcher.backend=dask would be passed over"),
        ("consensus.mix=2", "consensus.mix must be true or false; got 2"),
        ("store.enabled=0", "store.enabled must be true or false; got 0"),
        ("dry_run=1.5", "dry_run must be true or false; got 1.5"),
    ],
)  # fmt: skip
def test_a_sweep_a_plugin_or_a_flag_that_cannot_be_is_named(override: str, said: str) -> None:
    """Before Hydra composes anything."""
    with pytest.raises(BadInput, match=said):
        check_keys(["-m", override])


@pytest.mark.parametrize(
    "override",
    ["seed=range(0,5)", "seed=1,2", "model=glob(m*)", "seed=sort(3,1)", "dry_run=true", "hydra/sweeper=basic",
     "hydra/launcher=basic", "hydra.launcher.backend=loky", "hydra.launcher.backend=null"],
)  # fmt: skip
def test_sweeps_plugins_and_flags_that_can_be_are_left_alone(override: str) -> None:
    """Whatever their form."""
    check_keys(["-m", override])
