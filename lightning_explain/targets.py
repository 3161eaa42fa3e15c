"""What users say is explained: a label, what is predicted, an output index."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from lightning_explain.inputs import is_continuous
from lightning_explain.registry import unknown

Target: TypeAlias = Literal["label", "predicted", "output"] | int | Sequence[int] | Tensor

TARGETS = ("label", "predicted", "output")


def as_indices(target: int | Sequence[int] | Tensor) -> Tensor:
    """A target that is no name, as a tensor.

    Returns:
        Output indices.

    Raises:
        ValueError: If they are not integers.
    """
    index = torch.as_tensor(target)
    if index.is_floating_point() or index.is_complex() or index.dtype == torch.bool:
        raise ValueError(f"A target is an integer output index, got {index.dtype}. For a regression use 'output'.")
    return index


def as_label(label: Tensor | None, count: int) -> Tensor | None:
    """Labels of samples, on the CPU and as a copy; truth values are classes, too.

    Returns:
        Labels (count, ...); None if there are none.

    Raises:
        ValueError: If there is not one for each sample.
    """
    if label is None:
        return None
    label = torch.as_tensor(label).detach().cpu().clone()
    label = label.long() if label.dtype == torch.bool else label
    if label.shape[:1] != (count,):
        raise ValueError(f"Expected a label for each of {count} samples, got shape {tuple(label.shape)}.")
    return label


def as_target(target: Target | None, label: Tensor | None, count: int) -> Target:
    """A target that fits the samples; the one that follows from their labels where none is given.

    Args:
        target: A name, output indices, or None.
        label: Labels (count, ...), or None.
        count: The number of samples.

    Returns:
        A name, or indices: (), (count,) or (count, k), on the CPU and as a copy.

    Raises:
        ValueError: If there is no such target, or it does not fit.
    """
    classes = label is not None and not is_continuous(torch.as_tensor(label))
    if target is None:
        return "label" if classes else "predicted" if label is None else "output"
    if isinstance(target, str):
        if target not in TARGETS:
            raise ValueError(unknown("target", target, TARGETS) + " Or give output indices.")
        if target == "label" and not classes:
            raise ValueError("The target 'label' needs integer class labels; pass label=, or choose another target.")
        return target
    index = as_indices(target).detach().cpu().clone()
    if index.ndim and index.shape[0] != count:
        raise ValueError(f"Expected a target for each of {count} samples, got shape {tuple(index.shape)}.")
    if (index < 0).any():
        raise ValueError(f"Targets are output indices from 0 on, got {int(index.min())}.")
    return index
