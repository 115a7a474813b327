"""What is done to each image of the training data: transforms in order, and whether they want the whole image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from steadylr.errors import InvalidValue
from steadylr.run.names import did_you_mean

if TYPE_CHECKING:
    from torch import Tensor

FROM_FULL_IMAGE = frozenset({"RandomResizedCrop", "RandomResize", "RandomShortestSize", "ScaleJitter"})
"""Transforms that choose their own part or scale, and so are given the image as it is stored."""

NOT_OF_ONE_IMAGE = frozenset(
    {"CutMix", "MixUp", "FiveCrop", "TenCrop", "ToPILImage", "PILToTensor", "RandomIoUCrop"}
)
"""Transforms that do not turn one image into one image."""

DONE_AFTERWARDS = frozenset(
    {"Normalize", "ToDtype", "ConvertImageDtype", "ToTensor", "ToImage", "ToPureTensor"}
)
"""Transforms whose work is done afterwards, for all images."""


class TransformError(InvalidValue):
    """A transform that can't be used on images of the training data."""


@dataclass(frozen=True, slots=True)
class Augmentation:
    """A transform of one image.

    Args:
        transform: takes and gives an image of shape (channels, height, width), uint8 or float in [0, 1].
        from_full_image: whether it wants the image as it is stored, not first brought to the image size.

    Images come in as uint8 with 1 or 3 channels; on one channel torchvision's ColorJitter changes brightness and
    contrast and leaves saturation and hue alone. They become floats and are normalised afterwards.
    """

    transform: Callable[[Tensor], Tensor]
    from_full_image: bool

    def __call__(self, image: Tensor) -> Tensor:
        return self.transform(image)

    @classmethod
    def of(cls, transforms: Sequence[Callable[[Any], Any]]) -> Augmentation | None:
        """Transforms in order; None where there are none.

        Raises:
            TransformError: one that does not turn one image into one, or whose work is done afterwards.
        """
        names = [type(transform).__name__ for transform in transforms]
        for name in names:
            if name in NOT_OF_ONE_IMAGE:
                raise TransformError(
                    f"augmentation can't use {name}: it does not turn one image into one image"
                )
            if name in DONE_AFTERWARDS:
                raise TransformError(
                    f"augmentation can't use {name}: images become normalised floats afterwards"
                )
        if not transforms:
            return None
        from torchvision.transforms.v2 import Compose

        whole = transforms[0] if len(transforms) == 1 else Compose(list(transforms))
        return cls(whole, not FROM_FULL_IMAGE.isdisjoint(names))


def interpolation(name: str, *, key: str) -> Any:
    """torchvision's interpolation mode of a name such as "bilinear".

    Raises:
        TransformError: no such mode; with the nearest ones.
    """
    from torchvision.transforms.v2 import InterpolationMode

    modes = {mode.value: mode for mode in InterpolationMode}
    if name.lower() not in modes:
        raise TransformError(f"{key}={name!r} is not known; {did_you_mean(name, sorted(modes))}")
    return modes[name.lower()]
