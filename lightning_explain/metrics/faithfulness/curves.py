"""Deletion and insertion: what the score does while the most relevant features go, or come."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from torch import Tensor

from lightning_explain.attribution.regions import EveryFeature, Partition
from lightning_explain.attribution.target import Readout
from lightning_explain.metrics.evaluation import Evaluation
from lightning_explain.metrics.metric import METRICS, AttributionMetric
from lightning_explain.metrics.perturbation import Course


class CurveMetric(AttributionMetric):
    """Base of the scores that watch the model while features go, or come, in the order of their attribution.

    Args:
        steps: Points of the curve from none to all; each costs a row, and metrics of the same course share them.
        partition: What goes as one: every feature for itself, cells, patches or segments.
        fill: What takes the place of features, see :data:`~lightning_explain.attribution.fill.FILLS`.
        kwargs: For :class:`torchmetrics.Metric`.

    Raises:
        ValueError: If there is no step.
    """

    yardstick = True

    def __init__(
        self,
        steps: int = 16,
        partition: Partition = EveryFeature(),  # noqa: B008  (frozen)
        fill: str = "baseline",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.course = Course(partition, steps, fill=fill)


@METRICS.register("deletion_auc")
class DeletionAUC(CurveMetric):
    r"""Area under the score while features are replaced by the baseline, the most relevant first.

    In units of the score: the target's probability for a classifier, then in [0, 1]. Lower is better.
    It moves with the model's confidence: compare with the same score of a random attribution.

    V. Petsiuk, A. Das, K. Saenko: RISE. arXiv:1806.07421, 2018.

    Args:
        steps: See :class:`CurveMetric`, as for the other arguments.

    Example:
        >>> import torch
        >>> from lightning_explain import ProbeSet, evaluate
        >>> model = torch.nn.Linear(3, 2, bias=False)
        >>> model.weight.data = torch.tensor([[3.0, 1.0, -1.0], [0.0, 0.0, 0.0]])
        >>> probe = ProbeSet.from_tensors(torch.tensor([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]]), target=0)
        >>> explained = evaluate(model, probe, ["input_x_gradient"], [DeletionAUC()]).explained[0]
        >>> round(explained.scores["deletion_auc"].mean, 3)
        0.459
    """

    higher_is_better = False
    default = True

    def perfect(self, readout: Readout) -> float | None:  # noqa: D102
        return 0.0 if readout == "probability" else None

    def per_sample(self, evaluation: Evaluation) -> Tensor:  # noqa: D102
        return evaluation.curve(self.course).area()


@METRICS.register("insertion_auc")
class InsertionAUC(CurveMetric):
    r"""Area under the score while features are put into the baseline, the most relevant first.

    In units of the score: the target's probability for a classifier, then in [0, 1]. Higher is better.
    With the same baseline this is also the deletion curve with the least relevant first.

    V. Petsiuk, A. Das, K. Saenko: RISE. arXiv:1806.07421, 2018.

    Args:
        steps: See :class:`CurveMetric`, as for the other arguments.

    Example:
        >>> import torch
        >>> from lightning_explain import ProbeSet, evaluate
        >>> model = torch.nn.Linear(3, 2, bias=False)
        >>> model.weight.data = torch.tensor([[3.0, 1.0, -1.0], [0.0, 0.0, 0.0]])
        >>> probe = ProbeSet.from_tensors(torch.tensor([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]]), target=0)
        >>> explained = evaluate(model, probe, ["input_x_gradient"], [InsertionAUC()]).explained[0]
        >>> round(explained.scores["insertion_auc"].mean, 3)
        0.898
    """

    higher_is_better = True
    default = True

    def perfect(self, readout: Readout) -> float | None:  # noqa: D102
        return 1.0 if readout == "probability" else None

    def per_sample(self, evaluation: Evaluation) -> Tensor:  # noqa: D102
        return evaluation.curve(replace(self.course, insertion=True)).area()


@METRICS.register("srg")
class SRG(CurveMetric):
    r"""Symmetric relevance gain: insertion area minus deletion area. Higher is better, random gives about 0.

    The difference cancels most of what removing features does to any model. With one baseline it is the area between
    the curves for removing the least and the most relevant features first (ABPC).

    S. Bluecher, J. Vielhaben, N. Strodthoff: Decoupling Pixel Flipping and Occlusion Strategy for
    Consistent XAI Benchmarks. arXiv:2401.06654, 2024.

    Args:
        steps: See :class:`CurveMetric`, as for the other arguments.

    Example:
        >>> import torch
        >>> from lightning_explain import ProbeSet, evaluate
        >>> model = torch.nn.Linear(3, 2, bias=False)
        >>> model.weight.data = torch.tensor([[3.0, 1.0, -1.0], [0.0, 0.0, 0.0]])
        >>> probe = ProbeSet.from_tensors(torch.tensor([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]]), target=0)
        >>> explained = evaluate(model, probe, ["input_x_gradient"], [SRG()]).explained[0]
        >>> round(explained.scores["srg"].mean, 3)
        0.438
    """

    higher_is_better = True
    default = True

    def perfect(self, readout: Readout) -> float | None:  # noqa: D102
        return 1.0 if readout == "probability" else None

    def per_sample(self, evaluation: Evaluation) -> Tensor:  # noqa: D102
        insertion = evaluation.curve(replace(self.course, insertion=True))
        return insertion.area() - evaluation.curve(self.course).area()
