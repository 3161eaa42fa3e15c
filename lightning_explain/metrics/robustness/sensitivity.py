"""Max- and average-sensitivity: how far can a little noise move the attributions?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lightning_explain.inputs import Point
from lightning_explain.metrics.evaluation import Evaluation
from lightning_explain.metrics.metric import METRICS, AttributionMetric
from lightning_explain.metrics.robustness.noise import Noise, noisy_explanations, nothing_to_move
from lightning_explain.precision import accurate

if TYPE_CHECKING:
    from lightning_explain.attribution.methods import Method
    from lightning_explain.attribution.place import Place
    from lightning_explain.probe import ProbeSet


def relative_change(changed: Point, original: Point) -> Tensor:
    r"""How far attributions moved, relative to their size: :math:`\|\phi' - \phi\|_F / \|\phi\|_F`.

    Returns:
        Changes (n,) >= 0, float64; NaN where the original is all zero.

    Example:
        >>> relative_change((torch.tensor([[3.0, 4.0]]),), (torch.tensor([[0.0, 4.0]]),))
        tensor([0.7500], dtype=torch.float64)
    """
    moved = norm(difference(changed, original))
    size = norm(original)
    return torch.where(size > 0, moved / size, torch.nan)


def difference(changed: Point, original: Point) -> Point:
    """Tensor by tensor, changed - original.

    Returns:
        Differences (n, ...) each.
    """
    return tuple(a - b for a, b in zip(changed, original, strict=True))


def norm(point: Point) -> Tensor:
    """The Euclidean norm over all elements of all tensors.

    Returns:
        Norms (n,), float64.
    """
    flat = (accurate(leaf).reshape(leaf.shape[0], -1) for leaf in point)
    return torch.stack([leaf.square().sum(dim=1) for leaf in flat]).sum(dim=0).sqrt()


class SensitivityMetric(AttributionMetric):
    """Base of the scores that explain noisy copies of the samples.

    Args:
        copies: Noisy copies of each sample; each costs an explanation, which all metrics of the same noise share.
        radius: The noise's half width, in units of the standard deviation of the probe set's inputs.
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


class _Sensitivity(SensitivityMetric):
    def _changes(self, evaluation: Evaluation) -> Tensor:
        explained = noisy_explanations(evaluation, self.noise)
        return torch.stack([relative_change(attribution, evaluation.point) for _, attribution in explained])


@METRICS.register("max_sensitivity")
class MaxSensitivity(_Sensitivity):
    r"""The largest relative change of the attributions under small uniform noise on the inputs.

    .. math:: \max_{\|x' - x\|_\infty \le r} \frac{\|\phi(x') - \phi(x)\|_F}{\|\phi(x)\|_F}

    From 0 up; lower is better, though a method that ignores its input is perfect here. The maximum
    grows with the number of copies: compare only at the same settings. The noise is the same at every
    validation.

    C.-K. Yeh et al.: On the (In)fidelity and Sensitivity of Explanations. arXiv:1901.09392, 2019.

    Args:
        copies: See :class:`SensitivityMetric`, as for the other arguments.
    """

    default = True

    def per_sample(self, evaluation: Evaluation) -> Tensor:  # noqa: D102
        return self._changes(evaluation).amax(dim=0)


@METRICS.register("average_sensitivity")
class AverageSensitivity(_Sensitivity):
    r"""The mean relative change of the attributions under small uniform noise on the inputs.

    From 0 up; lower is better. It does not grow with the number of copies, as :class:`MaxSensitivity` does, and shares
    its noisy copies.

    U. Bhatt, A. Weller, J. Moura: Evaluating and Aggregating Feature-based Model Explanations. arXiv:2005.00631, 2020.

    Args:
        copies: See :class:`SensitivityMetric`, as for the other arguments.
    """

    def per_sample(self, evaluation: Evaluation) -> Tensor:  # noqa: D102
        return self._changes(evaluation).mean(dim=0)
