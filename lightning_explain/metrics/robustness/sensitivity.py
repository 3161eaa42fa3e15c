"""Max- and average-sensitivity: how far can a little noise move the attributions?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lightning_explain.metrics.evaluation import Evaluation
from lightning_explain.metrics.metric import METRICS, AttributionMetric
from lightning_explain.metrics.robustness.noise import Noise, noisy_changes, nothing_to_move, worst
from lightning_explain.metrics.shapes import require_alike

if TYPE_CHECKING:
    from lightning_explain.attribution.methods import Method
    from lightning_explain.attribution.place import Place
    from lightning_explain.probe import ProbeSet


def mean_of(values: Tensor, counts: Tensor) -> Tensor:
    """The mean over the copies that count.

    Args:
        values: A value for each copy, (copies, n).
        counts: Which of them count, (copies, n).

    Returns:
        Means (n,); NaN where no copy counts, or one that does is NaN.

    Raises:
        ValueError: If the shapes do not fit.

    Example:
        >>> mean_of(torch.tensor([[1.0, 2.0], [9.0, 5.0]]), torch.tensor([[True, False], [True, False]]))
        tensor([5., nan])
    """
    require_alike("(copies, n)", values=values, counts=counts)
    return torch.where(counts, values, 0).sum(dim=0) / counts.sum(dim=0)


class SensitivityMetric(AttributionMetric):
    """Base of the scores that explain noisy copies of the samples.

    Args:
        copies: Noisy copies of each sample; each costs an explanation, which all metrics of the same noise share.
        radius: The noise's half width, in units of each sample's standard deviation in that input.
        seed: Where the noise begins.
        kwargs: For :class:`torchmetrics.Metric`.

    Raises:
        ValueError: If ``copies`` is less than 1 or ``radius`` is not positive.
    """

    higher_is_better = False
    plot_lower_bound = 0.0

    def __init__(self, copies: int = 3, radius: float = 0.1, seed: int = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.noise = Noise(copies, radius, seed)

    def missing(self, method: Method, space: Place, probe: ProbeSet) -> str | None:  # noqa: D102
        return nothing_to_move(probe)


@METRICS.register("max_sensitivity")
class MaxSensitivity(SensitivityMetric):
    r"""The largest relative change of the attributions under small uniform noise on the inputs.

    .. math:: \max_{\|x' - x\|_\infty \le r} \frac{\|\phi(x') - \phi(x)\|_F}{\|\phi(x)\|_F}

    From 0 up; lower is better, though a method that ignores its input is perfect here. The maximum
    grows with the number of copies: compare only at the same settings. The noise is the same at every
    validation and for every sample, each in its own units. NaN for all-zero maps, and where no noise moves the sample.

    C.-K. Yeh et al.: On the (In)fidelity and Sensitivity of Explanations. arXiv:1901.09392, 2019.

    Args:
        copies: See :class:`SensitivityMetric`, as for the other arguments.

    Example:
        >>> from lightning_explain import ProbeSet, evaluate
        >>> model = torch.nn.Sequential(torch.nn.Tanh(), torch.nn.Linear(3, 2, bias=False))
        >>> model[1].weight.data = torch.tensor([[3.0, 1.0, -1.0], [0.0, 0.0, 0.0]])
        >>> probe = ProbeSet.from_tensors(torch.tensor([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]]) / 4, target=0)
        >>> explained = evaluate(model, probe, ["input_x_gradient"], [MaxSensitivity()]).explained[0]
        >>> round(explained.scores["max_sensitivity"].mean, 3)
        0.021
    """

    default = True

    def per_sample(self, evaluation: Evaluation) -> Tensor:  # noqa: D102
        changes = noisy_changes(evaluation, self.noise)
        return worst(changes.relative, changes.moved)


@METRICS.register("average_sensitivity")
class AverageSensitivity(SensitivityMetric):
    r"""The mean relative change of the attributions under small uniform noise on the inputs.

    From 0 up; lower is better. It does not grow with the number of copies, as :class:`MaxSensitivity` does, and shares
    its noisy copies. NaN where that is.

    U. Bhatt, A. Weller, J. Moura: Evaluating and Aggregating Feature-based Model Explanations. arXiv:2005.00631, 2020.

    Args:
        copies: See :class:`SensitivityMetric`, as for the other arguments.

    Example:
        >>> from lightning_explain import ProbeSet, evaluate
        >>> model = torch.nn.Sequential(torch.nn.Tanh(), torch.nn.Linear(3, 2, bias=False))
        >>> model[1].weight.data = torch.tensor([[3.0, 1.0, -1.0], [0.0, 0.0, 0.0]])
        >>> probe = ProbeSet.from_tensors(torch.tensor([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]]) / 4, target=0)
        >>> explained = evaluate(model, probe, ["input_x_gradient"], [AverageSensitivity()]).explained[0]
        >>> round(explained.scores["average_sensitivity"].mean, 3)
        0.017
    """

    def per_sample(self, evaluation: Evaluation) -> Tensor:  # noqa: D102
        changes = noisy_changes(evaluation, self.noise)
        return mean_of(changes.relative, changes.moved)
