"""What the classes at layers are made of, at the inputs: where formulas are short enough to write again."""

from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from lightning_explain.captum.attr import internal
from lightning_explain.captum.errors import ArgumentError

X = torch.linspace(-1, 1, 24, dtype=torch.float64).reshape(2, 3, 2, 2)


def model(x: Tensor) -> Tensor:
    weight = torch.arange(1.0, 13.0, dtype=x.dtype).reshape(3, 2, 2)
    return (torch.tanh(x * weight)).sum(dim=(2, 3))  # an output for each channel


def slope(x: Tensor, target: int) -> Tensor:
    x = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(model(x)[:, target].sum(), x)
    return gradient


def test_what_is_there() -> None:
    assert torch.equal(internal.Activation(model).attribute(X), X)


def test_the_gradient_keeps_its_sign() -> None:
    torch.testing.assert_close(internal.Gradient(lambda x: -model(x)).attribute(X, target=1), -slope(X, 1))


@pytest.mark.parametrize("multiply", [True, False])
def test_the_gradient_times_what_is_there(multiply: bool) -> None:
    method = internal.GradientXActivation(model, multiply_by_inputs=multiply)
    assert method.multiplies_by_inputs is multiply
    torch.testing.assert_close(method.attribute(X, 1), slope(X, 1) * (X if multiply else 1))


def test_channels_weighted_with_their_mean_gradient() -> None:
    signed = (slope(X, 1).mean(dim=(2, 3), keepdim=True) * X).sum(dim=1, keepdim=True)
    method = internal.GradCam(model)
    torch.testing.assert_close(method.attribute(X, 1), signed)
    torch.testing.assert_close(method.attribute(X, 1, relu_attributions=True), signed.relu())
    each = method.attribute(X, 1, attr_dim_summation=False)
    assert each.shape == X.shape
    torch.testing.assert_close(each.sum(dim=1, keepdim=True), signed)


def test_the_mean_gradient_on_the_line() -> None:
    base = torch.full_like(X, 0.25)
    points = [base + (k + 0.5) / 4 * (X - base) for k in range(4)]
    mean = sum(slope(point, 2) for point in points) / 4
    given = {"n_steps": 4, "method": "riemann_middle", "internal_batch_size": 3}
    torch.testing.assert_close(internal.Influence(model).attribute(X, base, 2, **given), mean)


def test_what_flows_on_the_line() -> None:
    base = torch.full_like(X, 0.25)
    points = [base + at * (X - base) for at in (0, 1 / 8, 3 / 8, 5 / 8, 7 / 8, 1)]  # the middles of steps, and the ends
    flow = sum((slope(near, 2) + slope(far, 2)) / 2 * (far - near) for near, far in pairwise(points))
    found = internal.Conductance(model).attribute(X, base, 2, n_steps=4, internal_batch_size=3)
    torch.testing.assert_close(found, flow)


def test_conductance_says_how_far_it_is_from_adding_up() -> None:
    method = internal.Conductance(model)
    assert method.has_convergence_delta()
    found, delta = method.attribute(X, target=0, n_steps=3, return_convergence_delta=True)
    span = (model(X) - model(torch.zeros_like(X)))[:, 0]
    torch.testing.assert_close(delta, found.flatten(1).sum(dim=1) - span)


def test_others_have_no_delta() -> None:
    for kind in (internal.Activation, internal.Gradient, internal.GradientXActivation, internal.GradCam,
                 internal.Influence):  # fmt: skip
        assert not kind(model).has_convergence_delta()


@pytest.mark.parametrize("kind", [internal.Conductance, internal.Influence])
def test_quadratures_have_captums_names(kind: type) -> None:
    with pytest.raises(ArgumentError, match=r"quadrature 'simpson'.*gausslegendre"):
        kind(model).attribute(X, target=0, method="simpson")


def test_one_output_is_explained() -> None:
    with pytest.raises(ArgumentError, match="Give target="):
        internal.Gradient(nn.Identity()).attribute(X[:, :, 0, 0])
