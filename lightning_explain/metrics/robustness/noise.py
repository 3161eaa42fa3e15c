"""Explanations of slightly different inputs, which the scores of robustness share."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lightning_explain.inputs import Inputs, Point, is_continuous, leaves, rebuild
from lightning_explain.precision import accurate
from lightning_explain.randomness import stream

if TYPE_CHECKING:
    from lightning_explain.metrics.evaluation import Evaluation
    from lightning_explain.probe import ProbeSet


@dataclass(frozen=True)
class Noise:
    """Uniform noise, the same at every validation and for every method.

    Args:
        copies: Noisy copies of each sample; each costs an explanation, which all metrics of the same noise share.
        radius: The noise's half width, in units of the standard deviation of the probe set's inputs.
        seed: Where the noise begins.

    Raises:
        ValueError: If ``copies`` is less than 1 or ``radius`` is not positive.
    """

    copies: int = 3
    radius: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        if self.copies < 1 or self.radius <= 0:
            raise ValueError(f"copies must be at least 1 and radius positive, got {self.copies} and {self.radius}.")


def noisy_copies(inputs: Inputs, noise: Noise) -> Iterator[Inputs]:
    """Add uniform noise in [-radius, radius], in units of each input's standard deviation over all samples.

    Integer inputs stay as they are. The noise is drawn on the CPU, so that it is the same on every device.

    Yields:
        Inputs of the same structure, ``copies`` times.
    """
    generator = stream("noise", noise.seed)
    for _ in range(noise.copies):
        yield rebuild(inputs, tuple(_noisy(leaf, noise.radius, generator) for leaf in leaves(inputs)))


def noisy_explanations(evaluation: Evaluation, noise: Noise) -> list[tuple[Inputs, Point]]:
    """Explain noisy copies of the samples; the target stays that of the sample without noise.

    A copy of all samples is explained at a time: noise of the method's own is then the same as in the original.

    Returns:
        Noisy inputs and their attributions, computed once for each noise.
    """

    def explain() -> list[tuple[Inputs, Point]]:
        problem = evaluation.problem
        copies = noisy_copies(problem.inputs, noise)
        return [(noisy, evaluation.explain(problem.with_inputs(noisy))) for noisy in copies]

    return evaluation.remembered(noise, explain)  # type: ignore[no-any-return]


def noisy_outputs(evaluation: Evaluation, noise: Noise) -> list[Tensor]:
    """What the model gives for the noisy copies that :func:`noisy_explanations` explains.

    Returns:
        Outputs (n, ...), for each copy; computed once for all methods at a place.
    """
    problem = evaluation.problem
    return problem.remembered(
        ("noisy outputs", noise),
        lambda: [problem.with_inputs(noisy).outputs for noisy in noisy_copies(problem.inputs, noise)],
    )


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

    Example:
        >>> worst(torch.tensor([[1.0, 2.0], [9.0, torch.nan]]), torch.tensor([[True, True], [False, False]]))
        tensor([1., 2.])
    """
    return values.masked_fill(~counts, -torch.inf).amax(dim=0).masked_fill(~counts.any(dim=0), torch.nan)


def nothing_to_move(probe: ProbeSet) -> str | None:
    """Why no noise can be added to a probe set.

    Returns:
        The reason, or None if it can.
    """
    noisy = any(is_continuous(leaf) for leaf in leaves(probe.inputs))
    return None if noisy else "the probe set has integer inputs alone, to which no noise can be added"


def _noisy(leaf: Tensor, radius: float, generator: torch.Generator) -> Tensor:
    if not is_continuous(leaf):
        return leaf
    noise = 2 * torch.rand(leaf.shape, generator=generator, dtype=torch.float32) - 1
    return leaf + noise.to(leaf) * (radius * leaf.std(correction=0))
