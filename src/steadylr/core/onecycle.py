"""The plan: the OneCycle schedule that follows from the consensus."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, Protocol, get_args, runtime_checkable

import numpy as np

from steadylr.core.arguments import check_numbers, check_whole
from steadylr.core.curve import FloatArray

AnnealStrategy = Literal["cos", "linear"]

_TORCH_BASE_MOMENTUM = 0.85
_TORCH_MAX_MOMENTUM = 0.95
_FRACTIONS = frozenset({"div_factor", "final_div_factor", "pct_start", "base_momentum", "max_momentum"})


@dataclass(frozen=True, slots=True)
class Plan:
    """A OneCycle schedule: from initial_lr up to max_lr, then down to final_lr.

    With T = total_steps, step i from 0 to T - 1 and the peak at step p = pct_start * T - 1 (maybe not whole):

        initial_lr = max_lr / div_factor              final_lr = max_lr / final_div_factor
        i <= p:  lr(i) = A(initial_lr, max_lr, i / p)
        i > p:   lr(i) = A(max_lr, final_lr, (i - p) / (T - 1 - p))
        cos:     A(a, b, x) = b + (a - b) (1 + cos(pi x)) / 2
        linear:  A(a, b, x) = a + (b - a) x

    This is torch's OneCycleLR, step for step, except that both factors divide the peak here; torch's
    final_div_factor divides the initial LR. Momentum goes the other way round: max, base, max.

    Args:
        max_lr: the peak, finite and above 0.
        low: lower end of the range that the peak was chosen from, above 0; None with high. For figures and reports;
            the schedule doesn't depend on it.
        high: its upper end, at least low.
        total_steps: optimizer steps T of the training; None when not known yet. pct_start * T must be above
            1: torch divides by zero at 1 and starts behind the peak below it.
        div_factor: peak over initial LR, at least 1.
        final_div_factor: peak over final LR, at least 1.
        pct_start: share of the steps spent rising, above 0 and below 1.
        cycle_momentum: whether the momentum (or beta1) cycles too. False for optimizers without momentum:
            torch refuses those, and it switches on the momentum of an SGD or RMSprop made with momentum 0.
        base_momentum: momentum at the peak, at least 0.
        max_momentum: momentum at both ends, at least base_momentum and below 1.
        anneal_strategy: "cos" or "linear".
        lr_ratios: for each parameter group its peak as a multiple of max_lr, finite and at least 0, not all of them
            0: a group at 0 stays at 0.

    Raises:
        ValueError: an argument outside its range; the message names it.

    Reference: L. N. Smith and N. Topin, "Super-convergence" (2017), https://arxiv.org/abs/1708.07120;
    https://pytorch.org/docs/stable/generated/torch.optim.lr_scheduler.OneCycleLR.html
    """

    max_lr: float
    low: float | None = None
    high: float | None = None
    total_steps: int | None = None
    div_factor: float = 100.0
    final_div_factor: float = 1e5
    pct_start: float = 0.3
    cycle_momentum: bool = True
    base_momentum: float = _TORCH_BASE_MOMENTUM
    max_momentum: float = _TORCH_MAX_MOMENTUM
    anneal_strategy: AnnealStrategy = "cos"
    lr_ratios: tuple[float, ...] = (1.0,)

    def __post_init__(self) -> None:
        _check_positive("max_lr", self.max_lr)
        _check_range(self.low, self.high)
        for name in ("div_factor", "final_div_factor"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 1):
                raise ValueError(f"{name} must be at least 1, as it divides the peak LR; got {value!r}")
        if not 0 < self.pct_start < 1:
            raise ValueError(f"pct_start must be above 0 and below 1; got {self.pct_start!r}")
        if not 0 <= self.base_momentum <= self.max_momentum < 1:
            raise ValueError(
                "momentum must satisfy 0 <= base_momentum <= max_momentum < 1; "
                f"got base_momentum={self.base_momentum!r}, max_momentum={self.max_momentum!r}"
            )
        if self.anneal_strategy not in get_args(AnnealStrategy):
            raise ValueError(
                f"anneal_strategy must be one of {get_args(AnnealStrategy)}; got {self.anneal_strategy!r}"
            )
        if not self.lr_ratios:
            raise ValueError("lr_ratios must hold one number per parameter group; got none")
        for index, ratio in enumerate(self.lr_ratios):
            if not (math.isfinite(ratio) and ratio >= 0):
                raise ValueError(f"lr_ratios[{index}] must be a finite number, at least 0; got {ratio!r}")
        if not any(self.lr_ratios):
            raise ValueError("lr_ratios must have one number above 0: with none nothing is trained")
        if self.total_steps is not None:
            self._peak_step(self.total_steps)

    @property
    def initial_lr(self) -> float:
        """LR of the first step: max_lr / div_factor."""
        return self.max_lr / self.div_factor

    @property
    def final_lr(self) -> float:
        """LR of the last step: max_lr / final_div_factor."""
        return self.max_lr / self.final_div_factor

    def lr_at(self, step: int, total_steps: int | None = None) -> float:
        """The LR of one optimizer step, for a parameter group of ratio 1.

        Args:
            step: from 0 to total_steps - 1.
            total_steps: steps of the whole training; the plan's own when left out.

        Raises:
            ValueError: no total_steps here or in the plan, too few of them, or a step outside them.
        """
        rising, share = self._phase(step, total_steps)
        start, end = (self.initial_lr, self.max_lr) if rising else (self.max_lr, self.final_lr)
        return _anneal(start, end, share, self.anneal_strategy)

    def momentum_at(self, step: int, total_steps: int | None = None) -> float | None:
        """The momentum (or beta1) of one step; None without cycle_momentum. Arguments as for lr_at."""
        rising, share = self._phase(step, total_steps)
        if not self.cycle_momentum:
            return None
        ends = (self.max_momentum, self.base_momentum)
        start, end = ends if rising else ends[::-1]
        return _anneal(start, end, share, self.anneal_strategy)

    def lr_curve(self, num_points: int = 201) -> tuple[FloatArray, FloatArray]:
        """The schedule as a line to draw: (share of the training in [0, 1], LR), both of shape (num_points,).

        Both ends and the peak are among the points. Without total_steps it is the schedule of an endless
        training, whose peak lies at pct_start.

        Raises:
            ValueError: num_points below 3.
        """
        if num_points < 3:
            raise ValueError(f"num_points must be at least 3 (start, peak, end); got {num_points!r}")
        peak = self.pct_start
        if self.total_steps is not None:
            peak = self._peak_step(self.total_steps) / (self.total_steps - 1)
        num_rising = min(max(round(peak * (num_points - 1)), 1), num_points - 2)
        up = np.linspace(0.0, 1.0, num_rising + 1)
        down = np.linspace(0.0, 1.0, num_points - num_rising)[1:]
        lrs = [_anneal(self.initial_lr, self.max_lr, x, self.anneal_strategy) for x in up.tolist()]
        lrs += [_anneal(self.max_lr, self.final_lr, x, self.anneal_strategy) for x in down.tolist()]
        return np.concatenate([up * peak, peak + (1 - peak) * down]), np.array(lrs)

    def torch_kwargs(self) -> dict[str, Any]:
        """Keyword arguments for torch's OneCycleLR that give exactly this plan.

        total_steps is among them when the plan knows it; several parameter groups make max_lr a list.
        """
        peaks = [ratio * self.max_lr for ratio in self.lr_ratios]
        kwargs: dict[str, Any] = {"max_lr": peaks if len(peaks) > 1 else peaks[0]}
        if self.total_steps is not None:
            kwargs["total_steps"] = self.total_steps
        kwargs |= {
            "pct_start": self.pct_start,
            "anneal_strategy": self.anneal_strategy,
            "div_factor": self.div_factor,
            # torch divides this one from the initial LR, not from the peak
            "final_div_factor": self.final_div_factor / self.div_factor,
            "cycle_momentum": self.cycle_momentum,
        }
        if self.cycle_momentum:
            kwargs |= {"base_momentum": self.base_momentum, "max_momentum": self.max_momentum}
        return kwargs

    def torch_line(self, optimizer: str = "optimizer", total_steps: int | str | None = None) -> str:
        """A paste-ready expression that builds torch's scheduler; its LRs are exact to 1e-3 relative.

        Args:
            optimizer: the optimizer's name in the reader's code.
            total_steps: a number or an expression; the plan's own when left out, and without one
                "epochs * len(train_loader)".
        """
        steps = self.total_steps if total_steps is None else total_steps
        kwargs = self.torch_kwargs()
        max_lr = kwargs["max_lr"]
        parts = [
            optimizer,
            f"max_lr={_lr_list(max_lr) if isinstance(max_lr, list) else pasted_lr(max_lr)}",
            f"total_steps={'epochs * len(train_loader)' if steps is None else steps}",
            f"pct_start={self.pct_start!r}",
            f"div_factor={_number(self.div_factor)}",
            f"final_div_factor={_number(kwargs['final_div_factor'])}",
        ]
        if self.anneal_strategy != "cos":
            parts.append(f'anneal_strategy="{self.anneal_strategy}"')
        if not self.cycle_momentum:
            parts.append("cycle_momentum=False")
        elif (self.base_momentum, self.max_momentum) != (_TORCH_BASE_MOMENTUM, _TORCH_MAX_MOMENTUM):
            parts.append(f"base_momentum={self.base_momentum!r}, max_momentum={self.max_momentum!r}")
        return f"torch.optim.lr_scheduler.OneCycleLR({', '.join(parts)})"

    def scheduler(self, optimizer: Any, total_steps: int | None = None) -> Any:
        """torch's OneCycleLR over an optimizer, which then trains along exactly this plan: step() it after every step.

        Args:
            optimizer: its LRs are overwritten. One ratio in lr_ratios stands for all of its parameter groups.
            total_steps: of the whole training; None: the plan's own.

        Raises:
            ValueError: no total_steps here or in the plan, too few of them, ratios for other groups, or momentum to
                cycle in an optimizer that has none.
        """
        from torch.optim.lr_scheduler import OneCycleLR  # whoever has an optimizer has loaded torch

        steps = self.total_steps if total_steps is None else total_steps
        if steps is None:
            raise ValueError("total_steps is not known to this plan: give the number of optimizer steps")
        self._peak_step(steps)
        if len(self.lr_ratios) not in (1, groups := len(optimizer.param_groups)):
            raise ValueError(
                f"lr_ratios must have one number per parameter group ({groups}); got {len(self.lr_ratios)}"
            )
        if self.cycle_momentum and not {"momentum", "betas"} & optimizer.defaults.keys():
            raise ValueError(
                f"{type(optimizer).__name__} has no momentum to cycle: make the plan with cycle_momentum=False"
            )
        return OneCycleLR(optimizer, **{**self.torch_kwargs(), "total_steps": steps})

    def as_dict(self) -> dict[str, Any]:
        """All fields and the two other LRs as plain values, ready for JSON."""
        return {
            **asdict(self),
            "lr_ratios": list(self.lr_ratios),
            "initial_lr": self.initial_lr,
            "final_lr": self.final_lr,
        }

    def _phase(self, step: int, total_steps: int | None) -> tuple[bool, float]:
        """Whether the step lies before the peak, and how much of its phase has passed, in [0, 1]."""
        steps = self.total_steps if total_steps is None else total_steps
        if steps is None:
            raise ValueError("total_steps is not known to this plan: give the number of optimizer steps")
        peak = self._peak_step(steps)
        if not 0 <= step < steps:
            raise ValueError(f"step must be from 0 to {steps - 1}; got {step!r}")
        if step <= peak:
            return True, step / peak
        return False, (step - peak) / (steps - 1 - peak)

    def _peak_step(self, total_steps: int) -> float:
        """The step of the peak, above 0; not whole when pct_start * total_steps isn't."""
        if isinstance(total_steps, bool) or not isinstance(total_steps, (int, np.integer)):
            raise ValueError(f"total_steps must be a whole number of optimizer steps; got {total_steps!r}")
        peak = float(self.pct_start * total_steps) - 1
        if peak <= 0:
            least = math.floor(1 / self.pct_start) + 1
            raise ValueError(
                f"total_steps must be at least {least} with pct_start={self.pct_start!r}, as OneCycle needs "
                f"a step before its peak; got {total_steps!r}. Train longer or raise pct_start"
            )
        return peak


@runtime_checkable
class Found(Protocol):
    """What an LR was read off or brought together from: a Suggestion or a Consensus."""

    @property
    def lr(self) -> float | None: ...
    @property
    def low(self) -> float | None: ...
    @property
    def high(self) -> float | None: ...


def plan(
    max_lr: float | Found,
    *,
    low: float | None = None,
    high: float | None = None,
    lr_ratios: Sequence[float] = (1.0,),
    **settings: Any,
) -> Plan:
    """The OneCycle schedule with max_lr as its peak, from numbers of any numeric type; see Plan.

    A Suggestion or a Consensus in place of max_lr gives its LR, and its range where low and high aren't given.

    Args:
        max_lr: the peak, or what has it.
        low: lower end of the range that it was chosen from.
        high: its upper end.
        lr_ratios: for each parameter group its peak as a multiple of max_lr.
        **settings: the other arguments of Plan, from total_steps to anneal_strategy.

    Raises:
        TypeError: a setting that Plan doesn't have.
        ValueError: a suggestion or consensus without an LR, or what Plan refuses.
    """
    if isinstance(max_lr, Found):
        if max_lr.lr is None:
            raise ValueError(f"max_lr: there is no LR to plan with; got {max_lr}")
        low, high = max_lr.low if low is None else low, max_lr.high if high is None else high
        max_lr = max_lr.lr
    check_numbers(
        max_lr=max_lr, **{name: value for name, value in (("low", low), ("high", high)) if value is not None}
    )
    check_numbers(**{name: value for name, value in settings.items() if name in _FRACTIONS})
    if (steps := settings.get("total_steps")) is not None:
        check_whole(total_steps=steps)
    return Plan(
        max_lr=float(max_lr),
        low=None if low is None else float(low),
        high=None if high is None else float(high),
        lr_ratios=tuple(float(ratio) for ratio in lr_ratios),
        **{name: _plain(name, value) for name, value in settings.items()},
    )


def _plain(name: str, value: Any) -> Any:
    """A setting as Python's own number; torch refuses an int in most places."""
    value = value.item() if isinstance(value, np.generic) else value
    return float(value) if name in _FRACTIONS else value


def pasted_lr(lr: float, *, digits: int = 4) -> str:
    """An LR as people write it: at most `digits` significant digits and a short exponent, like 3.32e-2.

    Four digits are exact to 5e-4 relative.
    """
    mantissa, exponent = f"{lr:.{digits - 1}e}".split("e")
    if "." in mantissa:
        mantissa = mantissa.rstrip("0").rstrip(".")
    return f"{mantissa}e{int(exponent)}"


def _lr_list(lrs: Sequence[float]) -> str:
    return f"[{', '.join(pasted_lr(lr) for lr in lrs)}]"


def _number(value: float) -> str:
    return f"{value:.6g}"


def _anneal(start: float, end: float, share: float, strategy: AnnealStrategy) -> float:
    if strategy == "linear":
        return start + (end - start) * share
    return end + (start - end) / 2 * (math.cos(math.pi * share) + 1)


def _check_positive(name: str, value: float) -> None:
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"{name} must be a finite number above 0; got {value!r}")


def _check_range(low: float | None, high: float | None) -> None:
    if low is None and high is None:
        return
    if low is None or high is None:
        raise ValueError(f"low and high must be given together; got low={low!r}, high={high!r}")
    _check_positive("low", low)
    _check_positive("high", high)
    if low > high:
        raise ValueError(f"low must be at most high; got low={low!r}, high={high!r}")
