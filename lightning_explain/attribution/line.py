"""The straight line from the baseline to the variable: points on it, and integrals along it."""

import numpy as np
import torch
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


def mean_gradient_within(problem: Problem, tolerance: float, most: int) -> Point:
    """The mean gradient on the line, with as many steps for each sample as its completeness asks for.

    The trapezoidal rule, its steps halved again and again: the points before stay points. From two such rules Simpson's
    follows for nothing. A sample is done when both add up, for one alone often does by luck; the one that does so
    better is taken. Gauss's points would be better for smooth models, but none of them can be used again, and on kinks
    they are no better.

    Args:
        problem: The problem.
        tolerance: How large the convergence delta may be, as a share of the span.
        most: The number of steps at most.

    Returns:
        Tensors like ``z``.
    """
    ends = problem.gradient_mean(2, on_the_line(problem, torch.tensor([0.0, 1.0], dtype=torch.float64)))
    result = tuple(leaf.clone() for leaf in ends)
    open_rows = torch.arange(problem.samples, device=ends[0].device)
    left, coarse, steps = problem, ends, 1
    while len(open_rows) and 2 * steps <= most:
        between = (torch.arange(steps, dtype=torch.float64) + 0.5) / steps
        middle = left.gradient_mean(steps, on_the_line(left, between))
        fine = tuple((a + b) / 2 for a, b in zip(coarse, middle, strict=True))
        simpson = tuple((4 * b - a) / 3 for a, b in zip(coarse, fine, strict=True))
        gaps = torch.stack([_gap(left, fine), _gap(left, simpson)])
        nearer = gaps[1] < gaps[0]
        for total, a, b in zip(result, fine, simpson, strict=True):
            total.index_copy_(0, open_rows, torch.where(column(nearer, a), b, a))
        again = (gaps.amax(dim=0) > tolerance).nonzero().flatten()
        left, open_rows, steps = left.select(again), open_rows[again], 2 * steps
        coarse = tuple(leaf[again] for leaf in fine)
    return result


def _gap(problem: Problem, mean: Point) -> Tensor:
    # The convergence delta's size as a share of the span, (n,).
    products = map(torch.mul, problem.difference, mean)
    total = torch.stack([leaf.detach().double().reshape(len(leaf), -1).sum(dim=1) for leaf in products]).sum(dim=0)
    span = (problem.value.double() - problem.baseline_value.double()).detach()
    return (total - span).abs() / span.abs()


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
