"""Where in the samples there is something that a model should, or should not, look at."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from lightning_explain.inputs import Inputs, first_floating

Region: TypeAlias = Literal["object", "artefact"]
Mask: TypeAlias = Tensor | Callable[[int], Tensor]

REGIONS = ("object", "artefact")


def of_inputs(mask: Tensor | None, inputs: Inputs) -> Tensor | None:
    """A mask for the first floating point input, whose positions are its dimensions behind the channels.

    Args:
        mask: True, or 1, where the region is: (n, positions...), (n, 1, positions...) or (positions...).
        inputs: Samples (n, ...).

    Returns:
        Truth values (n, positions...), on the CPU and as a copy; None if there is no mask.

    Raises:
        ValueError: If it has another shape, other values, or marks nothing.
    """
    if mask is None:
        return None
    leaf, positions = first_floating(inputs), _positions(inputs)
    given = torch.as_tensor(mask).detach().cpu()
    if given.ndim == leaf.ndim and leaf.ndim > 2 and given.shape[1] == 1:
        given = given[:, 0]
    if given.shape not in {positions, (leaf.shape[0], *positions)}:
        raise ValueError(
            f"The mask has shape {tuple(given.shape)}; expected {(leaf.shape[0], *positions)}, a value for each"
            f" position of the input {tuple(leaf.shape)}, or {tuple(positions)} for the same mask in all samples."
        )
    if not ((given == 0) | (given == 1)).all():
        raise ValueError("A mask holds True or False (or 1 and 0); other values were found.")
    region = given.bool().expand(leaf.shape[0], *positions).clone()
    if not region.any():
        raise ValueError("The mask is empty in all samples: no position is marked.")
    return region


def of_items(mask: Mask | None, indices: Sequence[int], total: int, inputs: Inputs) -> Tensor | None:
    """The masks of some items of a dataset.

    Args:
        mask: A row for each item of the dataset, one mask for all of them, or a function of an item's index.
        indices: The items.
        total: How many the dataset has.
        inputs: The inputs of these items.

    Returns:
        A row for each of ``indices``, or one mask for all; None if there is no mask.
    """
    if mask is None:
        return None
    if callable(mask):
        return torch.stack([torch.as_tensor(mask(index)) for index in indices])
    given = torch.as_tensor(mask)
    return given[torch.tensor(indices)] if given.ndim > len(_positions(inputs)) and given.shape[0] == total else given


def _positions(inputs: Inputs) -> torch.Size:
    leaf = first_floating(inputs)
    return leaf.shape[2:] if leaf.ndim > 2 else leaf.shape[1:]
