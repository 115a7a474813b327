"""The schema of verify_lr.py."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from steadylr.config.schema import Consensus, FigureFormat, OneCycle, Output, Store


@dataclass
class VerifyConfig:
    """All that verify_lr.py can be told. What is given as one entry or a list of them is of type Any."""

    sweep: Any = None
    beyond: Any = field(default_factory=lambda: [3])
    lrs: Any = field(default_factory=list)
    steps: int = 300
    seeds: Any = field(default_factory=lambda: [0, 1, 2])
    tolerance: float = 0.05
    val_samples: int | None = None
    workers: int | None = None
    kind: int | None = None
    dry_run: bool = False
    output: Output = Output.text
    figures: list[FigureFormat] = field(default_factory=lambda: [FigureFormat.png])
    trust_sweep: bool = False
    onecycle: OneCycle = field(default_factory=OneCycle)
    consensus: Consensus = field(default_factory=Consensus)
    store: Store = field(default_factory=Store)
