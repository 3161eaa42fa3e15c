"""Max-sensitivity: how far can a little noise move the attributions?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lightning_explain.inputs import Inputs, Point, is_continuous, leaves, rebuild
from lightning_explain.metrics.evaluation import Evaluation
from lightning_explain.metrics.metric import METRICS, AttributionMetric
from lightning_explain.precision import accurate
from lightning_explain.randomness import stream

if TYPE_CHECKING:
    from lightning_explain.attribution.methods import Method
    from lightning_explain.attribution.place import Place
    from lightning_explain.probe import ProbeSet


def relative_change(changed: Point, original: Point) -> Tensor:
    r"""How far attributions moved, relative to their size: :math:`\|\phi' - \phi\|_F / \|\phi\|_F`.

    Returns:
        Changes (n,) >= 0, float64; NaN where the original is all zero.
    """
    moved = _norm(tuple(a - b for a, b in zip(changed, original, strict=True)))
    size = _norm(original)
    return torch.where(size > 0, moved / size, torch.nan)


@METRICS.register("max_sensitivity")
class MaxSensitivity(AttributionMetric):
    r"""The largest relative change of the attributions under small uniform noise on the inputs.

    .. math:: \max_{\|x' - x\|_\infty \le r} \frac{\|\phi(x') - \phi(x)\|_F}{\|\phi(x)\|_F}

    From 0 up; lower is better, though a method that ignores its input is perfect here. The maximum
    grows with the number of copies: compare only at the same settings. The noise is the same at every
    validation.

    C.-K. Yeh et al.: On the (In)fidelity and Sensitivity of Explanations. arXiv:1901.09392, 2019.

    Args:
        copies: Noisy copies of each sample; each costs an explanation.
        radius: The noise's half width, in units of the standard deviation of the probe set's inputs.
        seed: Where the noise begins.
        kwargs: For :class:`torchmetrics.Metric`.

    Raises:
        ValueError: If ``copies`` is less than 1 or ``radius`` is not positive.
    """

    higher_is_better = False
    plot_lower_bound = 0.0

    def __init__(self, copies: int = 4, radius: float = 0.1, seed: int = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if copies < 1 or radius <= 0:
            raise ValueError(f"copies must be at least 1 and radius positive, got {copies} and {radius}.")
        self.copies, self.radius, self.seed = copies, radius, seed

    @classmethod
    def missing(cls, method: Method, space: Place, probe: ProbeSet) -> str | None:  # noqa: D102
        noisy = any(is_continuous(leaf) for leaf in leaves(probe.inputs))
        return None if noisy else "the probe set has integer inputs alone, to which no noise can be added"

    def per_sample(self, evaluation: Evaluation) -> Tensor:  # noqa: D102
        method, problem = evaluation.explainer.method, evaluation.explainer.at_place(evaluation.problem)
        original = method(problem) if evaluation.explainer.coarse else evaluation.attribution.point
        # A copy of all samples at a time: noise of the method's own is then the same as in the original.
        changes = [
            relative_change(method(problem.with_inputs(noisy)), original)
            for noisy in noisy_copies(problem.inputs, self.copies, self.radius, self.seed)
        ]
        return torch.stack(changes).amax(dim=0)


def noisy_copies(inputs: Inputs, copies: int, radius: float, seed: int) -> Iterator[Inputs]:
    """Add uniform noise in [-radius, radius], in units of each input's standard deviation over all samples.

    Integer inputs stay as they are. The noise is drawn on the CPU, so that it is the same on every device.

    Yields:
        Inputs of the same structure, ``copies`` times.
    """
    generator = stream("noise", seed)
    for _ in range(copies):
        yield rebuild(inputs, tuple(_noisy(leaf, radius, generator) for leaf in leaves(inputs)))


def _noisy(leaf: Tensor, radius: float, generator: torch.Generator) -> Tensor:
    if not is_continuous(leaf):
        return leaf
    noise = 2 * torch.rand(leaf.shape, generator=generator, dtype=torch.float32) - 1
    return leaf + noise.to(leaf) * (radius * leaf.std(correction=0))


def _norm(point: Point) -> Tensor:
    flat = (accurate(leaf).reshape(leaf.shape[0], -1) for leaf in point)
    return torch.stack([leaf.square().sum(dim=1) for leaf in flat]).sum(dim=0).sqrt()
