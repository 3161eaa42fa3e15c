"""Modules that relevance goes through as it is, and rules for modules themselves."""

import copy

import pytest
import torch
from captum import attr as captum
from captum.attr._utils.lrp_rules import IdentityRule
from torch import Tensor, nn

from lightning_explain import explain
from lightning_explain.attribution.methods import LRP
from lightning_explain.attribution.rules import Composite, Epsilon, Gamma, Pass

EXACT = Composite(Epsilon(0.0), Epsilon(0.0))


class Twist(nn.Module):
    """Does several things, in place too."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mul_(3).flip(-1).add(1).sin()


def around(middle: nn.Module) -> nn.Sequential:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 5), middle, nn.Linear(5, 3)).double()
    return model.eval()


@pytest.mark.parametrize(
    "middle", [Twist(), nn.LayerNorm(5), nn.Softmax(dim=1), nn.ReLU(inplace=True), nn.Identity(), nn.Linear(5, 5)]
)
@pytest.mark.parametrize("meant", ["1", "module"])
def test_whatever_a_module_does(middle: nn.Module, meant: str) -> None:
    model, x = around(middle), torch.randn(3, 4, dtype=torch.float64)
    found = explain(model, x, LRP(EXACT, {model[1] if meant == "module" else "1": Pass(0.0)}), target=1).values
    hidden = model[1](model[0](x)).detach()
    relevance = explain(model[2], hidden, LRP(EXACT), target=1).values
    z = model[0](x).detach()
    expected = (x[:, None] * model[0].weight * (relevance / z)[:, :, None]).sum(dim=1).detach()
    torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-10)
    assert not model[1]._forward_hooks
    assert not model[1]._forward_pre_hooks


def test_a_module_that_runs_twice() -> None:
    twist = Twist()
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 5), twist, nn.Linear(5, 5), twist, nn.Linear(5, 3)).double()
    other = nn.Sequential(model[0], Twist(), model[2], Twist(), model[4])
    x = torch.randn(3, 4, dtype=torch.float64)
    found = explain(model, x, LRP(EXACT, {twist: Pass(0.0)}), target=1).values
    torch.testing.assert_close(found, explain(other, x, LRP(EXACT, {Twist: Pass(0.0)}), target=1).values)


def test_what_changes_the_shape_follows_the_rules_of_operators() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(2, 3, 3), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(12, 3)).double()
    x = torch.randn(2, 2, 6, 6, dtype=torch.float64)
    found = explain(model, x, LRP(EXACT, {nn.MaxPool2d: Pass(), nn.Flatten: Pass()}), target=1).values
    torch.testing.assert_close(found, explain(model, x, LRP(EXACT), target=1).values)


def test_what_holds_other_modules_is_not_passed() -> None:
    model, x = around(nn.Sequential(nn.Linear(5, 5), nn.ReLU())), torch.randn(3, 4, dtype=torch.float64)
    found = explain(model, x, LRP(EXACT, {"1": Pass()}), target=1).values
    torch.testing.assert_close(found, explain(model, x, LRP(EXACT), target=1).values)


def normalised() -> nn.Sequential:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(2, 3, 3, padding=1), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(48, 3))
    for tensor in (model[1].running_mean, model[1].weight.data, model[1].bias.data):
        nn.init.uniform_(tensor, -0.7, 0.9)
    return model.double().eval()


def test_a_batch_norm_that_is_named_is_an_operator_of_its_own() -> None:
    model, x = normalised(), torch.randn(2, 2, 4, 4, dtype=torch.float64)
    rules = {"0": Gamma(0.0, gamma=0.5), "1": Epsilon(0.0)}
    found = explain(model, x, LRP(EXACT, rules), target=1).values
    z = model[0](x).detach()
    relevance = explain(model[1:], z, LRP(EXACT, {nn.BatchNorm2d: Epsilon(0.0)}), target=1).values
    scale = (model[1].weight / (model[1].running_var + 1e-5).sqrt()).detach().view(1, 3, 1, 1)
    behind = explain(model[2:], model[1](z).detach(), LRP(EXACT), target=1).values
    torch.testing.assert_close(relevance, z * scale * behind / model[1](z).detach(), rtol=1e-7, atol=1e-10)
    merged = explain(model, x, LRP(EXACT, {"0": Gamma(0.0, gamma=0.5)}), target=1).values
    assert (found - merged).abs().max() > 1e-3 * merged.abs().max()
    same = (explain(model, x, LRP(EXACT, named), target=1).values for named in ({}, {"1": Epsilon(0.0)}))
    torch.testing.assert_close(*same)  # of the epsilon rule it is all the same


class Functional(nn.Module):
    """Flattens without a module, for Captum has no rule for those."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.relu, _, self.head = normalised()

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.relu(self.norm(self.conv(x))).flatten(1))


def test_captum_passes_a_batch_norm_too() -> None:
    model, x = Functional().eval(), torch.randn(2, 2, 4, 4, dtype=torch.float64)
    other = copy.deepcopy(model)
    other.norm.rule = IdentityRule()
    expected = captum.LRP(other).attribute(x.clone().requires_grad_(), target=1).detach()
    rules = {model.norm: Pass(1e-9)}
    found = explain(model, x, LRP(Composite(Epsilon(1e-9), Epsilon(1e-9)), rules), target=1).values
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-8)


def test_a_module_that_is_not_there_is_refused() -> None:
    model, x = around(nn.ReLU()), torch.randn(3, 4, dtype=torch.float64)
    with pytest.raises(ValueError, match="No layer of type 'Linear'"):
        explain(model, x, LRP(layers={nn.Linear(4, 5): Epsilon()}), target=1)
