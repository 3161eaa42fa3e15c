import pytest
import torch
from torch import nn

from lightning_explain.captum._utils.models.linear_model import LinearModel
from lightning_explain.captum._utils.models.model import Model


def train(model, dataloader, construct_kwargs, **kwargs):
    model._construct_model_params(**construct_kwargs, **kwargs)
    return {"batches": len(dataloader)}


def test_a_model_is_made_when_it_is_fitted():
    model = LinearModel(train, weight_values=torch.tensor([1.0, 2.0]), bias_value=torch.tensor([3.0]))
    assert isinstance(model, Model)
    assert model.linear is model.bias() is model.classes() is None
    assert model.fit([1, 2], classes=torch.tensor([0, 1])) == {"batches": 2}
    assert model.representation().tolist() == [[1, 2]]
    assert model.bias().tolist() == [3]
    assert model.classes().tolist() == [0, 1]
    assert model(torch.ones(4, 2)).tolist() == [[6.0]] * 4


@pytest.mark.parametrize(("norm", "kind"), [("batch_norm", nn.BatchNorm1d), ("layer_norm", nn.LayerNorm)])
def test_norms_come_first(norm, kind):
    model = LinearModel(train, in_features=2, out_features=3, norm_type=norm, affine_norm=True)
    model.fit([])
    x = torch.randn(5, 2)
    assert isinstance(model.norm, kind)
    torch.testing.assert_close(model(x), model.linear(model.norm(x)))
    assert len(list(model.norm.parameters())) == 2


def test_without_an_intercept():
    model = LinearModel(train, in_features=2, out_features=3, bias=False)
    model.fit([])
    assert model.bias() is None


def test_the_users_random_numbers_are_left_alone():
    before = torch.get_rng_state()
    LinearModel(train, in_features=2, out_features=3).fit([])
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("made_with", "message"),
    [
        ({"in_features": 2}, r"needs in_features and out_features, or weight_values"),
        ({"in_features": 2, "out_features": 1, "norm_type": "group"}, r"norm_type to be one of .* got 'group'"),
        ({"weight_values": torch.ones(2), "bias": False, "bias_value": torch.ones(1)}, r"bias_value, but bias=False"),
    ],
)
def test_mistakes_are_named(made_with, message):
    with pytest.raises(ValueError, match=message):
        LinearModel(train, **made_with).fit([])
