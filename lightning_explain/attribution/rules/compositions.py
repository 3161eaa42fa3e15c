"""Operators written out in simpler ones, for the rules of those to apply."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from lightning_explain.attribution.rules import recurrent, sums
from lightning_explain.attribution.rules.operator import Call


@dataclass(frozen=True)
class Composition:
    """An operator as a function of simpler ones.

    Args:
        body: It has the operator's arguments, and its value.
        fits: Whether a call is of the form that the body knows.
    """

    body: Callable[..., Any]
    fits: Callable[[Call], bool] = lambda _: True


def layer_norm(
    input: Tensor,  # noqa: A002  (the operator's own name, by which it may be given)
    normalized_shape: list[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    *_: bool,
) -> Tensor:
    """Centre, divide by the standard deviation, scale and shift.

    Returns:
        The normalised tensor.
    """
    dims = tuple(range(-len(normalized_shape), 0))
    centred = input - input.mean(dim=dims, keepdim=True)
    normal = centred * torch.rsqrt((centred * centred).mean(dim=dims, keepdim=True) + eps)
    return _affine(normal, weight, bias)


def rms_norm(
    input: Tensor,  # noqa: A002
    normalized_shape: list[int],
    weight: Tensor | None = None,
    eps: float | None = None,
) -> Tensor:
    """Divide by the root of the mean square, and scale.

    Returns:
        The normalised tensor.
    """
    dims = tuple(range(-len(normalized_shape), 0))
    square = (input * input).mean(dim=dims, keepdim=True)
    return _affine(input * torch.rsqrt(square + (torch.finfo(input.dtype).eps if eps is None else eps)), weight, None)


def group_norm(
    input: Tensor,  # noqa: A002
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    *_: bool,
) -> Tensor:
    """Standardise groups of channels of each sample, scale and shift.

    Returns:
        The normalised tensor.
    """
    grouped = input.reshape(input.shape[0], num_groups, -1)
    normal = F.layer_norm(grouped, grouped.shape[2:], eps=eps).reshape(input.shape)
    return _affine(normal, *(_per_channel(held, input) for held in (weight, bias)))


def instance_norm(
    input: Tensor,  # noqa: A002
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
    *_: bool,
) -> Tensor:
    """Standardise each channel of each sample, or use running statistics; scale and shift.

    Returns:
        The normalised tensor.
    """
    if not use_input_stats:
        return F.batch_norm(input, running_mean, running_var, weight, bias, training=False, momentum=momentum, eps=eps)
    normal = F.layer_norm(input, input.shape[2:], eps=eps)
    return _affine(normal, *(_per_channel(held, input) for held in (weight, bias)))


def attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """Scaled dot product attention in the open: two products and a softmax; without dropout.

    Returns:
        The mixed values.
    """
    if enable_gqa:
        groups = query.shape[-3] // key.shape[-3]
        key, value = key.repeat_interleave(groups, dim=-3), value.repeat_interleave(groups, dim=-3)
    scores = (query * (1 / math.sqrt(query.shape[-1]) if scale is None else scale)) @ key.transpose(-2, -1)
    if is_causal:
        attn_mask = torch.ones(scores.shape[-2:], dtype=torch.bool, device=query.device).tril()
    if attn_mask is not None and attn_mask.dtype == torch.bool:
        scores = scores.masked_fill(~attn_mask, -math.inf)
    elif attn_mask is not None:
        scores = scores + attn_mask
    return scores.softmax(dim=-1) @ value


def var(
    input: Tensor,  # noqa: A002
    dim: int | list[int] | None = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: int | None = None,
) -> Tensor:
    """The mean squared distance from the mean.

    Returns:
        The variance.
    """
    dims = list(range(input.ndim)) if dim is None else [dim] if isinstance(dim, int) else list(dim)
    count = math.prod(input.shape[d] for d in dims)
    correction = (1 if unbiased is None else int(unbiased)) if correction is None else correction
    centred = input - input.mean(dim=dims, keepdim=True)
    return (centred * centred).sum(dim=dims, keepdim=keepdim) / (count - correction)


def std(input: Tensor, *args: Any, **kwargs: Any) -> Tensor:  # noqa: A002
    """The root of the variance.

    Returns:
        The standard deviation.
    """
    return var(input, *args, **kwargs).sqrt()


def norm(
    input: Tensor,  # noqa: A002
    p: float | str | None = 2,
    dim: int | list[int] | None = None,
    keepdim: bool = False,
    **_: object,
) -> Tensor:
    """The Euclidean norm.

    Returns:
        The root of the sum of squares.
    """
    dims = tuple(range(input.ndim)) if dim is None else dim
    return (input * input).sum(dim=dims, keepdim=keepdim).sqrt()


def glu(input: Tensor, dim: int = -1) -> Tensor:  # noqa: A002
    """One half of the channels, gated by the other.

    Returns:
        A tensor with half the channels.
    """
    value, gate = input.chunk(2, dim=dim)
    return value * gate.sigmoid()


def maximum(input: Tensor, other: Tensor) -> Tensor:  # noqa: A002
    """The larger of two: the first, and what the second has more.

    Returns:
        The elementwise maximum.
    """
    return input + (other - input).relu()


def minimum(input: Tensor, other: Tensor) -> Tensor:  # noqa: A002
    """The smaller of two.

    Returns:
        The elementwise minimum.
    """
    return input - (input - other).relu()


def reversed_division(input: Tensor, other: Tensor | float) -> Tensor:  # noqa: A002
    """A number divided by a tensor.

    Returns:
        ``other / input``.
    """
    return input.reciprocal() * other


def _affine(tensor: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    tensor = tensor if weight is None else tensor * weight
    return tensor if bias is None else tensor + bias


def _per_channel(held: Tensor | None, like: Tensor) -> Tensor | None:
    return None if held is None else held.view(-1, *[1] * (like.ndim - 2))


def _is_euclidean(order: object, dim: object) -> bool:
    return order is None or (order == 2 and isinstance(dim, int))  # of matrices 2 is the spectral norm


COMPOSITIONS: dict[str, Composition] = {
    "layer_norm": Composition(layer_norm),
    "rms_norm": Composition(rms_norm),
    "group_norm": Composition(group_norm),
    "instance_norm": Composition(instance_norm),
    "scaled_dot_product_attention": Composition(attention),
    "var": Composition(var),
    "std": Composition(std),
    "norm": Composition(norm, lambda call: call.argument(1, "p", 2) in {2, "fro", None}),
    "linalg_norm": Composition(norm, lambda call: _is_euclidean(call.argument(1, "ord"), call.argument(2, "dim"))),
    "vector_norm": Composition(norm, lambda call: call.argument(1, "ord", 2) == 2),
    "glu": Composition(glu),
    "maximum": Composition(maximum),
    "minimum": Composition(minimum),
    "lerp": Composition(sums.lerp),
    "addcmul": Composition(sums.addcmul),
    "addmm": Composition(sums.addmm),
    "addmv": Composition(sums.addmv),
    "baddbmm": Composition(sums.baddbmm),
    "addbmm": Composition(sums.addbmm),
    "rtruediv": Composition(reversed_division),
    "lstm": Composition(recurrent.lstm, recurrent.is_padded),
    "gru": Composition(recurrent.gru, recurrent.is_padded),
    "rnn_tanh": Composition(recurrent.rnn_tanh, recurrent.is_padded),
    "rnn_relu": Composition(recurrent.rnn_relu, recurrent.is_padded),
    "lstm_cell": Composition(recurrent.lstm_cell),
    "gru_cell": Composition(recurrent.gru_cell),
    "rnn_tanh_cell": Composition(recurrent.rnn_tanh_cell),
    "rnn_relu_cell": Composition(recurrent.rnn_relu_cell),
}
"""Operator name -> its composition. Packed sequences are not among those written out."""
