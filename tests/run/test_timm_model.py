"""Models of timm, by name."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from built import model_and_notes as build_model
from steadylr.run.fitting import ModelError

pytestmark = pytest.mark.slow

SIZES = {"num_classes": 7, "in_channels": 1, "image_size": 32, "library": "timm"}


@pytest.mark.parametrize("name", ["test_resnet", "test_vit"])
def test_a_model_fits_the_images(name: str) -> None:
    """Classes, channels and size follow from them; a transformer is built for the size."""
    model, notes = build_model(name, **SIZES)
    assert model(torch.zeros(2, 1, 32, 32)).shape == (2, 7)
    assert notes == ()


def test_weights_come_from_a_file_and_all_but_the_last_layer_can_be_frozen(tmp_path: Path) -> None:
    """As for the other models: another number of classes leaves the last layer fresh."""
    other = build_model("test_resnet", **{**SIZES, "num_classes": 3})[0]
    torch.save(other.state_dict(), tmp_path / "weights.pt")
    built, notes = build_model("test_resnet", **SIZES, weights=str(tmp_path / "weights.pt"), freeze=True)
    assert torch.equal(next(built.parameters()), next(other.parameters()))
    assert {name for name, value in built.named_parameters() if value.requires_grad} == {
        "fc.weight",
        "fc.bias",
    }
    assert "is fresh" in notes[0]


def test_what_timm_does_not_know_is_named() -> None:
    """A name with the nearest ones, an argument with the model's own words, a file that is not there."""
    with pytest.raises(ModelError, match=r"^model\.name='resnet_18' is no model of timm; did you .*resnet18"):
        build_model("resnet_18", **SIZES)
    with pytest.raises(ValueError, match=r"^model\.name=test_resnet of timm can't be built with .*'depht'"):
        build_model("test_resnet", **SIZES, depht=3)
    with pytest.raises(
        ValueError,
        match=r"is not a file, nor one of those published for .* \(DEFAULT\)$",
    ):
        build_model("test_resnet", **SIZES, weights="nowhere.pt")
