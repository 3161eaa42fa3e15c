import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from lightning_explain import Layer, Saliency
from lightning_explain.attribution.regions import EveryFeature, Grid
from lightning_explain.metrics import MonotonicityCorrelation
from lightning_explain.metrics.evaluation import RandomEvaluation
from lightning_explain.metrics.faithfulness.monotonicity_correlation import expected_change
from lightning_explain.randomness import stream
from metrics.evaluations import TARGET, Linear, Pair, Picture, evaluation_of, pictures, rows, with_scores
from metrics.oracles import quantus_scores


def changes_by_hand(model, x, draws, cell):
    """A sample, a cell and a fill at a time. A fill is drawn for each, between the sample's own extremes."""
    per_side = 6 // cell
    changes = np.zeros((len(x), per_side**2))
    for i, target in enumerate(TARGET.tolist()):
        low, high = x[i].min(), x[i].max()
        for region in range(per_side**2):
            top, start = cell * (region // per_side), cell * (region % per_side)
            for draw in range(draws):
                number = draw * per_side**2 + region
                shares = torch.rand(2, 6, 6, generator=stream(f"uniform fill 0, {number}", 0), dtype=torch.float32)
                filled = x[i : i + 1].clone()
                window = (slice(top, top + cell), slice(start, start + cell))
                filled[0][:, window[0], window[1]] = (low + shares.double() * (high - low))[:, window[0], window[1]]
                with torch.no_grad():
                    moved = float(model(filled)[0, target] - model(x[i : i + 1])[0, target])
                changes[i, region] += moved**2 / draws
    return changes


def test_it_is_that_of_a_loop_over_regions_and_fills():
    model, x = Picture(), pictures()
    with evaluation_of(model, x, "input_x_gradient") as evaluation:
        got = MonotonicityCorrelation(draws=3, partition=Grid(3)).per_sample(evaluation)
        change = expected_change(evaluation.perturbations, Grid(3), 3)
        scores = evaluation.scores.view(4, 3, 2, 3, 2).abs().sum(dim=(2, 4)).flatten(1)
    expected = changes_by_hand(model, x, 3, 2)
    np.testing.assert_allclose(change.numpy(), expected, rtol=1e-6)
    for i in range(4):
        assert float(got[i]) == pytest.approx(spearmanr(scores[i].numpy(), expected[i]).statistic)


def test_dividing_by_the_square_of_the_score_changes_no_rank():
    model, x = Picture(), pictures()
    with evaluation_of(model, x, "input_x_gradient") as evaluation:
        got = MonotonicityCorrelation(draws=2).per_sample(evaluation)
        relative = expected_change(evaluation.perturbations, Grid(), 2) / evaluation.problem.value[:, None].square()
        for i in range(4):
            expected = spearmanr(evaluation.scores[i].abs().numpy(), relative[i].numpy()).statistic
            assert float(got[i]) == pytest.approx(expected)


def test_the_expectation_of_a_linear_model_has_a_closed_form():
    r"""E (w (u - x))^2 = w^2 ((b - a)^2 / 12 + ((a + b) / 2 - x)^2) for u uniform in [a, b]."""
    model = Linear((6,), classes=1)
    model.weight.data = torch.tensor([[0.1, -1.0, 2.0, -3.0, 4.0, 5.0]], dtype=torch.float64)
    x = rows(3, 6)
    low, high = x.amin(dim=1, keepdim=True), x.amax(dim=1, keepdim=True)
    closed = model.weight.detach().square() * ((high - low).square() / 12 + ((low + high) / 2 - x).square())
    with evaluation_of(model, x, Saliency(), target=0) as evaluation:
        found = expected_change(evaluation.perturbations, EveryFeature(), 2000)
        torch.testing.assert_close(found, closed, rtol=0.1, atol=0)
        metric = MonotonicityCorrelation(draws=2000, partition=EveryFeature())
        for score, expected in zip(metric.per_sample(evaluation), closed, strict=True):
            assert float(score) == pytest.approx(spearmanr(model.weight[0].abs().detach(), expected).statistic)


def test_right_is_one_and_upside_down_is_minus_one_whatever_the_sign():
    with evaluation_of(Picture(), pictures(), "input_x_gradient") as evaluation:
        metric = MonotonicityCorrelation(draws=2)
        change = expected_change(evaluation.perturbations, Grid(), 2)
        signs = torch.tensor([1.0, -1.0]).repeat(18)
        perfect = (change.sqrt() * signs).view(4, 1, 6, 6)
        assert metric.per_sample(with_scores(evaluation, perfect)).tolist() == pytest.approx([1] * 4)
        assert metric.per_sample(with_scores(evaluation, 1 / perfect)).tolist() == pytest.approx([-1] * 4)
    assert metric.perfect("raw") == 1


def test_undefined_samples():
    with evaluation_of(Picture(), pictures(), "input_x_gradient") as evaluation:
        scores = torch.randn(4, 2, 6, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        scores[0], scores[1], scores[2, 0, 1, 1] = 0, 3.0, torch.nan
        found = MonotonicityCorrelation(2).per_sample(with_scores(evaluation, scores))
        assert torch.isnan(found).tolist() == [True, True, True, False]
    # Cells of unequal size: a constant map orders their sums, and says nothing all the same.
    with evaluation_of(Picture(), pictures(size=7), "input_x_gradient") as evaluation:
        flat = with_scores(evaluation, torch.ones(4, 2, 7, 7, dtype=torch.float64))
        assert torch.isnan(MonotonicityCorrelation(2, Grid(2)).per_sample(flat)).all()
    # No region moves the score.
    silent = Linear((6,))
    silent.weight.data.zero_()
    with evaluation_of(silent, rows(4, 6), "input_x_gradient") as evaluation:
        other = with_scores(evaluation, rows(4, 6, seed=9))
        assert torch.isnan(MonotonicityCorrelation(2).per_sample(other)).all()


def test_a_score_of_zero_does_no_harm():
    """Quantus divides by it: an index error of shapes, or a huge number."""
    model = Linear((4,), classes=1)
    model.weight.data = torch.tensor([[1.0, -2.0, 3.0, 4.0]], dtype=torch.float64)
    x = torch.tensor([[1.0, 2.0, 1.0, 0.0]], dtype=torch.float64)
    with evaluation_of(model, x, Saliency(), target=0) as evaluation:
        assert float(evaluation.problem.value) == 0
        assert torch.isfinite(MonotonicityCorrelation(partition=EveryFeature()).per_sample(evaluation)).all()


def test_several_inputs_and_layers():
    with evaluation_of(Pair(), (pictures(), rows()), "input_x_gradient") as evaluation:
        found = MonotonicityCorrelation(2, EveryFeature()).per_sample(evaluation)
        change = expected_change(evaluation.perturbations, EveryFeature(), 2)
        assert change.shape == (4, 41)
        for i in range(4):
            expected = spearmanr(evaluation.scores[i].abs().numpy(), change[i].numpy()).statistic
            assert float(found[i]) == pytest.approx(expected)
    with evaluation_of(Picture(), pictures(), "input_x_gradient", place=Layer("conv")) as evaluation:
        assert float(MonotonicityCorrelation(4).per_sample(evaluation).mean()) > 0.2


def test_random_numbers_are_the_same_at_every_validation_and_not_the_users():
    torch.manual_seed(3)
    with evaluation_of(Picture(), pictures(), "input_x_gradient") as evaluation:
        state = torch.get_rng_state()
        first = MonotonicityCorrelation(2).per_sample(evaluation)
        assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(4)
    with evaluation_of(Picture(), pictures(), "input_x_gradient") as evaluation:
        assert torch.equal(MonotonicityCorrelation(2).per_sample(evaluation), first)


def test_all_methods_share_the_rows(count_rows):
    with count_rows(Picture()) as (model, counted), evaluation_of(model, pictures(), "input_x_gradient") as evaluation:
        spent = counted(evaluation)
        MonotonicityCorrelation().per_sample(evaluation)
        assert spent() == 36 * 8
        MonotonicityCorrelation().per_sample(with_scores(evaluation, -(evaluation.attribution.point[0] ** 2)))
        MonotonicityCorrelation().per_sample(RandomEvaluation(evaluation.perturbations))
        assert spent() == 36 * 8
        MonotonicityCorrelation(draws=1, partition=Grid(2)).per_sample(evaluation)
        assert spent() == 36 * 8 + 4


def test_no_draw_is_refused():
    with pytest.raises(ValueError, match="draws must be at least 1, got 0"):
        MonotonicityCorrelation(draws=0)


def test_quantus_cannot_score_a_sample_whose_score_is_nearly_zero(quantus):
    """It assigns as many inverses as there are samples to the places where the score is not small."""
    model, x = Linear((1, 6, 6)), pictures()[:, :1]
    x[0] = 0
    metric = quantus.MonotonicityCorrelation(nr_samples=2, features_in_step=6, disable_warnings=True)
    with pytest.raises(ValueError, match="cannot assign 4 input values to the 3 output values"):
        quantus_scores(metric, model, x, TARGET, x)
