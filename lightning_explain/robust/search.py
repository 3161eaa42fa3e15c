"""The smallest of several growing values that does it, found by bisection."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import overload

import torch
from torch import Tensor


def smallest(succeeds: Callable[[int, Tensor], Tensor], values: int, cases: int = 1) -> Tensor:
    """Find, for each case, the smallest value that succeeds, where all larger ones succeed too.

    Cases that ask about the same value ask together; no value is asked twice for a case.

    Args:
        succeeds: (a value's number, numbers of cases (m,)) -> whether it succeeds, (m,).
        values: How many values there are.
        cases: How many cases there are.

    Returns:
        Numbers of values (cases,); ``values`` where none succeeds.

    Example:
        >>> thresholds = torch.tensor([2, 0, 9])
        >>> smallest(lambda value, cases: value >= thresholds[cases], 5, 3)
        tensor([2, 0, 5])
    """
    low, high = torch.zeros(cases, dtype=torch.long), torch.full((cases,), values)
    while bool((low < high).any()):
        middle, open_ = (low + high) // 2, low < high
        for value in middle[open_].unique().tolist():
            asked = (open_ & (middle == value)).nonzero().flatten()
            won = succeeds(value, asked).to("cpu", torch.bool)
            high[asked[won]] = value
            low[asked[~won]] = value + 1
    return high


@dataclass(frozen=True)
class Steps(Sequence[float]):
    """Equally distant values, from the first up and below the last.

    Args:
        first: The first of them.
        below: What all are below.
        step: The distance between two; positive.

    Example:
        >>> list(Steps(0, 6, 2)), len(Steps(0.0, 1.0, 0.1))
        ([0, 2, 4], 10)
    """

    first: float
    below: float
    step: float

    def __len__(self) -> int:
        # Not one more where a sum of rounded steps falls just short.
        return max(0, math.ceil(round((self.below - self.first) / self.step, 9)))

    @overload
    def __getitem__(self, index: int) -> float: ...

    @overload
    def __getitem__(self, index: slice) -> list[float]: ...

    def __getitem__(self, index: int | slice) -> float | list[float]:
        numbers = range(len(self))[index]
        if isinstance(numbers, range):
            return [self.first + number * self.step for number in numbers]
        return self.first + numbers * self.step
