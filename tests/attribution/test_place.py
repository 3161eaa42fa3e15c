from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from lightning_explain import Conductance, Input, IntegratedGradients, Layer, Neuron, Saliency, explain
from lightning_explain.attribution.engine import pose
from lightning_explain.attribution.guard import borrowed
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


class Pairs(nn.Module):
    """A layer that gives two tensors."""

    class Both(nn.Module):
        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return x.sin(), x.square()

    def __init__(self) -> None:
        super().__init__()
        self.both, self.head = self.Both(), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        sines, squares = self.both(x)
        return self.head(sines * squares)


def test_a_function_sees_all_tensors_of_a_layer_and_an_index_the_first() -> None:
    torch.manual_seed(0)
    model, x = Pairs().double(), torch.randn(3, 4, dtype=torch.float64)
    method = Saliency(absolute=False)
    found = explain(model, x, method, Neuron("both", lambda both: both[0][:, 1] + both[1][:, 2]), 0).values
    expected = torch.zeros_like(x)
    expected[:, 1], expected[:, 2] = x[:, 1].cos(), 2 * x[:, 2]
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    first = explain(model, x, method, Neuron("both", 1), 0).values
    assert first[:, 1].allclose(x[:, 1].cos())
    every = explain(model, x, Conductance(3), Neuron("both", lambda both: both[0].sum(dim=1) + both[1].sum(dim=1)), 1)
    whole = explain(model, x, IntegratedGradients(3), None, 1).values
    torch.testing.assert_close(every.values, whole, rtol=0, atol=1e-12)


def test_of_a_layer_of_a_whole_batch_no_dimension_is_that_of_the_samples() -> None:
    """A problem of one sample, which is a batch: what is explained is a number of the batch."""

    class Batch(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.turn, self.head = nn.Identity(), nn.Linear(4, 1)

        def forward(self, batch: Tensor) -> Tensor:  # (1, n, 4)
            return self.head(self.turn(batch[0].T).T.tanh()).sum().reshape(1)

    torch.manual_seed(0)
    model, x = Batch().double(), torch.randn(3, 4, dtype=torch.float64)
    whole = Layer("turn", channel_dim=None, whole=True)
    found = explain(model, x[None], IntegratedGradients(5), whole, "output", max_rows=1).values
    assert found.shape == (1, 4, 3)
    plain = explain(nn.Sequential(nn.Tanh(), model.head), x, IntegratedGradients(5), None, 0).values
    torch.testing.assert_close(found[0].T, plain, rtol=0, atol=1e-12)
    unit = Neuron("turn", 1, channel_dim=None, whole=True)  # the second sample, of each feature
    slope = explain(model, x[None], Saliency(), unit, "output", max_rows=1).values
    assert torch.equal(slope[0], torch.tensor([[0.0], [1.0], [0.0]], dtype=torch.float64).expand(3, 4))


def test_the_gradient_of_what_is_unused_is_zero_where_the_problem_says_so() -> None:
    torch.manual_seed(0)
    model, x = nn.ModuleDict({"used": nn.Linear(4, 2), "unused": nn.Linear(4, 3)}).double(), torch.ones(2, 4).double()

    def forward(held: nn.ModuleDict, given: Tensor) -> Tensor:
        held["unused"](given)
        return held["used"](given)

    with borrowed(model):
        problem = replace(pose(model, x, 1, forward=forward), place=Layer("unused"))
        with pytest.raises(ValueError, match="does not depend differentiably on unused"):
            Saliency()(problem)
        (found,) = Saliency()(replace(problem, zero_where_unused=True))
    assert torch.equal(found, torch.zeros(2, 3, dtype=torch.float64))
