"""A zoo of small models, each with the samples and the places at which every method is tried."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_explain.attribution.engine import pose
from lightning_explain.attribution.guard import borrowed
from lightning_explain.attribution.place import Input, Layer, Neuron, Place
from lightning_explain.inputs import Inputs, leaves, rebuild
from lightning_explain.targets import Target

SAMPLES = 4


@dataclass(frozen=True)
class Case:
    """A model in float64, in evaluation mode, with ``SAMPLES`` samples.

    Args:
        name: For test ids.
        make: Makes the module.
        draw: Draws the samples.
        places: Where methods are tried, and whether a coarse map can be made there.
        target: What is explained.
        smooth: Whether the model has no kinks, so that quadrature converges fast.
        absent: Makes the baseline of an input.
        attends: Whether its tokens attend to each other.
        past: Layers that something of the inputs goes past, on its way to the output.
        unmoved: Layers that do not depend on the floating point inputs.
    """

    name: str
    make: Callable[[], nn.Module]
    draw: Callable[[], Inputs]
    places: tuple[tuple[Place, bool], ...]
    target: Target = "predicted"
    smooth: bool = False
    absent: Callable[[Tensor], Tensor] = torch.zeros_like
    attends: bool = False
    past: tuple[str, ...] = ()
    unmoved: tuple[str, ...] = ()

    def baseline(self) -> Inputs:
        """Nothing there: zeros, the padding id, all words kept."""
        inputs = self.inputs()
        one = tuple(x[:1] for x in leaves(inputs))
        return rebuild(inputs, tuple(torch.ones_like(x) if x.dtype == torch.bool else self.absent(x) for x in one))

    def model(self, seed: int = 0) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = self.make().double()
            for module in model.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    nn.init.uniform_(module.running_mean, -0.5, 0.5)
                    nn.init.uniform_(module.running_var, 0.5, 2.0)
                    nn.init.uniform_(module.weight, 0.5, 1.5)
        return model.eval()

    def inputs(self) -> Inputs:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1)
            return self.draw()


def few_features(model: nn.Module, inputs: Inputs, place: Place, most: int = 6) -> tuple[Tensor, ...]:
    """A feature mask of at most six features, for methods whose cost grows exponentially: elements in turn."""
    with borrowed(model):
        z = replace(pose(model, inputs, None), place=place).z
    each = max(most // len(z), 1)
    return tuple(
        (torch.arange(leaf[0].numel()) % each + each * i).view(1, *leaf.shape[1:]) * 3 for i, leaf in enumerate(z)
    )


class MLP(nn.Module):
    def __init__(self, outputs: int = 3, squeeze: bool = False) -> None:
        super().__init__()
        self.hidden = nn.Linear(5, 6)
        self.head = nn.Linear(6, outputs)
        self.squeeze = squeeze

    def forward(self, x: Tensor) -> Tensor:
        out = self.head(torch.tanh(self.hidden(x)))
        return out[:, 0] if self.squeeze else out


class CNN(nn.Module):
    """Every layer is followed by one that works in place."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(2, 3, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(3)
        self.relu1 = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(3, 4, 3, padding=1, stride=2)
        self.relu2 = nn.ReLU(inplace=True)
        self.head = nn.Linear(4 * 9, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu1(self.bn1(self.conv1(x)))
        return self.head(self.relu2(self.conv2(x)).flatten(1))


class Residual(nn.Module):
    """One block, run twice, with functional activations."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Linear(5, 6)
        self.block = nn.Linear(6, 6)
        self.head = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem(x))
        x = x + F.relu(self.block(x))
        x = x + F.relu(self.block(x))
        return self.head(x)


class Recurrent(nn.Module):
    def __init__(self, batch_first: bool = True) -> None:
        super().__init__()
        self.lstm = nn.LSTM(3, 4, num_layers=2, batch_first=batch_first)
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        if self.lstm.batch_first:
            out, (hidden, _) = self.lstm(x)
            return self.head(torch.cat([out.mean(dim=1), hidden[-1]], dim=1))
        out, (hidden, _) = self.lstm(x.transpose(0, 1))
        return self.head(torch.cat([out.mean(dim=0), hidden[-1]], dim=1))


class Words(nn.Module):
    """Ids and numbers, by keyword only."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(10, 4)
        self.mix = nn.Linear(4 + 3, 5)
        self.head = nn.Linear(5, 3)

    def forward(self, *, ids: Tensor, keep: Tensor, table: Tensor) -> Tensor:
        words = (self.embedding(ids) * keep[..., None]).mean(dim=1)
        return self.head(torch.tanh(self.mix(torch.cat([words, table], dim=1))))


class Several(nn.Module):
    """A picture, ids and a table, by position."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 3)
        self.embedding = nn.Embedding(10, 2)
        self.head = nn.Linear(2 + 2 + 3, 3)

    def forward(self, picture: Tensor, ids: Tensor, table: Tensor) -> Tensor:
        seen = torch.tanh(self.conv(picture)).mean(dim=(2, 3)) * table[:, :2]
        return self.head(torch.cat([seen, self.embedding(ids).sum(dim=1), table], dim=1))


class ModelOutput(OrderedDict[str, Any]):
    """Like the results of transformers' models: keys are attributes too."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None


class Named(nn.Module):
    """Layer and model return mappings."""

    class Body(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(5, 6)

        def forward(self, x: Tensor) -> ModelOutput:
            return ModelOutput(hidden=torch.tanh(self.linear(x)), ids=torch.arange(len(x)), cache=None)

    def __init__(self) -> None:
        super().__init__()
        self.body = self.Body()
        self.head = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> ModelOutput:
        return ModelOutput(loss=None, logits=self.head(self.body(x).hidden))


class Attention(nn.Module):
    """A layer that returns (tensor, None), and one called with keywords."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        mixed, _ = self.attention(query=x, key=x, value=x, need_weights=False)
        return self.head((x + mixed).mean(dim=1))


class Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(4, 2, dim_feedforward=6, batch_first=True, activation=F.gelu)
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layer(x).mean(dim=1))


class Dense(nn.Module):
    """An output for every position."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(2, 3, 3, padding=1)
        self.out = nn.Conv1d(3, 4, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(torch.tanh(self.conv(x)))


def _ramp(x: Tensor) -> Tensor:
    """For layer normalization, which has no direction at a constant."""
    return torch.linspace(-1, 1, x.numel(), dtype=x.dtype).view_as(x)


def _normal(*shape: int) -> Callable[[], Tensor]:
    return lambda: torch.randn(SAMPLES, *shape, dtype=torch.float64)


def _words() -> Inputs:
    return {
        "ids": torch.randint(0, 10, (SAMPLES, 6)),
        "keep": torch.rand(SAMPLES, 6) > 0.2,
        "table": torch.randn(SAMPLES, 3, dtype=torch.float64),
    }


def _several() -> Inputs:
    return (
        torch.randn(SAMPLES, 1, 5, 6, dtype=torch.float64),
        torch.randint(0, 10, (SAMPLES, 4)),
        torch.randn(SAMPLES, 3, dtype=torch.float64),
    )


CASES = (
    Case(
        "mlp",
        MLP,
        _normal(5),
        (
            (Input(), False),
            (Layer("hidden"), False),
            (Neuron("hidden", 2), False),
        ),
        smooth=True,
    ),
    Case(
        "cnn",
        CNN,
        _normal(2, 6, 6),
        (
            (Input(), True),
            (Layer("bn1"), True),
            (Layer("conv2"), True),
            (Layer("head", of="input"), False),
            (Neuron("conv2", (1, 2, 0)), True),
        ),
    ),
    Case(
        "residual",
        Residual,
        _normal(5),
        (
            (Input(), False),
            (Layer("block"), False),
            (Layer("block", of="input"), False),
            (Neuron("block", -1), False),
        ),
        past=("@block", "@block:input"),
    ),
    Case(
        "recurrent",
        Recurrent,
        _normal(5, 3),
        (
            (Input(), True),
            (Layer("lstm"), True),
            (Neuron("lstm", (slice(None), 1)), True),
        ),
        smooth=True,
    ),
    Case(
        "words",
        Words,
        _words,
        (
            (Input(), False),
            (Layer("embedding", channel_dim=-1), True),
            (Layer("mix"), False),
            (Neuron("mix", (slice(0, 2),)), False),
        ),
        smooth=True,
        unmoved=("@embedding",),
    ),
    Case(
        "several",
        Several,
        _several,
        (
            (Input(), False),
            (Layer("conv"), True),
            (Layer("embedding"), True),
            (Neuron("conv", (0, 1, 2)), False),
        ),
        target=1,
        smooth=True,
        past=("@conv",),
        unmoved=("@embedding",),
    ),
    Case(
        "regression",
        lambda: MLP(1),
        _normal(5),
        (
            (Input(), False),
            (Layer("hidden"), False),
        ),
        target="output",
        smooth=True,
    ),
    Case(
        "scalar",
        lambda: MLP(1, squeeze=True),
        _normal(5),
        (
            (Input(), False),
            (Layer("head"), False),
            (Neuron("hidden", 0), False),
        ),
        target="output",
        smooth=True,
    ),
    Case(
        "named",
        Named,
        _normal(5),
        (
            (Input(), False),
            (Layer("body"), False),
            (Neuron("body", 3), False),
        ),
        smooth=True,
    ),
    Case(
        "attention",
        Attention,
        _normal(5, 4),
        (
            (Input(), True),
            (Layer("attention", channel_dim=-1), True),
            (Layer("attention", of="input", channel_dim=-1), True),
            (Neuron("attention", (2, 1)), True),
        ),
        smooth=True,
        attends=True,
        past=("@attention", "@attention:input"),
    ),
    Case(
        "encoder",
        Encoder,
        _normal(5, 4),
        (
            (Input(channel_dim=None), True),
            (Layer("layer.linear1", channel_dim=-1), True),
            (Neuron("layer", (0, 0)), True),
        ),
        absent=_ramp,
        attends=True,
        past=("@layer.linear1",),
    ),
    Case(
        "dense",
        Dense,
        _normal(2, 7),
        (
            (Input(), True),
            (Layer("conv"), True),
            (Neuron("conv", (1, 3)), True),
        ),
        target=torch.tensor([[0, 1], [1, 2], [3, 6], [2, 0]]),
        smooth=True,
    ),
)

BY_NAME = {case.name: case for case in CASES}
