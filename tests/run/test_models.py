from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torchvision.models import WeightsEnum, resnet18

from built import model_of
from steadylr import range_test
from steadylr.core.ramp import Ramp
from steadylr.run.fitting import ModelError, notes_of


def build(name: str = "small_resnet", **changes: Any) -> nn.Module:
    torch.manual_seed(0)
    return model_of(name, **changes)


def parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def test_the_small_resnet_has_about_a_hundred_thousand_parameters() -> None:
    """104,154 for grey images in ten classes, with BatchNorm."""
    model = build()
    assert parameters(model) == 104_154
    assert any(isinstance(module, nn.BatchNorm2d) for module in model.modules())


def test_the_small_transformer_has_between_100_and_200_thousand_parameters() -> None:
    """138,890 for grey images in ten classes, in four layers that start with weights of their own."""
    model = build("small_vit")
    assert parameters(model) == 138_890
    first, *others = [layer for layer in model.modules() if isinstance(layer, nn.TransformerEncoderLayer)]
    assert len(others) == 3
    assert not any(torch.equal(first.linear1.weight, other.linear1.weight) for other in others)


def test_the_small_transformer_sees_every_pixel_and_where_it_is() -> None:
    """Each pixel of an image that patches do not divide changes the outputs; so does exchanging two patches."""
    model = build("small_vit", image_size=16).eval()
    image = torch.rand(1, 1, 16, 16, requires_grad=True)
    (gradient,) = torch.autograd.grad(model(image).square().sum(), image)
    assert (gradient != 0).all()
    model = build("small_vit", image_size=14).eval()
    halves = torch.rand(1, 1, 14, 14)
    exchanged = torch.cat([halves[:, :, 7:], halves[:, :, :7]], dim=2)
    assert not torch.allclose(model(halves), model(exchanged), atol=1e-4)


def test_the_small_transformer_learns() -> None:
    """AdamW brings its loss on one batch down to a tenth within 60 steps."""
    model = build("small_vit", depth=1, dim=32).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    inputs, targets = torch.rand(20, 1, 28, 28), torch.arange(20) % 10
    losses = []
    for _ in range(60):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(inputs), targets)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.1 * losses[0]


@pytest.mark.parametrize("name", ["small_resnet", "small_vit", "mlp"])
@pytest.mark.parametrize(("channels", "size"), [(1, 28), (3, 32), (3, 16)])
def test_our_models_take_any_images(name: str, channels: int, size: int) -> None:
    """Outputs follow the classes, inputs the channels and the size."""
    model = build(name, num_classes=7, in_channels=channels, image_size=size)
    assert model(torch.zeros(2, channels, size, size)).shape == (2, 7)
    assert notes_of(model) == ()


def test_arguments_reach_our_models() -> None:
    """Hidden sizes and dropout of the MLP, widths of the ResNet, sizes of the transformer."""
    mlp = build("mlp", hidden=[5], dropout=0.3)
    assert parameters(mlp) == 784 * 5 + 5 + 5 * 10 + 10
    assert [module.p for module in mlp.modules() if isinstance(module, nn.Dropout)] == [0.3]
    assert parameters(build(widths=[8])) < 5000
    vit = build("small_vit", patch=4, dim=32, depth=2, heads=2, dropout=0.3)
    assert vit.get_parameter("positions").shape == (1, 49, 32)
    assert {module.p for module in vit.modules() if isinstance(module, nn.Dropout)} == {0.3}
    assert {module.num_heads for module in vit.modules() if isinstance(module, nn.MultiheadAttention)} == {2}


@pytest.mark.parametrize(
    ("name", "channels", "size"),
    [
        ("resnet18", 1, 28),
        ("mobilenet_v3_small", 3, 32),
        ("squeezenet1_0", 1, 40),
        ("shufflenet_v2_x0_5", 1, 32),
        pytest.param("resnet50", 3, 64, marks=pytest.mark.slow),
        pytest.param("convnext_tiny", 1, 32, marks=pytest.mark.slow),
        pytest.param("vit_b_16", 3, 32, marks=pytest.mark.slow),
        pytest.param("googlenet", 1, 32, marks=pytest.mark.slow),
        pytest.param("inception_v3", 3, 96, marks=pytest.mark.slow),
        pytest.param("swin_t", 1, 32, marks=pytest.mark.slow),
        pytest.param("densenet121", 1, 32, marks=pytest.mark.slow),
        pytest.param("efficientnet_b0", 1, 32, marks=pytest.mark.slow),
        pytest.param("vgg11_bn", 1, 32, marks=pytest.mark.slow),
        pytest.param("maxvit_t", 3, 224, marks=pytest.mark.slow),
    ],
)
def test_classifiers_of_torchvision_follow_the_data(name: str, channels: int, size: int) -> None:
    """Any of them trains on grey images, other sizes and other classes; outputs are one tensor."""
    model = build(name, num_classes=5, in_channels=channels, image_size=size).train()
    outputs = model(torch.rand(2, channels, size, size))
    assert outputs.shape == (2, 5)
    outputs.sum().backward()


@pytest.mark.parametrize(
    ("name", "changes", "error", "message"),
    [
        ("resnet81", {}, ModelError, r"model\.name='resnet81' is not known; did you mean resnet18"),
        (
            "mlp",
            {"hiden": [3]},
            ValueError,
            r"model\.hiden is not known; did you mean hidden",
        ),
        ("mlp", {"hidden": [0]}, ValueError, "hidden must be layer widths of at least 1"),
        ("mlp", {"dropout": 2.0}, ValueError, r"steadylr\.run\.models\.mlp refuses \{'dropout': 2\.0\}"),
        ("small_vit", {"heads": 5}, ValueError, "heads must divide dim=64; got 5"),
        ("small_vit", {"depth": 0}, ValueError, "at least 1; got 7, 64, 0 and 4"),
        (
            "resnet18",
            {"zero_init": True},
            ValueError,
            r"model\.zero_init is not known; did you mean zero_init_res",
        ),
        ("alexnet", {}, ValueError, r"model\.name=alexnet can't take images of data\.image_size=28"),
        ("vit_b_16", {}, ValueError, r"vit_b_16 can't be built with data\.image_size=28 .*indivisible"),
        (
            "resnet18",
            {"weights": "IMAGENET"},
            ValueError,
            r"'IMAGENET' is not a file, nor one of those published for .*DEFAULT",
        ),
        ("mlp", {"weights": "DEFAULT"}, ValueError, r"model\.weights='DEFAULT' is not a file$"),
    ],
)
def test_a_model_that_cannot_be_built_is_refused(
    name: str, changes: dict[str, Any], error: type[Exception], message: str
) -> None:
    """Names, arguments, sizes and weights are told by key, with what is there."""
    with pytest.raises(error, match=message):
        build(name, **changes)


def saved(path: Path, state: object) -> str:
    torch.save(state, path)
    return str(path)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: state,
        lambda state: {"state_dict": state, "epoch": 3},
        lambda state: {f"module.{k}": v for k, v in state.items()},
        lambda state: {"model": {f"_orig_mod.{k}": v for k, v in state.items()}},
        lambda state: {f"_orig_mod.module.{k}": v for k, v in state.items()},
        lambda state: {f"model.module._orig_mod.{k}": v for k, v in state.items()},
        lambda state: {k.replace("blocks.", "blocks._orig_mod."): v for k, v in state.items()},
    ],
    ids=["plain", "checkpoint", "parallel", "compiled", "compiled parallel", "all", "compiled layers"],
)
def test_weights_come_from_a_file(tmp_path: Path, wrap: Callable[[Any], Any]) -> None:
    """As saved by hand, in a checkpoint, or by a wrapper."""
    source = build()
    torch.manual_seed(9)
    path = saved(tmp_path / "weights.pt", wrap(source.state_dict()))
    model = model_of("small_resnet", weights=path)
    assert notes_of(model) == ()
    assert all(torch.equal(value, source.state_dict()[key]) for key, value in model.state_dict().items())


def test_a_last_layer_of_another_shape_is_left_fresh_and_said(tmp_path: Path) -> None:
    """Weights for other classes: all but the last layer is taken over."""
    source = build(num_classes=4)
    path = saved(tmp_path / "weights.pt", source.state_dict())
    model = build(weights=path)
    notes = notes_of(model)
    assert len(notes) == 1
    assert "the last layer (fc) is fresh" in notes[0]
    assert torch.equal(model.get_parameter("stem.weight"), source.get_parameter("stem.weight"))
    assert model.get_parameter("fc.weight").shape == (10, 80)


def _without_stem(state: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in state.items() if not key.startswith("stem")}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_without_stem, r"does not fit small_resnet: it lacks stem\.weight"),
        (lambda state: {**state, "more": torch.zeros(1)}, "it has unknown more"),
        (
            lambda state: {**state, "stem.weight": torch.zeros(1)},
            r"other shapes: stem\.weight \(1,\) instead of",
        ),
        (lambda state: list(state.values()), "holds no state dict"),
        (lambda _: build(), "can't be loaded as weights: UnpicklingError"),
    ],
)
def test_weights_that_do_not_fit_are_refused(
    tmp_path: Path, change: Callable[[Any], Any], message: str
) -> None:
    """The message names the file and what does not fit; pickled objects are not loaded."""
    path = saved(tmp_path / "weights.pt", change(build().state_dict()))
    with pytest.raises(ValueError, match=message):
        build(weights=path)


def test_a_file_that_is_no_weights_is_refused(tmp_path: Path) -> None:
    """Any damage gives one message with the path."""
    path = tmp_path / "weights.pt"
    path.write_text("text")
    with pytest.raises(ValueError, match=r"weights\.pt' can't be loaded as weights"):
        build(weights=str(path))


def test_published_weights_keep_all_but_the_last_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    """On grey images the adapted first layer gives the features of the same images in colour."""
    torch.manual_seed(5)
    published = resnet18()
    monkeypatch.setattr(WeightsEnum, "get_state_dict", lambda *_, **__: published.state_dict())
    model = build("resnet18", weights="DEFAULT", image_size=32)
    assert notes_of(model) == ("model.weights=DEFAULT: the last layer is fresh, for 10 classes",)
    assert model.get_submodule("fc").out_features == 10  # type: ignore[comparison-overlap]
    grey = torch.rand(1, 1, 32, 32)
    features = model.get_submodule("conv1")(grey)
    assert torch.allclose(features, published.conv1(grey.expand(1, 3, 32, 32)), atol=1e-5)


@pytest.mark.parametrize("name", ["small_resnet", "small_vit", "resnet18"])
def test_a_frozen_backbone_does_not_change_in_training(name: str) -> None:
    """Only the last layer is trained; BatchNorm keeps its statistics in train mode, through a whole test."""
    model = build(name, freeze=True)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    trained = [key for key, value in model.named_parameters() if value.requires_grad]
    assert trained == ["fc.weight", "fc.bias"]
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    batch = (torch.rand(4, 1, 28, 28), torch.arange(4))
    model.eval()
    range_test(model, optimizer, [batch], nn.functional.cross_entropy, Ramp(1e-3, 1e-1, 3), restore=False)
    assert model.training
    changed = [key for key, value in model.state_dict().items() if not torch.equal(value, before[key])]
    assert changed == trained


def test_building_draws_the_same_weights_for_the_same_seed() -> None:
    """Also for adapted models of torchvision."""
    for name in ("small_resnet", "small_vit", "resnet18"):
        one, two = build(name).state_dict(), build(name).state_dict()
        assert all(torch.equal(value, two[key]) for key, value in one.items())
