from dataclasses import replace
from itertools import pairwise

import pytest
import torch

from lightning_explain.metrics import SRG, DeletionAUC, InsertionAUC
from lightning_explain.metrics.evaluation import RandomEvaluation
from lightning_explain.metrics.perturbation import Course, Curve
from metrics.evaluations import TARGET, Linear, Pair, Picture, evaluation_of, pictures, rows, with_scores


def areas_by_hand(model, x, x0, scores, target, steps):
    """Deletion and insertion area of one-tensor samples (n, C, H, W), a step, a pixel, a trapezium at a time."""
    deletion, insertion = [], []
    width = x.shape[3]
    pixels = x.shape[2] * width
    for i in range(len(x)):
        order = sorted(range(pixels), key=lambda d, i=i: -float(scores[i].flatten()[d]))
        values = [[], []]
        for step in range(steps + 1):
            gone = round(pixels * step / steps)
            for which, (start, end) in enumerate(((x[i], x0[i]), (x0[i], x[i]))):
                point = start.clone()
                for d in order[:gone]:
                    for channel in range(x.shape[1]):
                        point[channel, d // width, d % width] = end[channel, d // width, d % width]
                with torch.no_grad():
                    values[which].append((gone / pixels, float(model(point[None]).softmax(1)[0, target[i]])))
        for curve, areas in zip(values, (deletion, insertion), strict=True):
            areas.append(sum((b[0] - a[0]) * (a[1] + b[1]) / 2 for a, b in pairwise(curve)))
    return torch.tensor(deletion, dtype=torch.float64), torch.tensor(insertion, dtype=torch.float64)


@pytest.mark.parametrize("steps", [4, 7])
def test_areas_are_those_of_a_loop(steps):
    model, x = Picture(), pictures()
    with evaluation_of(model, x, "input_x_gradient", readout="probability", baseline=0.5) as evaluation:
        scores = evaluation.attribution.point[0].sum(dim=1)
        deletion, insertion, srg = (m(steps).per_sample(evaluation) for m in (DeletionAUC, InsertionAUC, SRG))
    expected = areas_by_hand(model, x, torch.full_like(x, 0.5), scores, TARGET, steps)
    torch.testing.assert_close(deletion, expected[0], atol=1e-9, rtol=0)
    torch.testing.assert_close(insertion, expected[1], atol=1e-9, rtol=0)
    torch.testing.assert_close(srg, expected[1] - expected[0], atol=1e-9, rtol=0)


def test_the_area_is_exact_for_straight_lines_wherever_the_points_stand():
    shares = torch.tensor([0.0, 0.1, 0.5, 1.0])
    lines = torch.stack([shares, 3 - 2 * shares, torch.ones(4)])
    assert Curve(shares, lines).area().tolist() == pytest.approx([0.5, 2, 1])


@pytest.mark.parametrize("inputs", ["picture", "pair"])
def test_least_relevant_first_deletion_is_most_relevant_first_insertion(inputs):
    model, x = (Picture(), pictures()) if inputs == "picture" else (Pair(), (pictures(), rows(4, 5)))
    steps = 12 if inputs == "picture" else 41  # a divisor of the number of features
    with evaluation_of(model, x, "input_x_gradient", readout="probability") as evaluation:
        course = Course(steps=steps)
        least_first = evaluation.curve(replace(course, ascending=True))
        torch.testing.assert_close(least_first.area(), InsertionAUC(steps).per_sample(evaluation))
        insertion = evaluation.curve(replace(course, insertion=True))
        torch.testing.assert_close(least_first.values, insertion.values.flip(1))
        negated = evaluation.perturbations.curve(-evaluation.scores, course)  # there are no ties
        torch.testing.assert_close(negated.values, least_first.values)


def test_linear_model_has_closed_forms():
    weight = torch.tensor([[[[4.0, -1.0], [0.0, 2.0]], [[1.0, 0.0], [0.5, -1.5]]]], dtype=torch.float64)
    model = Linear((2, 2, 2), classes=1)
    model.weight.data = weight
    x = torch.ones(3, 2, 2, 2, dtype=torch.float64) * torch.tensor([1.0, 2.0, -1.0], dtype=torch.float64).view(
        3, 1, 1, 1
    )
    with evaluation_of(model, x, "input_x_gradient", target=0) as evaluation:
        pixel = (x * weight).sum(dim=1).flatten(1)
        torch.testing.assert_close(evaluation.scores, pixel)
        ordered = pixel.sort(dim=1, descending=True).values
        inserted = torch.cat([torch.zeros(3, 1, dtype=torch.float64), ordered.cumsum(dim=1)], dim=1)
        torch.testing.assert_close(evaluation.curve(Course(steps=4, insertion=True)).values, inserted)
        torch.testing.assert_close(evaluation.curve(Course(steps=4)).values, pixel.sum(dim=1, keepdim=True) - inserted)
        # The exact contributions are the best order: no other has a larger gain.
        best = SRG(4).per_sample(evaluation)
        for seed in range(20):
            other = torch.randn(3, 2, 2, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
            assert bool((SRG(4).per_sample(with_scores(evaluation, other)) <= best + 1e-12).all())


@pytest.mark.parametrize("features", [3, 5, 16, 17, 31])
def test_random_attributions_gain_nothing_on_average(features):
    """For a linear model without any bias, also where the number of features is odd."""
    model = Linear((features,), classes=1)
    model.weight.data = torch.ones(1, features, dtype=torch.float64)
    x = torch.ones(4, features, dtype=torch.float64)
    with evaluation_of(model, x, target=0) as evaluation:
        random = RandomEvaluation(evaluation.perturbations, seed=1)
        # Equal features: any order gives straight lines, and the gain is zero to the last digit.
        assert SRG().per_sample(random).abs().max() < 1e-12
        assert DeletionAUC().per_sample(random).tolist() == pytest.approx([features / 2] * 4)


def test_random_attributions_of_a_network_gain_about_nothing():
    n = 300
    model, x = Picture(), pictures(n)
    target = torch.arange(n) % 3
    with evaluation_of(model, x, "input_x_gradient", target=target, readout="probability") as evaluation:
        metric = SRG()
        metric.update(RandomEvaluation(evaluation.perturbations, seed=0))
        chance = metric.score()
        metric.reset()
        metric.update(evaluation)
        ours = metric.score()
    assert abs(chance.mean) < 3 * chance.standard_error
    assert ours.mean > 10 * chance.standard_error


def test_maps_that_order_nothing_are_undefined():
    with evaluation_of(Picture(), pictures()) as evaluation:
        scores = evaluation.attribution.point[0].clone()
        fine = {m: m().per_sample(evaluation) for m in (DeletionAUC, InsertionAUC, SRG)}
        scores[0], scores[1], scores[2, 0, 1, 1] = 0, 3.0, torch.nan
        for metric, before in fine.items():
            got = metric().per_sample(with_scores(evaluation, scores))
            assert torch.isnan(got).tolist() == [True, True, True, False]
            torch.testing.assert_close(got[3], before[3])


def test_order_alone_counts():
    with evaluation_of(Picture(), pictures(), "input_x_gradient") as evaluation:
        scores = evaluation.attribution.point[0].sum(dim=1, keepdim=True)
        before = SRG().per_sample(evaluation)
        after = SRG().per_sample(with_scores(evaluation, torch.sigmoid(scores) * 1e-20 - 7e-21))
    torch.testing.assert_close(after, before)
