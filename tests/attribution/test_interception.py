from collections.abc import Callable

import pytest
import torch
from cases import BY_NAME, Recurrent
from torch import Tensor, nn

from lightning_explain import IntegratedGradients, Layer, Neuron, Saliency, explain
from lightning_explain.attribution.interception import find_layer, named_layers


@pytest.mark.parametrize("batch_first", [True, False])
def test_states_of_recurrent_layers_have_the_batch_first(batch_first: bool) -> None:
    torch.manual_seed(0)
    model = Recurrent(batch_first).double()
    x = torch.randn(3, 5, 3, dtype=torch.float64)
    for max_rows in (1, 2, 100):  # 2: as many rows as layers
        found = explain(model, x, IntegratedGradients(4), Layer("lstm"), 1, max_rows=max_rows)
        out, hidden, cell = found.point
        assert out.shape == ((3, 5, 4))
        assert hidden.shape == cell.shape == (3, 2, 4)
        weight = model.head.weight[1].detach()
        values, zeros = (model.lstm(v if batch_first else v.transpose(0, 1)) for v in (x, torch.zeros_like(x)))
        change = values[1][0][-1] - zeros[1][0][-1]
        torch.testing.assert_close(hidden[:, 1], (change * weight[4:]).detach(), rtol=0, atol=1e-12)
        assert hidden[:, 0].abs().max() == 0  # only the last layer's state is read
        assert cell.abs().max() == 0
        assert out.abs().max() > 0
        assert found.delta.abs().max() < 1e-12


def test_attention_with_the_batch_second() -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = nn.MultiheadAttention(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            seen = x.transpose(0, 1)
            mixed, weights = self.attention(seen, seen, seen)
            return mixed.mean(dim=0) + weights.square().sum(dim=(1, 2))[:, None]

    torch.manual_seed(0)
    model, x = Model().double(), torch.randn(3, 5, 4, dtype=torch.float64)
    together = explain(model, x, "integrated_gradients", Layer("attention"), 1)
    assert [leaf.shape for leaf in together.point] == [(3, 5, 4), (3, 5, 5)]
    assert all(leaf.abs().max() > 0 for leaf in together.point)
    alone = explain(model, x[1:2], "integrated_gradients", Layer("attention"), 1)
    for left, right in zip(alone.point, together.point, strict=True):
        torch.testing.assert_close(left, right[1:2], rtol=0, atol=1e-12)
    inputs = explain(model, x, "integrated_gradients", Layer("attention", of="input"), 1)
    assert [leaf.shape for leaf in inputs.point] == [(3, 5, 4)] * 3


def test_a_reused_module_is_taken_at_its_first_run() -> None:
    case = BY_NAME["residual"]
    model, x = case.model(), case.inputs()
    found = explain(model, x, Saliency(absolute=False), Layer("block"), 0).values
    stem = model.stem(x).relu()
    z = model.block(stem).detach().requires_grad_()
    first = stem + z.relu()
    score = model.head(first + model.block(first).relu())[:, 0].sum()
    torch.testing.assert_close(found, torch.autograd.grad(score, z)[0], rtol=0, atol=1e-12)


def test_compiled_parts_keep_the_names_that_users_know() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.ReLU()))
    names = list(named_layers(model))
    model[1] = torch.compile(model[1], backend="eager")
    assert names == ["0", "1", "1.0"]
    assert list(named_layers(model)) == names
    assert isinstance(find_layer(model, "1.0"), nn.ReLU)
    with pytest.raises(ValueError, match=r"No layer '1.1'\. Did you mean '1.0'\? Known: 0, 1, 1.0"):
        find_layer(model, "1.1")


def test_a_module_with_two_names_is_found_by_either() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    model.add_module("again", model[0])
    assert find_layer(model, "again") is find_layer(model, "0") is model[0]


def test_the_hook_goes_also_where_the_forward_pass_fails() -> None:
    class Fails(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            raise LookupError("in the layer")

    model = nn.Sequential(Fails(5, 2))
    for place in (Layer("0"), Layer("0", of="input"), Neuron("0", 0)):
        with pytest.raises(LookupError, match="in the layer"):
            explain(model, torch.zeros(2, 5), "saliency", place, 0)
    assert not model[0]._forward_hooks
    assert not model[0]._forward_pre_hooks


@pytest.mark.parametrize("place", [Layer, lambda name, **of: Neuron(name, 0, **of)], ids=["layer", "neuron"])
def test_layers_that_cannot_be_explained_are_named(place: Callable[..., Layer]) -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(4, 3)
            self.count = Count()
            self.mean = Mean()
            self.nothing = Nothing()

        def forward(self, ids: Tensor) -> Tensor:
            self.nothing(ids)
            return self.mean(self.embedding(self.count(ids))) * self.embedding(ids).sum(dim=1)

    class Count(nn.Module):
        def forward(self, ids: Tensor) -> Tensor:
            return ids

    class Mean(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.mean()

    class Nothing(nn.Module):
        def forward(self, _: Tensor) -> None:
            return None

    ids = torch.tensor([[0, 1], [2, 3]])
    for name, of in (("embedding", "input"), ("count", "output")):
        with pytest.raises(TypeError, match="no gradient"):
            explain(Model(), ids, "saliency", place(name, of=of), target=1)
    with pytest.raises(ValueError, match="The output of layer 'nothing' holds no tensor to explain"):
        explain(Model(), ids, "occlusion", place("nothing"), target=1, baseline=0)
    with pytest.raises(ValueError, match=r"The output of layer 'mean' has shape \(\) for \d samples; expected one row"):
        explain(Model(), ids, "occlusion", place("mean"), target=1, baseline=0)


class Tokens(nn.Module):
    """Sequence first inside."""

    def __init__(self, part: nn.Module) -> None:
        super().__init__()
        self.part, self.head = part, nn.Linear(4, 2)

    def inner(self, x: Tensor) -> Tensor:
        turned = x.transpose(0, 1)
        memory = (turned,) if isinstance(self.part, (nn.TransformerDecoder, nn.TransformerDecoderLayer)) else ()
        return self.part(turned, *memory)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.inner(x)[-1])


PARTS = {
    "encoder": lambda: nn.TransformerEncoder(nn.TransformerEncoderLayer(4, 2, 8), 2, enable_nested_tensor=False),
    "decoder": lambda: nn.TransformerDecoder(nn.TransformerDecoderLayer(4, 2, 8), 2),
    "encoder layer": lambda: nn.TransformerEncoderLayer(4, 2, 8),
    "decoder layer": lambda: nn.TransformerDecoderLayer(4, 2, 8),
}


@pytest.mark.parametrize("part", PARTS)
def test_samples_of_encoders_are_not_taken_for_tokens(part: str) -> None:
    torch.manual_seed(0)
    model, x = Tokens(PARTS[part]()).eval(), torch.randn(3, 3, 4)  # as many tokens as samples: shapes tell nothing
    found = explain(model, x, "activation", Layer("part"), 0).values
    torch.testing.assert_close(found, model.inner(x).transpose(0, 1).detach())
    for given in explain(model, x, "activation", Layer("part", of="input"), 0).point:
        assert torch.equal(given, x)
    alone = explain(model, x[1:2], "input_x_gradient", Layer("part"), 0).values
    together = explain(model, x, "input_x_gradient", Layer("part"), 0).values
    torch.testing.assert_close(together[1:2], alone)
