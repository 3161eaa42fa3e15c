"""What holds for all primary methods of gradients: the forms of arguments and results, and that nothing is touched."""

import inspect
from typing import Any

import pytest
import torch
from captum import attr as captum
from drop_in.attr.primary import PRIMARY, TARGETS, net, samples
from torch import Tensor, nn

from lightning_explain.captum import attr as ours
from lightning_explain.captum.errors import ArgumentError, ArgumentTypeError

pytestmark = pytest.mark.filterwarnings("ignore:(Setting|Input Tensor 0|Should|.*backward hook).*:UserWarning")

EXACT = [name for name, primary in PRIMARY.items() if primary.exact]
FORMS: list[Any] = [1, (1,), torch.tensor(1), torch.tensor([1]), [2, 0, 1], TARGETS, [(2,), (0,), (1,)]]


def theirs(name: str, **kwargs: Any) -> Any:
    found = PRIMARY[name].attribute(net(), samples().requires_grad_(), captum, **kwargs)
    return tuple(part.detach() for part in found) if isinstance(found, tuple) else found.detach()


@pytest.mark.parametrize("name", EXACT)
@pytest.mark.parametrize("number", range(len(FORMS)))
def test_every_form_of_a_target(name: str, number: int) -> None:
    found = PRIMARY[name].attribute(net(), samples(), target=FORMS[number])
    expected = theirs(name, target=FORMS[number])
    atol = PRIMARY[name].near * expected.abs().max().item()
    torch.testing.assert_close(found, expected, rtol=0, atol=atol)
    assert expected.abs().max() > 0


@pytest.mark.parametrize("name", [name for name in EXACT if name != "LRP"])  # see test_lrp.py
def test_arguments_beside_the_inputs(name: str) -> None:
    scale = torch.tensor([1.0, -2.0, 3.0], dtype=torch.float64)
    found = PRIMARY[name].attribute(net(), samples(), target=TARGETS, additional_forward_args=(scale, 0.3))
    expected = theirs(name, target=TARGETS, additional_forward_args=(scale, 0.3))
    atol = PRIMARY[name].near * expected.abs().max().item()
    torch.testing.assert_close(found, expected, rtol=0, atol=atol)
    plain = PRIMARY[name].attribute(net(), samples(), target=TARGETS)
    assert (found - plain).abs().max() > 1e-3 * plain.abs().max()


@pytest.mark.parametrize("name", PRIMARY)
def test_a_tuple_comes_as_a_tuple(name: str) -> None:
    primary, arguments = PRIMARY[name], dict(PRIMARY[name].arguments)
    alone = primary.attribute(net(), samples(), target=TARGETS)
    if "baselines" in arguments:
        arguments["baselines"] = (arguments["baselines"],)
    (found,) = primary.make(net()).attribute((samples(),), target=TARGETS, **arguments)
    assert torch.equal(found, alone)
    assert not found.requires_grad
    with pytest.raises(ArgumentTypeError, match="Inputs are a tensor or a tuple of tensors, got list"):
        primary.make(net()).attribute([samples()], target=TARGETS, **primary.arguments)


@pytest.mark.parametrize("name", PRIMARY)
def test_nothing_of_the_callers_is_touched(name: str) -> None:
    primary, model = PRIMARY[name], net().train()
    x = samples().requires_grad_()
    x.grad = torch.full_like(x, 7.0)
    model.conv1.weight.grad = torch.ones_like(model.conv1.weight)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    attributes = {key: set(vars(module)) for key, module in model.named_modules()}
    random = torch.get_rng_state()
    primary.attribute(model, x, target=TARGETS)
    assert torch.equal(random, torch.get_rng_state())
    assert model.training
    assert model.norm.training
    assert x.requires_grad
    assert x.grad.eq(7).all()
    assert model.conv1.weight.grad.eq(1).all()
    assert model.conv1.weight.requires_grad
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    assert attributes == {key: set(vars(module)) for key, module in model.named_modules()}
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    assert not any(getattr(module, kind) for module in model.modules() for kind in hooks)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("IntegratedGradients", {"target": 1}),
        ("DeepLift", {"target": 1}),
        ("DeepLiftShap", {"target": 1}),
        ("GradientShap", {"target": 1}),
        ("Lime", {"target": 1, "feature_mask": torch.arange(36).reshape(6, 6) // 9}),
        ("NeuronConductance", {"target": 1, "neuron_selector": (0, 1, 1), "n_steps": 5}),
        ("NeuronGradientShap", {"neuron_selector": (0, 1, 1)}),
    ],
)
def test_a_baseline_made_of_the_inputs_brings_no_graph(name: str, arguments: dict[str, Any]) -> None:
    model, x = net(), samples().requires_grad_()
    method = getattr(ours, name)(*((model, model.conv2) if name.startswith("Neuron") else (model,)))
    found = method.attribute(x, baselines=x * 0.5, **arguments)
    assert not found.requires_grad
    assert torch.equal(found, method.attribute(x.detach(), baselines=x.detach() * 0.5, **arguments))
    assert x.grad is None


@pytest.mark.parametrize("name", PRIMARY)
@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_wherever_the_caller_stands(name: str, mode: type) -> None:
    primary, model = PRIMARY[name], net()
    expected = primary.attribute(model, samples(), target=TARGETS)
    with mode():
        x = samples() * 1
        assert torch.equal(primary.attribute(model, x, target=TARGETS), expected)


@pytest.mark.parametrize("name", PRIMARY)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_in_other_precisions(name: str, dtype: torch.dtype) -> None:
    primary = PRIMARY[name]
    arguments = {
        key: value.to(dtype) if isinstance(value, Tensor) else value for key, value in primary.arguments.items()
    }
    expected = primary.attribute(net(), samples(), target=TARGETS)
    method = primary.make(net().to(dtype))
    found = method.attribute(samples().to(dtype), target=TARGETS, **arguments)
    assert found.dtype == dtype
    near = 1e-4 if dtype == torch.float32 else 0.3
    assert (found.double() - expected).norm() < near * expected.norm()


@pytest.mark.parametrize("name", PRIMARY)
def test_samples_do_not_depend_on_their_neighbors(name: str) -> None:
    primary = PRIMARY[name]
    together = primary.attribute(net(), samples(), target=TARGETS)
    alone = [primary.attribute(net(), samples()[i : i + 1], target=int(TARGETS[i])) for i in range(3)]
    torch.testing.assert_close(together, torch.cat(alone), rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", PRIMARY)
def test_what_a_class_says_of_itself(name: str) -> None:
    primary, model = PRIMARY[name], net()
    mine, other = primary.make(model), primary.make(model, captum)
    assert mine.has_convergence_delta() == other.has_convergence_delta() == primary.has_delta
    assert mine.multiplies_by_inputs == other.multiplies_by_inputs == primary.contributes
    assert mine.get_name() == other.get_name()
    assert isinstance(mine, ours.GradientAttribution)
    for method in ("__init__", "attribute"):
        taken, given = (inspect.signature(getattr(type(it), method)).parameters for it in (mine, other))
        assert {key: held.default for key, held in taken.items()} == {key: held.default for key, held in given.items()}
        assert list(taken) == list(given)
    for parameter in list(inspect.signature(type(mine).attribute).parameters)[1:]:
        assert f"    {parameter}: " in type(mine).attribute.__doc__
    wrapped = type(mine).attribute.__wrapped__(mine, samples(), target=TARGETS, **primary.arguments)
    assert torch.equal(wrapped, mine.attribute(samples(), target=TARGETS, **primary.arguments))
    with pytest.raises(NotImplementedError, match=f"attribute_future is not there for {type(mine).__name__}"):
        mine.attribute_future()


@pytest.mark.parametrize("name", ["GuidedBackprop", "Deconvolution", "DeepLift", "DeepLiftShap", "LRP"])
def test_these_need_a_module(name: str) -> None:
    with pytest.raises(ArgumentTypeError, match=r"The model is a torch.nn.Module, got (function|method)"):
        getattr(ours, name)(net().forward)
    with pytest.raises(ArgumentTypeError, match=r"The model is a torch.nn.Module, got function"):
        ours.GuidedGradCam(lambda x: x, nn.ReLU())


@pytest.mark.parametrize("name", PRIMARY)
def test_an_output_has_to_be_chosen(name: str) -> None:
    with pytest.raises(ArgumentError, match="Give target="):
        PRIMARY[name].attribute(net(), samples())


@pytest.mark.parametrize("name", [name for name, primary in PRIMARY.items() if primary.has_delta])
def test_deltas_have_their_form(name: str) -> None:
    primary = PRIMARY[name]
    each = {"DeepLiftShap": 4, "GradientShap": 5}.get(name, 1)
    found, delta = primary.attribute(net(), samples(), target=TARGETS, return_convergence_delta=True)
    assert delta.shape == (3 * each,)
    assert not delta.requires_grad
    torch.testing.assert_close(found, primary.attribute(net(), samples(), target=TARGETS))
    (tupled,), again = primary.make(net()).attribute(
        (samples(),),
        target=TARGETS,
        return_convergence_delta=True,
        **{key: (value,) if key == "baselines" else value for key, value in primary.arguments.items()},
    )
    assert torch.equal(tupled, found)
    assert torch.equal(again, delta)


def test_a_delta_that_is_computed_later_is_the_same_and_touches_nothing() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.ReLU(inplace=True), nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(), nn.Linear(8, 3))
    x, baseline = torch.randn(5, 4), torch.randn(5, 4)
    kept = x.clone(), baseline.clone()
    method = ours.IntegratedGradients(model)
    found, delta = method.attribute(x, baseline, target=1, return_convergence_delta=True)
    random, mean = torch.get_rng_state(), model[2].running_mean.clone()
    torch.testing.assert_close(method.compute_convergence_delta(found, baseline, x, target=1), delta)
    assert torch.equal(x, kept[0])
    assert torch.equal(baseline, kept[1])
    assert torch.equal(random, torch.get_rng_state())
    assert torch.equal(mean, model[2].running_mean)
    assert model[3].training
