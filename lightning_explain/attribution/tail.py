"""Running only the part of a model that lies behind a layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import torch
from torch import Tensor

from lightning_explain.attribution.place import Place
from lightning_explain.inputs import Inputs, Point, leaves

if TYPE_CHECKING:
    from lightning_explain.attribution.problem import Problem

BESIDE = 2
"""Samples that the model is given when their activations are replaced anyway. Two, for one would be broadcast."""

PROBED = 5
"""Rows of the trial. No multiple of two: a batch that is folded the wrong way must not fit."""

WORTH = 48
"""Fewer rows than that do not pay for the trial."""

UNFIT = (RuntimeError, ValueError, TypeError, IndexError, KeyError, AssertionError)
"""What models raise when two parts of a batch do not have the same size."""


@runtime_checkable
class Replaced(Place, Protocol):
    """A place in the middle of the model."""

    def score_beside(self, problem: Problem, z: Point, rows: Tensor, beside: Tensor) -> Tensor:
        """The score where what leads up to the variable, all of which ``z`` replaces, sees other samples."""


@dataclass(frozen=True)
class Tail:
    """A place in the middle of the model whose score costs what lies behind it.

    The layers before the place see two samples whatever the number of rows: what they give is replaced.

    Args:
        place: The place.
    """

    place: Replaced

    @property
    def channel_dim(self) -> int | None:  # noqa: D102
        return self.place.channel_dim

    def variable(self, problem: Problem, inputs: Inputs) -> Point:  # noqa: D102
        return self.place.variable(problem, inputs)

    def names(self, problem: Problem) -> tuple[str, ...]:  # noqa: D102
        return self.place.names(problem)

    def score(self, problem: Problem, z: Point, rows: Tensor) -> Tensor:  # noqa: D102
        beside = torch.arange(BESIDE, device=rows.device) % problem.samples
        return self.place.score_beside(problem, z, rows, beside)

    def observe(self, problem: Problem, x: Point, rows: Tensor) -> tuple[Point, Tensor]:  # noqa: D102
        return self.place.observe(problem, x, rows)


def shortened(problem: Problem, copies: int) -> Place:
    """The place at which the score of ``copies`` points for each sample is cheapest.

    Returns:
        The problem's place, or its tail where nothing but the variable crosses it: no skip connection, no other
        input, no size that the model remembers. That is tried once on a few rows: the tail must give what the whole
        model gives, while the layers before it see other samples.
    """
    place, most = problem.place, problem.budget.max_rows
    few = copies * problem.samples < WORTH or (most is not None and most < PROBED)
    if few or problem.create_graph or not isinstance(place, Replaced):
        return place
    if place not in problem.tails:
        problem.tails[place] = _same(problem, place)
    return Tail(place) if problem.tails[place] else place


def _same(problem: Problem, place: Replaced) -> bool:
    # From the end, so that these are not the samples that the layers before the place see.
    rows = problem.samples - 1 - torch.arange(PROBED, device=leaves(problem.inputs)[0].device) % problem.samples
    z = tuple(leaf.index_select(0, rows) for leaf in problem.z)
    with torch.no_grad():
        try:
            whole = place.score(problem, z, rows)
            tail = Tail(place).score(problem, z, rows)
        except UNFIT:
            return False
    rounding = 16 * torch.finfo(whole.dtype).eps * whole.abs().max()
    return bool((tail - whole).abs().max() <= rounding)
