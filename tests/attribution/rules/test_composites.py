"""Composites, beside zennit's."""

import sys
import types

import pytest
import torch
from torch import Tensor, nn

from lightning_explain import explain
from lightning_explain.attribution.methods import LRP
from lightning_explain.attribution.rules.affine import Affine
from lightning_explain.attribution.rules.composites import COMPOSITES, Composite, composite, epsilon_gamma_box
from lightning_explain.attribution.rules.relevance import Epsilon, Flat, Gamma, ZPlus


def _zennit() -> types.SimpleNamespace | str:
    """Zennit, which wants torchvision's residual networks at hand; or why not."""
    stubs = {
        name: types.ModuleType(name) for name in ("torchvision", "torchvision.models", "torchvision.models.resnet")
    }
    for name in ("Bottleneck", "BasicBlock"):
        setattr(stubs["torchvision.models.resnet"], name, type(name, (nn.Module,), {}))
    added = [name for name in stubs if name not in sys.modules]
    try:
        sys.modules.update({name: stubs[name] for name in added})
        from zennit.attribution import Gradient
        from zennit.composites import COMPOSITES as THEIRS
    except Exception as error:  # noqa: BLE001  (torchvision fails in its own ways)
        return f"zennit cannot be imported: {error}"
    finally:
        for name in added:
            sys.modules.pop(name, None)
    return types.SimpleNamespace(Gradient=Gradient, composites=THEIRS)


ZENNIT = _zennit()
needs_zennit = pytest.mark.skipif(isinstance(ZENNIT, str), reason=str(ZENNIT))


class Net(nn.Module):
    def __init__(self, norm: bool) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 6, 3, padding=1),
            nn.BatchNorm2d(6) if norm else nn.Identity(),
            nn.ReLU(),
            nn.Conv2d(6, 8, 3, stride=2),
            nn.BatchNorm2d(8) if norm else nn.Identity(),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
        )
        self.head = nn.Sequential(nn.Linear(72, 10), nn.ReLU(), nn.Linear(10, 4))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x))


def net(norm: bool) -> Net:
    torch.manual_seed(0)
    model = Net(norm).double().eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.uniform_(-0.5, 0.5)
            module.running_var.uniform_(0.5, 2)
            nn.init.uniform_(module.weight, -1.5, 1.5)
            nn.init.normal_(module.bias)
    return model


def folded(model: Net) -> Net:
    """The same function without BatchNorm, by hand."""
    plain = net(norm=False)
    plain.load_state_dict(model.state_dict(), strict=False)
    with torch.no_grad():
        for conv, norm in ((0, 1), (3, 4)):
            bn = model.body[norm]
            scale = bn.weight / (bn.running_var + bn.eps).sqrt()
            plain.body[conv].weight.mul_(scale[:, None, None, None])
            plain.body[conv].bias.sub_(bn.running_mean).mul_(scale).add_(bn.bias)
    return plain


def pictures() -> Tensor:
    return torch.randn(4, 3, 15, 15, dtype=torch.float64, generator=torch.Generator().manual_seed(3))


@needs_zennit
@pytest.mark.parametrize("norm", [False, True])
@pytest.mark.parametrize(
    "name",
    ["epsilon_plus", "epsilon_plus_flat", "epsilon_alpha2_beta1", "epsilon_alpha2_beta1_flat", "epsilon_gamma_box"],
)
def test_zennit_agrees(name: str, norm: bool) -> None:
    model, x = net(norm), pictures()
    bounds = {"low": -4.0, "high": 4.0} if "box" in name else {}
    with ZENNIT.Gradient(folded(model) if norm else model, ZENNIT.composites[name](**bounds)) as attributor:
        one_hot = torch.eye(4, dtype=torch.float64)[[2] * 4]
        _, theirs = attributor(x.clone(), lambda out: one_hot * out.detach())
    ours = explain(model, x, LRP(epsilon_gamma_box(**bounds) if bounds else name), target=2).values
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-13)
    assert ours.abs().max() > 1e-4


@pytest.mark.parametrize("name", COMPOSITES)
def test_batch_norm_is_one_operator_with_the_convolution(name: str) -> None:
    model, x = net(norm=True), pictures()
    expected = explain(folded(model), x, LRP(name), target=2).values
    torch.testing.assert_close(explain(model, x, LRP(name), target=2).values, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", COMPOSITES)
def test_composites_differ_and_names_stand_for_them(name: str) -> None:
    assert isinstance(composite(name), Composite)
    assert composite(name) == composite(name)
    assert sum(composite(name) == composite(other) for other in COMPOSITES) == 1


def test_which_rule_an_operator_gets() -> None:
    chosen = Composite(convolution=ZPlus(), dense=Gamma(), first=Flat())
    conv, dense = (Affine(name, lambda x, w, b: x, torch.ones(1), torch.ones(1), None) for name in ("conv2d", "linear"))
    assert chosen.rule(conv, first=False) == ZPlus()
    assert chosen.rule(dense, first=False) == Gamma()
    assert chosen.rule(dense, first=True) == Flat()
    assert Composite().rule(conv, first=True) == Epsilon()


def test_unknown_names() -> None:
    with pytest.raises(ValueError, match=r"No LRP composite 'epsilon_pluss'\. Did you mean 'epsilon_plus'"):
        LRP("epsilon_pluss")
