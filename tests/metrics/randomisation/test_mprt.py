import copy
import math
import warnings
from dataclasses import replace

import pytest
import torch
from scipy.stats import spearmanr
from torch import nn

from lightning_explain.metrics import MPRT
from lightning_explain.metrics.randomisation.parameters import randomised
from metrics.evaluations import Linear, Pair, Picture, evaluation_of, pictures, rows
from metrics.randomisation.architectures import MODELS, Attention, Normalised, Recurrent, dictionaries, made, slots


@pytest.mark.parametrize("kind", MODELS)
def test_every_parameter_is_exchanged_and_given_back(kind):
    model = made(kind)
    x = torch.randn(3, 4)
    before, held, state = slots(model), dictionaries(model), copy.deepcopy(model.state_dict())
    objects = {id(p) for _, _, p in before}
    with torch.no_grad():
        output = model(x)
        with randomised(model):
            for module, name, original in before:
                now = module._parameters[name]
                assert now is not original
                assert id(now) not in objects
                assert (now.shape, now.dtype, now.device) == (original.shape, original.dtype, original.device)
                assert not torch.equal(now, original)
            # What was one tensor still is one.
            groups = [[i for i, (_, _, p) in enumerate(before) if p is q] for _, _, q in before]
            for i, group in enumerate(groups):
                assert all(slots(model)[j][2] is slots(model)[i][2] for j in group)
            random = model(x)
        assert not torch.allclose(output, random, atol=1e-3)
        torch.testing.assert_close(model(x), output, atol=0, rtol=0)
    for (names, contents), (old_names, old_contents) in zip(dictionaries(model), held, strict=True):
        assert names == old_names
        for items, old in zip(contents, old_contents, strict=True):
            assert [(k, id(v)) for k, v in items] == [(k, id(v)) for k, v in old]
    for name, value in model.state_dict().items():
        assert torch.equal(value, state[name])


@pytest.mark.parametrize("kind", MODELS)
def test_given_back_after_an_exception_too(kind):
    model = made(kind)
    before = slots(model)
    with pytest.raises(RuntimeError, match="in the middle"), randomised(model):
        raise RuntimeError("in the middle")
    assert all(p is q for (_, _, p), (_, _, q) in zip(slots(model), before, strict=True))


def test_given_back_when_drawing_itself_fails(monkeypatch):
    model, drawn = made(Recurrent), []
    before, flat = slots(model), [list(map(id, m._flat_weights)) for m in (model.lstm, model.gru)]
    rand = torch.rand

    def failing(*args, **settings):
        drawn.append(args)
        if len(drawn) == 5:
            raise MemoryError("no more")
        return rand(*args, **settings)

    monkeypatch.setattr(torch, "rand", failing)
    with pytest.raises(MemoryError, match="no more"), randomised(model):
        pass
    assert all(p is q for (_, _, p), (_, _, q) in zip(slots(model), before, strict=True))
    assert [list(map(id, m._flat_weights)) for m in (model.lstm, model.gru)] == flat


def test_recurrent_layers_compute_with_the_exchanged_weights():
    model = made(Recurrent)
    with randomised(model):
        for module in (model.lstm, model.gru):
            assert all(
                f is module._parameters[n]
                for f, n in zip(module._flat_weights, module._flat_weights_names, strict=True)
            )
    for module in (model.lstm, model.gru):
        assert all(
            f is module._parameters[n] for f, n in zip(module._flat_weights, module._flat_weights_names, strict=True)
        )


@pytest.mark.parametrize("kind", MODELS)
def test_the_seed_alone_decides(kind):
    first, second = made(kind, 1), made(kind, 2)
    torch.manual_seed(5)
    state = torch.get_rng_state()

    def values(model, seed):
        with randomised(model, seed):
            return [p.clone() for _, _, p in slots(model)]

    assert all(torch.equal(a, b) for a, b in zip(values(first, 3), values(second, 3), strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(values(first, 3), values(first, 4), strict=True))
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("seed", [0, 1, 42])
def test_the_random_model_is_not_the_one_that_training_began_with(seed):
    """Users seed everything with the seeds that we have as defaults."""
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(6, 5), nn.Linear(5, 4), nn.Conv1d(4, 3, 2))
    with randomised(model, seed):
        now = [p.clone() for p in model.parameters()]
    for parameter, random in zip(model.parameters(), now, strict=True):
        assert not torch.isclose(parameter, random).any()


def test_layers_of_one_shape_get_different_weights():
    model = nn.Sequential(*(nn.Linear(5, 5) for _ in range(4)))
    with randomised(model):
        weights = [layer.weight.clone() for layer in model] + [layer.bias.clone() for layer in model]
    assert len({tuple(w.flatten().tolist()) for w in weights}) == 8


def test_weights_are_drawn_as_for_a_fresh_model():
    model = nn.ModuleDict({
        "linear": nn.Linear(64, 200),
        "conv": nn.Conv2d(4, 300, 3),
        "one": nn.Linear(900, 1),
    })
    with randomised(model):
        for layer, fan_in in ((model["linear"], 64), (model["conv"], 36), (model["one"], 900)):
            for parameter in (layer.weight, layer.bias):
                assert float(parameter.abs().max()) <= 1 / math.sqrt(fan_in)
                if parameter.numel() > 100:
                    assert float(parameter.std()) == pytest.approx(1 / math.sqrt(3 * fan_in), rel=0.1)


def test_tokens_are_normal_and_small_and_norms_are_new():
    model = nn.Module()
    model.token = nn.Parameter(torch.ones(1, 1, 2000))
    model.positions = nn.Parameter(torch.ones(1, 40, 50))
    model.gamma = nn.Parameter(torch.ones(2000))
    model.norm = nn.BatchNorm1d(6)
    model.norm.weight.data += 3
    model.norm.running_mean += 1
    model.norm.num_batches_tracked += 7
    with randomised(model):
        for parameter in (model.token, model.positions, model.gamma):
            assert float(parameter.std()) == pytest.approx(0.02, rel=0.1)
            assert abs(float(parameter.mean())) < 0.002
        assert model.norm.weight.tolist() == [1] * 6
        assert model.norm.bias.tolist() == model.norm.running_mean.tolist() == [0] * 6
        assert model.norm.running_var.tolist() == [1] * 6
        assert int(model.norm.num_batches_tracked) == 7
    assert model.norm.running_mean.tolist() == [1] * 6


def test_other_buffers_stay():
    model = made(Normalised)
    mask, table = model.mask, model.running_table
    with randomised(model):
        assert model.mask is mask
        assert model.running_table is table


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_every_precision_gets_the_same_numbers(dtype):
    single, other = nn.Linear(6, 4), nn.Linear(6, 4).to(dtype)
    with randomised(single, 1), randomised(other, 1):
        assert other.weight.dtype == dtype
        torch.testing.assert_close(other.weight.double(), single.weight.double(), atol=2e-3, rtol=0)


def test_devices_get_the_same_numbers():
    model = nn.Linear(3, 2, device="meta")
    with randomised(model):
        assert model.weight.device.type == "meta"  # drawn on the CPU, then moved: no generator of the device's own


def test_integer_and_absent_parameters_stay():
    model = nn.Linear(3, 2, bias=False)
    model.table = nn.Parameter(torch.tensor([2, 1, 0]), requires_grad=False)
    table = model.table
    with randomised(model):
        assert model.bias is None
        assert model.table is table


def test_nothing_asks_for_gradients_inside():
    model = made(Attention)
    with randomised(model):
        assert not any(p.requires_grad for p in model.parameters())
        assert all(p.grad is None for p in model.parameters())


def randomised_by_hand(model, seed):
    """A model of its own with the numbers that ``randomised`` draws, set from outside."""
    twin = copy.deepcopy(model)
    with randomised(model, seed), torch.no_grad():
        for parameter, random in zip(twin.parameters(), model.parameters(), strict=True):
            parameter.copy_(random)
    return twin


@pytest.mark.parametrize("world", ["picture", "pair"])
@pytest.mark.parametrize("method", ["saliency", "input_x_gradient"])
def test_similarity_is_that_with_a_model_randomised_by_hand(world, method):
    model, x = (Picture(), pictures()) if world == "picture" else (Pair(), (pictures(), rows()))
    with evaluation_of(randomised_by_hand(model, 4), x, method) as evaluation:
        other = evaluation.scores
    with evaluation_of(model, x, method) as evaluation:
        with randomised(model, 4):
            inside = evaluation.explainer(replace(evaluation.problem))  # what the problem remembers is of the model
        torch.testing.assert_close(evaluation.perturbations.features.gather(inside.point), other)
    with evaluation_of(model, x, method, of={"randomised": other.float()}) as evaluation:
        got = MPRT().per_sample(evaluation)
        for i in range(4):
            pairs = [
                (abs(float(a)), abs(float(b)))
                for a, b in zip(evaluation.scores[i], other[i], strict=True)
                if a != 0 or b != 0
            ]
            assert float(got[i]) == pytest.approx(spearmanr(*zip(*pairs, strict=True)).statistic, abs=1e-6)
    assert float(got.max()) < 1


def test_gradients_of_a_linear_model_know_nothing_of_random_weights():
    n = 200
    with evaluation_of(Linear((6,), classes=n, seed=1), rows(n, 6), target=torch.arange(n)) as evaluation:
        other = evaluation.scores
    chosen = Linear((6,), classes=n, seed=2)
    with evaluation_of(chosen, rows(n, 6), target=torch.arange(n), of={"randomised": other}) as evaluation:
        metric = MPRT()
        metric.update(evaluation)
    score = metric.score()
    assert abs(score.mean) < 3.5 * score.standard_error
    # A method that shows the input whatever the model is does not pass.
    with evaluation_of(chosen, rows(n, 6), target=torch.arange(n)) as evaluation:
        metric = MPRT()
        metric.update(replace(evaluation, randomised=evaluation.scores))
    assert metric.score().mean == pytest.approx(1)


def test_random_maps_are_needed():
    with (
        evaluation_of(Picture(), pictures()) as evaluation,
        pytest.raises(ValueError, match="mprt needs the attributions of the model with random parameters"),
    ):
        MPRT().per_sample(evaluation)


def test_old_weight_norm_too():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        model = nn.utils.weight_norm(nn.Linear(4, 3))
    x = torch.randn(2, 4)
    with torch.no_grad():
        before = model(x)
        with randomised(model):
            assert not torch.allclose(model(x), before)
        assert torch.equal(model(x), before)
