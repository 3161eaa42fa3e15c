import captum._utils.models.linear_model.model as captums
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from lightning_explain.captum._utils.models.linear_model import model as ours
from lightning_explain.captum._utils.models.linear_model.train import l2_loss, sgd_train_linear_model

X = torch.randn(30, 3, generator=torch.Generator().manual_seed(0))
Y = X @ torch.tensor([[1.0, -2, 0.5], [0, 0.5, 2]]).T + 1
WEIGHTS = torch.rand(30, generator=torch.Generator().manual_seed(1))
HOW = [
    {},
    {"initial_lr": 0.1, "patience": 5, "max_epoch": 50},
    {"running_loss_window": 3, "alpha": 0.01, "reduce_lr": False, "max_epoch": 20},
]


def fitted(module, name, made_with, how, *columns):
    model = getattr(module, name)(**made_with)
    return model, model.fit(DataLoader(TensorDataset(*columns), batch_size=10), **how)


@pytest.mark.parametrize("name", ["SGDLasso", "SGDRidge", "SGDLinearRegression"])
@pytest.mark.parametrize("how", HOW, ids=range(len(HOW)))
@pytest.mark.parametrize(
    ("made_with", "columns"),
    [({}, (X, Y)), ({"bias": False}, (X, Y[:, 0], WEIGHTS)), ({"norm_type": "layer_norm"}, (X, Y[:, 0]))],
    ids=["plain", "weighted", "norm"],
)
def test_descents_are_those_of_captum(name, how, made_with, columns):
    (model, said), (theirs, expected) = (fitted(module, name, made_with, how, *columns) for module in (ours, captums))
    torch.testing.assert_close(model.representation(), theirs.representation(), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(model.bias(), theirs.bias(), atol=1e-5, rtol=1e-5)
    assert (said["train_iter"], said["train_epoch"]) == (expected["train_iter"], expected["train_epoch"])
    assert said["train_loss"] == pytest.approx(expected["train_loss"], rel=1e-5)


def test_batch_norm_sees_every_batch():
    model, said = fitted(ours, "SGDLinearRegression", {"norm_type": "batch_norm"}, {"max_epoch": 20}, X * 10 + 3, Y)
    assert model.norm.num_batches_tracked == said["train_iter"]
    assert (model.norm.running_var > 10).all()


def test_inference_mode_and_the_users_seed_do_not_matter():
    with torch.inference_mode():
        inside, _ = fitted(ours, "SGDRidge", {}, {"init_scheme": "xavier", "max_epoch": 3}, X + 0, Y + 0)
    torch.manual_seed(5)
    outside, _ = fitted(ours, "SGDRidge", {}, {"init_scheme": "xavier", "max_epoch": 3}, X, Y)
    torch.testing.assert_close(inside.representation(), outside.representation())
    assert not torch.equal(inside.representation(), torch.zeros(2, 3))


def test_debug_prints(capsys):
    fitted(ours, "SGDRidge", {}, {"debug": True, "max_epoch": 1}, X, Y)
    assert capsys.readouterr().out.count("lr=0.01, loss=") == 3


def test_loss_weights_count_by_how_they_compare():
    a, b = torch.tensor([1.0, 2.0]), torch.tensor([0.0, 4.0])
    assert l2_loss(a, b) == 1.25
    assert l2_loss(a, b, torch.tensor([3.0, 1.0])) == l2_loss(a, b, torch.tensor([6.0, 2.0])) == 0.875


def test_a_loss_of_ones_own():
    model = ours.LinearModel(sgd_train_linear_model, bias=False)
    loader = DataLoader(TensorDataset(X, Y), batch_size=30)
    model.fit(loader, loss_fn=lambda y, out, w: (y - out).abs().mean(), reg_term=None, initial_lr=0.3, max_epoch=300)
    assert (model(X) - Y).abs().mean() < 1.2


def test_mistakes_are_named():
    with pytest.raises(ValueError, match=r"to fit a linear model to, got none"):
        ours.SGDLasso().fit([])
    with pytest.raises(ValueError, match=r"'zeros', 'xavier' or None, got 'ones'"):
        fitted(ours, "SGDLasso", {}, {"init_scheme": "ones"}, X, Y)
