"""Rules of layer-wise relevance propagation, in the matrix form of their papers."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_explain import explain
from lightning_explain.attribution.methods import LRP
from lightning_explain.attribution.rules.composites import Composite
from lightning_explain.attribution.rules.relevance import (
    AlphaBeta,
    Epsilon,
    Flat,
    Gamma,
    Pass,
    Rule,
    WSquare,
    ZBox,
    ZPlus,
)

EPS = 1e-6
LAYERS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "linear": (lambda: nn.Linear(6, 4), (6,)),
    "linear of tokens": (lambda: nn.Linear(6, 4), (3, 6)),
    "conv1d": (lambda: nn.Conv1d(3, 4, 3, padding=1, stride=2), (3, 7)),
    "conv2d": (lambda: nn.Conv2d(2, 4, 3, padding=1, groups=2), (2, 4, 5)),
    "conv3d": (lambda: nn.Conv3d(2, 3, 2, dilation=2), (2, 4, 3, 3)),
    "conv_transpose1d": (lambda: nn.ConvTranspose1d(4, 6, 3, stride=2, groups=2), (4, 5)),
    "conv_transpose2d": (lambda: nn.ConvTranspose2d(2, 3, 2, stride=2), (2, 3, 3)),
    "without bias": (lambda: nn.Linear(6, 4, bias=False), (6,)),
}


def away(y: Tensor) -> Tensor:
    return y + EPS * torch.where(y < 0, -1.0, 1.0)


def epsilon(x, w, b, y, r):
    return x * ((r / away(y)) @ w)


def z_plus(x, w, b, y, r):
    z = x[:, None, :] * w
    positive = z.clamp(min=0)
    return torch.einsum("nji,nj->ni", positive, r / away(positive.sum(dim=2) + b.clamp(min=0)))


def negative(x, w, b, r):
    z = (x[:, None, :] * w).clamp(max=0)
    return torch.einsum("nji,nj->ni", z, r / away(z.sum(dim=2) + b.clamp(max=0)))


def alpha2_beta1(x, w, b, y, r):
    return 2 * z_plus(x, w, b, y, r) - negative(x, w, b, r)


def gamma(x, w, b, y, r, gamma=0.25):
    z = x[:, None, :] * w
    up, down = z + gamma * z.clamp(min=0), z + gamma * z.clamp(max=0)
    above, below = up.sum(dim=2) + b + gamma * b.clamp(min=0), down.sum(dim=2) + b + gamma * b.clamp(max=0)
    share = torch.where((y > 0)[..., None], up / away(above)[..., None], down / away(below)[..., None])
    return torch.einsum("nji,nj->ni", share, r)


def z_box(x, w, b, y, r, low=-3.0, high=4.0):
    z = x[:, None, :] * w - low * w.clamp(min=0) - high * w.clamp(max=0)
    return torch.einsum("nji,nj->ni", z, r / away(z.sum(dim=2)))


def flat(x, w, b, y, r):
    reached = (w != 0).to(w)
    return (r / away(reached.sum(dim=1))) @ reached


def w_square(x, w, b, y, r):
    return (r / away((w**2).sum(dim=1))) @ w**2


RULES: dict[str, tuple[Rule, Callable[..., Tensor]]] = {
    "epsilon": (Epsilon(), epsilon),
    "z_plus": (ZPlus(), z_plus),
    "alpha2_beta1": (AlphaBeta(), alpha2_beta1),
    "alpha1_beta0": (AlphaBeta(alpha=1, beta=0), z_plus),
    "gamma": (Gamma(), gamma),
    "z_box": (ZBox(low=-3.0, high=4.0), z_box),
    "flat": (Flat(), flat),
    "w_square": (WSquare(), w_square),
}


def matrix(layer: nn.Module, shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Any affine layer as w (outputs, inputs) and b (outputs,)."""
    zero = torch.zeros(1, *shape, dtype=torch.float64)
    b = layer(zero).detach().flatten()
    w = torch.autograd.functional.jacobian(layer, zero).reshape(len(b), -1)
    return w, b


class Scored(nn.Module):
    """Gives the outputs of a layer the relevance r, as one score."""

    def __init__(self, layer: nn.Module, factor: Tensor) -> None:
        super().__init__()
        self.layer, self.factor = layer, factor

    def forward(self, x: Tensor) -> Tensor:
        return (self.layer(x).flatten(1) * self.factor).sum(dim=1, keepdim=True)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("layer", LAYERS)
def test_rules_in_matrix_form(rule: str, layer: str) -> None:
    torch.manual_seed(0)
    make, shape = LAYERS[layer]
    module = make().double()
    x = torch.randn(3, *shape, dtype=torch.float64)
    x[:, ..., 0] = 0  # relevance that is not in proportion to the input reaches zeros too
    w, b = matrix(module, shape)
    factor = torch.linspace(-1, 2, len(b), dtype=torch.float64)
    y = x.flatten(1) @ w.T + b
    rule_, reference = RULES[rule]
    expected = reference(x.flatten(1), w, b, y, y * factor)
    method = LRP(Composite(), layers={"layer": rule_})
    found = explain(Scored(module, factor), x, method, target=0).values
    torch.testing.assert_close(found.flatten(1), expected, rtol=1e-9, atol=1e-10)
    assert expected.abs().max() > 1e-3


@pytest.mark.parametrize("rule", ["z_box", "flat", "w_square"])
def test_zeros_of_the_input_get_their_share(rule: str) -> None:
    module = nn.Linear(4, 3).double()
    x = torch.zeros(2, 4, dtype=torch.float64)
    x[1, 2] = 1
    found = explain(module, x, LRP(layers={nn.Linear: RULES[rule][0]}), target=1)
    assert (found.values != 0).sum() >= 6


def test_bounds_of_each_sample_by_default() -> None:
    torch.manual_seed(0)
    module, x = nn.Linear(5, 3).double(), torch.randn(2, 5, dtype=torch.float64)
    found = explain(module, x, LRP(layers={nn.Linear: ZBox()}), target=1).values
    for i in range(2):
        own = ZBox(low=float(x[i].min()), high=float(x[i].max()))
        expected = explain(module, x[i : i + 1], LRP(layers={nn.Linear: own}), target=1).values
        torch.testing.assert_close(found[i : i + 1], expected)


def test_bounds_may_be_tensors() -> None:
    torch.manual_seed(0)
    module, x = nn.Conv2d(2, 3, 2).double(), torch.randn(2, 2, 4, 4, dtype=torch.float64)
    net = nn.Sequential(module, nn.Flatten())
    low = torch.tensor([-3.0, -5.0]).view(1, 2, 1, 1)
    found = explain(net, x, LRP(layers={"0": ZBox(low=low, high=4.0)}), target=1).values
    same = explain(net, x, LRP(layers={"0": ZBox(low=low.expand(1, 2, 4, 4), high=4.0)}), target=1).values
    assert torch.equal(found, same)


def test_gamma_grows_into_z_plus_and_from_epsilon() -> None:
    torch.manual_seed(0)
    module, x = nn.Linear(6, 4, bias=False).double(), torch.rand(3, 6, dtype=torch.float64)
    x = x * torch.sign(module(x)[:, 1:2].detach())  # so that the output is positive

    def relevance(rule: Rule) -> Tensor:
        return explain(module, x, LRP(layers={nn.Linear: rule}), target=1).values

    torch.testing.assert_close(relevance(Gamma(gamma=0)), relevance(Epsilon()))
    torch.testing.assert_close(
        relevance(Gamma(gamma=1e9, epsilon=0)), relevance(ZPlus(epsilon=0)), rtol=1e-6, atol=1e-9
    )


def test_pass() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 3)).double()
    x = torch.randn(2, 4, dtype=torch.float64)
    found = explain(net, x, LRP(Composite(), layers={"0": Pass(epsilon=0)}), target=1).values
    hidden = net[0](x).detach()
    torch.testing.assert_close(found, explain(net[1], hidden, LRP(Composite()), target=1).values)
    with pytest.raises(ValueError, match=r"outputs of the input's shape, and 'linear' makes \(2, 3\) of \(2, 4\)"):
        explain(net, x, LRP(layers={"1": Pass()}), target=1)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Epsilon(epsilon=-1), "epsilon must not be negative, got -1"),
        (lambda: Gamma(gamma=-0.5), "gamma must not be negative, got -0.5"),
        (lambda: AlphaBeta(alpha=2, beta=2), "alpha - beta must be 1 and neither negative, got 2 and 2"),
        (lambda: AlphaBeta(alpha=0, beta=-1), "alpha - beta must be 1 and neither negative, got 0 and -1"),
    ],
)
def test_parameters_out_of_range(make: Callable[[], Rule], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        make()


def test_epsilon_of_one_layer_is_input_times_gradient() -> None:
    module, x = nn.Linear(6, 4).double(), torch.randn(3, 6, dtype=torch.float64)
    found = explain(Scored(module, torch.ones(4).double()), x, LRP(Composite()), target=0).values
    expected = x * F.linear(torch.ones(3, 4).double(), module.weight.detach().T)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
