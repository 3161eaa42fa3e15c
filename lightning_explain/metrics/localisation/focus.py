"""Focus: in a mosaic of pictures, does the relevance lie on those of the explained class?"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from lightning_explain.attribution.feature_space import channel_axis
from lightning_explain.attribution.place import Layer, Neuron, Place
from lightning_explain.attribution.problem import Problem
from lightning_explain.attribution.removal import feature_space
from lightning_explain.inputs import Inputs, is_continuous, leaves, rebuild
from lightning_explain.metrics.evaluation import Evaluation
from lightning_explain.metrics.localisation.relevance_mass import relevance_mass
from lightning_explain.metrics.metric import METRICS, AttributionMetric
from lightning_explain.precision import accurate
from lightning_explain.randomness import stream

if TYPE_CHECKING:
    from lightning_explain.attribution.methods import Method
    from lightning_explain.attribution.target import Readout
    from lightning_explain.probe import ProbeSet

QUADRANTS = 4


@dataclass(frozen=True, eq=False)
class Mosaics:
    """Which pictures stand in the quadrants (top left, top right, bottom left, bottom right) of m mosaics.

    Args:
        samples: The samples whose class each mosaic asks for, (m,).
        pictures: The numbers of the pictures, (m, 4).
        ours: Which quadrants show that class, (m, 4) boolean; two in each mosaic.
    """

    samples: Tensor
    pictures: Tensor
    ours: Tensor


def mosaics(label: Tensor, seed: int = 0) -> Mosaics:
    """Draw a mosaic for each sample: the sample, another of its class and two of other classes, in random order.

    Args:
        label: Class labels (n,).
        seed: Where the random numbers begin.

    Returns:
        The mosaics of those samples for which there are such pictures, always the same ones.

    Example:
        >>> drawn = mosaics(torch.tensor([0, 1, 0, 1, 2]))
        >>> drawn.samples, drawn.ours.sum(dim=1)
        (tensor([0, 1, 2, 3]), tensor([2, 2, 2, 2]))
    """
    label = label.cpu()
    n, generator = len(label), stream("mosaics", seed)
    drawn = torch.rand(n, n, generator=generator)
    order = torch.rand(n, QUADRANTS, generator=generator).argsort(dim=1)
    same = label[:, None] == label
    others = ~same
    samples = ((same.sum(dim=1) >= 2) & (others.sum(dim=1) >= 2)).nonzero()[:, 0]
    # The random numbers are in [0, 1): whoever may not be drawn has -1.
    partner = drawn.masked_fill(others | torch.eye(n, dtype=torch.bool), -1).argmax(dim=1, keepdim=True)
    strangers = drawn.masked_fill(same, -1).argsort(dim=1, descending=True)[:, :2]
    listed = torch.cat([torch.arange(n)[:, None], partner, strangers], dim=1)[samples]
    order = order[samples]
    return Mosaics(samples, listed.gather(1, order), order < 2)


def tiled(quarters: list[Tensor]) -> Tensor:
    """Put four pictures together.

    Args:
        quarters: Top left, top right, bottom left, bottom right; (m, ..., height, width) each.

    Returns:
        The mosaics (m, ..., height, width), as high and wide as two of them.
    """
    top, bottom = torch.cat(quarters[:2], dim=-1), torch.cat(quarters[2:], dim=-1)
    return torch.cat([top, bottom], dim=-2)


@METRICS.register("focus")
class Focus(AttributionMetric):
    """The share of the positive attribution that lies on the pictures of the explained class in mosaics of 2 x 2.

    For each sample a mosaic is explained that shows it, another picture of its class and two of other classes. In
    [0, 1]; 0.5 is chance, higher is better. No mask is needed, but labels that are output indices, and a model that
    recognises its classes in pictures so put together.

    A. Arias-Duart et al.: Focus! Rating XAI Methods and Finding Biases. arXiv:2109.15035, 2021.

    Args:
        resize: Scale every picture down to a quadrant, so that mosaics are as large as pictures; False: keep the
            pictures, for models that take inputs of twice the size.
        seed: Where the random choice of pictures begins.
        kwargs: For :class:`torchmetrics.Metric`.

    Example:
        >>> from lightning_explain import ProbeSet, evaluate
        >>> model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 2, bias=False))
        >>> model[1].weight.data = torch.stack([torch.ones(16), -torch.ones(16)])
        >>> label = torch.tensor([0, 0, 1, 1])
        >>> pictures = (1.0 - 2 * label).view(4, 1, 1, 1).expand(4, 1, 4, 4)
        >>> probe = ProbeSet.from_tensors(pictures, target=label, label=label)
        >>> explained = evaluate(model, probe, ["input_x_gradient"], [Focus()]).explained[0]
        >>> round(explained.scores["focus"].mean, 3)
        1.0
    """

    higher_is_better = True
    plot_lower_bound = 0.0
    plot_upper_bound = 1.0

    def __init__(self, resize: bool = True, seed: int = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.resize, self.seed = resize, seed

    def perfect(self, readout: Readout) -> float | None:  # noqa: D102
        return 1.0

    def missing(self, method: Method, space: Place, probe: ProbeSet) -> str | None:  # noqa: D102
        if isinstance(space, (Layer, Neuron)):
            return f"{method.name}{space} explains no class at the input, which is where mosaics are"
        if not any(_is_picture(leaf) for leaf in leaves(probe.inputs)):
            return "mosaics are made of pictures (n, channels, height, width), and the probe set has none"
        return _lacking_target(probe) or _lacking_labels(probe.label)

    def per_sample(self, evaluation: Evaluation) -> Tensor:  # noqa: D102
        label = self._label(evaluation)
        chosen = mosaics(label, self.seed)
        device = accurate(evaluation.scores[:1]).device
        shares = torch.full((len(label),), torch.nan, dtype=torch.float64, device=device)
        classes = evaluation.attribution.outputs.shape[1]
        known = (label[chosen.samples] >= 0) & (label[chosen.samples] < classes)
        chosen = Mosaics(chosen.samples[known], chosen.pictures[known], chosen.ours[known])
        if len(chosen.samples):
            shares[chosen.samples.to(device)] = self._shares(evaluation, chosen, label[chosen.samples])
        return shares

    def _label(self, evaluation: Evaluation) -> Tensor:
        target = evaluation.problem.target
        if evaluation.label is None or is_continuous(evaluation.label):
            raise ValueError("focus needs class labels, and the probe set has none.")
        if target is None or target.shape[1] != 1 or isinstance(evaluation.attribution.place, (Layer, Neuron)):
            raise ValueError("focus needs attributions of a class at the input: one output index for each sample.")
        return evaluation.label.cpu()

    def _shares(self, evaluation: Evaluation, chosen: Mosaics, label: Tensor) -> Tensor:
        place = evaluation.attribution.place
        problem = self._problem(evaluation.problem, chosen, label, place.channel_dim)
        at = problem.at(place)
        attribution = evaluation.explainer(problem)
        # Inputs that are no pictures have no quadrants: what lies on them does not count.
        point = tuple(
            leaf if _is_picture(z) else torch.zeros_like(leaf) for leaf, z in zip(attribution.point, at.z, strict=True)
        )
        features = feature_space(at)
        inside = features.gather(tuple(self._quadrants(z, chosen, place.channel_dim) for z in at.z)) > 0
        return relevance_mass(features.gather(point), inside)

    def _problem(self, problem: Problem, chosen: Mosaics, label: Tensor, channel_dim: int | None) -> Problem:
        device = leaves(problem.inputs)[0].device

        def composed(inputs: Inputs) -> Inputs:
            return rebuild(inputs, tuple(self._composed(leaf, chosen, channel_dim) for leaf in leaves(inputs)))

        return replace(
            problem,
            inputs=composed(problem.inputs),
            baseline=composed(problem.baseline),
            target=label.long().to(device)[:, None],
        )

    def _composed(self, leaf: Tensor, chosen: Mosaics, channel_dim: int | None) -> Tensor:
        if not _is_picture(leaf):
            return leaf[chosen.samples.to(leaf.device)]
        channels = _channels(leaf, channel_dim)
        pictures = leaf.movedim(channels, 1)
        numbers = chosen.pictures.to(leaf.device).unbind(dim=1)
        sizes = _sizes(pictures) if self.resize else [tuple(pictures.shape[2:])] * QUADRANTS
        quarters = [_scaled(pictures[number], size) for number, size in zip(numbers, sizes, strict=True)]
        return tiled(quarters).movedim(1, channels)

    def _quadrants(self, z: Tensor, chosen: Mosaics, channel_dim: int | None) -> Tensor:
        if not _is_picture(z):
            return torch.zeros_like(z)
        channels = _channels(z, channel_dim)
        ours = chosen.ours.to(z).unbind(dim=1)
        sizes = _sizes(z.movedim(channels, 1))
        marked = tiled([one.view(-1, 1, 1, 1).expand(-1, 1, *size) for one, size in zip(ours, sizes, strict=True)])
        return marked.movedim(1, channels).expand_as(z)


def _is_picture(leaf: Tensor) -> bool:
    return is_continuous(leaf) and leaf.ndim == 4


def _channels(leaf: Tensor, channel_dim: int | None) -> int:
    # Where every element is a feature of its own, pictures have their channels where torch has them.
    axis = channel_axis(tuple(leaf.shape[1:]), channel_dim)
    return 1 if axis is None else axis + 1


def _sizes(mosaic: Tensor) -> list[tuple[int, ...]]:
    # (height, width) of the quadrants; the right and the lower ones have one more where a side is odd.
    height, width = mosaic.shape[2:]
    rows, columns = (height // 2, height - height // 2), (width // 2, width - width // 2)
    return [(row, column) for row in rows for column in columns]


def _scaled(pictures: Tensor, size: tuple[int, ...]) -> Tensor:
    if tuple(pictures.shape[2:]) == size:
        return pictures
    # Half precision has no antialiased interpolation everywhere.
    exact = pictures if pictures.dtype == torch.float64 else pictures.float()
    return F.interpolate(exact, size=size, mode="bilinear", align_corners=False, antialias=True).to(pictures.dtype)


def _lacking_target(probe: ProbeSet) -> str | None:
    several = isinstance(probe.target, Tensor) and probe.target.ndim > 1 and probe.target.shape[1] > 1
    if several or (isinstance(probe.target, str) and probe.target == "output"):
        return "mosaics ask for a class, and the target is not one output index for each sample"
    return None


def _lacking_labels(label: Tensor | None) -> str | None:
    if label is None or is_continuous(label) or label.ndim != 1:
        return "mosaics need class labels; pass label= to the probe set"
    frequent = int((label.unique(return_counts=True)[1] >= 2).sum())
    if frequent < 2:
        return f"mosaics need two classes with at least 2 samples each, the probe set has {frequent}"
    return None
