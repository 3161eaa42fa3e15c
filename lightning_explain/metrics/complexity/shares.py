"""Magnitudes of attributions as shares, which the scores of complexity look at."""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_explain.precision import accurate


def magnitude_shares(scores: Tensor) -> Tensor:
    r"""What each feature has of a map's total magnitude, :math:`|\phi_i| / \sum_j |\phi_j|`.

    Args:
        scores: Attributions of features (n, D).

    Returns:
        Shares (n, D) that add up to 1, float64; NaN in maps that are all zero or not finite.

    Example:
        >>> magnitude_shares(torch.tensor([[1.0, -3.0], [0.0, 0.0]]))
        tensor([[0.2500, 0.7500],
                [   nan,    nan]], dtype=torch.float64)
    """
    magnitudes = accurate(scores).abs()
    total = magnitudes.sum(dim=1, keepdim=True)
    return torch.where((total > 0) & total.isfinite(), magnitudes / total, torch.nan)
