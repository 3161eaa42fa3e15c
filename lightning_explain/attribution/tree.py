"""Nested results of modules: tuples, lists, dicts and None around tensors."""

import copy
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from lightning_explain.inputs import is_continuous


def map_tensors(tree: Any, change: Callable[[Tensor], Tensor], *, every: bool = False) -> Any:  # noqa: ANN401
    """Apply ``change`` to every floating point tensor of a nested structure, in order.

    Args:
        tree: The structure.
        change: A function of a tensor.
        every: Whether to apply it to the other tensors too.

    Returns:
        The structure with the changed tensors; everything else is as it was.

    Example:
        >>> import torch
        >>> map_tensors((torch.ones(1), None, {"a": [torch.zeros(1)]}), lambda t: t + 1)
        (tensor([2.]), None, {'a': [tensor([1.])]})
    """
    if isinstance(tree, Tensor):
        return change(tree) if every or is_continuous(tree) else tree
    if isinstance(tree, tuple):
        mapped = [map_tensors(item, change, every=every) for item in tree]
        return type(tree)(*mapped) if hasattr(tree, "_fields") else type(tree)(mapped)
    if isinstance(tree, list):
        items = copy.copy(tree)
        items[:] = [map_tensors(item, change, every=every) for item in tree]
        return items
    if isinstance(tree, Mapping):
        mapping: Any = copy.copy(tree)  # keeps the type, such as a ModelOutput
        for key in tree:
            mapping[key] = map_tensors(tree[key], change, every=every)
        return mapping
    return tree


def tensors(tree: Any, *, every: bool = False) -> list[Tensor]:  # noqa: ANN401
    """The floating point tensors of a nested structure, in order.

    Args:
        tree: The structure.
        every: Whether the other tensors are wanted too.

    Returns:
        The tensors.
    """
    found: list[Tensor] = []

    def keep(tensor: Tensor) -> Tensor:
        found.append(tensor)
        return tensor

    map_tensors(tree, keep, every=every)
    return found
