"""A model with random parameters: what is left of an explanation when all that was learnt is gone?"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from lightning_explain.inputs import is_continuous
from lightning_explain.metrics.layers import STATISTICS, Layers
from lightning_explain.randomness import stream

# What all batch and instance norms are has no public name.
NORMS = (nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm, nn.RMSNorm)  # noqa: SLF001
EMBEDDINGS = (nn.Embedding, nn.EmbeddingBag)
SLOPE = 0.25
"""The slope of a new PReLU."""
SMALL = 0.02
"""The standard deviation of what belongs to no weight, such as class tokens."""


@contextmanager
def randomised(model: nn.Module, seed: int = 0) -> Iterator[None]:
    """Exchange all parameters of a model for random ones, and back.

    Weights are uniform in +-1/sqrt(fan in), biases in the range of their weights (torch's own defaults for
    linear layers and convolutions), embeddings standard normal, with a row of zeros for padding; normalisation layers
    (known by their type, whatever their shape) and the slopes of PReLU are as when new, running statistics too; what
    belongs to no weight (class tokens, scales) is normal with standard deviation 0.02.
    Parameters that modules share stay shared. The user's tensors are not written to: others take
    their place for the block.

    Args:
        model: The module.
        seed: Where the random numbers begin.

    Yields:
        None.
    """
    generator = stream("parameters", seed)
    drawn: dict[int, nn.Parameter] = {}
    for module, name, parameter in _slots(model.modules()):
        if id(parameter) not in drawn:
            drawn[id(parameter)] = _draw(module, name, parameter, generator)
    with _exchanged(model, drawn, list(model.modules())):
        yield


@contextmanager
def layers_randomised(model: nn.Module, layers: Layers, chosen: Collection[str], seed: int = 0) -> Iterator[None]:
    """Exchange the parameters of some layers for random ones, drawn as :func:`randomised` does, and back.

    Every layer has a stream of its own: its numbers are the same whichever others are random, and layers of one shape
    do not get the same. A parameter that modules share belongs to the first layer that has it, and stays shared.

    Args:
        model: The module.
        layers: Its layers, see :func:`~lightning_explain.metrics.layers.parameter_layers`.
        chosen: The names of those that become random.
        seed: Where the random numbers begin.

    Yields:
        None.
    """
    drawn: dict[int, nn.Parameter] = {}
    owned: set[int] = set()
    for layer, modules in layers.items():
        generator = stream(f"parameters of {layer}", seed)
        for module, name, parameter in _slots(modules):
            if layer in chosen and id(parameter) not in owned:
                drawn[id(parameter)] = _draw(module, name, parameter, generator)
            owned.add(id(parameter))
    with _exchanged(model, drawn, [module for layer in chosen for module in layers[layer]]):
        yield


def _slots(modules: Iterable[nn.Module]) -> list[tuple[nn.Module, str, nn.Parameter]]:
    # Every name under which a parameter is held; integers are no parameters that one could learn.
    return [
        (module, name, parameter)
        for module in modules
        for name, parameter in module.named_parameters(recurse=False, remove_duplicate=False)
        if is_continuous(parameter)
    ]


@contextmanager
def _exchanged(model: nn.Module, drawn: Mapping[int, nn.Parameter], renewed: Sequence[nn.Module]) -> Iterator[None]:
    """Put other parameters in the place of those drawn for, by id, and new running statistics into ``renewed``."""
    owned = [slot for slot in _slots(model.modules()) if id(slot[2]) in drawn]
    # All buffers are given back: a forward pass may put others in their place.
    buffers = [(module, name, b) for module in model.modules() for name, b in module.named_buffers(recurse=False)]
    fresh = {id(module) for module in renewed}
    try:
        for module, name, parameter in owned:
            setattr(module, name, drawn[id(parameter)])
        for module, name, buffer in buffers:
            if id(module) in fresh and name in STATISTICS:
                setattr(module, name, torch.full_like(buffer, float(name == "running_var")))
        yield
    finally:
        for module, name, parameter in owned:
            setattr(module, name, parameter)
        for module, name, buffer in buffers:
            setattr(module, name, buffer)


def _draw(module: nn.Module, name: str, parameter: nn.Parameter, generator: torch.Generator) -> nn.Parameter:
    constant, normal = _constant(module, name, parameter), _spread(module, name)
    weight = parameter if _is_weight(name, parameter) else _weight_of(module, name)
    if constant is not None:
        values = torch.full(parameter.shape, constant)
    elif weight is not None and normal is None:
        bound = 1 / math.sqrt(max(1, weight[0].numel()))
        values = (2 * torch.rand(parameter.shape, generator=generator, dtype=torch.float32) - 1) * bound
    else:
        values = torch.randn(parameter.shape, generator=generator, dtype=torch.float32) * (normal or SMALL)
        if isinstance(module, EMBEDDINGS) and module.padding_idx is not None:
            values[module.padding_idx] = 0
    return nn.Parameter(values.to(parameter), requires_grad=False)


def _constant(module: nn.Module, name: str, parameter: Tensor) -> float | None:
    # What a fresh module has without drawing it: by its type, whatever shape (LayerNorm((8, 8))) it has.
    if isinstance(module, nn.PReLU):
        return SLOPE
    alone = not _is_weight(name, parameter) and _weight_of(module, name) is None  # a norm of someone's own
    if name in {"weight", "bias"} and (alone or isinstance(module, NORMS)):
        return float(name == "weight")
    return None


def _spread(module: nn.Module, name: str) -> float | None:
    return 1.0 if isinstance(module, EMBEDDINGS) and name == "weight" else None


def _is_weight(name: str, parameter: Tensor) -> bool:
    # One row alone is a token or an embedding of positions, unless its name says that it is a matrix.
    return parameter.ndim > 1 and (parameter.shape[0] > 1 or "weight" in name)


def _weight_of(module: nn.Module, name: str) -> Tensor | None:
    # weight for bias, weight_ih_l0 for bias_ih_l0, in_proj_weight for in_proj_bias.
    weight = getattr(module, name.replace("bias", "weight"), None) if "bias" in name else None
    return weight if isinstance(weight, Tensor) and weight.ndim > 1 else None
