"""Monotonicity correlation: does a region move the score the more, the larger its attribution is?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lightning_explain.attribution.regions import Grid, Partition, require_partition
from lightning_explain.attribution.removal import left
from lightning_explain.attribution.settings import require_integer
from lightning_explain.metrics.evaluation import Evaluation
from lightning_explain.metrics.faithfulness.confidence import holds_integers
from lightning_explain.metrics.faithfulness.faithfulness_correlation import CorrelationMetric
from lightning_explain.metrics.metric import METRICS
from lightning_explain.metrics.perturbation import Perturbations
from lightning_explain.metrics.ranks import spearman
from lightning_explain.precision import accurate

if TYPE_CHECKING:
    from lightning_explain.attribution.methods import Method
    from lightning_explain.attribution.place import Place
    from lightning_explain.probe import ProbeSet


def expected_change(perturbations: Perturbations, partition: Partition, draws: int) -> Tensor:
    r"""The mean squared change of the score when a region alone is filled with random values.

    .. math:: \frac1M \sum_{m=1}^M \big(S(x_{r \to u_m}) - S(x)\big)^2

    Args:
        perturbations: The removals.
        partition: The regions.
        draws: How many fills :math:`u_m`, uniform between each sample's least and greatest value.

    Returns:
        Changes (n, R), float64; computed once for a problem.
    """
    problem, regions = perturbations.problem, perturbations.regions(partition)
    ids, count = regions.ids.expand(problem.samples, -1), regions.count

    def compute() -> Tensor:
        scores = left(
            problem,
            count * draws,
            lambda rows, copy: ids[rows] == (copy % count)[:, None],
            "uniform",
            perturbations.seed,
        )
        changes: Tensor = accurate(scores) - accurate(problem.value)[:, None]
        return changes.square().reshape(-1, draws, count).mean(dim=1)

    return problem.remembered(("expected change", partition, draws, perturbations.seed), compute)


@METRICS.register("monotonicity_correlation")
class MonotonicityCorrelation(CorrelationMetric):
    r"""Spearman's correlation of regions' absolute attributions and of how far random values there move the score.

    .. math:: \rho_r\Big(\sum_{i \in r} |\phi_i|,\; \mathrm{E}_u\big[(S(x_{r \to u}) - S(x))^2\big]\Big)

    In [-1, 1]; higher is better, random attributions have about 0. The paper divides by the square of the score, which
    is the same number for all regions of a sample and changes no rank: without it a score of zero does no harm. NaN
    for maps that order nothing, and where no region moves the score.

    A. Nguyen, M. Rodriguez Martinez: On quantitative aspects of model interpretability. arXiv:2007.07584, 2020.

    Args:
        draws: Random fills of each region; each costs a row, which all methods share. At least 1.
        partition: The regions.
        kwargs: For :class:`torchmetrics.Metric`.

    Raises:
        ValueError: If ``draws`` is less.

    Example:
        >>> from lightning_explain import ProbeSet, evaluate
        >>> model = torch.nn.Linear(3, 2, bias=False)
        >>> model.weight.data = torch.tensor([[3.0, 1.0, -1.0], [0.0, 0.0, 0.0]])
        >>> probe = ProbeSet.from_tensors(torch.tensor([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]]), target=0)
        >>> explained = evaluate(model, probe, ["input_x_gradient"], [MonotonicityCorrelation()]).explained[0]
        >>> round(explained.scores["monotonicity_correlation"].mean, 3)
        0.683
    """

    def __init__(self, draws: int = 8, partition: Partition = Grid(), **kwargs: Any) -> None:  # noqa: B008  (frozen)
        super().__init__(**kwargs)
        require_integer("draws", draws, 1)
        require_partition(partition)
        self.draws, self.partition = draws, partition

    def missing(self, method: Method, space: Place, probe: ProbeSet) -> str | None:  # noqa: D102
        return "integer inputs cannot be filled with random numbers" if holds_integers(space, probe) else None

    def per_sample(self, evaluation: Evaluation) -> Tensor:  # noqa: D102
        regions = evaluation.perturbations.regions(self.partition)
        # The attributions as they are: a sensitivity says how far the score moves for any values.
        size = regions.sums(accurate(evaluation.scores).abs())
        change = expected_change(evaluation.perturbations, self.partition, self.draws)
        correlation = spearman(size, change, (regions.sizes > 0).expand_as(size))
        return correlation.masked_fill(evaluation.void.to(correlation.device), torch.nan)
