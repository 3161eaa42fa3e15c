"""The mean, the least and the largest of results that come one after another."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

import torch
from torch import Tensor

Result: TypeAlias = float | Tensor | tuple[float | Tensor, ...]
"""What a user's metric gives: a number, a tensor, or a (named) tuple of such."""

STATISTICS = ("mean", "max", "min")


@dataclass
class Tally:
    """Statistics of results, element by element.

    Example:
        >>> tally = Tally()
        >>> for result in (torch.tensor([1, 5]), torch.tensor([2, 3])):
        ...     tally.add(result)
        >>> tally.read("mean"), tally.read("max")
        (tensor([1.5000, 4.0000], dtype=torch.float64), tensor([2, 5]))
    """

    _count: int = field(default=0, init=False)
    _kind: type[object] | None = field(default=None, init=False)
    _parts: dict[str, tuple[Tensor, ...]] = field(default_factory=dict, init=False)

    def add(self, result: Result) -> None:
        """Count a result in.

        Args:
            result: Like those before.

        Raises:
            ValueError: If it is a tuple and they were not, or one of another length.
        """
        parts = tuple(map(_tensor, result if isinstance(result, tuple) else (result,)))
        if self._count == 0:
            self._kind = type(result) if isinstance(result, tuple) else None
            self._parts = {"mean": tuple(map(_floating, parts)), "max": parts, "min": parts}
        elif isinstance(result, tuple) != (self._kind is not None) or len(parts) != len(self._parts["mean"]):
            raise ValueError(f"A metric must always give the same kind of result; got {_said(result)} after another.")
        self._count += 1
        if self._count > 1:
            self._update(parts)

    def read(self, statistic: str) -> Tensor | tuple[Tensor, ...]:
        """One of the statistics of what was added.

        Args:
            statistic: ``"mean"``, ``"max"`` or ``"min"``.

        Returns:
            A tensor, or a tuple of tensors, of the class that was added.
        """
        parts = self._parts[statistic]
        if self._kind is None:
            return parts[0]
        return _in_class(parts, self._kind)

    def _update(self, parts: tuple[Tensor, ...]) -> None:
        before = self._parts
        means = zip(before["mean"], parts, strict=True)
        self._parts = {
            "mean": tuple(mean + (_floating(part) - mean) / self._count for mean, part in means),
            "max": tuple(map(torch.maximum, before["max"], parts)),
            "min": tuple(map(torch.minimum, before["min"], parts)),
        }


def over_samples(result: Tensor | tuple[Tensor, ...]) -> Tensor | tuple[Tensor, ...]:
    """The mean over the samples, which come first.

    Returns:
        Tensors without their first dimension, in the tuple's class; single numbers as they are.
    """
    if isinstance(result, tuple):
        return _in_class(tuple(_floating(part).mean(dim=0) for part in result), type(result))
    return _floating(result).mean(dim=0)


def _in_class(parts: tuple[Tensor, ...], kind: type[object]) -> tuple[Tensor, ...]:
    return kind(*parts) if hasattr(kind, "_fields") else parts  # type: ignore[return-value]  # named tuples


def _tensor(value: float | Tensor) -> Tensor:
    return value.detach().clone() if isinstance(value, Tensor) else torch.tensor(value, dtype=torch.float32)


def _floating(value: Tensor) -> Tensor:
    return value if value.is_floating_point() else value.double()


def _said(result: Result) -> str:
    return f"a tuple of {len(result)}" if isinstance(result, tuple) else type(result).__name__
