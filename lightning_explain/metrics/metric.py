"""What a metric is: a score for each sample, and torchmetrics' class around it."""

from __future__ import annotations

import inspect
from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from lightning_explain.metrics.score import Score
from lightning_explain.metrics.settings import settings_digest
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
    _settings: str
    yardstick: ClassVar[bool] = False
    """Whether random attributions are scored too: scores of faithfulness and localisation mean little without them."""

    randomises: ClassVar[bool] = False
    """Whether it needs the attributions of the model with random parameters; they are computed once in a run."""

    compares: ClassVar[bool] = False
    """Whether it compares methods: it applies where another one's maps live at the same place."""

    default: ClassVar[bool] = False
    """Whether the monitor scores with it where the user names no metrics."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        # What help() and editors show: Python would take that of __new__, which says nothing.
        parameters = list(inspect.signature(cls.__init__).parameters.values())[1:]
        cls.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]

    def __new__(cls, *args: Any, **kwargs: Any) -> AttributionMetric:
        """Note the settings, which the constructors of subclasses need not hand on."""
        metric = super().__new__(cls)
        object.__setattr__(metric, "_settings", settings_digest(cls, args, kwargs))
        return metric

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        # MetricCollection merges metrics whose states have the same name and, after the first update, look the same:
        # so the name tells other settings apart, and no more. It is found again in another process, when a state dict
        # is loaded or ranks gather their states.
        self._state = f"{self.name}_scores_{self._settings}"
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
        scores = self._seen().double()
        return scores.where(scores.isfinite(), torch.nan).nanmean().float().to(self.device)

    def score(self, *, synced: bool = True) -> Score:
        """The mean, its standard error and interval, and the score of every sample seen.

        Args:
            synced: Whether the samples that other processes saw belong to it, as they do to ``compute``; then every
                process has to ask. False where all saw the same ones.

        Returns:
            The score.
        """
        alone = not synced or self._is_synced
        with self.sync_context(
            dist_sync_fn=self.dist_sync_fn,
            process_group=self.process_group,
            should_sync=not alone,
            should_unsync=not alone,
        ):
            return Score.of(self._seen(), self.higher_is_better)

    def _seen(self) -> Tensor:
        states: list[Tensor] = getattr(self, self._state)
        return dim_zero_cat(states) if len(states) else torch.empty(0)

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
