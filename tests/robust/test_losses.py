import math

import pytest
import torch

from lightning_explain.robust.losses import surprise

LOGITS = torch.tensor([[1.0, -2.0, 0.5], [0.0, 3.0, -1.0]], dtype=torch.float64)
TARGET = torch.tensor([[2], [0]])


def test_surprise_is_the_cross_entropy():
    by_hand = [-(row[t] - math.log(sum(map(math.exp, row)))) for row, t in zip(LOGITS.tolist(), (2, 0), strict=True)]
    assert surprise(LOGITS, TARGET).tolist() == pytest.approx(by_hand)
    assert surprise(LOGITS.softmax(dim=1), TARGET).tolist() == pytest.approx(by_hand)
    assert surprise(LOGITS.bfloat16(), TARGET).dtype == torch.float32
    assert surprise(LOGITS.bfloat16(), TARGET).tolist() == pytest.approx(by_hand, abs=0.05)


def test_surprise_of_a_position():
    logits = torch.randn(2, 3, 4)
    index = torch.tensor([[1, 3], [2, 0]])
    expected = torch.stack([-logits.log_softmax(dim=1)[0, 1, 3], -logits.log_softmax(dim=1)[1, 2, 0]])
    torch.testing.assert_close(surprise(logits, index), expected)


def test_it_still_slopes_where_the_probability_is_zero():
    """The probability of 200 below the largest is 0 in float32; its logarithm is not."""
    logits = torch.tensor([[0.0, 200.0]], requires_grad=True)
    assert torch.autograd.grad(surprise(logits, torch.tensor([[0]])).sum(), logits)[0].tolist() == [[-1, 1]]


def test_one_class_is_no_choice():
    for outputs in (torch.ones(2, 1), torch.ones(2)):
        with pytest.raises(ValueError, match="are no classes to choose from: pass loss="):
            surprise(outputs, torch.zeros(2, 1, dtype=torch.long))
