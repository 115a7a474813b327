"""What one writes without steadylr: six range tests with torch-lr-finder, one after the other.

    python benchmarks/plain_sweep.py small_resnet

The same model, data and loader code as `find_lr.py -m seed=1,2,3 finder.smooth_f=0.05,0.15`; torch's default threads.
"""

from __future__ import annotations

import sys

import torch
from torch_lr_finder import LRFinder
from torch_lr_finder.lr_finder import TrainDataLoaderIter

from steadylr.run.data import load_data, make_batches
from steadylr.run.models import build_model
from steadylr.run.randomness import Streams


class Endless(TrainDataLoaderIter):
    """Hands torch-lr-finder the batches of steadylr's own loader."""

    def __init__(self, batches) -> None:
        self.batches = iter(batches)

    def __next__(self):
        return next(self.batches)
