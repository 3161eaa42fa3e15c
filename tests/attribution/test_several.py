import pytest
import torch
from cases import BY_NAME
from worlds import TARGETS, baseline, net, samples

from lightning_explain import (
    RISE,
    Conductance,
    GradCAM,
    Input,
    IntegratedGradients,
    Layer,
    Layers,
    Neuron,
    Occlusion,
    ScoreCAM,
    SmoothGrad,
    explain,
    explain_methods,
    explain_targets,
)

PLACES = [Input(), Layer("conv2"), Layer("head", of="input"), Layers(("conv1", "conv2"))]


def counted(model: torch.nn.Module) -> list[int]:
    seen: list[int] = []
    model.conv1.register_forward_hook(lambda _m, _args, out: seen.append(len(out)))
    return seen


@pytest.mark.parametrize("place", PLACES, ids=str)
@pytest.mark.parametrize(
    "method", ["saliency", "input_x_gradient", IntegratedGradients(4), SmoothGrad(n_samples=2)], ids=str
)
def test_several_targets_are_what_each_would_be(place: object, method: object) -> None:
    model, x = net(), samples()
    targets = [0, TARGETS, "predicted"]
    found = explain_targets(model, x, targets, method, place, baseline=baseline(), max_rows=2)
    for target, attribution in zip(targets, found, strict=True):
        alone = explain(model, x, method, place, target, baseline=baseline())
        for left, right in zip(attribution.point, alone.point, strict=True):
            torch.testing.assert_close(left, right, rtol=0, atol=1e-12)
        assert torch.equal(attribution.target, alone.target)
        assert attribution.method == alone.method
        assert not any(leaf.requires_grad for leaf in attribution.point)


def test_all_targets_take_one_forward_pass() -> None:
    model, x = net(), samples()
    seen = counted(model)
    found = explain_targets(model, x, [0, 1, 2], GradCAM("conv2", signed=True))
    assert sum(seen) == 3 * 2  # and the outputs
    for target, attribution in enumerate(found):
        torch.testing.assert_close(
            attribution.values, explain(model, x, GradCAM("conv2", signed=True), target=target).values
        )


@pytest.mark.parametrize(
    ("method", "place"),
    [
        (Occlusion(2), None),
        (ScoreCAM("conv2", signed=True), None),
        (RISE(30), Layer("conv1")),
        ("kernel_shap", Layer("conv2", channel_dim=None)),
        ("feature_permutation", Layers(("conv1", "conv2"))),
    ],
    ids=str,
)
def test_methods_that_perturb_take_the_rows_of_one_target(method: object, place: object) -> None:
    model, x = net(), samples()
    targets = [0, TARGETS, "predicted"]
    seen = counted(model)
    # Chunks of one size, for behind a layer the model is given two samples for each.
    alone = [explain(model, x, method, place, target, baseline=baseline(), max_rows=32) for target in targets]
    each, _ = sum(seen), seen.clear()
    found = explain_targets(model, x, targets, method, place, baseline=baseline(), max_rows=32)
    assert sum(seen) <= each / 3
    for single, attribution in zip(alone, found, strict=True):
        for left, right in zip(attribution.point, single.point, strict=True):
            torch.testing.assert_close(left, right, rtol=0, atol=1e-12)
        assert torch.equal(attribution.target, single.target)
        assert attribution.names == single.names
        assert (attribution.coefficients is None) == (single.coefficients is None)
        if single.delta is not None:
            torch.testing.assert_close(attribution.delta, single.delta, rtol=0, atol=1e-9)
            torch.testing.assert_close(attribution.span, single.span, rtol=0, atol=1e-9)


def test_several_methods_are_what_each_would_be_and_share_rows() -> None:
    model, x = net(), samples()
    methods = [
        "saliency",
        "input_x_gradient",
        "integrated_gradients@conv2",
        "hires_cam@conv2",
        "activation@conv2",
        Occlusion(2),
    ]
    found = explain_methods(model, x, methods, target=TARGETS, baseline=baseline())
    assert list(found) == [*methods[:-1], "occlusion"]
    for method, attribution in zip(methods, found.values(), strict=True):
        alone = explain(model, x, method, target=TARGETS, baseline=baseline())
        torch.testing.assert_close(attribution.values, alone.values, rtol=0, atol=1e-12)
        assert (attribution.delta is None) == (alone.delta is None)
    seen = counted(model)
    explain_methods(model, x, ["saliency", "input_x_gradient"], target=TARGETS)
    assert sum(seen) == 3 * 2  # one gradient, and the outputs
    seen.clear()
    explain_methods(
        model, x, ["saliency@conv2", "hires_cam@conv2", "activation@conv2", "grad_cam@conv2"], target=TARGETS
    )
    assert sum(seen) == 3 * 2


def test_inputs_in_a_dict() -> None:
    case = BY_NAME["words"]
    found = explain_methods(case.model(), case.inputs(), ["saliency", "saliency@mix"], target=1)
    assert list(found["saliency"].values) == ["table"]
    assert found["saliency@mix"].values.shape == (4, 5)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: explain_targets(net(), samples(), []), "There is nothing to explain: targets is empty"),
        (lambda: explain_targets(net(), samples(), [0, 7]), r"Target \[7\] of sample 0 is out of range"),
        (
            lambda: explain_targets(net(), samples(), [0], "saliency", Neuron("conv2", (0, 0, 0))),
            r"@conv2\[0,0,0\] is its own target",
        ),
        (
            lambda: explain_methods(net(), samples(), ["saliency", "saliency"]),
            "Every method can be at a place once, got saliency, saliency",
        ),
    ],
)
def test_what_cannot_be_is_refused(make: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_a_neuron_needs_no_target() -> None:
    model, x, neuron = net(), samples(), Neuron("conv2", (slice(0, 2), 1, 1))
    found = explain_methods(model, x, ["saliency", "input_x_gradient"], neuron, target=99)
    for method, attribution in zip(["saliency", "input_x_gradient"], found.values(), strict=True):
        assert torch.equal(attribution.values, explain(model, x, method, neuron).values)
        assert attribution.target is None
    with pytest.raises(ValueError, match=r"Target \[99\] of sample 0 is out of range"):
        explain_methods(model, x, ["conductance"], neuron, target=99)
    beside = explain_methods(model, x, ["saliency", "conductance"], neuron, target=1)
    assert [attribution.target is None for attribution in beside.values()] == [True, False]


def test_what_flows_through_a_neuron_has_a_target() -> None:
    model, x, neuron = net(), samples(), Neuron("conv2", (0, 1, 1))
    for target, attribution in enumerate(explain_targets(model, x, [0, 1], Conductance(4), neuron)):
        alone = explain(model, x, Conductance(4), neuron, target)
        torch.testing.assert_close(attribution.values, alone.values)


def test_targets_may_be_the_labels() -> None:
    model, x = net(), samples()
    expected = explain(model, x, "saliency", target=TARGETS).values
    assert torch.equal(
        explain_methods(model, x, ["saliency"], target="label", label=TARGETS)["saliency"].values, expected
    )
    found = explain_targets(model, x, ["label", 0], "saliency", label=TARGETS)
    torch.testing.assert_close(found[0].values, expected)
