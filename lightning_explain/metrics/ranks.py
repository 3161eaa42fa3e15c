"""Ranks and rank correlation, batched, ties averaged, in float64.

torchmetrics' ``spearman_corrcoef`` adds ranks in 32-bit integers, which overflow on maps with some
65,000 tied elements; a map is full of ties.
"""

import torch
from torch import Tensor

from lightning_explain.metrics.correlation import pearson
from lightning_explain.metrics.shapes import require_alike
from lightning_explain.precision import accurate


def average_ranks(values: Tensor) -> Tensor:
    """Ranks from 1 up along the last dimension, equal values sharing the mean of their ranks.

    Returns:
        Ranks (n, D), float64.

    Example:
        >>> average_ranks(torch.tensor([[10.0, 30.0, 10.0, 20.0]]))
        tensor([[1.5000, 4.0000, 1.5000, 3.0000]], dtype=torch.float64)
    """
    values = values.contiguous()
    ordered = values.sort(dim=-1).values
    below = torch.searchsorted(ordered, values, right=False)
    up_to = torch.searchsorted(ordered, values, right=True)
    return (below + up_to + 1).double() / 2


def spearman(a: Tensor, b: Tensor, among: Tensor) -> Tensor:
    """Spearman's rank correlation of each row, over the features ``among``.

    Args:
        a: Numbers (n, D).
        b: Numbers (n, D).
        among: Which features take part, (n, D).

    Returns:
        Correlations (n,) in [-1, 1]; NaN where one row is constant or not finite.

    Raises:
        ValueError: If the shapes do not fit.
    """
    require_alike("(n, D)", a=a, b=b, among=among)
    a, b = accurate(a), accurate(b)
    among = among.to(a.device)
    # Those left out go above all others: the ranks of those that take part do not notice.
    of_a, of_b = (average_ranks(values.masked_fill(~among, torch.inf)) for values in (a, b))
    finite = torch.isfinite(a).all(dim=1) & torch.isfinite(b).all(dim=1)
    return pearson(of_a, of_b, among).where(finite, torch.nan)


def map_similarity(a: Tensor, b: Tensor) -> Tensor:
    """Spearman's correlation over the features where at least one of two maps is not zero.

    Zeros that both share (the black border of a digit, under any method that multiplies by the
    input) would make two unrelated maps look alike.

    Returns:
        Correlations (n,), NaN where undefined.

    Raises:
        ValueError: If the shapes do not fit.
    """
    require_alike("(n, D)", a=a, b=b)
    return spearman(a, b, (a != 0) | (b != 0))
