"""The form in which Captum gives attributions of several outputs, and of models that give numbers for a batch."""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_explain.captum.arguments import Tensors, shaped_like
from lightning_explain.captum.ask import Answer
from lightning_explain.inputs import Point


def by_output(found: Answer) -> Tensors:
    """Attributions of every number that the model gives, (*outputs, ...), as Captum's Shapley values.

    Returns:
        A tensor for each input, in a tuple where the inputs are in one; floating point, in the outputs' precision.
    """
    shape = found.shape or (1,)
    return shaped_like(
        found.ask.inputs, tuple(leaf.reshape(*shape, *leaf.shape[1:]) for leaf in fractional(found, listed(found)))
    )


def by_flat_output(found: Answer) -> Tensors:
    """Attributions of every number that the model gives, in a row, (numbers, ...), as Captum's feature ablation.

    Returns:
        A tensor for each input, in a tuple where the inputs are in one; in the outputs' dtype.
    """
    dtype = found.problem.outputs.dtype
    point = listed(found)
    return shaped_like(
        found.ask.inputs, tuple((leaf if dtype.is_floating_point else leaf.round()).to(dtype) for leaf in point)
    )


def of_means(found: Answer) -> Tensors:
    """The same, for methods whose attributions are means: they are floating point where outputs are not.

    Returns:
        A tensor for each input, in a tuple where the inputs are in one.
    """
    return shaped_like(found.ask.inputs, fractional(found, listed(found)))


def listed(found: Answer) -> Point:
    """Attributions of each number that the model gives, sample by sample.

    Returns:
        Tensors (numbers, ...); of a batch as a whole, without its first dimension.
    """
    parts = zip(*found.points, strict=True)
    if not found.per_batch:
        return tuple(torch.stack(part, dim=1).flatten(0, 1) for part in parts)
    return tuple(torch.stack([_of_batch(leaf[0], number) for number, leaf in enumerate(part)]) for part in parts)


def fractional(found: Answer, point: Point) -> Point:
    """Attributions in the precision of the outputs, as floating point numbers.

    Returns:
        Tensors like ``point``.
    """
    dtype = found.problem.outputs.dtype
    return tuple(leaf.to(dtype if dtype.is_floating_point else torch.float32) for leaf in point)


def _of_batch(batch: Tensor, number: int) -> Tensor:
    # All samples have the same, but where each output has a row of the feature mask.
    if batch.ndim == 0:
        return batch
    return batch[min(number, len(batch) - 1)] if len(batch) else batch.new_zeros(batch.shape[1:])
