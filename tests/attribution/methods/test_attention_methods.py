"""Attention rollout and relevance, written out for one sample, layer by layer."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_explain import AttentionRelevance, AttentionRollout, Input, Layer, explain

T, WIDTH, HEADS, SAMPLES = 5, 6, 2, 3


class Model(nn.Module):
    """Two layers; their attention can be given from outside, for the reference."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Linear(WIDTH, WIDTH)
        self.qkv = nn.ModuleList(nn.Linear(WIDTH, 3 * WIDTH) for _ in range(2))
        self.head = nn.Linear(WIDTH, 4)

    def forward(self, x: Tensor, given: dict[int, Tensor] | None = None) -> Tensor:
        x = self.embedding(x)
        for number, qkv in enumerate(self.qkv):
            q, k, v = qkv(x).unflatten(2, (3, HEADS, WIDTH // HEADS)).permute(2, 0, 3, 1, 4)
            attention = (given or {}).get(number, (q @ k.transpose(2, 3)).softmax(dim=-1))
            x = x + (attention @ v).transpose(1, 2).flatten(2).tanh()
        return self.head(x[:, 0])

    def attention(self, x: Tensor) -> list[Tensor]:
        found, x = [], self.embedding(x)
        for qkv in self.qkv:
            q, k, v = qkv(x).unflatten(2, (3, HEADS, WIDTH // HEADS)).permute(2, 0, 3, 1, 4)
            found.append((q @ k.transpose(2, 3)).softmax(dim=-1).detach())
            x = x + (found[-1] @ v).transpose(1, 2).flatten(2).tanh()
        return found


def model() -> Model:
    torch.manual_seed(0)
    return Model().double()


X = torch.randn(SAMPLES, T, WIDTH, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("query", [0, -1, 2, None])
@pytest.mark.parametrize("max_rows", [1, 2, 100])
def test_rollout_is_the_product_of_half_attention_and_half_identity(query: int | None, max_rows: int) -> None:
    net = model()
    found = explain(net, X, AttentionRollout(query), target=1, max_rows=max_rows)
    assert found.place == Input()
    for i in range(SAMPLES):
        first, second = ((0.5 * a[0].mean(dim=0) + 0.5 * torch.eye(T)) for a in net.attention(X[i : i + 1]))
        expected = second @ first
        expected = expected.mean(dim=0) if query is None else expected[query]
        torch.testing.assert_close(found.values[i, :, 0], expected, rtol=0, atol=1e-12)
        assert found.values[i].sum().item() == pytest.approx(1)


@pytest.mark.parametrize("query", [0, -1, None])
def test_relevance_gathers_what_attention_and_its_gradient_say(query: int | None) -> None:
    net, targets = model(), [3, 0, 1]
    found = explain(net, X, AttentionRelevance(query), target=torch.tensor(targets), max_rows=2)
    for i, target in enumerate(targets):
        attention = [a.requires_grad_() for a in net.attention(X[i : i + 1])]
        slopes = [  # also by way of the attention that follows
            torch.autograd.grad(net(X[i : i + 1], {number: a})[0, target], a)[0] for number, a in enumerate(attention)
        ]
        relevance = torch.eye(T, dtype=torch.float64)
        for a, slope in zip(attention, slopes, strict=True):
            gathered = torch.zeros(T, T, dtype=torch.float64)
            for head in range(HEADS):
                gathered += (slope[0, head] * a[0, head]).detach().clamp(min=0) / HEADS
            relevance = relevance + gathered @ relevance
        relevance = relevance - torch.eye(T)
        expected = relevance.mean(dim=0) if query is None else relevance[query]
        torch.testing.assert_close(found.values[i, :, 0], expected, rtol=0, atol=1e-12)
    if query == 0:
        assert found.values.max() > 0


def test_the_gradient_is_that_behind_a_layer_too() -> None:
    net = model()
    at_layer = explain(net, X, AttentionRelevance(), Layer("embedding", channel_dim=-1), 1)
    assert at_layer.values.shape == (SAMPLES, T, 1)
    torch.testing.assert_close(
        at_layer.values, explain(net, X, AttentionRelevance(), target=1).values, rtol=0, atol=1e-12
    )
    behind = explain(net, X, AttentionRollout(), Layer("qkv.1", of="input", channel_dim=-1), 1).values
    second = torch.stack([0.5 * a.mean(dim=0)[0] for a in net.attention(X)[1]])
    second[:, 0] += 0.5
    torch.testing.assert_close(behind[..., 0], second, rtol=0, atol=1e-12)


def test_ids_get_a_number_each_and_pictures_a_map() -> None:
    class Words(Model):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(9, WIDTH)

    torch.manual_seed(0)
    ids = torch.randint(0, 9, (SAMPLES, T))
    for method in (AttentionRollout(), AttentionRelevance()):
        found = explain(Words().double(), ids, method, target=1).values
        assert found.shape == (SAMPLES, T)
        assert found.max() > 0

    class Patches(Model):
        def forward(self, x: Tensor, given: dict[int, Tensor] | None = None) -> Tensor:
            patches = F.unfold(x, 2, stride=2).transpose(1, 2)
            tokens = F.pad(patches, (0, WIDTH - 4, 1, 0), value=0.5)
            return super().forward(tokens, given)

    net, picture = Patches().double(), torch.randn(SAMPLES, 1, 4, 6, dtype=torch.float64)
    found = explain(net, picture, AttentionRelevance(), target=2)
    assert found.values.shape == (SAMPLES, 1, 4, 6)
    tokens = F.pad(F.unfold(picture, 2, stride=2).transpose(1, 2), (0, WIDTH - 4, 1, 0), value=0.5)
    plain = Model().double()
    plain.load_state_dict(net.state_dict())
    flat = explain(plain, tokens, AttentionRelevance(), target=2).values[:, 1:, 0].view(SAMPLES, 1, 2, 3)
    torch.testing.assert_close(found.values, F.interpolate(flat, size=(4, 6), mode="bilinear"), rtol=0, atol=1e-12)


def transformers() -> object:
    for name in ("nms", "qnms"):  # a torchvision that does not fit this torch registers them half
        try:
            torch.library.define(f"torchvision::{name}", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        except RuntimeError:
            continue
    try:
        import transformers as found
    except Exception as error:  # noqa: BLE001  (whatever stops it, these tests cannot run)
        pytest.skip(f"transformers cannot be imported: {type(error).__name__}")
    return found


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_models_of_transformers_are_seen_whole(attention: str) -> None:
    library = transformers()
    config = library.BertConfig(
        vocab_size=30, hidden_size=8, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16, num_labels=3
    )
    config._attn_implementation = attention
    torch.manual_seed(0)
    net = library.BertForSequenceClassification(config).eval()
    ids = torch.randint(0, 30, (SAMPLES, T), generator=torch.Generator().manual_seed(0))
    mask = torch.ones_like(ids)
    mask[1, 3:] = 0
    given = {"input_ids": ids, "attention_mask": mask}
    config._attn_implementation = "eager"
    expected = torch.eye(T).expand(SAMPLES, -1, -1)
    open_ = library.BertForSequenceClassification(config).eval()
    open_.load_state_dict(net.state_dict())
    for a in open_(**given, output_attentions=True).attentions:
        expected = (torch.eye(T) + a.mean(dim=1)) / 2 @ expected
    found = explain(net, given, AttentionRollout(), target=1).values["input_ids"]
    torch.testing.assert_close(found, expected[:, 0].detach(), rtol=0, atol=1e-6)
    relevance = explain(net, given, AttentionRelevance(), target=1).values["input_ids"]
    assert relevance[0].max() > 0
    assert relevance[1, 3:].abs().max() < 1e-6  # padding
