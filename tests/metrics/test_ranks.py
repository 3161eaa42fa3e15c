import numpy as np
import pytest
import torch
from scipy.stats import rankdata, spearmanr
from torchmetrics.functional import spearman_corrcoef

from lightning_explain.metrics.ranks import average_ranks, map_similarity, spearman


def maps(n=5, size=40, ties=True, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn(n, size, generator=generator, dtype=torch.float64)
    return ((drawn * 3).round() if ties else drawn).to(dtype)


@pytest.mark.parametrize("ties", [True, False])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.int64])
def test_ranks_are_those_of_scipy(ties, dtype):
    values = maps(ties=ties, dtype=dtype)
    expected = rankdata(values.numpy(), axis=1)
    np.testing.assert_array_equal(average_ranks(values).numpy(), expected)
    # A transposed view, not contiguous in memory.
    np.testing.assert_array_equal(average_ranks(values.T).numpy(), rankdata(values.T.numpy(), axis=1))


def test_correlation_is_that_of_scipy():
    a, b = maps(seed=1), maps(seed=2) + maps(seed=1)
    everything = torch.ones_like(a, dtype=torch.bool)
    expected = [spearmanr(x, y).statistic for x, y in zip(a.numpy(), b.numpy(), strict=True)]
    np.testing.assert_allclose(spearman(a, b, everything).numpy(), expected, atol=1e-12)


def test_only_the_features_among_take_part():
    a, b = maps(seed=3), maps(seed=4)
    among = torch.rand(a.shape, generator=torch.Generator().manual_seed(0)) < 0.6
    got = spearman(a, b, among)
    for i in range(len(a)):
        expected = spearmanr(a[i][among[i]].numpy(), b[i][among[i]].numpy()).statistic
        assert float(got[i]) == pytest.approx(expected, abs=1e-12)
    # What is left out may hold anything finite.
    other = torch.where(among, a, torch.full_like(a, 1e30))
    torch.testing.assert_close(spearman(other, b, among), got)


def test_maps_are_compared_where_one_of_them_is_not_zero():
    a, b = maps(seed=5, ties=False), maps(seed=6, ties=False)
    a[:, :25] = b[:, :25] = 0
    a[:, 20:25] = maps(seed=7, ties=False)[:, :5]
    got = map_similarity(a, b)
    for i in range(len(a)):
        # A loop over features, as the definition says it.
        pairs = [(float(x), float(y)) for x, y in zip(a[i], b[i], strict=True) if x != 0 or y != 0]
        assert len(pairs) == 20
        assert float(got[i]) == pytest.approx(spearmanr(*zip(*pairs, strict=True)).statistic, abs=1e-12)
    # Shared zeros alone would make unrelated maps alike.
    assert float(spearman(a.abs(), b.abs(), torch.ones_like(a, dtype=torch.bool)).mean()) > 0.5
    assert abs(float(got.mean())) < 0.3


def test_many_ties_do_not_overflow():
    generator = torch.Generator().manual_seed(0)
    a = torch.rand(2, 150_528, generator=generator)
    b = a + 0.3 * torch.rand(2, 150_528, generator=generator)
    zero = torch.rand(a.shape, generator=generator) < 0.7
    a, b = a.masked_fill(zero, 0), b.masked_fill(zero, 0)
    expected = [spearmanr(x, y).statistic for x, y in zip(a.numpy(), b.numpy(), strict=True)]
    np.testing.assert_allclose(spearman(a, b, torch.ones_like(a, dtype=torch.bool)).numpy(), expected, atol=1e-10)


def test_any_monotone_change_keeps_the_order_and_equal_maps_are_exactly_alike():
    a = maps(ties=False, seed=8, dtype=torch.float32)
    assert map_similarity(a, a.exp() * 1e-20).max() <= 1
    torch.testing.assert_close(map_similarity(a, a.double() ** 3), torch.ones(5, dtype=torch.float64))
    torch.testing.assert_close(map_similarity(a, -a), -torch.ones(5, dtype=torch.float64))
    for seed in range(30):  # never beyond 1, so that 1 - similarity is never negative
        similar = map_similarity(maps(seed=seed), maps(seed=seed))
        assert bool((similar <= 1).all())


def test_undefined_rows_are_nan_and_leave_the_others_alone():
    a, b = maps(4, 6, ties=False), maps(4, 6, ties=False, seed=9)
    a[0], a[1, 2], b[2, 0] = 0.0, torch.nan, torch.inf
    got = map_similarity(a, b)
    assert torch.isnan(got).tolist() == [True, True, True, False]
    assert torch.isnan(map_similarity(torch.zeros(2, 3), torch.zeros(2, 3))).all()
    assert float(got[3]) == pytest.approx(spearmanr(a[3].numpy(), b[3].numpy()).statistic)


def test_torchmetrics_loses_digits_where_there_are_ties():
    generator = torch.Generator().manual_seed(0)
    a, b, drawn = torch.rand(3, 150_528, generator=generator)
    a, b = a.masked_fill(drawn < 0.5, 0), b.masked_fill(drawn < 0.5, 0)
    expected = spearmanr(a, b).statistic
    assert float(spearman(a[None], b[None], torch.ones(1, len(a), dtype=torch.bool))) == pytest.approx(expected)
    assert float(spearman_corrcoef(a, b)) > expected + 0.05
