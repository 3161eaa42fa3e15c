"""LIME."""

from dataclasses import dataclass

import torch
from torch import Tensor

from lightning_explain.attribution.coalitions import bits, per_feature, scores
from lightning_explain.attribution.features import Features
from lightning_explain.attribution.linear import lasso, ridge
from lightning_explain.attribution.methods.method import METHODS, Method
from lightning_explain.attribution.problem import Problem
from lightning_explain.inputs import Point, is_continuous
from lightning_explain.precision import accurate
from lightning_explain.randomness import stream
from lightning_explain.registry import unknown

REGULARIZATIONS = ("lasso", "ridge")
DISTANCES = ("cosine", "euclidean")


@METHODS.register("lime")
@dataclass(frozen=True)
class Lime(Method):
    r"""Coefficients of a linear model of the score in the presence of features, fitted near the sample.

    .. math:: \min_{\beta, b} \tfrac12 \sum_k w_k \big(S(z_{A_k}) - b - \sum_{f \in A_k} \beta_f\big)^2
              + \alpha \, \Omega(\beta), \qquad w_k \propto \exp(-D(z, z_{A_k})^2 / 2 \sigma^2)

    where :math:`z_A` has the features in A, and the baseline's elsewhere, and every feature is in :math:`A_k` with
    probability 1/2. Where there are no more than ``n_samples`` coalitions each is taken once. ``n_samples`` rows;
    samples share the coalitions, not the weights. All are fitted at once, in float64.

    M. T. Ribeiro, S. Singh, C. Guestrin: "Why Should I Trust You?". arXiv:1602.04938, 2016.

    Args:
        n_samples: Coalitions K. At least 2.
        regularization: ``"lasso"``, :math:`\Omega = \|\beta\|_1`, or ``"ridge"``, :math:`\|\beta\|_2^2 / 2`.
        alpha: Its strength, the weights summing to 1. 0: least squares.
        relative: Whether the lasso's ``alpha`` is in units of the scores' weighted standard deviation, so that
            multiplying the score multiplies the attributions; otherwise in those of the score.
        distance: ``"cosine"``, 1 - cosine of the angle, or ``"euclidean"``: D, in the place's variable; where it is
            no numbers (ids), between coalitions, as 0 and 1 for each feature.
        kernel_width: :math:`\sigma`, in units of the distance. Above 0.
        seed: Where the random numbers begin.

    Raises:
        ValueError: If one of these is out of range.
    """

    per_feature = True
    shares_points = True

    n_samples: int = 256
    regularization: str = "lasso"
    alpha: float = 0.01
    distance: str = "cosine"
    kernel_width: float = 1.0
    seed: int = 0
    relative: bool = True

    def __post_init__(self) -> None:
        if self.n_samples < 2:
            raise ValueError(f"n_samples must be at least 2, got {self.n_samples}.")
        if self.regularization not in REGULARIZATIONS:
            raise ValueError(unknown("regularization", self.regularization, REGULARIZATIONS))
        if self.distance not in DISTANCES:
            raise ValueError(unknown("distance", self.distance, DISTANCES))
        if self.alpha < 0 or self.kernel_width <= 0:
            raise ValueError(
                f"alpha must not be negative and kernel_width above 0, got {self.alpha} and {self.kernel_width}."
            )

    def __call__(self, problem: Problem) -> Point:  # noqa: D102
        return per_feature(problem, self._coefficients)

    def _coefficients(self, problem: Problem, count: int) -> Tensor:
        coalitions = coalitions_of(count, self.n_samples, self.seed).to(problem.z[0].device)
        found = scores(problem, len(coalitions), lambda copy: coalitions[copy])
        design, y = accurate(coalitions), accurate(found)
        distance = distances(problem.features, problem.z, problem.z0, design, self.distance)
        # A softmax: far samples do not make all weights underflow.
        weights = (-(distance**2) / (2 * self.kernel_width**2)).softmax(dim=1)
        return self._fit(design, y, weights).to(found)

    def _fit(self, design: Tensor, y: Tensor, weights: Tensor) -> Tensor:
        if self.regularization == "ridge" or self.alpha == 0:
            return ridge(design, y, weights, self.alpha)
        if not self.relative:
            return lasso(design, y, weights, torch.full_like(y[:, 0], self.alpha))
        mean = (weights * y).sum(dim=1, keepdim=True)
        deviation = (weights * (y - mean) ** 2).sum(dim=1).sqrt()
        return lasso(design, y, weights, self.alpha * deviation)


def coalitions_of(count: int, n_samples: int, seed: int) -> Tensor:
    """Coalitions in which every feature is with probability 1/2: all there are, or ``n_samples`` if these are fewer.

    Args:
        count: The number of features F.
        n_samples: The most coalitions.
        seed: Where the random numbers begin.

    Returns:
        Coalitions (K, F), on the CPU.
    """
    if 2**count <= n_samples:
        return bits(torch.arange(2**count), count)
    return torch.rand(n_samples, count, generator=stream("lime", seed), dtype=torch.float32) < 0.5


def distances(features: Features, z: Point, z0: Point, coalitions: Tensor, kind: str = "cosine") -> Tensor:
    """How far samples are from what is left of them; see :class:`Lime`.

    Args:
        features: What coalitions are made of.
        z: The variable (n, ...) each.
        z0: Its baseline.
        coalitions: Coalitions (K, F), float64, that all samples share.
        kind: ``"cosine"`` or ``"euclidean"``.

    Returns:
        Distances (n, K), float64.
    """
    # From sums over features: no perturbed point is made once more.
    z, z0 = _numbers(features, z, z0)
    kept, gone = coalitions.T, 1 - coalitions.T
    if kind == "euclidean":
        return (features.sum(tuple((a - b) ** 2 for a, b in zip(z, z0, strict=True))) @ gone).clamp(min=0).sqrt()
    squares = features.sum(tuple(a**2 for a in z))
    inner = squares @ kept + features.sum(tuple(a * b for a, b in zip(z, z0, strict=True))) @ gone
    norm = squares @ kept + features.sum(tuple(b**2 for b in z0)) @ gone
    norms = (squares.sum(dim=1, keepdim=True) * norm).sqrt()
    return 1 - inner / norms.clamp(min=torch.finfo(norms.dtype).tiny)


def _numbers(features: Features, z: Point, z0: Point) -> tuple[Point, Point]:
    if all(map(is_continuous, z)):
        return tuple(map(accurate, z)), tuple(map(accurate, z0))
    # One for each feature that is present.
    shared = features.shared_out(tuple(torch.ones_like(leaf, dtype=torch.float32) for leaf in z))
    return tuple(accurate(leaf).sqrt() for leaf in shared), tuple(accurate(torch.zeros_like(leaf)) for leaf in shared)
