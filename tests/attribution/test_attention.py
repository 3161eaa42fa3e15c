"""The ways in which models attend, and what is seen of it."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_explain import Layer, explain
from lightning_explain.attribution.attention import Attentions

T, WIDTH, HEADS, SAMPLES = 5, 6, 2, 3


class Written(nn.Module):
    """Attention in the open: the probabilities are given by hand for reference."""

    def __init__(self, how: str = "softmax") -> None:
        super().__init__()
        self.qkv, self.out, self.head = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, 2)
        self.how = how

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).unflatten(2, (3, HEADS, WIDTH // HEADS)).permute(2, 0, 3, 1, 4)
        if self.how == "fused":
            mixed = F.scaled_dot_product_attention(q, k, v)
        elif self.how == "causal":
            mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        else:
            logits = q @ k.transpose(2, 3) / (WIDTH // HEADS) ** 0.5
            mixed = (
                F.dropout(
                    {"softmax": F.softmax, "torch": torch.softmax, "method": Tensor.softmax}[self.how](logits, dim=-1),
                    0.1,
                    self.training,
                )
                @ v
            )
        return self.head((x + self.out(mixed.transpose(1, 2).flatten(2))).mean(dim=1))


def made(make: Callable[[], nn.Module]) -> nn.Module:
    torch.manual_seed(0)
    return make().double().eval()


X = torch.randn(SAMPLES, T, WIDTH, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("how", ["softmax", "torch", "method", "fused", "causal"])
def test_every_way_of_writing_it_is_seen_and_changes_nothing(how: str) -> None:
    model = made(lambda: Written(how))
    with Attentions(SAMPLES) as seen:
        found = model(X)
    torch.testing.assert_close(found, model(X), rtol=0, atol=1e-12)
    (probabilities,) = seen.found
    q, k, _ = model.qkv(X).unflatten(2, (3, HEADS, 3)).permute(2, 0, 3, 1, 4)
    for n in range(SAMPLES):
        for head in range(HEADS):
            for i in range(T):
                last = i + 1 if how == "causal" else T
                weights = [(q[n, head, i] @ k[n, head, j] / 3**0.5).exp() for j in range(last)]
                expected = torch.stack([w / sum(weights) for w in weights])
                torch.testing.assert_close(probabilities[n, head, i, :last], expected, rtol=0, atol=1e-12)
                assert probabilities[n, head, i, last:].abs().sum() < 1e-12


class Fused(nn.Module):
    def __init__(self, change: str) -> None:
        super().__init__()
        extra = {"bias": {"add_bias_kv": True}, "zero": {"add_zero_attn": True}}.get(change, {})
        sizes = {"kdim": 4, "vdim": 3} if change == "sizes" else {}
        self.attention = nn.MultiheadAttention(
            WIDTH, HEADS, batch_first=change != "second", bias=change != "unbiased", **extra, **sizes
        )
        self.change, self.sizes = change, sizes

    def forward(self, x: Tensor) -> Tensor:
        seen = x.transpose(0, 1) if self.change == "second" else x
        key, value = (seen[..., :4], seen[..., :3]) if self.sizes else (seen, seen)
        options = {}
        if self.change == "mask":
            options = {"attn_mask": torch.ones(T, T, dtype=torch.bool).triu(1)}
        if self.change == "padding":
            options = {"key_padding_mask": torch.arange(T).expand(SAMPLES, -1) > 2}
        if self.change == "weights":
            mixed, weights = self.attention(seen, key, value)
            return mixed.mean(dim=1) + weights.square().sum(dim=(1, 2))[:, None]
        mixed, none = self.attention(seen, key, value, need_weights=False, **options)
        assert none is None
        return mixed.mean(dim=0 if self.change == "second" else 1)


@pytest.mark.parametrize("change", ["", "second", "unbiased", "bias", "zero", "sizes", "mask", "padding", "weights"])
def test_multi_head_attention_is_computed_as_it_is(change: str) -> None:
    model = made(lambda: Fused(change))
    for parameter in model.parameters():
        parameter.requires_grad_(False)  # then eval() takes a fast path
    with Attentions(SAMPLES) as seen:
        found = model(X)
    torch.testing.assert_close(found, model(X), rtol=0, atol=1e-12)
    if change in {"bias", "zero"}:
        assert not seen.found  # one more key than queries
        return
    (probabilities,) = seen.found
    assert probabilities.shape == (SAMPLES, HEADS, T, T)
    torch.testing.assert_close(probabilities.sum(dim=-1), torch.ones(SAMPLES, HEADS, T, dtype=torch.float64))
    for allowed in {"mask": [torch.ones(T, T).tril() > 0], "padding": [(torch.arange(T) <= 2).expand(T, T)]}.get(
        change, []
    ):
        assert (probabilities[:, :, ~allowed] == 0).all()


def test_grouped_queries_and_masks_of_numbers() -> None:
    q, k, v = torch.randn(2, 4, T, 3), torch.randn(2, 2, T, 3), torch.randn(2, 2, T, 3)
    mask = torch.randn(T, T)
    expected = F.scaled_dot_product_attention(q, k, v, mask, scale=0.3, enable_gqa=True)
    with Attentions(2) as seen:
        found = F.scaled_dot_product_attention(q, k, v, mask, scale=0.3, enable_gqa=True)
    torch.testing.assert_close(found, expected)
    assert seen.found[0].shape == (2, 4, T, T)


def test_encoders_do_not_escape_on_their_fast_path() -> None:
    layer = nn.TransformerEncoderLayer(WIDTH, HEADS, 8, batch_first=True)
    model = made(lambda: nn.TransformerEncoder(layer, 3, enable_nested_tensor=True))
    with torch.no_grad(), Attentions(SAMPLES) as seen:
        found = model(X)
    assert len(seen.found) == 3
    torch.testing.assert_close(found, model(X), rtol=0, atol=1e-12)


def test_what_is_no_attention_is_left_alone() -> None:
    with Attentions(2) as seen:
        torch.randn(2, 3, 4, 4).softmax(dim=1)
        torch.randn(2, 3, 4, 5).softmax(dim=-1)
        torch.randn(4, 4).softmax(dim=-1)
        torch.randn(6, 2, 4, 4).softmax(dim=-1)
        F.scaled_dot_product_attention(torch.randn(2, 1, 4, 3), torch.randn(2, 1, 5, 3), torch.randn(2, 1, 5, 3))
        assert not seen.found
        torch.randn(2, 3, 4, 4).softmax(-1)
    assert len(seen.found) == 1


def test_what_cannot_be_followed_is_said() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(T * WIDTH, 2)).double()
    with pytest.raises(ValueError, match="No self-attention was seen behind the place"):
        explain(model, X, "attention_rollout")

    class Pooled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = Fused(""), Fused("")

        def forward(self, x: Tensor) -> Tensor:
            mixed, _ = self.first.attention(x, x, x)
            return self.second(mixed[:, ::2])

    with pytest.raises(ValueError, match=r"The number of tokens changes on the way: 3, 5\..*place=Layer"):
        explain(made(Pooled), X, "attention_relevance")
    shaped = nn.Sequential(nn.Linear(30, 30), nn.Flatten(), nn.Linear(120, 30), nn.Unflatten(1, (T, WIDTH)), Written())
    shaped, x = shaped.double(), torch.randn(3, 4, 30, dtype=torch.float64)
    with pytest.raises(ValueError, match=r"attention is over 5 tokens; no tensor of the place has as many.*4, 30\)"):
        explain(shaped, x, "attention_rollout")
    assert explain(shaped, x, "attention_rollout", Layer("3")).values.shape == (3, T, 1)
