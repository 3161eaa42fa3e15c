"""Sums with products, written out: what is added is no factor, and keeps its own relevance."""

from __future__ import annotations

from torch import Tensor


def lerp(input: Tensor, end: Tensor, weight: Tensor | float) -> Tensor:  # noqa: A002
    """A step from one tensor towards another; linear only where the weight is constant.

    Returns:
        The mixture.
    """
    return input + weight * (end - input)


def addcmul(input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: float = 1) -> Tensor:  # noqa: A002
    """A sum with an elementwise product.

    Returns:
        The sum.
    """
    return _weighted(input, 1, tensor1 * tensor2, value)


def addmm(input: Tensor, mat1: Tensor, mat2: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:  # noqa: A002
    """A sum with a product of matrices.

    Returns:
        The sum.
    """
    return _weighted(input, beta, mat1 @ mat2, alpha)


def addmv(input: Tensor, mat: Tensor, vec: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:  # noqa: A002
    """A sum with the product of a matrix and a vector.

    Returns:
        The sum.
    """
    return _weighted(input, beta, mat @ vec, alpha)


def baddbmm(
    input: Tensor,  # noqa: A002
    batch1: Tensor,
    batch2: Tensor,
    *,
    beta: float = 1,
    alpha: float = 1,
) -> Tensor:
    """A sum with products of matrices.

    Returns:
        The sum.
    """
    return _weighted(input, beta, batch1 @ batch2, alpha)


def addbmm(
    input: Tensor,  # noqa: A002
    batch1: Tensor,
    batch2: Tensor,
    *,
    beta: float = 1,
    alpha: float = 1,
) -> Tensor:
    """A sum with the sum of products of matrices.

    Returns:
        The sum.
    """
    return _weighted(input, beta, (batch1 @ batch2).sum(dim=0), alpha)


def _weighted(tensor: Tensor, beta: float, product: Tensor, alpha: float) -> Tensor:
    product = product if alpha == 1 else product * alpha
    if beta == 0:  # then what is added plays no part, not even if it is NaN
        return product
    return (tensor if beta == 1 else tensor * beta) + product
