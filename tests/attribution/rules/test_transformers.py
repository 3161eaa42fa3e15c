"""Language models and vision transformers as people use them, where transformers is there to make them."""

import pytest
import torch
from torch import nn

from lightning_explain import Input, Layer, explain
from lightning_explain.attribution.methods import LRP
from lightning_explain.attribution.rules.composites import Composite
from lightning_explain.attribution.rules.relevance import Epsilon

try:
    import transformers

    MISSING = ""
except Exception as error:  # noqa: BLE001  (a broken torchvision raises RuntimeError)
    MISSING = f"transformers cannot be imported: {error}"

pytestmark = pytest.mark.skipif(bool(MISSING), reason=MISSING)
SMALL = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "num_labels": 3,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}


def make(kind: str, **settings) -> nn.Module:
    torch.manual_seed(0)
    config = getattr(transformers, f"{kind}Config")(**SMALL, **settings)
    task = "ForImageClassification" if kind == "ViT" else "ForSequenceClassification"
    return getattr(transformers, kind + task)(config).double().eval()


def ids() -> torch.Tensor:
    return torch.randint(3, 50, (3, 7), generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("kind", "settings", "layer", "most"),
    [
        ("Bert", {"vocab_size": 50}, "bert.embeddings.word_embeddings", 1e-12),
        # Its RMS norm works in float32.
        ("Llama", {"vocab_size": 50, "num_key_value_heads": 1}, "model.embed_tokens", 1e-6),
    ],
)
def test_deep_lift_of_words(kind: str, settings: dict, layer: str, most: float) -> None:
    place = Layer(layer, channel_dim=-1)
    model, words = make(kind, **settings), {"input_ids": ids()}
    found = explain(model, words, "deep_lift", place, target=1, baseline=torch.ones_like(ids()[:1]))
    assert found.delta.abs().max() < most * found.span.abs().max()


def test_deep_lift_of_pictures() -> None:
    x = torch.randn(2, 3, 16, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    model = make("ViT", image_size=16, patch_size=4, num_channels=3)
    found = explain(model, x, "deep_lift", Input(), target=1)
    assert found.delta.abs().max() < 1e-12 * found.span.abs().max()


def test_relevance_of_words_is_conserved() -> None:
    model = make("Llama", vocab_size=50, num_key_value_heads=1)  # no biases, no learnt positions
    exact = Composite(Epsilon(epsilon=0), Epsilon(epsilon=0))
    place = Layer("model.embed_tokens", channel_dim=-1)
    found = explain(model, {"input_ids": ids()}, LRP(exact, through_softmax=False), place, target=1)
    torch.testing.assert_close(found.values.flatten(1).sum(dim=1), found.outputs[:, 1], rtol=1e-6, atol=1e-7)
