import pytest
import torch
from captum.attr import NeuronGradient
from captum.attr import Saliency as Captum
from worlds import TARGETS, UNIT, WORLDS, net, samples

from lightning_explain import Saliency, explain


@pytest.mark.parametrize("where", WORLDS)
def test_saliency_is_the_slope_of_the_score(where: str) -> None:
    model, x, world = net(), samples(), WORLDS[where]
    found = explain(model, x, Saliency(absolute=False), world.place, TARGETS).values
    step = 1e-6
    for i, target in enumerate(TARGETS.tolist()):
        z = world.variable(model, x[i]).detach()
        for element in range(z.numel()):
            up, down = z.flatten().clone(), z.flatten().clone()
            up[element] += step
            down[element] -= step
            slope = (world.score(model, up.view_as(z), target) - world.score(model, down.view_as(z), target)) / (
                2 * step
            )
            assert found[i].flatten()[element].item() == pytest.approx(slope.item(), abs=1e-8)


def test_absolute_leaves_the_sign_out() -> None:
    model, x = net(), samples()
    signed = explain(model, x, Saliency(absolute=False), target=TARGETS).values
    assert (signed < 0).any()
    assert torch.equal(explain(model, x, "saliency", target=TARGETS).values, signed.abs())


def test_captum_agrees() -> None:
    model, x = net(), samples()
    found = explain(model, x, Saliency(), target=TARGETS).values
    theirs = Captum(model).attribute(x.clone().requires_grad_(), target=TARGETS)
    torch.testing.assert_close(found, theirs, rtol=0, atol=1e-12)
    unit = explain(model, x, Saliency(absolute=False), WORLDS["neuron"].place).values
    theirs = NeuronGradient(model, model.conv2).attribute(x.clone().requires_grad_(), UNIT)
    torch.testing.assert_close(unit, theirs, rtol=0, atol=1e-12)
