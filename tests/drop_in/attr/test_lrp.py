"""LRP beside Captum, and where Captum stops."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from captum import attr as captum
from captum.attr._utils import lrp_rules as their_rules
from captum.attr._utils.custom_modules import Addition_Module
from drop_in.attr.primary import TARGETS, net, samples
from torch import Tensor, nn

from lightning_explain.captum.attr import LRP, InputXGradient
from lightning_explain.captum.attr._utils import lrp_rules as our_rules
from lightning_explain.captum.errors import ArgumentTypeError

RULES: dict[str, tuple[str, dict[str, Any]]] = {
    "epsilon": ("EpsilonRule", {}),
    "large epsilon": ("EpsilonRule", {"epsilon": 0.3}),
    "gamma": ("GammaRule", {}),
    "gamma, no bias": ("GammaRule", {"gamma": 0.7, "set_bias_to_zero": True}),
    "alpha1 beta0": ("Alpha1_Beta0_Rule", {}),
    "alpha1 beta0, no bias": ("Alpha1_Beta0_Rule", {"set_bias_to_zero": True}),
}


def compared(layers: dict[str, tuple[str, dict[str, Any]]]) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    found = []
    for kind, rules in ((LRP, our_rules), (captum.LRP, their_rules)):
        model = net()
        for layer, (rule, given) in layers.items():
            getattr(model, layer).rule = getattr(rules, rule)(**given)
        parts = kind(model).attribute(samples().requires_grad_(), TARGETS, return_convergence_delta=True)
        found.append(tuple(part.detach() for part in parts))
    return found[0], found[1]


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("layers", [("conv1",), ("head",), ("conv1", "conv2", "head")])
def test_rules_of_layers(rule: str, layers: tuple[str, ...]) -> None:
    ours, theirs = compared(dict.fromkeys(layers, RULES[rule]))
    for found, expected in zip(ours, theirs, strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5 * expected.abs().max().item())
    assert ours[0].abs().max() > 0


def test_the_identity_of_a_normalisation() -> None:
    ours, theirs = compared({"norm": ("IdentityRule", {})})
    for found, expected in zip(ours, theirs, strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-4 * expected.abs().max().item())


def test_users_rules_stay_where_they_are() -> None:
    """Captum deletes them after the first call, so that the second gives something else."""
    model, rule = net(), our_rules.GammaRule(0.9)
    model.conv1.rule = rule
    method = LRP(model)
    first = method.attribute(samples(), 1)
    assert model.conv1.rule is rule
    assert torch.equal(method.attribute(samples(), 1), first)
    other = net()
    other.conv1.rule = their_rules.GammaRule(0.9)
    theirs = captum.LRP(other)
    once, twice = (theirs.attribute(samples().requires_grad_(), 1).detach() for _ in range(2))
    assert (once - twice).abs().max() > 1e-3 * once.abs().max()
    torch.testing.assert_close(first, once, rtol=0, atol=1e-5 * once.abs().max().item())


def test_a_rule_of_ones_own_changes_a_copy() -> None:
    class Squared(our_rules.PropagationRule):
        def _manipulate_weights(self, module: nn.Module, inputs: None, outputs: None) -> None:
            module.weight.data = module.weight.data**2
            module.bias.data = torch.zeros_like(module.bias.data)

    class TheirSquared(their_rules.PropagationRule):
        _manipulate_weights = Squared._manipulate_weights

    model, other = net(), net()
    model.conv1.rule, other.conv1.rule = Squared(), TheirSquared()
    before = model.conv1.weight.clone()
    found = LRP(model).attribute(samples(), 1)
    expected = captum.LRP(other).attribute(samples().requires_grad_(), 1).detach()
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5 * expected.abs().max().item())
    assert torch.equal(model.conv1.weight, before)


class Skip(nn.Module):
    """With additions as functions, a layer that is used twice, and activations that Captum has no rule for."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.twice, self.last = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 2)
        self.gelu, self.flatten = nn.GELU(), nn.Flatten()

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.gelu(self.first(x))
        hidden = hidden + self.twice(F.relu(self.twice(hidden)))
        return self.last(self.flatten(hidden))


class Modules(nn.Module):
    """The same but for what Captum does not take."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.last = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 2)
        self.relu, self.relu2, self.add = nn.ReLU(), nn.ReLU(), Addition_Module()

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.relu(self.first(x))
        return self.last(self.add(hidden, self.relu2(self.second(hidden))))


def test_an_addition_needs_no_module() -> None:
    torch.manual_seed(0)
    model, x = Modules().double(), torch.randn(3, 4, dtype=torch.float64)
    expected = captum.LRP(model).attribute(x.clone().requires_grad_(), 1).detach()
    torch.testing.assert_close(LRP(model).attribute(x, 1), expected, rtol=1e-5, atol=1e-7)
    del model.add
    model.add = lambda a, b: a + b
    torch.testing.assert_close(LRP(model).attribute(x, 1), expected, rtol=1e-5, atol=1e-7)


def test_where_captum_raises() -> None:
    torch.manual_seed(0)
    model, x = Skip().double(), torch.randn(3, 4, dtype=torch.float64)
    with pytest.raises(TypeError, match="no rule defined"):
        captum.LRP(Skip().double()).attribute(x, 1)
    for layer in (model.first, model.twice, model.last):
        nn.init.zeros_(layer.bias)
    found, delta = LRP(model).attribute(x, 1, return_convergence_delta=True)
    assert found.abs().max() > 1e-3
    assert delta.abs().max() < 1e-6  # without biases nothing is absorbed


def test_a_constant_factor_on_the_way_keeps_relevance() -> None:
    """Captum multiplies relevance with it."""
    scale = torch.tensor([1.0, -2.0, 3.0], dtype=torch.float64)
    found = LRP(net()).attribute(samples(), TARGETS, (scale,))
    alone = LRP(net()).attribute(samples() * scale[:, None, None, None], TARGETS)
    torch.testing.assert_close(found, alone, rtol=1e-9, atol=1e-12)
    theirs = captum.LRP(net()).attribute(samples().requires_grad_(), TARGETS, (scale,)).detach()
    torch.testing.assert_close(theirs, alone * scale[:, None, None, None], rtol=1e-4, atol=1e-6)


def test_several_inputs() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.add = nn.Linear(3, 2), nn.Linear(2, 2), Addition_Module()

        def forward(self, x: Tensor, y: Tensor) -> Tensor:
            return self.add(self.a(x), self.b(y))

    torch.manual_seed(0)
    model, inputs = Two().double(), (torch.randn(2, 3).double(), torch.randn(2, 2).double())
    found, delta = LRP(model).attribute(inputs, 1, return_convergence_delta=True)
    expected, their_delta = captum.LRP(model).attribute(
        tuple(leaf.clone().requires_grad_() for leaf in inputs), 1, return_convergence_delta=True
    )
    for ours, theirs in zip((*found, delta), (*expected, their_delta), strict=True):
        torch.testing.assert_close(ours, theirs.detach(), rtol=1e-5, atol=1e-7)


def test_the_delta_is_what_is_missing() -> None:
    model = net()
    found, delta = LRP(model).attribute(samples(), TARGETS, return_convergence_delta=True)
    output = model(samples())[torch.arange(3), TARGETS]
    torch.testing.assert_close(delta, output.detach() - found.flatten(1).sum(dim=1))
    torch.testing.assert_close(LRP(model).compute_convergence_delta(found, output), delta)
    torch.testing.assert_close(LRP(model).compute_convergence_delta((found, found), output), delta - (output - delta))


def test_without_biases_it_is_input_x_gradient() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 5, bias=False), nn.ReLU(), nn.Linear(5, 2, bias=False)).double()
    x = torch.randn(3, 4, dtype=torch.float64)
    torch.testing.assert_close(LRP(model).attribute(x, 1), InputXGradient(model).attribute(x, 1), rtol=1e-5, atol=1e-8)


def test_verbose_says_which_rules_are_applied(capsys: pytest.CaptureFixture[str]) -> None:
    model = net()
    model.conv1.rule = our_rules.GammaRule()
    LRP(model).attribute(samples(), 1)
    assert not capsys.readouterr().out
    LRP(model).attribute(samples(), 1, verbose=True)
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "Applied GammaRule on layer Conv2d(2, 4, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1))"
    assert said[1].startswith("Applied EpsilonRule on layer BatchNorm2d")


def test_what_is_no_rule_is_refused() -> None:
    model = net()
    model.conv1.rule = 1
    with pytest.raises(ArgumentTypeError, match=r"The rule of layer 'conv1' is a PropagationRule .* got builtins\.int"):
        LRP(model)
    model.conv1.rule = their_rules.EpsilonRule()
    with pytest.raises(ArgumentTypeError, match=r"got captum\.attr\._utils\.lrp_rules\.EpsilonRule"):
        LRP(model)
    model.conv1.rule = our_rules.PropagationRule()
    with pytest.raises(NotImplementedError, match="PropagationRule does not say what it does"):
        LRP(model).attribute(samples(), 1)
    model.conv1.rule = None
    torch.testing.assert_close(LRP(model).attribute(samples(), 1), LRP(net()).attribute(samples(), 1))
