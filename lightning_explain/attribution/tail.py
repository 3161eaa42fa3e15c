"""Running only the part of a model that lies behind a layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeGuard

import torch
from torch import Tensor

from lightning_explain.attribution.derivative import accumulator
from lightning_explain.attribution.place import Place, explained
from lightning_explain.inputs import Inputs, Point, leaves, pick

if TYPE_CHECKING:
    from lightning_explain.attribution.question import Question

BESIDE = 2
"""Samples that the model is given when their activations are replaced anyway. Two, for one would be broadcast."""

PROBED = 5
"""Rows of the trial. No multiple of two: a batch that is folded the wrong way must not fit."""

WORTH = 48
"""Fewer rows than that do not pay for the trial."""

ROUNDING = 128
"""How many units in the last place of the largest output count as rounding between batches of different sizes."""

COARSEST = 0.02
"""The share of the largest output that is more than rounding, however few bits the outputs have."""

UNFIT = (RuntimeError, ValueError, TypeError, IndexError, KeyError, AssertionError)
"""What models raise when two parts of a batch do not have the same size."""


class Replaced(Place, Protocol):
    """A place in the middle of the model."""

    def outputs_beside(self, problem: Question, z: Point, beside: Tensor) -> Tensor:
        """The model's outputs where what leads up to the variable, all of which ``z`` replaces, sees other samples."""


def is_replaced(place: Place) -> TypeGuard[Replaced]:
    """Whether a place is in the middle of the model."""
    return hasattr(place, "outputs_beside")  # isinstance looks at all of a protocol, each time


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

    def variable(self, problem: Question, inputs: Inputs) -> Point:  # noqa: D102
        return self.place.variable(problem, inputs)

    def names(self, problem: Question) -> tuple[str, ...]:  # noqa: D102
        return self.place.names(problem)

    def score(self, problem: Question, z: Point, rows: Tensor) -> Tensor:  # noqa: D102
        return explained(problem, self.outputs(problem, z), rows)

    def outputs(self, problem: Question, z: Point) -> Tensor:
        """What the model gives where the variable is ``z``.

        Returns:
            Outputs (m, ...).
        """
        beside = torch.arange(BESIDE, device=z[0].device) % problem.samples
        return self.place.outputs_beside(problem, z, beside)

    def observe(self, problem: Question, x: Point, rows: Tensor) -> tuple[Point, Tensor]:  # noqa: D102
        return self.place.observe(problem, x, rows)


def shortened(problem: Question, copies: int) -> Place:
    """The place at which the score of ``copies`` points for each sample is cheapest.

    Returns:
        The problem's place, or its tail where nothing but the variable crosses it: no skip connection, no other
        input, no size that the model remembers, no decision that it takes from its inputs. That is tried once: the
        tail must give what the whole model gives, for all samples, while the layers before it see two of them.
    """
    place, most = problem.place, problem.budget.max_rows
    few = copies * problem.samples < WORTH or (most is not None and most < PROBED)
    if few or problem.create_graph or not is_replaced(place):
        return place
    if place not in problem.tails:
        problem.tails[place] = _fits(problem, place) and _same_everywhere(problem, place)
    return Tail(place) if problem.tails[place] else place


def _fits(problem: Question, place: Replaced) -> bool:
    # From the end, so that these are not the samples that the layers before the place see.
    rows = problem.samples - 1 - torch.arange(PROBED, device=leaves(problem.inputs)[0].device) % problem.samples
    z = pick(problem.z, rows)
    with torch.no_grad():
        try:
            whole = place.outputs_beside(problem, z, rows)
            tail = Tail(place).outputs(problem, z)
        except UNFIT:
            return False
    return _equal(tail, whole, _largest(whole) * 16 * torch.finfo(accumulator(whole)).eps)  # the same kernels


def _same_everywhere(problem: Question, place: Replaced) -> bool:
    # A model that looks at its inputs (is anything padded? how long is the longest?) may do so for some samples alone.
    known, equal = problem.outputs, list[bool]()
    epsilon = torch.finfo(known.dtype).eps if known.is_floating_point() else 0.0
    tolerance = _largest(known) * min(ROUNDING * epsilon, COARSEST)

    def body(chunk: slice) -> None:
        with torch.no_grad():
            tail = Tail(place).outputs(problem, tuple(leaf[chunk] for leaf in problem.z))
        equal.append(_equal(tail, known[chunk], tolerance))

    try:
        problem.run(problem.samples, f"forward{place}", body)
    except UNFIT:
        return False
    return all(equal)


def _equal(tail: Tensor, whole: Tensor, tolerance: float) -> bool:
    return tail.shape == whole.shape and bool((tail.double() - whole.double()).abs().max() <= tolerance)


def _largest(outputs: Tensor) -> float:
    return float(outputs.double().abs().max())
