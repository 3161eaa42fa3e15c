"""Feature masks: which elements are one feature."""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import torch
from torch import Tensor

from lightning_explain.inputs import Inputs, Point, leaves, rebuild, varied
from lightning_explain.inputs import names as input_names

FeatureMask: TypeAlias = Inputs | Callable[[int], Inputs]


def match(mask: Inputs, names: Sequence[str], point: Point) -> Point:
    """Check a feature mask against the tensors that it divides; nothing is broadcast that might be a mistake.

    Args:
        mask: Integers, equal where elements are one feature, also across tensors: a tensor, a tuple with one
            for each of ``point``, or a dict by ``names``. Each has the number of dimensions of its tensor;
            the first is 1 (the same mask for all samples) or n, the others are the tensor's, or 1 where a
            feature spans a dimension whole (the channels of a picture).
        names: What the tensors are called.
        point: The tensors, (n, ...) each.

    Returns:
        One mask for each tensor, in their order.

    Raises:
        ValueError: If there is not one mask for each tensor, or one has another shape.
        TypeError: If a mask is no tensor of integers.

    Example:
        >>> (mask,) = match(torch.tensor([[7, 7, 9]]), ["input"], (torch.zeros(2, 3),))
        >>> mask.tolist()
        [[7, 7, 9]]
    """
    given = _one_each(mask, tuple(names))
    for name, held, leaf in zip(names, given, point, strict=True):
        _require_integers(name, held)
        _require_shape(name, held, leaf)
    return given


def select(mask: Inputs, rows: Tensor, samples: int) -> Inputs:
    """The masks of the samples ``rows``.

    Returns:
        The mask; tensors that hold one row for all of the ``samples`` are as they were.
    """
    kept = (leaf.index_select(0, rows.to(leaf.device)) if len(leaf) == samples > 1 else leaf for leaf in leaves(mask))
    return rebuild(mask, tuple(kept))


def of_inputs(mask: Inputs, inputs: Inputs) -> Point:
    """Check a feature mask of a model's inputs.

    Returns:
        A mask for each input that can be explained, on the CPU; see :func:`match`.
    """
    chosen = varied(inputs)
    names, point = input_names(inputs), leaves(inputs)
    given = match(mask, [names[i] for i in chosen], tuple(point[i] for i in chosen))
    return tuple(held.detach().cpu().long().clone() for held in given)


def of_items(mask: FeatureMask, indices: Sequence[int], total: int) -> Inputs:
    """The feature mask of items of a data set.

    Args:
        mask: A row for each item, or one in front for all; or a function from an item's index to its mask, without
            the batch dimension.
        indices: Which items.
        total: The number of items of the data set.

    Returns:
        The mask, a row for each of ``indices``, or one for all.
    """
    if not callable(mask):
        return select(mask, torch.tensor(indices), total)
    items = [mask(index) for index in indices]
    return rebuild(items[0], tuple(map(torch.stack, zip(*map(leaves, items), strict=True))))


def _one_each(mask: Inputs, names: tuple[str, ...]) -> tuple[Tensor, ...]:
    if isinstance(mask, Mapping):
        if set(mask) != set(names):
            raise ValueError(f"The feature mask is for {sorted(map(str, mask))}; expected one for each of {names}.")
        return tuple(mask[name] for name in names)
    given = (mask,) if isinstance(mask, Tensor) else tuple(mask)
    if len(given) != len(names):
        raise ValueError(
            f"Expected a feature mask for each of {names}, got {len(given)} tensor(s); integer inputs that are held"
            " fixed need none."
        )
    return given


def _require_integers(name: str, mask: object) -> None:
    if not isinstance(mask, Tensor):
        raise TypeError(f"The feature mask of {name} must be a tensor of integers, got {type(mask).__name__}.")
    if mask.is_floating_point() or mask.is_complex() or mask.dtype == torch.bool:
        raise TypeError(
            f"The feature mask of {name} must hold integers, equal where elements are one feature; got {mask.dtype}."
            + (" For two features, True and False, give mask.long()." if mask.dtype == torch.bool else "")
        )


def _require_shape(name: str, mask: Tensor, leaf: Tensor) -> None:
    fits = mask.ndim == leaf.ndim and len(mask) in {1, len(leaf)}
    if not fits or any(size not in {1, side} for size, side in zip(mask.shape[1:], leaf.shape[1:], strict=True)):
        sides = ", ".join("1" if side == 1 else f"{side} or 1" for side in (len(leaf), *leaf.shape[1:]))
        raise ValueError(
            f"The feature mask of {name} has shape {tuple(mask.shape)}; expected ({sides}), for {name} of shape"
            f" {tuple(leaf.shape)}: 1 in front for the same mask in all samples, 1 elsewhere where a feature spans"
            " a dimension whole."
        )
