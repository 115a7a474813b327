"""The schema of verify_lr.py."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any

from steadylr.config.ranges import Key
from steadylr.config.schema import Consensus, OneCycle, Output, Store
from steadylr.config.shared_keys import Figures, SpokenOutput, drawn_as_png


@dataclass
class VerifyConfig:
    """All that verify_lr.py can be told. What is given as one entry or a list of them is of type Any."""

    sweep: Annotated[Any, Key("folder or name of the sweep")] = None
    beyond: Annotated[
        Any, Key("factors: the lowest suggestion is divided by each of them, the highest multiplied")
    ] = field(default_factory=lambda: [3])
    lrs: Annotated[Any, Key("further peak LRs to try")] = field(default_factory=list)
    steps: Annotated[int, Key("optimizer steps of each training")] = 300
    seeds: Annotated[
        Any, Key("one training per LR and seed; a seed stands for weights, order, augmentation and noise")
    ] = field(default_factory=lambda: [0, 1, 2])
    tolerance: Annotated[
        float, Key("share of the descent, from the loss before training to the best, that a good LR may lose")
    ] = 0.05
    val_samples: Annotated[int | None, Key("validation samples that a training is judged by; null: all")] = (
        None
    )
    workers: Annotated[int | None, Key("trainings side by side; null: as the sweep was told")] = None
    kind: Annotated[
        int | None,
        Key("which kind of run of a mixed sweep, by the number in summary-<number>.png; null: all kinds"),
    ] = None
    dry_run: Annotated[bool, Key("true says what would be trained, and trains nothing")] = False
    output: SpokenOutput = Output.text
    figures: Figures = field(default_factory=drawn_as_png)
    trust_sweep: Annotated[
        bool,
        Key(
            "true imports, calls and reads what the sweep's records name besides options of this project; only for a "
            "sweep that you know to be yours"
        ),
    ] = False
    onecycle: OneCycle = field(default_factory=OneCycle)
    consensus: Consensus = field(default_factory=Consensus)
    store: Store = field(default_factory=Store)
