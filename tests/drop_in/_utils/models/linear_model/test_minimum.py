import sys

import captum._utils.models.linear_model.model as captums
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from lightning_explain.captum._utils.models.linear_model import model as ours

# Captum's.
pytestmark = pytest.mark.filterwarnings("ignore:Creating a tensor from a list of numpy:UserWarning")

X = torch.randn(40, 5, generator=torch.Generator().manual_seed(0))
Y = X @ torch.tensor([[1.0, -2, 0.1, 0, 3], [0, 0.5, 2, 1, 0]]).T + 1 + 0.1 * torch.cos(9 * X[:, :2])
WEIGHTS = torch.rand(40, generator=torch.Generator().manual_seed(1))
REGRESSIONS = [
    ("SkLearnLasso", {"alpha": 0.1}),
    ("SkLearnLasso", {"alpha": 0.05, "max_iter": 5000, "tol": 1e-6}),
    ("SkLearnRidge", {"alpha": 3.0}),
    ("SkLearnRidge", {}),
    ("SkLearnLinearRegression", {}),
]


def fitted(module, name, made_with, *columns, **how):
    model = getattr(module, name)(**made_with)
    said = model.fit(DataLoader(TensorDataset(*columns), batch_size=7), **how)
    assert said["train_time"] >= 0
    return model


@pytest.fixture
def without_sklearn(monkeypatch):
    for name in ("sklearn", "sklearn.linear_model", "sklearn.svm"):
        monkeypatch.setitem(sys.modules, name, None)


@pytest.mark.parametrize(("name", "made_with"), REGRESSIONS)
@pytest.mark.parametrize("y", [Y, Y[:, 0], Y[:, :1]], ids=["two", "one", "column"])
@pytest.mark.parametrize("weights", [(), (WEIGHTS,)], ids=["even", "weighted"])
def test_regressions_are_those_of_scikit_learn(name, made_with, y, weights):
    pytest.importorskip("sklearn", reason="Captum's models need scikit-learn")
    model, theirs = (fitted(module, name, made_with, X, y, *weights) for module in (ours, captums))
    torch.testing.assert_close(model.representation(), theirs.representation(), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(model.bias(), theirs.bias().reshape(-1), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(model(X), theirs(X), atol=1e-3, rtol=1e-3)
    assert model.classes() is None


@pytest.mark.parametrize("weights", [(), (WEIGHTS,)], ids=["even", "weighted"])
def test_the_gradient_is_zero_at_the_minimum(without_sklearn, weights):
    """From the definitions, without their solvers: 1/2 sum w r^2 / sum w + alpha |b|; sum w r^2 + alpha |b|^2."""
    w = (weights[0] if weights else torch.ones(40)).double()
    for name, alpha in (("SkLearnLasso", 0.3), ("SkLearnRidge", 5.0), ("SkLearnLinearRegression", 0.0)):
        model = fitted(ours, name, {"alpha": alpha} if alpha else {}, X.double(), Y[:, 0].double(), *weights)
        beta = model.representation()[0].double().requires_grad_()
        rest = Y[:, 0].double() - X.double() @ beta - model.bias().double()
        if name == "SkLearnLasso":
            (w * rest**2).sum().div(2 * w.sum()).backward()
            there = beta.detach() != 0
            assert 0 < there.sum() < 5
            torch.testing.assert_close(beta.grad[there], -alpha * beta.detach()[there].sign(), atol=1e-5, rtol=0)
            assert (beta.grad[~there].abs() <= alpha + 1e-5).all()
        else:
            ((w * rest**2).sum() + alpha * (beta**2).sum()).backward()
            torch.testing.assert_close(beta.grad, torch.zeros(5, dtype=torch.float64), atol=1e-4, rtol=0)
        assert abs((w * rest.detach()).sum()) < 1e-4


def test_other_questions_are_asked_of_scikit_learn():
    pytest.importorskip("sklearn", reason="it is asked")
    for name, made_with in (
        ("SkLearnLasso", {"alpha": 0.1, "positive": True}),
        ("SkLearnRidge", {"fit_intercept": False}),
        ("SkLearnLinearModel", {"sklearn_module": "linear_model.ElasticNet", "alpha": 0.1}),
    ):
        model, theirs = (fitted(module, name, made_with, X, Y[:, 0], WEIGHTS) for module in (ours, captums))
        torch.testing.assert_close(model.representation(), theirs.representation())
        torch.testing.assert_close(model.bias(), theirs.bias())


@pytest.mark.parametrize("name", ["SkLearnLogisticRegression", "SkLearnSGDClassifier"])
@pytest.mark.parametrize("classes", [2, 3])
def test_classifiers_are_those_of_scikit_learn(name, classes):
    pytest.importorskip("sklearn", reason="it fits them")
    labels = (Y[:, 0] * 10).int() % classes
    model, theirs = (fitted(module, name, {"random_state": 0}, X, labels, WEIGHTS) for module in (ours, captums))
    torch.testing.assert_close(model.representation(), theirs.representation())
    torch.testing.assert_close(model.classes(), theirs.classes())
    torch.testing.assert_close(model(X), theirs(X))


def test_features_are_standardised_first():
    model = fitted(ours, "SkLearnLasso", {"alpha": 0.1}, X * 100 + 7, Y[:, 0], norm_input=True)
    other = fitted(ours, "SkLearnLasso", {"alpha": 0.1}, (X - X.mean(0)) / X.std(0, correction=0), Y[:, 0])
    torch.testing.assert_close(model.representation(), other.representation(), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(
        model(X * 100 + 7), other((X - X.mean(0)) / X.std(0, correction=0)), atol=1e-3, rtol=1e-3
    )


def test_what_is_missing_is_named(without_sklearn):
    with pytest.raises(ImportError, match=r"linear_model.Lasso with \['positive'\] needs scikit-learn: pip install"):
        fitted(ours, "SkLearnLasso", {"positive": True}, X, Y)


def test_models_that_take_no_weights_say_so():
    pytest.importorskip("sklearn", reason="it fits them")
    with pytest.warns(UserWarning, match=r"linear_model.Lars takes no sample weights"):
        fitted(ours, "SkLearnLinearModel", {"sklearn_module": "linear_model.Lars"}, X, Y[:, 0], WEIGHTS)


def test_mistakes_are_named():
    with pytest.raises(ValueError, match=r"weights of which at least one is above zero"):
        fitted(ours, "SkLearnLasso", {}, X, Y, WEIGHTS * 0)
    with pytest.raises(ValueError, match=r"weights of which at least one is above zero, and none below"):
        fitted(ours, "SkLearnLasso", {}, X, Y, WEIGHTS.index_fill(0, torch.tensor([0]), -1e-3))
    with pytest.raises(ValueError, match=r"alpha, the strength of the penalty, from 0 up, got -1"):
        fitted(ours, "SkLearnRidge", {"alpha": -1}, X, Y)
    with pytest.raises(ValueError, match=r"Expected batches \(x, y\) or \(x, y, weights\), got 1 tensors"):
        fitted(ours, "SkLearnLasso", {}, X)
    with pytest.raises(AssertionError, match=r"SkLearnLasso has no coefficients before it is fitted"):
        ours.SkLearnLasso().representation()
