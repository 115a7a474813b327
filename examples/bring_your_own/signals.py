"""A model, data and a loss of one's own: which of three shapes does a noisy signal have?"""

import math

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset


class Signals(Dataset):
    """Sines, squares and sawtooths under noise, each a dict: signal (1, length), period (), label ()."""

    def __init__(self, size: int, length: int, noise: float, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.label = torch.randint(0, 3, (size,), generator=generator)
        self.period = 8 + 24 * torch.rand(size, generator=generator)
        phase = torch.arange(length) / self.period[:, None] + torch.rand(size, 1, generator=generator)
        waves = torch.stack(
            [(2 * math.pi * phase).sin(), (2 * math.pi * phase).sin().sign(), 2 * phase.frac() - 1]
        )
        clean = waves[self.label, torch.arange(size)]
        self.signal = (clean + noise * torch.randn(size, length, generator=generator)).unsqueeze(1)

    def __len__(self) -> int:
        return len(self.label)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        shift = int(
            torch.randint(0, self.signal.shape[-1], ())
        )  # augmentation: drawn from steadylr's augment stream
        signal = self.signal[index].roll(shift, dims=-1)
        return {"signal": signal, "period": self.period[index], "label": self.label[index]}


def train_and_validation(size: int = 2000, length: int = 64, noise: float = 0.5) -> tuple[Signals, Signals]:
    """The training and the validation data."""
    return Signals(size, length, noise, seed=1), Signals(size // 4, length, noise, seed=2)


class SignalNet(nn.Module):
    """A small convolutional network with two heads: the shape of a signal, and its period."""

    def __init__(self, width: int = 16, dropout: float = 0.1) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv1d(1, width, 7, padding=3, padding_mode="circular"),
            nn.BatchNorm1d(width),
            nn.ReLU(),
            nn.Conv1d(width, width, 7, padding=3, padding_mode="circular"),
            nn.ReLU(),
            nn.AdaptiveAvgPool1d(4),
            nn.Flatten(),
            nn.Dropout(dropout),
        )
        self.shape = nn.Linear(4 * width, 3)
        self.period = nn.Linear(4 * width, 1)

    def forward(self, signal: Tensor) -> tuple[Tensor, Tensor]:
        features = self.body(signal)
        return self.shape(features), self.period(features).squeeze(-1)


def two_losses(model: nn.Module, batch: dict[str, Tensor], period_weight: float = 0.1) -> Tensor:
    """The loss of one batch: cross entropy of the shape, and a weighted squared error of the log period."""
    shape, log_period = model(batch["signal"])
    period_error = nn.functional.mse_loss(log_period, batch["period"].log())
    return nn.functional.cross_entropy(shape, batch["label"]) + period_weight * period_error
