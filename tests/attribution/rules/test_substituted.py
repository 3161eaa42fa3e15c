"""Models that are lent other tensors: those in float16, for relevance."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_explain import Input, Layer, Neuron, explain
from lightning_explain.attribution.methods import LRP
from lightning_explain.attribution.model import call
from lightning_explain.attribution.rules.substituted import Substituted


class Small(nn.Module):
    """Values near zero, statistics, a recurrent layer."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.bn = nn.Conv1d(3, 6, 3, padding=1), nn.BatchNorm1d(6)
        self.norm, self.lstm, self.head = nn.LayerNorm(6), nn.LSTM(6, 5, batch_first=True), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.silu(self.bn(self.conv(x)) * 0.01).transpose(1, 2)
        return self.head(self.lstm(F.gelu(self.norm(x)))[0].sum(dim=1))


@pytest.mark.parametrize("place", [Input(), Layer("norm", channel_dim=-1), Neuron("conv", (1, 2))], ids=str)
@pytest.mark.parametrize("name", ["epsilon", "epsilon_plus"])
def test_float16_is_as_float32_to_the_rounding_of_its_inputs(name: str, place) -> None:
    torch.manual_seed(0)
    half, x = Small().eval().half(), (0.02 * torch.randn(3, 3, 7)).half()
    x[:, :, 0] = 0
    before = dict(half.named_parameters())
    found = explain(half, x, LRP(name), place, target=1)
    expected = explain(copy.deepcopy(half).float(), x.float(), LRP(name), place, target=1)
    torch.testing.assert_close(found.values, expected.values, rtol=1e-5, atol=1e-6 * float(expected.values.abs().max()))
    assert found.values.dtype == torch.float32
    assert found.outputs.dtype == torch.float16
    assert all(parameter is before[key] for key, parameter in half.named_parameters())


def test_the_model_keeps_its_own() -> None:
    model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2)).eval()
    weight, x = model[0].weight, torch.ones(2, 3)
    before = model(x)
    lent = {"0.weight": torch.zeros(2, 3), "0.bias": torch.ones(2), "1.running_mean": torch.tensor([1.0, 0.0])}
    found = Substituted(call, lent)(model, x)
    torch.testing.assert_close(found, torch.tensor([[0.0, 1.0]]).expand(2, 2), rtol=0, atol=1e-5)
    assert model[0].weight is weight
    assert torch.equal(model(x), before)
    model[1].register_forward_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError, match="division by zero"):
        Substituted(call, lent)(model, x)
    assert model[0].weight is weight
