"""The checks: one clear message for whatever may not be in a config."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any, get_args

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf, open_dict

from composing import composed
from steadylr.config import schema
from steadylr.config import values as checks
from steadylr.config.errors import BadInput
from steadylr.config.folder import config_folder
from steadylr.config.keys import all_keys, hints, ranges
from steadylr.config.overrides import check_keys, unknown_override
from steadylr.config.ranges import Range
from steadylr.config.values import check_config, doubts
from steadylr.core.settings import READING_KEYS
from steadylr.run.ranks import Rank
from steadylr.training.identity import training_config

CONF = config_folder()


def checked(*overrides: str) -> schema.Config:
    return check_config(composed(*overrides))


BAD_OVERRIDES = [
    ("finder.smoth_f=0.2", r"^finder\.smoth_f is not a key of the config; did you mean finder\.smooth_f\?$"),
    ("+finder.smoth_f=0.2", r"^finder\.smoth_f is not .* did you mean finder\.smooth_f\?$"),
    ("++finder.smoth_f=0.2", r"^finder\.smoth_f is not .* did you mean finder\.smooth_f\?$"),
    ("~finder.smoth_f", r"^finder\.smoth_f is not .* did you mean finder\.smooth_f\?$"),
    ("finder.smoth_f=0.05,0.15", r"did you mean finder\.smooth_f\?$"),
    ("smooth_f=0.2", r"did you mean finder\.smooth_f\?$"),
    ("workers=2", r"did you mean data\.workers or device\.workers\?$"),
    ("optimiser=adamw", r"did you mean optimizer\?$"),
    ("optimiser.weight_decay=1", r"did you mean optimizer\.weight_decay\?$"),
    ("+expriment=quick", r"did you mean experiment\?$"),
    ("zzz=1", r"^zzz is not a key of the config; allowed: seed, seeds, model, "),
    ("finder.zzz=1", r"finder has start_lr, end_lr, "),
    ("seed.x=1", r"seed is a value, with no keys of its own$"),
    ("optimizer.groups.0.lr=2", r"lr is not a key .*: the ramp sets the LR, and optimizer\.groups\.0\.lr_mult"),
    ("optimizer.groups=[{pattern:x,lr:2}]", r"^optimizer\.groups\.0\.lr is not a key of the config: the ramp sets"),
    ("optimizer.groups.0.lr_mul=2", r"did you mean optimizer\.groups\.0\.lr_mult\?$"),
    ("model=resnet19", r"^model=resnet19 is not an option of model; did you mean resnet18 or resnet50\? \(any clas"),
    ("model=mlp,resnet19", r"^model=resnet19 is not an option of model"),
    ("data=zzz", r"^data=zzz is not an option of data; allowed: cifar10, fashion_mnist, "),
    ("+experiment=[quick,nope]",
     r"^experiment=nope is not an option of experiment; allowed: attribution, for_length, imagenet_local_dev, "
      r"quick, until_stable"),
    ("sweep_name=20250101_1", r"^sweep_name must be text; 20250101_1 arrived as 202501011 \(int\): quote it, "
     r"'sweep_name=\"20250101_1\"'"),
    ("sweep_name=1e5", r"sweep_name must be text; 1e5 arrived as 100000\.0 \(float\)"),
    ("sweep_name=null", r"sweep_name must be text"),
    ("sweep_name=a,b", r"^sweep_name names one folder; got 'a,b'"),
    ("sweep_name=a/b", r"^sweep_name must be a plain folder name .* got 'a/b'$"),
    ("sweep_name=..", r"no dot at its start, .* got '\.\.'$"),
    ("sweep_name=", r"got ''$"),
    ("data.root=~/x", r"""can't be read as an override: a value with accents .*'data\.root="~/x"'$"""),
    ("seed=1,", r"^'seed=1,' can't be read as an override: a value is missing beside a comma$"),
    ("seed=1,,2", r"a value is missing beside a comma$"),
    ("seed=range(0,5", r"""a bracket has no counterpart; one .*'seed="range\(0,5"'$"""),
    ("store.dir=a=b", r"""'store\.dir="a=b"'$"""),
    ("finder.num_iter=abc", r"^finder\.num_iter must be a whole number; got abc$"),
    ("finder.num_iter=10.5", r"^finder\.num_iter must be a whole number; got 10\.5$"),
    ("finder.num_iter=300,many", r"^finder\.num_iter must be a whole number; got many$"),
    ("seed=1.0", r"^seed must be a whole number; got 1\.0$"),
    ("seed=1,two", r"^seed must be a whole number; got two$"),
    ("seed=null", r"^seed must be a whole number; got null$"),
    ("finder.smooth_f=high", r"^finder\.smooth_f must be a number; got high$"),
    ("finder.step_mode=log", r"^finder\.step_mode must be one of exp, linear; got log$"),
    ("finder.diverge_th=never", r"^finder\.diverge_th must be a number or null; got never$"),
    ("device.accelerator=tpu", r"^device\.accelerator must be one of auto, cpu, cuda, mps; got tpu$"),
    ("model.freeze=perhaps", r"^model\.freeze must be true or false; got perhaps$"),
    ("data.image_size=large", r"^data\.image_size must be a whole number or null; got large$"),
    ("data.mean=[a]", r"^data\.mean must be a list of numbers or null; got \['a'\]$"),
    ("data.mean=0.5", r"^data\.mean must be a list of numbers or null; got 0\.5$"),
    ("augmentation.transforms=3", r"^augmentation\.transforms must be a mapping; got 3$"),
    ("optimizer.groups=[{patern:fc}]",
     r"^optimizer\.groups\.0\.patern is not a key of the config; did you mean optimizer\.groups\.0\.pattern\?$"),
    ("optimizer.groups=[fc]", r"^optimizer\.groups must be a list of mappings with pattern, lr_mult, weight_decay; "),
    ("store={enabld:false}", r"^store must be a mapping with enabled, dir; got \{'enabld': False\}$"),
    ("model=null", r"^model=null: a group needs one of its options; allowed: convnext_tiny, huggingface, "),
    ("resnet18", r"^'resnet18' can't be read as an override: write key=value"),
]  # fmt: skip


@pytest.mark.parametrize(("override", "message"), BAD_OVERRIDES, ids=[o[0] for o in BAD_OVERRIDES])
def test_a_bad_override_is_named_with_what_was_probably_meant(override: str, message: str) -> None:
    """Unknown keys, options and unreadable values get one message, before anything is composed."""
    with pytest.raises(BadInput, match=message):
        check_keys([override])


GOOD_OVERRIDES = [
    "seed=1,2,3",
    "seed=range(0,5)",
    "model=small_resnet,mlp",
    "model=glob(*)",
    "++model.a.b=5",
    "+optimizer.dampening=0.1",
    'optimizer.groups=[{pattern:"fc.*",lr_mult:10}]',
    "optimizer.groups.0.lr_mult=3",
    "~augmentation.transforms.ColorJitter",
    "augmentation.transforms.RandomCrop.size=3",
    "hydra.launcher.n_jobs=2",
    "hydra/launcher=basic",
    "+hydra.foo=1",
    "+experiment=quick",
    "finder.diverge_th=null",
    "finder.diverge_th=1,2.5,null",
    "finder.end_lr=10",
    "finder.step_mode=exp,linear",
    "device.precision=32",
    "data.mean=[0.5],[0,1]",
    "model.freeze=True",
    "model.weights=/some/file.pt",
    "model.depth=5",
    "optimizer.momentum=0.5",
    "seeds.init=${seed}",
    "sweep_name=${now:%Y}",
    "'sweep_name=night'".strip("'"),
    "store={enabled:false}",
]


@pytest.mark.parametrize("override", GOOD_OVERRIDES)
def test_a_good_override_passes(override: str) -> None:
    """Every way to name a known key, and all that is Hydra's own, is let through."""
    check_keys(["-m", override])


def test_all_bad_overrides_are_reported_together() -> None:
    """Nobody has to repair one word per attempt."""
    with pytest.raises(
        BadInput, match=r"^2 problems:\n  - finder\.smoth_f .*\n  - sed is not a key"
    ) as caught:
        check_keys(["finder.smoth_f=1", "sed=1", "seed=1"])
    assert str(caught.value).count("\n") == 2


@pytest.mark.parametrize(
    "argv", [["-sc", "query=bash"], ["--help", "x=1"], ["--hydra-help"], ["--cfg", "job"], []]
)
def test_what_is_not_a_run_is_left_to_hydra(argv: Sequence[str]) -> None:
    """Tab completion and help pass with whatever they carry."""
    check_keys(argv)


def test_options_in_a_config_dir_are_known(tmp_path: Path) -> None:
    """A user's own options and groups count, by --config-dir and by hydra.searchpath."""
    for name in ("model/mine.yaml", "mygroup/a.yaml", "experiment/sub/deep.yaml"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}\n")
    for added in (["--config-dir", str(tmp_path)], [f'hydra.searchpath=["file://{tmp_path}"]']):
        check_keys([*added, "model=mine", "+mygroup=a", "+experiment=sub/deep"])
        with pytest.raises(BadInput, match="model=yours is not an option of model"):
            check_keys([*added, "model=yours"])
    with pytest.raises(BadInput, match="model=mine is not an option"):
        check_keys(["model=mine"])


def test_options_of_packages_are_left_to_hydra() -> None:
    """What lies inside a package can't be listed here; its keys are checked all the same."""
    check_keys(["hydra.searchpath=[pkg://their.conf]", "model=theirs"])
    with pytest.raises(BadInput, match=r"finder\.smooth_f"):
        check_keys(["hydra.searchpath=[pkg://their.conf]", "finder.smoth_f=1"])


def test_a_config_dir_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """Hydra only warns of it."""
    with pytest.raises(BadInput, match=r"--config-dir .*nope is not a folder"):
        check_keys(["--config-dir", str(tmp_path / "nope")])


def test_another_schema_can_be_checked() -> None:
    """Other programs refuse unknown keys of their own config in the same words."""
    with pytest.raises(BadInput, match=r"^chose is not a key of the config; did you mean choose\?$"):
        check_keys(["chose=median"], schema.Consensus)
    check_keys(["choose=median"], schema.Consensus)


BAD_VALUES: list[tuple[list[str], str]] = [
    (["data.image_size=0"], r"data\.image_size must be at least 1; got 0"),
    (["data.batch_size=0"], r"data\.batch_size must be at least 1; got 0"),
    (["data.workers=-1"], r"data\.workers must be at least 0 .*; got -1"),
    (["data.mean=[0.1,0.2]"], r"data\.mean and data\.std must have one number per channel"),
    (["data.mean=[]", "data.std=[]"], r"data\.mean and data\.std must have one number per channel"),
    (["data.mean=[inf]"], r"data\.mean must be finite; got \[inf\]"),
    (["data.std=[0]"], r"data\.std must be above 0; got \[0\.0\]"),
    (["data.name=cifar10"], r"^data\.name=cifar10 is another than data\._target_=.*fashion_mnist_mini: take data=ci"),
    (["model.name=resnet1", "model.weights=DEFAULT"], r"did you mean resnet18 or resnet50\? \(any .* model=torchv"),
    (["model.name=mlp"], r"^model\.name=mlp is another than model\._target_=.*SmallResNet: take model=mlp$"),
    (["data=cifar10", "data.root=null"], r"data\.root is needed for data\._target_=.*\.cifar10: give data\.root="),
    (["data=imagefolder"], r"^data\.root is needed for data\._target_=.*\.imagefolder: give data\.root=/path/to/i"),
    (["+experiment=imagenet_local_dev"],
     r"^data\.root is needed for data\._target_=.*\.imagefolder: give data\.root=/path/to/images$"),
    (["data.root=somewhere"], r"^data\.root has no meaning with data\._target_=.*fashion_mnist_mini, which takes no"),
    (["model.widht=[3]"], r"^model\.widht is not known; did you mean widths or .* of steadylr\.run\.models\.Small"),
    (["model.frese=true"], r"^model\.frese is not known; did you mean freeze"),
    (["optimizer.momentm=0"], r"^optimizer\.momentm is not known; did you mean momentum\? .* of torch\.optim\.SGD"),
    (["optimizer._target_=torch.optim.Adagrad", "~optimizer.momentum"],
     r"optimizer\.nesterov is not known; .*~optimizer\.nesterov takes it"),
    (["optimizer._target_=torch.optim.SDG"], r"^optimizer\._target_=torch\.optim\.SDG: .* has no SDG; did you mean"),
    (["optimizer._target_=torch.optim.LBFGS"], r"optimizer\._target_=torch\.optim\.LBFGS can't be ramped: it "),
    (["augmentation.transforms.Crop={}"], r"^augmentation\.transforms\.Crop\._target_=torchvision.* has no Crop; di"),
    (["augmentation=light", "augmentation.transforms.RandomCrop.paddin=1"],
     r"^augmentation\.transforms\.RandomCrop\.paddin is not known; did you mean padding or"),
    (["+model.kwargs.dropout=0.1"], r"^model\.kwargs\.dropout is now model\.dropout: arguments stand beside model"),
    (["optimizer.kwargs={momentum:0,eps:1}"],
     r"^optimizer\.kwargs\.momentum is now optimizer\.momentum; optimizer\.kwargs\.eps is now optimizer\.eps: arg"),
    (["++optimizer.kwargs.lr=1"], r"^optimizer\.kwargs\.lr is the ramp's to set, from finder\.start_lr to"),
    (["+model.library=timm"], r"^model\.library is gone: take model=timm or model=huggingface"),
    (["optimizer.name=adagrad"],
     r"^optimizer\.name is now optimizer\._target_; did you mean optimizer\._target_=torch\.optim\.Adagrad\?$"),
    (["optimizer.name=muon"], r"^optimizer\.name is now optimizer\._target_; take optimizer=muon$"),
    (["loss.name=mse"], r"^loss\.name is now loss\._target_; take loss=mse$"),
    (["model=torchvision"], r"^model\.name is needed for .*torchvision_classifier: give model\.name=regnet_y_400mf$"),
    (["optimizer.weight_decay=-0.1"], r"optimizer\.weight_decay must be at least 0; got -0\.1"),
    (["optimizer.weight_decay=nan"], r"optimizer\.weight_decay must be at least 0; got nan"),
    (["optimizer.groups=[{pattern:fc,lr_mult:-1}]"], r"optimizer\.groups\.0\.lr_mult must be at least 0; got -1"),
    (["optimizer.groups=[{pattern:fc,weight_decay:-1}]"], r"optimizer\.groups\.0\.weight_decay must be at least 0"),
    (["optimizer.groups=[{pattern:''}]"], r"optimizer\.groups\.0\.pattern must match"),
    (["loss.label_smoothing=1"], r"loss\.label_smoothing must be in \[0, 1\); got 1\.0"),
    (["loss=mse", "loss.label_smoothing=0.1"], r"loss\.label_smoothing has no meaning with .*OneHotMSE, .*; got 0\.1"),
    (["finder.start_lr=0"], r"finder\.start_lr must be above 0; got 0\.0"),
    (["finder.start_lr=-1"], r"finder\.start_lr must be above 0; got -1\.0"),
    (["finder.start_lr=nan"], r"finder\.start_lr must be above 0; got nan"),
    (["finder.end_lr=inf"], r"finder\.end_lr must be finite and above 0; got inf"),
    (["finder.start_lr=10"], r"finder\.start_lr must be below finder\.end_lr; got finder\.start_lr=10 and .*=10$"),
    (["finder.num_iter=1"], r"finder\.num_iter must be from 2 \(the two ends of the ramp\) to ten million"),
    (["finder.num_iter=20"], r"finder\.num_iter=20 leaves 5 points after finder\.skip_start=10 and "
     r"finder\.skip_end=5; at least 10 are needed: raise finder\.num_iter to 25 or more"),
    (["finder.scout_steps=5"], r"^finder\.scout_steps must be 0 \(none\), or at least 20 and below "
     r"finder\.num_iter=1000; got 5$"),
    (["finder.scout_steps=300", "finder.num_iter=300"], r"^finder\.scout_steps must .* got 300$"),
    (["finder.scout_steps=-1"], r"^finder\.scout_steps must be at least 0 \(0: none\); got -1$"),
    (["finder.scout_steps=50", "finder=smith"], r"^finder\.scout_steps needs finder\.step_mode=exp, as a linear "),
    (["finder.val_every=100"], r"num_iter=1000 read every finder\.val_every=100 steps leaves 0 points .* to 2500 "),
    (["finder.diverge_th=0"], r"finder\.diverge_th must be above 0 \(null switches the stop rule off\); got 0\.0"),
    (["finder.accumulation_steps=0"], r"finder\.accumulation_steps must be at least 1; got 0"),
    (["finder.val_every=-1"], r"finder\.val_every must be at least 0 \(0: never\); got -1"),
    (["finder.val_samples=0"], r"finder\.val_samples must be at least 1; got 0"),
    (["finder.smooth_f=1"], r"finder\.smooth_f must be in \[0, 1\) \(the share of .*; got 1\.0"),
    (["finder.smooth_f=-0.1"], r"finder\.smooth_f must be in \[0, 1\)"),
    (["finder.ema_weight=0"], r"finder\.ema_weight must be in \(0, 1\]; got 0\.0"),
    (["finder.skip_start=-1"], r"finder\.skip_start must be at least 0; got -1"),
    (["finder.skip_end=-1"], r"finder\.skip_end must be at least 0; got -1"),
    (["finder.rule=brackets"], r"finder\.rule=brackets is not known; did you mean bracket\?"),
    (["finder.rule=zzz"], r"finder\.rule=zzz is not known; allowed: .*bracket"),
    (["device.precision=16"], r"device\.precision must be one of 32, bf16-mixed, 16-mixed; got 16"),
    (["device=cpu", "device.precision=16-mixed"], r"^device\.precision=16-mixed does not work on a CPU: use "),
    (["device.devices=0"], r"^device\.devices must be at least 1; got 0$"),
    (["device=cpu", "device.devices=2"], r"^device\.devices=2 with device\.strategy=single: give device\.strategy=d"),
    (["device=cpu", "device.strategy=ddp", "device.devices=3"],
     r"^data\.batch_size=64 can't be shared equally by device\.devices=3: make it a multiple of 3$"),
    (["device=cuda", "device.strategy=fsdp", "device.devices=2", "device.precision=16-mixed"],
     r"^device\.precision=16-mixed does not work with device\.strategy=fsdp: use device\.precision=bf16-mixed or "),
    (["model=lightning", "model._target_=torch.nn.Identity", "device=cpu", "device.strategy=ddp", "device.devices=2"],
     r"device\.devices=2 does not train a LightningModule \(model=lightning\): set device\.devices=1"),
    (["device=mps", "device.strategy=ddp", "device.devices=2"], r"does not work on a Mac, which has one GPU"),
    (["seed=-1"], r"^seed must be from 0 to 2\*\*63 - 1; got -1$"),
    (["seeds.init=-1"], r"^seeds\.init must be from 0 to 2\*\*63 - 1; got -1$"),
    (["finder.num_iter=10000001"], r"^finder\.num_iter must be from 2 .* to ten million; got 10000001$"),
    (["model.min_image_size=0"], r"^model\.min_image_size must be at least 1; got 0$"),
    (["device.threads=0"], r"device\.threads must be at least 1 .*; got 0"),
    (["device.workers=0"], r"device\.workers must be at least 1 .*; got 0"),
    (["onecycle.div_factor=0.5"], r"onecycle\.div_factor must be at least 1 "),
    (["onecycle.final_div_factor=0"], r"onecycle\.final_div_factor must be at least 1 "),
    (["onecycle.pct_start=0"], r"onecycle\.pct_start must be in \(0, 1\); got 0\.0"),
    (["onecycle.pct_start=1"], r"onecycle\.pct_start must be in \(0, 1\); got 1\.0"),
    (["onecycle.total_steps=1"], r"onecycle\.total_steps must be at least 2 "),
    (["onecycle.total_steps=3"], r"onecycle\.pct_start \* onecycle\.total_steps must be above 1"),
    (["optimizer.momentum=nan"], r"optimizer\.momentum must be a number; got nan"),
    (["optimizer=adamw", "optimizer.betas=[0.9,nan]"], r"optimizer\.betas must be a number; got \[0\.9, nan\]"),
    (["onecycle.base_momentum=0.99"], r"onecycle\.base_momentum must not be above onecycle\.max_momentum"),
    (["onecycle.max_momentum=1"], r"onecycle\.max_momentum must be in \[0, 1\); got 1\.0"),
    (["store.dir=''"], r"store\.dir must name a folder"),
    (["sweep_name=20250101_1"], r"sweep_name must be text; 202501011 arrived as 202501011 \(int\)"),
    (["sweep_name='../x'"], r"sweep_name must be a plain folder name .* got '\.\./x'"),
    (["sweep_name='.x'"], r"no dot at its start"),
    (["sweep_name='a\\b'"], r"no path separators"),
    (["sweep_name=''"], r"got ''"),
    ([f"sweep_name={'x' * 101}"], r"1 to 100 characters"),
    (["+finder.smoth_f=0.2"], r"^finder\.smoth_f is not a key of the config; did you mean finder\.smooth_f\?$"),
    (["+zzz=1"], r"^zzz is not a key of the config; allowed: seed, "),
]  # fmt: skip


@pytest.mark.parametrize(("overrides", "message"), BAD_VALUES, ids=[" ".join(o[0]) for o in BAD_VALUES])
def test_a_bad_value_is_named_with_what_is_allowed(overrides: list[str], message: str) -> None:
    """Each value outside its range gets one message that names the key, what came and what is allowed."""
    with pytest.raises(BadInput, match=message) as caught:
        checked(*overrides)
    assert not str(caught.value).startswith("2 problems") or "start_lr" in overrides[0]


def test_a_momentum_may_stay_as_it_is() -> None:
    """Equal ends are no mistake: then OneCycle cycles the LR alone."""
    onecycle = checked("onecycle.base_momentum=0.9", "onecycle.max_momentum=0.9").onecycle
    assert onecycle.base_momentum == onecycle.max_momentum == 0.9


def test_all_bad_values_are_reported_together() -> None:
    """Unknown keys and bad values come in one message, one line each."""
    with pytest.raises(BadInput) as caught:
        checked("finder.smooth_f=1", "data.batch_size=0", "+finder.smoth_f=1", "onecycle.pct_start=2")
    lines = str(caught.value).splitlines()
    assert lines[0] == "4 problems:"
    assert [re.match(r"  - (\S+)", line)[1] for line in lines[1:]] == [  # type: ignore[index]
        "finder.smoth_f",
        "data.batch_size",
        "finder.smooth_f",
        "onecycle.pct_start",
    ]


def leaves(kind: type = schema.Config, prefix: str = "") -> dict[str, Any]:
    """Every key of the schema that holds a value, with its type."""
    found: dict[str, Any] = {}
    for name, hint in hints(kind).items():
        if isinstance(hint, type) and is_dataclass(hint):
            found |= leaves(hint, f"{prefix}{name}.")
        else:
            found[prefix + name] = hint
    return found


def test_every_number_has_a_range() -> None:
    """No numeric key goes unchecked, and no range belongs to a key that isn't there."""
    numbers = {key for key, hint in leaves().items() if {int, float} & {hint, *get_args(hint)}}
    assert numbers - {"data.mean", "data.std"} == set(ranges(schema.Config))


@pytest.mark.parametrize(
    ("allowed", "inside", "outside", "words"),
    [
        (Range(1), [1, 2, 1e300], [0.99, float("nan"), float("inf")], "at least 1"),
        (Range(0, open_low=True), [1e-300], [0, -1, float("nan")], "above 0"),
        (Range(0, 1), [0, 0.99], [1, -0.01], "in [0, 1)"),
        (Range(0, 1, open_low=True), [0.01], [0, 1], "in (0, 1)"),
        (Range(0, 1, open_low=True, open_high=False), [0.01, 1], [0, 1.01], "in (0, 1]"),
    ],
)
def test_a_range_says_what_it_holds(
    allowed: Range, inside: list[float], outside: list[float], words: str
) -> None:
    """The words of a range and what it lets through agree; NaN and infinity never pass."""
    assert all(allowed.holds(value) for value in inside)
    assert not any(allowed.holds(value) for value in outside)
    assert allowed.words() == words


def test_a_config_from_a_file_is_checked_alike() -> None:
    """A resolved config that was written to disk and read again gives the same dataclasses."""
    cfg = composed("model=resnet18", 'optimizer.groups=[{pattern:"fc.*"}]', "augmentation=light")
    text = OmegaConf.to_yaml(cfg, resolve=True)
    loaded = OmegaConf.create(text)
    assert isinstance(loaded, DictConfig)
    assert check_config(loaded) == check_config(OmegaConf.create(text)) == checked_from(cfg)
    with open_dict(loaded):
        loaded.optimizer.groups[0].lr_mul = 3
        loaded.finder.smoth_f = 3
    with pytest.raises(BadInput, match=r"groups\.0\.lr_mul .*groups\.0\.lr_mult\?\n.*finder\.smooth_f\?$"):
        check_config(loaded)


def checked_from(cfg: DictConfig) -> schema.Config:
    """check_config of what a config resolves to now, so that ${now:} is the same in both."""
    return check_config(cfg)


def test_wrong_types_in_a_file_are_bad_input() -> None:
    """A file with text for a number is refused by key."""
    cfg = OmegaConf.create({"finder": {"num_iter": "many"}})
    with pytest.raises(BadInput, match=r"finder\.num_iter|num_iter: .*many"):
        check_config(cfg)


def test_a_value_left_open_in_a_file_is_missing() -> None:
    """??? asks for a value, also where the schema has a default."""
    cfg = OmegaConf.create(OmegaConf.to_yaml(composed(), resolve=True))
    cfg.finder.num_iter = "???"
    with pytest.raises(BadInput, match=r"^finder\.num_iter is missing: give finder\.num_iter=VALUE$"):
        check_config(cfg)


def test_a_broken_reference_is_bad_input() -> None:
    """${...} that leads nowhere names its key."""
    with pytest.raises(BadInput, match="seed"):
        checked("seed=${nowhere}")


def test_home_folders_are_expanded(monkeypatch: pytest.MonkeyPatch) -> None:
    """~ in a path means the home folder, as in a shell."""
    monkeypatch.setenv("HOME", "/home/somebody")
    config = checked("data=cifar10", 'data.root="~/images"', 'store.dir="~/store"')
    assert (config.data.root, config.store.dir) == ("/home/somebody/images", "/home/somebody/store")


def test_only_the_config_itself_is_checked() -> None:
    """Hydra's own part may come along."""
    schema.register()
    with initialize_config_dir(CONF, version_base="1.3"):
        cfg = compose("find_lr", overrides=["hydra.job.num=0"], return_hydra_config=True)
    cfg.hydra.runtime.output_dir = "x"
    cfg.hydra.job.id = "x"
    cfg.hydra.runtime.choices = {}
    with open_dict(cfg):
        del cfg["hydra"]
    assert check_config(cfg).seed == 0


def test_frozen_random_weights_are_doubted() -> None:
    """It is allowed to train the last layer on random features, and a warning says that one does."""
    assert doubts(checked()) == []
    assert doubts(checked("model.freeze=true", "model.weights=DEFAULT")) == []
    (doubt,) = doubts(checked("model.freeze=true"))
    assert "model.freeze=true without model.weights" in doubt


CHANGES = {
    **dict.fromkeys(("seed", "seeds.init", "seeds.order", "seeds.augment", "seeds.noise"), "5"),
    "model._target_": "torch.nn.Identity",
    "model.name": "SmallResNet",
    "model.min_image_size": "30",
    "model.weights": "DEFAULT",
    "model.freeze": "true",
    "model.is_lightning": "true",
    "model.optimizer_index": "1",
    "data._target_": "steadylr.run.datasets.cifar10",
    "data.name": "FashionMNIST",
    "data.root": "elsewhere",
    "data.fingerprint": "a",
    "data.download": "true",
    "data.image_size": "30",
    "data.mean": "[0.5]",
    "data.std": "[0.5]",
    "data.batch_size": "60",
    "data.workers": "3",
    "data.pin_memory": "true",
    "data.drop_last": "false",
    "augmentation.transforms": "{RandomInvert:{}}",
    "optimizer._target_": "torch.optim.Adagrad",
    "optimizer.weight_decay": "0.3",
    "optimizer.groups": "[{pattern:x}]",
    "loss._target_": "torch.nn.MultiMarginLoss",
    "loss.as_step": "true",
    "loss.label_smoothing": "0.2",
    "finder.start_lr": "1e-6",
    "finder.end_lr": "5",
    "finder.num_iter": "900",
    "finder.scout_steps": "50",
    "finder.step_mode": "linear",
    "finder.diverge_th": "null",
    "finder.accumulation_steps": "2",
    "finder.val_every": "5",
    "finder.val_samples": "400",
    "finder.smooth_f": "0.1",
    "finder.smoother": "ema",
    "finder.ema_weight": "0.2",
    "finder.skip_start": "11",
    "finder.skip_end": "6",
    "finder.rule": "steepest",
    "device.accelerator": "cpu",
    "device.precision": "bf16-mixed",
    "device.threads": "3",
    "device.channels_last": "true",
    "device.deterministic": "true",
    "device.strategy": "ddp",
    "device.devices": "4",
    "device.workers": "3",
    "onecycle.div_factor": "5",
    "onecycle.final_div_factor": "5",
    "onecycle.pct_start": "0.5",
    "onecycle.cycle_momentum": "false",
    "onecycle.base_momentum": "0.5",
    "onecycle.max_momentum": "0.9",
    "onecycle.total_steps": "500",
    "onecycle.anneal_strategy": "linear",
    "consensus.choose": "median",
    "consensus.mix": "true",
    "store.enabled": "false",
    "store.dir": "elsewhere",
    "tracker.name": "mlflow",
    "tracker.dir": "elsewhere",
    "tracker.project": "mine",
    "tracker.uri": "http://host",
    "tracker.offline": "true",
    "sweep_name": "other",
    "dry_run": "true",
    "output": "quiet",
    "figures": "[svg]",
    "live": "true",
    "live_port": "9000",
    "live_host": "localhost",
    "report": "false",
}
NOT_TRAINED = {
    *(f"finder.{name}" for name in READING_KEYS),
    *(
        key
        for key in CHANGES
        if key.partition(".")[0] in ("seed", "seeds", "onecycle", "consensus", "store", "tracker")
    ),
    *("data.root", "data.download", "data.workers", "data.pin_memory"),
    "data.fingerprint",  # which stands in the key with the data's own
    *("device.accelerator", "device.threads", "device.workers"),
    *(
        "finder.val_samples",
        "sweep_name",
        "dry_run",
        "output",
        "figures",
        "report",
        "live",
        "live_port",
        "live_host",
    ),
}


WITH = {
    "model.optimizer_index": [
        "model._target_=torch.nn.Identity",
        "model.is_lightning=true",
        "device.devices=1",
    ],
    "model.is_lightning": ["device.devices=1"],
    "data._target_": ["data.name=null"],
    "optimizer._target_": ["~optimizer.momentum", "~optimizer.nesterov"],
    "loss.as_step": ["model._target_=torch.nn.Identity"],
}
"""What else a config says where a key changes, so that it may."""


def test_every_key_is_either_trained_or_not() -> None:
    """A new key can't be forgotten: this list must say whether it shapes the curve."""
    assert set(CHANGES) == set(leaves())
    assert {f"finder.{name}" for name in READING_KEYS} < set(CHANGES)


@pytest.mark.parametrize("key", CHANGES)
def test_the_training_config_changes_with_what_shapes_the_curve(key: str) -> None:
    """Analysis, seeds, folders and speed leave the training config as it is; all else changes it."""
    base = [
        "data=fashion_mnist",
        "data.root=somewhere",
        "device=cpu",
        "device.strategy=fsdp",
        "device.devices=2",
    ]
    base += WITH.get(key, [])
    free = "+" if CHANGES[key].startswith("{") else ""
    before = training_config(checked(*base))
    after = training_config(checked(*base, f"{free}{key}={CHANGES[key]}"))
    assert (before == after) == (key in NOT_TRAINED)


def test_the_strategy_of_one_device_shapes_nothing() -> None:
    """One device trains as it always did, and finds the runs that it stored before."""
    assert training_config(checked("device.strategy=ddp")) == training_config(checked())


def test_there_must_be_as_many_gpus_as_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    """As far as they can be seen without torch; where none can, the training says what is there."""
    overrides = ("device=cuda", "device.strategy=ddp", "device.devices=4")
    monkeypatch.setattr(checks, "visible_gpus", lambda: ["0", "1"])
    with pytest.raises(
        BadInput, match=r"^device\.devices=4 needs 4 GPUs on this machine, and 2 can be seen$"
    ):
        checked(*overrides)
    monkeypatch.setattr(checks, "torchrun_rank", lambda: Rank(1, 4, 1, 2))
    checked(*overrides)
    monkeypatch.setattr(checks, "torchrun_rank", lambda: None)
    monkeypatch.setattr(checks, "visible_gpus", list)
    checked(*overrides)


def test_torchrun_and_the_config_must_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    """The number of processes is part of what is trained, so that the config must say it; sweeps are refused."""
    monkeypatch.setattr(checks, "torchrun_rank", lambda: Rank(0, 2, 0, 2))
    with pytest.raises(
        BadInput, match=r"^torchrun has started 2 .*: give device\.strategy=ddp device\.devices=2$"
    ):
        checked("device=cpu")
    checked("device=cpu", "device.strategy=ddp", "device.devices=2")
    with pytest.raises(BadInput, match=r"^a sweep can't run under torchrun: .* leave torchrun out"):
        checks.refuse_sweep_in_torchrun()


def test_more_processes_than_cores_are_doubted(monkeypatch: pytest.MonkeyPatch) -> None:
    """They work, but wait for each other."""
    config = checked("device=cpu", "device.strategy=ddp", "device.devices=4")
    monkeypatch.setattr(checks, "cpu_cores", lambda: 2)
    assert doubts(config)[-1].startswith("device.devices=4 starts 4 processes on 2 cores")
    monkeypatch.setattr(checks, "cpu_cores", lambda: 4)
    assert doubts(config) == []


def test_validation_samples_count_where_there_is_validation() -> None:
    """How many images are validated on shapes a curve of validation losses only."""
    configs = [checked("finder.val_every=5", f"finder.val_samples={n}") for n in (400, 500)]
    assert training_config(configs[0]) != training_config(configs[1])


def test_the_training_config_is_plain_json() -> None:
    """It survives JSON as it is, with numbers of the schema's types: 10 and 10.0 are one end_lr."""
    config = training_config(checked("augmentation=standard", 'optimizer.groups=[{pattern:"fc.*"}]'))
    assert json.loads(json.dumps(config, allow_nan=False)) == config
    texts = {json.dumps(training_config(checked(f"finder.end_lr={end}"))) for end in ("10", "10.0", "1e1")}
    assert len(texts) == 1


def test_the_order_of_transforms_counts() -> None:
    """Two orders of the same transforms are two trainings, also under a hash that sorts keys."""
    orders = ("{RandomInvert:{},RandomGrayscale:{}}", "{RandomGrayscale:{},RandomInvert:{}}")
    texts = {
        json.dumps(training_config(checked(f"+augmentation.transforms={order}")), sort_keys=True)
        for order in orders
    }
    assert len(texts) == 2


def test_all_keys_of_the_schema_pass_as_overrides() -> None:
    """The key check agrees with the schema that Hydra composes with."""
    for key in all_keys(schema.Config):
        if key not in ("model", "data", "augmentation", "optimizer", "loss", "finder", "device", "onecycle"):
            unknown_override([f"{key}=${{seed}}"], folders=[CONF])
