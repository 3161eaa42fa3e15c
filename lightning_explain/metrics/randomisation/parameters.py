"""A model with random parameters: what is left of an explanation when all that was learnt is gone?"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from lightning_explain.inputs import is_continuous
from lightning_explain.randomness import stream


@contextmanager
def randomised(model: nn.Module, seed: int = 0) -> Iterator[None]:
    """Exchange all parameters of a model for random ones, and back.

    Weights are uniform in +-1/sqrt(fan in), biases in the range of their weights (torch's own defaults for
    linear layers and convolutions); normalisation layers are as when new, running statistics too; what
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
    owned = [
        (module, name, parameter)
        for module in model.modules()
        for name, parameter in module.named_parameters(recurse=False, remove_duplicate=False)
        if is_continuous(parameter)
    ]
    statistics = [(module, name, b) for module in model.modules() for name, b in module.named_buffers(recurse=False)]
    try:
        for module, name, parameter in owned:
            if id(parameter) not in drawn:
                drawn[id(parameter)] = _draw(module, name, parameter, generator)
            setattr(module, name, drawn[id(parameter)])
        for module, name, buffer in statistics:
            if name in {"running_mean", "running_var"}:
                setattr(module, name, torch.full_like(buffer, float(name == "running_var")))
        yield
    finally:
        for module, name, parameter in owned:
            setattr(module, name, parameter)
        for module, name, buffer in statistics:
            setattr(module, name, buffer)


def _draw(module: nn.Module, name: str, parameter: nn.Parameter, generator: torch.Generator) -> nn.Parameter:
    weight = parameter if _is_weight(name, parameter) else _weight_of(module, name)
    if weight is not None:
        bound = 1 / math.sqrt(max(1, weight[0].numel()))
        values = (2 * torch.rand(parameter.shape, generator=generator, dtype=torch.float32) - 1) * bound
    elif name in {"weight", "bias"}:
        values = torch.full(parameter.shape, float(name == "weight"))
    else:
        values = torch.randn(parameter.shape, generator=generator, dtype=torch.float32) * 0.02
    return nn.Parameter(values.to(parameter), requires_grad=False)


def _is_weight(name: str, parameter: Tensor) -> bool:
    # One row alone is a token or an embedding of positions, unless its name says that it is a matrix.
    return parameter.ndim > 1 and (parameter.shape[0] > 1 or "weight" in name)


def _weight_of(module: nn.Module, name: str) -> Tensor | None:
    # weight for bias, weight_ih_l0 for bias_ih_l0, in_proj_weight for in_proj_bias.
    weight = getattr(module, name.replace("bias", "weight"), None) if "bias" in name else None
    return weight if isinstance(weight, Tensor) and weight.ndim > 1 else None
