"""Running only the part of a model that lies behind a layer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeGuard

import torch
from torch import Tensor

from lightning_explain.attribution.derivative import accumulator
from lightning_explain.attribution.halting_neuron import halting
from lightning_explain.attribution.memory import available
from lightning_explain.attribution.model import FAILURES, FEWEST
from lightning_explain.attribution.place import Layer, Place
from lightning_explain.attribution.prefix import Prefix
from lightning_explain.attribution.relative_depth import relative_depth
from lightning_explain.attribution.scoring import explained
from lightning_explain.inputs import Inputs, Point, leaves, pick, take

if TYPE_CHECKING:
    from lightning_explain.attribution.question import Question

PROBED = 5
"""Rows of the trial. No multiple of two: a batch that is folded the wrong way must not fit."""

PROBED_OF_FIVE = 3
"""Rows of the trial where there are five samples: what a module gave for the samples must not fit as it is."""

TRIAL = 20
"""What the trial costs at most, in rows of the whole model, beside the samples through the tail."""

ROUNDING = 128
"""How many units in the last place of the largest output count as rounding between batches of different sizes."""

COARSEST = 0.02
"""The share of the largest output that is more than rounding, however few bits the outputs have."""

KEPT = 1 / 16
"""The share of the memory at hand that what leads up to a place may take, where it is kept for every sample."""

MOST_KEPT = 64
"""The most samples for which it is: they go through the model at once."""


class Replaced(Place, Protocol):
    """A place in the middle of the model."""

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The layers that it is made of."""

    def outputs_beside(self, problem: Question, z: Point, beside: Tensor) -> Tensor:
        """The model's outputs where what leads up to the variable, all of which ``z`` replaces, sees other samples."""


def is_replaced(place: Place) -> TypeGuard[Replaced]:
    """Whether a place is in the middle of the model.

    Returns:
        True or False.
    """
    return hasattr(place, "outputs_beside")  # isinstance looks at all of a protocol, each time


@dataclass(frozen=True)
class Tail:
    """A place in the middle of the model whose score costs what lies behind it.

    Args:
        place: The place.
        prefix: What leads up to it, and is not computed again; None: it is.
        beside: Whether the model is given two samples whatever the number of rows, for what leads up to the place is
            replaced; otherwise it is given those of the rows.
    """

    place: Replaced
    prefix: Prefix | None = None
    beside: bool = True

    @property
    def channel_dim(self) -> int | None:  # noqa: D102
        return self.place.channel_dim

    def variable(self, problem: Question, inputs: Inputs) -> Point:  # noqa: D102
        return self.place.variable(problem, inputs)

    def names(self, problem: Question) -> tuple[str, ...]:  # noqa: D102
        return self.place.names(problem)

    def score(self, problem: Question, z: Point, rows: Tensor) -> Tensor:  # noqa: D102
        return explained(problem, self.outputs(problem, z, rows), rows)

    def outputs(self, problem: Question, z: Point, rows: Tensor) -> Tensor:
        """What the model gives where the variable is ``z`` (m, ...), else as in samples ``rows`` (m,).

        Returns:
            Outputs (m, ...).
        """
        seen = rows.new_tensor(range(FEWEST)) % problem.samples if self.beside else rows
        with nullcontext() if self.prefix is None else self.prefix.skipped(seen):
            return self.place.outputs_beside(problem, z, seen)

    def observe(self, problem: Question, x: Point, rows: Tensor) -> tuple[Point, Tensor]:  # noqa: D102
        return self.place.observe(problem, x, rows)


def shortened(problem: Question, copies: int) -> Place:
    """The place at which the score of ``copies`` points for each sample is cheapest.

    Returns:
        The problem's place, or its tail. That is tried once: the tail must give what the whole model gives, for all
        samples. A neuron is run no further than to its layer.
    """
    place, most = halting(problem.place), problem.budget.max_rows
    if problem.create_graph or not is_replaced(place) or (most is not None and most < PROBED):
        return place
    if place not in problem.tails:
        if not _pays(problem, place, copies):
            return place
        problem.tails[place] = _cheapest(problem, place)
    return problem.tails[place]


def _pays(problem: Question, place: Replaced, copies: int) -> bool:
    # Whether as much is saved, in rows of the whole model, as is spent on the trial.
    before = min(relative_depth(problem, layer) for layer in place.layers)
    return copies * problem.samples * before > TRIAL + problem.samples * (1 - before)


def _cheapest(problem: Question, place: Replaced) -> Place:
    problem.outputs  # noqa: B018  (their pass gives the variable too, if it is not known)
    # From the end, so that these are not the samples that the layers before the place see.
    count = PROBED_OF_FIVE if problem.samples == PROBED else PROBED
    rows = problem.samples - 1 - torch.arange(count, device=leaves(problem.inputs)[0].device) % problem.samples
    with torch.no_grad():
        try:
            z = _points(problem, place, rows)
            whole = place.outputs_beside(problem, z, rows)
            for tail in _tails(problem, place):
                if _fits(problem, tail, z, rows, whole) and _same_everywhere(problem, tail):
                    return tail
        except FAILURES:  # of samples that are not all there is, or of a module that gives what cannot be given again
            return place
    return place


def _points(problem: Question, place: Replaced, rows: Tensor) -> Point:
    # The first two from the baseline: what crosses the place may count for nothing at the samples, where the greatest
    # of several branches goes on, or a probability is one.
    z0 = _at_baseline(problem, place, rows)
    return tuple(torch.cat([a[:FEWEST], b[FEWEST:]]) for a, b in zip(z0, pick(problem.z, rows), strict=True))


def _at_baseline(problem: Question, place: Replaced, rows: Tensor) -> Point:
    return place.variable(problem, take(problem.baseline, rows))


def _tails(problem: Question, place: Replaced) -> Iterator[Tail]:
    # Where nothing but the variable crosses it, not even the size of the batch; where only what no module gives crosses
    # it (a mask, a size); where a skip connection does.
    whole = any(layer.whole for layer in place.layers)
    bare = None if whole else Prefix.of(problem, place.layers, FEWEST, each=False)
    if bare is not None:
        yield Tail(place, bare)
    yield Tail(place)
    if bare is not None:
        yield Tail(place, bare, beside=False)
        if _may_be_kept(problem, bare) and (full := Prefix.of(problem, place.layers, problem.samples, each=True)):
            yield Tail(place, full, beside=False)


def _may_be_kept(problem: Question, bare: Prefix) -> bool:
    most, n = problem.budget.max_rows, problem.samples
    memory = available(leaves(problem.inputs)[0].device)
    fits = memory is None or bare.bytes / bare.samples * n <= KEPT * memory
    return fits and n <= MOST_KEPT and (most is None or n <= most)


def _fits(problem: Question, tail: Tail, z: Point, rows: Tensor, whole: Tensor) -> bool:
    try:
        if tail.prefix is not None:
            # What modules leave in an attribute, say, for those behind the place is then not that of the samples: who
            # looks at it needs these modules in each pass.
            _at_baseline(problem, tail.place, rows)
        given = tail.outputs(problem, z, rows)
    except FAILURES:
        return False
    return _equal(given, whole, _largest(whole) * 16 * torch.finfo(accumulator(whole)).eps)  # the same kernels


def _same_everywhere(problem: Question, tail: Tail) -> bool:
    # A model that looks at its inputs (is anything padded? how long is the longest?) may do so for some samples alone.
    known, equal = problem.outputs, list[bool]()
    epsilon = torch.finfo(known.dtype).eps if known.is_floating_point() else 0.0
    tolerance = _largest(known) * min(ROUNDING * epsilon, COARSEST)

    def body(chunk: slice) -> None:
        rows = torch.arange(chunk.start, chunk.stop, device=known.device)
        given = tail.outputs(problem, tuple(leaf[chunk] for leaf in problem.z), rows)
        equal.append(_equal(given, known[chunk], tolerance))

    try:
        problem.run(problem.samples, f"forward{tail.place}", body)
    except FAILURES:
        return False
    return all(equal)


def _equal(tail: Tensor, whole: Tensor, tolerance: float) -> bool:
    return tail.shape == whole.shape and bool((tail.double() - whole.double()).abs().max() <= tolerance)


def _largest(outputs: Tensor) -> float:
    return float(outputs.double().abs().max())
