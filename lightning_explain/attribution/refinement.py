"""The mean gradient on the line, with as many points for each sample as that sample asks for."""

from math import sqrt

import torch
from torch import Tensor

from lightning_explain.attribution.convergence import convergence_delta, total
from lightning_explain.attribution.derivative import accumulator
from lightning_explain.attribution.line import on_the_line
from lightning_explain.attribution.problem import Problem
from lightning_explain.inputs import Point, column

ERROR_OF_THE_FINER = 1 / sqrt(3)
"""The finer rule's error as a part of its distance from the coarser one, where gradients jump all along the line.

Errors fall as 1 / n there, so that the coarser rule's is twice as large, and what the added points correct has nothing
to do with what is left: 4 = 3 + 1. Where gradients are smooth, errors fall faster, and less is left.
"""


def mean_gradient_within(problem: Problem, tolerance: float, most: int) -> Point:
    """The mean gradient on the line, with as many steps for each sample as its errors ask for.

    Points at even distances that are doubled again and again: :func:`added_nodes`. A sample is done when its
    attributions add up, and when they no longer change: the first alone is often luck, and says nothing of single
    elements.

    Gauss's points would be better for smooth models, but none of them can be used again, and on kinks they are a fifth
    worse, as they crowd at the ends; so are rules with the ends themselves, for one end is the baseline, where often
    many kinks meet.

    Args:
        problem: The problem.
        tolerance: How large the convergence delta may be, as a share of the span; and the norm of the error of the
            attributions, as it is estimated, as a share of theirs.
        most: The number of steps at most; those taken are a power of two.

    Returns:
        Tensors like ``z``.
    """
    coarse = problem.gradient_mean(1, on_the_line(problem, added_nodes(1)))
    result = tuple(leaf.clone() for leaf in coarse)
    open_rows = torch.arange(problem.samples, device=coarse[0].device)
    left, mean, steps = problem, coarse, 2
    near, far = coarse, coarse  # the gradients that are a third of a distance from one end, two thirds from the other
    while len(open_rows) and steps <= most:
        added, nearest, next_to_far = _mean_first_last(left, added_nodes(steps))
        mean = tuple((a + b) / 2 for a, b in zip(mean, added, strict=True))
        fine = _to_the_ends(mean, ((nearest, far), (near, next_to_far)), steps)
        for held, leaf in zip(result, fine, strict=True):
            held.index_copy_(0, open_rows, leaf)
        again = ((_gap(left, fine) > tolerance) | (_error(left, coarse, fine) > tolerance)).nonzero().flatten()
        left, open_rows, steps = left.select(again), open_rows[again], 2 * steps
        mean, coarse, near, far = (tuple(leaf[again] for leaf in kept) for kept in (mean, fine, nearest, near))
    return result


def added_nodes(steps: int) -> Tensor:
    """What makes ``steps`` points at even distances of half as many.

    The outermost points are a third of a distance from one end of the line and two thirds from the other. Then the next
    ones, in the middle of those, are so as well, with the ends exchanged: all points stay points, none is at an end.

    Args:
        steps: A power of two.

    Returns:
        Nodes in [0, 1], (max(1, steps / 2),), in float64; the first is that next to an end.

    Example:
        >>> [[round(12 * node, 6) for node in added_nodes(steps).tolist()] for steps in (1, 2, 4)]
        [[4.0], [10.0], [1.0, 7.0]]
    """
    nodes = (2 * torch.arange(max(1, steps // 2), dtype=torch.float64) + 1 / 3) / steps
    return nodes if steps.bit_length() % 2 else 1 - nodes


def _mean_first_last(problem: Problem, nodes: Tensor) -> tuple[Point, Point, Point]:
    # The mean of the gradients at some points, and those at the first and at the last of them.
    means, firsts, lasts = (tuple(torch.zeros_like(z, dtype=accumulator(z)) for z in problem.z) for _ in range(3))
    weights = torch.stack([torch.full_like(nodes, 1 / len(nodes)), *torch.eye(len(nodes)).to(nodes)[[0, -1]]])

    def add(rows: Tensor, copies: Tensor, _: Point, gradients: Point) -> None:
        parts = [column(w.to(g)[copies], g) * g for w in weights for g in gradients]
        for held, part in zip((*means, *firsts, *lasts), parts, strict=True):  # nothing is added before all is there
            held.index_add_(0, rows, part)

    problem.gradients_at(len(nodes), on_the_line(problem, nodes), add)
    return means, firsts, lasts


def _to_the_ends(mean: Point, outermost: tuple[tuple[Point, Point], tuple[Point, Point]], steps: int) -> Point:
    # All points count alike, but for the two at either end. A cell reaches half a distance to both sides of its point,
    # the outermost to the end of the line: 5/6 and 7/6 of a distance, with points 1/12 off the middles. That, and what
    # middles leave in between, is (2 f'(near) + 10 f'(far)) / 72 n^2 with the slopes at the ends, and two points tell a
    # slope. So straight lines come out right, and smooth gradients have errors that fall as 1 / n^3.
    (near, next_to_near), (far, next_to_far) = outermost
    pairs = zip(mean, near, next_to_near, far, next_to_far, strict=True)
    return tuple(m + (-7 * a + b + 11 * c - 5 * d) / (36 * steps) for m, a, b, c, d in pairs)


def _gap(problem: Problem, mean: Point) -> Tensor:
    # The convergence delta's size as a share of the span, (n,).
    delta = convergence_delta(_attributions(problem, mean), problem.value, problem.baseline_value)
    return delta.abs() / (problem.value.double() - problem.baseline_value.double()).detach().abs()


def _error(problem: Problem, coarse: Point, fine: Point) -> Tensor:
    # The norm of the error of the finer rule's attributions, as a share of theirs, (n,).
    change = tuple(map(torch.sub, fine, coarse))
    return ERROR_OF_THE_FINER * _norm(problem, change) / _norm(problem, fine)


def _norm(problem: Problem, mean: Point) -> Tensor:
    return total(tuple(leaf.double().square() for leaf in _attributions(problem, mean))).sqrt()


def _attributions(problem: Problem, mean: Point) -> Point:
    return tuple(map(torch.mul, problem.difference, mean))
