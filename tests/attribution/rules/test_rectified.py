"""Guided backpropagation and deconvolution, operator by operator."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_explain.attribution.rules.rectified import DECONVOLUTION, GUIDED, RECTIFIERS, Rectified, guided

SPELLINGS = {
    "F.relu": F.relu,
    "F.relu in place": lambda x: F.relu(x.clone(), inplace=True),
    "F.relu in place by position": lambda x: F.relu(x.clone(), True),
    "torch.relu": torch.relu,
    "torch.relu_": lambda x: torch.relu_(x.clone()),
    "x.relu": lambda x: x.relu(),
    "x.relu_": lambda x: x.clone().relu_(),
    "nn.ReLU": nn.ReLU(),
    "nn.ReLU in place": lambda x: nn.ReLU(inplace=True)(x.clone()),
    "F.relu6": lambda x: F.relu6(x),
    "nn.ReLU6": nn.ReLU6(),
}
X = torch.tensor([-2.0, -0.5, 0.5, 2.0], dtype=torch.float64)
FROM_ABOVE = torch.tensor([1.0, -1.0, -3.0, 4.0], dtype=torch.float64)


def pull(rules, operator, x=X) -> Tensor:
    leaf = x.clone().requires_grad_()
    with Rectified("test", rules):
        out = operator(leaf)
    (gradient,) = torch.autograd.grad(out, leaf, FROM_ABOVE)
    return gradient


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_every_spelling_of_a_rectifier_follows_the_rule(spelling: str) -> None:
    operator = SPELLINGS[spelling]
    assert pull(GUIDED, operator).tolist() == [0, 0, 0, 4]
    assert pull(DECONVOLUTION, operator).tolist() == [1, 0, 0, 4]


def test_a_saturated_rectifier_is_closed() -> None:
    x = torch.tensor([-1.0, 7.0, 3.0, 6.5], dtype=torch.float64)
    assert pull(GUIDED, F.relu6, x).tolist() == [0, 0, 0, 0]
    assert pull(GUIDED, lambda x: F.hardtanh(x, 0, 8), x).tolist() == [0, 0, 0, 4]
    assert pull(DECONVOLUTION, nn.Hardtanh(0, 2), x).tolist() == [1, 0, 0, 4]
    assert pull(DECONVOLUTION, F.relu6, x).tolist() == [1, 0, 0, 4]


OTHERS = [F.leaky_relu, F.gelu, F.silu, torch.tanh, F.elu, torch.erfinv]
SIGNED = [F.hardtanh, nn.Hardtanh(-0.2, 0.4), lambda x: F.hardtanh(x.clone(), min_val=-0.3, inplace=True)]


@pytest.mark.parametrize("operator", OTHERS + SIGNED)
def test_other_activations_keep_their_gradient(operator) -> None:
    x = X / 4
    leaf = x.clone().requires_grad_()
    (expected,) = torch.autograd.grad(operator(leaf), leaf, FROM_ABOVE)
    assert torch.equal(pull(GUIDED, operator, x), expected)
    assert torch.equal(pull(DECONVOLUTION, operator, x), expected)


WHOLE = {
    "maximum": lambda x: torch.maximum(x, x.flip(0)),
    "minimum": lambda x: torch.minimum(x, torch.zeros_like(x)),
    "layer_norm": lambda x: F.layer_norm(x, (4,)),
    "attention": lambda x: F.scaled_dot_product_attention(*[x.view(2, 2)] * 3).view(4),
}


@pytest.mark.parametrize("operator", WHOLE.values(), ids=WHOLE)
def test_operators_without_a_rectifier_inside_are_not_taken_apart(operator) -> None:
    leaf = X.clone().requires_grad_()
    (expected,) = torch.autograd.grad(operator(leaf), leaf, FROM_ABOVE)
    assert torch.equal(pull(GUIDED, operator), expected)
    assert torch.equal(pull(DECONVOLUTION, operator), expected)


def test_recurrent_layers_of_rectifiers_are_taken_apart() -> None:
    torch.manual_seed(0)
    layer = nn.RNN(4, 4, nonlinearity="relu", batch_first=True).double().requires_grad_(False)
    steps = torch.randn(1, 3, 4, dtype=torch.float64)

    def by_hand(x: Tensor) -> Tensor:
        state = torch.zeros(1, 4, dtype=x.dtype)
        for step in x.unbind(1):
            state = layer._flat_weights[0] @ step[0] + layer._flat_weights[1] @ state[0] + layer.bias_ih_l0
            state = F.relu(state + layer.bias_hh_l0)[None]
        return state[0]

    for rules in (GUIDED, DECONVOLUTION):
        torch.testing.assert_close(pull(rules, lambda x: layer(x)[0][0, -1], steps), pull(rules, by_hand, steps))


def test_a_user_adds_a_rule_in_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(GUIDED, "elu", guided)
    leaf = X.clone().requires_grad_()
    (own,) = torch.autograd.grad(F.elu(leaf), leaf, FROM_ABOVE.clamp(min=0))
    assert torch.equal(pull(GUIDED, F.elu), own)


def test_both_methods_know_the_same_rectifiers() -> None:
    assert set(GUIDED) == set(DECONVOLUTION) == {*RECTIFIERS, "hardtanh"}
