"""Random logit: does the explanation depend on the class that it explains?"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torchmetrics.functional.image import structural_similarity_index_measure

from lightning_explain.attribution.feature_space import FeatureSpace
from lightning_explain.attribution.place import Neuron
from lightning_explain.attribution.problem import Problem
from lightning_explain.inputs import column
from lightning_explain.metrics.complexity.degenerate import is_degenerate
from lightning_explain.metrics.evaluation import Evaluation
from lightning_explain.metrics.metric import METRICS, AttributionMetric
from lightning_explain.metrics.ranks import map_similarity
from lightning_explain.metrics.shapes import require_alike
from lightning_explain.precision import accurate
from lightning_explain.randomness import stream

if TYPE_CHECKING:
    from lightning_explain.attribution.methods import Method
    from lightning_explain.attribution.place import Place
    from lightning_explain.probe import ProbeSet

SIGMA, WINDOW = 1.5, 11


def structural_similarity(a: Tensor, b: Tensor) -> Tensor:
    """The structural similarity (SSIM) of two maps.

    SSIM is made for intensities from 0 up: of a map and its negative it would find the signs of the means to agree with
    that of the structure, and call them alike. Each map is therefore brought to [0, 1] first: divided by its largest
    absolute value, and where one of a sample's two maps has negative values, both laid around 0.5.

    Gaussian windows of 11 x 11 (standard deviation 1.5), or for smaller maps one uniform window of the largest odd size
    that fits; only windows that lie inside count.

    Args:
        a: Maps (n, height, width), both sides at least 3.
        b: Maps of the same shape.

    Returns:
        Similarities (n,) in [-1, 1], float64; NaN where a map is constant or not finite.

    Raises:
        ValueError: If the shapes do not fit.

    Z. Wang et al.: Image Quality Assessment: From Error Visibility to Structural Similarity.
    doi:10.1109/TIP.2003.819861, 2004.

    Example:
        >>> ramp = torch.arange(9.0).view(1, 3, 3)
        >>> [round(float(structural_similarity(ramp, other)), 2) for other in (5 * ramp, ramp.mT, -ramp)]
        [1.0, 0.6, -0.58]
    """
    require_alike("(n, height, width)", a=a, b=b)
    a, b = accurate(a), accurate(b)
    defined = (is_degenerate(a.flatten(1)) + is_degenerate(b.flatten(1))) == 0
    a, b = _intensities(a, b, defined)
    side = min(a.shape[-2:])
    window = WINDOW if side >= WINDOW else side - 1 + side % 2
    _, similarity = structural_similarity_index_measure(
        a[:, None],
        b[:, None],
        gaussian_kernel=window == WINDOW,
        sigma=SIGMA,
        kernel_size=window,
        reduction="none",
        data_range=1.0,
        return_full_image=True,
    )
    edge = window // 2
    inside = similarity[:, 0, edge : a.shape[-2] - edge, edge : a.shape[-1] - edge]
    return inside.mean(dim=(1, 2)).masked_fill(~defined, torch.nan)


def other_class(target: Tensor, classes: int, seed: int = 0) -> Tensor:
    """Draw another class for each sample, every one equally likely.

    Args:
        target: Output indices (n, k), the class first.
        classes: The number of classes, at least 2.
        seed: Where the random numbers begin.

    Returns:
        Output indices (n, k).

    Raises:
        ValueError: If there are fewer than 2 classes.

    Example:
        >>> other_class(torch.tensor([[0], [1]]), classes=2)
        tensor([[1],
                [0]])
    """
    if classes < 2:
        raise ValueError(f"random_logit needs a model of 2 and more classes, this one has {classes}.")
    step = torch.randint(1, classes, (len(target),), generator=stream("other class", seed)).to(target.device)
    return torch.cat([((target[:, 0] + step) % classes)[:, None], target[:, 1:]], dim=1)


@METRICS.register("random_logit")
class RandomLogit(AttributionMetric):
    """The similarity of each map with the map that explains another class, drawn at random.

    In [-1, 1]; lower is better: a method whose maps are the same for every class explains the input. The structural
    similarity (SSIM) where maps are pictures, else the rank correlation of the signed maps. NaN where one of the two is
    constant.

    L. Sixt, M. Granz, T. Landgraf: When Explanations Lie: Why Many Modified BP Attributions Fail.
    arXiv:1912.09818, 2020.

    Args:
        seed: Where the random classes begin; they are the same at every validation, as long as the target is.
        kwargs: For :class:`torchmetrics.Metric`.

    Example:
        >>> from lightning_explain import ProbeSet, evaluate
        >>> model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Tanh(), torch.nn.Linear(16, 2, bias=False))
        >>> model[2].weight.data = torch.stack([torch.arange(16.0), torch.arange(16.0).flip(0)]) / 16
        >>> probe = ProbeSet.from_tensors(torch.arange(32.0).view(2, 1, 4, 4) / 32, target=0)
        >>> explained = evaluate(model, probe, ["input_x_gradient"], [RandomLogit()]).explained[0]
        >>> round(explained.scores["random_logit"].mean, 3)
        -0.558
    """

    higher_is_better = False
    plot_lower_bound = -1.0
    plot_upper_bound = 1.0

    def __init__(self, seed: int = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.seed = seed

    def missing(self, method: Method, space: Place, probe: ProbeSet) -> str | None:  # noqa: D102
        if isinstance(space, Neuron):
            return f"{method.name}{space} explains a neuron, not a class"
        if isinstance(probe.target, str) and probe.target == "output":
            return "the model gives one number for each sample, there is no other class"
        return None

    def check(self, problem: Problem) -> None:  # noqa: D102
        self._other(problem)

    def per_sample(self, evaluation: Evaluation) -> Tensor:  # noqa: D102
        problem = evaluation.problem
        other = evaluation.explain(replace(problem, target=self._other(problem)))
        space = FeatureSpace.of(other, problem.place.channel_dim)
        maps = (space.gather(evaluation.point), space.gather(other))
        picture = _picture(space)
        if picture is None:
            return map_similarity(*maps)
        return structural_similarity(*(scores.view(-1, *picture) for scores in maps))

    def _other(self, problem: Problem) -> Tensor:
        given = problem.outputs
        if problem.target is None or given.ndim < 2:
            raise ValueError("random_logit needs a target among 2 and more classes; the model gives one number.")
        return other_class(problem.target, given.shape[1], self.seed)


def _picture(space: FeatureSpace) -> tuple[int, int] | None:
    # (n, channels, height, width) alone; a row of tokens with its features is none.
    if len(space.shapes) > 1 or len(space.shapes[0]) != 3 or len(space.positions[0]) != 2:
        return None
    height, width = space.positions[0]
    return (height, width) if min(height, width) >= 3 else None


def _intensities(a: Tensor, b: Tensor, defined: Tensor) -> tuple[Tensor, Tensor]:
    a, b = (maps.masked_fill(~column(defined, maps), 1.0) for maps in (a, b))
    a, b = (maps / column(maps.abs().flatten(1).amax(dim=1), maps) for maps in (a, b))
    signed = column(torch.minimum(a.flatten(1).amin(dim=1), b.flatten(1).amin(dim=1)) < 0, a)
    return torch.where(signed, (a + 1) / 2, a), torch.where(signed, (b + 1) / 2, b)
