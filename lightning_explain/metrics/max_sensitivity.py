"""Max-sensitivity: how far can a little noise move the attributions?"""

from typing import Any

import torch
from torch import Tensor

from lightning_explain.attribution.methods.noise_tunnel import Noise, noisy_attributions
from lightning_explain.inputs import Inputs, Point, is_continuous, leaves
from lightning_explain.metrics.evaluation import Evaluation
from lightning_explain.metrics.metric import METRICS, AttributionMetric


def relative_change(changed: Point, original: Point) -> Tensor:
    r"""How far attributions moved, relative to their size: :math:`\|\phi' - \phi\|_F / \|\phi\|_F`.

    Returns:
        Changes (n,) >= 0; NaN where the original is all zero.
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

    def __init__(self, copies: int = 4, radius: float = 0.1, seed: int = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if copies < 1 or radius <= 0:
            raise ValueError(f"copies must be at least 1 and radius positive, got {copies} and {radius}.")
        self.copies, self.radius, self.seed = copies, radius, seed

    def per_sample(self, evaluation: Evaluation) -> Tensor:
        method, problem = evaluation.explainer.method, evaluation.explainer.at_place(evaluation.problem)
        original = method(problem) if evaluation.explainer.coarse else evaluation.attribution.point
        noise = uniform(problem.inputs, self.radius, self.seed)
        worst = original[0].new_full((problem.samples,), -torch.inf)
        for rows, _, changed in noisy_attributions(problem, method, self.copies, noise):
            change = relative_change(changed, tuple(leaf[rows] for leaf in original))
            worst = worst.scatter_reduce(0, rows, change, reduce="amax")
        return worst


def uniform(inputs: Inputs, radius: float, seed: int) -> Noise:
    """Uniform noise in [-radius, radius], in units of each input's standard deviation over all samples.

    Returns:
        The noise, as a function of the copy number alone.
    """
    scales = [float(leaf.float().std(correction=0)) * radius for leaf in leaves(inputs)]

    def draw(copy: int) -> Point:
        generator = torch.Generator(device=leaves(inputs)[0].device)
        generator.manual_seed(seed * 1_000_003 + copy)
        return tuple(_uniform(leaf, generator) * scale for leaf, scale in zip(leaves(inputs), scales, strict=True))

    return draw


def _uniform(leaf: Tensor, generator: torch.Generator) -> Tensor:
    dtype = leaf.dtype if is_continuous(leaf) else torch.float32
    return 2 * torch.rand(leaf.shape, generator=generator, device=leaf.device, dtype=dtype) - 1


def _norm(point: Point) -> Tensor:
    return torch.stack([leaf.flatten(1).square().sum(dim=1) for leaf in point]).sum(dim=0).sqrt()
