"""What a verification shows: the figure by its info, then that it draws."""

from __future__ import annotations

import math

import numpy as np
import pytest

from steadylr.core.verification import Suggested, Verification, verify
from steadylr.present.figures import VerificationInfo, figure_bytes, verification_figure, verification_info

LRS = (0.01, 0.03, 0.05, 0.1, 0.3)


def found(
    *, last: float = math.inf, suggested: tuple[float, float, float] = (0.03, 0.05, 0.1)
) -> Verification:
    losses = [[0.9, 0.52, 0.5, 0.53, last], [0.94, 0.5, 0.5, 0.55, last]]
    return verify(LRS, losses, initial_loss=2.3, suggested=Suggested(*suggested))


def test_the_figure_shows_what_was_found() -> None:
    """LRs, losses and means; the suggestions; the bound of a good LR at the tolerance."""
    info = verification_info(found(), title="mlp on made data", judged_by="training loss")
    assert info.lr.tolist() == list(LRS)
    assert info.losses.shape == (2, 5)
    assert np.isinf(info.losses[:, -1]).all()
    assert info.mean.tolist() == pytest.approx([0.92, 0.51, 0.5, 0.54, 2.3])
    assert (info.low, info.chosen, info.high, info.move_to) == (0.03, 0.05, 0.1, None)
    assert info.bound == pytest.approx(0.5 + 0.05 * 1.8)
    assert info.initial_loss == 2.3
    assert info.subtitle.startswith("The spread is harmless: anywhere from 3.00e-2 to 1.00e-1")


@pytest.mark.parametrize(
    "shown",
    [
        found(),
        found(last=0.45),
        found(last=0.1),
        found(suggested=(0.05, 0.05, 0.05)),
        verify(LRS, np.full((1, 5), math.inf), initial_loss=2.3, suggested=Suggested(0.03, 0.05, 0.1)),
        verify((0.05,), [[-1.0]], initial_loss=-0.5, suggested=Suggested(0.05, 0.05, 0.05)),
    ],
)
def test_the_figure_draws(shown: Verification) -> None:
    """Given up or not, with a move or without, with one LR, without any loss; twice the same bytes."""
    info = verification_info(shown, title="mlp on made data: 300 steps")
    first = figure_bytes(verification_figure(info))
    assert len(first) > 10_000
    assert first == figure_bytes(verification_figure(info))


def test_a_figure_of_arrays_that_do_not_fit_is_refused() -> None:
    """With their shapes."""
    with pytest.raises(ValueError, match=r"losses \(seeds, 2\)"):
        VerificationInfo(
            lr=np.array([0.1, 0.2]),
            losses=np.ones((1, 3)),
            mean=np.ones(2),
            low=0.1,
            chosen=0.1,
            high=0.2,
            bound=None,
            initial_loss=2.0,
        )
