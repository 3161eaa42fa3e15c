"""The straight line from the baseline to the variable: points on it, and rules for integrals along it."""

import numpy as np
from torch import Tensor

from lightning_explain.attribution.problem import Points, Problem
from lightning_explain.inputs import Point, column
from lightning_explain.registry import unknown


def on_the_line(problem: Problem, nodes: Tensor) -> Points:
    """Points on the straight line from the baseline to the variable.

    Args:
        problem: The problem.
        nodes: Where on the line, from 0 to 1; copy ``k`` is at ``nodes[k]``.

    Returns:
        What makes the points.
    """

    def points(rows: Tensor, steps: Tensor) -> Point:
        return tuple(
            z0[rows] + column(nodes.to(z0)[steps], z0) * difference[rows]
            for z0, difference in zip(problem.z0, problem.difference, strict=True)
        )

    return points


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


def require_quadrature(kind: str, n: int) -> None:
    """Check that there is a rule of that name, with so many points.

    Raises:
        ValueError: If there is none.
    """
    if kind not in QUADRATURES:
        raise ValueError(unknown("quadrature", kind, QUADRATURES))
    least = 2 if kind == "riemann_trapezoid" else 1
    if n < least:
        raise ValueError(f"n_steps must be at least {least} for {kind}, got {n}.")


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
