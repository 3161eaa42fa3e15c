"""Infidelity and sensitivity give what Captum 0.9.0's give, for perturbations that are no accident."""

import importlib

import captum.attr
import pytest
import torch
from torch import nn

pytestmark = pytest.mark.filterwarnings("ignore")
CAPTUM, OURS = "captum.metrics", "lightning_explain.captum.metrics"


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 3))
    return lambda x, y=None, scale=1.0: net(x if y is None else torch.cat([x, y], dim=1)) * scale


@pytest.fixture(scope="module")
def x():
    return torch.randn(4, 5, generator=torch.Generator().manual_seed(1))


def both(ask):
    return ask(importlib.import_module(OURS)), ask(importlib.import_module(CAPTUM))


def moved(x):
    """Another direction for each row, and the same in every call: 1/20 of the row's own rank in a wave."""
    return 0.05 * torch.sin(7 * x + 3 * x.roll(1, dims=-1))


def shifted(inputs, baselines=None):
    change = moved(inputs) if baselines is None else moved(inputs) * (inputs - baselines)
    return change, inputs - change


def only_inputs(inputs, baselines=None):
    return inputs - moved(inputs)


def both_shifted(inputs, baselines=None):
    changes = tuple(moved(each) for each in inputs)
    return changes, tuple(each - change for each, change in zip(inputs, changes, strict=True))


CASES = {
    "plain": {},
    "one": {"n_perturb_samples": 1},
    "normalized": {"normalize": True},
    "chunked": {"n_perturb_samples": 7, "max_examples_per_batch": 9},
    "baselines": {"baselines": torch.zeros(4, 5)},
    "targets": {"target": [0, 1, 2, 0]},
    "arguments": {"additional_forward_args": (None, 2.0)},
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_infidelity(model, x, case):
    attributions = torch.randn(4, 5, generator=torch.Generator().manual_seed(3))
    given = {"target": 1, **case}
    ours, theirs = both(lambda metrics: metrics.infidelity(model, shifted, x, attributions, **given))
    assert ours.shape == (4,)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("multiply", [True, False])
@pytest.mark.parametrize("baselines", [None, torch.full((4, 5), 0.1)], ids=["zero", "given"])
def test_infidelity_of_perturbed_inputs_alone(model, x, multiply, baselines):
    attributions = torch.randn(4, 5, generator=torch.Generator().manual_seed(3))

    def ask(metrics):
        function = metrics.infidelity_perturb_func_decorator(multiply_by_inputs=multiply)(only_inputs)
        return metrics.infidelity(model, function, x, attributions, baselines, target=1)

    torch.testing.assert_close(*both(ask), rtol=1e-4, atol=1e-6)


def test_infidelity_of_several_inputs(model, x):
    parts = (x[:, :2], x[:, 2:])
    attributions = tuple(each * 2 for each in parts)
    given = {"target": torch.tensor([0, 1, 2, 0]), "n_perturb_samples": 3}
    ours, theirs = both(lambda metrics: metrics.infidelity(model, both_shifted, parts, attributions, **given))
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


def moved_within(inputs, perturb_radius=0.02):
    if isinstance(inputs, tuple):
        return tuple(each + perturb_radius * torch.sign(moved(each)) for each in inputs)
    return inputs + perturb_radius * torch.sign(moved(inputs))


@pytest.mark.parametrize("norm", ["fro", 1, float("inf")])
@pytest.mark.parametrize("together", [None, 4, 9])
@pytest.mark.parametrize("kind", [captum.attr.Saliency, captum.attr.IntegratedGradients])
def test_sensitivity(model, x, norm, together, kind):
    given = {"norm_ord": norm, "max_examples_per_batch": together, "target": [0, 1, 2, 0], "n_perturb_samples": 3}
    explain = kind(model).attribute
    ours, theirs = both(lambda metrics: metrics.sensitivity_max(explain, x, moved_within, 0.1, **given))
    assert (theirs > 1e-3).all()
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


def test_sensitivity_of_several_inputs(model, x):
    parts = (x[:, :2], x[:, 2:])
    explain = captum.attr.InputXGradient(model).attribute
    ours, theirs = both(lambda metrics: metrics.sensitivity_max(explain, parts, moved_within, target=1))
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)
