import copy
import warnings
from dataclasses import replace

import pytest
import torch
from scipy.stats import spearmanr
from torch import nn

from lightning_explain import GradCAM, IntegratedGradients, Layer, explain
from lightning_explain.inputs import leaves
from lightning_explain.metrics import METRICS, MPRTBottomUp, MPRTIndependent, MPRTTopDown
from lightning_explain.metrics.layers import parameter_layers
from lightning_explain.metrics.randomisation.cascade import mean_similarity, stages
from lightning_explain.metrics.randomisation.parameters import layers_randomised
from metrics.evaluations import TARGET, Pair, Picture, evaluation_of, pictures, rows, with_scores
from metrics.oracles import oracle

ALL = [MPRTTopDown, MPRTBottomUp, MPRTIndependent]
EXPECTED = {
    MPRTTopDown: {"head": "head", "conv2": "head conv2", "conv": "head conv2 conv"},
    MPRTBottomUp: {"conv": "conv", "conv2": "conv conv2", "head": "conv conv2 head"},
    MPRTIndependent: {"head": "head", "conv2": "conv2", "conv": "conv"},
}


@pytest.fixture(scope="module")
def quantus():
    return oracle("quantus")


def twin_of(model, layers, random, seed):
    """A model of its own with the same random numbers, set from outside."""
    twin = copy.deepcopy(model)
    with layers_randomised(model, layers, random, seed), torch.no_grad():
        for parameter, value in zip(twin.parameters(), model.parameters(), strict=True):
            parameter.copy_(value)
    return twin


def correlation(a, b):
    """SciPy's, of absolute maps, where at least one is not zero."""
    pairs = [(abs(float(u)), abs(float(v))) for u, v in zip(a, b, strict=True) if u != 0 or v != 0]
    return spearmanr(*zip(*pairs, strict=True)).statistic


def pixels(values):
    return torch.cat([leaf.sum(1).flatten(1) if leaf.ndim > 2 else leaf for leaf in leaves(values)], dim=1)


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("method", ["saliency", "input_x_gradient"])
def test_curves_are_those_of_models_randomised_by_hand(kind, method):
    model, x = Picture(), pictures()
    original = pixels(explain(model, x, method, target=TARGET).values)
    metric = kind(seed=4)
    with evaluation_of(model, x, method) as evaluation:
        curve, got = metric.by_layer(evaluation), metric.per_sample(evaluation)
        layers = parameter_layers(evaluation.problem)
    assert list(curve) == list(EXPECTED[kind])
    for layer, random in EXPECTED[kind].items():
        twin = twin_of(model, layers, set(random.split()), 4)
        other = pixels(explain(twin, x, method, target=TARGET).values)
        by_hand = [correlation(a, b) for a, b in zip(original, other, strict=True)]
        assert curve[layer].tolist() == pytest.approx(by_hand, abs=1e-6)
    torch.testing.assert_close(got, torch.stack(list(curve.values())).mean(dim=0))
    assert float(got.max()) < 1


class Skipping(nn.Module):
    """Past the layer in the middle there is what its random version computes otherwise."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.stem, self.middle, self.head = nn.Linear(4, 6), nn.Linear(6, 6), nn.Linear(6, 3)

    def forward(self, x):
        h = self.stem(x)
        return self.head((self.middle(h) + h).tanh())


@pytest.mark.parametrize("kind", ALL)
def test_what_leads_up_to_a_layer_is_that_of_the_random_model(kind):
    model, x = Skipping().eval(), torch.randn(5, 4, generator=torch.Generator().manual_seed(1))
    method, place = IntegratedGradients(32), Layer("middle")
    original = explain(model, x, method, place, target=1).values
    with evaluation_of(model, x, method, target=1, place=place) as evaluation:
        curve = kind(seed=4).by_layer(evaluation)
        layers = parameter_layers(evaluation.problem)
    for layer, random in stages(list(layers), kind.order).items():
        other = explain(twin_of(model, layers, random, 4), x, method, place, target=1).values
        by_hand = [correlation(a, b) for a, b in zip(original, other, strict=True)]
        assert curve[layer].tolist() == pytest.approx(by_hand, abs=1e-6)


def test_several_inputs():
    model, inputs = Pair(), (pictures(), rows())
    with evaluation_of(model, inputs) as evaluation:
        curve = MPRTBottomUp().by_layer(evaluation)
        layers = parameter_layers(evaluation.problem)
    assert list(curve) == ["picture.conv", "picture.conv2", "picture.head", "table"]
    original = pixels(explain(model, inputs, "saliency", target=TARGET).values)
    twin = twin_of(model, layers, {"picture.conv", "picture.conv2"}, 0)
    other = pixels(explain(twin, inputs, "saliency", target=TARGET).values)
    by_hand = [correlation(a, b) for a, b in zip(original, other, strict=True)]
    assert curve["picture.conv2"].tolist() == pytest.approx(by_hand, abs=1e-6)


def test_layers_see_their_own_model():
    """What a layer holds is that of the random model, below it and at it."""
    model, x = Picture(), pictures()
    with evaluation_of(model, x, "input_x_gradient", place=Layer("conv")) as evaluation:
        curve = MPRTIndependent().by_layer(evaluation)
        layers = parameter_layers(evaluation.problem)
    original = pixels(explain(model, x, "input_x_gradient@conv", target=TARGET).values)
    for layer in ("conv", "head"):
        twin = twin_of(model, layers, {layer}, 0)
        other = pixels(explain(twin, x, "input_x_gradient@conv", target=TARGET).values)
        by_hand = [correlation(a, b) for a, b in zip(original, other, strict=True)]
        assert curve[layer].tolist() == pytest.approx(by_hand, abs=1e-6)


def test_coarse_maps_are_compared_before_they_are_upsampled():
    model, x = Picture(), pictures(size=8)
    with evaluation_of(model, x, GradCAM("conv2", signed=True)) as evaluation:
        curve = MPRTTopDown().by_layer(evaluation)
        layers, method = parameter_layers(evaluation.problem), evaluation.explainer.method
        original = method(evaluation.problem)[0].flatten(1)
        with layers_randomised(model, layers, {"head"}):
            other = method(replace(evaluation.problem))[0].flatten(1)
    by_hand = [correlation(a, b) for a, b in zip(original, other, strict=True)]
    assert curve["head"].tolist() == pytest.approx(by_hand, abs=1e-6)


def test_a_layer_that_the_explanation_ignores_is_told_apart():
    """The gradient of a linear tail does not know what lies below it."""

    class Branches(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.offset = nn.Linear(5, 3).double(), nn.Linear(5, 3).double()

        def forward(self, x):
            return torch.tanh(self.used(x)) + self.offset(x).detach()

    with evaluation_of(Branches(), rows(), "saliency") as evaluation:
        curve = MPRTIndependent().by_layer(evaluation)
    torch.testing.assert_close(curve["offset"], torch.ones(4, dtype=torch.float64))
    assert float(curve["used"].max()) < 1


def test_stages_that_orders_share_are_explained_once():
    seen, model = [], Picture()
    model.register_forward_hook(lambda _module, args, _result: seen.append(len(args[0])))

    def cost(metric):
        seen.clear()
        metric.per_sample(evaluation)
        return sum(seen)

    with evaluation_of(model, pictures(), "saliency") as evaluation:
        assert cost(MPRTTopDown()) == 3 * 4 + 1  # one sample finds the layers
        assert cost(MPRTTopDown()) == 0
        assert cost(MPRTIndependent()) == 2 * 4  # the head alone is known
        assert cost(MPRTBottomUp()) == 1 * 4  # the first alone and all are known
        assert cost(MPRTBottomUp(seed=1)) == 3 * 4


@pytest.mark.parametrize("kind", ALL)
def test_the_model_and_its_problem_are_left_as_they_were(kind):
    model, x = Picture(), pictures()
    held = {name: (p, p.clone()) for name, p in model.named_parameters()}
    with evaluation_of(model, x, "saliency", place=Layer("conv")) as evaluation:
        before = [leaf.clone() for leaf in evaluation.problem.z]
        kind().per_sample(evaluation)
        again = evaluation.explain(evaluation.problem)
        assert all(map(torch.equal, before, evaluation.problem.z))
        torch.testing.assert_close(again, evaluation.point)
    assert all(p is held[name][0] and torch.equal(p, held[name][1]) for name, p in model.named_parameters())


@pytest.mark.parametrize("kind", ALL)
def test_dead_maps_are_undefined(kind):
    with evaluation_of(Picture(), pictures()) as evaluation:
        scores = evaluation.attribution.point[0].clone()
        scores[0], scores[2] = 0, torch.nan
        got = kind().per_sample(with_scores(evaluation, scores))
    assert torch.isnan(got).tolist() == [True, False, True, False]


def test_stages_of_a_random_model_that_is_dead_are_left_out():
    got = mean_similarity([torch.tensor([0.5, torch.nan, torch.nan]), torch.tensor([0.1, 0.2, torch.nan])])
    torch.testing.assert_close(got, torch.tensor([0.3, 0.2, torch.nan]), equal_nan=True)


def test_orders():
    line = ["a", "b", "c"]
    assert {k: "".join(sorted(v)) for k, v in stages(line, "bottom_up").items()} == {"a": "a", "b": "ab", "c": "abc"}
    assert {k: "".join(sorted(v)) for k, v in stages(line, "top_down").items()} == {"c": "c", "b": "bc", "a": "abc"}
    assert {k: "".join(sorted(v)) for k, v in stages(line, "independent").items()} == {"c": "c", "b": "b", "a": "a"}
    with pytest.raises(ValueError, match=r"No order of randomisation 'sideways'\. Known: top_down, bottom_up"):
        stages(line, "sideways")
    assert {METRICS[cls.name] for cls in ALL} == set(ALL)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_other_precisions(dtype):
    model, x = Picture(), pictures()
    with evaluation_of(model, x) as evaluation:
        expected = MPRTBottomUp().per_sample(evaluation)
    with evaluation_of(model.to(dtype), x.to(dtype)) as evaluation:
        got = MPRTBottomUp().per_sample(evaluation)
    torch.testing.assert_close(got, expected, atol=0.2 if dtype == torch.bfloat16 else 1e-2, rtol=0)


class Stack(nn.Module):
    """Two layers of one shape, and a parameter of the model itself."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.head = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 3)
        self.token = nn.Parameter(torch.ones(6))

    def forward(self, x):
        return self.head(torch.tanh(self.second(torch.tanh(self.first(x.flatten(1) + self.token)))))


def theirs(quantus, explain, **settings):
    model, x = Stack().eval(), pictures()[:, :1, :2, :3].abs().float().numpy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        metric = quantus.MPRT(disable_warnings=True, **settings)
        result = metric(model=model, x_batch=x, y_batch=TARGET.numpy(), a_batch=x, explain_func=explain)
    return model, result


def test_quantus_averages_the_model_itself_in(quantus):
    """The true model's similarity with itself, 1, is one of the four numbers of which it takes the mean."""
    calls = []

    def turned_round(model, inputs, targets, **_):
        calls.append(model)
        return inputs if len(calls) == 1 else 1 / inputs

    _, scores = theirs(quantus, turned_round, return_average_correlation=True)
    assert len(calls) == 4
    assert scores == pytest.approx([(1 - 3) / 4] * 4)  # -1 at each of the three stages


def test_quantus_gives_layers_of_one_shape_the_same_weights_and_seeds_torch(quantus):
    seen, after = [], []

    def watched(model, inputs, targets, **_):
        seen.append({name: p.detach().clone() for name, p in model.named_parameters()})
        return inputs

    state = torch.get_rng_state()
    for seed in (1, 2):
        torch.manual_seed(seed)
        model, _ = theirs(quantus, watched)
        after.append(torch.rand(3))
    torch.set_rng_state(state)
    assert torch.equal(seen[-1]["first.weight"], seen[-1]["second.weight"])
    assert torch.equal(seen[-1]["token"], model.token)  # never random
    assert torch.equal(*after)  # whatever the state was before
