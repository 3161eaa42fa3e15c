"""Affine operators, as layer-wise relevance propagation wants them: input, weight and bias apart."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

from lightning_explain.attribution.folding import merged
from lightning_explain.attribution.rules.operator import Call

Operator: TypeAlias = Callable[[Tensor, Tensor, Tensor | None], Tensor]
"""(input, weight, bias) -> output."""

NAMES = ("input", "weight", "bias")
CONVOLUTIONS = ("conv1d", "conv2d", "conv3d")
TRANSPOSED = ("conv_transpose1d", "conv_transpose2d", "conv_transpose3d")


@dataclass(frozen=True, eq=False)
class Affine:
    """An operator that is affine in its input.

    Args:
        name: The operator's name.
        operator: It, as a function of input, weight and bias.
        x: The input that depends on the variable.
        weight: The other factor.
        bias: What is added, or None.
        groups: The groups of a transposed convolution.
    """

    name: str
    operator: Operator
    x: Tensor
    weight: Tensor
    bias: Tensor | None
    groups: int = 1

    @property
    def is_convolution(self) -> bool:
        """Whether positions share the weight."""
        return self.name in CONVOLUTIONS or self.name in TRANSPOSED

    def followed_by(self, scale: Tensor, shift: Tensor) -> Affine | None:
        """This operator and a normalisation with fixed statistics behind it, as one operator.

        Args:
            scale: What each channel is multiplied with, (channels,).
            shift: What is added to each channel then, (channels,).

        Returns:
            The merged operator; None if the channels of the two are not the same.
        """
        if not (self.is_convolution or (self.name == "linear" and self.x.ndim == 2)):
            return None
        groups = self.groups if self.name in TRANSPOSED else None
        weight, bias = merged(self.weight, self.bias, scale, shift, groups)
        return replace(self, weight=weight, bias=bias)


def affine(call: Call) -> Affine | None:
    """Take a call apart.

    Returns:
        Its parts; None if it is not affine: two factors depend on the variable.
    """
    if len(call.positions) != 1:
        return None
    if call.name == "linear" or call.name in CONVOLUTIONS or call.name in TRANSPOSED:
        return _layer(call)
    if call.name == "addmm":
        return _sum_and_product(call)
    return _product(call)


def channelwise(x: Tensor, scale: Tensor, shift: Tensor) -> Affine:
    """A scale and a shift for each channel, as an affine operator.

    Args:
        x: The input (n, channels, ...).
        scale: What each channel is multiplied with, (channels,).
        shift: What is added to each channel then, (channels,).

    Returns:
        The operator.
    """

    def operator(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        column = (-1, *[1] * (x.ndim - 2))
        product = x * weight.view(column)
        return product if bias is None else product + bias.view(column)

    return Affine("batch_norm", operator, x, scale, shift)


def _layer(call: Call) -> Affine | None:
    x, weight, bias = (call.argument(i, name) for i, name in enumerate(NAMES))
    if not x.requires_grad:
        return None
    rest, kwargs = call.args[3:], {name: value for name, value in call.kwargs.items() if name not in NAMES}
    groups = call.argument(6 if call.name in TRANSPOSED else 5, "groups", 1) if call.name != "linear" else 1

    def operator(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if call.name == "linear":
            return F.linear(x, weight, bias)
        return call.function(x, weight, bias, *rest, **kwargs)  # type: ignore[no-any-return]

    return Affine(call.name, operator, x, weight, bias, groups)


def _sum_and_product(call: Call) -> Affine | None:
    bias, x, weight = (call.argument(i, name) for i, name in enumerate(("input", "mat1", "mat2")))
    if not x.requires_grad:
        return None
    beta, alpha = call.kwargs.get("beta", 1), call.kwargs.get("alpha", 1)

    def operator(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return x @ weight if bias is None else torch.addmm(bias, x, weight)

    scaled = (tensor if factor == 1 else tensor * factor for tensor, factor in ((weight, alpha), (bias, beta)))
    return Affine(call.name, operator, x, *scaled)


def _product(call: Call) -> Affine | None:
    left, right = call.argument(0, "input"), call.argument(1, "mat2" if call.name == "mm" else "other")
    if not (isinstance(left, Tensor) and isinstance(right, Tensor)):
        return None
    if left.requires_grad:
        return Affine(call.name, lambda x, weight, _: call.function(x, weight), left, right, None)
    return Affine(call.name, lambda x, weight, _: call.function(weight, x), right, left, None)
