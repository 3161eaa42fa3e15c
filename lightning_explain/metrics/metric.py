"""What a metric is: a score for each sample, and torchmetrics' class around it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from itertools import count
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from lightning_explain.metrics.score import Score
from lightning_explain.registry import Registry

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from lightning_explain.attribution.methods import Method
    from lightning_explain.attribution.place import Place
    from lightning_explain.attribution.problem import Problem
    from lightning_explain.attribution.target import Readout
    from lightning_explain.metrics.evaluation import Evaluation, RandomEvaluation
    from lightning_explain.probe import ProbeSet

_NUMBERS = count()


class AttributionMetric(Metric):
    """Base of all scores of attributions.

    As input to ``update`` the metric takes an
    :class:`~lightning_explain.metrics.evaluation.Evaluation`; ``compute`` gives the mean over all
    samples seen, ``score()`` the mean with its standard error, its interval and the score of every sample.
    Samples for which the metric is undefined are NaN and left out of the mean.
    """

    is_differentiable = False
    full_state_update = False

    name: ClassVar[str]
    yardstick: ClassVar[bool] = False
    """Whether random attributions are scored too: scores of faithfulness and localisation mean little without them."""

    randomises: ClassVar[bool] = False
    """Whether it needs the attributions of the model with random parameters; they are computed once in a run."""

    default: ClassVar[bool] = False
    """Whether the monitor scores with it where the user names no metrics."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        # A state name of its own for every metric: MetricCollection merges those whose states have the same name and,
        # after the first update, look the same. A copy keeps the name, and may be merged with its original.
        self._state = f"{self.name}_scores_{next(_NUMBERS)}"
        self.add_state(self._state, default=[], dist_reduce_fx="cat")

    def perfect(self, readout: Readout) -> float | None:
        """The best possible score, which skill is measured against.

        Args:
            readout: What curves show.

        Returns:
            The score; None if there is none.
        """
        return None

    def update(self, evaluation: Evaluation | RandomEvaluation) -> None:
        """Score every sample of ``evaluation``."""
        getattr(self, self._state).append(self.per_sample(evaluation).detach())  # type: ignore[arg-type]  # yardsticks use what both have

    def compute(self) -> Tensor:
        """The mean over the samples for which the metric is defined.

        Returns:
            A 0-d tensor, NaN if there is none.
        """
        return torch.tensor(self.score().mean, dtype=torch.float32, device=self.device)

    def score(self) -> Score:
        """The mean, its standard error and interval, and the score of every sample seen.

        Returns:
            The score.
        """
        states: list[Tensor] = getattr(self, self._state)
        return Score.of(dim_zero_cat(states) if len(states) else torch.empty(0), self.higher_is_better)

    def plot(self, val: Tensor | Sequence[Tensor] | None = None, ax: Axes | None = None) -> tuple[Figure, Axes]:
        """Plot one or several values.

        Args:
            val: What ``compute`` or ``forward`` gave, or several of them; None calls ``compute``.
            ax: Where to draw.

        Returns:
            The figure and its axes.
        """
        return self._plot(val, ax)  # type: ignore[return-value]

    def missing(self, method: Method, space: Place, probe: ProbeSet) -> str | None:
        """Why the metric cannot score attributions of this method, living at ``space``, of this probe set.

        Returns:
            The reason, or None if it can.
        """
        return None

    def check(self, problem: Problem) -> None:
        """Refuse a model that the metric can say nothing of, before the training begins.

        Args:
            problem: A sample of the probe set, explained at the input: its outputs and target are known.

        Raises:
            ValueError: If it is such a model; the message says what would work.
        """
        return

    @abstractmethod
    def per_sample(self, evaluation: Evaluation) -> Tensor:
        """Score every sample.

        Returns:
            Scores (n,), NaN where undefined.
        """


METRICS = Registry[AttributionMetric]("metric")
