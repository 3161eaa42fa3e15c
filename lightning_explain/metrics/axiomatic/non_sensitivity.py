"""Non-sensitivity: do exactly those features have no attribution that the model does not look at?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lightning_explain.attribution.fill import fill as find_fill
from lightning_explain.attribution.regions import Grid, Partition, require_partition
from lightning_explain.attribution.settings import require_number
from lightning_explain.metrics.metric import METRICS, AttributionMetric
from lightning_explain.metrics.shapes import require_alike
from lightning_explain.precision import accurate

if TYPE_CHECKING:
    from lightning_explain.attribution.target import Readout
    from lightning_explain.metrics.evaluation import Evaluation, RandomEvaluation


def non_sensitivity(magnitudes: Tensor, drops: Tensor, tolerance: float = 1e-5) -> Tensor:
    r"""The share of regions that are in one, and only one, of two sets: no attribution, and no effect.

    .. math:: \frac1R \left| \{r : |\phi_r| = 0\} \mathbin{\triangle} \{r : S(x) = S(x \text{ without } r)\} \right|

    where "0" and "=" mean: to within ``tolerance`` times the largest of the same sample.

    Args:
        magnitudes: How much attribution each region has, whatever its sign, (n, R) >= 0.
        drops: How much the score falls when it alone is removed, (n, R).
        tolerance: What counts as nothing, a share of each sample's largest. At least 0.

    Returns:
        Shares (n,) in [0, 1], float64; NaN where a number is not finite.

    Raises:
        ValueError: If the shapes do not fit.

    Example:
        >>> non_sensitivity(torch.tensor([[2.0, 0.0, 0.0, 1.0]]), torch.tensor([[-1.0, 0.0, 0.5, 0.0]]))
        tensor([0.5000], dtype=torch.float64)
    """
    require_alike("(n, R)", magnitudes=magnitudes, drops=drops)
    magnitudes, drops = accurate(magnitudes), accurate(drops)
    apart = _nothing(magnitudes, tolerance) ^ _nothing(drops, tolerance)
    finite = (torch.isfinite(magnitudes) & torch.isfinite(drops)).all(dim=1)
    return apart.double().mean(dim=1).where(finite, torch.nan)


def _nothing(values: Tensor, tolerance: float) -> Tensor:
    size = values.abs()
    return size <= tolerance * size.amax(dim=1, keepdim=True)


@METRICS.register("non_sensitivity")
class NonSensitivity(AttributionMetric):
    """The share of regions that have an attribution and no effect, or an effect and no attribution.

    In [0, 1]; lower is better. A region's effect is what its removal does to the score; it has no attribution if the
    attributions say that none of its features adds anything.

    A. Nguyen, M. Martínez: On Quantitative Aspects of Model Interpretability. arXiv:2007.07584, 2020.

    Args:
        tolerance: What counts as nothing, a share of each sample's largest, in [0, 1).
        partition: The regions; each costs a row, which metrics that remove the same share.
        fill: What takes the place of a region, see :data:`~lightning_explain.attribution.fill.FILLS`.
        kwargs: For :class:`torchmetrics.Metric`.

    Raises:
        ValueError: If the tolerance is not in [0, 1).

    Example:
        >>> from lightning_explain import ProbeSet, evaluate
        >>> model = torch.nn.Linear(3, 2, bias=False)
        >>> model.weight.data = torch.tensor([[3.0, 1.0, -1.0], [0.0, 0.0, 0.0]])
        >>> probe = ProbeSet.from_tensors(torch.tensor([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]]), target=0)
        >>> explained = evaluate(model, probe, ["input_x_gradient"], [NonSensitivity()]).explained[0]
        >>> round(explained.scores["non_sensitivity"].mean, 3)
        0.0
    """

    higher_is_better = False
    yardstick = True
    plot_lower_bound = 0.0
    plot_upper_bound = 1.0

    def __init__(
        self,
        tolerance: float = 1e-5,
        partition: Partition = Grid(),  # noqa: B008  (frozen)
        fill: str = "baseline",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        require_number("tolerance", tolerance)
        require_partition(partition)
        find_fill(fill)
        if not 0 <= tolerance < 1:
            raise ValueError(f"The tolerance is a share of each sample's largest number, in [0, 1), got {tolerance}.")
        self.tolerance, self.partition, self.fill = tolerance, partition, fill

    def perfect(self, readout: Readout) -> float | None:  # noqa: D102
        return 0.0

    def per_sample(self, evaluation: Evaluation | RandomEvaluation) -> Tensor:  # noqa: D102
        perturbations = evaluation.perturbations
        regions = perturbations.regions(self.partition)
        magnitudes = regions.sums(accurate(evaluation.contributions).abs())
        drops = perturbations.single_drops(self.partition, self.fill)
        # A sample with fewer regions than another has empty ones: nothing, and no effect; they do not count.
        share = non_sensitivity(magnitudes, drops, self.tolerance)
        there = (regions.sizes.to(share.device) > 0).double().mean(dim=1)
        return share / there
