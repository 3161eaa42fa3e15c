from dataclasses import fields

import pytest
import torch

from lightning_explain.evidence import value_of
from lightning_explain.gate import Value
from lightning_explain.metrics import Score


def test_a_gate_is_told_all_that_is_known_of_a_score():
    line = Score.of(torch.tensor([0.1, 0.2, 0.3, 0.2, 0.1]))
    score = Score.of(torch.tensor([1.0, 2.0, 4.0, 3.0, torch.nan]), higher_is_better=True).against(line, 5.0)
    value = value_of(score)
    for field in fields(Value):
        if field.name != "stale_since":
            assert getattr(value, field.name) == getattr(score, field.name), field.name
    assert value.stale_since is None
    assert (value.n, value.undefined, value.higher_is_better) == (4, 1, True)
    assert value.advantage == pytest.approx(2.5 - 0.2)
