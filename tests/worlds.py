"""One net and four places of it, with all that the engine finds by hooks written out by hand, for one sample."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_explain.attribution.place import Input, Layer, Neuron, Place

SAMPLES = 3
UNIT = (1, 2, 0)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(2, 3, 3, padding=1)
        self.conv2 = nn.Conv2d(3, 4, 3)
        self.relu = nn.ReLU(inplace=True)
        self.head = nn.Linear(4 * 3 * 2, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.relu(self.conv2(torch.tanh(self.conv1(x)))).flatten(1))


@dataclass(frozen=True)
class World:
    """A place, what its variable is for one sample x, and the explained number as a function of it."""

    place: Place
    variable: Callable[[Net, Tensor], Tensor]
    score: Callable[[Net, Tensor, int], Tensor]


def conv1(net: Net, x: Tensor) -> Tensor:
    return F.conv2d(x[None], net.conv1.weight, net.conv1.bias, padding=1)[0]


def conv2(net: Net, x: Tensor) -> Tensor:
    return F.conv2d(conv1(net, x).tanh()[None], net.conv2.weight, net.conv2.bias)[0]


def after_conv1(net: Net, z: Tensor, target: int) -> Tensor:
    return after_conv2(net, F.conv2d(z.tanh()[None], net.conv2.weight, net.conv2.bias)[0], target)


def after_conv2(net: Net, z: Tensor, target: int) -> Tensor:
    return head(net, z.clamp(min=0).flatten(), target)


def head(net: Net, z: Tensor, target: int) -> Tensor:
    return net.head.weight[target] @ z + net.head.bias[target]


WORLDS = {
    "input": World(Input(), lambda _, x: x, lambda net, z, t: after_conv1(net, conv1(net, z), t)),
    "output": World(Layer("conv2"), conv2, after_conv2),
    "layer_input": World(Layer("head", of="input"), lambda net, x: conv2(net, x).clamp(min=0).flatten(), head),
    "neuron": World(Neuron("conv2", UNIT), lambda _, x: x, lambda net, z, _: conv2(net, z)[UNIT]),
}
TARGETS = torch.tensor([2, 0, 1])


def net() -> Net:
    torch.manual_seed(3)
    return Net().double().eval()


def samples() -> Tensor:
    return torch.randn(SAMPLES, 2, 5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(4))


def baseline() -> Tensor:
    return 0.3 * torch.randn(1, 2, 5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(5))


def gradient(world: World, model: Net, z: Tensor, target: int) -> Tensor:
    z = z.detach().clone().requires_grad_()
    return torch.autograd.grad(world.score(model, z, target), z)[0]
