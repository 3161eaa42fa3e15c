"""Saliency, input x gradient, integrated gradients: what Captum's parameters do, beside Captum."""

import pytest
import torch
from captum import attr as captum
from drop_in.attr.primary import TARGETS, net, samples
from torch import Tensor, nn

from lightning_explain.captum.attr import InputXGradient, IntegratedGradients, Saliency
from lightning_explain.captum.attr.gradients import QUADRATURES
from lightning_explain.captum.errors import ArgumentError

pytestmark = pytest.mark.filterwarnings("ignore:(Input Tensor 0|Internal batch size).*:UserWarning")

BASELINE = torch.linspace(-1, 1, 72, dtype=torch.float64).reshape(1, 2, 6, 6)


def test_the_sign_of_a_saliency() -> None:
    signed = Saliency(net()).attribute(samples(), TARGETS, abs=False)
    assert signed.min() < 0
    assert torch.equal(Saliency(net()).attribute(samples(), TARGETS), signed.abs())
    assert torch.equal(InputXGradient(net()).attribute(samples(), TARGETS), signed * samples())


@pytest.mark.parametrize("method", [name for name in QUADRATURES if name != "riemann_trapezoid"])
@pytest.mark.parametrize("multiply", [True, False])
def test_quadratures(method: str, multiply: bool) -> None:
    given = {"baselines": BASELINE, "target": TARGETS, "n_steps": 7, "method": method, "return_convergence_delta": True}
    found, delta = IntegratedGradients(net(), multiply).attribute(samples(), **given)
    expected, their_delta = captum.IntegratedGradients(net(), multiply).attribute(samples(), **given)
    torch.testing.assert_close(found, expected.detach(), rtol=1e-7, atol=1e-9)  # its weights have seven digits
    torch.testing.assert_close(delta, their_delta.detach(), rtol=0, atol=1e-6)
    assert delta.abs().max() > 1e-6


def test_the_weights_of_the_trapezoidal_rule_sum_to_one() -> None:
    """Captum's sum to 1 - 1/n: 0.98 of the difference of outputs with 50 steps, 0.8 with 5."""
    model, x = nn.Linear(4, 1).double(), torch.randn(3, 4, dtype=torch.float64)
    given = {"n_steps": 5, "method": "riemann_trapezoid", "return_convergence_delta": True}
    found, delta = IntegratedGradients(model).attribute(x, **given)
    torch.testing.assert_close(found, (x * model.weight).detach())
    assert delta.abs().max() < 1e-12
    theirs, _ = captum.IntegratedGradients(model).attribute(x, **given)
    torch.testing.assert_close(theirs.detach(), 0.8 * found)


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_no_batch_is_larger_than_internal_batch_size(size: int) -> None:
    rows: list[int] = []
    model = net()

    def counted(x: Tensor) -> Tensor:
        rows.append(len(x))
        return model(x)

    found = IntegratedGradients(counted).attribute(samples(), BASELINE, TARGETS, n_steps=9, internal_batch_size=size)
    assert max(rows) == min(size, 27)
    whole = IntegratedGradients(net()).attribute(samples(), BASELINE, TARGETS, n_steps=9)
    torch.testing.assert_close(found, whole, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    "baselines", [None, 0, 0.5, BASELINE, BASELINE.expand(3, -1, -1, -1) * torch.arange(3).view(3, 1, 1, 1)]
)
def test_baselines(baselines: Tensor | float | None) -> None:
    found = IntegratedGradients(net()).attribute(samples(), baselines, TARGETS, n_steps=6)
    expected = captum.IntegratedGradients(net()).attribute(samples(), baselines, TARGETS, n_steps=6).detach()
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-9)


def test_several_inputs() -> None:
    def product(x: Tensor, y: Tensor, factor: float) -> Tensor:
        return (x * y.tanh()).sum(dim=1) * factor

    x, y = torch.randn(2, 3, 4, dtype=torch.float64)
    given = {"baselines": (0.1, y[:1]), "additional_forward_args": 3.0, "return_convergence_delta": True}
    (a, b), delta = IntegratedGradients(product).attribute((x, y), **given)
    (c, d), their_delta = captum.IntegratedGradients(product).attribute((x, y), **given)
    for ours, theirs in ((a, c), (b, d), (delta, their_delta)):
        torch.testing.assert_close(ours, theirs.detach(), rtol=0, atol=1e-7)
    torch.testing.assert_close(
        IntegratedGradients(product).compute_convergence_delta((a, b), (0.1, y[:1]), (x, y), None, 3.0), delta
    )


def test_an_input_that_plays_no_part_gets_zeros() -> None:
    x, y = torch.randn(2, 3, 4)
    found = Saliency(lambda x, y: x.sum(dim=1) + 0 * len(y)).attribute((x, y))
    assert found[0].eq(1).all()
    assert found[1].eq(0).all()


def test_one_number_for_the_batch() -> None:
    x = torch.randn(3, 4)
    for function in (lambda x: (x**2).sum(), lambda x: (x**2).sum().reshape(1)):
        torch.testing.assert_close(InputXGradient(function).attribute(x), 2 * x**2)
        found, delta = IntegratedGradients(function).attribute((x,), return_convergence_delta=True)
        torch.testing.assert_close(found[0], x**2)
        assert delta.shape == (1,)
        assert delta.abs().max() < 1e-5


def test_a_quadrature_that_is_not_there() -> None:
    with pytest.raises(ArgumentError, match=r"No quadrature 'riemann_rihgt'\. Did you mean 'riemann_right'\?"):
        IntegratedGradients(net()).attribute(samples(), target=0, method="riemann_rihgt")
