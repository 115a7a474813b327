"""Twenty tasks whose loss goes on falling for thousands of steps, and which of them are set aside.

The kinds are those of docs/choosing-a-rule.md, as small as they can be: a truth takes half a million steps of each.
Hardly anything here overfits within 8,000 steps: images come in many shifted copies, texts are long, and the teachers'
samples are drawn, so that a validation loss falls as long as there is something to learn.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from quality_parts.tasks import (
    DATA,
    MODELS,
    Samples,
    Task,
    _augmented,
    _help_texts,
    _source_code,
    load,
)

STEPS = 8000
"""The planned training."""

LENGTHS = (125, 500, 2000, STEPS)

LONG_TASKS_VERSION = 1
"""Raise it when a model or data set below changes: results of another version are not read."""

_NESTEROV = {"momentum": 0.9, "nesterov": True}
_MOMENTUM = {"momentum": 0.9}
_DECAY = {"weight_decay": 0.01}

TASKS = (
    Task("fashion-mlp-adamw", "tuning", "fashion8-shifted", "mlp32", "adamw", _DECAY, 16, STEPS),
    Task("teacher2-mlp-adamw", "tuning", "teacher2", "mlp32", "adamw", _DECAY, 16, STEPS),
    Task("chars-mlp-adamw", "tuning", "chars6", "next_letter", "adamw", _DECAY, 32, STEPS),
    Task("digits-mlp-sgdm", "tuning", "digits-shifted", "mlp32", "sgd", _MOMENTUM, 16, STEPS),
    Task("digits-cnnbn-nesterov", "tuning", "digits-shifted", "strided_cnn_bn", "sgd", _NESTEROV, 16, STEPS),
    Task("fashion-cnnbn-adamw", "tuning", "fashion8-shifted", "strided_cnn_bn", "adamw", {}, 16, STEPS),
    Task("code-mlp-sgdm", "tuning", "code6", "next_letter", "sgd", _MOMENTUM, 32, STEPS),
    Task("code-transformer-rmsprop", "tuning", "code8", "transformer8", "rmsprop", {}, 4, STEPS),
    Task("teacher-mlp-sgd", "tuning", "teacher", "mlp32", "sgd", {}, 16, STEPS),
    Task("chars-transformer-adamw", "tuning", "chars8", "transformer8", "adamw", _DECAY, 4, STEPS),
    Task("labels-mlp-rmsprop", "tuning", "labels", "mlp32", "rmsprop", {}, 16, STEPS),
    Task("fashion-cnn-sgdm", "tuning", "fashion8-shifted", "strided_cnn", "sgd", _MOMENTUM, 16, STEPS),
    Task("names-mlp-sgdm", "aside", "names6", "next_letter", "sgd", _MOMENTUM, 32, STEPS),
    Task("names-transformer-adamw", "aside", "names8", "transformer8", "adamw", _DECAY, 4, STEPS),
    Task("modules-mlp-rmsprop", "aside", "modules6", "next_letter", "rmsprop", {}, 32, STEPS),
    Task("fashion-denoise-adamw", "aside", "fashion8-noisy", "mlp32", "adamw", {}, 16, STEPS),
    Task("digits-denoise-sgdm", "aside", "digits-noisy", "mlp32", "sgd", _MOMENTUM, 16, STEPS),
    Task("fashion-cnn-rmsprop", "aside", "fashion8-shifted", "strided_cnn", "rmsprop", {}, 16, STEPS),
    Task("fashion-mlp-nesterov", "aside", "fashion8-shifted", "mlp32", "sgd", _NESTEROV, 16, STEPS),
    Task("health-mlp-adamw", "aside", "health", "mlp32", "adamw", _DECAY, 16, STEPS),
)
"""Which are set aside was fixed before anything was computed of them.

Four of the tuning tasks (teacher2-mlp-adamw, digits-mlp-sgdm, fashion-cnnbn-adamw, code-transformer-rmsprop) were set
aside for an earlier method; once what it wastes there had been looked at, they could only serve for tuning.
"""


def task_of(name: str) -> Task:
    """A task by its name.

    Raises:
        ValueError: there is none of this name.
    """
    for task in TASKS:
        if task.name == name:
            return task
    raise ValueError(f"unknown task {name!r}; allowed: {', '.join(task.name for task in TASKS)}")


# ---- data


def _shifted(name: str, copies: int, shift: int) -> Samples:
    """Images of another data set, each in many copies, flipped or not and shifted, as 8 x 8 means."""
    plain = load(name)
    generator = torch.Generator().manual_seed(0)
    x = torch.cat([_small(_augmented(plain.x, shift, generator)) for _ in range(copies)])
    y = plain.y.repeat(copies)
    return Samples("image", x, y, _small(plain.x_val), plain.y_val, plain.num_outputs)


def _noisy(name: str) -> Samples:
    """Images of another data set under noise of the same deviation; the targets are their pixels without it."""
    plain = load(name)
    generator = torch.Generator().manual_seed(0)

    def pair(images: Tensor) -> tuple[Tensor, Tensor]:
        clean = images.flatten(1)
        return clean + torch.randn(clean.shape, generator=generator), clean

    return Samples("table", *pair(plain.x), *pair(plain.x_val), plain.x[0].numel())


def _small(x: Tensor) -> Tensor:
    return F.adaptive_avg_pool2d(x, 8).contiguous()


def _teacher(seed: int, *, classes: int = 0, size: int = 100_000, num_val: int = 4000) -> Samples:
    """What a wide random network says of normal inputs: a number with a tenth of noise, or the likeliest class."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    inputs, width, outputs = 12, 64, classes or 1
    x = normal(size + num_val, inputs)
    hidden = torch.tanh(1.5 * x @ normal(inputs, width) / inputs**0.5)
    hidden = torch.tanh(2.0 * hidden @ normal(width, width) / width**0.5)
    said = hidden @ normal(width, outputs) / width**0.5
    said = (said - said.mean(0)) / said.std(0)
    y = said.argmax(1) if classes else said + 0.1 * normal(size + num_val, 1)
    return Samples("table", x[num_val:], y[num_val:], x[:num_val], y[:num_val], outputs)


NUM_LETTERS = 32


def _codes(text: str) -> Tensor:
    """Each letter's place among the commonest; the rarer ones share the last. Capitals are small."""
    text = text.lower()
    common = [letter for letter, _ in Counter(text).most_common(NUM_LETTERS - 1)]
    places = {letter: place for place, letter in enumerate(common)}
    return torch.tensor([places.get(letter, NUM_LETTERS - 1) for letter in text])


def _next_letters(text: str, *, context: int = 6, length: int = 150_000) -> Samples:
    """Windows of letters at every place; the target of each is the letter after it."""
    codes = _codes(text[:length])
    x, y = codes[:-1].unfold(0, context, 1).contiguous(), codes[context:].contiguous()
    last = len(x) - 6000
    return Samples("text", x[:last], y[:last], x[last:], y[last:], NUM_LETTERS)


def _letters(text: str, *, context: int = 8, length: int = 400_000) -> Samples:
    """Windows of letters side by side; the target of each letter is the next one."""
    codes = _codes(text[:length])
    windows = codes[: (len(codes) - 1) // context * context + 1]
    x, y = windows[:-1].reshape(-1, context), windows[1:].reshape(-1, context)
    last = len(x) - 800
    return Samples("text", x[:last], y[:last], x[last:], y[last:], NUM_LETTERS)


def _unicode_names() -> str:
    """The names of letters and signs in shuffled order, one a line; none that is made of a number."""
    codes = range(0x20, 0x1FB00)
    names = [name for code in codes if (name := unicodedata.name(chr(code), "")) and not name[-1].isdigit()]
    kept = [name for name in names if not name.startswith(("HANGUL SYLLABLE", "CJK"))]
    return "\n".join(kept[place] for place in np.random.default_rng(0).permutation(len(kept)))


def _modules() -> str:
    """Python's own source: other modules than those of `_source_code`."""
    names = ("_pydecimal", "typing", "pydoc", "doctest", "mailbox")
    return "\n".join(Path(str(find_spec(name).origin)).read_text("utf-8") for name in names)  # type: ignore[union-attr]


DATA.update(
    {
        "fashion8-shifted": lambda: _shifted("fashion14", copies=10, shift=1),
        "digits-shifted": lambda: _shifted("digits", copies=20, shift=1),
        "teacher": lambda: _teacher(1),
        "teacher2": lambda: _teacher(2),
        "labels": lambda: _teacher(3, classes=5),
        "chars6": lambda: _next_letters(_help_texts()),
        "code6": lambda: _next_letters(_source_code()),
        "chars8": lambda: _letters(_help_texts()),
        "code8": lambda: _letters(_source_code()),
        "names6": lambda: _next_letters(_unicode_names()),
        "names8": lambda: _letters(_unicode_names()),
        "modules6": lambda: _next_letters(_modules()),
        "fashion8-noisy": lambda: _noisy("fashion8-shifted"),
        "digits-noisy": lambda: _noisy("digits-shifted"),
    }
)


# ---- models


def _mlp32(samples: Samples) -> nn.Module:
    inputs = samples.x[0].numel()
    layers = [
        nn.Linear(inputs, 32),
        nn.ReLU(),
        nn.Linear(32, 32),
        nn.ReLU(),
        nn.Linear(32, samples.num_outputs),
    ]
    return nn.Sequential(nn.Flatten(), *layers)


class _NextLetter(nn.Module):
    """A perceptron over the embeddings of six letters; logits of shape (n, letters).

    Reference: Y. Bengio et al., "A neural probabilistic language model" (JMLR 2003).
    """

    def __init__(self, num_letters: int, *, context: int = 6, dim: int = 8, hidden: int = 32) -> None:
        super().__init__()
        self.letters = nn.Embedding(num_letters, dim)
        self.inner = nn.Linear(context * dim, hidden)
        self.out = nn.Linear(hidden, num_letters)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.out(torch.relu(self.inner(self.letters(x).flatten(-2))))
        return logits


class _StridedConv(nn.Module):
    """A convolution without padding over channels-last images, as a product with shifted slices.

    That is several times quicker than torch's own for many tiny models at once.
    """

    def __init__(self, channels: int, width: int, *, size: int, stride: int) -> None:
        super().__init__()
        self.size, self.stride = size, stride
        self.weights = nn.Linear(size**2 * channels, width)

    def forward(self, x: Tensor) -> Tensor:
        """(n, height, width, channels) to (n, height out, width out, channels out)."""
        places = (x.shape[-3] - self.size) // self.stride + 1
        span = (places - 1) * self.stride + 1
        offsets = [(i, j) for i in range(self.size) for j in range(self.size)]
        slices = [x[..., i : i + span : self.stride, j : j + span : self.stride, :] for i, j in offsets]
        out: Tensor = self.weights(torch.cat(slices, -1))
        return out


class _StridedCNN(nn.Module):
    """Two strided convolutions (2 x 2, then 3 x 3), with BatchNorm or without, and a linear layer."""

    def __init__(self, samples: Samples, *, norm: bool) -> None:
        super().__init__()
        channels, side = samples.x.shape[1], samples.x.shape[-1] // 2
        self.first = _StridedConv(channels, 4, size=2, stride=2)
        self.second = _StridedConv(4, 8, size=3, stride=1)
        self.norms = nn.ModuleList([nn.BatchNorm1d(4), nn.BatchNorm1d(8)] if norm else [])
        self.out = nn.Linear(8 * (side - 2) ** 2, samples.num_outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = x.movedim(-3, -1)
        for number, conv in enumerate((self.first, self.second)):
            x = conv(x)
            if self.norms:
                x = self.norms[number](x.flatten(0, 2)).reshape(x.shape)
            x = torch.relu(x)
        logits: Tensor = self.out(x.flatten(1))
        return logits


class _Transformer8(nn.Module):
    """One layer of causal attention over 8 letters, one head; logits of shape (n, letters, positions)."""

    def __init__(self, num_letters: int, *, context: int = 8, dim: int = 8) -> None:
        super().__init__()
        self.letters = nn.Embedding(num_letters, dim)
        self.positions = nn.Parameter(0.02 * torch.randn(1, context, dim))
        self.norms = nn.ModuleList(nn.LayerNorm(dim) for _ in range(3))
        self.qkv, self.mix = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.inner = nn.Sequential(nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim))
        self.out = nn.Linear(dim, num_letters)
        self.register_buffer("mask", torch.full((context, context), -1e9).triu(1))

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.letters(x) + self.positions
        query, key, value = self.qkv(self.norms[0](tokens)).chunk(3, -1)
        weights = (query @ key.transpose(-1, -2) / 8**0.5 + self.mask).softmax(-1)
        tokens = tokens + self.mix(weights @ value)
        tokens = tokens + self.inner(self.norms[1](tokens))
        logits: Tensor = self.out(self.norms[2](tokens))
        return logits.transpose(-1, -2)


MODELS.update(
    {
        "mlp32": _mlp32,
        "next_letter": lambda s: _NextLetter(s.num_outputs),
        "strided_cnn": lambda s: _StridedCNN(s, norm=False),
        "strided_cnn_bn": lambda s: _StridedCNN(s, norm=True),
        "transformer8": lambda s: _Transformer8(s.num_outputs),
    }
)
