"""Shapley values by sampling permutations."""

from dataclasses import dataclass

import torch
from torch import Tensor

from lightning_explain.attribution.coalitions import blocks, per_feature, scores
from lightning_explain.attribution.methods.method import METHODS, Method
from lightning_explain.attribution.problem import Problem
from lightning_explain.inputs import Point
from lightning_explain.randomness import stream


@METHODS.register("shapley_sampling")
@dataclass(frozen=True)
class ShapleySampling(Method):
    r"""The mean rise of the score when a feature joins those before it, over random orders of the features.

    .. math:: \phi_f = \frac1m \sum_\pi S(z_{\mathrm{Pre}_\pi(f) \cup f}) - S(z_{\mathrm{Pre}_\pi(f)})

    where :math:`z_A` has the features in A, and the baseline's elsewhere. Complete, for every single order: the rises
    add up from the baseline to the input. An unbiased estimate of the Shapley values, whose error falls with
    :math:`1 / \sqrt m`. F - 1 rows for each order, and two; samples share the orders.

    J. Castro, D. Gómez, J. Tejada: Polynomial calculation of the Shapley value based on sampling. Computers &
    Operations Research 36, 2009. Antithetic orders: R. Mitchell et al.: Sampling Permutations for Shapley Value
    Estimation. arXiv:2104.12199, 2021.

    Args:
        n_samples: Orders m. At least 1.
        antithetic: Every second order is the one before it, backwards: exact in pairs for scores in which features
            act together two by two, and of smaller variance for most.
        seed: Where the random numbers begin.

    Raises:
        ValueError: If ``n_samples`` is less than 1, or odd and ``antithetic``.
    """

    complete = True
    per_feature = True
    shares_points = True

    n_samples: int = 25
    antithetic: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if self.n_samples < 1:
            raise ValueError(f"n_samples must be at least 1, got {self.n_samples}.")
        if self.antithetic and self.n_samples % 2:
            raise ValueError(f"n_samples must be even for antithetic pairs of orders, got {self.n_samples}.")

    def __call__(self, problem: Problem) -> Point:  # noqa: D102
        return per_feature(problem, self._attributions)

    def _attributions(self, problem: Problem, count: int) -> Tensor:
        generator = stream("orders of features", self.seed)
        total = problem.value.new_zeros(problem.samples, count)
        for block in blocks(self._draws, self.n_samples // self._draws * (count - 1) * problem.samples):
            position = self._positions(block.stop - block.start, count, generator).to(total.device)
            total += _rises(problem, position).sum(dim=1)
        return total / self.n_samples

    @property
    def _draws(self) -> int:
        return self.n_samples // 2 if self.antithetic else self.n_samples

    def _positions(self, draws: int, count: int, generator: torch.Generator) -> Tensor:
        # The positions of the features in each order, (orders, F).
        position = torch.rand(draws, count, generator=generator, dtype=torch.float32).argsort(dim=1)
        return torch.cat([position, count - 1 - position]) if self.antithetic else position


def _rises(problem: Problem, position: Tensor) -> Tensor:
    # (n, orders, F): feature by feature, whatever its position.
    orders, count = position.shape
    steps = count - 1

    def first(copy: Tensor) -> Tensor:
        return position[copy // steps] <= (copy % steps)[:, None]

    between = scores(problem, orders * steps, first) if steps else problem.value.new_zeros(problem.samples, 0)
    ends = (end[:, None, None].expand(-1, orders, 1) for end in (problem.baseline_value, problem.value))
    start, end = ends
    walk = torch.cat([start, between.reshape(problem.samples, orders, steps), end], dim=2)
    return walk.diff(dim=2).gather(2, position.expand(problem.samples, -1, -1))
