import math

import pytest
import torch

from lightning_explain.metrics import DegenerateRate
from lightning_explain.metrics.complexity.degenerate import is_degenerate
from metrics.evaluations import Picture, evaluation_of, pictures, with_scores


def by_hand(numbers):
    return float(any(not math.isfinite(v) for v in numbers) or all(v == numbers[0] for v in numbers))


def test_maps_that_say_nothing_are_counted():
    maps = [
        [0.0, 0.0, 0.0],
        [2.5, 2.5, 2.5],
        [1.0, math.nan, 2.0],
        [1.0, math.inf, 2.0],
        [-math.inf, 0.0, 0.0],
        [0.0, 0.0, 1e-30],
        [-1.0, 0.0, 1.0],
    ]
    expected = [by_hand(row) for row in maps]
    assert expected == [1, 1, 1, 1, 1, 0, 0]
    for dtype in (torch.float32, torch.float64):
        assert is_degenerate(torch.tensor(maps, dtype=dtype)).tolist() == expected


def test_the_rate_is_the_mean_over_samples():
    with evaluation_of(Picture(), pictures()) as evaluation:
        scores = evaluation.attribution.point[0].clone()
        scores[1] = 0
        scores[2, 0, 0, 0] = torch.nan
        metric = DegenerateRate()
        metric.update(evaluation)
        assert float(metric.compute()) == 0
        metric.reset()
        metric.update(with_scores(evaluation, scores))
    assert float(metric.compute()) == pytest.approx(0.5)
    assert metric.score().per_sample == (0, 1, 1, 0)
    assert metric.score().undefined == 0
