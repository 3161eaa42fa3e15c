from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from lightning_explain import Input, Layer, Neuron, Saliency, explain
from lightning_explain.attribution.through import Through


@pytest.mark.parametrize(
    ("place", "text"),
    [
        (Input(), ""),
        (Input(channel_dim=None), ""),
        (Layer("a.0"), "@a.0"),
        (Layer("a", of="input", channel_dim=-1), "@a:input"),
        (Neuron("a", 3), "@a[3]"),
        (Neuron("a", (1, -2), of="input"), "@a:input[1,-2]"),
        (Neuron("a", (0, slice(1, 3), slice(None), slice(0, 8, 2))), "@a[0,1:3,:,0:8:2]"),
        (Neuron("a", Tensor.numel), "@a[numel]"),
    ],
)
def test_places_are_written_as_they_are_logged(place: Input | Layer | Neuron, text: str) -> None:
    assert str(place) == text


@pytest.mark.parametrize("make", [lambda: Layer("a", of="out"), lambda: Neuron("a", 0, of="out")])
def test_a_layer_has_two_sides(make: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match=r"No side of a layer 'out'. Did you mean 'output'. Known: output, input"):
        make()


class Total(nn.Module):
    """Every unit of conv is read by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(2, 3, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x).sum(dim=(1, 2))


X = torch.randn(4, 2, 5, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("index", "select"),
    [
        ((1, 2), lambda out: out[:, 1, 2]),
        ((1, -1), lambda out: out[:, 1, -1]),
        (1, lambda out: out[:, 1].sum(dim=1)),
        (slice(0, 2), lambda out: out[:, :2].sum(dim=(1, 2))),
        ((slice(None), 1), lambda out: out[:, :, 1].sum(dim=1)),
        (lambda out: out.square().amax(dim=(1, 2)), lambda out: out.square().amax(dim=(1, 2))),
    ],
)
def test_a_neuron_is_one_unit_or_a_sum_or_a_function(index: object, select: Callable[[Tensor], Tensor]) -> None:
    model = Total()
    x = X.clone().requires_grad_()
    (expected,) = torch.autograd.grad(select(model.conv(x)).sum(), x)
    found = explain(model, X, Saliency(absolute=False), Neuron("conv", index)).values
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("index", [3, (0, 4), (0, -5), (0, 0, 0)])
def test_a_neuron_that_is_not_there(index: object) -> None:
    with pytest.raises(
        IndexError, match=r"Neuron index .* does not fit layer 'conv', whose output has shape \(n, 3, 4\)"
    ):
        explain(Total(), X, "saliency", Neuron("conv", index))


@pytest.mark.parametrize("function", [lambda out: out, lambda out: out.sum(), lambda out: out.sum(dim=(0, 2))])
def test_a_function_gives_one_number_per_sample(function: Callable[[Tensor], Tensor]) -> None:
    with pytest.raises(ValueError, match=r"index function of the neuron in layer 'conv' made .*; expected one number"):
        explain(Total(), X, "saliency", Neuron("conv", function))


def test_neurons_are_keys_whatever_their_index() -> None:
    places = {Neuron("a", slice(0, 2)): 1, Neuron("a", (0, slice(None))): 2, Through("a", slice(0, 2)): 3}
    assert places[Neuron("a", slice(0, 2))] == 1
    assert places[Through("a", slice(0, 2))] == 3
    assert Neuron("a", slice(0, 3)) not in places
