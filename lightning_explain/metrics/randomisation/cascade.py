"""Model parameter randomisation, layer by layer: where does an explanation stop to look at the parameters?"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from lightning_explain.attribution.feature_space import FeatureSpace
from lightning_explain.attribution.methods import Method
from lightning_explain.inputs import Point
from lightning_explain.metrics.evaluation import Evaluation
from lightning_explain.metrics.layers import Layers, parameter_layers
from lightning_explain.metrics.metric import METRICS, AttributionMetric
from lightning_explain.metrics.randomisation.parameters import layers_randomised
from lightning_explain.metrics.ranks import map_similarity
from lightning_explain.registry import unknown

Order = Literal["top_down", "bottom_up", "independent"]
ORDERS = ("top_down", "bottom_up", "independent")


def stages(layers: Sequence[str], order: Order) -> Mapping[str, frozenset[str]]:
    """Which layers are random at each stage.

    Args:
        layers: The layers' names, from the input to the output.
        order: ``"top_down"``: the last layer, then the last two, and so on to all; ``"bottom_up"``: the same from
            the first layer; ``"independent"``: each layer alone, from the last.

    Returns:
        The names of the random layers, by the layer that becomes random at the stage.

    Raises:
        ValueError: If the order is unknown.

    Example:
        >>> {name: sorted(random) for name, random in stages(["body", "head"], "top_down").items()}
        {'head': ['head'], 'body': ['body', 'head']}
    """
    if order not in ORDERS:
        raise ValueError(unknown("order of randomisation", order, ORDERS))
    line = list(layers) if order == "bottom_up" else list(reversed(layers))
    if order == "independent":
        return {name: frozenset({name}) for name in line}
    return {name: frozenset(line[: i + 1]) for i, name in enumerate(line)}


def mean_similarity(by_stage: Sequence[Tensor]) -> Tensor:
    """The mean over the stages at which a similarity is defined.

    Args:
        by_stage: Similarities (n,) at each stage.

    Returns:
        Means (n,); NaN where it is defined at none.

    Example:
        >>> mean_similarity([torch.tensor([1.0, torch.nan]), torch.tensor([0.5, torch.nan])])
        tensor([0.7500, nan])
    """
    return torch.stack(list(by_stage)).nanmean(dim=0)


class CascadeMetric(AttributionMetric):
    """Base of the layer-by-layer randomisations.

    Args:
        seed: Where the random parameters begin.
        kwargs: For :class:`torchmetrics.Metric`.
    """

    higher_is_better = False
    plot_lower_bound = -1.0
    plot_upper_bound = 1.0

    order: ClassVar[Order]

    def __init__(self, seed: int = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.seed = seed

    def by_layer(self, evaluation: Evaluation) -> Mapping[str, Tensor]:
        """The similarity at every stage: the curve that Adebayo et al. draw.

        A layer is a module that owns parameters itself, called by its dotted name; ``<model>`` holds those of the model
        itself, and comes first. Layers are in the order in which they begin to run.

        Returns:
            Rank correlations (n,) of absolute maps, by the layer that becomes random at the stage, in the order of the
            stages. NaN where one of the two maps is constant.
        """
        layers = parameter_layers(evaluation.problem)
        return {
            name: self._similarity(evaluation, layers, random)
            for name, random in stages(list(layers), self.order).items()
        }

    def per_sample(self, evaluation: Evaluation) -> Tensor:  # noqa: D102
        return mean_similarity(list(self.by_layer(evaluation).values()))

    def method(self, method: Method) -> Method:
        """What explains the model and its random versions.

        Args:
            method: The evaluation's.

        Returns:
            The same.
        """
        return method

    @property
    def key(self) -> Hashable:
        """What, besides the random layers, a similarity depends on."""
        return self.seed

    def _similarity(self, evaluation: Evaluation, layers: Layers, random: frozenset[str]) -> Tensor:
        method, problem = self.method(evaluation.explainer.method), evaluation.problem

        def similarity() -> Tensor:
            with layers_randomised(problem.model, layers, random, self.seed):
                point = method(problem.anew())  # what the problem remembers is of the true model
            return map_similarity(
                _absolute(evaluation, self._original(evaluation, method)), _absolute(evaluation, point)
            )

        # Orders share stages: the last of top_down is the last of bottom_up.
        return evaluation.remembered(("similarity", self.key, random), similarity)

    def _original(self, evaluation: Evaluation, method: Method) -> Point:
        if method is evaluation.explainer.method:
            return evaluation.point
        return evaluation.remembered(("original", self.key), lambda: method(evaluation.problem))


@METRICS.register("mprt_top_down")
class MPRTTopDown(CascadeMetric):
    """The mean similarity of maps to those of the model whose layers become random, from the output to the input.

    Rank correlation of absolute maps, as for ``mprt``, in [-1, 1], averaged over the stages; lower is better.
    :meth:`by_layer` gives the curve over the layers. NaN where the map is constant.

    J. Adebayo et al.: Sanity Checks for Saliency Maps. arXiv:1810.03292, 2018.

    Args:
        seed: See :class:`CascadeMetric`, as for the other arguments.

    Example:
        >>> from lightning_explain import ProbeSet, evaluate
        >>> model = torch.nn.Sequential(torch.nn.Tanh(), torch.nn.Linear(3, 2, bias=False))
        >>> model[1].weight.data = torch.tensor([[3.0, 1.0, -1.0], [0.0, 0.0, 0.0]])
        >>> probe = ProbeSet.from_tensors(torch.tensor([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]]) / 4, target=0)
        >>> explained = evaluate(model, probe, ["input_x_gradient"], [MPRTTopDown()]).explained[0]
        >>> round(explained.scores["mprt_top_down"].mean, 3)
        -0.25
    """

    order = "top_down"


@METRICS.register("mprt_bottom_up")
class MPRTBottomUp(CascadeMetric):
    """The mean similarity of maps to those of the model whose layers become random, from the input to the output.

    Rank correlation of absolute maps, as for ``mprt``, in [-1, 1], averaged over the stages; lower is better. Below a
    random layer nothing keeps its scale by training, so that this order says more than top-down. NaN where the map is
    constant.

    A. Hedström et al.: Sanity Checks Revisited. arXiv:2401.06465, 2024.

    Args:
        seed: See :class:`CascadeMetric`, as for the other arguments.

    Example:
        >>> from lightning_explain import ProbeSet, evaluate
        >>> model = torch.nn.Sequential(torch.nn.Tanh(), torch.nn.Linear(3, 2, bias=False))
        >>> model[1].weight.data = torch.tensor([[3.0, 1.0, -1.0], [0.0, 0.0, 0.0]])
        >>> probe = ProbeSet.from_tensors(torch.tensor([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]]) / 4, target=0)
        >>> explained = evaluate(model, probe, ["input_x_gradient"], [MPRTBottomUp()]).explained[0]
        >>> round(explained.scores["mprt_bottom_up"].mean, 3)
        -0.25
    """

    order = "bottom_up"


@METRICS.register("mprt_independent")
class MPRTIndependent(CascadeMetric):
    """The mean similarity of maps to those of the model of which one layer is random, layer after layer.

    Rank correlation of absolute maps, as for ``mprt``, in [-1, 1], averaged over the layers; lower is better.
    :meth:`by_layer` says which layers the explanation depends on. NaN where the map is constant.

    J. Adebayo et al.: Sanity Checks for Saliency Maps. arXiv:1810.03292, 2018.

    Args:
        seed: See :class:`CascadeMetric`, as for the other arguments.

    Example:
        >>> from lightning_explain import ProbeSet, evaluate
        >>> model = torch.nn.Sequential(torch.nn.Tanh(), torch.nn.Linear(3, 2, bias=False))
        >>> model[1].weight.data = torch.tensor([[3.0, 1.0, -1.0], [0.0, 0.0, 0.0]])
        >>> probe = ProbeSet.from_tensors(torch.tensor([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]]) / 4, target=0)
        >>> explained = evaluate(model, probe, ["input_x_gradient"], [MPRTIndependent()]).explained[0]
        >>> round(explained.scores["mprt_independent"].mean, 3)
        -0.25
    """

    order = "independent"


def _absolute(evaluation: Evaluation, point: Point) -> Tensor:
    # Of the maps as the method gives them, before coarse ones are upsampled.
    return FeatureSpace.of(point, evaluation.problem.place.channel_dim).gather(point).detach().abs()
