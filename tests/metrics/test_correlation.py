import numpy as np
import pytest
import torch
from scipy.stats import pearsonr

from lightning_explain.metrics.correlation import pearson


def drawn(n=6, size=9, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, size, generator=generator, dtype=torch.float64).to(dtype)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_correlation_is_that_of_scipy(dtype):
    a, b = drawn(seed=1, dtype=dtype), drawn(seed=2, dtype=dtype) + drawn(seed=1, dtype=dtype)
    expected = [pearsonr(x, y).statistic for x, y in zip(a.double().numpy(), b.double().numpy(), strict=True)]
    np.testing.assert_allclose(pearson(a, b).numpy(), expected, atol=1e-12)


def test_only_those_among_take_part():
    a, b = drawn(seed=1), drawn(seed=2)
    among = drawn(seed=3) > -0.5
    got = pearson(a, b, among)
    for i in range(6):
        chosen = among[i]
        assert 3 <= int(chosen.sum()) < 9
        assert float(got[i]) == pytest.approx(pearsonr(a[i][chosen].numpy(), b[i][chosen].numpy()).statistic)
    # What does not take part is not looked at.
    torch.testing.assert_close(pearson(a.masked_fill(~among, torch.nan), b.masked_fill(~among, torch.inf), among), got)


@pytest.mark.parametrize("scale", [1e-200, 1e-30, 1e12, 1e200])
def test_units_and_offsets_do_not_matter(scale):
    a, b = drawn(seed=1), drawn(seed=2)
    torch.testing.assert_close(pearson(a * scale, b), pearson(a, b))
    torch.testing.assert_close(pearson(3 - a, b), -pearson(a, b))


def test_undefined_rows_are_nan():
    row = torch.arange(1.0, 8.0)
    one = row.repeat(5, 1)
    other = torch.stack([torch.zeros(7), torch.full((7,), 0.1), row * torch.nan, row, row])
    other[3, 2] = torch.inf
    among = torch.ones(5, 7, dtype=torch.bool)
    among[4] = False
    assert torch.isnan(pearson(one, other, among)).all()
    assert torch.isnan(pearson(other, one, among)).all()


def test_what_rounding_makes_of_equal_numbers_is_constant():
    parts = drawn(50, 12, dtype=torch.float64)
    # The same sum in 40 orders: equal, but for the last bits.
    orders = torch.stack([torch.randperm(12, generator=torch.Generator().manual_seed(i)) for i in range(40)])
    sums = torch.stack([parts[:, order].cumsum(dim=1)[:, -1] for order in orders], dim=1)
    assert bool((sums.amax(dim=1) > sums.amin(dim=1)).any())
    positive = parts.abs()
    sums = torch.stack([positive[:, order].cumsum(dim=1)[:, -1] for order in orders], dim=1)
    assert bool((sums.amax(dim=1) > sums.amin(dim=1)).any())
    assert torch.isnan(pearson(sums, drawn(50, 40))).all()
    # A difference in the ninth digit is a difference.
    assert pearson(1 + 1e-9 * drawn(50, 40), drawn(50, 40)).min() > 0.999
