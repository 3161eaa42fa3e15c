"""Feature ablation."""

from dataclasses import dataclass

import torch
from torch import Tensor

from lightning_explain.attribution.coalitions import scores
from lightning_explain.attribution.methods.method import METHODS, Method
from lightning_explain.attribution.problem import Problem
from lightning_explain.attribution.removal import left_without_each, regions_of_features
from lightning_explain.inputs import Point


@METHODS.register("feature_ablation")
@dataclass(frozen=True)
class FeatureAblation(Method):
    r"""How much the score falls when one feature is replaced by the baseline.

    .. math:: \phi_f = S(z) - S(z \text{ with } z_f := z^0_f)

    A row for each feature, and one for the score. Signed: positive where the feature supports the target, in units of
    the score. What several features say together, each of which the model can do without, is not seen.

    I. Covert, S. Lundberg, S.-I. Lee: Explaining by Removing. arXiv:2011.14878, 2020.

    Example:
        >>> from lightning_explain import explain
        >>> total = torch.nn.Linear(3, 1, bias=False).requires_grad_(False)
        >>> _ = total.weight.copy_(torch.tensor([[1.0, 2.0, 3.0]]))
        >>> mask = torch.tensor([[0, 0, 1]])
        >>> explain(total, torch.ones(1, 3), "feature_ablation", target=0, feature_mask=mask).values
        tensor([[3., 3., 3.]])
    """

    per_feature = True
    shares_points = True

    def __call__(self, problem: Problem) -> Point:  # noqa: D102
        regions = regions_of_features(problem)
        # Metrics that remove the same regions, one by one, get these scores for nothing.
        left = self._left(problem) if regions is None else left_without_each(problem, regions)
        return problem.features.spread(problem.value[:, None] - left, problem.z)

    @staticmethod
    def _left(problem: Problem) -> Tensor:
        count = problem.features.count

        def all_but(feature: Tensor) -> Tensor:
            present = torch.ones(len(feature), count, dtype=torch.bool, device=feature.device)
            return present.scatter_(1, feature[:, None], value=False)

        return scores(problem, count, all_but)
