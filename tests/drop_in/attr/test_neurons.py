from collections.abc import Callable
from typing import Any

import pytest
import torch
from captum import attr as captum
from drop_in.attr.nets import CELLS, NETS, Net, Reused, TimeFirst, Unused, assert_alike, flat
from torch import Tensor, nn

from lightning_explain.captum.attr import neurons
from lightning_explain.captum.errors import ArgumentError, SelectionError

pytestmark = [  # Captum's remarks
    pytest.mark.filterwarnings("ignore:Input Tensor"),
    pytest.mark.filterwarnings("ignore:Setting .* hooks"),
]

X = NETS["mlp"].inputs()


def unit_of(net: str, layer: str, side: bool) -> Any:
    """The unit that is most active, or a function where several tensors are."""
    if net == "two" and layer == "mix":
        return lambda uv: uv[0][:, 1] + 2 * uv[1][:, 3]
    model = NETS[net].model()
    activation = captum.LayerActivation(model, getattr(model, layer)).attribute(
        NETS[net].inputs(), attribute_to_layer_input=side
    )
    unit = torch.unravel_index(activation.abs().sum(dim=0).argmax(), activation.shape[1:])
    return tuple(map(int, unit)) if len(unit) > 1 else int(unit[0])


def both(name: str, net: Net, layer: str, *args: Any, **asked: Any) -> tuple[Any, Any]:
    model = net.model()
    if name == "NeuronDeepLift":  # Captum hooks modules, and refuses functions that work in place on what it saw
        for module in model.modules():
            if isinstance(module, nn.ReLU):
                module.inplace = False
    return tuple(  # type: ignore[return-value]
        getattr(package, name)(model, getattr(model, layer)).attribute(net.inputs(), *args, **asked)
        for package in (neurons, captum)
    )


@pytest.mark.parametrize(("net", "layer", "side"), [cell for cell in CELLS if cell[:2] not in {("two", "a")}])
@pytest.mark.parametrize(
    ("name", "asked"),
    [
        ("NeuronGradient", {}),
        ("NeuronIntegratedGradients", {"n_steps": 9}),
        ("NeuronIntegratedGradients", {"n_steps": 6, "method": "riemann_left"}),
        ("NeuronConductance", {"n_steps": 9, "method": "gausslegendre"}),
        ("NeuronFeatureAblation", {}),
        ("NeuronDeepLift", {}),
        ("NeuronGuidedBackprop", {}),
        ("NeuronDeconvolution", {}),
    ],
)
def test_captum_agrees(name: str, asked: dict[str, Any], net: str, layer: str, side: bool) -> None:
    world = NETS[net]
    if world.ids and name != "NeuronFeatureAblation":
        pytest.skip("token ids have no gradient")
    if net == "two" and name in {"NeuronDeepLift", "NeuronConductance"}:
        pytest.skip("Captum has no rule for products, and multiplies sums where there are several units")
    asked = asked | {"attribute_to_neuron_input": side}
    if name in {"NeuronIntegratedGradients", "NeuronConductance", "NeuronFeatureAblation", "NeuronDeepLift"}:
        asked |= {"baselines": world.baselines()}
    if name == "NeuronConductance":
        asked |= {"target": world.target}
    ours, theirs = both(name, world, layer, unit_of(net, layer, side), **asked)
    assert_alike(ours, theirs)
    assert any(leaf.abs().max() > 0 for leaf in flat(ours))


@pytest.mark.parametrize("multiply", [True, False])
def test_means_over_baselines_are_captums(multiply: bool) -> None:
    world = NETS["cnn"]
    model, x = world.model(), world.inputs()
    model.relu1.inplace = False
    many = torch.rand(5, 1, 5, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    pairs = [
        package.NeuronDeepLiftShap(model, model.conv2, multiply).attribute(x, (1, 0, 1), many)
        for package in (neurons, captum)
    ]
    assert_alike(*pairs)
    torch.manual_seed(0)
    one = many[:1]  # then only the places on the line are drawn, and the unit is linear in the picture
    linear = [
        package.NeuronGradientShap(model, model.conv1, multiply_by_inputs=multiply).attribute(x, (1, 0, 1), one, 3)
        for package in (neurons, captum)
    ]
    assert_alike(*linear)
    sampled = neurons.NeuronGradientShap(model, model.conv2).attribute(x, (1, 0, 1), many, n_samples=4000)
    fitting = neurons.NeuronIntegratedGradients(model, model.conv2)
    exact = torch.stack([fitting.attribute(x, (1, 0, 1), base[None]) for base in many]).mean(dim=0)
    torch.testing.assert_close(sampled, exact, rtol=0, atol=0.05 * float(exact.abs().max()))


def test_the_trapezoidal_rule_is_captums_without_its_bias() -> None:
    """Captum's weights add up to 1 - 1/n."""
    world = NETS["mlp"]
    ours, theirs = both("NeuronConductance", world, "first", 2, target=1, n_steps=20)
    assert_alike(ours, theirs * 20 / 19)
    linear = nn.Linear(5, 3).double()
    unit = neurons.NeuronConductance(linear, linear).attribute(X, 1, target=1)
    assert_alike(unit, X * linear.weight[1].detach())


@pytest.mark.parametrize("selector", [(slice(1, 4),), lambda z: z[:, 1:4].sum(dim=1)], ids=["slice", "function"])
def test_of_several_units_conductance_is_the_sum(selector: Any) -> None:
    """Captum multiplies the sum of the slopes with the sum of the gradients: not what flows through any of them."""
    model, asked = NETS["mlp"].model(), {"target": 1, "method": "gausslegendre"}
    each = [captum.NeuronConductance(model, model.first).attribute(X, unit, **asked) for unit in (1, 2, 3)]
    assert_alike(neurons.NeuronConductance(model, model.first).attribute(X, selector, **asked), sum(each))


@pytest.mark.parametrize(
    "selector",
    [
        1,
        (1,),
        (slice(0, 2),),
        lambda z: z[:, 1],
        lambda z: z.square().sum(dim=1),
        lambda z: z[:, 1:2],
        lambda z: z.square().sum(),
    ],
    ids=["integer", "tuple", "slice", "unit", "norm", "column", "whole batch"],
)
def test_neurons_are_chosen_as_in_captum(selector: Any) -> None:
    for name in ("NeuronGradient", "NeuronIntegratedGradients", "NeuronFeatureAblation"):
        if name == "NeuronFeatureAblation" and callable(selector) and selector(X).shape == (4, 1):
            continue  # each of its elements is another output to Captum
        assert_alike(*both(name, NETS["mlp"], "first", selector))


def test_of_a_layer_that_runs_twice_the_last_run_is_explained() -> None:
    torch.manual_seed(0)
    model = Reused().double()
    for name in ("NeuronGradient", "NeuronIntegratedGradients"):
        ours = getattr(neurons, name)(model, model.linear).attribute(X, 2)
        assert_alike(ours, getattr(captum, name)(model, model.linear).attribute(X, 2))


def test_a_neuron_of_a_layer_without_a_row_for_each_sample() -> None:
    torch.manual_seed(0)
    model = TimeFirst().double()
    x = torch.randn(3, 7, 5, dtype=torch.float64)
    ours = neurons.NeuronGradient(model, model.turn).attribute(x, lambda z: z.square().sum())
    assert_alike(ours, captum.NeuronGradient(model, model.turn).attribute(x, lambda z: z.square().sum()))


def test_what_the_model_gives_plays_no_part() -> None:
    model = NETS["mlp"].model()

    def forward(x: Tensor) -> dict[str, Tensor]:
        return {"scores": model(x).sum()}

    for name in ("NeuronGradient", "NeuronIntegratedGradients", "NeuronFeatureAblation"):
        ours = getattr(neurons, name)(forward, model.first).attribute(X, 1)
        assert_alike(ours, getattr(captum, name)(forward, model.first).attribute(X, 1))


def test_inputs_that_the_neuron_does_not_see_get_zeros() -> None:
    world = NETS["two"]
    model = world.model()
    seen, unseen = neurons.NeuronGradient(model, model.a).attribute(world.inputs(), 2)
    assert_alike(seen, model.a.weight[2].detach().expand(4, -1).clone())
    assert unseen.shape == (4, 2)
    assert unseen.abs().max() == 0


def test_conductance_through_a_layer_that_nothing_depends_on_is_zero_where_that_is_wanted() -> None:
    torch.manual_seed(0)
    model = Unused().double()
    found = neurons.NeuronConductance(model, model.unused).attribute(
        X, 1, target=1, grad_kwargs={"materialize_grads": True}
    )
    assert_alike(found, torch.zeros_like(X))


def test_nothing_is_left_behind() -> None:
    world = NETS["cnn"]
    model = world.model().train()
    for name, asked in (("NeuronGradient", {}), ("NeuronConductance", {"target": 1}), ("NeuronGuidedBackprop", {})):
        method = getattr(neurons, name)(model, model.conv2)
        assert not method.attribute(world.inputs(), (0, 1, 1), **asked).requires_grad
        with pytest.raises(SelectionError, match="is not in a layer of shape"):
            method.attribute(world.inputs(), (9999,) * 20, **asked)
    assert all(module.training and not module._forward_hooks for module in model.modules())


@pytest.mark.parametrize(
    ("net", "layer", "selector", "error", "message"),
    [
        (
            "cnn",
            "conv1",
            (9, 0, 0),
            SelectionError,
            r"\(9, 0, 0\) is not in a layer of shape \(\d, 3, 3, 3\)",
        ),
        ("cnn", "conv1", (9999,) * 20, AssertionError, "give an index for each of the 3 dimension"),
        ("cnn", "conv1", 1, ArgumentError, "is 9 units: give 3 integers, or slices"),
        ("two", "mix", 1, ArgumentError, "2 tensors go through the layer"),
        (
            "mlp",
            "first",
            "1",
            TypeError,
            "neuron_selector is an integer, a tuple of integers and slices",
        ),
        ("mlp", "first", lambda z: z, ArgumentError, r"made \(\d, 6\) of \d samples; expected one number for each"),
    ],
)
def test_what_is_no_neuron_is_refused(
    net: str, layer: str, selector: Any, error: type[Exception], message: str
) -> None:
    world = NETS[net]
    model: Any = world.model()
    ask: Callable[..., Any] = neurons.NeuronGradient(model, getattr(model, layer)).attribute
    with pytest.raises(error, match=message):
        ask(world.inputs(), selector)
