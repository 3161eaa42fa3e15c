"""Several inputs in one call of a model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, TypeVar

import torch
from torch import Tensor

from lightning_explain.attribution.settings import require_integer

K = TypeVar("K")


def in_groups(
    candidates: Iterable[tuple[K, Any]], run: Callable[[Any, int], Any], size: int
) -> Iterator[tuple[K, Any]]:
    """Run a model on candidates, up to ``size`` of them in one call.

    Candidates are asked for as they are needed: who stops at one has not paid for those of later groups.

    Args:
        candidates: Names and inputs (n, ...): tensors, or tuples or lists of them; whatever the model takes, where a
            group is a single one.
        run: (inputs of a group, one behind the other; how many there are) -> outputs.
        size: How many candidates make a group, from 1 up.

    Yields:
        Names and outputs, a candidate at a time.

    Raises:
        ValueError: If ``size`` is less than 1.

    Example:
        >>> double = lambda inputs, count: 2 * inputs
        >>> list(in_groups([("a", torch.ones(1)), ("b", torch.ones(2))], double, 2))
        [('a', tensor([2.])), ('b', tensor([2., 2.]))]
    """
    require_integer("The size of a group", size, 1)
    waiting = iter(candidates)
    while group := list(islice(waiting, size)):
        names, given = zip(*group, strict=True)
        if len(group) == 1:
            yield names[0], run(given[0], 1)
            continue
        outputs = run(joined(given), len(group))
        yield from zip(names, outputs.split([_rows(inputs) for inputs in given]), strict=True)


def joined(several: Sequence[Any]) -> Any:  # noqa: ANN401
    """Put inputs one behind the other.

    Args:
        several: Tensors, or tuples or lists of tensors, all alike.

    Returns:
        A tensor, on the first one's device, or a tuple of such.

    Raises:
        TypeError: If they are something else.
    """
    first = several[0]
    if isinstance(first, Tensor):
        return torch.cat([inputs.to(first.device) for inputs in several])
    if isinstance(first, (tuple, list)):
        return tuple(joined(parts) for parts in zip(*several, strict=True))
    raise TypeError(
        f"Only tensors, and tuples of them, can go through the model together, got {type(first).__name__}; evaluate one"
        " perturbation at a time."
    )


def _rows(inputs: Any) -> int:  # noqa: ANN401
    return len(inputs if isinstance(inputs, Tensor) else inputs[0])
