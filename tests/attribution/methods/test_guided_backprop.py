"""Guided backprop and deconvolution against hand-written backward passes and Captum."""

import captum.attr as captum
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_explain import Input, Layer, Neuron, explain
from lightning_explain.attribution.methods import Deconvolution, GuidedBackprop

METHODS = {"guided_backprop": captum.GuidedBackprop, "deconvolution": captum.Deconvolution}


class Net(nn.Module):
    def __init__(self, functional: bool = False) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 4, 3)
        self.relu = nn.ReLU()
        self.conv2 = nn.Conv2d(4, 3, 3)
        self.relu2 = nn.ReLU()
        self.head = nn.Linear(3 * 9, 3)
        self.functional = functional

    def forward(self, x: Tensor) -> Tensor:
        first, second = (F.relu, torch.relu) if self.functional else (self.relu, self.relu2)
        return self.head(second(self.conv2(first(self.conv(x)))).flatten(1))


@pytest.fixture
def world() -> tuple[Net, Net, Tensor]:
    torch.manual_seed(0)
    net = Net().double().eval()
    functional = Net(functional=True).double().eval()
    functional.load_state_dict(net.state_dict())
    return net, functional, torch.randn(3, 2, 7, 7, dtype=torch.float64)


@pytest.mark.parametrize("name", METHODS)
def test_it_is_the_papers_backward_pass(name: str, world: tuple[Net, Net, Tensor]) -> None:
    net, functional, x = world
    a1 = net.conv(x)
    a2 = net.conv2(a1.clamp(min=0))
    down = net.head.weight[1].expand(3, -1).reshape(3, 3, 3, 3)
    for a, weight in ((a2, net.conv2.weight), (a1, net.conv.weight)):
        down = down * (down > 0) * ((a > 0) if name == "guided_backprop" else 1)
        down = F.conv_transpose2d(down, weight)
    for model in (net, functional):
        torch.testing.assert_close(explain(model, x, name, target=1).values, down.detach(), rtol=0, atol=1e-14)


@pytest.mark.parametrize("name", METHODS)
def test_captum_agrees_on_modules_and_misses_functions(name: str, world: tuple[Net, Net, Tensor]) -> None:
    net, functional, x = world
    ours = explain(net, x, name, target=1).values
    with pytest.warns(UserWarning, match="Setting backward hooks on ReLU activations"):
        theirs = METHODS[name](net).attribute(x.clone().requires_grad_(), target=1)
    torch.testing.assert_close(ours, theirs.detach(), rtol=0, atol=1e-14)
    with pytest.warns(UserWarning, match="Setting backward hooks on ReLU activations"):
        missed = METHODS[name](functional).attribute(x.clone().requires_grad_(), target=1)
    torch.testing.assert_close(
        missed.detach(), explain(functional, x, "saliency", target=1).values.abs() * missed.sign(), rtol=0, atol=1e-14
    )  # Captum 0.9.0 gives the plain gradient there
    assert (missed - ours).abs().max() > 0.3 * ours.abs().max()


def test_a_module_that_runs_twice() -> None:
    torch.manual_seed(0)
    relu, one, two = nn.ReLU(), nn.Linear(4, 5).double(), nn.Linear(5, 3).double()
    net = nn.Sequential(one, relu, two, relu)
    x = torch.randn(6, 4, dtype=torch.float64)
    a = one(x)
    b = two(a.clamp(min=0))
    top = torch.zeros(6, 3, dtype=torch.float64)
    top[:, 2] = 1
    down = (top * (b > 0)) @ two.weight
    expected = (down * (down > 0) * (a > 0)) @ one.weight
    torch.testing.assert_close(explain(net, x, "guided_backprop", target=2).values, expected.detach())


@pytest.mark.parametrize("method", [GuidedBackprop(), Deconvolution()])
def test_places(method, world: tuple[Net, Net, Tensor]) -> None:
    net, _, x = world
    behind = nn.Sequential(net.relu, net.conv2, net.relu2, nn.Flatten(), net.head)
    at_layer = explain(net, x, method, Layer("conv"), target=0).values
    torch.testing.assert_close(at_layer, explain(behind, net.conv(x).detach(), method, Input(), target=0).values)
    front = nn.Sequential(net.conv, net.relu, net.conv2, nn.Flatten())
    unit = explain(net, x, method, Neuron("conv2", (1, 1, 2))).values
    torch.testing.assert_close(unit, explain(front, x, method, Input(), target=9 + 5).values)
