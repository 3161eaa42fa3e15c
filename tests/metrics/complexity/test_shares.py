import pytest
import torch

from lightning_explain.metrics.complexity.shares import magnitude_shares


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_shares_add_up_to_one(dtype):
    scores = torch.randn(5, 12, generator=torch.Generator().manual_seed(0)).to(dtype)
    shares = magnitude_shares(scores)
    assert shares.dtype == torch.float64
    assert shares.sum(dim=1).tolist() == pytest.approx([1] * 5)
    for row, share in zip(scores.tolist(), shares.tolist(), strict=True):
        assert share == pytest.approx([abs(value) / sum(map(abs, row)) for value in row])


def test_maps_that_say_nothing_have_none():
    scores = torch.tensor([[0.0, 0.0], [torch.nan, 1.0], [-torch.inf, 1.0], [0.0, -1e-40]])
    assert magnitude_shares(scores).isnan().all(dim=1).tolist() == [True, True, True, False]
