"""Infidelity: do the attributions foretell what removing features does?"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lightning_explain.attribution.settings import require_kind
from lightning_explain.attribution.target import Readout
from lightning_explain.inputs import Point
from lightning_explain.metrics.evaluation import Evaluation
from lightning_explain.metrics.metric import METRICS, AttributionMetric
from lightning_explain.metrics.perturbation import Subsets
from lightning_explain.metrics.shapes import require_alike
from lightning_explain.precision import accurate


def infidelity(foretold: Tensor, drops: Tensor, *, normalize: bool = True) -> Tensor:
    r"""The mean squared error of what attributions foretell about removals.

    .. math:: \mathrm{E}_I\big[(\beta \, I^\top \phi - (S(x) - S(x - I)))^2\big]

    Args:
        foretold: :math:`I^\top \phi` for each removal, (n, removals).
        drops: :math:`S(x) - S(x - I)` for each removal, (n, removals).
        normalize: With the best :math:`\beta \ge 0`, and divided by the mean squared drop, so that maps in
            any units compare: 0 is perfect, 1 no better than foretelling nothing. The authors' code lets
            :math:`\beta` be negative; then a map turned upside down would score like the map. False:
            :math:`\beta = 1`, not divided.

    Returns:
        Infidelities (n,) >= 0, float64; normalised, NaN where no removal changes the score.

    Raises:
        ValueError: If the shapes do not fit.

    Example:
        >>> drops = torch.tensor([[1.0, 2.0]])
        >>> float(infidelity(3 * drops, drops)), float(infidelity(-drops, drops))
        (0.0, 1.0)
        >>> float(infidelity(3 * drops, drops, normalize=False))
        10.0
    """
    require_alike("(n, removals)", foretold=foretold, drops=drops)
    foretold, drops = accurate(foretold), accurate(drops)
    if not normalize:
        return (foretold - drops).square().mean(dim=1)
    total = drops.square().mean(dim=1)
    error = (best_scale(foretold, drops).clamp(min=0) * foretold - drops).square().mean(dim=1)
    return torch.where(total > 0, error / total, torch.nan)


def best_scale(foretold: Tensor, drops: Tensor) -> Tensor:
    r"""The number that what is foretold is best multiplied with, :math:`\beta`, of either sign.

    .. math:: \beta = \mathrm{E}_I[I^\top \phi \, (S(x) - S(x - I))] / \mathrm{E}_I[(I^\top \phi)^2]

    Args:
        foretold: :math:`I^\top \phi` for each removal, (n, removals).
        drops: :math:`S(x) - S(x - I)` for each removal, (n, removals).

    Returns:
        Scales (n, 1), float64; 0 where nothing is foretold.

    Raises:
        ValueError: If the shapes do not fit.

    Example:
        >>> drops = torch.tensor([[1.0, 2.0], [1.0, 2.0]])
        >>> best_scale(torch.tensor([[-0.5, -1.0], [0.0, 0.0]]), drops)
        tensor([[-2.],
                [ 0.]], dtype=torch.float64)
    """
    require_alike("(n, removals)", foretold=foretold, drops=drops)
    foretold, drops = accurate(foretold), accurate(drops)
    power = foretold.square().sum(dim=1, keepdim=True)
    return (foretold * drops).sum(dim=1, keepdim=True) / power.clamp(min=torch.finfo(power.dtype).tiny)


def foretelling(attributions: Point, perturbations: Point) -> Tensor:
    r"""What attributions foretell about perturbations, :math:`I^\top \phi`.

    Args:
        attributions: Tensors (m, ...).
        perturbations: Tensors that broadcast to them.

    Returns:
        Numbers (m,), float64.
    """
    products = (accurate(phi) * accurate(change) for phi, change in zip(attributions, perturbations, strict=True))
    return torch.stack([product.reshape(len(product), -1).sum(dim=1) for product in products]).sum(dim=0)


def perturbation(x: Tensor, perturbed: Tensor, baseline: Tensor | float = 0.0, *, relative: bool = True) -> Tensor:
    r"""How far an input was moved, :math:`I`.

    Args:
        x: An input (n, ...).
        perturbed: What became of it, of the same shape.
        baseline: Its baseline, which broadcasts to it.
        relative: In units of the way to the baseline, :math:`(x - x') / (x - x^0)`, for attributions that the input is
            a factor of; an element that is its baseline is measured absolutely. False: :math:`x - x'`.

    Returns:
        A tensor like ``x``.

    Example:
        >>> perturbation(torch.tensor([[4.0, 0.0]]), torch.tensor([[3.0, -2.0]]))
        tensor([[0.2500, 2.0000]])
    """
    moved = x - perturbed
    if not relative:
        return moved
    way = x - baseline
    return moved / way.masked_fill(way == 0, 1)


@METRICS.register("infidelity")
class Infidelity(AttributionMetric):
    """The mean squared error of foretelling, from the attributions, how much the score falls at random removals.

    Removals take whole cells of a coarse grid: single pixels change nothing but noise. Normalised, in
    [0, 1]: 0 is perfect, 1 no better than foretelling nothing; lower is better.

    C.-K. Yeh et al.: On the (In)fidelity and Sensitivity of Explanations. arXiv:1901.09392, 2019.

    Args:
        normalize: See :func:`infidelity`.
        subsets: What is removed; metrics and methods that ask for the same share the rows.
        kwargs: For :class:`torchmetrics.Metric`.

    Raises:
        TypeError: If ``subsets`` are no :class:`~lightning_explain.metrics.perturbation.Subsets`.

    Example:
        >>> from lightning_explain import ProbeSet, evaluate
        >>> model = torch.nn.Linear(3, 2, bias=False)
        >>> model.weight.data = torch.tensor([[3.0, 1.0, -1.0], [0.0, 0.0, 0.0]])
        >>> probe = ProbeSet.from_tensors(torch.tensor([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]]), target=0)
        >>> explained = evaluate(model, probe, ["input_x_gradient"], [Infidelity()]).explained[0]
        >>> round(explained.scores["infidelity"].mean, 3)
        0.0
    """

    higher_is_better = False
    plot_lower_bound = 0.0
    yardstick = True
    default = True

    def __init__(
        self,
        normalize: bool = True,
        subsets: Subsets = Subsets(),  # noqa: B008  (frozen)
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        require_kind("subsets", subsets, Subsets, "Subsets(count=64)")
        self.normalize, self.subsets = normalize, subsets

    def perfect(self, readout: Readout) -> float | None:  # noqa: D102
        return 0.0

    def per_sample(self, evaluation: Evaluation) -> Tensor:  # noqa: D102
        perturbations = evaluation.perturbations
        foretold = perturbations.foretold(evaluation.contributions, self.subsets)
        return infidelity(foretold, perturbations.drops(self.subsets), normalize=self.normalize)
