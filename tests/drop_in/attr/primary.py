"""The primary methods of gradients, each with what it is made and asked with; and a model that all of them explain."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from lightning_explain.captum import attr as ours


class Net(nn.Module):
    """As Captum wants it: a module for everything, each used once, pooling not right behind an activation."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.norm, self.relu1 = nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU()
        self.conv2, self.relu2, self.pool = nn.Conv2d(4, 3, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2)
        self.head = nn.Linear(3 * 9, 3)

    def forward(self, x: Tensor, scale: Tensor | None = None, shift: float = 0.0) -> Tensor:
        x = x if scale is None else x * scale[:, None, None, None]
        return self.head(self.pool(self.relu2(self.conv2(self.relu1(self.norm(self.conv1(x)))))).flatten(1)) + shift


def net() -> Net:
    torch.manual_seed(0)
    model = Net().double()
    for tensor in (model.norm.running_mean, model.norm.weight.data, model.norm.bias.data):
        nn.init.uniform_(tensor, -0.3, 0.9)
    for layer in (model.conv1, model.conv2, model.head):
        layer.weight.data.mul_(3)
    nn.init.uniform_(model.conv2.bias, 0, 2)
    return model.eval()


def samples(count: int = 3) -> Tensor:
    return torch.randn(count, 2, 6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def known(count: int = 4) -> Tensor:
    return torch.randn(count, 2, 6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(2))


TARGETS = torch.tensor([2, 0, 1])


@dataclass(frozen=True)
class Primary:
    """A class of ours."""

    name: str
    arguments: dict[str, Any] = field(default_factory=dict)
    layer: bool = False
    has_delta: bool = False
    contributes: bool = True
    exact: bool = True  # Captum's numbers are the same,
    near: float = 1e-8  # but for its table of quadrature nodes, and its epsilon in every layer

    def make(self, model: nn.Module, library: Any = ours) -> Any:
        return getattr(library, self.name)(*((model, model.conv2) if self.layer else (model,)))

    def attribute(self, model: nn.Module, x: Any, library: Any = ours, **kwargs: Any) -> Any:
        return self.make(model, library).attribute(x, **self.arguments, **kwargs)


PRIMARY = {
    primary.name: primary
    for primary in (
        Primary("Saliency", contributes=False),
        Primary("InputXGradient"),
        Primary("IntegratedGradients", {"n_steps": 20}, has_delta=True),
        Primary("GuidedBackprop", contributes=False),
        Primary("Deconvolution", contributes=False),
        Primary("GuidedGradCam", layer=True, contributes=False),
        Primary("DeepLift", has_delta=True),
        Primary("DeepLiftShap", {"baselines": known()}, has_delta=True),
        Primary("GradientShap", {"baselines": known(), "stdevs": 0.1}, has_delta=True, exact=False),
        Primary("LRP", has_delta=True, near=1e-5),
    )
}
