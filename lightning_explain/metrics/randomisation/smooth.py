"""Smooth model parameter randomisation: the same test, without the noise of single maps."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, Any

from lightning_explain.attribution.methods import Method
from lightning_explain.attribution.methods.noise_tunnel import SmoothGrad
from lightning_explain.attribution.settings import require_integer, require_number
from lightning_explain.metrics.metric import METRICS
from lightning_explain.metrics.randomisation.cascade import ORDERS, CascadeMetric, Order
from lightning_explain.metrics.robustness.noise import nothing_to_move
from lightning_explain.registry import unknown

if TYPE_CHECKING:
    from lightning_explain.attribution.place import Place
    from lightning_explain.probe import ProbeSet


@METRICS.register("smooth_mprt")
class SmoothMPRT(CascadeMetric):
    r"""The mean similarity of noise-averaged maps to those of the model whose layers become random.

    .. math:: \frac1L \sum_{l=1}^{L} \rho\Big(\Big|\frac1N \sum_k \phi_f(x + \epsilon_k)\Big|,
              \Big|\frac1N \sum_k \phi_{f_l}(x + \epsilon_k)\Big|\Big)

    In [-1, 1]; lower is better. The maps are the evaluated method's own, averaged over Gaussian copies of each sample,
    the same for the model and all its random versions: gradients that shatter would otherwise be unlike each other
    whatever the layers hold. NaN where the averaged map is constant.

    A. Hedström et al.: Sanity Checks Revisited. arXiv:2401.06465, 2024.

    Args:
        copies: Noisy copies of each sample; each costs an explanation at every stage. At least 1.
        stdev: The noise's standard deviation, in units of each sample's range (max - min) in that input.
        order: The order in which layers become random: ``"bottom_up"``, ``"top_down"`` or ``"independent"``, see
            :func:`~lightning_explain.metrics.randomisation.cascade.stages`.
        seed: Where the random parameters and the noise begin.
        kwargs: For :class:`torchmetrics.Metric`.

    Raises:
        ValueError: If ``copies`` is less than 1, ``stdev`` is not positive, or the order is unknown.

    Example:
        >>> import torch
        >>> from lightning_explain import ProbeSet, evaluate
        >>> model = torch.nn.Sequential(torch.nn.Tanh(), torch.nn.Linear(3, 2, bias=False))
        >>> model[1].weight.data = torch.tensor([[3.0, 1.0, -1.0], [0.0, 0.0, 0.0]])
        >>> probe = ProbeSet.from_tensors(torch.tensor([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]]) / 4, target=0)
        >>> explained = evaluate(model, probe, ["input_x_gradient"], [SmoothMPRT()]).explained[0]
        >>> round(explained.scores["smooth_mprt"].mean, 3)
        -0.25
    """

    def __init__(
        self, copies: int = 8, stdev: float = 0.1, order: Order = "bottom_up", seed: int = 0, **kwargs: Any
    ) -> None:
        super().__init__(seed, **kwargs)
        require_integer("copies", copies)
        require_number("stdev", stdev)
        if copies < 1 or stdev <= 0:
            raise ValueError(f"copies must be at least 1 and stdev positive, got {copies} and {stdev}.")
        if order not in ORDERS:
            raise ValueError(unknown("order of randomisation", order, ORDERS))
        self.copies, self.stdev, self.order = copies, stdev, order  # type: ignore[misc]  # fixed in the other cascades

    def missing(self, method: Method, space: Place, probe: ProbeSet) -> str | None:  # noqa: D102
        return nothing_to_move(probe)

    @property
    def key(self) -> Hashable:  # noqa: D102
        return self.seed, self.copies, self.stdev

    def method(self, method: Method) -> Method:  # noqa: D102
        return SmoothGrad(method, n_samples=self.copies, stdev=self.stdev, seed=self.seed)
