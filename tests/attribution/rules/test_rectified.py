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


def test_a_user_adds_a_rule_in_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(GUIDED, "elu", guided)
    leaf = X.clone().requires_grad_()
    (own,) = torch.autograd.grad(F.elu(leaf), leaf, FROM_ABOVE.clamp(min=0))
    assert torch.equal(pull(GUIDED, F.elu), own)


def test_both_methods_know_the_same_rectifiers() -> None:
    assert set(GUIDED) == set(DECONVOLUTION) == {*RECTIFIERS, "hardtanh"}
