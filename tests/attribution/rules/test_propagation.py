"""Steps of relevance for operators that are sums, products and affine at once."""

import warnings
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_explain import explain
from lightning_explain.attribution.methods import LRP
from lightning_explain.attribution.rules.composites import Composite
from lightning_explain.attribution.rules.relevance import Epsilon, ZPlus

EXACT = LRP(Composite(Epsilon(epsilon=0), Epsilon(epsilon=0)))


class Computed(nn.Module):
    def __init__(self, body: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


def draw(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(sum(shape)))


X, G, W = draw(4, 3, 3), draw(3), draw(3, 3)
SUMS = {  # of one sample, a matrix
    "addcmul, layer scale": (lambda x: torch.addcmul(x, G, x @ W), lambda x: x + G * (x @ W)),
    "addcmul, two variables": (
        lambda x: torch.addcmul(x, x @ W, x.tanh(), value=0.5),
        lambda x: x + (x @ W) * x.tanh() * 0.5,
    ),
    "addmm": (lambda x: torch.addmm(x.tanh(), x, W), lambda x: x.tanh() + x @ W),
    "addmm, two variables": (
        lambda x: torch.addmm(x, W @ x, mat2=x.tanh(), beta=2, alpha=3),
        lambda x: x * 2 + (W @ x) @ x.tanh() * 3,
    ),
    "addmm, a constant and two variables": (
        lambda x: torch.addmm(W, x.tanh(), x, beta=0),
        lambda x: x.tanh() @ x,
    ),
    "addmv": (lambda x: torch.addmv(x[0], x, G), lambda x: x[0] + x @ G),
    "baddbmm": (lambda x: x[None].baddbmm(x[None], x[None].tanh(), beta=0.5), lambda x: x * 0.5 + x @ x.tanh()),
    "addbmm": (
        lambda x: torch.addbmm(x, torch.stack([x, W]), torch.stack([x.tanh(), x])),
        lambda x: x + (torch.stack([x, W]) @ torch.stack([x.tanh(), x])).sum(dim=0),
    ),
    "lerp, gate": (lambda x: torch.lerp(x, x @ W, x.sigmoid()), lambda x: x + x.sigmoid() * (x @ W - x)),
}


@pytest.mark.parametrize("method", ["deep_lift", EXACT, LRP("epsilon_plus")], ids=str)
@pytest.mark.parametrize("name", SUMS)
def test_sums_with_products_are_what_they_are_written_out(name: str, method: str | LRP) -> None:
    fused, apart = (
        explain(Computed(lambda x, body=body: body(x[0]).reshape(1, -1)), X[:1], method, target=1)
        for body in SUMS[name]
    )
    torch.testing.assert_close(fused.outputs, apart.outputs)
    torch.testing.assert_close(fused.values, apart.values, rtol=1e-9, atol=1e-10)


def test_no_relevance_is_lost_beside_a_product() -> None:
    found = explain(Computed(lambda x: torch.addcmul(x, G, x @ W)[:, 0]), X, EXACT, target=1)
    torch.testing.assert_close(found.values.flatten(1).sum(dim=1), found.outputs[:, 1])


@pytest.mark.parametrize("method", [LRP("epsilon"), LRP(Composite(dense=ZPlus()))], ids=["epsilon", "z_plus"])
def test_a_product_with_a_bias_is_an_affine_operator_however_it_is_spelled(method: LRP) -> None:
    x, layer = X[:, 0], nn.Linear(3, 3).double()
    expected = explain(layer, x, method, target=1).values
    weight, bias = layer.weight.detach().T, layer.bias.detach()
    for body in (
        lambda x: torch.addmm(bias, x, weight),
        lambda x: torch.addmm(bias, mat1=x, mat2=weight),
        lambda x: torch.addmm(input=bias / 2, mat1=x, mat2=weight / 4, beta=2, alpha=4),
        lambda x: bias.addmm(x, mat2=weight),
    ):
        torch.testing.assert_close(explain(Computed(body), x, method, target=1).values, expected)


def test_products_by_keyword_are_affine() -> None:
    x, method = X[:, 0], LRP(Composite(dense=ZPlus()))
    expected = explain(Computed(lambda x: x @ W), x, method, target=1).values
    for body in (lambda x: torch.matmul(x, other=W), lambda x: torch.mm(input=x, mat2=W)):
        torch.testing.assert_close(explain(Computed(body), x, method, target=1).values, expected)


@pytest.mark.filterwarnings("ignore:DeepLift's convergence delta:UserWarning")
@pytest.mark.parametrize("method", ["deep_lift", "lrp"])
def test_a_grid_that_depends_on_the_variable_is_said_and_one_that_does_not_is_not(method: str) -> None:
    theta = torch.tensor([[0.8, 0, 0.1], [0, 1, 0]], dtype=torch.float64)

    def sampled(x: Tensor, theta: Tensor) -> Tensor:
        grid = F.affine_grid(theta.expand(len(x), 2, 3), [len(x), 1, 3, 3], align_corners=False)
        return F.grid_sample(x[:, None], grid, align_corners=False).flatten(1)

    with pytest.warns(UserWarning, match="no rule for the operator 'grid_sampler'"):
        explain(Computed(lambda x: sampled(x, theta + x[:, :2] / 9)), X, method, target=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = explain(Computed(lambda x: sampled(x, theta)), X, method, target=1)
    torch.testing.assert_close(found.values.flatten(1).sum(dim=1), found.outputs[:, 1])
