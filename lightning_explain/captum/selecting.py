"""Captum's targets: which of a model's outputs is explained."""

from __future__ import annotations

from typing import TypeAlias

import torch
from torch import Tensor

from lightning_explain.captum.errors import ArgumentError, ArgumentTypeError, SelectionError

Index: TypeAlias = int | slice
Target: TypeAlias = int | tuple[Index, ...] | Tensor | list[int] | list[tuple[int, ...]] | None

FORMS = (
    "an integer, a tuple of integers and slices (the same for all samples), a list or tensor of one integer for each"
    " sample, or a list of one tuple for each sample"
)


def common(target: Target) -> tuple[Index, ...] | None:
    """The index that all samples have in common.

    Args:
        target: A target in one of Captum's forms.

    Returns:
        The index without the batch dimension; None if every sample has its own, or there is no target.

    Raises:
        ArgumentTypeError: If it is in none of them.

    Example:
        >>> common(3), common((1, slice(2))), common(torch.tensor([1])), common([1, 2])
        ((3,), (1, slice(None, 2, None)), (1,), None)
    """
    if isinstance(target, bool) or not isinstance(target, (int, tuple, Tensor, list, type(None))):
        raise ArgumentTypeError(f"A target is {FORMS}, got {type(target).__name__}.")
    if isinstance(target, Tensor) and (target.is_floating_point() or target.dtype == torch.bool):
        raise ArgumentTypeError(f"A target is {FORMS}, got a tensor of {target.dtype}.")
    if isinstance(target, int):
        return (target,)
    if isinstance(target, tuple):
        return target
    if isinstance(target, Tensor) and target.numel() == 1:
        return (int(target),)
    return None


def own(target: Target, samples: int) -> Tensor | None:
    """The indices of every sample, where each has its own.

    Args:
        target: A target in one of Captum's forms.
        samples: The number of samples n.

    Returns:
        Indices (n, k) into the dimensions after the first; None for a target that all samples share, or no target.

    Raises:
        ArgumentError: If there is not one index for each sample.
    """
    if target is None or common(target) is not None:
        return None
    index = target if isinstance(target, Tensor) else _stacked(target)  # type: ignore[arg-type]
    if index.ndim != 1 and isinstance(target, Tensor):
        raise ArgumentError(f"A target is {FORMS}; got a tensor of shape {tuple(index.shape)}.")
    if len(index) != samples:
        raise ArgumentError(f"Expected one target for each of {samples} samples, got {len(index)}.")
    return index.long().reshape(samples, -1)


def selected(output: Tensor, target: Target) -> Tensor:
    """Read the target from outputs.

    Args:
        output: What a model gave, (n, ...).
        target: A target in one of Captum's forms.

    Returns:
        What it selects, (n, ...); the outputs themselves without a target.

    Raises:
        SelectionError: If there is no such output.
        ArgumentError: If the target does not fit the samples.
    """
    if target is None:
        return output
    shared = common(target)
    if shared is not None:
        return taken(output, shared)
    index = own(target, len(output))
    if index is None or index.shape[1] != output.ndim - 1:
        raise ArgumentError(
            f"For outputs of shape {tuple(output.shape)} each sample's target needs {output.ndim - 1} index(es)."
        )
    try:
        return output[(torch.arange(len(output), device=output.device), *index.to(output.device).unbind(dim=1))]
    except IndexError:
        raise SelectionError(f"A target is out of range for outputs of shape {tuple(output.shape)}.") from None


def taken(output: Tensor, index: tuple[Index, ...]) -> Tensor:
    """Read the same index of every sample.

    Args:
        output: What a model gave, (n, ...).
        index: The index, without the batch dimension.

    Returns:
        What it selects, (n, ...).

    Raises:
        SelectionError: If there is no such output.
    """
    try:
        return output[(slice(None), *index)]
    except IndexError:
        shape = ", ".join(map(str, output.shape[1:])) or "no more dimensions"
        raise SelectionError(
            f"The target {index if len(index) > 1 else index[0]} does not fit outputs of shape"
            f" (n, {shape}): give an index into the dimensions after the first."
        ) from None


def _stacked(target: list[int] | list[tuple[int, ...]]) -> Tensor:
    kinds = {type(entry) for entry in target}
    if not target or kinds not in ({int}, {tuple}):
        raise ArgumentTypeError(f"A target is {FORMS}; got a list of {', '.join(sorted(k.__name__ for k in kinds))}.")
    try:
        return torch.tensor(target)
    except (TypeError, ValueError):
        raise ArgumentError("The tuples of a list of targets must hold integers, as many for each sample.") from None
