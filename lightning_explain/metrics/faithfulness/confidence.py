"""Average drop and increase in confidence: what does the model say to the part that a map shows?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lightning_explain.attribution.place import Layer
from lightning_explain.attribution.target import Readout
from lightning_explain.inputs import Point, is_continuous, leaves
from lightning_explain.metrics.evaluation import Evaluation
from lightning_explain.metrics.metric import METRICS, AttributionMetric
from lightning_explain.metrics.shapes import require_alike
from lightning_explain.precision import accurate

if TYPE_CHECKING:
    from lightning_explain.attribution.methods import Method
    from lightning_explain.attribution.place import Place
    from lightning_explain.probe import ProbeSet


def soft_mask(scores: Tensor) -> Tensor:
    """How much of each feature a map shows: its positive part over the largest.

    Args:
        scores: Attributions of features (n, D).

    Returns:
        Shares (n, D) in [0, 1], float64; NaN where nothing is positive, or the positive part is not finite.

    Raises:
        ValueError: If the shapes do not fit.

    Example:
        >>> soft_mask(torch.tensor([[2.0, -1.0, 1.0], [-1.0, 0.0, -2.0]]))
        tensor([[1.0000, 0.0000, 0.5000],
                [   nan,    nan,    nan]], dtype=torch.float64)
    """
    require_alike("(n, D)", scores=scores)
    positive = accurate(scores).clamp(min=0)
    most = positive.amax(dim=1, keepdim=True)
    return torch.where(
        (most > 0) & torch.isfinite(scores).all(dim=1, keepdim=True).to(most.device), positive / most, torch.nan
    )


def average_drop(full: Tensor, shown: Tensor) -> Tensor:
    r"""The share of the score that is lost: :math:`\max(0, Y - O) / Y`.

    Args:
        full: The score at the input, Y, (n,).
        shown: The score at what the map shows, O, (n,).

    Returns:
        Shares (n,) >= 0, float64, at most 1 where scores are not negative; NaN where Y is not positive.

    Raises:
        ValueError: If the shapes do not fit.

    Example:
        >>> average_drop(torch.tensor([0.5, 0.5, -1.0]), torch.tensor([0.25, 0.75, -2.0]))
        tensor([0.5000, 0.0000,    nan], dtype=torch.float64)
    """
    require_alike("(n,)", full=full, shown=shown)
    full, shown = accurate(full), accurate(shown)
    return torch.where(full > 0, (full - shown).clamp(min=0) / full, torch.nan)


def increase_in_confidence(full: Tensor, shown: Tensor) -> Tensor:
    """Whether the score rises when only what the map shows is there.

    Args:
        full: The score at the input, (n,).
        shown: The score at what the map shows, (n,).

    Returns:
        1 or 0 (n,), float64; NaN where a score is.

    Raises:
        ValueError: If the shapes do not fit.

    Example:
        >>> increase_in_confidence(torch.tensor([0.5, 0.5]), torch.tensor([0.25, 0.75]))
        tensor([0., 1.], dtype=torch.float64)
    """
    require_alike("(n,)", full=full, shown=shown)
    full, shown = accurate(full), accurate(shown)
    return torch.where(torch.isfinite(full + shown), (shown > full).double(), torch.nan)


def holds_integers(space: Place, probe: ProbeSet) -> bool:
    """Whether attributions live on integers, token ids say, between which there are no values.

    Returns:
        True if there is no floating point tensor among them.
    """
    return not isinstance(space, Layer) and not any(is_continuous(leaf) for leaf in leaves(probe.inputs))


class ShownMetric(AttributionMetric):
    """Base of the scores that show the model what a map marks, and the baseline for the rest."""

    plot_lower_bound = 0.0
    yardstick = True

    def missing(self, method: Method, space: Place, probe: ProbeSet) -> str | None:  # noqa: D102
        return "integer inputs cannot be shown in part" if holds_integers(space, probe) else None

    def _scores(self, evaluation: Evaluation) -> tuple[Tensor, Tensor]:
        return evaluation.remembered("shown in part", lambda: _shown_in_part(evaluation))


def _shown_in_part(evaluation: Evaluation) -> tuple[Tensor, Tensor]:
    problem, space = evaluation.perturbations.shown(), evaluation.perturbations.features
    mask = soft_mask(evaluation.scores)
    undefined = mask.isnan().any(dim=1) | evaluation.void.to(mask.device)
    # A map that is undefined goes through the model all the same, as an empty one: NaN could raise in it.
    parts = space.scatter(mask.nan_to_num(0.0))

    def point(rows: Tensor, _: Tensor) -> Point:
        return tuple(
            torch.lerp(z0[rows], z[rows], part.to(z)[rows].expand_as(z[rows]))
            for z0, z, part in zip(problem.z0, problem.z, parts, strict=True)
        )

    shown = accurate(problem.values(1, point)[:, 0])
    return problem.value, shown.masked_fill(undefined, torch.nan)


@METRICS.register("average_drop")
class AverageDrop(ShownMetric):
    r"""The share of the score that is lost where only what the map shows is there.

    .. math:: \frac{\max(0, Y - O)}{Y}, \qquad Y = S(x),\; O = S\big(x^0 + m \circ (x - x^0)\big),\;
        m = \frac{\max(\phi, 0)}{\max_i \phi_i}

    In [0, 1] for the target's probability; lower is better, and a map that shows everything loses nothing. NaN for maps
    that order nothing or have nothing positive, and where Y is not positive: a share of it would mean nothing.

    A. Chattopadhay, A. Sarkar, P. Howlader, V. Balasubramanian: Grad-CAM++: Generalized Gradient-based Visual
    Explanations for Deep Convolutional Networks. arXiv:1710.11063, 2018.

    Args:
        kwargs: For :class:`torchmetrics.Metric`.

    Example:
        >>> from lightning_explain import ProbeSet, evaluate
        >>> model = torch.nn.Linear(3, 2, bias=False)
        >>> model.weight.data = torch.tensor([[3.0, 1.0, -1.0], [0.0, 0.0, 0.0]])
        >>> probe = ProbeSet.from_tensors(torch.tensor([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]]), target=0)
        >>> explained = evaluate(model, probe, ["input_x_gradient"], [AverageDrop()]).explained[0]
        >>> round(explained.scores["average_drop"].mean, 3)
        0.0
    """

    higher_is_better = False

    def perfect(self, readout: Readout) -> float | None:  # noqa: D102
        return 0.0

    def per_sample(self, evaluation: Evaluation) -> Tensor:  # noqa: D102
        return average_drop(*self._scores(evaluation))


@METRICS.register("increase_in_confidence")
class IncreaseInConfidence(ShownMetric):
    """Whether the score rises where only what the map shows is there; the row is that of ``average_drop``.

    1 or 0 for each sample; higher is better. NaN for maps that order nothing or have nothing positive.

    A. Chattopadhay, A. Sarkar, P. Howlader, V. Balasubramanian: Grad-CAM++: Generalized Gradient-based Visual
    Explanations for Deep Convolutional Networks. arXiv:1710.11063, 2018.

    Args:
        kwargs: For :class:`torchmetrics.Metric`.

    Example:
        >>> from lightning_explain import ProbeSet, evaluate
        >>> model = torch.nn.Linear(3, 2, bias=False)
        >>> model.weight.data = torch.tensor([[3.0, 1.0, -1.0], [0.0, 0.0, 0.0]])
        >>> probe = ProbeSet.from_tensors(torch.tensor([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]]), target=0)
        >>> explained = evaluate(model, probe, ["input_x_gradient"], [IncreaseInConfidence()]).explained[0]
        >>> round(explained.scores["increase_in_confidence"].mean, 3)
        0.5
    """

    higher_is_better = True
    plot_upper_bound = 1.0

    def perfect(self, readout: Readout) -> float | None:  # noqa: D102
        return 1.0

    def per_sample(self, evaluation: Evaluation) -> Tensor:  # noqa: D102
        return increase_in_confidence(*self._scores(evaluation))
