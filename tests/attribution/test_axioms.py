"""What holds for every method, at every place, of every model; a new method is under these tests at once."""

import gc
import random
import weakref
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from cases import BY_NAME, CASES, MLP, SAMPLES, Case, few_features
from torch import Tensor, nn

from lightning_explain import (
    METHODS,
    RISE,
    Attribution,
    Conductance,
    FeatureAblation,
    FeaturePermutation,
    GradCAM,
    GradientShap,
    HiResCAM,
    Input,
    InputXGradient,
    IntegratedGradients,
    InternalInfluence,
    KernelShap,
    Layer,
    Lime,
    Neuron,
    Occlusion,
    Saliency,
    ShapleySampling,
    SmoothGrad,
    XGradCAM,
    explain,
)
from lightning_explain.attribution.methods import Method
from lightning_explain.attribution.place import Place
from lightning_explain.inputs import Inputs, Point, leaves, rebuild, take

CHEAP: dict[str, dict[str, Any]] = {
    "integrated_gradients": {"n_steps": 8},
    "smoothgrad": {"n_samples": 3},
    "smoothgrad_sq": {"n_samples": 3},
    "vargrad": {"n_samples": 3},
    "conductance": {"n_steps": 8},
    "internal_influence": {"n_steps": 8},
    "gradient_shap": {"n_samples": 8},
    "expected_gradients": {"n_samples": 8},
    "grad_cam": {"signed": True},
    "feature_permutation": {"n_permutations": 2},
    "shapley_sampling": {"n_samples": 2},
    "kernel_shap": {"n_samples": 40},
    "lime": {"n_samples": 40},
    "rise": {"n_masks": 20},
    "grad_cam_plus_plus": {"signed": True},
    "layer_cam": {"signed": True},
    "xgrad_cam": {"signed": True},
    "eigen_cam": {"signed": True},
    "score_cam": {"signed": True},
    "attention_rollout": {"query": None},
    "attention_relevance": {"query": None},
}
EXPONENTIAL = {"shapley_values"}
"""Methods that are tried with few features."""

COMPARES_SAMPLES = {"feature_permutation"}
NOT_NULL_FOR_DUMMIES = {"lime", "rise"}  # they fit, or average, what the other features do
NULL_WHERE_ENUMERATED = {"kernel_shap"}
SYMMETRIC_ON_AVERAGE = {"smoothgrad", "smoothgrad_sq", "vargrad", "shapley_sampling", "rise"}
ROUNDING = {"kernel_shap": 1e-14, "shapley_sampling": 1e-15}
"""Least squares, and differences of numbers that are equal but for their row in a chunk."""
CONVERGES_SLOWLY = {"conductance": 0.05, "gradient_shap": 0.5, "expected_gradients": 0.5}
"""How far from complete, in units of the span, so few steps or draws may be."""
LINEAR_IN_THE_MODEL: tuple[Method, ...] = (
    Saliency(absolute=False),
    InputXGradient(),
    IntegratedGradients(8),
    SmoothGrad(n_samples=3),
    GradCAM(signed=True),
    HiResCAM(),
    XGradCAM(signed=True),
    InternalInfluence(8),
    Conductance(8),
    GradientShap(8),
    Occlusion(),
    FeatureAblation(),
    FeaturePermutation(2),
    ShapleySampling(3),
    KernelShap(60),
    Lime(60, regularization="ridge"),
    RISE(50),
)

CONVOLUTIONAL = {"guided_grad_cam"}
"""Methods that need a model with convolutions, and a neuron behind the last of them."""


def cheap(name: str) -> Method:
    return METHODS[name](**CHEAP.get(name, {}))


def applies(name: str, case: Case, place: Place, has_positions: bool) -> bool:
    method = cheap(name)
    if method.needs_attention:  # behind a layer that is, or follows, the last attention there is none
        return case.attends and not (isinstance(place, Layer) and place.of == "output")
    if name == "conductance" and str(place) in case.unmoved:
        return False
    if name in CONVOLUTIONAL:
        return has_positions and (case.name == "cnn" or (case.name == "dense" and isinstance(place, (Input, Layer))))
    return has_positions or not method.coarse


EVERYWHERE = [name for name in METHODS if not METHODS[name].needs_attention]
GENERAL = [name for name in EVERYWHERE if name not in CONVOLUTIONAL]
COMBINATIONS = [
    pytest.param(name, case, place, id=f"{name}-{case.name}-{type(place).__name__}{place}")
    for name in METHODS
    for case in CASES
    for place, has_positions in case.places
    if applies(name, case, place, has_positions)
]
every_combination = pytest.mark.parametrize(("name", "case", "place"), COMBINATIONS)


def attribute(
    name: str, case: Case, place: Place, inputs: Inputs | None = None, model: nn.Module | None = None, **kwargs: Any
) -> Attribution:
    model = case.model() if model is None else model
    inputs = case.inputs() if inputs is None else inputs
    mask = few_features(model, inputs, place) if name in EXPONENTIAL else None
    defaults = {"target": case.target, "baseline": case.baseline(), "feature_mask": mask}
    return explain(model, inputs, cheap(name), place, **defaults | kwargs)


def close(a: Point, b: Point, tolerance: float = 1e-10) -> None:
    for left, right in zip(a, b, strict=True):
        torch.testing.assert_close(left, right, rtol=0, atol=tolerance)


@every_combination
def test_attributions_are_plain_finite_and_not_zero(name: str, case: Case, place: Place) -> None:
    found = attribute(name, case, place)
    for leaf in found.point:
        assert leaf.shape[0] == SAMPLES
        assert leaf.dtype == torch.float64
        assert torch.isfinite(leaf).all()
        assert not leaf.requires_grad
        assert leaf.grad_fn is None
        assert not leaf.is_inference()
    if name == "vargrad" and not isinstance(place, Input):
        return  # behind a linear layer the gradient does not vary
    if name == "conductance" and isinstance(place, Neuron) and not case.smooth:
        return  # nothing flows through a unit whose ReLU is off
    assert any(leaf.abs().max() > 1e-9 for leaf in found.point)


@every_combination
def test_the_sum_is_the_difference_of_the_scores_where_complete(name: str, case: Case, place: Place) -> None:
    found = attribute(name, case, place)
    if not cheap(name).complete_at(place):
        assert found.delta is None
        assert found.span is None
        return
    parts = found.point if found.coefficients is None else (found.coefficients,)
    total = sum(leaf.reshape(SAMPLES, -1).sum(dim=1) for leaf in parts)
    torch.testing.assert_close(found.delta, total - found.span, rtol=0, atol=1e-12)
    if isinstance(place, Input):
        inputs = case.inputs()
        pairs = zip(leaves(inputs), leaves(case.baseline()), strict=True)
        absent = tuple(base.expand_as(x) if x.is_floating_point() else x for x, base in pairs)  # ids are held fixed
        score, rest = (scores(case, part, found.target) for part in (inputs, rebuild(inputs, absent)))
        torch.testing.assert_close(found.span, score - rest, rtol=0, atol=1e-12)
    if name == "conductance" and str(place) in case.past:
        assert found.delta.abs().max() > 0
        return  # what goes past the layer is missing
    scale = found.span.abs().max()
    assert found.delta.abs().max() < scale * CONVERGES_SLOWLY.get(name, 0) + scale * (1e-4 if case.smooth else 0.3)


def scores(case: Case, inputs: Inputs, target: Tensor | None) -> Tensor:
    model = case.model()
    out = (
        model(inputs) if isinstance(inputs, Tensor) else model(**inputs) if isinstance(inputs, dict) else model(*inputs)
    )
    out = getattr(out, "logits", out).detach()
    if target is None:
        return out.reshape(SAMPLES)
    return torch.stack([out[(i, *index)] for i, index in enumerate(target.tolist())])


@pytest.mark.parametrize(
    ("name", "case", "place"), [param for param in COMBINATIONS if param.values[0] not in COMPARES_SAMPLES]
)
def test_a_sample_does_not_depend_on_its_neighbors(name: str, case: Case, place: Place) -> None:
    together = attribute(name, case, place)
    for i in (0, SAMPLES - 1):
        target = case.target[i : i + 1] if isinstance(case.target, Tensor) else case.target
        alone = attribute(name, case, place, take(case.inputs(), torch.tensor([i])), target=target)
        close(alone.point, tuple(leaf[i : i + 1] for leaf in together.point))


@every_combination
def test_the_chunk_size_does_not_matter(name: str, case: Case, place: Place) -> None:
    expected = attribute(name, case, place, max_rows=1000)
    for max_rows in (1, 3):
        found = attribute(name, case, place, max_rows=max_rows)
        close(found.point, expected.point)
        torch.testing.assert_close(found.outputs, expected.outputs, rtol=0, atol=1e-12)


@every_combination
def test_the_model_is_left_exactly_as_found(name: str, case: Case, place: Place) -> None:
    model = case.model()
    prepare(model)
    inputs = case.inputs()
    before, given = snapshot(model), tuple(leaf.clone() for leaf in leaves(inputs))
    attribute(name, case, place, inputs, model)
    assert_same(before, snapshot(model))
    assert all(torch.equal(a, b) for a, b in zip(leaves(inputs), given, strict=True))

    class MidwayError(Exception): ...

    calls = iter(range(100))

    def fail(*_: object) -> None:
        if next(calls) == 1:
            raise MidwayError("midway")

    handle = model.register_forward_hook(fail)
    before = snapshot(model)
    with pytest.raises(MidwayError, match="midway"):
        attribute(name, case, place, inputs, model, max_rows=2)
    assert_same(before, snapshot(model))
    handle.remove()


def prepare(model: nn.Module) -> None:
    """A model in the middle of its training: gradients, frozen parts, odd flags, the user's hooks."""
    model.train()
    modules = list(model.modules())
    for module in modules:
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()
    modules[-1].eval()
    for number, parameter in enumerate(model.parameters()):
        parameter.requires_grad_(number % 3 != 1)
        parameter.grad = torch.full_like(parameter, number) if number % 2 else None
    modules[-1].register_forward_hook(lambda *_: None)
    modules[0].register_forward_pre_hook(lambda *_: None, with_kwargs=True)
    modules[0].register_full_backward_hook(lambda *_: None)
    modules[1].register_forward_hook(lambda *_: None, always_call=True)


def snapshot(model: nn.Module) -> dict[str, Any]:
    return {
        "state": {key: value.clone() for key, value in model.state_dict().items()},
        "identity": [id(held) for held in (*model.parameters(), *model.buffers())],
        "training": [module.training for module in model.modules()],
        "hooks": [
            [(name, list(held.items())) for name, held in vars(module).items() if "hooks" in name]
            for module in model.modules()
        ],
        "attributes": [{k: id(v) for k, v in vars(module).items() if k != "training"} for module in model.modules()],
        "requires_grad": [parameter.requires_grad for parameter in model.parameters()],
        "grad": [
            (id(parameter.grad), None if parameter.grad is None else parameter.grad.clone())
            for parameter in model.parameters()
        ],
        "random": (random.getstate(), str(np.random.get_state()), torch.get_rng_state()),
        "modes": (torch.is_grad_enabled(), torch.is_inference_mode_enabled(), torch.is_anomaly_enabled()),
    }


def assert_same(before: Any, after: Any) -> None:
    if isinstance(before, Tensor):
        assert torch.equal(before, after)
    elif isinstance(before, dict):
        assert list(before) == list(after)
        for key, value in before.items():
            assert_same(value, after[key])
    elif isinstance(before, (list, tuple)):
        assert len(before) == len(after)
        for left, right in zip(before, after, strict=True):
            assert_same(left, right)
    else:
        assert before == after


@pytest.mark.parametrize("name", EVERYWHERE)
@pytest.mark.parametrize("case", [BY_NAME["cnn"], BY_NAME["dense"]], ids=lambda case: case.name)
def test_no_graph_is_kept_alive(name: str, case: Case) -> None:
    model = case.model()
    seen: list[weakref.ref[Tensor]] = []
    for module in model.modules():
        module.register_forward_hook(lambda _m, _args, out: seen.append(weakref.ref(out)))
    layer = case.places[1][0]
    kept = [attribute(name, case, place, model=model) for place in (Input(), layer)]
    gc.collect()
    assert len(seen) >= 2 * sum(1 for _ in model.children())  # at both places
    assert all(ref() is None for ref in seen)
    assert kept[0].point[0].abs().max() > 0


class WithDummy(nn.Module):
    """A model with one more input, which it does not look at."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, *args: Tensor) -> Any:
        return self.model(*args[:-1])


@pytest.mark.parametrize(
    ("name", "case"),
    [
        pytest.param(name, case, id=f"{name}-{case.name}")
        for name in GENERAL
        for case in CASES
        # Channels that do nothing get a share of Score-CAM's softmax, too.
        if case.places[0][1]
        and applies(name, case, Input(), True)
        and name not in {"activation", "eigen_cam", "score_cam"} | NOT_NULL_FOR_DUMMIES | NULL_WHERE_ENUMERATED
    ],
)
def test_an_input_that_is_not_used_gets_nothing(name: str, case: Case) -> None:
    inputs = case.inputs()
    given = (*leaves(inputs), torch.randn_like(leaves(inputs)[0]))
    found = attribute(name, case, Input(), given, WithDummy(case.model()), baseline="zeros")
    # A model gives the last bit by the size of the batch.
    assert found.point[-1].abs().max() <= max(1e-15, ROUNDING.get(name, 0))
    assert found.point[0].abs().max() > 0


SILENT = [n for n in GENERAL if not cheap(n).coarse and cheap(n).about_score and n not in NOT_NULL_FOR_DUMMIES]


@pytest.mark.parametrize("name", SILENT)
def test_a_feature_that_is_not_used_gets_nothing(name: str) -> None:
    class Blind(MLP):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(torch.cat([x[:, :3], torch.zeros_like(x[:, 3:4]), x[:, 4:]], dim=1))

    case = replace(BY_NAME["mlp"], make=Blind)
    for place in (Input(), Neuron("hidden", lambda out: out[:, 1].tanh())):
        (found,) = attribute(name, case, place).point
        # A model gives the last bit by the size of the batch.
        assert found[:, 3].abs().max() <= max(1e-15, ROUNDING.get(name, 0))
        assert found[:, [0, 1, 2, 4]].abs().amax(dim=0).min() > 0


class Combination(nn.Module):
    def __init__(self, models: list[nn.Module], factors: tuple[float, ...]) -> None:
        super().__init__()
        self.models, self.factors = nn.ModuleList(models), factors

    def forward(self, x: Tensor) -> Tensor:
        return sum(factor * model(x) for factor, model in zip(self.factors, self.models, strict=True))


@pytest.mark.parametrize("method", LINEAR_IN_THE_MODEL, ids=lambda method: method.name)
@pytest.mark.parametrize("case", [BY_NAME["cnn"], BY_NAME["recurrent"], BY_NAME["encoder"]], ids=lambda case: case.name)
def test_the_attribution_of_a_sum_is_the_sum_of_attributions(method: Method, case: Case) -> None:
    models, factors, x = [case.model(1), case.model(2)], (2.0, -0.5), case.inputs()
    (found,) = explain(Combination(models, factors), x, method, Input(), target=1).point
    parts = [explain(model, x, method, Input(), target=1).point[0] for model in models]
    torch.testing.assert_close(found, factors[0] * parts[0] + factors[1] * parts[1], rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", [n for n in GENERAL if not cheap(n).coarse and n not in SYMMETRIC_ON_AVERAGE])
def test_interchangeable_features_get_the_same(name: str) -> None:
    class Symmetric(MLP):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(torch.cat([x[:, :1] + x[:, 1:2], x[:, 1:2] * x[:, :1], x[:, 2:]], dim=1))

    case = replace(BY_NAME["mlp"], make=Symmetric)
    x = case.inputs()
    x[:, 1] = x[:, 0]
    (found,) = attribute(name, case, Input(), x).point
    torch.testing.assert_close(found[:, 0], found[:, 1], rtol=0, atol=1e-12)
    assert (found[:, 0] - found[:, 2]).abs().max() > 1e-3


@pytest.mark.parametrize("name", EVERYWHERE)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_lower_precision_gives_about_the_same(name: str, dtype: torch.dtype) -> None:
    case = BY_NAME["dense"]
    exact = attribute(name, case, Input()).point[0].float()
    found = attribute(name, case, Input(), case.inputs().to(dtype), case.model().to(dtype)).point[0]
    assert found.dtype == torch.float32
    error = (found - exact).norm() / exact.norm()
    assert error < (1e-5 if dtype == torch.float32 else 0.35)


@pytest.mark.parametrize("name", EVERYWHERE)
def test_strange_strides_do_not_matter(name: str) -> None:
    case = BY_NAME["cnn"]
    x = case.inputs()
    expected = attribute(name, case, Input()).point
    strided = torch.empty(SAMPLES, 6, 6, 4, dtype=x.dtype).permute(0, 3, 1, 2)[:, ::2]
    strided.copy_(x)
    assert not strided.is_contiguous()
    close(attribute(name, case, Input(), strided).point, expected)
    close(attribute(name, case, Input(), x.to(memory_format=torch.channels_last)).point, expected)


@pytest.mark.parametrize("name", [n for n in GENERAL if n not in COMPARES_SAMPLES])
def test_models_without_parameters_and_single_samples(name: str) -> None:
    class Energy(nn.Module):
        def forward(self, *, x: Tensor) -> Tensor:
            return x.pow(3).sum(dim=(1, 2))

    x = torch.randn(1, 2, 3, dtype=torch.float64)
    found = explain(Energy(), {"x": x}, cheap(name), Input(), "output")
    assert list(found.values) == ["x"]
    assert found.values["x"].abs().max() > 0


@pytest.mark.parametrize("name", EVERYWHERE)
@pytest.mark.parametrize(
    "mode", [torch.no_grad, torch.inference_mode, torch.enable_grad, torch.autograd.detect_anomaly], ids=str
)
@pytest.mark.filterwarnings("ignore:Anomaly Detection has been enabled")
def test_it_does_not_matter_where_it_is_called(name: str, mode: Callable[[], Any]) -> None:
    case = BY_NAME["cnn"]
    model = case.model()
    expected = attribute(name, case, Input(), model=model).point
    with mode():
        inputs = case.inputs().clone()  # in inference mode: an inference tensor
        assert inputs.is_inference() == (mode is torch.inference_mode)
        found = attribute(name, case, Input(), inputs, model, baseline=torch.zeros_like(inputs))
        layer = attribute(name, case, Layer("bn1"), inputs, model)
    close(found.point, expected, 0)
    assert not any(leaf.is_inference() for leaf in (*found.point, *layer.point))


@pytest.mark.parametrize("name", GENERAL)
def test_models_may_work_in_place_on_their_input(name: str) -> None:
    class Greedy(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.mul_(3).relu_().square().mean(dim=2)

    class Gentle(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return (3 * x).relu().square().mean(dim=2)

    x = torch.randn(SAMPLES, 2, 3, dtype=torch.float64)
    before = x.clone()
    found, expected = (explain(model, x, cheap(name), Input(), 1) for model in (Greedy(), Gentle()))
    close(found.point, expected.point, 0)
    assert torch.equal(found.outputs, expected.outputs)
    assert torch.equal(x, before)
