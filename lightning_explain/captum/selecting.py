"""Targets as Captum writes them, and what they select from a model's output."""

from __future__ import annotations

from typing import TypeAlias

import torch
from torch import Tensor

from lightning_explain.captum.errors import ArgumentTypeError, SelectionError

Index: TypeAlias = "int | tuple[int | slice, ...]"
Target: TypeAlias = "int | tuple[int | slice, ...] | Tensor | list[int] | list[tuple[int, ...]] | None"


def selected(output: Tensor, target: Target) -> Tensor:
    """What a target selects from each row of an output.

    Args:
        output: Outputs (n, ...).
        target: None: everything. An index of dimension 1, or a tuple of indices of the dimensions from 1 on, for all
            rows. Indices for each row of outputs (n, classes), as a tensor (n,) or a list. A list of tuples, one for
            each row.

    Returns:
        The selected part of each row, (n, ...).

    Raises:
        SelectionError: If the target does not fit the output.
        ArgumentTypeError: If it is none of these.

    Example:
        >>> output = torch.arange(6).view(2, 3)
        >>> selected(output, 1), selected(output, [0, 2])
        (tensor([1, 4]), tensor([0, 5]))
    """
    if target is None:
        return output
    if isinstance(target, Tensor) and target.numel() == 1 and not target.is_floating_point():
        target = int(target)
    if isinstance(target, (int, tuple)):
        return _column(output, target if isinstance(target, tuple) else (target,))
    if isinstance(target, Tensor):
        return _one_each(output, target)
    if isinstance(target, list):
        return _listed(output, target)
    raise ArgumentTypeError(f"A target is an index, a tuple, a tensor or a list of them, got {type(target).__name__}.")


def _column(output: Tensor, index: tuple[int | slice, ...]) -> Tensor:
    if len(index) > output.ndim - 1:
        raise SelectionError(f"The target {index} has more indices than outputs of shape {tuple(output.shape)} take.")
    return _indexed(output, (slice(None), *index))


def _one_each(output: Tensor, target: Tensor) -> Tensor:
    if target.shape != output.shape[:1] or output.ndim != 2:
        raise SelectionError(
            f"A tensor of targets holds one index for each row of outputs (n, classes); got shape {tuple(target.shape)}"
            f" for outputs of shape {tuple(output.shape)}."
        )
    return _indexed(output, (torch.arange(len(output), device=output.device), target.to(output.device)))


def _listed(output: Tensor, target: list[int] | list[tuple[int, ...]]) -> Tensor:
    if len(target) != len(output):
        raise SelectionError(f"The list holds {len(target)} targets for {len(output)} rows of outputs.")
    if all(isinstance(index, int) for index in target):
        return _one_each(output, torch.tensor(target))
    if not all(isinstance(index, tuple) for index in target):
        kinds = ", ".join(sorted({type(index).__name__ for index in target}))
        raise ArgumentTypeError(f"A list of targets holds integers, or tuples, got {kinds}.")
    columns = torch.tensor(target, device=output.device).unbind(dim=1)
    return _indexed(output, (torch.arange(len(output), device=output.device), *columns))


def _indexed(output: Tensor, index: tuple[Tensor | int | slice, ...]) -> Tensor:
    try:
        return output[index]
    except IndexError as error:
        raise SelectionError(f"The target is out of range for outputs of shape {tuple(output.shape)}.") from error
