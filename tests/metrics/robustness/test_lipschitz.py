import math

import pytest
import torch

from lightning_explain import GradCAM, Input, Layer, Occlusion, ProbeSet, Saliency, explain
from lightning_explain.inputs import leaves
from lightning_explain.metrics import LocalLipschitz, MaxSensitivity
from lightning_explain.metrics.robustness.changes import difference, norm
from lightning_explain.metrics.robustness.lipschitz import steepness
from lightning_explain.metrics.robustness.noise import Noise, noisy_copies
from metrics.evaluations import TARGET, Linear, Pair, Picture, evaluation_of, pictures, rows, with_scores
from metrics.oracles import oracle


@pytest.fixture(scope="module")
def quantus():
    return oracle("quantus")


def lipschitz(pairs, original):
    """The steepness of attributions (moved, attribution there) around the original."""
    changes = torch.stack([norm(difference(there, original)) for _, there in pairs])
    return steepness(changes, torch.stack([norm(moved) for moved, _ in pairs]))


def flat(inputs, i):
    return [float(v) for leaf in leaves(inputs) for v in leaf[i].flatten()]


def by_hand(model, inputs, method, copies, place=None):
    """The steepest of separately explained copies, number by number."""

    def explained(point, i):
        one = tuple(leaf[i : i + 1] for leaf in leaves(point))
        values = explain(model, one if len(one) > 1 else one[0], method, place, target=TARGET[i : i + 1]).values
        return [float(v) for leaf in leaves(values) for v in leaf.flatten()]

    return torch.tensor(
        [
            max(
                math.dist(explained(copy, i), explained(inputs, i)) / math.dist(flat(copy, i), flat(inputs, i))
                for copy in copies
            )
            for i in range(len(TARGET))
        ],
        dtype=torch.float64,
    )


@pytest.mark.parametrize(("method", "place"), [("saliency", None), ("input_x_gradient", None), ("saliency", "conv")])
def test_it_is_the_steepest_of_separately_explained_copies(method, place):
    model, x, place = Picture(), pictures(), place and Layer(place)
    with evaluation_of(model, x, method, place=place) as evaluation:
        got = LocalLipschitz(copies=3, radius=0.3, seed=5).per_sample(evaluation)
    torch.testing.assert_close(got, by_hand(model, x, method, list(noisy_copies(x, Noise(3, 0.3, 5))), place))
    assert float(got.min()) > 0


def test_several_inputs_are_one_point():
    model, inputs = Pair(), (pictures(), 10 * rows())
    with evaluation_of(model, inputs, "saliency") as evaluation:
        got = LocalLipschitz(copies=2).per_sample(evaluation)
    torch.testing.assert_close(got, by_hand(model, inputs, "saliency", list(noisy_copies(inputs, Noise(2, 0.1, 0)))))


def test_linear_models_in_closed_form():
    x = pictures()
    model = Linear((2, 6, 6))
    with evaluation_of(model, x, Saliency(absolute=False)) as evaluation:
        assert float(LocalLipschitz(radius=2.0).per_sample(evaluation).max()) < 1e-12
    # Input x gradient of a model whose weights are all +-3 is three times as steep as the identity.
    model.weight.data = 3 * model.weight.detach().sign()
    with evaluation_of(model, x, "input_x_gradient") as evaluation:
        torch.testing.assert_close(LocalLipschitz().per_sample(evaluation), torch.full((4,), 3.0, dtype=torch.float64))


def test_it_is_in_units_of_the_attribution_and_max_sensitivity_is_not():
    x = pictures()
    model, double = Linear((2, 6, 6)), Linear((2, 6, 6))
    double.weight.data *= 2
    scores = []
    for chosen in (model, double):
        with evaluation_of(chosen, x, "input_x_gradient") as evaluation:
            scores.append((LocalLipschitz().per_sample(evaluation), MaxSensitivity().per_sample(evaluation)))
    torch.testing.assert_close(scores[1][0], 2 * scores[0][0])
    torch.testing.assert_close(scores[1][1], scores[0][1])


def test_explanations_are_shared_with_max_sensitivity():
    seen, model = [], Picture()
    model.register_forward_hook(lambda _module, args, _result: seen.append(len(args[0])))
    with evaluation_of(model, pictures(), "saliency") as evaluation:
        seen.clear()
        MaxSensitivity(copies=3).per_sample(evaluation)
        assert sum(seen) == 3 * 4
        LocalLipschitz(copies=3).per_sample(evaluation)
        assert sum(seen) == 3 * 4


def test_coarse_maps_are_compared_before_they_are_upsampled():
    model, x = Picture(), pictures(size=8)
    with evaluation_of(model, x, GradCAM("conv2", signed=True)) as evaluation:
        got = LocalLipschitz(copies=2).per_sample(evaluation)
        copies = list(noisy_copies(x, Noise(2, 0.1, 0)))
        method, problem = evaluation.explainer.method, evaluation.problem
        pairs = [((copy - x,), method(problem.with_inputs(copy))) for copy in copies]
        torch.testing.assert_close(got, lipschitz(pairs, method(problem)))


def test_copies_that_do_not_move_do_not_count():
    got = steepness(torch.tensor([[1.0, 0.0, 2.0], [6.0, 0.0, 9.0]]), torch.tensor([[2.0, 0.0, 1.0], [3.0, 0.0, 0.0]]))
    torch.testing.assert_close(got, torch.tensor([2.0, torch.nan, 2.0]), equal_nan=True)
    blank = torch.full((4, 2, 6, 6), 0.5, dtype=torch.float64)  # no spread, no noise
    with evaluation_of(Picture(), blank) as evaluation:
        assert torch.isnan(LocalLipschitz().per_sample(evaluation)).all()


def test_broken_maps_are_undefined_and_dead_ones_are_flat():
    with evaluation_of(Picture(), pictures()) as evaluation:
        scores = evaluation.attribution.point[0].clone()
        scores[1] = torch.nan
        got = LocalLipschitz(copies=2).per_sample(with_scores(evaluation, scores))
    assert torch.isnan(got).tolist() == [False, True, False, False]
    moved, dead = (torch.ones(3, 2),), (torch.zeros(3, 2),)
    assert lipschitz([(moved, dead)] * 2, dead).tolist() == [0, 0, 0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_other_precisions(dtype):
    model, x = Picture(), pictures()
    with evaluation_of(model, x) as evaluation:
        expected = LocalLipschitz(radius=0.5).per_sample(evaluation)
    with evaluation_of(model.to(dtype), x.to(dtype)) as evaluation:
        got = LocalLipschitz(radius=0.5).per_sample(evaluation)
    assert got.dtype == torch.float64
    torch.testing.assert_close(got, expected, rtol=0.1 if dtype == torch.bfloat16 else 1e-3, atol=1e-3)


def test_integer_inputs_cannot_be_moved():
    tokens = ProbeSet.from_tensors(torch.randint(0, 9, (3, 5)), target=0)
    assert "no noise can be added" in LocalLipschitz().missing(Occlusion(), Input(), tokens)


def test_settings_are_checked():
    with pytest.raises(ValueError, match=r"copies must be at least 1 and radius positive, got 0 and 0\.1"):
        LocalLipschitz(copies=0)


def test_quantus_agrees_on_the_ratio(quantus):
    from quantus.functions.similarity_func import distance_euclidean, lipschitz_constant

    generator = torch.Generator().manual_seed(0)
    a, b, x, y = (torch.randn(4, 9, generator=generator, dtype=torch.float64) for _ in range(4))
    norms = {"norm_numerator": distance_euclidean, "norm_denominator": distance_euclidean}
    theirs = lipschitz_constant(a.numpy(), b.numpy(), x.numpy(), y.numpy(), **norms)
    torch.testing.assert_close(lipschitz([((y - x,), (b,))], (a,)), torch.as_tensor(theirs), rtol=1e-6, atol=0)


def test_quantus_divides_by_nearly_nothing(quantus):
    from quantus.functions.similarity_func import distance_euclidean, lipschitz_constant

    x, a, b = (torch.full((1, 2), value, dtype=torch.float64) for value in (0.5, 0.0, 0.5))
    norms = {"norm_numerator": distance_euclidean, "norm_denominator": distance_euclidean}
    theirs = lipschitz_constant(a.numpy(), b.numpy(), x.numpy(), x.numpy(), **norms)
    assert float(theirs[0]) == pytest.approx(0.5**0.5 * 1e10)
    assert torch.isnan(lipschitz([((x - x,), (b,))], (a,))).all()
