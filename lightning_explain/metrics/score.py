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
FEWEST = 4
"""The fewest samples with an interval: of fewer, the spread is not known well enough for one."""


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
        low: The lower end of the 95 % bootstrap interval of the mean over probe sets; NaN for n < 4.
        high: Its upper end.
        skill: How much of the way from random attributions to a perfect score the mean has come: 1 is perfect, 0 no
            better than random, negative worse; None where there is no yardstick, or no perfect score.
        advantage: The mean of score - random over the samples where both are defined, whichever direction is better;
            NaN without a yardstick.
        advantage_low: The lower end of its 95 % bootstrap interval; NaN for fewer than 4 such samples.
        advantage_high: Its upper end.
        perfect: The best possible score; None where there is no yardstick, or no such score.
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
    advantage: float = math.nan
    advantage_low: float = math.nan
    advantage_high: float = math.nan
    perfect: float | None = None

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
        """The same score, measured against random attributions.

        Samples are compared one by one: what is easy for the method is easy for random attributions too, and the
        interval of the differences knows of the luck of both.

        Args:
            random: The score of random attributions of the same samples.
            perfect: The best possible score; None if there is none.

        Returns:
            The score, with its advantage and its skill. The skill is None if there is no perfect score, NaN if random
            attributions are perfect.

        Raises:
            ValueError: If the samples are not the same in number.

        Example:
            >>> line = Score.of(torch.tensor([0.4, 0.3, 0.5, 0.4]))
            >>> score = Score.of(torch.tensor([0.1, 0.1, 0.2, 0.0])).against(line, perfect=0.0)
            >>> score.skill, round(score.advantage, 3), round(score.advantage_low, 3), round(score.advantage_high, 3)
            (0.75, -0.3, -0.4, -0.2)
        """
        if len(random.per_sample) != len(self.per_sample):
            raise ValueError(
                f"Expected random attributions of the same {len(self.per_sample)} samples, got"
                f" {len(random.per_sample)}."
            )
        difference = _of_samples(self) - _of_samples(random)
        paired = Score.of(difference)
        return replace(
            self,
            skill=_skill(self.mean, random.mean, perfect),
            advantage=paired.mean,
            advantage_low=paired.low,
            advantage_high=paired.high,
            perfect=perfect,
        )

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
        label, scores = label.cpu(), _of_samples(self)
        return {int(c): Score.of(scores[label == c], self.higher_is_better) for c in label.unique()}


def bootstrap_interval(
    values: Tensor, resamples: int = RESAMPLES, confidence: float = CONFIDENCE
) -> tuple[float, float]:
    """The bootstrap interval of a mean: where it would lie for other samples of the same kind.

    Percentiles of the resampled means, farther out for few samples: resampling shows the spread by n instead of n - 1,
    and knows nothing of how uncertain that spread is. The expanded percentiles lay a normal distribution's ends where
    Student's t with n - 1 degrees of freedom has them.

    Args:
        values: Numbers (n,), finite.
        resamples: How many times n samples are drawn with replacement; always the same ones.
        confidence: How often the interval should hold the true mean.

    Returns:
        The lower and the upper end; NaN for n < 4.

    T. Hesterberg: What Teachers Should Know about the Bootstrap: Resampling in the Undergraduate Statistics Curriculum.
    The American Statistician 69(4), 2015, section on expanded percentiles.

    Example:
        >>> bootstrap_interval(torch.ones(5, dtype=torch.float64))
        (1.0, 1.0)
    """
    n = values.numel()
    if n < FEWEST:
        return math.nan, math.nan
    chosen = torch.randint(n, (resamples, n), generator=stream(f"bootstrap {n}", 0))
    means = values[chosen].mean(dim=1)
    tail = expanded_tail((1 - confidence) / 2, n)
    low, high = means.quantile(torch.tensor([tail, 1 - tail], dtype=values.dtype)).tolist()
    return low, high


def expanded_tail(tail: float, n: int) -> float:
    """The share of resampled means beyond each end of an interval, so that it misses on that side in ``tail`` of all.

    Args:
        tail: How often the interval may lie beyond the true mean on one side, in (0, 0.5).
        n: The samples; at least 4.

    Returns:
        Phi(sqrt(n / (n - 1)) t), with t the ``tail`` quantile of Student's t with n - 1 degrees of freedom: less than
        ``tail``.

    Example:
        >>> round(expanded_tail(0.025, 8), 4), round(expanded_tail(0.025, 1000), 4)
        (0.0057, 0.0248)
    """
    reached = math.sqrt(n / (n - 1)) * _student_quantile(tail, n - 1)
    return float(torch.special.ndtr(torch.tensor(reached, dtype=torch.float64)))


def _student_quantile(tail: float, freedom: int) -> float:
    # The Cornish-Fisher expansion in 1 / freedom (Abramowitz and Stegun, 26.7.5), within 1 % from 3 degrees on.
    z = float(torch.special.ndtri(torch.tensor(tail, dtype=torch.float64)))
    terms = (
        z,
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return math.fsum(term / freedom**power for power, term in enumerate(terms))


def _of_samples(score: Score) -> Tensor:
    return torch.tensor(score.per_sample, dtype=torch.float64)


def _skill(mean: float, random: float, perfect: float | None) -> float | None:
    if perfect is None:
        return None
    span = perfect - random
    return round((mean - random) / span, 12) if span else math.nan
