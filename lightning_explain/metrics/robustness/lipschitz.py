"""Local Lipschitz estimate: how steep are the attributions around each sample?"""

from __future__ import annotations

from torch import Tensor

from lightning_explain.metrics.evaluation import Evaluation
from lightning_explain.metrics.metric import METRICS
from lightning_explain.metrics.robustness.noise import noisy_changes, worst
from lightning_explain.metrics.robustness.sensitivity import SensitivityMetric
from lightning_explain.metrics.shapes import require_alike


def steepness(changes: Tensor, distances: Tensor) -> Tensor:
    r"""The largest change for the way that the input went: :math:`\max_k \|\phi_k - \phi\| / \|x_k - x\|`.

    Args:
        changes: How far the attributions moved, (copies, n).
        distances: How far the inputs moved, (copies, n); copies that did not move do not count.

    Returns:
        Ratios (n,) >= 0; NaN where no copy moved.

    Raises:
        ValueError: If the shapes do not fit.

    Example:
        >>> import torch
        >>> steepness(torch.tensor([[1.0, 0.0], [6.0, 0.0]]), torch.tensor([[2.0, 0.0], [3.0, 0.0]]))
        tensor([2., nan])
    """
    require_alike("(copies, n)", changes=changes, distances=distances)
    return worst(changes / distances, distances > 0)


@METRICS.register("local_lipschitz")
class LocalLipschitz(SensitivityMetric):
    r"""The largest change of the attributions for the way that the input went, under small uniform noise.

    .. math:: \max_{\|x' - x\|_\infty \le r} \frac{\|\phi(x') - \phi(x)\|_2}{\|x' - x\|_2}

    From 0 up, in units of the attribution per unit of the input; lower is better. It is not relative to the size of the
    attributions, as :class:`~lightning_explain.metrics.robustness.sensitivity.MaxSensitivity` is: do not compare
    methods in different units. Integer inputs stay and have no part in the distance.

    D. Alvarez-Melis, T. S. Jaakkola: On the Robustness of Interpretability Methods. arXiv:1806.08049, 2018.

    Args:
        copies: See :class:`SensitivityMetric`, as for the other arguments.

    Example:
        >>> import torch
        >>> from lightning_explain import ProbeSet, evaluate
        >>> model = torch.nn.Sequential(torch.nn.Tanh(), torch.nn.Linear(3, 2, bias=False))
        >>> model[1].weight.data = torch.tensor([[3.0, 1.0, -1.0], [0.0, 0.0, 0.0]])
        >>> probe = ProbeSet.from_tensors(torch.tensor([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]]) / 4, target=0)
        >>> explained = evaluate(model, probe, ["input_x_gradient"], [LocalLipschitz()]).explained[0]
        >>> round(explained.scores["local_lipschitz"].mean, 3)
        0.953
    """

    def per_sample(self, evaluation: Evaluation) -> Tensor:  # noqa: D102
        changes = noisy_changes(evaluation, self.noise)
        return steepness(changes.absolute, changes.distances)
