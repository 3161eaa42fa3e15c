"""Rules by other weights, in matrix form."""

import copy

import pytest
import torch
from captum import attr as captum
from captum.attr._utils import lrp_rules
from torch import Tensor, nn

from lightning_explain import explain
from lightning_explain.attribution.methods import LRP
from lightning_explain.attribution.rules import Composite, Epsilon, Exchanged, Gamma, Weighted, ZPlus
from lightning_explain.attribution.rules.relevance import Rule

TINY = Composite(Epsilon(1e-12), Epsilon(1e-12))


def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3)).double()


def by_hand(x: Tensor, weight: Tensor, bias: Tensor, relevance: Tensor) -> Tensor:
    contributions = x[:, None, :] * weight
    return (contributions * (relevance / (contributions.sum(dim=2) + bias))[:, :, None]).sum(dim=1)


@pytest.mark.parametrize(
    "rule",
    [Weighted(1e-12, 1.25), Weighted(1e-12, 1.0, 0.0), Weighted(1e-12, 1.25, bias=False), Weighted(1e-12, 0.5, 2.0)],
)
def test_by_hand(rule: Weighted) -> None:
    model, x = net(), torch.randn(3, 4, dtype=torch.float64)
    found = explain(model, x, LRP(TINY, {"0": rule}), target=1).values
    hidden = model[1](model[0](x)).detach()
    relevance = explain(model[2], hidden, LRP(TINY), target=1).values
    weight, bias = model[0].weight.detach(), model[0].bias.detach()
    other = rule.positive * weight.clamp(min=0) + rule.negative * weight.clamp(max=0)
    expected = by_hand(x, other, bias if rule.bias else torch.zeros_like(bias), relevance)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-9)
    exchanged = Exchanged(1e-12, other, bias if rule.bias else None)
    torch.testing.assert_close(explain(model, x, LRP(TINY, {"0": exchanged}), target=1).values, found)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (Weighted(1e-9, 1.5), lrp_rules.GammaRule(0.5)),
        (Weighted(1e-9, 1.5, bias=False), lrp_rules.GammaRule(0.5, set_bias_to_zero=True)),
        (Weighted(1e-9, negative=0.0), lrp_rules.Alpha1_Beta0_Rule()),
        (Weighted(1e-9, negative=0.0, bias=False), lrp_rules.Alpha1_Beta0_Rule(set_bias_to_zero=True)),
    ],
)
def test_captum_agrees(ours: Rule, theirs: lrp_rules.PropagationRule) -> None:
    model, x = net(), torch.randn(3, 4, dtype=torch.float64)
    other = copy.deepcopy(model)
    other[0].rule = theirs
    expected = captum.LRP(other).attribute(x.clone().requires_grad_(), target=1).detach()
    composite = Composite(Epsilon(1e-9), Epsilon(1e-9))
    torch.testing.assert_close(explain(model, x, LRP(composite, {"0": ours}), target=1).values, expected)


def test_without_biases_and_negative_inputs_they_are_the_rules_by_sign() -> None:
    torch.manual_seed(0)
    layer, x = nn.Linear(5, 4, bias=False).double(), torch.rand(3, 5, dtype=torch.float64)
    x[:, 0] = 0
    targets = layer(x).argmax(dim=1)  # gamma favours what agrees with the output: here what is positive
    assert (layer(x).amax(dim=1) > 0).all()
    for weighted, by_sign in ((Weighted(negative=0.0), ZPlus()), (Weighted(positive=1.25), Gamma())):
        found, expected = (
            explain(layer, x, LRP(layers={layer: rule}), target=targets).values for rule in (weighted, by_sign)
        )
        torch.testing.assert_close(found, expected)
