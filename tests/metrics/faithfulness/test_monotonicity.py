from itertools import pairwise

import numpy as np
import pytest
import torch

from lightning_explain import IntegratedGradients
from lightning_explain.attribution.regions import Grid
from lightning_explain.metrics import DeletionAUC, Monotonicity
from lightning_explain.metrics.evaluation import RandomEvaluation
from lightning_explain.metrics.faithfulness.monotonicity import rising_steps
from metrics.evaluations import TARGET, Linear, Pair, Picture, evaluation_of, pictures, rows, with_scores
from metrics.oracles import quantus_scores


def linear(weights):
    model = Linear((len(weights),), classes=1)
    model.weight.data = torch.tensor([weights], dtype=torch.float64)
    return model


def built_up(model, x, scores, target, counts):
    """Begin with zeros, put pixels in, the lowest score first, and look at the probability now and then."""
    result = []
    for i in range(len(x)):
        # The opposite of "highest first, ties in the order of the pixels".
        order = sorted(range(36), key=lambda d, i=i: -float(scores[i, d]))[::-1]
        point, seen = torch.zeros_like(x[i]), []
        for number in range(37):
            if number in counts:
                with torch.no_grad():
                    seen.append(float(model(point[None]).softmax(1)[0, target[i]]))
            if number < 36:
                d = order[number]
                point[:, d // 6, d % 6] = x[i, :, d // 6, d % 6]
        result.append([bool(b >= a) for a, b in pairwise(seen)])
    return result


def test_it_is_what_building_the_input_up_gives():
    model, x = Picture(), pictures(8)
    target = TARGET.repeat(2)
    with evaluation_of(model, x, IntegratedGradients(8), target=target, readout="probability") as evaluation:
        scores = evaluation.scores.float().round(decimals=2)  # some ties
        ties = with_scores(evaluation, scores.view(8, 1, 6, 6))
        for steps, counts in ((4, {0, 9, 18, 27, 36}), (1, {0, 36}), (36, set(range(37)))):
            rises = built_up(model, x, scores, target, counts)
            share = Monotonicity(steps, share=True, tolerance=0).per_sample(ties)
            assert share.tolist() == pytest.approx([np.mean(steps) for steps in rises])
            whole = Monotonicity(steps, tolerance=0).per_sample(ties)
            assert whole.tolist() == [float(all(steps)) for steps in rises]
            if steps == 1:
                assert set(whole.tolist()) == {0, 1}


def test_positive_contributions_of_a_linear_model_are_monotone_in_any_order():
    x = rows(4, 7).abs()
    with evaluation_of(linear([1.0, 2, 3, 4, 5, 6, 7]), x, "input_x_gradient", target=0) as evaluation:
        assert Monotonicity().per_sample(evaluation).tolist() == [1] * 4
        assert Monotonicity().per_sample(RandomEvaluation(evaluation.perturbations)).tolist() == [1] * 4
    assert Monotonicity().perfect("probability") == 1


def test_exact_negative_contributions_are_not_monotone_and_the_share_counts_them():
    x = torch.ones(2, 5, dtype=torch.float64)
    with evaluation_of(linear([3.0, -1, 2, -2, 1]), x, "input_x_gradient", target=0) as evaluation:
        assert Monotonicity().per_sample(evaluation).tolist() == [0, 0]
        assert Monotonicity(share=True).per_sample(evaluation).tolist() == pytest.approx([0.6, 0.6])
        # Each feature adds what it adds, whenever it comes: no map can do better, or worse.
        upside_down = with_scores(evaluation, -evaluation.scores)
        assert Monotonicity(share=True).per_sample(upside_down).tolist() == pytest.approx([0.6, 0.6])


def test_a_saturated_model_tells_right_from_wrong():
    """An "and" of the two halves after an "or" within them: the order matters."""

    class Rule(torch.nn.Module):
        def forward(self, x):
            return (x[:, :3].amax(dim=1) * x[:, 3:].amax(dim=1) - x[:, 0] * (1 - x[:, 5]))[:, None]

    x = torch.ones(2, 6, dtype=torch.float64)
    with evaluation_of(Rule(), x, "input_x_gradient", target=0) as evaluation:
        order = torch.tensor([[1.0, 2, 3, 4, 5, 6], [6.0, 5, 4, 3, 2, 1]], dtype=torch.float64)
        assert Monotonicity().per_sample(with_scores(evaluation, order)).tolist() == [0, 1]


def test_rounding_is_no_fall():
    curve = torch.tensor([[0.5, 0.5 - 6e-8, 0.7], [0.5, 0.5 - 1e-5, 0.7]])
    assert rising_steps(curve).tolist() == [1, 0.5]
    assert rising_steps(curve, tolerance=0).tolist() == [0.5, 0.5]
    assert rising_steps(curve, tolerance=1e-4).tolist() == [1, 1]
    # In units of the curve, whatever they are.
    torch.testing.assert_close(rising_steps(curve * 1e12), rising_steps(curve))


def test_maps_that_order_nothing_are_undefined():
    with evaluation_of(Picture(), pictures()) as evaluation:
        scores = evaluation.attribution.point[0].clone()
        scores[0], scores[1], scores[2, 0, 1, 1] = 0, 3.0, torch.nan
        for share in (False, True):
            found = Monotonicity(share=share).per_sample(with_scores(evaluation, scores))
            assert torch.isnan(found).tolist() == [True, True, True, False]


def test_several_inputs_and_regions():
    with evaluation_of(Pair(), (pictures(), rows()), "input_x_gradient", readout="probability") as evaluation:
        pixels = Monotonicity(share=True).per_sample(evaluation)
        cells = Monotonicity(steps=9, partition=Grid(2), share=True).per_sample(evaluation)
        values = evaluation.curve(Monotonicity(steps=9, partition=Grid(2)).course).values
    assert bool(((pixels > 0) & (pixels <= 1)).all())
    expected = [np.mean([a >= b for a, b in pairwise(row)]) for row in values.tolist()]
    assert cells.tolist() == pytest.approx(expected)


def test_rows_are_those_of_the_deletion_curve(count_rows):
    with (
        count_rows(Picture()) as (model, counted),
        evaluation_of(model, pictures(), "input_x_gradient", readout="probability") as evaluation,
    ):
        spent = counted(evaluation)
        Monotonicity().per_sample(evaluation)
        assert spent() == 15 + 1  # the points between, and the baseline
        DeletionAUC().per_sample(evaluation)
        Monotonicity(share=True).per_sample(evaluation)
        assert spent() == 15 + 1


def test_a_negative_tolerance_is_refused():
    with pytest.raises(ValueError, match="tolerance must not be negative, got -1"):
        Monotonicity(tolerance=-1)
    with pytest.raises(ValueError, match="steps must be at least 1, got 0"):
        Monotonicity(steps=0)


def test_quantus_calls_everything_monotone(quantus):
    """It replaces the baseline by the baseline, and never puts the input in."""
    model, x = Picture(channels=1), pictures()[:, :1]
    with evaluation_of(model, x, "input_x_gradient", readout="probability") as evaluation:
        phi = evaluation.attribution.point[0]
        wrong = with_scores(evaluation, -phi)
        assert Monotonicity(36).per_sample(wrong).tolist() == [0] * 4
    for attribution in (phi, -phi, torch.randn_like(phi)):
        metric = quantus.Monotonicity(disable_warnings=True)
        assert quantus_scores(metric, model, x, TARGET, attribution).tolist() == [1] * 4
