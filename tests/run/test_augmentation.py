from __future__ import annotations

from typing import Any

import pytest
import torch

from steadylr.run.augmentation import FIXED, NOT_OFFERED, SIZED, build_augmentation, is_random

STANDARD: dict[str, dict[str, Any]] = {
    "RandomResizedCrop": {"scale": [0.5, 1.0], "interpolation": "bilinear"},
    "RandomHorizontalFlip": {},
    "ColorJitter": {"brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.1},
}


def test_no_transforms_are_no_augmentation() -> None:
    """An empty mapping builds nothing and draws nothing."""
    assert build_augmentation({}, image_size=8) is None
    assert not is_random({})


@pytest.mark.parametrize("channels", [1, 3])
def test_the_standard_augmentation_takes_grey_and_colour_images(channels: int) -> None:
    """uint8 in, uint8 of the image size out, for both."""
    augmentation = build_augmentation(STANDARD, image_size=8)
    assert augmentation is not None
    image = torch.randint(0, 256, (channels, 20, 16), generator=torch.Generator().manual_seed(0)).to(
        torch.uint8
    )
    changed = augmentation(image)
    assert changed.shape == (channels, 8, 8)
    assert changed.dtype == torch.uint8


@pytest.mark.parametrize("channels", [1, 3])
def test_colour_jitter_changes_grey_and_colour_images(channels: int) -> None:
    """On one channel brightness and contrast still act."""
    jitter = build_augmentation({"ColorJitter": {"brightness": [0.5, 0.5]}}, image_size=4)
    assert jitter is not None
    assert torch.equal(
        jitter(torch.full((channels, 4, 4), 100, dtype=torch.uint8)).unique(), torch.tensor([50])
    )


def test_transforms_act_in_the_order_of_the_mapping() -> None:
    """Pad then crop keeps the size, crop then pad does not."""
    image = torch.zeros(1, 8, 8, dtype=torch.uint8)
    pad, crop = {"Pad": {"padding": 2}}, {"CenterCrop": {}}
    first = build_augmentation({**pad, **crop}, image_size=8)
    second = build_augmentation({**crop, **pad}, image_size=8)
    assert first is not None
    assert second is not None
    assert first(image).shape == (1, 8, 8)
    assert second(image).shape == (1, 12, 12)


def test_only_transforms_that_choose_their_own_part_get_the_full_image() -> None:
    """RandomResizedCrop crops from the image as stored; RandomCrop works at the image size."""
    full = build_augmentation(STANDARD, image_size=8)
    plain = build_augmentation({"RandomCrop": {"padding": 1}}, image_size=8)
    assert full is not None
    assert plain is not None
    assert full.from_full_image
    assert not plain.from_full_image


@pytest.mark.parametrize(
    ("transforms", "message"),
    [
        (
            {"RandomHorizontalFlipp": {}},
            "RandomHorizontalFlipp is not offered; did you mean RandomHorizontalFlip",
        ),
        ({"MixUp": {"num_classes": 10}}, r"augmentation\.transforms\.MixUp is not offered"),
        (
            {"ColorJitter": {"brigthness": 0.4}},
            r"ColorJitter\.brigthness is not known; did you mean brightness",
        ),
        ({"ColorJitter": {"hue": 3}}, r"ColorJitter refuses \{'hue': 3\}"),
        ({"RandomErasing": {"p": 2}}, "RandomErasing refuses"),
        (
            {"Resize": {"interpolation": "bilinea"}},
            r"interpolation='bilinea' is not known; did you mean bilinear",
        ),
    ],
)
def test_a_transform_that_cannot_be_built_is_refused(transforms: dict[str, Any], message: str) -> None:
    """Names, arguments and values are checked before training, with the nearest names."""
    with pytest.raises(ValueError, match=message):
        build_augmentation(transforms, image_size=8)


def test_fixed_transforms_are_known_to_draw_nothing() -> None:
    """What is_random says of a transform is what running it shows."""
    image = torch.randint(0, 256, (3, 12, 12), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    cases: dict[str, dict[str, Any]] = {
        name: {} for name in (*FIXED, *STANDARD, "RandomCrop", "RandomErasing")
    }
    cases["Pad"] = {"padding": 1}
    cases["ColorJitter"] = {"brightness": 0.5}
    for name, kwargs in cases.items():
        augmentation = build_augmentation({name: kwargs}, image_size=8)
        assert augmentation is not None
        start = torch.get_rng_state()
        augmentation(image)
        drew = not torch.equal(start, torch.get_rng_state())
        assert drew == is_random({name: kwargs}), name


def test_the_lists_name_transforms_that_exist() -> None:
    """A typo in the lists would silently offer or refuse the wrong thing."""
    from torchvision.transforms import v2

    assert not [name for name in FIXED | SIZED if not hasattr(v2, name)]
    assert not FIXED & NOT_OFFERED
