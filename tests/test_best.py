import math

import pytest
import torch

from lightning_explain.best import Best


def taken(values, mode):
    best = Best()
    kept = []
    for number, value in enumerate(values):
        best.take(value, mode, {"saliency": torch.tensor([[float(number)]])})
        kept.append(None if best.maps is None else int(best.maps["saliency"]))
    return kept


@pytest.mark.parametrize(
    ("values", "mode", "expected"),
    [
        ([0.1, 0.3, 0.2, 0.4], "max", [0, 1, 1, 3]),
        ([0.5, 0.3, 0.4, 0.2], "min", [0, 1, 1, 3]),
        ([0.3, 0.3], "max", [0, 0]),
        ([0.3, 0.3], "min", [0, 0]),
        ([None, 0.2, math.nan, math.inf, 0.3], "max", [None, 1, 1, 1, 4]),
        ([torch.tensor(0.5), torch.tensor(0.6)], "max", [0, 1]),
    ],
)
def test_the_best_validation_is_kept(values, mode, expected):
    assert taken(values, mode) == expected
