"""Every pair of configuration and algorithm that Captum 0.9.0 tests: its numbers, and nothing left behind."""

import functools

import pytest
import torch
from captum import attr
from captum.attr._models.base import _set_deep_layer_value
from captum.testing.attr.helpers.gen_test_utils import get_target_layer
from conformance.configurations import CAPTUM, OURS, PAIRS, Raising, alone, seed, tuple_of
from conformance.differences import NUMBERS, in_order
from conformance.limits import LIMITS, limit
from torch import Tensor, nn

pytestmark = pytest.mark.filterwarnings("ignore")

SAMPLES = 2000  # standard errors are then below 2 % of the largest attribution
EXACT = [pair for pair in PAIRS if pair.algorithm not in LIMITS]
SAMPLED = [pair for pair in PAIRS if pair.algorithm in LIMITS and not pair.name.startswith("conv")]
MANY_FEATURES = [pair for pair in PAIRS if pair.algorithm in LIMITS and pair.name.startswith("conv")]
# One sample alone cannot be permuted.
ONE_BY_ONE = [pair for pair in PAIRS if pair.per_sample and pair.algorithm != "FeaturePermutation"]
COMPILED = {
    *("IntegratedGradients", "FeatureAblation", "FeaturePermutation", "GradientShap", "InputXGradient", "Occlusion"),
    *("Saliency", "ShapleyValueSampling", "Lime", "KernelShap"),
}
SCRIPTED = [pair for pair in PAIRS if pair.algorithm in COMPILED]
TRACED = [pair for pair in SCRIPTED if "additional_forward_args" not in pair.made["attribute_args"]]


def named(pairs):
    return pytest.mark.parametrize("pair", pairs, ids=str)


def first_of_each(pairs):
    """One configuration of each algorithm."""
    return list({pair.algorithm: pair for pair in reversed(pairs)}.values())


def asked(method, arguments):
    """Attributions, and the delta where there is one."""
    seed()
    if method.has_convergence_delta():
        return method.attribute(**arguments, return_convergence_delta=True)
    return method.attribute(**arguments), None


@functools.cache
def answer(home, pair):
    model, arguments = pair.question()
    return asked(pair.method(home, model), arguments)


def form(given):
    """Types, shapes and dtypes, however nested."""
    if isinstance(given, Tensor):
        return tuple(given.shape), given.dtype
    return None if given is None else (type(given).__name__, [form(each) for each in given])


def leaves(given):
    return [given] if isinstance(given, Tensor) else [leaf for each in given or () for leaf in leaves(each)]


def close(got, expected, rtol=1e-4, atol=1e-4):
    for ours, theirs in zip(leaves(got), leaves(expected), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=rtol, atol=atol)


@named(PAIRS)
def test_what_is_returned_has_captums_form(pair):
    assert form(answer(OURS, pair)) == form(answer(CAPTUM, pair))


@named(EXACT)
def test_numbers_are_captums(pair):
    (ours, delta), (theirs, their_delta) = answer(OURS, pair), answer(CAPTUM, pair)
    right, _ = NUMBERS.get(str(pair), NUMBERS.get(pair.algorithm, (None, "")))
    close(ours, right(pair, leaves(theirs)) if right else theirs)
    if delta is not None and not right:
        close(delta, in_order(their_delta, pair), rtol=1e-3, atol=2e-4)


@pytest.mark.parametrize("key", NUMBERS)
def test_captums_number_is_another_one(key):
    """What is listed differs, or the list says nothing."""
    chosen = [pair for pair in PAIRS if key in {str(pair), pair.algorithm}]
    theirs = [leaves(answer(CAPTUM, pair)[0]) for pair in chosen]
    right = [NUMBERS[key][0](*each) for each in zip(chosen, theirs, strict=True)]
    assert not all(torch.allclose(*each) for each in zip(leaves(right), leaves(theirs), strict=True))


@named(SAMPLED)
def test_sampled_numbers_tend_to_what_they_should(pair):
    model, arguments = pair.question()
    ours, _ = asked(pair.method(OURS, model), {**arguments, "n_samples": SAMPLES})
    expected = limit(pair)
    scale = max(each.abs().max().item() for each in expected)
    assert scale > 0.1, "nothing to compare"
    close(ours, expected, rtol=0, atol=0.05 * scale)


@named([pair for pair in MANY_FEATURES if pair.algorithm == "ShapleyValueSampling"])
def test_sampled_numbers_of_many_features_add_up(pair):
    model, arguments = pair.question()
    x, target = arguments["inputs"], arguments["target"]
    with torch.no_grad():
        difference = (model(x) - model(torch.zeros_like(x)))[:, target]
    close(answer(OURS, pair)[0].flatten(1).sum(dim=1), difference)


@named(ONE_BY_ONE)
def test_a_batch_is_what_its_samples_are_alone(pair):
    model, arguments = pair.question()
    method = pair.method(OURS, model)
    together, delta = answer(OURS, pair)
    n = len(tuple_of(arguments["inputs"])[0])
    for i in range(n):
        single = alone(arguments, i, n, pair.made.get("baseline_distr", False))
        apart, its_delta = asked(method, single)
        close([each[i : i + 1] for each in leaves(together)], apart, rtol=0, atol=pair.tolerance)
        if not pair.noise and delta is not None and len(delta) == n:
            close(delta[i : i + 1], its_delta, rtol=1e-3, atol=max(1e-3, pair.tolerance))


HOOKS = [name for name, value in vars(nn.Linear(1, 1)).items() if name.endswith(("_hooks", "_hooks_with_kwargs"))]


def state(model, arguments):
    """All that a call could leave on a model or on its inputs."""
    modules = {
        name: (sorted(vars(module)), [len(vars(module)[hooks]) for hooks in HOOKS], module.training)
        for name, module in model.named_modules()
    }
    weights = [(name, each.requires_grad, each.grad is None) for name, each in model.named_parameters()]
    inputs = [(each.requires_grad, each.grad is None, each.tolist()) for each in tuple_of(arguments["inputs"])]
    return modules, weights, inputs, {name: each.tolist() for name, each in model.state_dict().items()}


@named(first_of_each(PAIRS))
def test_nothing_is_left_after_an_answer(pair):
    model, arguments = pair.question()
    before = state(model, arguments)
    asked(pair.method(OURS, model), arguments)
    assert state(model, arguments) == before


@named(first_of_each([pair for pair in PAIRS if {"target", "neuron_selector"} & set(pair.made["attribute_args"])]))
def test_nothing_is_left_after_a_target_that_is_not_there(pair):
    model, arguments = pair.question()
    wrong = {name: (9999,) * 20 for name in ("target", "neuron_selector") if name in arguments}
    before = state(model, arguments)
    with pytest.raises(AssertionError, match=r"\w"):
        asked(pair.method(OURS, model), {**arguments, **wrong})
    assert state(model, arguments) == before


@named(first_of_each([pair for pair in PAIRS if pair.layer]))
def test_nothing_is_left_after_a_layer_that_raises(pair):
    model, arguments = pair.question()
    _set_deep_layer_value(model, pair.layer[0] if isinstance(pair.layer, list) else pair.layer, Raising())
    before = state(model, arguments)
    with pytest.raises(AssertionError, match="this layer raises"):
        asked(pair.method(OURS, model, get_target_layer(model, pair.layer)), arguments)
    assert state(model, arguments) == before


@named(SCRIPTED)
def test_scripted_models_give_the_same(pair):
    model, arguments = pair.question()
    attributions, delta = asked(pair.method(OURS, torch.jit.script(model)), arguments)
    close(attributions, answer(OURS, pair)[0])
    close(delta, answer(OURS, pair)[1])


@named(TRACED)
def test_traced_models_give_the_same(pair):
    model, arguments = pair.question()
    traced = torch.jit.trace(model, tuple_of(arguments["inputs"]))
    attributions, delta = asked(pair.method(OURS, traced), arguments)
    close(attributions, answer(OURS, pair)[0])
    close(delta, answer(OURS, pair)[1])


def test_captums_own_noise_tunnel_can_call_ours():
    from lightning_explain.captum import attr as ours

    model, x = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)), torch.randn(5, 3)
    smooth = attr.NoiseTunnel(ours.Saliency(model)).attribute(x, target=1, nt_samples=3, stdevs=0.0)
    close(smooth, ours.Saliency(model).attribute(x, target=1))
