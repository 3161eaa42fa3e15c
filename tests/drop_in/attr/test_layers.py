from collections.abc import Callable
from typing import Any

import pytest
import torch
from captum import attr as captum
from drop_in.attr.nets import CELLS, CNN, MLP, NETS, Folded, Net, Reused, TimeFirst, Unused, assert_alike, flat
from torch import Tensor, nn

from lightning_explain.captum.attr import layers
from lightning_explain.captum.errors import ArgumentError

pytestmark = [  # Captum's remarks
    pytest.mark.filterwarnings("ignore:Input Tensor"),
    pytest.mark.filterwarnings("ignore:Setting .* hooks"),
]

X = NETS["mlp"].inputs()
MANY = torch.rand(5, 1, 5, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(3))


def not_in_place(model: nn.Module) -> nn.Module:
    for module in model.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False
    return model


def of_captum(name: str, net: Net, layer: str, **asked: Any) -> Any:
    model = net.model().eval()
    if name == "LayerIntegratedGradients":
        not_in_place(model)  # Captum hands a leaf of the graph to it
    return getattr(captum, name)(model, getattr(model, layer)).attribute(net.inputs(), **asked)


def of_us(name: str, net: Net, layer: str, **asked: Any) -> Any:
    model = net.model()
    return getattr(layers, name)(model, getattr(model, layer)).attribute(net.inputs(), **asked)


@pytest.mark.parametrize(("net", "layer", "side"), CELLS)
@pytest.mark.parametrize(
    ("name", "asked"),
    [
        ("LayerActivation", {}),
        ("LayerGradientXActivation", {}),
        ("LayerGradCam", {}),
        ("LayerGradCam", {"relu_attributions": True, "attr_dim_summation": False}),
        ("LayerIntegratedGradients", {"n_steps": 20}),
        ("LayerIntegratedGradients", {"n_steps": 9, "method": "riemann_middle", "internal_batch_size": 7}),
        ("InternalInfluence", {"n_steps": 9}),
        ("InternalInfluence", {"n_steps": 6, "method": "riemann_right"}),
    ],
)
def test_captum_agrees(name: str, asked: dict[str, Any], net: str, layer: str, side: bool) -> None:
    world = NETS[net]
    if world.ids and name == "InternalInfluence":
        pytest.skip("there is no line between token ids")
    asked = asked | {"attribute_to_layer_input": side}
    if name != "LayerActivation":
        asked |= {"target": world.target}
    if "n_steps" in asked:
        asked |= {"baselines": world.baselines()}
    assert_alike(of_us(name, world, layer, **asked), of_captum(name, world, layer, **asked))


@pytest.mark.parametrize(("net", "layer", "side"), [cell for cell in CELLS if cell[0] != "words"])
def test_conductance_is_captums_in_the_limit_and_adds_up_with_few_steps(net: str, layer: str, side: bool) -> None:
    """Captum takes the gradient at the beginning of each step, and by its default leaves out the ends of the line."""
    world = NETS[net]
    asked = {"target": world.target, "baselines": world.baselines(), "attribute_to_layer_input": side}
    theirs = of_captum("LayerConductance", world, layer, n_steps=600, method="riemann_left", **asked)
    assert_alike(of_us("LayerConductance", world, layer, n_steps=300, **asked), theirs, rtol=2e-2)
    found, delta = of_us("LayerConductance", world, layer, return_convergence_delta=True, **asked)
    _, their_delta = of_captum("LayerConductance", world, layer, return_convergence_delta=True, **asked)
    assert delta.shape == their_delta.shape == (4,)
    if layer != "a":  # what the other input brings goes past it
        assert delta.abs().max() <= their_delta.abs().max() + 1e-12
    assert all(leaf.abs().max() > 0 for leaf in flat(found))


@pytest.mark.parametrize(("layer", "side"), [("conv1", False), ("conv1", True), ("relu1", False), ("conv2", True)])
@pytest.mark.parametrize("name", ["LayerDeepLift", "LayerDeepLiftShap", "LayerLRP"])
def test_captum_agrees_where_it_has_rules(name: str, layer: str, side: bool) -> None:
    if name == "LayerLRP" and layer == "relu1":
        pytest.skip("Captum has no relevance of activations")
    world = NETS["cnn"]
    model, x = not_in_place(world.model()), world.inputs()
    asked = {"target": world.target, "attribute_to_layer_input": side, "return_convergence_delta": True}
    if name != "LayerLRP":
        asked |= {"baselines": MANY if "Shap" in name else world.baselines()}
    (ours, delta), (theirs, their_delta) = (
        getattr(package, name)(model, getattr(model, layer)).attribute(x, **asked) for package in (layers, captum)
    )
    assert_alike(ours, theirs)
    assert delta.shape == their_delta.shape == ((20,) if "Shap" in name else (4,))
    torch.testing.assert_close(delta, their_delta.detach(), rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ["LayerDeepLift", "LayerDeepLiftShap"])
def test_contributions_of_ones_own_and_multipliers(name: str) -> None:
    world = NETS["cnn"]
    model, x, bases = not_in_place(world.model()), world.inputs(), MANY if "Shap" in name else world.baselines()
    plain = getattr(layers, name)(model, model.conv2).attribute(x, bases, 1)

    def product(multipliers: Any, inputs: Any, baselines: Any) -> Any:
        return tuple(m * (a - b) for m, a, b in zip(multipliers, inputs, baselines, strict=True))

    own = getattr(layers, name)(model, model.conv2).attribute(x, bases, 1, custom_attribution_func=product)
    assert_alike(own, plain, rtol=1e-9)
    for package in (layers, captum):
        multipliers = getattr(package, name)(model, model.conv2, multiply_by_inputs=False).attribute(x, bases, 1)
        assert_alike(getattr(layers, name)(model, model.conv2, False).attribute(x, bases, 1), multipliers)


def test_deep_lift_adds_up_at_the_input_of_an_activation() -> None:
    """Captum leaves out the rule of the layer itself."""
    world = NETS["cnn"]
    model, asked = not_in_place(world.model()), {"target": 1, "attribute_to_layer_input": True}
    found, delta = layers.LayerDeepLift(model, model.relu1).attribute(
        world.inputs(), world.baselines(), return_convergence_delta=True, **asked
    )
    _, theirs = captum.LayerDeepLift(model, model.relu1).attribute(
        world.inputs(), world.baselines(), return_convergence_delta=True, **asked
    )
    assert delta.abs().max() < 1e-12 < 1e-3 < theirs.abs().max()
    assert found.abs().max() > 0


def test_relevance_of_several_layers_is_a_list_with_a_delta_for_each() -> None:
    world = NETS["cnn"]
    model, x = not_in_place(world.model()), world.inputs()
    asked = {"target": world.target, "return_convergence_delta": True}
    chosen = [model.conv1, model.conv2, model.head]
    ours, theirs = (package.LayerLRP(model, chosen).attribute(x, **asked) for package in (layers, captum))
    assert [type(part) for part in ours] == [list, list]
    assert_alike(ours[0], theirs[0])
    assert_alike(ours[1], theirs[1], rtol=1e-5)
    single = layers.LayerLRP(model, model.conv2).attribute(x, target=world.target)
    assert torch.equal(ours[0][1], single)


def test_gradient_shap_converges_to_the_mean_of_integrated_gradients() -> None:
    world = NETS["cnn"]
    model, x = world.model(), world.inputs()
    method = layers.LayerGradientShap(model, model.conv2)
    sampled, delta = method.attribute(x, MANY, n_samples=4000, target=1, return_convergence_delta=True)
    lig = layers.LayerIntegratedGradients(model, model.conv2)
    exact = torch.stack([lig.attribute(x, base[None], target=1, n_steps=200) for base in MANY]).mean(dim=0)
    torch.testing.assert_close(sampled, exact, rtol=0, atol=0.03 * float(exact.abs().max()))
    assert delta.shape == (16000,)
    theirs, their_delta = captum.LayerGradientShap(model, model.head).attribute(
        x, MANY[:1], n_samples=3, target=1, return_convergence_delta=True
    )
    ours, delta = layers.LayerGradientShap(model, model.head).attribute(
        x, MANY[:1], n_samples=3, target=1, return_convergence_delta=True
    )
    assert_alike(ours, theirs)  # nothing of the draws is left where the rest is linear
    torch.testing.assert_close(delta, their_delta.detach(), rtol=0, atol=1e-12)


@pytest.mark.parametrize(("net", "layer", "side"), [*CELLS, ("words", "embedding", True)])
@pytest.mark.parametrize("asked", [{}, {"layer_baselines": 0.5}, {"perturbations_per_eval": 3}])
def test_ablation_is_captums(net: str, layer: str, side: bool, asked: dict[str, Any]) -> None:
    world = NETS[net]
    if layer == "mix" and "layer_baselines" in asked:
        asked = {"layer_baselines": (0.5, torch.rand(1, 4, dtype=torch.float64))}
    if side and layer == "embedding" and "layer_baselines" in asked:
        asked = {"layer_baselines": 3}
    target = 1 if "perturbations_per_eval" in asked else world.target  # Captum does not repeat a list
    model = not_in_place(world.model())
    ours, theirs = (
        package.LayerFeatureAblation(model, getattr(model, layer)).attribute(
            world.inputs(), target=target, attribute_to_layer_input=side, **asked
        )
        for package in (layers, captum)
    )
    assert_alike(ours, theirs)
    assert any(leaf.abs().max() > 0 for leaf in flat(ours))


def test_masks_are_of_the_layer() -> None:
    world = NETS["cnn"]
    model, asked = not_in_place(world.model()), {"target": 1, "layer_mask": torch.arange(3).view(1, 3, 1, 1)}
    ours, theirs = (
        package.LayerFeatureAblation(model, model.conv1).attribute(world.inputs(), **asked)
        for package in (layers, captum)
    )
    assert_alike(ours, theirs)
    assert (ours.flatten(2).amax(dim=2) == ours.flatten(2).amin(dim=2)).all()


def test_permutation_takes_a_target() -> None:
    """The slow way: every unit exchanged by the one permutation that there is of two samples."""
    model = NETS["mlp"].model()
    pair = X[:2]
    found = layers.LayerFeaturePermutation(model, model.first).attribute(pair, target=2)
    hidden = model.first(pair)
    for unit in range(6):
        exchanged = hidden.clone()
        exchanged[:, unit] = hidden.flip(0)[:, unit]
        fall = (model.last(model.act(hidden)) - model.last(model.act(exchanged)))[:, 2]
        torch.testing.assert_close(found[:, unit], fall.detach(), rtol=0, atol=1e-12)


@pytest.mark.parametrize("method", ["LayerActivation", "LayerGradientXActivation"])
@pytest.mark.parametrize("chosen", [("a", "mix", "head"), ("mix",), ("b", "a")])
def test_several_layers_are_a_list(method: str, chosen: tuple[str, ...]) -> None:
    world, asked = NETS["two"], {} if method == "LayerActivation" else {"target": 1}
    model, seen = world.model(), list[int]()
    model.a.register_forward_hook(lambda _m, _args, out: seen.append(len(out)))
    held = [getattr(model, name) for name in chosen]
    found = getattr(layers, method)(model, held).attribute(world.inputs(), **asked)
    assert sum(seen) == 4  # one pass for all
    assert_alike(found, getattr(captum, method)(model, held).attribute(world.inputs(), **asked))
    assert isinstance(found, list)


class Wrapped(nn.Module):
    """Inputs pass modules that do nothing, so that they can be explained as layers."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.maps = NETS["two"].model(), nn.ModuleList([nn.Identity(), nn.Identity()])

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return self.inner(self.maps[0](x), self.maps[1](y))


@pytest.mark.filterwarnings("ignore:Multiple layers provided")
def test_integrated_gradients_take_layers_side_by_side_together() -> None:
    world, model = NETS["two"], Wrapped()
    asked = {"target": 1, "baselines": world.baselines(), "return_convergence_delta": True}
    found, delta = layers.LayerIntegratedGradients(model, list(model.maps)).attribute(world.inputs(), **asked)
    assert isinstance(found, list)
    assert_alike(tuple(found), captum.IntegratedGradients(model).attribute(world.inputs(), **asked)[0])
    assert delta.shape == (4,)
    assert delta.abs().max() < 1e-9
    inner = model.inner
    for chosen in ([inner.a, inner.b], [inner.mix]):
        assert_alike(
            layers.LayerIntegratedGradients(model, chosen).attribute(world.inputs(), **asked)[0],
            captum.LayerIntegratedGradients(model, chosen).attribute(world.inputs(), **asked)[0],
        )


@pytest.mark.filterwarnings("ignore:Multiple layers provided")
def test_what_layers_share_is_taken_once() -> None:
    """One embedding, looked up for two inputs, feeds two layers."""

    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second, self.head = nn.Linear(5, 4), nn.Linear(5, 4), nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(torch.tanh(self.first(x)) * torch.tanh(self.second(x)))

    torch.manual_seed(0)
    model = Shared().double()
    held = [model.first, model.second]
    ours = layers.LayerIntegratedGradients(model, held).attribute(X, target=0)
    assert_alike(ours, captum.LayerIntegratedGradients(model, held).attribute(X, target=0))


@pytest.mark.parametrize(
    "function",
    [
        lambda model: model,
        lambda model: model.forward,
        lambda model: lambda x: model(x).exp(),
        lambda model: lambda x: (model(x), "and more"),
    ],
    ids=["module", "method", "function", "tuple"],
)
def test_the_forward_function_may_be_anything_around_the_layer(function: Callable[[nn.Module], Any]) -> None:
    model = NETS["mlp"].model()
    forward = function(model)
    theirs = (lambda x: forward(x)[0]) if isinstance(forward(X), tuple) else forward
    for name in ("LayerGradientXActivation", "LayerIntegratedGradients", "LayerGradCam"):
        for layer in (model.first, model.act):
            ours = getattr(layers, name)(forward, layer).attribute(X, target=2)
            assert_alike(ours, getattr(captum, name)(theirs, layer).attribute(X, target=2))


def test_what_the_model_gives_plays_no_part_for_activations() -> None:
    model = NETS["mlp"].model()

    def forward(x: Tensor) -> dict[str, Tensor]:
        return {"scores": model(x).sum()}

    assert_alike(layers.LayerActivation(forward, model.act).attribute(X), torch.tanh(model.first(X)))


@pytest.mark.parametrize("arguments", [2.0, torch.rand(4, 1, dtype=torch.float64), (torch.tensor(0.5),)])
def test_additional_arguments_go_with_the_samples(arguments: Any) -> None:
    model, asked = NETS["mlp"].model(), {"target": 1, "additional_forward_args": arguments}
    for name in ("LayerGradientXActivation", "LayerIntegratedGradients", "InternalInfluence"):
        ours = getattr(layers, name)(model, model.first).attribute(X, **asked)
        assert_alike(ours, getattr(captum, name)(model, model.first).attribute(X, **asked))


@pytest.mark.parametrize("layer", ["linear", "act"])
@pytest.mark.parametrize("side", [False, True])
def test_of_a_layer_that_runs_twice_the_last_run_is_explained(layer: str, side: bool) -> None:
    torch.manual_seed(0)
    model = Reused().double()
    hidden = model.act(model.linear(X))
    last = {"linear": (model.linear(hidden), hidden), "act": (model.act(model.linear(hidden)), model.linear(hidden))}
    held, asked = getattr(model, layer), {"attribute_to_layer_input": side}
    assert_alike(layers.LayerActivation(model, held).attribute(X, **asked), last[layer][side])
    asked |= {"target": 1}
    for name in ("LayerGradientXActivation", "InternalInfluence", "LayerIntegratedGradients"):
        ours = getattr(layers, name)(model, held).attribute(X, **asked)
        assert_alike(ours, getattr(captum, name)(model, held).attribute(X, **asked))


def test_layers_without_a_row_for_each_sample_keep_their_layout() -> None:
    x = torch.randn(3, 7, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    folded, turned = Folded().double(), TimeFirst().double()
    turned.load_state_dict(folded.state_dict())
    pairs = (
        (turned, turned.turn, lambda leaf: leaf.transpose(0, 1)),
        (folded, folded.first, lambda leaf: leaf.flatten(0, 1)),
    )
    for name, asked in (
        ("LayerActivation", {}),
        ("LayerGradientXActivation", {"target": 1}),
        ("LayerIntegratedGradients", {"target": 1, "n_steps": 10}),
        ("LayerConductance", {"target": 1, "n_steps": 10}),
        ("InternalInfluence", {"target": 1, "n_steps": 10}),
    ):
        plain = getattr(layers, name)(turned, turned.first).attribute(x, **asked)
        for model, layer, laid_out in pairs:
            found = getattr(layers, name)(model, layer).attribute(x, **asked)
            torch.testing.assert_close(found, laid_out(plain), rtol=0, atol=1e-12)
    for model, layer, _ in pairs:
        ours = layers.LayerGradientXActivation(model, layer).attribute(x, target=1)
        assert_alike(ours, captum.LayerGradientXActivation(model, layer).attribute(x, target=1))


@pytest.mark.parametrize("batch_first", [True, False])
def test_states_of_recurrent_layers_are_laid_out_as_they_are(batch_first: bool) -> None:
    torch.manual_seed(0)
    lstm, head = nn.LSTM(5, 4, 2, batch_first=batch_first).double(), nn.Linear(4, 2).double()

    def forward(x: Tensor) -> Tensor:
        out, (hidden, _) = lstm(x if batch_first else x.transpose(0, 1))
        return head(out.mean(dim=1 if batch_first else 0) + hidden[-1])

    x = torch.randn(3, 7, 5, dtype=torch.float64)
    out, (hidden, cell) = lstm(x if batch_first else x.transpose(0, 1))
    assert_alike(layers.LayerActivation(forward, lstm).attribute(x), (out, hidden, cell))
    found = layers.LayerIntegratedGradients(forward, lstm).attribute(x, target=1)
    assert [leaf.shape for leaf in found] == [out.shape, hidden.shape, cell.shape]


@pytest.mark.parametrize("name", ["LayerGradientXActivation", "LayerGradCam", "InternalInfluence", "LayerConductance"])
def test_a_layer_that_nothing_depends_on_gets_zeros_where_that_is_wanted(name: str) -> None:
    torch.manual_seed(0)
    model = Unused().double()
    shape = (4, 1) if name == "LayerGradCam" else (4, 3)
    for flag in ("materialize_grads", "allow_unused"):
        found = getattr(layers, name)(model, model.unused).attribute(X, target=1, grad_kwargs={flag: True})
        assert_alike(found, torch.zeros(shape, dtype=torch.float64))
    with pytest.raises(ValueError, match="does not depend differentiably on layer0"):
        getattr(layers, name)(model, model.unused).attribute(X, target=1)


def test_only_what_lies_behind_the_layer_is_run_for_every_step() -> None:
    torch.manual_seed(0)
    deep = nn.Sequential(*(nn.Sequential(nn.Linear(5, 5), nn.Tanh()) for _ in range(6)), nn.Linear(5, 2)).double()
    early, late = list[int](), list[int]()
    deep[0].register_forward_hook(lambda _m, _args, out: early.append(len(out)))
    deep[6].register_forward_hook(lambda _m, _args, out: late.append(len(out)))
    layers.LayerIntegratedGradients(deep, deep[4]).attribute(X, target=1, n_steps=200)
    assert sum(late) >= 800
    assert sum(early) < 80


def test_models_that_give_one_number_for_the_batch() -> None:
    model = NETS["mlp"].model()

    def forward(x: Tensor) -> Tensor:
        return model(x)[:, 1].sum().reshape(1)

    for name in ("LayerGradientXActivation", "LayerIntegratedGradients", "InternalInfluence"):
        one = getattr(layers, name)(forward, model.first).attribute(X)
        assert_alike(one, getattr(layers, name)(model, model.first).attribute(X, target=1), rtol=1e-9)


def test_integers_are_layers_too() -> None:
    world = NETS["words"]
    model = world.model()
    found = layers.LayerActivation(model, model.embedding).attribute(world.inputs(), attribute_to_layer_input=True)
    assert torch.equal(found, world.inputs())


@pytest.mark.parametrize(("size", "mode"), [((6, 8), "nearest"), ((5, 5), "bilinear")])
def test_maps_can_be_interpolated(size: tuple[int, int], mode: str) -> None:
    found = of_us("LayerGradCam", NETS["cnn"], "conv1", target=1)
    assert_alike(
        layers.LayerGradCam.interpolate(found, size, mode), captum.LayerAttribution.interpolate(found, size, mode)
    )


def test_nothing_is_left_behind() -> None:
    model = CNN().double().train()
    x = NETS["cnn"].inputs()
    for name in ("LayerActivation", "LayerGradCam", "LayerIntegratedGradients", "LayerConductance"):
        asked = {} if name == "LayerActivation" else {"target": 1}
        assert not any(
            leaf.requires_grad for leaf in flat(getattr(layers, name)(model, model.conv2).attribute(x, **asked))
        )
        with pytest.raises((IndexError, TypeError), match=r"target|argument"):
            getattr(layers, name)(model, model.conv2).attribute(x, target=99)
    assert all(
        module.training and not module._forward_hooks and not module._forward_pre_hooks for module in model.modules()
    )
    assert all(parameter.requires_grad and parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize(
    ("ask", "error", "message"),
    [
        (lambda m: layers.LayerActivation(m, "first").attribute(X), TypeError, "A layer is a torch.nn.Module, got str"),
        (lambda m: layers.LayerActivation(m, []).attribute(X), ValueError, "Expected some layers"),
        (
            lambda m: layers.LayerActivation(m, nn.Linear(5, 2)).attribute(X),
            ArgumentError,
            "The layer 'Linear' was never reached",
        ),
        (lambda m: layers.LayerGradCam(m, m.first).attribute(X), ArgumentError, r"shape \(n, 3\).* Give target="),
        (lambda m: layers.LayerConductance(m, m.first).attribute(X, method="simpson"), ArgumentError, "No quadrature"),
        (lambda m: layers.LayerConductance(m).attribute(X), TypeError, "missing a required argument: 'layer'"),
        (lambda m: layers.LayerGradCam(m, m.first).attribute(X, baselines=0), TypeError, "argument 'baselines'"),
    ],
)
def test_what_cannot_be_is_refused(ask: Callable[[MLP], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        ask(NETS["mlp"].model())
