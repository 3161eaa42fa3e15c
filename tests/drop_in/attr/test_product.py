import pickle
from collections.abc import Callable
from functools import partial
from inspect import getfullargspec, signature
from pathlib import Path
from typing import Any

import pytest
import torch
from captum import attr as captum
from drop_in.attr.nets import NETS, assert_alike
from torch import Tensor

from lightning_explain.captum import attr
from lightning_explain.captum.attr import layers, neurons, product
from lightning_explain.captum.attr.attribution import Attribution, GradientAttribution, answered
from lightning_explain.captum.errors import ArgumentError
from lightning_explain.captum.host import Host

pytestmark = pytest.mark.filterwarnings("ignore:Input Tensor")  # Captum's remark

TABLES = (layers, neurons)
MADE = {
    name: held
    for table in TABLES
    for name, held in vars(table).items()
    if isinstance(held, type) and held.__module__ == table.__name__
}
KNOWN = sorted(set(MADE) & set(captum.__all__))
BASES = ("Attribution", "InternalAttribution", "LayerAttribution", "NeuronAttribution", "GradientAttribution")


def parameters(function: Callable[..., Any]) -> list[tuple[Any, ...]]:
    return [(held.name, held.default, held.kind) for held in signature(function).parameters.values()]


def test_every_layer_and_neuron_name_of_captum_is_made() -> None:
    theirs = {name for name in captum.__all__ if name.startswith(("Layer", "Neuron", "Internal"))}
    assert theirs - set(MADE) == {"LayerAttribution", "NeuronAttribution"}
    assert len(KNOWN) == 21
    assert all(getattr(attr, name) is held for name, held in MADE.items())


@pytest.mark.parametrize("name", KNOWN)
def test_signatures_are_captums(name: str) -> None:
    ours, theirs = MADE[name], getattr(captum, name)
    assert parameters(ours.__init__) == parameters(theirs.__init__)
    assert parameters(ours.attribute) == parameters(theirs.attribute)
    assert getfullargspec(ours.attribute.__wrapped__).args == list(signature(theirs.attribute).parameters)


@pytest.mark.parametrize("name", KNOWN)
def test_bases_are_captums(name: str) -> None:
    ours, theirs = MADE[name], getattr(captum, name)
    for base in (*BASES, "PerturbationAttribution", "DeepLift", "DeepLiftShap", "LRP", "FeaturePermutation"):
        if base != "InternalAttribution":
            assert issubclass(ours, getattr(attr, base)) == issubclass(theirs, getattr(captum, base)), base


def instance(package: Any, name: str) -> Any:
    model = NETS["mlp"].model()
    return getattr(package, name)(model, model.first)


@pytest.mark.parametrize("name", KNOWN)
def test_instances_say_what_captums_do(name: str) -> None:
    ours, theirs = instance(attr, name), instance(captum, name)
    assert ours.multiplies_by_inputs == theirs.multiplies_by_inputs
    assert ours.has_convergence_delta() == theirs.has_convergence_delta()
    assert ours.get_name() == theirs.get_name()
    with pytest.raises(NotImplementedError, match="attribute_future is not there"):
        ours.attribute_future(NETS["mlp"].inputs())


@pytest.mark.parametrize("name", MADE)
def test_classes_are_documented_and_can_be_pickled(name: str) -> None:
    made = MADE[name]
    assert made.__name__ == made.__qualname__ == name
    assert made.attribute.__qualname__ == f"{name}.attribute"
    assert made.attribute.asks is not None
    assert pickle.loads(pickle.dumps(made)) is made
    for documented, function in ((made, made.__init__), (made.attribute, made.attribute)):
        for parameter in list(signature(function).parameters)[1:]:
            assert f"    {parameter}: " in documented.__doc__, parameter
    held = instance(attr, name)
    again = pickle.loads(pickle.dumps(held))
    assert type(again) is made
    assert again.layer is again.forward_func.first


class Halved(GradientAttribution):
    """A method of somebody else's."""

    @answered
    def attribute(self, inputs: Tensor, target: Any = None, additional_forward_args: object = None) -> Any:
        return attr.InputXGradient.attribute.asks(self, inputs, target, additional_forward_args)

    @property
    def multiplies_by_inputs(self) -> bool:
        return True


def test_any_class_can_be_put_at_a_layer_and_at_a_neuron() -> None:
    world = NETS["cnn"]
    model, x = world.model(), world.inputs()
    there = product.at_layer(Halved, module=__name__)
    assert there.__name__ == "LayerHalved"
    assert there(model, model.conv2).multiplies_by_inputs
    found = there(model, model.conv2).attribute(x, world.target)
    assert_alike(found, captum.LayerGradientXActivation(model, model.conv2).attribute(x, world.target))
    unit = product.at_neuron(Halved, "Other", module=__name__)
    assert unit.__name__ == "Other"
    gradient = captum.NeuronGradient(model, model.conv2).attribute(x, (1, 0, 1))
    assert_alike(unit(model, model.conv2).attribute(x, (1, 0, 1)), x * gradient)
    assert list(signature(unit.attribute).parameters) == [
        "self",
        "inputs",
        "neuron_selector",
        "additional_forward_args",
        "attribute_to_neuron_input",
    ]


@pytest.mark.parametrize("selector", [(2, 0, 1), lambda z: z[:, 2, 0, 1]], ids=["index", "function"])
@pytest.mark.parametrize(
    ("name", "asked"),
    [
        ("LRP", {}),
        ("InputXGradient", {}),
        ("Occlusion", {"sliding_window_shapes": (1, 2, 2)}),
        ("ShapleyValueSampling", {"n_samples": 3, "feature_mask": (torch.arange(25) // 5).view(1, 1, 5, 5)}),
        ("ShapleyValues", {"feature_mask": (torch.arange(25) // 9).view(1, 1, 5, 5)}),
        ("KernelShap", {"feature_mask": (torch.arange(25) // 9).view(1, 1, 5, 5)}),
        ("Lime", {"feature_mask": (torch.arange(25) // 9).view(1, 1, 5, 5)}),
    ],
)
def test_cells_that_captum_lacks_explain_the_neuron_as_an_output(
    name: str, asked: dict[str, Any], selector: Any
) -> None:
    world = NETS["cnn"]
    model, x = world.model(), world.inputs()
    found = getattr(attr, f"Neuron{name}")(model, model.conv1).attribute(x, selector, **asked)
    torch.manual_seed(torch.initial_seed())
    assert_alike(found, getattr(attr, name)(model.conv1).attribute(x, target=(2, 0, 1), **asked))
    assert found.abs().max() > 0


@pytest.mark.parametrize(
    ("name", "asked"),
    [
        ("Occlusion", {"sliding_window_shapes": (2, 2, 2), "strides": (1, 1, 2)}),
        ("ShapleyValueSampling", {"n_samples": 3}),
        ("ShapleyValues", {"feature_mask": torch.arange(3).view(1, 3, 1, 1)}),
        ("KernelShap", {"feature_mask": torch.arange(3).view(1, 3, 1, 1)}),
        ("Lime", {"feature_mask": torch.arange(3).view(1, 3, 1, 1)}),
        ("GuidedBackprop", {}),
        ("Deconvolution", {}),
    ],
)
def test_cells_that_captum_lacks_explain_the_layer_as_an_input(name: str, asked: dict[str, Any]) -> None:
    world = NETS["cnn"]
    model, x = world.model(), world.inputs()
    z, behind = (
        model.conv1(x).detach().clone(),
        torch.nn.Sequential(*list(model.children())[1:4], torch.nn.Flatten(), model.head),
    )
    expected = getattr(attr, name)(behind).attribute(z, target=world.target, **asked)
    there = {{"feature_mask": "layer_mask"}.get(key, key): value for key, value in asked.items()}
    found = getattr(attr, f"Layer{name}")(model, model.conv1).attribute(x, target=world.target, **there)
    assert_alike(found, expected)
    assert found.abs().max() > 0


def test_a_noise_tunnel_goes_around_a_layer() -> None:
    world = NETS["cnn"]
    model, x = world.model(), world.inputs()
    method = attr.LayerGradientXActivation(model, model.conv2)
    smooth = attr.NoiseTunnel(method).attribute(x, nt_samples=4, stdevs=0.0, target=1)
    assert_alike(smooth, method.attribute(x, target=1))
    noisy = attr.NoiseTunnel(method).attribute(x, nt_samples=4, stdevs=0.5, target=1)
    assert noisy.shape == smooth.shape
    assert not torch.allclose(noisy, smooth)


def test_what_a_class_asks_is_seen_without_running_it() -> None:
    model = NETS["mlp"].model()
    asked = attr.LayerIntegratedGradients.attribute.asks(
        attr.LayerIntegratedGradients(model, model.act), NETS["mlp"].inputs(), target=1, attribute_to_layer_input=True
    )
    assert asked.layers == (model.act,)
    assert (asked.place.name, asked.place.of, asked.place.call) == (Host.name(0), "input", -1)
    assert asked.target == 1


def test_the_docs_show_the_table_as_it_is() -> None:
    text = (
        (Path(__file__).parents[3] / "docs" / "captum.md")
        .read_text()
        .split("## Layers and neurons")[1]
        .split("\n## ")[0]
    )
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("| `")
    ]
    cells = [cell.strip("`*") for row in rows for cell in row[1:3] if cell.startswith(("`", "*"))]
    assert sorted(cells) == sorted(MADE)
    starred = {cell.strip("`*") for row in rows for cell in row[1:3] if cell.startswith("*")}
    assert starred == set(MADE) - set(KNOWN)
    for row in rows:
        for cell, base in zip(row[1:3], ("LayerAttribution", "NeuronAttribution"), strict=True):
            name = cell.strip("`*")
            assert not name or issubclass(MADE[name], getattr(attr, base))


@pytest.mark.parametrize(
    ("ask", "error", "message"),
    [
        (lambda m: attr.NeuronGradient(m, m.first).attribute(), TypeError, "missing a required argument"),
        (lambda m: attr.LayerDeepLift(m.forward, m.first), TypeError, "The model is a torch.nn.Module"),
        (lambda m: attr.LayerOcclusion(m, m.first).attribute(NETS["mlp"].inputs(), (9,)), ArgumentError, "window"),
    ],
)
def test_what_cannot_be_is_refused(ask: Callable[[Any], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        ask(NETS["mlp"].model())


def test_partial_application_makes_a_table() -> None:
    at_layer = partial(product.at_layer, module="somewhere")
    assert at_layer(Halved).__module__ == "somewhere"
    assert issubclass(at_layer(Halved), Attribution)


@pytest.mark.parametrize("name", sorted(MADE))
def test_models_in_bfloat16_and_inference_mode(name: str) -> None:
    model, x, asked = NETS["mlp"].model().bfloat16().train(), NETS["mlp"].inputs().bfloat16(), dict[str, Any]()
    taken = signature(MADE[name].attribute).parameters
    if "target" in taken:
        asked |= {"target": 1}
    if "neuron_selector" in taken:
        asked |= {"neuron_selector": 2}
    if "baselines" in taken and "Shap" in name and "Kernel" not in name and "Shapley" not in name:
        asked |= {"baselines": torch.zeros(2, 5).bfloat16()}
    if "sliding_window_shapes" in taken:
        asked |= {"sliding_window_shapes": (2,)}
    with torch.inference_mode():
        found = MADE[name](model, model.first).attribute(x, **asked)
    assert found.dtype == torch.bfloat16
    assert found.shape == {"LayerGradCam": (4, 1)}.get(name, (4, 5) if name.startswith("Neuron") else (4, 6))
    assert torch.isfinite(found).all()
    assert found.abs().max() > 0
    assert all(module.training for module in model.modules())
