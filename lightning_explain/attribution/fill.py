"""What takes the place of features that are removed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

import torch
from torch import Tensor

from lightning_explain.baseline import BASELINES
from lightning_explain.inputs import Point, column, is_continuous
from lightning_explain.randomness import stream
from lightning_explain.registry import unknown

if TYPE_CHECKING:
    from lightning_explain.attribution.problem import Problem

Fill: TypeAlias = Callable[["Problem", Tensor, Tensor, Point], Point]
"""(problem, rows (m,), copies (m,), removed) -> what stands in the removed places, (m, ...) for each tensor.

``removed`` are masks that broadcast against the variable's tensors.
"""


def fill(name: str) -> Fill:
    """Find a fill by name.

    Args:
        name: ``"baseline"`` (that of the problem), ``"zeros"``, ``"mean"``, ``"blur"`` (of the variable itself) or
            ``"uniform"``.

    Returns:
        The fill.

    Raises:
        ValueError: If there is none of that name.
    """
    if name not in FILLS:
        raise ValueError(unknown("fill", name, FILLS))
    return FILLS[name]


def _baseline(problem: Problem, rows: Tensor, copies: Tensor, removed: Point) -> Point:
    return tuple(leaf[rows] for leaf in problem.z0)


def _named(name: str) -> Fill:
    def of_the_variable(problem: Problem, rows: Tensor, copies: Tensor, removed: Point) -> Point:
        made = problem.remembered(("fill", name), lambda: tuple(map(BASELINES[name], problem.z)))
        return tuple(leaf[rows] for leaf in made)

    return of_the_variable


def _uniform(problem: Problem, rows: Tensor, copies: Tensor, removed: Point) -> Point:
    """Random values, uniform between each sample's least and greatest; the same draw for all samples.

    Returns:
        (m, ...) for each tensor; integers stay as they are.
    """
    first, last = int(copies.min()), int(copies.max())
    generators = [stream(f"uniform fill {copy}", 0) for copy in range(first, last + 1)]
    return tuple(_between(leaf, rows, copies - first, generators) for leaf in problem.z)


def _between(leaf: Tensor, rows: Tensor, copies: Tensor, generators: list[torch.Generator]) -> Tensor:
    if not is_continuous(leaf):
        return leaf[rows]
    # Drawn on the CPU in float32, so that the numbers are the same on every device and in every precision.
    shares = torch.stack([torch.rand(leaf.shape[1:], generator=g, dtype=torch.float32) for g in generators])
    flat = leaf.flatten(1) if leaf.ndim > 1 else leaf[:, None]
    low, high = flat.amin(dim=1)[rows], flat.amax(dim=1)[rows]
    return column(low, leaf) + shares.to(leaf)[copies] * column(high - low, leaf)


FILLS: dict[str, Fill] = {
    "baseline": _baseline,
    **{name: _named(name) for name in BASELINES},
    "uniform": _uniform,
}
