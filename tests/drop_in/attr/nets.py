"""Small models, in float64, whose layers and neurons are explained by Captum and by us."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn


class CNN(nn.Module):
    """Its first ReLU works in place on what the convolution gave."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.relu1 = nn.Conv2d(1, 3, 3), nn.ReLU(inplace=True)
        self.conv2, self.relu2 = nn.Conv2d(3, 4, 2), nn.ReLU()
        self.head = nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.relu2(self.conv2(self.relu1(self.conv1(x)))).flatten(1))


class MLP(nn.Module):
    """A scale beside the inputs: a number, or one for each sample."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.act, self.last = nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 3)

    def forward(self, x: Tensor, scale: Tensor | float = 1.0) -> Tensor:
        return self.last(self.act(self.first(x) * scale))


class Mixed(nn.Module):
    """Two tensors in, two out."""

    def forward(self, u: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        return u + v, u * v


class Two(nn.Module):
    """Two inputs, and a layer that gives two tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.mix, self.head = nn.Linear(3, 4), nn.Linear(2, 4), Mixed(), nn.Linear(4, 2)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        u, v = self.mix(self.a(x), self.b(y))
        return self.head(torch.tanh(u) * v + u)


class Words(nn.Module):
    """Token ids, an embedding, and a recurrent layer."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.lstm, self.head = nn.Embedding(11, 4), nn.LSTM(4, 5, batch_first=True), nn.Linear(5, 2)

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(self.lstm(self.embedding(ids))[0][:, -1])


class Reused(nn.Module):
    """Layers that run twice."""

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.act, self.head = nn.Linear(5, 5), nn.Tanh(), nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(2):
            x = self.act(self.linear(x))
        return self.head(x)


class Turned(nn.Module):
    """A layer between the dimensions of time and of the batch."""

    def forward(self, x: Tensor) -> Tensor:
        return x.transpose(0, 1)


class TimeFirst(nn.Module):
    """Behind ``turn`` the batch is the second dimension."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.turn, self.head = nn.Linear(5, 4), Turned(), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.tanh(self.turn(self.first(x)))).square().sum(dim=0)


class Folded(nn.Module):
    """Samples and times are one dimension in ``first``."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.head = nn.Linear(5, 4), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        hidden = torch.tanh(self.first(x.flatten(0, 1)))
        return self.head(hidden).unflatten(0, (len(x), -1)).square().sum(dim=1)


class Unused(nn.Module):
    """A layer that runs, and that nothing depends on."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.unused, self.head = nn.Linear(5, 4), nn.Linear(5, 3), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        self.unused(x)
        return self.head(torch.tanh(self.first(x)))


@dataclass(frozen=True)
class Net:
    """A model with samples.

    Args:
        make: Makes the model.
        shapes: The shapes of the inputs, without the batch; None for token ids.
        layers: The layers at which it is explained, and whether that is by their input.
        target: Which outputs are explained.
    """

    make: Callable[[], nn.Module]
    shapes: tuple[tuple[int, ...], ...]
    layers: tuple[tuple[str, bool], ...]
    target: int | list[int]
    ids: bool = False

    def model(self) -> nn.Module:
        torch.manual_seed(0)
        return self.make().double()

    def inputs(self, samples: int = 4, seed: int = 1) -> Tensor | tuple[Tensor, ...]:
        generator = torch.Generator().manual_seed(seed)
        if self.ids:
            return torch.randint(1, 11, (samples, *self.shapes[0]), generator=generator)
        drawn = [torch.randn(samples, *shape, generator=generator, dtype=torch.float64) for shape in self.shapes]
        return tuple(drawn) if len(drawn) > 1 else drawn[0]

    def baselines(self) -> Tensor | tuple[Tensor, ...]:
        return torch.zeros_like(self.inputs()) if self.ids else self.inputs(seed=2)


NETS = {
    "cnn": Net(
        CNN,
        ((1, 5, 5),),
        (("conv1", False), ("relu1", True), ("relu1", False), ("conv2", False), ("head", True), ("head", False)),
        [0, 2, 1, 1],
    ),
    "mlp": Net(MLP, ((5,),), (("first", True), ("first", False), ("act", False)), 1),
    "two": Net(Two, ((3,), (2,)), (("a", False), ("mix", True), ("mix", False)), 1),
    "words": Net(Words, ((6,),), (("embedding", False), ("lstm", True)), 0, ids=True),
}

CELLS = [(net, layer, side) for net, held in NETS.items() for layer, side in held.layers]


def flat(found: object) -> list[Tensor]:
    """All tensors of nested tuples and lists."""
    return [found] if isinstance(found, Tensor) else [leaf for held in found for leaf in flat(held)]


def structure(found: object) -> object:
    """Tuples, lists, and the shapes and dtypes in them."""
    if isinstance(found, Tensor):
        return tuple(found.shape), found.dtype
    return type(found)(map(structure, found))


def assert_alike(ours: object, theirs: object, rtol: float = 1e-6) -> None:
    """The same structure, and the same numbers, relative to the largest of each tensor."""
    assert structure(ours) == structure(theirs)
    for our, their in zip(flat(ours), flat(theirs), strict=True):
        largest = float(their.detach().abs().max().clamp(min=1e-9))
        torch.testing.assert_close(our, their.detach(), rtol=0, atol=rtol * largest)
