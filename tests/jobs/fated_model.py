"""A model of somebody's own whose trainings meet a fate; copied beside the command that tests of clusters run."""

import os
import signal
import time
from pathlib import Path

import torch
from torch import nn


class Net(nn.Module):
    """A linear model that notes each of its trainings before the first step: fate and process, in the file `begun`.

    Args:
        num_classes, image_size: of the images.
        fate: fine; waits (until there is a file `go` in the folder); dies (as the system has it where memory is short);
            hungry (asks for more memory than there is).
    """

    def __init__(self, num_classes: int, image_size: int, fate: str) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(image_size**2, num_classes))
        with open("begun", "a") as file:
            file.write(f"{fate} {os.getpid()}\n")
        if fate == "dies":
            os.kill(os.getpid(), signal.SIGKILL)
        if fate == "hungry":
            torch.empty(2**50)
        while fate == "waits" and not Path("go").exists():
            time.sleep(0.02)

    def forward(self, images):
        """The logits."""
        return self.layers(images)
