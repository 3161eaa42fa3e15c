"""A metric over the probe set: its mean, and how far to trust it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from lightning_explain.randomness import stream

RESAMPLES = 1000
CONFIDENCE = 0.95


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
        low: The lower end of the 95 % bootstrap interval of the mean over probe sets; NaN for n < 2.
        high: Its upper end.
        skill: How much of the way from random attributions to a perfect score the mean has come: 1 is perfect, 0 no
            better than random, negative worse; None where there is no yardstick, or no perfect score.
    """

    mean: float
    standard_error: float
    n: int
    undefined: int
    per_sample: tuple[float, ...] = field(repr=False)
    higher_is_better: bool | None = None
    low: float = math.nan
    high: float = math.nan
    skill: float | None = None

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
        low, high = bootstrap_interval(defined)
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

    def against(self, random: Score, perfect: float | None) -> Score:
        """The same score, with its skill against random attributions.

        Args:
            random: The score of random attributions of the same samples.
            perfect: The best possible score; None if there is none.

        Returns:
            The score; its skill is None if there is no perfect score, NaN if random attributions are perfect.

        Example:
            >>> Score.of(torch.tensor([0.1])).against(Score.of(torch.tensor([0.4])), perfect=0.0).skill
            0.75
        """
        if perfect is None:
            return self
        span = perfect - random.mean
        return replace(self, skill=round((self.mean - random.mean) / span, 12) if span else math.nan)

    def by_class(self, label: Tensor) -> Mapping[int, Score]:
        """The same score for the samples of each class.

        Args:
            label: The class labels (n,), of the samples in ``per_sample``.

        Returns:
            Score by class label, in ascending order.

        Raises:
            ValueError: If there is not one label for each sample.
        """
        if len(label) != len(self.per_sample):
            raise ValueError(f"Expected a label for each of {len(self.per_sample)} samples, got {len(label)}.")
        label, scores = label.cpu(), torch.tensor(self.per_sample, dtype=torch.float64)
        return {int(c): Score.of(scores[label == c], self.higher_is_better) for c in label.unique()}


def bootstrap_interval(
    values: Tensor, resamples: int = RESAMPLES, confidence: float = CONFIDENCE
) -> tuple[float, float]:
    """The percentile bootstrap interval of a mean: where it would lie for other samples of the same kind.

    Args:
        values: Numbers (n,), finite.
        resamples: How many times n samples are drawn with replacement; always the same ones.
        confidence: The share of the resampled means inside.

    Returns:
        The lower and the upper end; NaN for n < 2.

    B. Efron, R. Tibshirani: An Introduction to the Bootstrap. Chapman & Hall, 1993, chapter 13.

    Example:
        >>> bootstrap_interval(torch.ones(5, dtype=torch.float64))
        (1.0, 1.0)
    """
    n = values.numel()
    if n < 2:
        return math.nan, math.nan
    chosen = torch.randint(n, (resamples, n), generator=stream(f"bootstrap {n}", 0))
    means = values[chosen].mean(dim=1)
    ends = torch.tensor([(1 - confidence) / 2, (1 + confidence) / 2], dtype=values.dtype)
    low, high = means.quantile(ends).tolist()
    return low, high
