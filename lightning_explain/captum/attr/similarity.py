"""How much a perturbed sample counts in LIME."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from lightning_explain.attribution.features import Features
from lightning_explain.attribution.methods.lime import DISTANCES, distances
from lightning_explain.captum.arguments import Tensors, as_inputs
from lightning_explain.captum.errors import ArgumentError
from lightning_explain.precision import accurate
from lightning_explain.registry import unknown


@dataclass(frozen=True)
class ExponentialKernel:
    r"""The weight :math:`\exp(-D^2 / 2 \sigma^2)` of a sample at the distance D.

    Args:
        distance_mode: ``"cosine"``, 1 - the cosine of the angle between all inputs in a row, or ``"euclidean"``.
        kernel_width: :math:`\sigma`. Above 0.

    Raises:
        ArgumentError: If one of these is out of range.
    """

    distance_mode: str = "cosine"
    kernel_width: float = 1.0

    def __post_init__(self) -> None:
        if self.distance_mode not in DISTANCES:
            raise ArgumentError(unknown("distance_mode", self.distance_mode, DISTANCES))
        if self.kernel_width <= 0:
            raise ArgumentError(f"kernel_width must be above 0, got {self.kernel_width}.")

    def __call__(self, original: Tensors, perturbed: Tensors, interpretable: object = None, **kwargs: object) -> float:
        """The weight of one perturbed sample.

        Returns:
            A number in (0, 1].
        """
        ends = [
            torch.cat([accurate(leaf).flatten() for leaf in as_inputs(given)])[None] for given in (original, perturbed)
        ]
        features = Features.of((ends[0],), channel_dim=None)
        nothing = torch.zeros(1, features.count, dtype=ends[0].dtype, device=ends[0].device)
        (distance,) = distances(features, (ends[0],), (ends[1],), nothing, self.distance_mode)
        return math.exp(-(float(distance) ** 2) / (2 * self.kernel_width**2))

    def of(self, distance: Tensor) -> Tensor:
        """The weights of many samples.

        Returns:
            Weights of the shape of ``distance``.
        """
        return (-(distance**2) / (2 * self.kernel_width**2)).exp()


def get_exp_kernel_similarity_function(distance_mode: str = "cosine", kernel_width: float = 1.0) -> ExponentialKernel:
    """The weights that LIME gives to perturbed samples.

    Args:
        distance_mode: ``"cosine"`` or ``"euclidean"``.
        kernel_width: How far samples count, in units of the distance.

    Returns:
        ``(inputs, perturbed inputs, interpretable inputs, **kwargs) -> weight``.
    """
    return ExponentialKernel(distance_mode, kernel_width)
