import pytest
import torch
from captum.attr import InputXGradient as Captum
from captum.attr import LayerGradientXActivation
from worlds import TARGETS, WORLDS, gradient, net, samples

from lightning_explain import InputXGradient, explain


@pytest.mark.parametrize("where", WORLDS)
def test_it_is_the_variable_times_the_gradient(where: str) -> None:
    model, x, world = net(), samples(), WORLDS[where]
    found = explain(model, x, InputXGradient(), world.place, TARGETS)
    for i, target in enumerate(TARGETS.tolist()):
        z = world.variable(model, x[i]).detach()
        expected = z * gradient(world, model, z, target)
        assert expected.abs().max() > 1e-3
        torch.testing.assert_close(found.values[i], expected, rtol=0, atol=1e-12)
    assert found.delta is None  # not complete: no baseline takes part


@pytest.mark.parametrize("where", ["input", "output", "layer_input"])
def test_captum_agrees(where: str) -> None:
    model, x = net(), samples()
    found = explain(model, x, "input_x_gradient", WORLDS[where].place, TARGETS).values
    inputs = x.clone().requires_grad_()
    theirs = {
        "input": lambda: Captum(model).attribute(inputs, target=TARGETS),
        "output": lambda: LayerGradientXActivation(model, model.conv2).attribute(inputs, target=TARGETS),
        "layer_input": lambda: LayerGradientXActivation(model, model.head).attribute(
            inputs, target=TARGETS, attribute_to_layer_input=True
        ),
    }[where]()
    theirs = theirs[0] if isinstance(theirs, tuple) else theirs
    torch.testing.assert_close(found, theirs.detach(), rtol=0, atol=1e-12)
