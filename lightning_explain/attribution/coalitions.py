"""Coalitions: features that are present together, the others being absent."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from lightning_explain.attribution.problem import Problem
from lightning_explain.inputs import Point

Formula = Callable[[Problem, int], Tensor]
"""(problem, number of features F that each of its samples has) -> attributions of the features (n, F)."""

ROWS_IN_A_BLOCK = 4096


def per_feature(problem: Problem, formula: Formula) -> Point:
    """Attributions of features, laid out over the variable.

    Samples that have as many features are done together, the same coalitions for all of them; so what a sample gets
    does not depend on how many features its neighbors have.

    Returns:
        Tensors like ``problem.z``; all elements of a feature carry its attribution.
    """
    features = problem.features
    parts = [
        (rows, formula(problem if rows is None else problem.select(rows), count)) for count, rows in features.groups
    ]
    found = parts[0][1]
    if parts[0][0] is not None:
        found = found.new_zeros(problem.samples, features.count)
        for rows, part in parts:
            found[rows, : part.shape[1]] = part
    return features.spread(found, problem.z)


def scores(problem: Problem, copies: int, present: Callable[[Tensor], Tensor]) -> Tensor:
    """The score at coalitions that all samples share, the features outside being those of the baseline.

    Args:
        problem: The problem.
        copies: The number of coalitions.
        present: Makes coalitions (m, F), True where a feature is present, from their numbers (m,).

    Returns:
        Scores (n, copies).
    """

    def point(rows: Tensor, copy: Tensor) -> Point:
        return problem.features.mixed(present(copy), rows, problem.z, problem.z0)

    return problem.values(copies, point)


def bits(numbers: Tensor, count: int) -> Tensor:
    """Coalitions by number: feature i is present where bit i is set.

    Args:
        numbers: Integers (m,).
        count: The number of features.

    Returns:
        Coalitions (m, count).

    Example:
        >>> bits(torch.arange(4), 2).int().tolist()
        [[0, 0], [1, 0], [0, 1], [1, 1]]
    """
    return (numbers[:, None] >> torch.arange(count, device=numbers.device)) & 1 == 1


def blocks(total: int, rows: int) -> Iterator[slice]:
    """Divide ``total`` draws of ``rows`` rows each into blocks whose scores take little memory.

    Yields:
        Consecutive slices of ``range(total)``.
    """
    step = max(1, ROWS_IN_A_BLOCK // max(rows, 1))
    for start in range(0, total, step):
        yield slice(start, min(start + step, total))
