"""Norms: how far a perturbation goes, in which direction a step climbs fastest, and which points are near."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from lightning_explain.inputs import column


class Norm(Protocol):
    """A norm of the perturbation of each sample, in one input tensor."""

    def ascent(self, gradient: Tensor) -> Tensor:
        """The direction of length 1 in which the loss grows fastest, (n, ...); 0 where nothing makes it grow."""

    def project(self, change: Tensor, radius: float | Tensor) -> Tensor:
        """The change no longer than ``radius`` that is nearest to ``change``, (n, ...)."""

    def draw(self, free: Tensor, radius: float | Tensor, generator: torch.Generator) -> Tensor:
        """Changes drawn uniformly from those no longer than ``radius``, (n, ...); 0 where ``free`` is."""


@dataclass(frozen=True)
class LInf:
    """The largest change of any element.

    Args:
        threshold: Elements whose gradient is not larger than that are left where they are.

    Example:
        >>> LInf().ascent(torch.tensor([[3.0, -0.1, 0.0]]))
        tensor([[ 1., -1.,  0.]])
        >>> LInf().project(torch.tensor([[3.0, -0.1, 0.0]]), 0.5)
        tensor([[ 0.5000, -0.1000,  0.0000]])
    """

    threshold: float = 0.0

    def ascent(self, gradient: Tensor) -> Tensor:
        """The signs of the gradient.

        Returns:
            -1, 0 or 1 for each element; 0 where the gradient is NaN.
        """
        return torch.where(gradient.abs() > self.threshold, gradient.sign(), 0)

    def project(self, change: Tensor, radius: float | Tensor) -> Tensor:  # noqa: D102
        return change.clamp(min=-radius).clamp(max=radius)

    def draw(self, free: Tensor, radius: float | Tensor, generator: torch.Generator) -> Tensor:  # noqa: D102
        unit = 2 * torch.rand(free.shape, generator=generator, dtype=torch.float32) - 1
        return unit.to(free) * radius * free


@dataclass(frozen=True)
class L2:
    """The Euclidean length of the change of a sample.

    Example:
        >>> L2().ascent(torch.tensor([[3.0, 4.0], [0.0, 0.0]]))
        tensor([[0.6000, 0.8000],
                [0.0000, 0.0000]])
        >>> L2().project(torch.tensor([[3.0, 4.0], [0.3, 0.4]]), 1.0)
        tensor([[0.6000, 0.8000],
                [0.3000, 0.4000]])
    """

    def ascent(self, gradient: Tensor) -> Tensor:
        """The gradient, divided by its length.

        Returns:
            Directions like the gradient; 0 where it is all zero or NaN.
        """
        finite = gradient.nan_to_num(nan=0.0)
        largest = _over_rows(finite, torch.inf)  # else the squares of tiny gradients are 0
        scaled = torch.where(largest > 0, finite / largest, 0)
        return torch.where(largest > 0, scaled / _over_rows(scaled, 2), 0)

    def project(self, change: Tensor, radius: float | Tensor) -> Tensor:  # noqa: D102
        length = _over_rows(change, 2)
        return torch.where(length > radius, change * (radius / length), change)

    def draw(self, free: Tensor, radius: float | Tensor, generator: torch.Generator) -> Tensor:
        """Uniform in the ball: a normal vector's direction, and the d-th root of a uniform number as its length.

        Returns:
            Changes like ``free``, of as many dimensions d as a sample has free elements.
        """
        direction = torch.randn(free.shape, generator=generator, dtype=torch.float32).to(free)
        uniform = column(torch.rand(len(free), generator=generator, dtype=torch.float32).to(free), free)
        dimensions = column(_by_rows(free).sum(dim=1).clamp(min=1), free)
        return self.ascent(direction * free) * uniform.pow(1 / dimensions) * radius


NORMS: dict[str, type[LInf] | type[L2]] = {"Linf": LInf, "L2": L2}
"""What users call them."""


def _over_rows(tensor: Tensor, order: float) -> Tensor:
    # The norm of each row, (n, 1, ..., 1).
    return column(torch.linalg.vector_norm(_by_rows(tensor), order, dim=1), tensor)


def _by_rows(tensor: Tensor) -> Tensor:
    # (n, elements), also where n is 0.
    return tensor.reshape(len(tensor), tensor.shape[1:].numel())
