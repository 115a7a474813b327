"""What comes from Python as something else than it can be is refused by its name, before anything is trained."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import steadylr
from steadylr.core.stopping import StoppingRule

CURVE = steadylr.Curve(np.geomspace(1e-5, 1, 50), np.linspace(2, 1, 50), 50)
MODEL = torch.nn.Linear(2, 2)
DATA = [(torch.zeros(4, 2), torch.zeros(4, dtype=torch.int64))]


def trained(**changed: Any) -> Any:
    """A range test with some arguments changed."""
    usual: dict[str, Any] = {
        "model": MODEL,
        "optimizer": torch.optim.SGD(MODEL.parameters(), lr=0.1),
        "data": DATA,
        "loss_fn": torch.nn.functional.cross_entropy,
        "ramp": steadylr.Ramp(1e-5, 1, 4),
    }
    return steadylr.range_test(**{**usual, **changed})


def found(**changed: Any) -> Any:
    """Repeated range tests, with some arguments changed."""
    return steadylr.find_lr(**{"make_run": lambda seed: None, **changed})


REFUSED: dict[str, tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]] = {
    "num_iter": (steadylr.Ramp, (1e-5, 1, 40.5), {}),
    "num_iter, of a float": (steadylr.Ramp, (1e-5, 1, 40.0), {}),
    "num_iter, True": (steadylr.Ramp, (1e-5, 1, True), {}),
    "start_lr": (steadylr.Ramp, (None, 1), {}),
    "end_lr": (steadylr.Ramp, (1e-5, "1"), {}),
    "start_lr, True": (steadylr.Ramp, (True, 2.0), {}),
    "skip_start": (steadylr.Reading, (), {"skip_start": 1.5}),
    "skip_end": (steadylr.Reading, (), {"skip_end": False}),
    "smooth_f": (steadylr.Reading, (), {"smooth_f": "0.1"}),
    "ema_weight": (steadylr.Reading, (), {"ema_weight": True}),
    "diverge_th": (steadylr.StopRule, (True,), {}),
    "max_runs": (StoppingRule, (1.2, 5.5), {}),
    "factor": (StoppingRule, (True, 5), {}),
    "num_iter, of a curve": (steadylr.Curve, ([1.0, 2.0], [1.0, 2.0], 2.5), {}),
    "steps_per_point": (steadylr.Curve, ([1.0, 2.0], [1.0, 2.0], 2), {"steps_per_point": True}),
    "model": (trained, (), {"model": None}),
    "model, a tuple": (trained, (), {"model": (MODEL,)}),
    "optimizer": (trained, (), {"optimizer": None}),
    "ramp": (trained, (), {"ramp": (1e-5, 1, 4)}),
    "accumulation_steps": (trained, (), {"accumulation_steps": 1.5}),
    "val_every": (trained, (), {"val_every": True}),
    "read_lag": (trained, (), {"read_lag": 0.5}),
    "stop_rule": (trained, (), {"stop_rule": 2.0}),
    "curve": (steadylr.suggest, (None,), {}),
    "curve, of all rules": (steadylr.suggest_all, (([1], [2]),), {}),
    "reading": (steadylr.suggest, (CURVE,), {"reading": 0.05}),
    "rule": (steadylr.suggest, (CURVE, None), {}),
    "curve, of a diagnosis": (steadylr.diagnose, (None,), {}),
    "reading, of a diagnosis": (steadylr.diagnose, (CURVE, ()), {}),
    "result": (steadylr.plot, (None,), {}),
    "reading, of a plot": (steadylr.plot, (CURVE,), {"reading": (0.05,)}),
    "max_lr": (steadylr.plan, (None,), {}),
    "max_lr, True": (steadylr.plan, (True,), {}),
    "low": (steadylr.plan, (1.0,), {"low": "0.5", "high": 1.0}),
    "total_steps": (steadylr.plan, (1.0,), {"total_steps": 100.5}),
    "pct_start": (steadylr.plan, (1.0,), {"pct_start": True}),
    "LR number 1 of 1": (steadylr.consensus, ([True],), {}),
    "consensus": (steadylr.verdict, (None,), {}),
    "make_run": (found, (), {"make_run": None}),
    "seeds": (found, (), {"seeds": 3}),
    "seeds, of floats": (found, (), {"seeds": [0.5]}),
    "seeds, True": (found, (), {"seeds": [True]}),
    "ramp, of repeats": (found, (), {"ramp": (1e-5, 1)}),
    "reading, of repeats": (found, (), {"reading": 0.05}),
    "batch_size": (found, (), {"batch_size": 2.5}),
}


@pytest.mark.parametrize("name", REFUSED)
def test_an_argument_of_another_type_is_named(name: str) -> None:
    """None, a tuple, a boolean for a number, a fraction for a whole number."""
    function, arguments, more = REFUSED[name]
    with pytest.raises((TypeError, ValueError), match=rf"^{name.partition(',')[0]}\b.*(must|is not known)"):
        function(*arguments, **more)


def test_numbers_of_numpy_are_numbers() -> None:
    """Whole ones are whole."""
    ramp = steadylr.Ramp(np.float64(1e-5), np.float32(1), np.int64(4))
    assert len(ramp.lrs()) == 4
    assert steadylr.Reading(np.float32(0.05), skip_start=np.int32(1)).skip_start == 1
    assert steadylr.plan(np.float32(0.5), total_steps=np.int64(100)).max_lr == 0.5
