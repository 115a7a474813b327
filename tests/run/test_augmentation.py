from __future__ import annotations

from typing import Any

import pytest
import torch

from built import augmentation_of as build_augmentation
from steadylr.run.augmentation import DONE_AFTERWARDS, FROM_FULL_IMAGE, NOT_OF_ONE_IMAGE

STANDARD: dict[str, dict[str, Any]] = {
    "RandomResizedCrop": {"scale": [0.5, 1.0], "interpolation": "bilinear"},
    "RandomHorizontalFlip": {},
    "ColorJitter": {"brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.1},
}


def test_no_transforms_are_no_augmentation() -> None:
    """An empty mapping builds nothing and draws nothing."""
    assert build_augmentation({}, image_size=8) is None


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
            r"has no RandomHorizontalFlipp; did you mean RandomHorizontalFlip",
        ),
        (
            {"MixUp": {"num_classes": 10}},
            r"augmentation can't use MixUp: it does not turn one image into one",
        ),
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


def test_the_lists_name_transforms_that_exist() -> None:
    """A typo in the lists would silently treat the wrong one."""
    from torchvision.transforms import v2

    named = FROM_FULL_IMAGE | NOT_OF_ONE_IMAGE | DONE_AFTERWARDS
    assert not [name for name in named if not hasattr(v2, name)]


def test_a_transform_may_be_anybodys() -> None:
    """Any import path; the name is the author's choice, and an entry without a path means torchvision's class."""
    augmentation = build_augmentation(
        {"first": {"_target_": "torchvision.transforms.v2.CenterCrop"}, "Pad": {"padding": 2}}, image_size=8
    )
    assert augmentation is not None
    assert augmentation(torch.zeros(1, 20, 20, dtype=torch.uint8)).shape == (1, 12, 12)
