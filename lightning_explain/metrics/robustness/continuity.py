"""Continuity: how fast do the attributions change while a picture is moved?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lightning_explain.attribution.feature_space import channel_axis
from lightning_explain.attribution.place import Layer
from lightning_explain.attribution.problem import Problem
from lightning_explain.attribution.settings import numbers, require_integer
from lightning_explain.inputs import Inputs, is_continuous, leaves, rebuild
from lightning_explain.metrics.evaluation import Evaluation
from lightning_explain.metrics.metric import METRICS, AttributionMetric
from lightning_explain.metrics.robustness.changes import absolute_sum, difference, norm
from lightning_explain.metrics.robustness.lipschitz import steepness
from lightning_explain.metrics.robustness.noise import displacement

if TYPE_CHECKING:
    from lightning_explain.attribution.methods import Method
    from lightning_explain.attribution.place import Place
    from lightning_explain.probe import ProbeSet

DISTANCES = (-2, -1, 1, 2)


def translated(inputs: Tensor, fill: Tensor, distance: int, dim: int) -> Tensor:
    """Move samples along a dimension.

    Args:
        inputs: Samples (n, ...).
        fill: What stands where nothing moved in, (n, ...).
        distance: How many positions, towards higher indices; negative: towards lower ones.
        dim: The dimension.

    Returns:
        Samples (n, ...); ``fill`` alone for distances beyond the side.

    Example:
        >>> translated(torch.tensor([[1, 2, 3]]), torch.zeros(1, 3, dtype=torch.long), -1, 1)
        tensor([[2, 3, 0]])
    """
    side = inputs.shape[dim]
    kept = max(0, side - abs(distance))
    source, sink = (0, side - kept) if distance > 0 else (side - kept, 0)
    moved = fill.clone()
    moved.narrow(dim, sink, kept).copy_(inputs.narrow(dim, source, kept))
    return moved


@METRICS.register("continuity")
class Continuity(AttributionMetric):
    r"""The largest change of the attributions for that of the input, while pictures or series are moved a little.

    .. math:: \max_{x' \ne x} \frac{\|\phi(x') - \phi(x)\|_1}{\|x' - x\|_2}

    From 0 up, in units of the attribution per unit of the input; lower is better. The target stays; where nothing moves
    in stands the baseline. Inputs without positions (tables, integers) stay. NaN where no translation changes the
    input.

    G. Montavon, W. Samek, K.-R. Müller: Methods for Interpreting and Understanding Deep Neural Networks.
    arXiv:1706.07979, 2018.

    Args:
        distances: How many positions, towards higher indices or (negative) lower ones; each costs an explanation.
        along: The dimension of the positions, counted from the last, -1: horizontally for pictures, in time for
            series. Where a tensor has fewer, its first.
        kwargs: For :class:`torchmetrics.Metric`.

    Raises:
        ValueError: If there are no distances, or one is 0, or ``along`` is not negative.

    Example:
        >>> from lightning_explain import ProbeSet, evaluate
        >>> model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Tanh(), torch.nn.Linear(16, 2, bias=False))
        >>> model[2].weight.data = torch.stack([torch.arange(16.0), torch.arange(16.0).flip(0)]) / 16
        >>> probe = ProbeSet.from_tensors(torch.arange(32.0).view(2, 1, 4, 4) / 32, target=0)
        >>> explained = evaluate(model, probe, ["input_x_gradient"], [Continuity()]).explained[0]
        >>> round(explained.scores["continuity"].mean, 3)
        1.224
    """

    higher_is_better = False
    plot_lower_bound = 0.0

    def __init__(self, distances: tuple[int, ...] = DISTANCES, along: int = -1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        require_integer("along", along)
        for distance in numbers("distances", distances):
            require_integer("A distance", distance)
        if not distances or 0 in distances:
            raise ValueError(f"distances are one and more numbers of positions, none of them 0, got {distances}.")
        if along >= 0:
            raise ValueError(f"along counts dimensions from the last, -1, got {along}.")
        self.distances, self.along = tuple(distances), along

    def missing(self, method: Method, space: Place, probe: ProbeSet) -> str | None:  # noqa: D102
        if any(map(_has_positions, leaves(probe.inputs))):
            return None
        return "the probe set has no pictures or series, and nothing else can be translated"

    def per_sample(self, evaluation: Evaluation) -> Tensor:  # noqa: D102
        problem, changes, distances = evaluation.problem, [], []
        for distance in self.distances:
            moved = self._translated(problem, distance)
            attribution = evaluation.explain(problem.with_inputs(moved))
            changes.append(absolute_sum(difference(attribution, evaluation.point)))
            distances.append(norm(displacement(moved, problem.inputs)))
        return steepness(torch.stack(changes), torch.stack(distances))

    def _translated(self, problem: Problem, distance: int) -> Inputs:
        # At a layer, its channels say nothing of those of the inputs.
        channel_dim = 1 if isinstance(problem.place, Layer) else problem.place.channel_dim
        pairs = zip(leaves(problem.inputs), leaves(problem.baseline), strict=True)
        return rebuild(
            problem.inputs,
            tuple(
                translated(leaf, fill, distance, self._dim(leaf, channel_dim)) if _has_positions(leaf) else leaf
                for leaf, fill in pairs
            ),
        )

    def _dim(self, leaf: Tensor, channel_dim: int | None) -> int:
        channels = channel_axis(tuple(leaf.shape[1:]), channel_dim)
        positions = [dim for dim in range(1, leaf.ndim) if channels is None or dim != channels + 1]
        return positions[max(self.along, -len(positions))]


def _has_positions(leaf: Tensor) -> bool:
    return is_continuous(leaf) and leaf.ndim > 2
