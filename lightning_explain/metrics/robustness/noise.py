"""Noisy copies of the samples, and how far they move the attributions: what the scores of robustness share."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lightning_explain.attribution.settings import require_integer, require_number
from lightning_explain.inputs import Inputs, Point, column, is_continuous, leaves, rebuild
from lightning_explain.metrics.robustness.changes import difference, elementwise_change, norm, relative_change
from lightning_explain.metrics.shapes import require_alike
from lightning_explain.precision import accurate
from lightning_explain.randomness import stream

if TYPE_CHECKING:
    from lightning_explain.metrics.evaluation import Evaluation
    from lightning_explain.probe import ProbeSet


EPS_MIN = 1e-2
"""The least size of an element that a change is measured against, a share of the largest of its tensor."""


@dataclass(frozen=True)
class Noise:
    """Uniform noise, the same at every validation and for every method.

    Args:
        copies: Noisy copies of each sample; each costs an explanation, which all metrics of the same noise share.
        radius: The noise's half width, in units of each sample's standard deviation in that input.
        seed: Where the noise begins.

    Raises:
        ValueError: If ``copies`` is less than 1 or ``radius`` is not positive.
    """

    copies: int = 3
    radius: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        require_integer("copies", self.copies)
        require_number("radius", self.radius)
        if self.copies < 1 or self.radius <= 0:
            raise ValueError(f"copies must be at least 1 and radius positive, got {self.copies} and {self.radius}.")


def noisy_copies(inputs: Inputs, noise: Noise) -> Iterator[Inputs]:
    """Add uniform noise in [-radius, radius], in units of each sample's standard deviation in that input.

    All samples get the same draw, so that a score does not depend on who else is in the probe set. An input that is
    constant in a sample (or has one number) stays there, as integers do. The noise is drawn on the CPU, so that it is
    the same on every device.

    Yields:
        Inputs of the same structure, ``copies`` times.
    """
    units = tuple(map(deviation, leaves(inputs)))
    for copy in range(noise.copies):
        generator = stream(f"noise {copy}", noise.seed)
        pairs = zip(leaves(inputs), units, strict=True)
        yield rebuild(inputs, tuple(_noisy(leaf, noise.radius * unit, generator) for leaf, unit in pairs))


def deviation(leaf: Tensor) -> Tensor:
    """The standard deviation of each sample over its elements.

    Args:
        leaf: An input (n, ...).

    Returns:
        Deviations (n, 1, ..., 1), float32 at least; 0 for integers.

    Example:
        >>> deviation(torch.tensor([[1.0, 3.0], [5.0, 5.0]]))
        tensor([[1.],
                [0.]])
    """
    if not is_continuous(leaf):
        return leaf.new_zeros(len(leaf), *[1] * (leaf.ndim - 1))
    exact = leaf if leaf.dtype == torch.float64 else leaf.float()
    return column(exact.reshape(len(leaf), -1).std(dim=1, correction=0), leaf)


@dataclass(frozen=True, eq=False)
class NoisyChanges:
    """How far noisy copies are from the samples, and their attributions from the samples'; (copies, n), float64.

    Args:
        distances: The Euclidean norm of the way that the input went.
        of_input: The norm of the relative change of every element of the input.
        absolute: The Euclidean norm of the change of the attributions.
        relative: The same in units of the norm of the attributions; NaN where they are all zero.
        elementwise: The norm of the relative change of every attribution; NaN where they are all zero.
    """

    distances: Tensor
    of_input: Tensor
    absolute: Tensor
    relative: Tensor
    elementwise: Tensor

    @property
    def moved(self) -> Tensor:
        """Whether a copy differs from its sample at all."""
        return self.distances > 0


def noisy_changes(evaluation: Evaluation, noise: Noise, eps_min: float = EPS_MIN) -> NoisyChanges:
    """Explain noisy copies of the samples; the target stays that of the sample without noise.

    A copy of all samples is explained at a time: noise of the method's own is then the same as in the original. Only
    numbers for each sample are kept of a copy, however many there are.

    Args:
        evaluation: The attributions.
        noise: The copies.
        eps_min: See :func:`~lightning_explain.metrics.robustness.changes.elementwise_change`.

    Returns:
        Numbers for each copy, computed once for each noise and ``eps_min``.
    """

    def compute() -> NoisyChanges:
        problem = evaluation.problem
        copies = (_changes(evaluation, noisy, eps_min) for noisy in noisy_copies(problem.inputs, noise))
        return NoisyChanges(*map(torch.stack, zip(*copies, strict=True)))

    return evaluation.remembered(("noisy changes", noise, eps_min), compute)


def _changes(evaluation: Evaluation, noisy: Inputs, eps_min: float) -> tuple[Tensor, ...]:
    # In the order of NoisyChanges.
    problem, before = evaluation.problem, evaluation.point
    after = evaluation.explain(problem.with_inputs(noisy))
    return (
        norm(displacement(noisy, problem.inputs)),
        elementwise_change(_floating(noisy), _floating(problem.inputs), eps_min),
        norm(difference(after, before)),
        relative_change(after, before),
        elementwise_change(after, before, eps_min),
    )


def _floating(inputs: Inputs) -> Point:
    return tuple(filter(is_continuous, leaves(inputs)))


def displacement(changed: Inputs, original: Inputs) -> Point:
    """How far the inputs moved, those that can: integers stay.

    Returns:
        Differences (n, ...) of the floating point inputs, float64.
    """
    pairs = zip(leaves(changed), leaves(original), strict=True)
    return tuple(accurate(a) - accurate(b) for a, b in pairs if is_continuous(b))


def worst(values: Tensor, counts: Tensor) -> Tensor:
    """The largest value over the copies that count.

    Args:
        values: A value for each copy, (copies, n).
        counts: Which of them count, (copies, n).

    Returns:
        Values (n,); NaN where no copy counts, or one that does is NaN.

    Raises:
        ValueError: If the shapes do not fit.

    Example:
        >>> worst(torch.tensor([[1.0, 2.0], [9.0, torch.nan]]), torch.tensor([[True, True], [False, False]]))
        tensor([1., 2.])
    """
    require_alike("(copies, n)", values=values, counts=counts)
    return values.masked_fill(~counts, -torch.inf).amax(dim=0).masked_fill(~counts.any(dim=0), torch.nan)


def nothing_to_move(probe: ProbeSet) -> str | None:
    """Why no noise can be added to a probe set.

    Returns:
        The reason, or None if it can.
    """
    continuous = [leaf for leaf in leaves(probe.inputs) if is_continuous(leaf)]
    if not continuous:
        return "the probe set has integer inputs alone, to which no noise can be added"
    if all(leaf[0].numel() < 2 for leaf in continuous):
        return "every input of the probe set is one number, which has no spread of its own to measure noise in"
    return None


def _noisy(leaf: Tensor, radius: Tensor, generator: torch.Generator) -> Tensor:
    if not is_continuous(leaf):
        return leaf
    noise = 2 * torch.rand(1, *leaf.shape[1:], generator=generator, dtype=torch.float32) - 1
    return leaf + (noise.to(radius) * radius).to(leaf)
