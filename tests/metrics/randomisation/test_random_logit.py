import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch import nn
from torchmetrics.functional.image import structural_similarity_index_measure

from lightning_explain import GradCAM, Input, Layer, Neuron, ProbeSet, Saliency, explain
from lightning_explain.inputs import leaves
from lightning_explain.metrics import RandomLogit
from lightning_explain.metrics.randomisation.random_logit import other_class, structural_similarity
from metrics.evaluations import TARGET, Linear, Pair, Picture, evaluation_of, pictures, rows, with_scores
from metrics.oracles import oracle


@pytest.fixture(scope="module")
def quantus():
    return oracle("quantus")


def maps(height, width, seed=0):
    generator = torch.Generator().manual_seed(seed)
    a = torch.randn(3, height, width, generator=generator, dtype=torch.float64)
    return a, a.abs() + torch.randn(a.shape, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize(("height", "width"), [(3, 4), (6, 9), (10, 10), (11, 11), (12, 20)])
def test_similarity_is_that_of_scikit_image(height, width):
    metrics = pytest.importorskip("skimage.metrics")
    side = min(height, width)
    small = {"win_size": side - 1 + side % 2}
    window = {"gaussian_weights": True, "sigma": 1.5} if side >= 11 else small
    a, b = maps(height, width)

    def theirs(one, other):
        settings = {"data_range": 1, "use_sample_covariance": False, **window}
        return metrics.structural_similarity(one.numpy(), other.numpy(), **settings)

    for shift, (first, second) in ((1, (a, b)), (0, (a.abs(), b.abs()))):
        shown = [(m / m.abs().amax((1, 2), True) + shift) / (1 + shift) for m in (first, second)]
        expected = [theirs(one, other) for one, other in zip(*shown, strict=True)]
        torch.testing.assert_close(structural_similarity(first, second), torch.tensor(expected, dtype=torch.float64))


def test_similarity_of_a_sample_depends_on_it_alone():
    a, b = maps(12, 12)
    together = structural_similarity(a, b)
    scaled = structural_similarity(torch.cat([a[:1], 1e6 * a[1:]]), torch.cat([b[:1], 1e-6 * b[1:]]))
    torch.testing.assert_close(scaled, together)  # units do not matter, neither one's own nor the neighbours'
    torch.testing.assert_close(structural_similarity(b, a), together)
    torch.testing.assert_close(structural_similarity(a, a), torch.ones(3, dtype=torch.float64))
    # A map and its negative are opposite; torchmetrics' function on the signed maps would call them alike.
    assert float(structural_similarity(a, -a).max()) < 0
    assert float(structural_similarity_index_measure(a[:1, None], -a[:1, None], data_range=6.0)) > 0.5


def test_maps_that_say_nothing_are_undefined():
    a, b = maps(6, 6)
    a[0], b[2, 1, 1] = 0.5, torch.nan
    assert torch.isnan(structural_similarity(a, b)).tolist() == [True, False, True]


def test_classes_are_others_and_equally_likely():
    target = torch.arange(4).repeat(2000)[:, None]
    other = other_class(target, 4)
    table = torch.zeros(4, 4).index_put_((target[:, 0], other[:, 0]), torch.ones(8000), accumulate=True)
    assert table.diag().tolist() == [0] * 4
    assert float((table + 2000 / 3 * torch.eye(4) - 2000 / 3).abs().max()) < 100
    assert torch.equal(other_class(target[:5], 4), other[:5])  # a sample's does not depend on those behind it
    assert not torch.equal(other_class(target, 4, seed=1), other)
    positions = torch.tensor([[1, 5, 2], [0, 3, 7]])
    assert torch.equal(other_class(positions, 2), torch.tensor([[0, 5, 2], [1, 3, 7]]))
    with pytest.raises(ValueError, match="random_logit needs a model of 2 and more classes, this one has 1"):
        other_class(target, 1)


def others(seed=0, classes=3):
    return other_class(TARGET[:, None], classes, seed)[:, 0]


@pytest.mark.parametrize("method", ["saliency", "input_x_gradient"])
def test_pictures_are_compared_with_those_of_the_other_class(method):
    model, x = Picture(), pictures()
    with evaluation_of(model, x, method) as evaluation:
        got = RandomLogit(seed=3).per_sample(evaluation)
    one, other = (explain(model, x, method, target=t).values.sum(1) for t in (TARGET, others(3)))
    torch.testing.assert_close(got, structural_similarity(one, other))
    assert float(got.max()) < 1


def test_other_maps_are_compared_by_rank():
    model, inputs = Pair(), (pictures(), rows())
    with evaluation_of(model, inputs, "input_x_gradient") as evaluation:
        got = RandomLogit().per_sample(evaluation)
    flat = []
    for target in (TARGET, others()):
        image, row = leaves(explain(model, inputs, "input_x_gradient", target=target).values)
        flat.append(torch.cat([image.sum(1).flatten(1), row], dim=1))
    assert got.tolist() == pytest.approx([spearmanr(a, b).statistic for a, b in zip(*flat, strict=True)], abs=1e-9)


def test_every_element_a_feature_is_no_picture():
    model, x = Picture(), pictures()
    with evaluation_of(model, x, "saliency", place=Input(channel_dim=None)) as evaluation:
        got = RandomLogit().per_sample(evaluation)
    one, other = (explain(model, x, "saliency", target=t).values.flatten(1) for t in (TARGET, others()))
    assert got.tolist() == pytest.approx([spearmanr(a, b).statistic for a, b in zip(one, other, strict=True)], abs=1e-9)


def test_layers_and_coarse_maps():
    model, x = Picture(), pictures(size=12)
    with evaluation_of(model, x, "input_x_gradient", place=Layer("conv")) as evaluation:
        got = RandomLogit().per_sample(evaluation)
    one, other = (explain(model, x, "input_x_gradient@conv", target=t).values.sum(1) for t in (TARGET, others()))
    torch.testing.assert_close(got, structural_similarity(one, other))
    with evaluation_of(model, x, GradCAM("conv2", signed=True)) as evaluation:
        problem, method = evaluation.problem, evaluation.explainer.method
        got = RandomLogit().per_sample(evaluation)
        other = method(replace(problem, target=others()[:, None]))[0][:, 0]
        torch.testing.assert_close(got, structural_similarity(method(problem)[0][:, 0], other))


def test_a_method_that_ignores_the_class_is_found_out():
    class Same(nn.Module):
        """All classes look at the same pixels."""

        def forward(self, x):
            total = (x.flatten(1) * torch.linspace(-1, 1, 72, dtype=torch.float64)).sum(1, keepdim=True)
            return total * torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)

    with evaluation_of(Same(), pictures(), Saliency(absolute=False)) as evaluation:
        torch.testing.assert_close(RandomLogit().per_sample(evaluation), torch.ones(4, dtype=torch.float64))
    with evaluation_of(Linear((2, 6, 6)), pictures(), Saliency(absolute=False)) as evaluation:
        assert float(RandomLogit().per_sample(evaluation).abs().max()) < 0.7


def test_it_costs_one_explanation():
    seen, model = [], Picture()
    model.register_forward_hook(lambda _module, args, _result: seen.append(len(args[0])))
    with evaluation_of(model, pictures(), "saliency") as evaluation:
        seen.clear()
        RandomLogit().per_sample(evaluation)
    assert sum(seen) == 4


def test_dead_maps_are_undefined():
    with evaluation_of(Picture(), pictures()) as evaluation:
        scores = evaluation.attribution.point[0].clone()
        scores[0], scores[2] = 0, torch.nan
        got = RandomLogit().per_sample(with_scores(evaluation, scores))
    assert torch.isnan(got).tolist() == [True, False, True, False]


def test_global_random_numbers_stay():
    with evaluation_of(Picture(), pictures()) as evaluation:
        state = torch.get_rng_state()
        RandomLogit().per_sample(evaluation)
        assert torch.equal(torch.get_rng_state(), state)


def test_there_must_be_another_class():
    with (
        evaluation_of(Linear((5,), classes=1), rows(), target=torch.zeros(4, dtype=torch.long)) as evaluation,
        pytest.raises(ValueError, match="needs a model of 2 and more classes, this one has 1"),
    ):
        RandomLogit().per_sample(evaluation)
    with (
        evaluation_of(Linear((5,), classes=1), rows(), target="output") as evaluation,
        pytest.raises(ValueError, match="needs a target among 2 and more classes; the model gives one number"),
    ):
        RandomLogit().per_sample(evaluation)
    regression = ProbeSet.from_tensors(rows(), label=torch.randn(4))
    assert "no other class" in RandomLogit().missing(Saliency(), Input(), regression)
    probe = ProbeSet.from_tensors(rows(), label=TARGET)
    assert "explains a neuron" in RandomLogit().missing(Saliency(), Neuron("conv", 0), probe)
    assert RandomLogit().missing(Saliency(), Input(), probe) is None


def test_quantus_compares_lines_instead_of_pictures(quantus):
    """Its similarity is that of the flattened maps: the score changes when both are transposed."""
    from quantus.functions.similarity_func import ssim

    a, b = (tensor[:1] for tensor in maps(12, 12))
    lines = [float(ssim(one.flatten().numpy(), other.flatten().numpy())) for one, other in ((a, b), (a.mT, b.mT))]
    assert abs(lines[0] - lines[1]) > 0.01
    torch.testing.assert_close(structural_similarity(a.mT, b.mT), structural_similarity(a, b))


def test_quantus_takes_a_thousand_classes_for_granted_and_seeds_numpy(quantus):
    model, x = Picture().float().eval(), pictures().float().numpy()

    def ours(model, inputs, targets, **_):
        if max(targets) >= 3:
            raise IndexError(f"class {max(targets)} of 3")
        return inputs.sum(axis=1, keepdims=True)

    arguments = {"model": model, "x_batch": x, "y_batch": TARGET.numpy(), "a_batch": x.sum(1, keepdims=True)}
    np.random.seed(7)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        metric = quantus.RandomLogit(disable_warnings=True)
        with pytest.raises(IndexError, match="of 3"):
            metric(**arguments, explain_func=ours)
        after = np.random.rand()
        np.random.seed(8)
        with pytest.raises(IndexError, match="of 3"):
            metric(**arguments, explain_func=ours)
    assert np.random.rand() == after  # whatever the state was before
