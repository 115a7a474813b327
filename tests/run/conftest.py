from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from built import images_of
from steadylr.run.images import Images


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Small work is faster on one thread, and its sums are the same on every machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def small_data() -> Images:
    """50 grey images of 8 x 8 pixels in 3 classes, a pixel of each image telling which one it is."""
    rng = np.random.default_rng(0)
    pixels = torch.from_numpy(rng.integers(0, 256, (50, 1, 8, 8), dtype=np.uint8))
    pixels[:, 0, 0, 0] = torch.arange(50)
    targets = torch.arange(50) % 3
    return images_of(pixels, targets)


@pytest.fixture
def image_tree(tmp_path: Path) -> Path:
    """An ImageNet-style tree: two classes, 6 training and 2 validation images each, of different sizes."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 6), ("val", 2)):
        for name in ("cat", "dog"):
            folder = tmp_path / split / name
            folder.mkdir(parents=True)
            for number in range(count):
                pixels = rng.integers(0, 256, (20 + number, 30 - number, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{number}.png")
    return tmp_path
