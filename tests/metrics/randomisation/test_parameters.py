import copy

import pytest
import torch
from torch import nn

from lightning_explain.metrics.layers import parameter_layers
from lightning_explain.metrics.randomisation.parameters import layers_randomised, randomised
from metrics.evaluations import problem_of
from metrics.randomisation.architectures import MODELS, Normalised, Tied, dictionaries, made, slots


def layers_of(model):
    with problem_of(model, torch.randn(4, 4), 0) as problem:
        return parameter_layers(problem)


@pytest.mark.parametrize("kind", MODELS)
def test_only_the_chosen_layer_is_exchanged_and_all_is_given_back(kind):
    model = made(kind)
    layers = layers_of(model)
    before, held, state = slots(model), dictionaries(model), copy.deepcopy(model.state_dict())
    first = {}
    for layer, modules in layers.items():
        for module in modules:
            for parameter in module.parameters(recurse=False):
                first.setdefault(id(parameter), layer)
    for chosen in layers:
        with layers_randomised(model, layers, {chosen}):
            for module, name, original in before:
                assert (module._parameters[name] is original) == (first[id(original)] != chosen)
        assert dictionaries(model) == held
        assert all(torch.equal(a, b) for a, b in zip(state.values(), model.state_dict().values(), strict=True))


@pytest.mark.parametrize("kind", MODELS)
def test_a_layer_gets_the_same_numbers_whichever_others_are_random(kind):
    model = made(kind)
    layers = layers_of(model)
    with layers_randomised(model, layers, set(layers), 3):
        everything = {(id(module), name): p.clone() for module, name, p in slots(model)}
    for chosen in layers:
        with layers_randomised(model, layers, {chosen}, 3):
            for module in layers[chosen]:
                for name, parameter in module._parameters.items():
                    if parameter is not None and not parameter.requires_grad:
                        assert torch.equal(parameter, everything[id(module), name])


def test_layers_of_one_shape_get_different_numbers():
    model = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4))
    layers = layers_of(model)
    with layers_randomised(model, layers, set(layers)):
        assert not torch.equal(model[0].weight, model[2].weight)
        drawn = model[0].weight.clone()
    with layers_randomised(model, layers, {"0"}, seed=1):
        assert not torch.equal(model[0].weight, drawn)
    torch.manual_seed(9)
    state = torch.get_rng_state()
    with layers_randomised(model, layers, {"0"}):
        assert torch.equal(model[0].weight, drawn)
    assert torch.equal(torch.get_rng_state(), state)


def test_shared_parameters_stay_shared():
    model = made(Tied)
    layers = layers_of(model)
    weight = model.encoder.weight
    with layers_randomised(model, layers, {"encoder"}):
        assert model.decoder.weight is model.encoder.weight is not weight
    with layers_randomised(model, layers, {"decoder"}):
        assert model.decoder.weight is model.encoder.weight is weight
        assert model.decoder.bias.requires_grad is False


def test_running_statistics_are_those_of_the_chosen_layer():
    model = made(Normalised)
    layers = layers_of(model)
    plain, norm = model.plain.running_mean, model.norm.running_mean
    with layers_randomised(model, layers, {"norm"}):
        assert model.norm.running_mean.tolist() == [0] * 4
        assert model.norm.weight.tolist() == [1] * 4
        assert model.plain.running_mean is plain
    with layers_randomised(model, layers, {"plain"}):
        assert model.plain.running_var.tolist() == [1] * 4
        assert model.norm.running_mean is norm
    assert model.norm.running_mean is norm


def test_parameters_are_as_in_a_fresh_model():
    """Norms and slopes by the type of their module: not every parameter with two dimensions is a matrix."""
    torch.manual_seed(0)
    norms = [
        nn.LayerNorm((8, 8)),
        nn.BatchNorm2d(3),
        nn.InstanceNorm2d(3, affine=True),
        nn.GroupNorm(1, 3),
        nn.RMSNorm((8, 8)),
    ]
    names, bag = nn.Embedding(400, 30, padding_idx=2), nn.EmbeddingBag(400, 30)
    model = nn.ModuleList([*norms, nn.PReLU(3), names, bag])
    for parameter in model.parameters():
        parameter.data = torch.rand(parameter.shape) + 3
    with randomised(model):
        for norm in norms:
            assert torch.equal(norm.weight, torch.ones_like(norm.weight))
            if getattr(norm, "bias", None) is not None:
                assert torch.equal(norm.bias, torch.zeros_like(norm.bias))
        assert model[5].weight.tolist() == [0.25] * 3
        for table in (names.weight[3:], bag.weight):
            assert float(table.mean()) == pytest.approx(0, abs=0.05)
            assert float(table.std()) == pytest.approx(1, abs=0.05)
        assert names.weight[2].tolist() == [0] * 30
    assert float(names.weight.detach().min()) >= 3


def test_an_exception_gives_everything_back():
    model = made(Tied)
    layers, held = layers_of(model), dictionaries(model)
    with pytest.raises(RuntimeError, match="broken"), layers_randomised(model, layers, set(layers)):
        raise RuntimeError("broken")
    assert dictionaries(model) == held


def test_buffers_that_a_forward_pass_replaces_come_back():
    class Caching(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 4)
            self.register_buffer("cache", torch.zeros(1))

        def forward(self, x):
            self.cache = self.layer.weight.detach().mean()[None]
            return self.layer(x)

    model = Caching()
    layers = layers_of(model)
    cache = model.cache
    with layers_randomised(model, layers, {"layer"}):
        model(torch.randn(2, 4))
        assert model.cache is not cache
    assert model.cache is cache
