import copy

import pytest
import torch
from torch import nn

from lightning_explain import IntegratedGradients, ProbeSet, evaluate
from lightning_explain.metrics import Infidelity
from lightning_explain.suite import Suite


def model_and_probe():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(108, 4))
    images = torch.randn(6, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    return model, ProbeSet.from_tensors(images, label=torch.arange(6) % 4)


def test_it_is_what_a_validation_finds():
    model, probe = model_and_probe()
    methods, metrics = ["saliency", IntegratedGradients(4)], ["srg", Infidelity()]
    found = evaluate(model, probe, methods, metrics, max_rows=64, seed=3)
    suite = Suite(probe, methods, metrics, seed=3)
    suite.budget.max_rows = 64
    suite.prepare(model)
    expected = suite.run(model)
    for name, score in expected.scores("a").items():
        assert found.scores("a")[name].per_sample == pytest.approx(score.per_sample, abs=1e-6), name


def test_defaults_are_the_monitors():
    model, probe = model_and_probe()
    found = evaluate(model, probe)
    assert [entry.name for entry in found.explained] == ["saliency", "integrated_gradients", "grad_cam@0"]
    assert {"srg", "infidelity", "max_sensitivity", "mprt"} <= set(found.explained[0].scores)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_models_of_any_precision(dtype):
    model, probe = model_and_probe()
    expected = evaluate(model, probe, ["saliency", "integrated_gradients"], ["srg", "infidelity", "drift"])
    found = evaluate(model.to(dtype), probe, ["saliency", "integrated_gradients"], ["srg", "infidelity", "drift"])
    assert {parameter.dtype for parameter in model.parameters()} == {dtype}
    assert probe.inputs.dtype == torch.float32
    for name, score in expected.scores("a").items():
        tolerance = 1e-4 if dtype == torch.float64 else 0.15
        assert found.scores("a")[name].mean == pytest.approx(score.mean, abs=tolerance, nan_ok=True), name
    suite = Suite(probe, ["saliency"], ["srg"])
    suite.prepare(model)
    assert suite.explain(model)["saliency"].isfinite().all()


def test_the_model_is_left_as_it_was():
    model, probe = model_and_probe()
    model.train()
    before = copy.deepcopy(model.state_dict())
    state = torch.get_rng_state()
    evaluate(model, probe, ["saliency"], ["srg", "mprt"])
    assert model.training
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    assert all(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"methods": ["salency"]}, "No attribution method 'salency'. Did you mean 'saliency'"),
        ({"metrics": ["srgg"]}, "No metric 'srgg'. Did you mean 'srg'"),
        ({"metrics": ["relevance_mass"]}, "needs a mask; pass mask= to the probe set"),
    ],
)
def test_wrong_names(settings, message):
    model, probe = model_and_probe()
    with pytest.raises(ValueError, match=message):
        evaluate(model, probe, **settings)
