"""What a metric is: a score for each sample, and torchmetrics' class around it."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from lightning_explain.randomness import stream
from lightning_explain.registry import Registry

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from lightning_explain.attribution.methods import Method
    from lightning_explain.attribution.place import Place
    from lightning_explain.metrics.evaluation import Evaluation, RandomEvaluation
    from lightning_explain.probe import ProbeSet

RESAMPLES = 1000


@dataclass(frozen=True)
class Score:
    """A metric over the probe set.

    Args:
        mean: Over the samples for which the metric is defined; NaN if it is for none.
        standard_error: The standard deviation over samples / sqrt(n); NaN for n < 2.
        n: The samples for which the metric is defined.
        undefined: The samples for which it is not.
        per_sample: Every sample's score, NaN where undefined.
        higher_is_better: The direction; None if the score has none.
        low: The lower end of the 95 % bootstrap interval of the mean over the defined samples; NaN for n < 2.
        high: The upper end.
    """

    mean: float
    standard_error: float
    n: int
    undefined: int
    per_sample: tuple[float, ...] = field(repr=False)
    higher_is_better: bool | None = None
    low: float = math.nan
    high: float = math.nan

    @classmethod
    def of(cls, per_sample: Tensor, higher_is_better: bool | None = None) -> Score:
        """Summarise the scores of samples.

        Returns:
            The score.

        Example:
            >>> score = Score.of(torch.tensor([1.0, 3.0, float("nan")]))
            >>> score.mean, score.standard_error, score.n, score.undefined
            (2.0, 1.0, 2, 1)
        """
        scores = per_sample.detach().cpu().double()
        scores = scores.where(torch.isfinite(scores), torch.nan)
        defined = scores[~scores.isnan()]
        n = defined.numel()
        low, high = _interval(defined) if n > 1 else (math.nan, math.nan)
        return cls(
            mean=float(defined.mean()) if n else math.nan,
            standard_error=float(defined.std() / math.sqrt(n)) if n > 1 else math.nan,
            n=n,
            undefined=scores.numel() - n,
            per_sample=tuple(scores.tolist()),
            higher_is_better=higher_is_better,
            low=low,
            high=high,
        )


class AttributionMetric(Metric):
    """Base of all scores of attributions.

    As input to ``update`` the metric takes an
    :class:`~lightning_explain.metrics.evaluation.Evaluation`; ``compute`` gives the mean over all
    samples seen, ``score()`` the mean with its standard error and the score of every sample.
    Samples for which the metric is undefined are NaN and left out of the mean.
    """

    is_differentiable = False
    full_state_update = False

    name: ClassVar[str]
    yardstick: ClassVar[bool] = False
    """Whether random attributions are scored too: a faithfulness score means little without them."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        # A state name of its own: MetricCollection merges metrics whose states look equal.
        self.add_state(self._state, default=[], dist_reduce_fx="cat")

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
        """The mean, its standard error, and the score of every sample seen.

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

    @classmethod
    def missing(cls, method: Method, space: Place, probe: ProbeSet) -> str | None:
        """Why the metric cannot score attributions of this method, living at ``space``, of this probe set.

        Returns:
            The reason, or None if it can.
        """
        return None

    @abstractmethod
    def per_sample(self, evaluation: Evaluation) -> Tensor:
        """Score every sample.

        Returns:
            Scores (n,), NaN where undefined.
        """

    @property
    def _state(self) -> str:
        return f"{self.name}_scores"


def _interval(defined: Tensor) -> tuple[float, float]:
    # The percentile bootstrap. The same resamples for all: scores of one probe set are compared with one another.
    rows = torch.randint(len(defined), (RESAMPLES, len(defined)), generator=stream("bootstrap", 0))
    low, high = defined[rows].mean(1).quantile(torch.tensor([0.025, 0.975], dtype=defined.dtype)).tolist()
    return low, high


METRICS = Registry[AttributionMetric]("metric")
