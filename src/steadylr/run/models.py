"""Models of this project for small images: a ResNet, a vision transformer and a perceptron."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn


class _Block(nn.Module):
    """Two 3 x 3 convolutions beside a shortcut that changes width and halves the size."""

    def __init__(self, width_in: int, width: int, *, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width_in, width, 3, stride=stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)
        self.shortcut = nn.Sequential(
            nn.Conv2d(width_in, width, 1, stride=stride, bias=False), nn.BatchNorm2d(width)
        )

    def forward(self, x: Tensor) -> Tensor:
        inner = torch.relu_(self.norm1(self.conv1(x)))
        return torch.relu_(self.norm2(self.conv2(inner)).add_(self.shortcut(x)))


class SmallResNet(nn.Module):
    """A ResNet with BatchNorm and three blocks, made for small images on a CPU: 104,154 parameters by
    default.

    Every stage halves the size, the stem included, so that 28 x 28 ends as 2 x 2. Works in channels-last
    layout, which is a quarter faster on CPUs.

    Args:
        num_classes: number of outputs.
        in_channels: channels of the images.
        widths: channels of the blocks, at least one.
        stem_width: channels after the first convolution.
        dropout: share of the features left out before the classifier, in [0, 1).
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        *,
        widths: Sequence[int] = (16, 32, 80),
        stem_width: int = 16,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if not widths or min(*widths, stem_width) < 1:
            raise ValueError(f"widths and stem_width must be at least 1; got {widths!r} and {stem_width!r}")
        self.stem = nn.Conv2d(in_channels, stem_width, 3, stride=2, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(stem_width)
        before = (stem_width, *widths[:-1])
        blocks = [_Block(old, new, stride=2) for old, new in zip(before, widths, strict=True)]
        self.blocks = nn.Sequential(*blocks)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(widths[-1], num_classes)
        self.to(memory_format=torch.channels_last)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of shape (n, num_classes) for images of shape (n, channels, height, width)."""
        x = x.contiguous(memory_format=torch.channels_last)
        x = self.blocks(torch.relu_(self.norm(self.stem(x))))
        logits: Tensor = self.fc(self.dropout(x.mean(dim=(2, 3))))
        return logits


class SmallViT(nn.Module):
    """A vision transformer for small images: 138,890 parameters for 28 x 28 grey images and 10 classes.

    Patches become tokens, a learned embedding says where each was, and the mean over the last layer's tokens is
    classified. LayerNorm comes before attention and before the two linear layers with GELU (Xiong et al., 2020).

    Args:
        num_classes: number of outputs.
        in_channels: channels of the images.
        image_size: height and width of the images, in pixels. Unless it is a multiple of `patch`, zeros are put
            around them.
        patch: height and width of a patch, in pixels.
        dim: numbers per token, a multiple of `heads`.
        depth: number of layers, at least 1.
        heads: attention heads per layer.
        dropout: share left out of the tokens, of the attention and of each layer's inner features, in [0, 1).

    Raises:
        ValueError: heads that do not divide dim, a number below 1, or a dropout outside its range.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        image_size: int,
        *,
        patch: int = 7,
        dim: int = 64,
        depth: int = 4,
        heads: int = 4,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if min(patch, dim, depth, heads) < 1:
            raise ValueError(
                f"patch, dim, depth and heads must be at least 1; got {patch}, {dim}, {depth} and {heads}"
            )
        if dim % heads:
            raise ValueError(f"heads must divide dim={dim}; got {heads}")
        rows = math.ceil(image_size / patch)
        padding = math.ceil((rows * patch - image_size) / 2)
        self.patches = nn.Conv2d(in_channels, dim, patch, stride=patch, padding=padding)
        self.positions = nn.Parameter(0.02 * torch.randn(1, rows**2, dim))
        self.dropout = nn.Dropout(dropout)
        self.layers = nn.Sequential(
            *[
                nn.TransformerEncoderLayer(
                    dim, heads, 2 * dim, dropout, "gelu", batch_first=True, norm_first=True
                )
                for _ in range(depth)  # not nn.TransformerEncoder, whose layers all start with equal weights
            ]
        )
        self.norm = nn.LayerNorm(dim)
        self.fc = nn.Linear(dim, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of shape (n, num_classes) for images of shape (n, channels, height, width)."""
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        tokens = self.norm(self.layers(self.dropout(tokens + self.positions)))
        logits: Tensor = self.fc(tokens.mean(dim=1))
        return logits


def mlp(
    num_classes: int,
    in_channels: int,
    image_size: int,
    *,
    hidden: Sequence[int] = (256, 128),
    dropout: float = 0.0,
) -> nn.Sequential:
    """A perceptron: the pixels in a row, hidden layers with ReLU (and dropout), one output per class."""
    if any(width < 1 for width in hidden):
        raise ValueError(f"hidden must be layer widths of at least 1; got {list(hidden)!r}")
    layers: list[nn.Module] = [nn.Flatten()]
    width = in_channels * image_size**2
    for next_width in hidden:
        layers += [nn.Linear(width, next_width), nn.ReLU()]
        layers += [nn.Dropout(dropout)] if dropout > 0 else []
        width = next_width
    return nn.Sequential(*layers, nn.Linear(width, num_classes))
