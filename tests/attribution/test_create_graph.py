"""Attributions that can be trained on."""

import pytest
import torch
from cases import BY_NAME, CNN, MLP, few_features
from torch import Tensor

from lightning_explain import (
    LRP,
    METHODS,
    Conductance,
    GradCAM,
    GradientShap,
    HiResCAM,
    Input,
    InputXGradient,
    IntegratedGradients,
    InternalInfluence,
    Layer,
    Neuron,
    Saliency,
    SmoothGrad,
    explain,
)
from lightning_explain.attribution.methods import Method

X = torch.randn(4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def mlp() -> MLP:
    return BY_NAME["mlp"].model()


def slope(model: MLP, x: Tensor) -> Tensor:
    """The derivative of output 1, by the chain rule."""
    inner = 1 - torch.tanh(x @ model.hidden.weight.T + model.hidden.bias) ** 2
    return (model.head.weight[1] * inner) @ model.hidden.weight


def integrated(model: MLP, x: Tensor) -> Tensor:
    nodes = [(0.5 - 3**0.5 / 6, 0.5), (0.5 + 3**0.5 / 6, 0.5)]
    return x * sum(w * slope(model, a * x) for a, w in nodes)


def at_random(model: MLP, x: Tensor) -> Tensor:
    return x * slope(model, GradientShap(1, seed=3)._draws(1)[0].item() * x)


def at_layer(model: MLP, x: Tensor) -> Tensor:
    z = x @ model.hidden.weight.T + model.hidden.bias
    return z * model.head.weight[1] * (1 - torch.tanh(z) ** 2)


REFERENCES = {
    "saliency": (Saliency(absolute=False), Input(), slope),
    "input_x_gradient": (InputXGradient(), Input(), lambda model, x: x * slope(model, x)),
    "integrated_gradients": (IntegratedGradients(2), Input(), integrated),
    "layer": (InputXGradient(), Layer("hidden"), at_layer),
    "neuron": (InputXGradient(), Neuron("hidden", 2), lambda model, x: x * model.hidden.weight[2]),
    "smoothgrad": (SmoothGrad(n_samples=2, stdev=0.0), Input(), slope),
    "gradient_shap": (GradientShap(1, seed=3), Input(), at_random),
}


@pytest.mark.parametrize("name", REFERENCES)
@pytest.mark.parametrize("max_rows", [None, 3])
def test_gradients_of_attributions_are_those_of_the_formula(name: str, max_rows: int | None) -> None:
    method, place, reference = REFERENCES[name]
    model, x = mlp(), X.clone().requires_grad_()
    found = explain(model, x, method, place, 1, create_graph=True, max_rows=max_rows).values
    expected = reference(model, x)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    over = [x, *model.parameters()]
    for ours, theirs in zip(derivatives(found, over), derivatives(expected, over), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-11)
    assert derivatives(found, over)[1].abs().max() > 0


def derivatives(attributions: Tensor, over: list[Tensor]) -> list[Tensor]:
    ramp = torch.linspace(1, 2, attributions.numel(), dtype=attributions.dtype).view_as(attributions)
    loss = (attributions**2 * ramp).sum()
    found = torch.autograd.grad(loss, over, retain_graph=True, allow_unused=True)
    return [torch.zeros_like(t) if g is None else g for g, t in zip(found, over, strict=True)]


def test_a_step_of_training_moves_attributions_out_of_a_corner() -> None:
    torch.manual_seed(0)
    model, x = CNN(), torch.randn(8, 2, 6, 6)
    corner = torch.zeros(6, 6)
    corner[:3, :3] = 1
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    losses = []
    for _ in range(5):
        attribution = explain(model, x, IntegratedGradients(4), target=1, create_graph=True).values
        loss = (attribution * corner).square().sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 0.9 * losses[0]
    assert model.training
    assert all(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize(
    "method",
    [GradCAM("conv2"), HiResCAM("conv2"), Conductance(3), InternalInfluence(3), IntegratedGradients(8, tolerance=0.1)],
    ids=lambda method: method.name,
)
@pytest.mark.parametrize("layer", [None, "bn1"])
def test_parameters_are_reached_everywhere(method: Method, layer: str | None) -> None:
    model = BY_NAME["cnn"].model()
    place = None if layer is None else Layer(layer)
    found = explain(model, BY_NAME["cnn"].inputs(), method, place, 1, create_graph=True)
    plain = explain(model, BY_NAME["cnn"].inputs(), method, place, 1)
    torch.testing.assert_close(found.values.detach(), plain.values, rtol=0, atol=1e-12)
    found.values.square().sum().backward()
    assert model.head.weight.grad.abs().max() > 0
    if method.name != "internal_influence" or layer is None:
        assert model.conv1.weight.grad.abs().max() > 0
    assert not found.outputs.requires_grad
    assert found.delta is None or not found.delta.requires_grad


@pytest.mark.parametrize("place", [Input(), Layer("hidden"), Neuron("hidden", 2)], ids=str)
@pytest.mark.parametrize(
    "name",
    ["occlusion", "feature_ablation", "feature_permutation", "shapley_values", "shapley_sampling", "kernel_shap"],
)
def test_what_is_made_of_scores_has_the_gradient_of_finite_differences(name: str, place: object) -> None:
    model = mlp()
    weight = model.hidden.weight

    def loss(create_graph: bool) -> Tensor:
        return explain(model, X, name, place, 1, create_graph=create_graph).values.square().sum()

    (found,) = torch.autograd.grad(loss(create_graph=True), weight)
    with torch.no_grad():
        kept, ends = weight.clone(), []
        for step in (1e-6, -1e-6):
            weight[1:3, 3] = kept[1:3, 3] + step
            ends.append(loss(create_graph=False))
            weight.copy_(kept)
    torch.testing.assert_close(found[1:3, 3].sum(), (ends[0] - ends[1]) / 2e-6, rtol=1e-6, atol=1e-8)
    assert found[1:3, 3].sum().abs() > 1e-6


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ("lrp", "Relevance cannot be trained on: leave out create_graph=True"),
        ("deep_lift", "DeepLift cannot be trained on"),
        ("deep_lift_shap", "DeepLift cannot be trained on"),
        ("guided_backprop", "guided_backprop cannot be trained on"),
        ("deconvolution", "deconvolution cannot be trained on"),
        ("guided_grad_cam", "Guided Grad-CAM cannot be trained on"),
        (SmoothGrad(LRP()), "Relevance cannot be trained on"),
    ],
    ids=str,
)
def test_what_cannot_be_trained_on_says_so(method: object, message: str) -> None:
    model, x = CNN(), torch.randn(4, 2, 6, 6)
    with pytest.raises(ValueError, match=message):
        explain(model, x, method, target=1, create_graph=True)


def test_frozen_parameters_stay_frozen_and_gradients_are_added_to() -> None:
    model = mlp()
    model.hidden.weight.requires_grad_(False)
    model.head.weight.grad = kept = torch.ones_like(model.head.weight)
    explain(model, X, Saliency(), target=1, create_graph=True).values.sum().backward()
    assert model.hidden.weight.grad is None
    assert model.head.weight.grad is kept
    assert not torch.equal(kept, torch.ones_like(kept))


@pytest.mark.parametrize("name", [name for name in METHODS if not METHODS[name].needs_attention])
def test_by_default_nothing_is_attached(name: str) -> None:
    model, x = BY_NAME["cnn"].model(), BY_NAME["cnn"].inputs().requires_grad_()
    mask = few_features(model, x.detach(), Layer("bn1"))
    found = explain(model, x, name, Layer("bn1"), 1, feature_mask=mask)
    assert not any(leaf.requires_grad for leaf in found.point)
