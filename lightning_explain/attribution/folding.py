"""A normalisation with fixed statistics, and the affine operator in front of it, as one."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from lightning_explain.attribution.derivative import accumulator

TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


def scale_and_shift(
    mean: Tensor, variance: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float
) -> tuple[Tensor, Tensor]:
    """What a BatchNorm does to each channel in evaluation mode.

    Args:
        mean: Running mean (channels,).
        variance: Running variance (channels,).
        weight: What the normalised channel is multiplied with (channels,); None: 1.
        bias: What is added then (channels,); None: 0.
        eps: What is added to the variance.

    Returns:
        Scale and shift (channels,): y = x · scale + shift.

    Example:
        >>> scale_and_shift(torch.tensor([2.0]), torch.tensor([4.0]), None, None, eps=0.0)
        (tensor([0.5000]), tensor([-1.]))
    """
    scale = torch.rsqrt(variance + eps) * (1 if weight is None else weight)
    return scale, -mean * scale if bias is None else bias - mean * scale


def merged(
    weight: Tensor, bias: Tensor | None, scale: Tensor, shift: Tensor, groups: int | None = None
) -> tuple[Tensor, Tensor]:
    """The weight and the bias of an affine operator whose output is scaled and shifted by channel.

    Args:
        weight: Its weight, (channels, ...); of a transposed convolution (in, channels / groups, ...).
        bias: Its bias (channels,), or None.
        scale: What each channel is multiplied with (channels,).
        shift: What is added then (channels,).
        groups: The groups of a transposed convolution; None: it is none.

    Returns:
        Weight and bias of the one operator.

    Example:
        >>> merged(torch.ones(1, 2), torch.ones(1), torch.tensor([3.0]), torch.tensor([-1.0]))
        (tensor([[3., 3.]]), tensor([2.]))
    """
    one = [1] * (weight.ndim - 2)
    if groups is None:
        scaled = weight * scale.view(-1, 1, *one)
    else:
        scaled = (weight.unflatten(0, (groups, -1)) * scale.view(groups, 1, -1, *one)).flatten(0, 1)
    return scaled, shift if bias is None else bias * scale + shift


def folded(affine: Any, norm: Any) -> tuple[Tensor, Tensor]:  # noqa: ANN401  (modules, whose attributes are any)
    """The weight and the bias of a layer that has a BatchNorm behind it, in evaluation mode.

    Args:
        affine: A linear layer or a convolution of torch.
        norm: A BatchNorm with running statistics.

    Returns:
        Weight and bias, at least in float32.
    """
    mean, variance = _wide(norm.running_mean), _wide(norm.running_var)
    scale, shift = scale_and_shift(mean, variance, _wide(norm.weight), _wide(norm.bias), norm.eps)
    groups = affine.groups if isinstance(affine, TRANSPOSED) else None
    return merged(_wide(affine.weight), _wide(affine.bias), scale, shift, groups)


def _wide(held: Any) -> Any:  # noqa: ANN401  (a module's attributes may be anything)
    return None if held is None else held.detach().to(accumulator(held))
