import pytest
import torch
from torch import Tensor, nn

from lightning_explain import Input, IntegratedGradients, Layer, explain
from lightning_explain.attribution.embedding import embedded, token_embedding


class Words(nn.Module):
    """Takes ids or vectors, like models of transformers."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.kinds, self.head = nn.Embedding(9, 4), nn.Embedding(2, 4), nn.Linear(4, 3)

    def get_input_embeddings(self) -> nn.Module:
        return self.words

    def forward(
        self, input_ids: Tensor | None = None, inputs_embeds: Tensor | None = None, keep: Tensor | None = None
    ) -> Tensor:
        vectors = self.words(input_ids) if inputs_embeds is None else inputs_embeds
        return self.head((vectors.tanh() * keep[..., None]).sum(dim=1))


def test_ids_are_explained_at_their_embedding_or_as_vectors() -> None:
    torch.manual_seed(0)
    model, ids = Words().double(), torch.randint(1, 9, (3, 5))
    given = {"input_ids": ids, "keep": ids > 2}
    place = token_embedding(model)
    assert place == Layer("words", channel_dim=-1)
    baseline = {"input_ids": torch.zeros_like(ids), "keep": ids > 2}
    at_layer = explain(model, given, IntegratedGradients(8), place, 1, baseline=baseline).values
    vectors = embedded(model, given)
    assert list(vectors) == ["inputs_embeds", "keep"]
    assert not vectors["inputs_embeds"].requires_grad
    start = embedded(model, baseline)
    at_input = explain(model, vectors, IntegratedGradients(8), Input(channel_dim=-1), 1, baseline=start).values
    torch.testing.assert_close(at_input["inputs_embeds"], at_layer, rtol=0, atol=1e-12)
    assert at_layer.shape == (3, 5, 4)


def test_the_only_embedding_is_found() -> None:
    assert token_embedding(nn.Sequential(nn.Embedding(3, 2), nn.Linear(2, 2))).name == "0"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: token_embedding(nn.Sequential(nn.Linear(2, 2))),
            "Expected one embedding of tokens, found none; name it",
        ),
        (lambda: token_embedding(nn.Sequential(nn.Embedding(3, 2), nn.Embedding(3, 2))), "found 0, 1; name it"),
        (
            lambda: embedded(Words(), {"ids": torch.zeros(1, 2)}),
            r"Expected token ids under 'input_ids'; the inputs are \['ids'\]",
        ),
    ],
)
def test_what_cannot_be_is_refused(make: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
