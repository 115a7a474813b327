"""Models of transformers: built from the values of a config, trained by the loss that they answer with."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from steadylr import range_test
from steadylr.core.ramp import Ramp
from steadylr.huggingface import step
from steadylr.run.extras import MissingPackage, needed
from steadylr.run.fitting import ModelError, notes_of
from steadylr.run.transformers_model import image_step, transformers_model

TINY = {
    "vocab_size": 256,
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 32,
}
TEXT = Path(__file__).parents[2] / "LICENSE"


def token_batches(count: int = 4, length: int = 32) -> list[dict[str, Tensor]]:
    """Real text as bytes, eight pieces a batch; the label of a piece says which half of the text it is from."""
    codes = torch.frombuffer(bytearray(TEXT.read_bytes()), dtype=torch.uint8).long()
    pieces = codes[: len(codes) // length * length].view(-1, length)
    labels = (torch.arange(len(pieces)) >= len(pieces) // 2).long()
    order = torch.randperm(len(pieces), generator=torch.Generator().manual_seed(0))
    chosen = [order[i * 8 : i * 8 + 8] for i in range(count)]
    return [{"input_ids": pieces[rows], "labels": labels[rows]} for rows in chosen]


class Answers(nn.Module):
    """Answers any batch with what it is told to."""

    def __init__(self, answer: Any) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))
        self.answer = answer

    def forward(self, **batch: Any) -> Any:
        return self.answer


def test_a_step_takes_the_loss_of_the_answer() -> None:
    """As an attribute or as an entry."""

    class Output:
        loss = torch.tensor(3.0)

    assert step(Answers(Output()), {"x": torch.zeros(1)}).item() == 3
    assert step(Answers({"loss": torch.tensor(2.0)}), {"x": torch.zeros(1)}).item() == 2


def test_a_step_says_what_is_missing() -> None:
    """A batch that is no mapping, and an answer without a loss, with the model's name and the batch's keys."""
    with pytest.raises(ValueError, match=r"^a batch for Answers must be a mapping .*; got list: .*_collator"):
        step(Answers(None), [torch.zeros(1)])  # type: ignore[arg-type]
    with pytest.raises(
        ValueError, match=r"^Answers answered with dict without a loss to a batch of input_ids: "
    ):
        step(Answers({"logits": 1}), {"input_ids": torch.zeros(1)})


def test_a_package_that_is_missing_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the command that installs it."""
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(
        MissingPackage, match=r"^model\.name=X needs transformers: pip install 'steadylr\[hf\]'$"
    ):
        needed("transformers", by="model.name=X")


@pytest.mark.slow
def test_a_tiny_bert_is_tested_on_text() -> None:
    """Dictionary batches, AdamW, dropout: the model comes back as it was, and the curve can be had again."""
    torch.manual_seed(0)
    model = transformers_model("BertForSequenceClassification", **TINY)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    first, second = (
        range_test(model, optimizer, token_batches(), None, Ramp(1e-5, 1e-2, 12), step=step) for _ in range(2)
    )
    assert first.curve.digest() == second.curve.digest()
    assert first.noise_used
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())
    assert notes_of(model) == ()


@pytest.mark.slow
def test_a_vision_model_takes_our_images() -> None:
    """Classes, channels and size fill its config; pairs become what it is called with."""
    small = {**{k: v for k, v in TINY.items() if k != "vocab_size"}, "patch_size": 7}
    sizes = {"num_classes": 10, "in_channels": 1, "image_size": 28}
    model = transformers_model("ViTForImageClassification", **sizes, **small)
    loss = image_step(model)(model, (torch.zeros(3, 1, 28, 28), torch.tensor([1, 9, 0])))
    assert loss.shape == ()
    assert loss.requires_grad


@pytest.mark.slow
def test_weights_come_from_a_folder(tmp_path: Path) -> None:
    """As save_pretrained wrote them; with another number of classes the last layer is fresh."""
    saved = transformers_model("BertForSequenceClassification", **TINY)
    saved.save_pretrained(tmp_path)
    model = transformers_model("BertForSequenceClassification", num_classes=5, weights=str(tmp_path))
    assert model.classifier.out_features == 5
    name = "bert.embeddings.word_embeddings.weight"
    assert torch.equal(model.state_dict()[name], saved.state_dict()[name])
    assert "fresh" in notes_of(model)[0]


@pytest.mark.slow
def test_what_transformers_does_not_know_is_named() -> None:
    """A class with the nearest ones, a value of the config, weights that are nowhere."""
    with pytest.raises(
        ModelError,
        match=r"^model\.name='BertForSequenceClasification' is no model .*did you mean BertForSequence",
    ):
        transformers_model("BertForSequenceClasification")
    with pytest.raises(ValueError, match=r"^model\.hiden_size is not known; did you mean hidden_size"):
        transformers_model("BertForSequenceClassification", hiden_size=3)
    with pytest.raises(
        ValueError,
        match=r"^model\.name=BertForSequence.* can't be .*num_attention_heads': 3",
    ):
        transformers_model("BertForSequenceClassification", **{**TINY, "num_attention_heads": 3})
