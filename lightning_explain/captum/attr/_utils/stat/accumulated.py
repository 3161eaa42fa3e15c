"""Extremes and sums: what a function of two tensors makes of all of them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from lightning_explain.captum.attr._utils.stat.statistic import Stat

Combine = Callable[[Tensor, Tensor], Tensor]
_WHOLE: dict[Combine, Callable[[Tensor], Tensor]] = {
    torch.min: lambda xs: xs.amin(dim=0),
    torch.max: lambda xs: xs.amax(dim=0),
    torch.add: lambda xs: xs.sum(dim=0, dtype=xs.dtype),
}
"""What functions of two tensors make of many, at once."""


class GeneralAccumFn(Stat):
    """What a function of two tensors makes of all of them, one after the other.

    Args:
        fn: Of what there is and of the next one.
        name: Its key in a summary.
    """

    def __init__(self, fn: Combine, name: str | None = None) -> None:
        super().__init__(name=name)
        self.fn = fn
        self.result: Tensor | None = None

    def __hash__(self) -> int:
        return hash((super().__hash__(), self.fn))

    def __eq__(self, other: object) -> bool:
        return super().__eq__(other) and isinstance(other, GeneralAccumFn) and self.fn == other.fn

    def update(self, x: Tensor) -> None:
        """Combine what there is with the next one."""
        x = x.detach()
        # A copy: the first tensor is the user's, who may write to it before the next one comes.
        self.result = x.clone() if self.result is None else self.fn(self.result, x)

    def update_all(self, xs: Tensor) -> None:
        """Combine what there is with (n, ...)."""
        whole = _WHOLE.get(self.fn)
        if whole is None:
            super().update_all(xs)
        else:
            self.update(whole(xs))

    def get(self) -> Tensor | None:
        """What was made of them.

        Returns:
            Of the tensors' shape; None before the first.
        """
        return self.result


class Min(GeneralAccumFn):
    """The smallest value of every element.

    Args:
        name: Its key in a summary.
        min_fn: Of two tensors.
    """

    def __init__(self, name: str | None = None, min_fn: Combine = torch.min) -> None:
        super().__init__(fn=min_fn, name=name)


class Max(GeneralAccumFn):
    """The largest value of every element.

    Args:
        name: Its key in a summary.
        max_fn: Of two tensors.
    """

    def __init__(self, name: str | None = None, max_fn: Combine = torch.max) -> None:
        super().__init__(fn=max_fn, name=name)


class Sum(GeneralAccumFn):
    """The sum of every element.

    Args:
        name: Its key in a summary.
        add_fn: Of two tensors.
    """

    def __init__(self, name: str | None = None, add_fn: Combine = torch.add) -> None:
        super().__init__(fn=add_fn, name=name)
