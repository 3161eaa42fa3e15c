"""Guided Grad-CAM is the product of its two parts."""

import captum.attr as captum
import pytest
import torch
import torch.nn.functional as F
from cases import BY_NAME, MLP
from torch import Tensor, nn

from lightning_explain import GradCAM, Input, Layer, Neuron, Saliency, explain
from lightning_explain.attribution.methods import GuidedGradCAM


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.relu1 = nn.Conv2d(2, 4, 3, padding=1), nn.ReLU()
        self.conv2, self.relu2 = nn.Conv2d(4, 3, 3, padding=1, stride=2), nn.ReLU()
        self.head = nn.Linear(3 * 16, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.relu2(self.conv2(self.relu1(self.conv1(x)))).flatten(1))


@pytest.fixture
def world() -> tuple[Net, Tensor]:
    torch.manual_seed(0)
    return Net().double().eval(), torch.randn(3, 2, 8, 8, dtype=torch.float64)


def test_it_is_the_product(world: tuple[Net, Tensor]) -> None:
    net, x = world
    guided = explain(net, x, "guided_backprop", target=1).values
    cam = explain(net, x, GradCAM("conv2"), target=1).values
    assert cam.shape == (3, 1, 8, 8)
    found = explain(net, x, GuidedGradCAM("conv2"), target=1)
    torch.testing.assert_close(found.values, guided * cam, rtol=0, atol=1e-15)
    torch.testing.assert_close(explain(net, x, "guided_grad_cam", target=1).values, found.values)
    assert found.values.abs().max() > 0


def test_captum_agrees_where_nothing_is_interpolated(world: tuple[Net, Tensor]) -> None:
    net, x = world
    with pytest.warns(UserWarning, match="Setting backward hooks on ReLU activations"):
        theirs = captum.GuidedGradCam(net, net.conv1).attribute(x.clone().requires_grad_(), target=1)
    ours = explain(net, x, GuidedGradCAM("conv1"), target=1).values
    torch.testing.assert_close(ours, theirs.detach(), rtol=0, atol=1e-14)


def test_at_a_layer(world: tuple[Net, Tensor]) -> None:
    net, x = world
    found = explain(net, x, GuidedGradCAM("conv2"), Layer("relu1"), target=1).values
    guided = explain(net, x, "guided_backprop", Layer("relu1"), target=1).values
    alpha = explain(net, x, "grad_cam", Layer("conv2"), target=1).values
    torch.testing.assert_close(found, guided * F.interpolate(alpha, size=(8, 8), mode="bilinear"))


def test_of_a_neuron(world: tuple[Net, Tensor]) -> None:
    net, x = world
    found = explain(net, x, GuidedGradCAM("conv1"), Neuron("conv2", (1, 2, 2))).values
    front = nn.Sequential()
    for name in ("conv1", "relu1", "conv2"):
        front.add_module(name, getattr(net, name))
    front.add_module("flatten", nn.Flatten())
    expected = explain(front, x, GuidedGradCAM("conv1"), Input(), target=16 + 2 * 4 + 2).values
    torch.testing.assert_close(found, expected)
    assert found.abs().max() > 0


def test_inputs_without_positions_get_nothing() -> None:
    case = BY_NAME["several"]
    picture, table = explain(case.model(), case.inputs(), "guided_grad_cam", target=1).values
    assert picture.abs().max() > 0
    assert table.abs().max() == 0


def test_where_it_is_not_defined(world: tuple[Net, Tensor]) -> None:
    net, x = world
    with pytest.raises(ValueError, match="What is explained does not depend on layer 'conv2'; name one in front"):
        explain(net, x, "guided_grad_cam", Neuron("conv1", (0, 1, 1)))
    with pytest.raises(ValueError, match=r"2 dimensions of positions, .* tensors to explain have \[2\] dimensions"):
        explain(net, x, "guided_grad_cam", Layer("head", "input"), target=1)
    with pytest.raises(ValueError, match="the model runs no convolution"):
        explain(MLP().double(), torch.randn(2, 5).double(), "guided_grad_cam", Input(), target=1)


@pytest.mark.parametrize("mode", ["nearest", "bilinear", "bicubic", "area"])
@pytest.mark.parametrize("side", ["output", "input"])
def test_other_interpolations_and_the_other_side(world: tuple[Net, Tensor], mode: str, side: str) -> None:
    net, x = world
    layer = Layer("conv2", side)
    activation = explain(net, x, "activation", layer).values
    found = explain(net, x, GuidedGradCAM("conv2", side, mode), target=1).values
    signed = explain(net, x, Saliency(absolute=False), layer, target=1).values
    cam = (signed.mean(dim=(2, 3), keepdim=True) * activation).sum(dim=1, keepdim=True).relu()
    guided = explain(net, x, "guided_backprop", target=1).values
    torch.testing.assert_close(found, guided * F.interpolate(cam, size=(8, 8), mode=mode))
    assert found.abs().max() > 0


def test_nothing_where_a_map_has_no_room(world: tuple[Net, Tensor]) -> None:
    net, x = world
    for layer, mode in (("head", "linear"), ("conv2", "trilinear"), ("conv2", "no such")):
        found = explain(net, x, GuidedGradCAM(layer, mode=mode, strict=False), target=1).values
        assert found.shape == x.shape
        assert found.eq(0).all()
    with pytest.raises(ValueError, match=r"interpolated by 'trilinear', and the tensors to explain have \[4\]"):
        explain(net, x, GuidedGradCAM("conv2", mode="trilinear"), target=1)
    with pytest.raises(ValueError, match=r"No interpolation 'liner'\. Did you mean 'linear'\?"):
        GuidedGradCAM("conv2", mode="liner")


@pytest.mark.parametrize(("layer", "asked"), [(None, 1), ("conv2", 0)])
def test_nothing_is_run_to_ask_for_a_shape(world: tuple[Net, Tensor], layer: str | None, asked: int) -> None:
    (net, x), rows = world, []
    net.register_forward_pre_hook(lambda _, args: rows.append(len(args[0])))
    explain(net, x, GuidedGradCAM(layer), target=1)
    assert rows == [1] * asked + [len(x)] * 2
    rows.clear()
    explain(net, x, GuidedGradCAM("conv1"), Neuron("conv2", (1, 2, 2)))
    assert rows == [len(x)] * 2


def test_the_layer_holds_one_tensor() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.split = Split()

        def forward(self, x: Tensor) -> Tensor:
            return sum(part.flatten(1).sum(dim=1) for part in self.split(x))

    class Split(nn.Module):
        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return x * 2, x**2

    with pytest.raises(ValueError, match="a layer that holds one tensor; 'split' holds 2"):
        explain(Two(), torch.randn(2, 1, 4, 4), GuidedGradCAM("split"), target="output")
