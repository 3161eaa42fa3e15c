"""Integrated gradients."""

from dataclasses import dataclass

import torch

from lightning_explain.attribution.line import on_the_line, quadrature, require_quadrature
from lightning_explain.attribution.methods.method import METHODS, Method
from lightning_explain.attribution.problem import Problem
from lightning_explain.attribution.refinement import mean_gradient_within
from lightning_explain.inputs import Point


@METHODS.register("integrated_gradients")
@dataclass(frozen=True)
class IntegratedGradients(Method):
    r"""The gradient integrated along the straight line from the baseline, times the difference.

    .. math:: \phi_i = (z_i - z^0_i) \int_0^1 \frac{\partial S}{\partial z_i}(z^0 + \alpha (z - z^0)) \, d\alpha

    Complete: the attributions sum to :math:`S(z) - S(z^0)`; the difference is the convergence delta,
    and falls with the number of steps.

    M. Sundararajan, A. Taly, Q. Yan: Axiomatic Attribution for Deep Networks. arXiv:1703.01365, 2017.

    Args:
        n_steps: Points on the line; each costs a row, forward and backward. At least 1.
        quadrature: ``"gauss_legendre"``, or ``"riemann_left"``, ``"riemann_right"``,
            ``"riemann_middle"``, ``"riemann_trapezoid"``.
        multiply_by_inputs: False leaves the factor :math:`z - z^0` out: the mean gradient.
        tolerance: How large a sample's convergence delta may be, as a share of its :math:`S(z) - S(z^0)`; and the error
            of its attributions by norm, estimated from what the last doubling changed, as a share of theirs. The steps
            are then chosen for each sample by itself: 2, 4, 8 and so on, the points before used again; ``n_steps`` at
            most. ``quadrature`` plays no part.

    Raises:
        ValueError: If ``n_steps``, ``quadrature`` or ``tolerance`` is not one of these.
    """

    complete = True

    n_steps: int = 32
    quadrature: str = "gauss_legendre"
    multiply_by_inputs: bool = True
    tolerance: float | None = None

    def __post_init__(self) -> None:
        require_quadrature(self.quadrature, self.n_steps)
        if self.tolerance is not None and (self.tolerance <= 0 or self.n_steps < 2):
            raise ValueError(
                f"tolerance must be more than 0, and n_steps at least 2 with it; got {self.tolerance}, {self.n_steps}."
            )

    @property
    def contributes(self) -> bool:  # noqa: D102
        return self.multiply_by_inputs

    def __call__(self, problem: Problem) -> Point:  # noqa: D102
        mean = self._mean(problem)
        if not self.multiply_by_inputs:
            return mean
        return tuple(map(torch.mul, problem.difference, mean))

    def _mean(self, problem: Problem) -> Point:
        if self.tolerance is not None:
            return mean_gradient_within(problem, self.tolerance, self.n_steps)
        nodes, weights = (torch.from_numpy(values) for values in quadrature(self.quadrature, self.n_steps))
        return problem.gradient_mean(self.n_steps, on_the_line(problem, nodes), weights)
