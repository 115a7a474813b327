"""Augmentation: torchvision's transforms (v2) by name. torch is imported when one is built."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from steadylr.run.names import check_kwargs, did_you_mean, keyword_names

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

FIXED = frozenset({"CenterCrop", "Grayscale", "Identity", "Pad", "RGB", "Resize"})
"""Transforms that draw nothing."""

FROM_FULL_IMAGE = frozenset({"RandomResizedCrop", "RandomResize", "RandomShortestSize", "ScaleJitter"})
"""Transforms that choose their own part or scale, and so are given the image as it is stored."""

SIZED = frozenset({"RandomResizedCrop", "RandomCrop", "CenterCrop", "Resize"})
"""Transforms whose size is the image size unless the config says otherwise."""

NOT_OFFERED = frozenset(
    {
        *(
            "Transform",
            "Compose",
            "RandomApply",
            "RandomChoice",
            "RandomOrder",
            "Lambda",
            "LinearTransformation",
        ),
        *("ConvertImageDtype", "Normalize", "ToDtype", "ToPureTensor"),  # done afterwards, for all images
        *("CutMix", "MixUp", "FiveCrop", "TenCrop", "PILToTensor", "ToImage", "ToPILImage", "ToTensor"),
        *("ClampBoundingBoxes", "ClampKeyPoints", "ConvertBoundingBoxFormat", "SetClampingMode"),
        *("SanitizeBoundingBoxes", "SanitizeKeyPoints", "RandomIoUCrop", "UniformTemporalSubsample"),
    }
)
"""Transforms that do not turn one image into one image, or that a config can't describe."""


@dataclass(frozen=True, slots=True)
class Augmentation:
    """A transform of one image.

    Args:
        transform: takes and gives an image of shape (channels, height, width), uint8 or float in [0, 1].
        from_full_image: whether it wants the image as it is stored, not first brought to the image size.
    """

    transform: Callable[[Tensor], Tensor]
    from_full_image: bool

    def __call__(self, image: Tensor) -> Tensor:
        return self.transform(image)


def is_random(transforms: Mapping[str, Any]) -> bool:
    """Whether these transforms draw from the augment stream; False for an empty mapping."""
    return any(name not in FIXED for name in transforms)


def build_augmentation(
    transforms: Mapping[str, Mapping[str, Any] | None], *, image_size: int
) -> Augmentation | None:
    """Build the transforms, applied in the order of the mapping; None when there are none.

    Args:
        transforms: from the class name in torchvision.transforms.v2 to its keyword arguments (None: no
            arguments). Crops and Resize take `size` from image_size when it is not given. `interpolation` may
            be a name such as "bilinear".
        image_size: height and width of the images that the model gets, in pixels.

    Images come in as uint8 with 1 or 3 channels; on one channel ColorJitter changes brightness and contrast
    and leaves saturation and hue alone. They become floats and are normalised afterwards.

    Raises:
        ValueError: an unknown transform or argument (with the nearest names), or a value that it refuses.
    """
    if not transforms:
        return None
    from torchvision.transforms import v2

    steps = [_build(name, kwargs or {}, image_size=image_size) for name, kwargs in transforms.items()]
    transform = steps[0] if len(steps) == 1 else v2.Compose(steps)
    return Augmentation(transform, any(name in FROM_FULL_IMAGE for name in transforms))


def _build(name: str, kwargs: Mapping[str, Any], *, image_size: int) -> Any:
    from torchvision.transforms import v2

    offered = sorted(
        found
        for found, value in vars(v2).items()
        if isinstance(value, type) and issubclass(value, v2.Transform) and found not in NOT_OFFERED
    )
    key = f"augmentation.transforms.{name}"
    if name not in offered:
        raise ValueError(f"{key} is not offered; {did_you_mean(name, offered)}")
    transform_class = getattr(v2, name)
    allowed = keyword_names(transform_class)
    check_kwargs(kwargs, allowed, key=key)
    arguments = {argument: _plain(value) for argument, value in kwargs.items()}
    if name in SIZED:
        arguments.setdefault("size", (image_size, image_size))
    if isinstance(arguments.get("interpolation"), str):
        arguments["interpolation"] = _interpolation(arguments["interpolation"], key=key)
    try:
        return transform_class(**arguments)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{key} refuses {dict(kwargs)}: {error}") from error


def _interpolation(name: str, *, key: str) -> Any:
    from torchvision.transforms.v2 import InterpolationMode

    modes = {mode.value: mode for mode in InterpolationMode}
    if name.lower() not in modes:
        raise ValueError(f"{key}.interpolation={name!r} is not known; {did_you_mean(name, sorted(modes))}")
    return modes[name.lower()]


def _plain(value: Any) -> Any:
    """Lists as they come from a config, as the lists and numbers that torchvision expects."""
    return list(value) if isinstance(value, list | tuple) else value
