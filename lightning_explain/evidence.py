"""From the score of a metric to what a gate knows of it."""

from __future__ import annotations

from lightning_explain.gate import Value
from lightning_explain.metrics import Score


def value_of(score: Score) -> Value:
    """What a gate is told of a score that was measured at this validation.

    Returns:
        Its mean, its intervals and its direction; not the scores of samples.
    """
    return Value(
        score.mean,
        score.standard_error,
        score.n,
        score.undefined,
        low=score.low,
        high=score.high,
        higher_is_better=score.higher_is_better,
        advantage=score.advantage,
        advantage_low=score.advantage_low,
        advantage_high=score.advantage_high,
    )
