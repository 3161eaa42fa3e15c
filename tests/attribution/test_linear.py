import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from lightning_explain.attribution import linear
from lightning_explain.attribution.linear import lasso, ridge


def problem(rows: int, features: int, samples: int = 3, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    design = (torch.rand(rows, features, generator=generator) < 0.5).double()
    y = torch.randn(samples, rows, generator=generator, dtype=torch.float64) + 5
    weights = torch.rand(samples, rows, generator=generator, dtype=torch.float64).softmax(dim=1)
    return design, y + 2 * design[:, 0], weights


def loss(design: Tensor, y: Tensor, weights: Tensor, beta: Tensor) -> Tensor:
    """Half the weighted squares of one sample, with the intercept that is best."""
    residual = y - design @ beta
    residual = residual - (weights * residual).sum()
    return (weights * residual**2).sum() / 2


@pytest.mark.parametrize(("rows", "features"), [(30, 5), (8, 8), (10, 25)])
@pytest.mark.parametrize("alpha", [0.0, 0.01, 1.0])
def test_ridge_is_where_the_gradient_vanishes(rows: int, features: int, alpha: float) -> None:
    design, y, weights = problem(rows, features)
    found = ridge(design, y, weights, alpha)
    assert found.shape == (3, features)
    for i, beta in enumerate(found):
        beta = beta.clone().requires_grad_()
        objective = loss(design, y[i], weights[i], beta) + alpha / 2 * beta.square().sum()
        (gradient,) = torch.autograd.grad(objective, beta)
        assert gradient.abs().max() < 1e-10


@pytest.mark.parametrize(("rows", "features"), [(30, 5), (10, 25)])
def test_ridge_in_blocks_of_samples(rows: int, features: int, monkeypatch: pytest.MonkeyPatch) -> None:
    design, y, weights = problem(rows, features, samples=5)
    expected = ridge(design, y, weights, 0.1)
    monkeypatch.setattr(linear, "ELEMENTS_AT_ONCE", 2 * rows * features)
    torch.testing.assert_close(ridge(design, y, weights, 0.1), expected, rtol=0, atol=1e-12)


@given(rows=st.integers(2, 40), features=st.integers(1, 30), share=st.floats(0.02, 1.2), seed=st.integers(0, 5))
def test_the_lasso_meets_the_conditions_of_its_minimum(rows: int, features: int, share: float, seed: int) -> None:
    design, y, weights = problem(rows, features, seed=seed)

    def slope(i: int, beta: Tensor) -> Tensor:
        beta = beta.clone().requires_grad_()
        return torch.autograd.grad(loss(design, y[i], weights[i], beta), beta)[0]

    steepest = torch.stack([slope(i, torch.zeros(features, dtype=torch.float64)).abs().max() for i in range(3)])
    alpha = share * steepest
    found = lasso(design, y, weights, alpha)
    for i, beta in enumerate(found):
        gradient, limit = slope(i, beta), float(alpha[i])
        there = beta != 0
        slack = 1e-9 * float(steepest[i])
        assert (gradient[~there].abs() <= limit + slack).all()
        assert ((gradient + limit * beta.sign())[there].abs() <= slack).all()
        assert share < 1 or not there.any()


@pytest.mark.parametrize(("rows", "features"), [(60, 7), (20, 40)])
def test_scikit_learn_agrees(rows: int, features: int) -> None:
    models = pytest.importorskip("sklearn.linear_model", reason="scikit-learn is not installed")
    design, y, weights = problem(rows, features)
    alpha = torch.tensor([0.01, 0.05, 0.2], dtype=torch.float64)
    found = lasso(design, y, weights, alpha)
    for i in range(3):
        theirs = models.Lasso(float(alpha[i]), tol=1e-13, max_iter=100_000).fit(design, y[i], weights[i])
        assert np.abs(found[i].numpy() - theirs.coef_).max() < 1e-6
        theirs = models.Ridge(float(alpha[i])).fit(design, y[i], weights[i])
        ours = ridge(design, y[i : i + 1], weights[i : i + 1], float(alpha[i]))[0]
        assert np.abs(ours.numpy() - theirs.coef_).max() < 1e-8


def test_nothing_to_fit() -> None:
    design, y, weights = problem(10, 4)
    flat = torch.full_like(y, 3.0)
    for found in (
        lasso(design, flat, weights, torch.zeros(3, dtype=torch.float64)),
        ridge(design, flat, weights, 0.1),
        lasso(torch.ones_like(design), y, weights, torch.full((3,), 0.01, dtype=torch.float64)),
    ):
        assert found.abs().max() < 1e-12
