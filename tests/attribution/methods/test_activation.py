import torch
from captum.attr import LayerActivation, LayerGradientXActivation
from cases import BY_NAME
from worlds import TARGETS, WORLDS, net, samples

from lightning_explain import Activation, Input, InputXGradient, Layer, explain


def test_it_is_what_goes_through_the_layer() -> None:
    model, x = net(), samples()
    for name in ("output", "layer_input"):
        world = WORLDS[name]
        found = explain(model, x, "activation", world.place, TARGETS)
        expected = torch.stack([world.variable(model, one).detach() for one in x])
        torch.testing.assert_close(found.values, expected, rtol=0, atol=1e-12)
        assert found.delta is None
    found = explain(model, x, Activation(), Input(), TARGETS).values
    assert torch.equal(found, x)
    found.zero_()  # a copy: the samples are not written to
    assert x.abs().min() > 0


def test_captum_agrees() -> None:
    model, x = net(), samples()
    model.relu.inplace = False
    found = explain(model, x, "activation", Layer("conv2"), TARGETS).values
    torch.testing.assert_close(found, LayerActivation(model, model.conv2).attribute(x).detach(), rtol=0, atol=0)
    found = explain(model, x, InputXGradient(), Layer("conv2"), TARGETS).values
    theirs = LayerGradientXActivation(model, model.conv2).attribute(x, TARGETS).detach()
    torch.testing.assert_close(found, theirs, rtol=0, atol=1e-12)


def test_the_target_plays_no_part() -> None:
    case = BY_NAME["recurrent"]
    found = [explain(case.model(), case.inputs(), "activation", Layer("lstm"), target).point for target in (0, 2)]
    assert len(found[0]) == 3
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def test_integers_are_what_they_are() -> None:
    model, ids = torch.nn.Sequential(torch.nn.Embedding(5, 3), torch.nn.Flatten()), torch.tensor([[1, 2], [3, 4]])
    found = explain(model, ids, Activation(), Layer("0", of="input"), 0, baseline=0).values
    assert torch.equal(found, ids)
