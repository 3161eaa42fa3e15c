"""Exact Shapley values."""

from dataclasses import dataclass
from math import comb

import torch
from torch import Tensor

from lightning_explain.attribution.coalitions import bits, per_feature, scores
from lightning_explain.attribution.methods.method import METHODS, Method
from lightning_explain.attribution.problem import Problem
from lightning_explain.inputs import Point


@METHODS.register("shapley_values")
@dataclass(frozen=True)
class ShapleyValues(Method):
    r"""The mean rise of the score when a feature joins others, over all orders of the features, exactly.

    .. math:: \phi_f = \sum_{A \not\ni f} \frac{|A|! \, (F - |A| - 1)!}{F!} \big(S(z_{A \cup f}) - S(z_A)\big)

    where :math:`z_A` has the features in A, and the baseline's elsewhere. Complete; the one division that treats
    features alike, gives nothing to those that change nothing, and is linear in the score. A row for each of the
    :math:`2^F` coalitions, not for each of the :math:`F!` orders.

    M. Sundararajan, A. Najmi: The many Shapley values for model explanation. arXiv:1908.08474, 2019 (Baseline
    Shapley), after L. S. Shapley: A value for n-person games, 1953.

    Args:
        max_features: The most features; more are refused.

    Raises:
        ValueError: If there are more features; the message says what would work.
    """

    complete = True
    per_feature = True
    shares_points = True

    max_features: int = 16

    def __post_init__(self) -> None:
        if self.max_features < 1:
            raise ValueError(f"max_features must be at least 1, got {self.max_features}.")

    def __call__(self, problem: Problem) -> Point:  # noqa: D102
        count = problem.features.count
        if count > self.max_features:
            raise ValueError(
                f"Exact Shapley values of {count} features take 2**{count} rows a sample; at most max_features="
                f"{self.max_features} are allowed. Join elements to fewer features with feature_mask=, or estimate with"
                " 'shapley_sampling' or 'kernel_shap'."
            )
        return per_feature(problem, _attributions)


def _attributions(problem: Problem, count: int) -> Tensor:
    # Coalitions 0 and 2^F - 1 are the baseline and the input.
    ends = problem.baseline_value[:, None], problem.value[:, None]
    inner = [scores(problem, 2**count - 2, lambda copy: bits(copy + 1, count))] if count > 1 else []
    value = torch.cat([ends[0], *inner, ends[1]], dim=1)
    size = bits(torch.arange(2**count), count).sum(dim=1)
    weight = torch.tensor([1 / (count * comb(count - 1, k)) for k in range(count)], dtype=value.dtype)[size - 1]
    # Bit f of a coalition's number is the middle of three dimensions: with feature f, and without.
    return torch.stack(
        [
            (with_and_without.diff(dim=2)[:, :, 0] * weights[:, 1]).flatten(1).sum(dim=1)
            for with_and_without, weights in (
                (value.unflatten(1, (-1, 2, 2**f)), weight.to(value.device).unflatten(0, (-1, 2, 2**f)))
                for f in range(count)
            )
        ],
        dim=1,
    )
