"""Losses that attacks climb where the user names none."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor

from lightning_explain.attribution.target import probability_readout, select

Loss: TypeAlias = Callable[[Tensor, Tensor | None], Tensor]
"""(outputs (m, ...), targets) -> losses (m,), or their sum or mean.

Targets are (m,) for outputs (m, classes), (m, k) for more dimensions, and None for one number per sample.
"""


def surprise(outputs: Tensor, target: Tensor) -> Tensor:
    r"""The negative logarithm of the target's probability, :math:`-\log p_t`, the cross entropy.

    Args:
        outputs: Logits (m, classes, ...), or probabilities, which are told by their sum; at least two classes.
        target: Indices (m, k).

    Returns:
        Losses (m,) >= 0, at least in float32.

    Raises:
        ValueError: If there is a single class.

    Example:
        >>> logits = torch.tensor([[0.0, 0.0], [3.0, 3.0]])
        >>> surprise(logits, torch.tensor([[0], [1]]))
        tensor([0.6931, 0.6931])
        >>> surprise(logits.softmax(dim=1), torch.tensor([[0], [1]]))
        tensor([0.6931, 0.6931])
    """
    if outputs.ndim < 2 or outputs.shape[1] < 2:
        raise ValueError(
            f"Outputs of shape {tuple(outputs.shape)} are no classes to choose from: pass loss=, a function (outputs,"
            " target) -> losses."
        )
    if probability_readout(outputs, target) == "raw":
        return -select(outputs, target).log()
    return -select(outputs.float().log_softmax(dim=1) if _half(outputs) else outputs.log_softmax(dim=1), target)


def falling(score: Tensor) -> Tensor:
    r"""A loss that falls where a score rises, as :math:`-\log s` does, also where :math:`s \le 0` has no logarithm.

    Only its gradient counts, :math:`-\nabla s / |s|`: that of the negative logarithm for positive scores. Its own at
    negative ones, :math:`-\nabla s / s`, points the other way, so that an attack would help the model.

    Args:
        score: One number per row (m,).

    Returns:
        Losses (m,), -1, 1 or NaN; at least in float32.

    Example:
        >>> score = torch.tensor([2.0, -2.0], requires_grad=True)
        >>> torch.autograd.grad(falling(score).sum(), score)
        (tensor([-0.5000, -0.5000]),)
    """
    score = score.float() if _half(score) else score
    return -score / score.detach().abs()


def _half(tensor: Tensor) -> bool:
    return tensor.dtype in {torch.float16, torch.bfloat16}
