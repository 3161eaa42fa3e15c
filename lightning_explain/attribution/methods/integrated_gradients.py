"""Integrated gradients."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lightning_explain.attribution.methods.method import METHODS, Method
from lightning_explain.attribution.problem import Problem
from lightning_explain.inputs import Point, column
from lightning_explain.registry import unknown


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

    Raises:
        ValueError: If ``n_steps`` or ``quadrature`` is not one of these.
    """

    complete = True

    n_steps: int = 32
    quadrature: str = "gauss_legendre"
    multiply_by_inputs: bool = True

    def __post_init__(self) -> None:
        if self.quadrature not in QUADRATURES:
            raise ValueError(unknown("quadrature", self.quadrature, QUADRATURES))
        least = 2 if self.quadrature == "riemann_trapezoid" else 1
        if self.n_steps < least:
            raise ValueError(f"n_steps must be at least {least} for {self.quadrature}, got {self.n_steps}.")

    @property
    def contributes(self) -> bool:  # noqa: D102
        return self.multiply_by_inputs

    def __call__(self, problem: Problem) -> Point:  # noqa: D102
        nodes, weights = (torch.from_numpy(values) for values in quadrature(self.quadrature, self.n_steps))

        def on_the_line(rows: Tensor, steps: Tensor) -> Point:
            return tuple(
                z0[rows] + column(nodes.to(z0)[steps], z0) * difference[rows]
                for z0, difference in zip(problem.z0, problem.difference, strict=True)
            )

        mean = problem.gradient_mean(self.n_steps, on_the_line, weights)
        if not self.multiply_by_inputs:
            return mean
        return tuple(difference * gradient for difference, gradient in zip(problem.difference, mean, strict=True))


def quadrature(kind: str, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights of a quadrature rule on [0, 1], in float64; the weights sum to one.

    Returns:
        Nodes (n,) and weights (n,).

    Example:
        >>> nodes, weights = quadrature("riemann_middle", 2)
        >>> nodes.tolist(), weights.tolist()
        ([0.25, 0.75], [0.5, 0.5])
    """
    return QUADRATURES[kind](n)


def _gauss_legendre(n: int) -> tuple[np.ndarray, np.ndarray]:
    nodes, weights = np.polynomial.legendre.leggauss(n)
    return (nodes + 1) / 2, weights / 2


def _trapezoid(n: int) -> tuple[np.ndarray, np.ndarray]:
    weights = np.full(n, 1 / (n - 1))
    weights[[0, -1]] /= 2
    return np.linspace(0, 1, n), weights


QUADRATURES = {
    "gauss_legendre": _gauss_legendre,
    "riemann_left": lambda n: (np.arange(n) / n, np.full(n, 1 / n)),
    "riemann_right": lambda n: (np.arange(1, n + 1) / n, np.full(n, 1 / n)),
    "riemann_middle": lambda n: ((np.arange(n) + 0.5) / n, np.full(n, 1 / n)),
    "riemann_trapezoid": _trapezoid,
}
