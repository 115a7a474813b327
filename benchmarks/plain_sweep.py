"""What one writes without steadylr: six range tests with torch-lr-finder, one after the other, or the first of them.

    python benchmarks/plain_sweep.py small_resnet
    python benchmarks/plain_sweep.py small_resnet one

The same weights, batches, optimizer and ramp as `find_lr.py -m seed=1,2,3 finder.smooth_f=0.05,0.15`, with torch's
default threads. Writes one picture a run into the current folder; the last line that it prints is JSON.
"""

from __future__ import annotations

import itertools
import json
import sys
import warnings

import matplotlib as mpl
import torch
from matplotlib.figure import Figure
from torch_lr_finder import LRFinder, TrainDataLoaderIter

from steadylr.run.datasets import fashion_mnist_mini
from steadylr.run.models import SmallResNet, SmallViT
from steadylr.run.randomness import Streams, drawing_init
from steadylr.run.training_data import train_batches, training_data

SEEDS = (1, 2, 3)
SMOOTH_F = (0.05, 0.15)
MODELS = {
    "small_resnet": lambda: SmallResNet(num_classes=10, in_channels=1),
    "small_vit": lambda: SmallViT(num_classes=10, in_channels=1, image_size=28),
}


def main() -> None:
    """Make the six runs, and say how many iterations each had and what it suggests."""
    mpl.use("Agg")
    warnings.filterwarnings("ignore", module="torch")  # about schedulers, as torch-lr-finder uses them
    model_name = sys.argv[1]
    data = training_data(fashion_mnist_mini(), path="fashion_mnist_mini")
    iterations, suggestions = [], []
    for seed, smooth_f in itertools.islice(
        itertools.product(SEEDS, SMOOTH_F), 1 if "one" in sys.argv else None
    ):
        streams = Streams.same(seed)
        with drawing_init(streams):
            model = MODELS[model_name]()
        torch.manual_seed(seed)
        optimizer = torch.optim.SGD(model.parameters(), lr=1e-7, momentum=0.9, weight_decay=5e-4)
        batches = train_batches(data, batch_size=64, streams=streams)
        finder = LRFinder(model, optimizer, torch.nn.CrossEntropyLoss())
        finder.range_test(TrainDataLoaderIter(batches), end_lr=10, num_iter=1000, smooth_f=smooth_f)
        figure = Figure()
        _, lr = finder.plot(ax=figure.add_subplot(), suggest_lr=True)
        figure.savefig(f"{model_name}-{seed}-{smooth_f}.png")
        iterations.append(len(finder.history["loss"]))
        suggestions.append(float(lr))
    print(json.dumps({"iterations": iterations, "suggestions": suggestions}))


if __name__ == "__main__":
    main()
