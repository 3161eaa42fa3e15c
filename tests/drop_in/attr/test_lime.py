from collections.abc import Iterator

import pytest
import torch
from captum import attr as captum
from captum._utils.models.linear_model import SkLearnLasso, SkLearnLinearRegression, SkLearnRidge
from captum.attr._core.lime import get_exp_kernel_similarity_function as captum_kernel
from sklearn.linear_model import Lasso
from torch import Tensor, nn
from torch.utils.data import DataLoader

from lightning_explain.captum import attr as ours
from lightning_explain.captum.attr._core.lime import get_exp_kernel_similarity_function
from lightning_explain.captum.errors import ArgumentError

X = torch.tensor([[1.0, -2.0, 3.0, 0.5], [2.0, 1.0, -1.0, 4.0], [0.3, 0.2, -2.0, 1.0]])
B = torch.tensor([[0.5, 0.0, -1.0, 1.0]])
EVERY = torch.cartesian_prod(*[torch.tensor([0, 1])] * 4)


def small() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3)).eval()


def linear(x: Tensor) -> Tensor:
    return (x @ torch.tensor([3.0, -2.0, 1.0, 4.0])) * 10 + 7


def every_coalition(inputs: object, **kwargs: object) -> Iterator[Tensor]:
    yield from EVERY.split(1)


def lasso_of_every_coalition(model: nn.Module, x: Tensor, target: int, width: float = 1.0) -> Tensor:
    """Captum's objective on all coalitions, by scikit-learn."""
    points = torch.where(EVERY.bool(), x, B[0])
    distance = 1 - torch.cosine_similarity(points.double(), x.double()[None])
    weights = (-(distance**2) / (2 * width**2)).exp()
    scores = model(points)[:, target].detach()
    fit = Lasso(alpha=0.01, tol=1e-12, max_iter=100_000).fit(
        EVERY.numpy(), scores.numpy(), sample_weight=weights.numpy()
    )
    return torch.tensor(fit.coef_, dtype=torch.float32)


def test_the_defaults_are_captums_objective() -> None:
    found = ours.Lime(small()).attribute(X, B, 1)
    expected = torch.stack([lasso_of_every_coalition(small(), x, 1) for x in X])
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    narrow = ours.Lime(small(), similarity_func=get_exp_kernel_similarity_function("cosine", 0.3))
    expected = torch.stack([lasso_of_every_coalition(small(), x, 1, 0.3) for x in X])
    torch.testing.assert_close(narrow.attribute(X, B, 1, perturbations_per_eval=4), expected, atol=1e-5, rtol=0)


def test_captum_agrees_on_the_same_coalitions() -> None:
    for kernel in (None, captum_kernel("euclidean", 2.0)):
        theirs = captum.Lime(small(), SkLearnLasso(alpha=0.01), kernel or captum_kernel(), every_coalition)
        expected = torch.cat([theirs.attribute(x, B, 1, n_samples=16) for x in X.split(1)])
        for model in (None, SkLearnLasso(alpha=0.01)):
            found = ours.Lime(small(), model, kernel, every_coalition).attribute(X, B, 1, n_samples=16)
            torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)
        shared = ours.Lime(small(), SkLearnLasso(alpha=0.01), kernel).attribute(X, B, 1, n_samples=16)
        torch.testing.assert_close(shared, expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", ["cosine", "euclidean"])
def test_the_kernel_is_captums(name: str) -> None:
    ours_, theirs = get_exp_kernel_similarity_function(name, 0.7), captum_kernel(name, 0.7)
    for given in ((X[:1], X[1:2], None), ((X[:1], X[:1] * 2), (X[1:2], B), None), (X[:1], X[:1] * 0, None)):
        assert ours_(*given) == pytest.approx(theirs(*given), rel=1e-5)
    with pytest.raises(ArgumentError, match="distance_mode 'manhattan'"):
        get_exp_kernel_similarity_function("manhattan")
    with pytest.raises(ValueError, match="kernel_width must be above 0, got 0"):
        get_exp_kernel_similarity_function("cosine", 0)


@pytest.mark.parametrize("interpretable", [SkLearnLinearRegression(), SkLearnRidge(alpha=1e-6)], ids=["ols", "ridge"])
def test_a_linear_model_is_found(interpretable: object) -> None:
    expected = torch.tensor([3.0, -2.0, 1.0, 4.0]) * 10 * (X - B)
    found = ours.Lime(linear, interpretable).attribute(X, B, n_samples=40)
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(ours.KernelShap(linear).attribute(X, B), expected, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(ours.Lime(linear).attribute(X, B, n_samples=40), expected, atol=0.2, rtol=0)


class Trained:
    """A model that is fitted by gradients."""

    def fit(self, train_data: DataLoader[object]) -> None:
        ((design, outputs, weights),) = list(train_data)
        self.line = nn.Linear(design.shape[1], 1)
        optimizer = torch.optim.LBFGS(self.line.parameters(), max_iter=100)

        def loss() -> Tensor:
            optimizer.zero_grad()
            error = (weights * (self.line(design)[:, 0] - outputs) ** 2).mean()
            error.backward()
            return error

        optimizer.step(loss)

    def representation(self) -> Tensor:
        return self.line.weight


def test_models_trained_by_gradients() -> None:
    found = ours.Lime(lambda x: x[:, 0] - 3 * x[:, 1], Trained()).attribute(torch.ones(2, 2), n_samples=4)
    torch.testing.assert_close(found, torch.tensor([[1.0, -3.0]] * 2), atol=1e-3, rtol=0)
    assert not found.requires_grad


def test_kernel_shap_is_exact_where_coalitions_are_few() -> None:
    exact = ours.ShapleyValues(small()).attribute(X, B, 2)
    torch.testing.assert_close(ours.KernelShap(small()).attribute(X, B, 2), exact, atol=1e-5, rtol=0)
    assert ours.KernelShap(small()).attribute(X, B, 2, n_samples=1).shape == X.shape
    one = ours.KernelShap(small()).attribute(X, B, 2, feature_mask=torch.tensor(3))
    torch.testing.assert_close(one[:, 0], (small()(X) - small()(B))[:, 2].detach())


def test_coefficients() -> None:
    masks = torch.tensor([[3, 3, 5, 9], [3, 5, 5, 3], [9, 9, 9, 9]])
    for name in ("Lime", "KernelShap"):
        method = getattr(ours, name)(small())
        spread = method.attribute(X, B, 1, feature_mask=masks)
        row = method.attribute(X, B, 1, feature_mask=masks, return_input_shape=False)
        assert row.shape == (3, 7)  # ids 3 to 9
        torch.testing.assert_close(row.gather(1, masks - 3), spread)
        assert row[:, [1, 3, 4, 5]].abs().max() == 0
        assert method.attribute(X[:1], B, 1, return_input_shape=False).shape == (1, 4)
        total = getattr(ours, name)(lambda x: x.sum())
        assert total.attribute(X, return_input_shape=False).shape == (1, 4)
        assert total.attribute(X).shape == (1, 4)
        torch.testing.assert_close(total.attribute(X)[0], X.sum(dim=0), atol=0.05, rtol=0)


def test_the_form_of_several_inputs() -> None:
    y = torch.tensor([[1, 2], [3, -1], [0, 5]])
    masks = (torch.tensor([[0, 1, 4, 4]]), torch.tensor([[1, 6]]))
    for name in ("Lime", "KernelShap"):
        method = getattr(ours, name)(lambda x, y: x.sum(dim=1) + 3 * y.sum(dim=1))
        first, second = method.attribute((X, y), feature_mask=masks, n_samples=64)
        torch.testing.assert_close(first[:, 1], second[:, 0])
        torch.testing.assert_close(first[:, 1], X[:, 1] + 3 * y[:, 0], atol=0.3, rtol=0)
        assert method.attribute((X, y), feature_mask=masks, return_input_shape=False).shape == (3, 7)
        whole = getattr(ours, name)(lambda x, y: float(x.sum() + (y.sum() if len(y) else 0)))
        for other in (torch.tensor([]), torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0])):
            first, second = whole.attribute((X, other), n_samples=64)
            assert first.shape == (1, 4)
            assert second.shape == other[:1].shape
            alone = whole.attribute((X[:1], other), n_samples=64)
            assert alone[1].shape == other.shape


def test_functions_of_the_callers_are_given_what_captum_gives_them() -> None:
    seen: dict[str, list[object]] = {"ours": [], "captum": []}

    def similarity(side: str):
        def weigh(original: object, perturbed: object, present: Tensor, **kwargs: object) -> float:
            assert {"feature_mask", "baselines", "num_interp_features"} <= set(kwargs)
            seen[side].append((original, perturbed, present, kwargs["feature_mask"], kwargs["baselines"]))
            return 1.0 + float(present.sum())

        return weigh

    masks = torch.tensor([[0, 0, 2, 3]])
    for given, mask, baselines in ((X[:1], masks, B), ((X[:1],), (masks,), (B,))):
        for side, module in (("ours", ours), ("captum", captum)):
            seen[side].clear()
            method = module.Lime(small(), SkLearnRidge(alpha=0.1), similarity(side), every_coalition)
            found = method.attribute(given, baselines, 1, feature_mask=mask, n_samples=9)
            if side == "ours":
                kept = found
        torch.testing.assert_close(kept, found, atol=1e-4, rtol=0)
        for left, right in zip(seen["ours"], seen["captum"], strict=True):
            torch.testing.assert_close(left, right)


def test_one_number_is_asked_for() -> None:
    for name in ("Lime", "KernelShap"):
        for forward in (small(), lambda x: torch.stack([x.sum(), x.prod()])):
            with pytest.raises(AssertionError, match="Give target="):
                getattr(ours, name)(forward).attribute(X)
        with pytest.raises(ArgumentError, match="leave perturbations_per_eval at 1"):
            getattr(ours, name)(lambda x: x.sum()).attribute(X, perturbations_per_eval=2)


def test_as_many_draws_for_every_sample() -> None:
    def uneven(inputs: Tensor, **kwargs: object) -> Iterator[Tensor]:
        yield from EVERY[: 5 if inputs[0, 0] > 0.5 else 3].split(1)

    with pytest.raises(ArgumentError, match=r"different numbers of samples, \[3, 5, 5\]"):
        ours.Lime(linear, perturb_func=uneven).attribute(X)


def test_samples_of_all_share_their_rows() -> None:
    rows: list[int] = []

    def forward(x: Tensor) -> Tensor:
        rows.append(len(x))
        return x.sum(dim=1)

    ours.KernelShap(forward).attribute(X)
    assert sum(rows) == 3 + 6 + 3 + 3 * 14  # the inputs, the trial of more rows, the baselines, 2**4 - 2 coalitions
    rows.clear()
    ours.Lime(forward, SkLearnLinearRegression()).attribute(X, perturbations_per_eval=5)
    assert sum(rows) == 3 + 3 * 16
    assert max(rows) == 15
