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


def _half(tensor: Tensor) -> bool:
    return tensor.dtype in {torch.float16, torch.bfloat16}
