"""Region perturbation: how far the score falls while regions go, one by one."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

from torch import Tensor

from lightning_explain.attribution.regions import Partition, Patches
from lightning_explain.attribution.settings import require_integer
from lightning_explain.metrics.evaluation import Evaluation
from lightning_explain.metrics.metric import METRICS, AttributionMetric
from lightning_explain.metrics.perturbation import Course
from lightning_explain.metrics.shapes import require_alike
from lightning_explain.registry import unknown

Order: TypeAlias = Literal["morf", "lerf"]

ORDERS = ("morf", "lerf")


def aopc(values: Tensor) -> Tensor:
    r"""The area over the perturbation curve, :math:`\frac{1}{L + 1} \sum_{k=0}^{L} S(x^{(0)}) - S(x^{(k)})`.

    Args:
        values: :math:`S(x^{(0)}), \dots, S(x^{(L)})`, (n, L + 1).

    Returns:
        Mean falls (n,), in units of the score; NaN where a value is.

    Raises:
        ValueError: If the shapes do not fit.

    Example:
        >>> import torch
        >>> aopc(torch.tensor([[1.0, 0.5, 0.25, 0.25]]))
        tensor([0.5000])
    """
    require_alike("(n, L + 1)", values=values)
    return (values[:, :1] - values).mean(dim=1)


@METRICS.register("region_perturbation")
class RegionPerturbation(AttributionMetric):
    """Area over the perturbation curve: the mean fall of the score while patches go, the most relevant first.

    In units of the score: for a classifier of the target's probability, then in [-1, 1]. Higher is better for
    ``order="morf"``, lower for ``"lerf"``. Patches are ordered by their mean attribution. The best that a map can have
    is L / (L + 1) times the score, where L is the number of patches that go: another number for every sample.

    W. Samek et al.: Evaluating the Visualization of What a Deep Neural Network Has Learned. arXiv:1509.06321, 2017.

    Args:
        regions: The regions that go, L; all, if there are fewer. Each costs a row.
        order: ``"morf"``, the most relevant first, or ``"lerf"``, the least relevant first.
        partition: What goes as one. The paper has patches of 9 pixels in pictures of about 225.
        fill: What takes the place of features, see :data:`~lightning_explain.attribution.fill.FILLS`. The paper has
            ``"uniform"``.
        kwargs: For :class:`torchmetrics.Metric`.

    Raises:
        ValueError: If there is no region, or the order is unknown.

    Example:
        >>> import torch
        >>> from lightning_explain import ProbeSet, evaluate
        >>> model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 2, bias=False))
        >>> model[1].weight.data = torch.stack([torch.arange(16.0), torch.arange(16.0).flip(0)]) / 16
        >>> probe = ProbeSet.from_tensors(torch.ones(2, 1, 4, 4), target=0)
        >>> metric = RegionPerturbation(partition=Patches(2))
        >>> explained = evaluate(model, probe, ["input_x_gradient"], [metric]).explained[0]
        >>> round(explained.scores["region_perturbation"].mean, 3)
        0.266
    """

    yardstick = True

    def __init__(
        self,
        regions: int = 100,
        order: Order = "morf",
        partition: Partition = Patches(),  # noqa: B008  (frozen)
        fill: str = "baseline",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        require_integer("regions", regions, 1)
        if order not in ORDERS:
            raise ValueError(unknown("order", order, ORDERS))
        self.regions, self.order = regions, order
        self.course = Course(partition, ascending=order == "lerf", fill=fill)

    @property
    def higher_is_better(self) -> bool:  # type: ignore[override]
        """True if the most relevant go first."""
        return self.order == "morf"

    def per_sample(self, evaluation: Evaluation) -> Tensor:  # noqa: D102
        course = evaluation.perturbations.one_by_one(self.course, self.regions)
        return aopc(evaluation.curve(course).values)
