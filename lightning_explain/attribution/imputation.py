"""Imputation: what the neighbours of positions that are gone say about them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

TOLERANCE = 1e-6
"""How large the residual may be, relative to the right-hand side."""

CHECK_EVERY = 8
"""Steps of the solver between two looks at the residual, each of which waits for the device."""


def impute(values: Tensor, missing: Tensor) -> Tensor:
    r"""Make every missing position the weighted mean of its neighbours.

    .. math:: x_i \sum_{j \in N(i)} w_{ij} = \sum_{j \in N(i)} w_{ij} x_j \quad \text{for all missing } i

    Neighbours may be missing too, so that the values solve a sparse linear system. In a picture the direct neighbours
    have the weight 1/6 and the diagonal ones 1/12; in a series both neighbours count alike; in a volume a weight halves
    with every further dimension in which the neighbour lies off. Beyond the border there are no neighbours.

    The system is the Laplacian of the grid restricted to what is missing: symmetric, and positive definite as long as
    something is known. All systems are solved at once by conjugate gradients, without a matrix.

    Args:
        values: (m, channels, positions...), floating point; what stands in missing positions does not matter.
        missing: (m, 1, positions...), boolean.

    Returns:
        Values of the same shape, at least in float32, that solve the system to a relative residual of 1e-6; zero in
        samples where all is missing, for which there is no solution.

    Y. Rong et al.: A Consistent and Efficient Evaluation Strategy for Attribution Methods. arXiv:2202.00449, 2022.

    Example:
        >>> series = torch.tensor([[[1.0, 0.0, 0.0, 4.0]]], dtype=torch.float64)
        >>> impute(series, torch.tensor([[[False, True, True, False]]])).round(decimals=6).tolist()
        [[[1.0, 2.0, 3.0, 4.0]]]
    """
    values = (values if values.dtype == torch.float64 else values.float()).masked_fill(missing, 0)
    dims = tuple(range(2, values.ndim))
    gone = missing.to(values)
    there = 1 - gone
    # Around the mean of what is known the solution is small: a constant solves the system without any step.
    mean = values.sum(dim=dims, keepdim=True) / there.sum(dim=dims, keepdim=True).clamp(min=1)
    known = (values - mean) * there
    weights = _weighted_sum(torch.ones_like(gone[:1]))

    def laplacian(x: Tensor) -> Tensor:
        return _weighted_sum(x).neg_().addcmul_(weights, x).mul_(gone)

    solved = _conjugate_gradients(laplacian, _weighted_sum(known) * gone, dims)
    return known + solved + mean


def _weighted_sum(x: Tensor) -> Tensor:
    # Over each position and its neighbours: the kernel [1, 2, 1] in every direction, so that weights halve with every
    # direction. A position's own weight stands on both sides of its equation and does not matter. Sums of shifted
    # copies are several times as fast as a convolution, and exist for every type and number of dimensions.
    for dim in range(2, x.ndim):
        inner = x.shape[dim] - 1
        total = 2 * x
        total.narrow(dim, 1, inner).add_(x.narrow(dim, 0, inner))
        total.narrow(dim, 0, inner).add_(x.narrow(dim, 1, inner))
        x = total
    return x


def _conjugate_gradients(operator: Callable[[Tensor], Tensor], right: Tensor, dims: tuple[int, ...]) -> Tensor:
    """Solve many symmetric positive definite systems at once.

    M. Hestenes, E. Stiefel: Methods of Conjugate Gradients for Solving Linear Systems, 1952.

    Args:
        operator: Applies the matrices, (m, channels, positions...) to the same shape.
        right: The right-hand sides.
        dims: The dimensions that one system spans.

    Returns:
        The solutions.
    """
    solution, residual = torch.zeros_like(right), right
    direction, power = right.clone(), _power(right, dims)
    enough = TOLERANCE**2 * power
    for step in range(_unknowns(right)):
        # Not "all are small": what is not a number will never be, and nobody waits for it.
        if step % CHECK_EVERY == 0 and not bool((power > enough).any()):
            break
        image = operator(direction)
        # Systems that are solved exactly have no direction left, and stay as they are.
        length = _ratio(power, (direction * image).sum(dim=dims, keepdim=True))
        solution = solution.addcmul_(length, direction)
        residual = torch.addcmul(residual, -length, image)
        before, power = power, _power(residual, dims)
        direction = direction.mul_(_ratio(power, before)).add_(residual)
    return solution


def _power(x: Tensor, dims: tuple[int, ...]) -> Tensor:
    return x.square().sum(dim=dims, keepdim=True)


def _ratio(above: Tensor, below: Tensor) -> Tensor:
    return torch.where(below > 0, above / below, 0)


def _unknowns(x: Tensor) -> int:
    # In exact arithmetic as many steps are enough; twice as many in that of a machine.
    return 2 * x[0, 0].numel() + CHECK_EVERY
