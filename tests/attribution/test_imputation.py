from itertools import product

import numpy as np
import pytest
import torch
from scipy.sparse import lil_matrix
from scipy.sparse.linalg import spsolve

from lightning_explain.attribution import imputation
from lightning_explain.attribution.imputation import impute


def imputed_by_hand(values, missing):
    """Equation by equation: each missing position is the weighted mean of the neighbours that it has."""
    dims = missing.shape
    unknown = [p for p in product(*map(range, dims)) if missing[p]]
    number = {position: i for i, position in enumerate(unknown)}
    matrix, right = lil_matrix((len(unknown), len(unknown))), np.zeros((len(unknown), len(values)))
    for i, position in enumerate(unknown):
        for offset in product((-1, 0, 1), repeat=len(dims)):
            other = tuple(p + o for p, o in zip(position, offset, strict=True))
            if not any(offset) or not all(0 <= o < side for o, side in zip(other, dims, strict=True)):
                continue
            weight = {1: 1 / 6, 2: 1 / 12, 3: 1 / 24}[sum(map(abs, offset))]
            matrix[i, i] += weight
            if other in number:
                matrix[i, number[other]] = -weight
            else:
                right[i] += weight * values[(slice(None), *other)]
    found = values.copy()
    for channel, solved in enumerate(spsolve(matrix.tocsc(), right).reshape(len(unknown), len(values)).T):
        for position, value in zip(unknown, solved, strict=True):
            found[(channel, *position)] = value
    return found


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("dims", [(9, 12), (25,), (4, 5, 3)], ids=["picture", "series", "volume"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_the_system_is_solved_to_five_digits(dims, share, dtype):
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(3, 2, *dims, generator=generator, dtype=dtype) * 3 + 100
    missing = torch.rand(3, 1, *dims, generator=generator) < share
    found = impute(values, missing)
    assert found.dtype == dtype
    for i in range(3):
        expected = imputed_by_hand(values[i].double().numpy(), missing[i, 0].numpy())
        assert np.abs(found[i].double().numpy() - expected).max() < (1e-5 if dtype == torch.float64 else 1e-4)
    assert torch.allclose(found[~missing.expand_as(values)], values[~missing.expand_as(values)])


def test_one_pixel_has_the_weights_of_the_paper():
    x = torch.arange(9, dtype=torch.float64).view(1, 1, 3, 3).square()
    middle, corner = (torch.zeros(1, 1, 3, 3, dtype=torch.bool) for _ in range(2))
    middle[0, 0, 1, 1] = corner[0, 0, 0, 0] = True
    assert float(impute(x, middle)[0, 0, 1, 1]) == pytest.approx((1 + 9 + 25 + 49) / 6 + (0 + 4 + 36 + 64) / 12)
    assert float(impute(x, corner)[0, 0, 0, 0]) == pytest.approx((1 / 6 + 9 / 6 + 16 / 12) / (2 / 6 + 1 / 12))


def test_what_stands_in_missing_positions_does_not_matter():
    missing = torch.rand(2, 1, 6, 6) < 0.5
    x = torch.randn(2, 3, 6, 6, dtype=torch.float64)
    for other in (1e6, torch.nan):
        torch.testing.assert_close(impute(torch.where(missing, other, x), missing), impute(x, missing))


def test_a_plane_is_found_again_inside_a_frame():
    """A linear function is the weighted mean of its neighbours: it is the solution."""
    across, down = torch.meshgrid(torch.arange(20.0), torch.arange(20.0), indexing="ij")
    plane = (2 * across - down)[None, None].double()
    missing = torch.zeros(1, 1, 20, 20, dtype=torch.bool)
    missing[..., 1:-1, 1:-1] = True
    torch.testing.assert_close(impute(plane, missing), plane, atol=1e-4, rtol=0)


def test_a_sample_does_not_depend_on_others():
    x = torch.randn(3, 2, 8, 8, dtype=torch.float64)
    missing = torch.rand(3, 1, 8, 8) < torch.tensor([0.05, 0.5, 0.95]).view(3, 1, 1, 1)
    together = impute(x, missing)
    for i in range(3):
        torch.testing.assert_close(impute(x[i : i + 1], missing[i : i + 1])[0], together[i], atol=1e-5, rtol=0)


def test_nothing_and_everything_missing():
    x = torch.randn(2, 2, 5, 5, dtype=torch.float64) + 3
    missing = torch.tensor([False, True]).view(2, 1, 1, 1).expand(2, 1, 5, 5)
    found = impute(x, missing)
    torch.testing.assert_close(found[0], x[0])
    assert found[1].abs().max() == 0


def test_a_constant_picture_stays_constant():
    missing = torch.rand(2, 1, 7, 7) < 0.7
    torch.testing.assert_close(impute(torch.full((2, 1, 7, 7), 5.0), missing), torch.full((2, 1, 7, 7), 5.0))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_low_precision_is_solved_in_float32(dtype):
    x = torch.randn(2, 1, 7, 7).to(dtype)
    missing = torch.rand(2, 1, 7, 7) < 0.5
    found = impute(x, missing)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, impute(x.float(), missing))


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_what_is_not_finite_is_not_waited_for(monkeypatch, value):
    calls, weighted_sum = [], imputation._weighted_sum
    monkeypatch.setattr(imputation, "_weighted_sum", lambda x: calls.append(1) or weighted_sum(x))
    x = torch.randn(2, 1, 12, 12, dtype=torch.float64)
    missing = torch.rand(2, 1, 12, 12) < 0.5
    expected = impute(x[:1], missing[:1])
    alone = len(calls)
    x[1, 0, ~missing[1, 0]] = value
    found = impute(x, missing)
    torch.testing.assert_close(found[:1], expected, atol=1e-5, rtol=0)
    assert not bool(found[1].isfinite().all())
    assert len(calls) == 2 * alone
