"""ROAD: is the class still recognised when relevant pixels are replaced by what their neighbours say?"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import torch
from torch import Tensor

from lightning_explain.attribution.place import Neuron, Place
from lightning_explain.attribution.regions import EveryFeature, Partition
from lightning_explain.attribution.settings import numbers
from lightning_explain.attribution.target import Readout
from lightning_explain.metrics.evaluation import Evaluation
from lightning_explain.metrics.metric import METRICS, AttributionMetric
from lightning_explain.metrics.perturbation import Course
from lightning_explain.registry import unknown

if TYPE_CHECKING:
    from lightning_explain.attribution.methods import Method
    from lightning_explain.attribution.problem import Problem
    from lightning_explain.probe import ProbeSet

Order: TypeAlias = Literal["morf", "lerf", "difference"]
Shown: TypeAlias = Literal["top", "probability"]

ORDERS = ("morf", "lerf", "difference")
SHOWN = ("top", "probability")
PERCENTAGES = (10, 20, 30, 40, 50, 70, 90)


@METRICS.register("road")
class ROAD(AttributionMetric):
    r"""Remove and debias: the accuracy after pixels were imputed from their neighbours, the mean over percentages.

    Imputed pixels follow their surroundings, with a little noise, so that the model sees neither holes nor the shape
    of what was removed. Of each sample it is asked whether the target is still the class of the highest output.
    In [0, 1], lower is better for the most relevant first, higher for the least relevant first. ``"difference"`` is
    the second less the first, in [-1, 1], higher is better, and random attributions have about 0.

    Y. Rong et al.: A Consistent and Efficient Evaluation Strategy for Attribution Methods. arXiv:2202.00449, 2022.

    Args:
        percentages: Of the features that are removed; each costs a row, for ``"difference"`` two.
        order: ``"morf"``, the most relevant first; ``"lerf"``, the least relevant first; or ``"difference"``.
        readout: ``"top"``, whether the target is the highest output, or its ``"probability"``, which says more where
            there are few samples.
        partition: What goes as one.
        kwargs: For :class:`torchmetrics.Metric`.

    Raises:
        TypeError: If a setting is of the wrong kind.
        ValueError: If a percentage is not between 0 and 100, all are below 1 as shares are, or the order or the readout
            is unknown.

    Example:
        >>> from lightning_explain import ProbeSet, evaluate
        >>> model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 2, bias=False))
        >>> model[1].weight.data = torch.stack([torch.arange(16.0), torch.arange(16.0).flip(0)]) / 16
        >>> probe = ProbeSet.from_tensors(torch.ones(2, 1, 4, 4), target=0)
        >>> explained = evaluate(model, probe, ["input_x_gradient"], [ROAD(readout="probability")]).explained[0]
        >>> round(explained.scores["road"].mean, 3)
        0.5
    """

    plot_upper_bound = 1.0
    yardstick = True

    def __init__(
        self,
        percentages: tuple[float, ...] = PERCENTAGES,
        order: Order = "morf",
        readout: Shown = "top",
        partition: Partition = EveryFeature(),  # noqa: B008  (frozen)
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        percentages = numbers("percentages", percentages)
        if percentages and all(0 < percentage < 1 for percentage in percentages):
            raise ValueError(f"ROAD takes percentages, not shares: 10 is a tenth. Got {percentages}.")
        if not percentages or not all(0 < percentage < 100 for percentage in percentages):
            raise ValueError(f"Expected percentages between 0 and 100, at least one, got {percentages}.")
        for what, given, known in (("order", order, ORDERS), ("readout", readout, SHOWN)):
            if given not in known:
                raise ValueError(unknown(what, given, known))
        self.order, self.readout = order, readout
        shares = tuple(percentage / 100 for percentage in sorted(percentages))
        self.course = Course(partition, shares=shares, fill="noisy_linear", readout="top" if readout == "top" else None)

    @property
    def higher_is_better(self) -> bool:  # type: ignore[override]
        """False if the most relevant go first."""
        return self.order != "morf"

    def perfect(self, readout: Readout) -> float | None:  # noqa: D102
        bounded = self.readout == "top" or readout == "probability"
        return float(self.order != "morf") if bounded else None

    def missing(self, method: Method, space: Place, probe: ProbeSet) -> str | None:  # noqa: D102
        if self.readout == "top" and isinstance(space, Neuron):
            return f"{method.name}{space} explains a neuron, not a class; take readout='probability'"
        if self.readout == "top" and isinstance(probe.target, str) and probe.target == "output":
            return "the target is one number, not a class; take readout='probability'"
        return None

    def check(self, problem: Problem) -> None:  # noqa: D102
        if self.readout == "top" and not several_outputs(problem):
            raise ValueError(
                "road asks whether the target is still the highest output, and this model has one; take"
                " ROAD(readout='probability')."
            )

    def per_sample(self, evaluation: Evaluation) -> Tensor:  # noqa: D102
        if self.order == "difference":
            score = self._mean(evaluation, ascending=True) - self._mean(evaluation, ascending=False)
        else:
            score = self._mean(evaluation, ascending=self.order == "lerf")
        chosen = self.readout != "top" or _chooses(evaluation.perturbations.problem)
        return score if chosen else torch.full_like(score, torch.nan)

    def _mean(self, evaluation: Evaluation, ascending: bool) -> Tensor:
        return evaluation.curve(replace(self.course, ascending=ascending)).values.mean(dim=1)


def _chooses(problem: Problem) -> bool:
    # A single output is always the highest.
    return not isinstance(problem.place, Neuron) and several_outputs(problem)


def several_outputs(problem: Problem) -> bool:
    """Whether the target is one of several outputs.

    Returns:
        False for a model that gives one number.
    """
    return problem.target is not None and problem.outputs.ndim > 1 and problem.outputs.shape[1] > 1
