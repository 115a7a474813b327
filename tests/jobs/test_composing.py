"""Jobs that differ in their seeds are composed once; what each asks for is what Hydra would have composed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, replace
from types import SimpleNamespace
from typing import Any

import pytest
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.utils import filter_overrides
from hydra.types import RunMode
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from omegaconf import DictConfig, OmegaConf

from steadylr.config import schema
from steadylr.config.folder import config_folder
from steadylr.jobs.composing import ComposedOnce, SeedsApart, depends_on_seeds
from steadylr.jobs.job import Job
from steadylr.jobs.work import check_jobs

schema.register()

SEEDS = ("seed", "seeds.init", "seeds.order", "seeds.augment", "seeds.noise")
OTHERS = (
    "model=mlp",
    "data=fashion_mnist_mini",
    "augmentation=standard",
    "+experiment=attribution",
    "finder.smooth_f=0.2",
    "sweep_name=x",
    "optimizer.weight_decay=1e-3",
    "data.batch_size=32",
)
"""Groups, values and an experiment whose seeds follow from one another."""


class Counting:
    """Hydra's config loader, and how often it was asked for a job."""

    def __init__(self, loader: Any) -> None:
        self.loader = loader
        self.composed = 0

    def load_sweep_config(self, master: DictConfig, overrides: list[str]) -> DictConfig:
        self.composed += 1
        found: DictConfig = self.loader.load_sweep_config(master, list(overrides))
        return found


@pytest.fixture(scope="module")
def hydra() -> Iterator[tuple[Counting, DictConfig]]:
    """Hydra's loader with the config of a sweep."""
    GlobalHydra.instance().clear()
    with initialize_config_dir(config_folder(), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        master = loader.load_configuration("find_lr", overrides=[], run_mode=RunMode.MULTIRUN)
        yield Counting(loader), master


def plain(config: DictConfig) -> Any:
    return OmegaConf.to_container(config, resolve=False)


@settings(max_examples=10, phases=[Phase.generate])
@given(data=st.data())
def test_a_job_is_what_hydra_composes(hydra: tuple[Counting, DictConfig], data: st.DataObject) -> None:
    """The config to the last key, the checked config, the training and the keys, for any seeds given in any order."""
    loader, master = hydra
    keys = data.draw(st.lists(st.sampled_from(SEEDS), min_size=1, unique=True))
    others = data.draw(st.lists(st.sampled_from(OTHERS), unique=True, max_size=3))
    order = data.draw(st.permutations([*keys, *others]))
    seeds = st.integers(0, 10**18 - 1) | st.integers(0, 3)
    jobs = [[f"{text}={data.draw(seeds)}" if text in SEEDS else text for text in order] for _ in range(2)]
    context: Any = SimpleNamespace(config_loader=ComposedOnce(loader))  # type: ignore[arg-type]
    before = loader.composed
    made = check_jobs(jobs, hydra_context=context, config=master)
    assert loader.composed - before == 1
    for overrides, job in zip(jobs, made, strict=True):
        composed = loader.loader.load_sweep_config(master, overrides)
        assert plain(job.composed) == plain(composed)
        expected = Job.of(composed, tuple(filter_overrides(overrides)))
        assert (job.overrides, job.key, job.run) == (expected.overrides, expected.key, expected.run)
        configs = [replace(own.config, sweep_name="") for own in (job, expected)]  # which names the time
        assert asdict(configs[0]) == asdict(configs[1])


@pytest.mark.parametrize(
    "overrides",
    [["model=mlp"], ["seed=1.5"], ["seed=-1"], ["seed='1'"], ["seeds={init:1}"], ["seed=1", "+seeds.init=2"], ["~seed"],
     ["seed=1", "seed=2"], ["seed=${other}"], ["seed=1000000000000000000"]],
)  # fmt: skip
def test_seeds_given_in_another_way_are_left_to_hydra(overrides: list[str]) -> None:
    """Whatever isn't a plain number, once."""
    assert SeedsApart.of(overrides) is None


@pytest.mark.parametrize(
    ("value", "depends"),
    [
        ("${seed}", True),
        ({"deep": ["x", "${.seeds.init}"]}, True),
        ("${own.random:1}", True),
        ("${oc.env:${seed_name}}", True),
        ("${data.batch_size}", False),
        ("${now:%Y}", False),
        ("seed", False),
    ],
)
def test_what_may_follow_from_a_seed(value: Any, depends: bool) -> None:
    """A reference to seeds, and whatever a resolver gives that isn't known."""
    assert depends_on_seeds({"seed": 1, "seeds": {"init": "${seed}"}, "model": value}) is depends


def test_what_follows_from_the_seed_is_composed_for_each(hydra: tuple[Counting, DictConfig]) -> None:
    """Then jobs with other seeds differ in more than those."""
    loader, master = hydra
    context: Any = SimpleNamespace(config_loader=ComposedOnce(loader))  # type: ignore[arg-type]
    jobs = [[f"seed={seed}", "model=mlp", "finder.skip_start=${seed}"] for seed in (1, 2)]
    made = check_jobs(jobs, hydra_context=context, config=master)
    assert [job.config.finder.skip_start for job in made] == [1, 2]
