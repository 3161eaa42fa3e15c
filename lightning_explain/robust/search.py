"""The smallest of several growing values that does it, found by bisection."""

from __future__ import annotations

from collections.abc import Callable

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
