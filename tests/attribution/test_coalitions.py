import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lightning_explain import ShapleyValues, explain
from lightning_explain.attribution import coalitions
from lightning_explain.attribution.coalitions import bits, blocks


@given(count=st.integers(1, 7))
def test_bits_number_all_coalitions(count: int) -> None:
    every = bits(torch.arange(2**count), count)
    assert len(every.unique(dim=0)) == 2**count
    assert [sum(2**i for i, there in enumerate(row) if there) for row in every.tolist()] == list(range(2**count))


@given(total=st.integers(0, 50), rows=st.integers(0, 20), most=st.integers(1, 60))
def test_blocks_cover_all_draws_and_hold_few_rows(total: int, rows: int, most: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(coalitions, "ROWS_IN_A_BLOCK", most)
        found = list(blocks(total, rows))
    assert [i for block in found for i in range(block.start, block.stop)] == list(range(total))
    assert all(rows * (block.stop - block.start) <= max(most, rows) for block in found)


@pytest.mark.parametrize("method", ["shapley_values", "shapley_sampling", "kernel_shap", "lime", "rise"])
def test_a_sample_does_not_depend_on_how_many_features_its_neighbors_have(method: str) -> None:
    torch.manual_seed(2)
    model = torch.nn.Sequential(torch.nn.Linear(9, 6), torch.nn.Tanh(), torch.nn.Linear(6, 2)).double()
    x = torch.randn(4, 9, dtype=torch.float64)
    mask = torch.stack([torch.arange(9) % 2, torch.arange(9), torch.arange(9) // 3 + 40, torch.arange(9) % 2 * 5])
    found = explain(model, x, method, target=1, feature_mask=mask)
    assert found.coefficients is None or found.coefficients.shape == (4, 9)
    for i in range(4):
        alone = explain(model, x[i : i + 1], method, target=1, feature_mask=mask[i : i + 1])
        torch.testing.assert_close(alone.values[0], found.values[i], rtol=0, atol=1e-10)
    for i, j in ((0, 2), (4, 8)):  # one feature
        assert found.values[0, i] == found.values[0, j]
    assert len(found.values[1].unique()) > 6  # and of nine; the lasso leaves some out


def test_coefficients_of_features_that_a_sample_lacks_are_zero() -> None:
    x, mask = torch.randn(2, 3), torch.tensor([[4, 4, 4], [1, 2, 2]])
    found = explain(torch.nn.Linear(3, 2), x, ShapleyValues(), target=0, feature_mask=mask)
    assert found.coefficients[0, 1] == 0
    assert found.coefficients[1].abs().min() > 0
    assert found.delta.abs().max() < 1e-6
