import pytest
import torch
from torch import nn

from lightning_explain import explain
from lightning_explain.attribution.derivative import accumulator


@pytest.mark.parametrize(
    ("dtype", "wide"),
    [
        (torch.bfloat16, torch.float32),
        (torch.float16, torch.float32),
        (torch.float32, torch.float32),
        (torch.float64, torch.float64),
        (torch.int64, torch.float64),
        (torch.int32, torch.float64),
        (torch.bool, torch.float32),
    ],
)
def test_numbers_are_added_up_without_loss(dtype: torch.dtype, wide: torch.dtype) -> None:
    assert accumulator(torch.zeros(1, dtype=dtype)) == wide


def test_scores_that_are_large_integers() -> None:
    count = torch.tensor([[2**40 + 1, 3], [5, 2**30 + 1]])
    found = explain(nn.Identity(), count, "feature_ablation", target="output", baseline=0,
                    forward=lambda _, x: x.sum(dim=1))  # fmt: skip
    assert found.values.tolist() == count.tolist()
