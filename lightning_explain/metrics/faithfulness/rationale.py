"""Comprehensiveness and sufficiency: are the most relevant features needed, and are they enough?"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from lightning_explain.attribution.fill import fill as find_fill
from lightning_explain.attribution.regions import EveryFeature, Partition, require_partition
from lightning_explain.attribution.settings import numbers
from lightning_explain.attribution.target import Readout
from lightning_explain.metrics.evaluation import Evaluation
from lightning_explain.metrics.metric import METRICS, AttributionMetric
from lightning_explain.metrics.perturbation import Course
from lightning_explain.metrics.shapes import require_alike
from lightning_explain.precision import accurate

SHARES = (0.01, 0.05, 0.1, 0.2, 0.5)


def mean_drop(value: Tensor, left: Tensor) -> Tensor:
    """How far the score falls, averaged over sizes of the rationale.

    Args:
        value: The score at the input, (n,).
        left: The score that is left for each size, (n, sizes).

    Returns:
        Drops (n,), float64; negative where the score rises.

    Raises:
        ValueError: If the shapes do not fit.

    Example:
        >>> float(mean_drop(Tensor([0.75]), Tensor([[0.5, 0.25, 0.0]])))
        0.5
    """
    require_alike("(n, sizes)", left=left)
    require_alike("(n,)", value=value, **{"left[:, 0]": left[:, 0]})
    return (accurate(value)[:, None] - accurate(left)).mean(dim=1)


class RationaleMetric(AttributionMetric):
    """Base of the scores that take the most relevant features for the reason of the score.

    Args:
        shares: The shares of the features that are taken for the reason, one at least, each in (0, 1]; one feature
            (region) at least in every sample, also in those that have fewer than others. Each costs a row.
        partition: What is taken as one: every feature for itself, cells, patches or segments.
        fill: What takes the place of features, see :data:`~lightning_explain.attribution.fill.FILLS`.
        kwargs: For :class:`torchmetrics.Metric`.

    Raises:
        TypeError: If a setting is of the wrong kind.
        ValueError: If there is no share, or one outside (0, 1], or the fill is unknown.
    """

    yardstick = True

    def __init__(
        self,
        shares: tuple[float, ...] = SHARES,
        partition: Partition = EveryFeature(),  # noqa: B008  (frozen)
        fill: str = "baseline",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        shares = numbers("shares", shares)
        require_partition(partition)
        find_fill(fill)
        if not shares or not all(0 < share <= 1 for share in shares):
            raise ValueError(f"shares must be numbers in (0, 1], such as {SHARES}, got {shares}.")
        self.shares, self.partition, self.fill = shares, partition, fill

    def _drop(self, evaluation: Evaluation, *, kept: bool) -> Tensor:
        whole = float(kept)  # the whole input stands on the curve too
        points = sorted({whole, *self.shares})
        course = Course(self.partition, shares=tuple(points), insertion=kept, fill=self.fill, at_least=1)
        values = evaluation.curve(course).values
        return mean_drop(values[:, points.index(whole)], values[:, [points.index(share) for share in self.shares]])


@METRICS.register("comprehensiveness")
class Comprehensiveness(RationaleMetric):
    r"""How much the score falls when the most relevant features are removed, averaged over shares of them.

    .. math:: \frac{1}{|Q|} \sum_{q \in Q} \big(S(x) - S(x \setminus r_q)\big)

    In units of the score: for the target's probability in [-1, 1], below 0 where it rises. Higher is better. NaN for
    maps that order nothing.

    J. DeYoung et al.: ERASER: A Benchmark to Evaluate Rationalized NLP Models. arXiv:1911.03429, 2020.

    Args:
        shares: See :class:`RationaleMetric`, as for the other arguments.

    Example:
        >>> import torch
        >>> from lightning_explain import ProbeSet, evaluate
        >>> model = torch.nn.Linear(3, 2, bias=False)
        >>> model.weight.data = torch.tensor([[3.0, 1.0, -1.0], [0.0, 0.0, 0.0]])
        >>> probe = ProbeSet.from_tensors(torch.tensor([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]]), target=0)
        >>> explained = evaluate(model, probe, ["input_x_gradient"], [Comprehensiveness()]).explained[0]
        >>> round(explained.scores["comprehensiveness"].mean, 3)
        0.509
    """

    higher_is_better = True

    def perfect(self, readout: Readout) -> float | None:  # noqa: D102
        return 1.0 if readout == "probability" else None

    def per_sample(self, evaluation: Evaluation) -> Tensor:  # noqa: D102
        return self._drop(evaluation, kept=False)


@METRICS.register("sufficiency")
class Sufficiency(RationaleMetric):
    r"""How much the score falls when only the most relevant features are kept, averaged over shares of them.

    .. math:: \frac{1}{|Q|} \sum_{q \in Q} \big(S(x) - S(r_q)\big)

    In units of the score: for the target's probability in [-1, 1]. Lower is better: 0 where the rationale alone gives
    the whole score, below where it gives more. No score is the best that there is. NaN for maps that order nothing.

    J. DeYoung et al.: ERASER: A Benchmark to Evaluate Rationalized NLP Models. arXiv:1911.03429, 2020.

    Args:
        shares: See :class:`RationaleMetric`, as for the other arguments.

    Example:
        >>> import torch
        >>> from lightning_explain import ProbeSet, evaluate
        >>> model = torch.nn.Linear(3, 2, bias=False)
        >>> model.weight.data = torch.tensor([[3.0, 1.0, -1.0], [0.0, 0.0, 0.0]])
        >>> probe = ProbeSet.from_tensors(torch.tensor([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]]), target=0)
        >>> explained = evaluate(model, probe, ["input_x_gradient"], [Sufficiency()]).explained[0]
        >>> round(explained.scores["sufficiency"].mean, 3)
        -0.04
    """

    higher_is_better = False

    def per_sample(self, evaluation: Evaluation) -> Tensor:  # noqa: D102
        return self._drop(evaluation, kept=True)
