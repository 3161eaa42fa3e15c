import pytest
import torch
from captum.attr import InternalInfluence as Captum
from worlds import TARGETS, WORLDS, baseline, gradient, net, samples

from lightning_explain import IntegratedGradients, InternalInfluence, Layer, explain

NODES = [(0.5 - 15**0.5 / 10, 5 / 18), (0.5, 8 / 18), (0.5 + 15**0.5 / 10, 5 / 18)]
"""Gauss-Legendre on [0, 1] with three points, in closed form."""


@pytest.mark.parametrize("where", WORLDS)
def test_it_is_the_mean_gradient_while_the_inputs_run_along_their_line(where: str) -> None:
    model, x, world = net(), samples(), WORLDS[where]
    for max_rows in (1, 4, 100):
        found = explain(
            model, x, InternalInfluence(3), world.place, TARGETS, baseline=baseline(), max_rows=max_rows
        ).values
        for i, target in enumerate(TARGETS.tolist()):
            expected = 0.0
            for alpha, weight in NODES:
                z = world.variable(model, baseline()[0] + alpha * (x[i] - baseline()[0]))
                expected = expected + weight * gradient(world, model, z, target)
            torch.testing.assert_close(found[i], expected, rtol=0, atol=1e-12)


def test_captum_agrees() -> None:
    model, x = net(), samples()
    model.relu.inplace = False
    found = explain(model, x, InternalInfluence(20), Layer("conv1"), TARGETS, baseline=baseline()).values
    theirs = Captum(model, model.conv1).attribute(x, baseline(), target=TARGETS, n_steps=20).detach()
    torch.testing.assert_close(found, theirs, rtol=0, atol=1e-7)  # their weights are float32


@pytest.mark.parametrize("rule", ["riemann_left", "riemann_middle", "riemann_right"])
def test_the_rule_can_be_chosen(rule: str) -> None:
    model, x = net(), samples()
    model.relu.inplace = False
    found = explain(model, x, InternalInfluence(5, rule), Layer("conv2"), TARGETS, baseline=baseline()).values
    theirs = Captum(model, model.conv2).attribute(x, baseline(), target=TARGETS, n_steps=5, method=rule)
    torch.testing.assert_close(found, theirs.detach(), rtol=0, atol=1e-7)


def test_at_the_input_it_is_the_mean_gradient_of_integrated_gradients() -> None:
    model, x = net(), samples()
    found = explain(model, x, InternalInfluence(9), None, TARGETS, baseline=baseline()).values
    mean = explain(
        model, x, IntegratedGradients(9, multiply_by_inputs=False), None, TARGETS, baseline=baseline()
    ).values
    torch.testing.assert_close(found, mean, rtol=0, atol=1e-14)


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="n_steps must be at least 1 for gauss_legendre, got 0"):
        InternalInfluence(0)
    with pytest.raises(ValueError, match="n_steps must be at least 2 for riemann_trapezoid, got 1"):
        InternalInfluence(1, "riemann_trapezoid")
    with pytest.raises(ValueError, match="No quadrature 'simpson'"):
        InternalInfluence(quadrature="simpson")
