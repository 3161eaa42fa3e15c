"""Guided backpropagation, deconvolution and guided Grad-CAM beside Captum."""

import pytest
import torch
import torch.nn.functional as F
from captum import attr as captum
from drop_in.attr.primary import net, samples
from torch import Tensor, nn

from lightning_explain.captum.attr import Deconvolution, GuidedBackprop, GuidedGradCam

pytestmark = pytest.mark.filterwarnings("ignore:(Setting|Input Tensor|.*backward hook).*:UserWarning")
EMPTY = "their attributions are empty tensors"


class Functional(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.relu, self.last = nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(F.relu(self.first(x) - 0.1))


class Reused(Functional):
    def forward(self, x: Tensor) -> Tensor:
        return self.relu(self.last(self.relu(self.first(x))))


class TwoPictures(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.relu, self.head = nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Linear(2 * 9 + 3 + 1, 2)

    def forward(self, x: Tensor, y: Tensor, z: Tensor) -> Tensor:
        seen = self.relu(self.conv(x + F.interpolate(z, (5, 5)))).flatten(1)
        return self.head(torch.cat([seen, y, z.flatten(1).sum(dim=1, keepdim=True)], dim=1))


@pytest.mark.parametrize(
    ("kind", "step"),
    [(GuidedBackprop, lambda g, x: g.clamp(min=0) * (x > 0)), (Deconvolution, lambda g, _: g.clamp(min=0))],
)
def test_functional_and_reused_rectifiers(kind: type, step: object) -> None:
    """Captum hooks modules, and leaves functions their gradient."""
    torch.manual_seed(0)
    x = torch.randn(6, 4)
    for model in (Functional(), Reused()):
        with torch.no_grad():
            hidden = model.first(x) - (0.1 if type(model) is Functional else 0)
            slope = model.last.weight[1].expand(6, 5)
            if type(model) is Reused:
                slope = step(torch.ones(6, 1), model.last(hidden.relu())[:, 1:]) * slope
            expected = step(slope, hidden) @ model.first.weight
        torch.testing.assert_close(kind(model).attribute(x, 1), expected)
        assert expected.abs().max() > 0


@pytest.mark.parametrize("mode", ["nearest", "bilinear", "bicubic", "area"])
@pytest.mark.parametrize("side", [False, True])
def test_guided_grad_cam(mode: str, side: bool) -> None:
    model = net()
    for layer in ("conv2", "pool"):
        given = {"interpolate_mode": mode, "attribute_to_layer_input": side}
        found = GuidedGradCam(model, getattr(model, layer)).attribute(samples(), 1, **given)
        expected = captum.GuidedGradCam(model, getattr(model, layer)).attribute(samples(), 1, **given)
        torch.testing.assert_close(found, expected.detach(), rtol=0, atol=1e-12)
        assert found.abs().max() > 0


def test_linear_interpolation_is_along_every_dimension() -> None:
    """Captum gives empty tensors: torch calls it bilinear for pictures."""
    model = net()
    method = GuidedGradCam(model, model.pool)
    linear, bilinear = (method.attribute(samples(), 1, interpolate_mode=mode) for mode in ("linear", "bilinear"))
    assert torch.equal(linear, bilinear)


def test_inputs_without_room_for_the_map() -> None:
    torch.manual_seed(0)
    model = TwoPictures().double()
    inputs = torch.randn(2, 1, 5, 5).double(), torch.randn(2, 3).double(), torch.randn(2, 1, 3, 3).double()
    with pytest.warns(UserWarning, match=f"as many dimensions as input\\(s\\) 1, or .*{EMPTY}"):
        found = GuidedGradCam(model, model.conv).attribute(inputs, 1)
    with pytest.warns(UserWarning, match="Couldn't appropriately interpolate"):
        expected = captum.GuidedGradCam(model, model.conv).attribute(inputs, 1)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours.double(), theirs.detach().double(), rtol=0, atol=1e-12)
    assert found[1].shape == (0,)


@pytest.mark.parametrize(("layer", "mode"), [("head", "nearest"), ("conv2", "trilinear"), ("conv2", "nonsense")])
def test_a_map_without_room_anywhere(layer: str, mode: str) -> None:
    model = net()
    with pytest.warns(UserWarning, match=EMPTY):
        found = GuidedGradCam(model, getattr(model, layer)).attribute(samples(), 1, interpolate_mode=mode)
    assert found.shape == (0,)
