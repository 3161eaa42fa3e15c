import pytest
import torch
from scipy.stats import spearmanr

from lightning_explain.metrics import Drift, DriftFromBest
from metrics.evaluations import Pair, Picture, evaluation_of, pictures, rows


def by_hand(now, before):
    """1 - Spearman over the features of which either is not zero, feature by feature."""
    pairs = [(float(a), float(b)) for a, b in zip(now, before, strict=True) if a != 0 or b != 0]
    return 1 - spearmanr(*zip(*pairs, strict=True)).statistic


@pytest.mark.parametrize("method", ["saliency", "input_x_gradient", "grad_cam"])
def test_drift_is_one_minus_the_rank_correlation_with_the_maps_before(method):
    x = pictures()
    x[:, :, :2] = 0  # a border that input x gradient makes zero in every map
    with evaluation_of(Picture(seed=1), x, method) as evaluation:
        before = evaluation.scores.cpu()
    with evaluation_of(Picture(seed=2), x, method, of={"previous": before}) as evaluation:
        got = Drift().per_sample(evaluation)
        now = evaluation.scores
    expected = [by_hand(now[i], before[i]) for i in range(len(x))]
    torch.testing.assert_close(got, torch.tensor(expected, dtype=torch.float64), equal_nan=True)
    assert float(got.min()) > 0.01


def test_channels_are_summed_and_inputs_stand_in_one_line():
    inputs = pictures(), rows()
    with evaluation_of(Pair(1), inputs, "input_x_gradient") as evaluation:
        before = evaluation.scores
        image, row = evaluation.attribution.point
        assert before.shape == (4, 36 + 5)
        torch.testing.assert_close(before, torch.cat([image.sum(dim=1).flatten(1), row], dim=1))
    with evaluation_of(Pair(2), inputs, "input_x_gradient", of={"previous": before}) as evaluation:
        got, now = Drift().per_sample(evaluation), evaluation.scores
    expected = [by_hand(now[i], before[i]) for i in range(4)]
    torch.testing.assert_close(got, torch.tensor(expected, dtype=torch.float64))


def test_the_same_model_has_drifted_by_exactly_nothing():
    with evaluation_of(Picture(), pictures()) as evaluation:
        before = evaluation.scores.float()
    with evaluation_of(Picture(), pictures(), of={"previous": before}) as evaluation:
        got = Drift().per_sample(evaluation)
    assert got.abs().max() < 1e-12
    assert bool((got >= 0).all())


def test_drift_from_best_looks_at_the_best_validation_alone():
    x = pictures()
    with evaluation_of(Picture(seed=1), x, "input_x_gradient") as evaluation:
        best = evaluation.scores.cpu()
    with evaluation_of(Picture(seed=2), x, "input_x_gradient") as evaluation:
        previous = evaluation.scores.cpu()
    of = {"best": best, "previous": previous}
    with evaluation_of(Picture(seed=3), x, "input_x_gradient", of=of) as evaluation:
        got, now = DriftFromBest().per_sample(evaluation), evaluation.scores
        before = Drift().per_sample(evaluation)
    for found, compared in ((got, best), (before, previous)):
        expected = [by_hand(now[i], compared[i]) for i in range(len(x))]
        torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64))
    assert not torch.allclose(got, before)


@pytest.mark.parametrize(("metric", "field"), [(Drift, "previous"), (DriftFromBest, "best")])
def test_from_the_same_order_to_the_opposite(metric, field):
    with evaluation_of(Picture(), pictures(), "input_x_gradient") as evaluation:
        scores = evaluation.scores
    constant = torch.ones_like(scores)
    for maps, expected in (
        (scores.exp() - 1, 0),
        (-scores, 2),
        (constant, torch.nan),
        (constant * torch.nan, torch.nan),
    ):
        with evaluation_of(Picture(), pictures(), "input_x_gradient", of={field: maps}) as evaluation:
            assert metric().per_sample(evaluation).tolist() == pytest.approx([expected] * 4, nan_ok=True)


@pytest.mark.parametrize("metric", [Drift(), DriftFromBest()])
def test_without_maps_before_it_is_undefined(metric):
    with evaluation_of(Picture(), pictures()) as evaluation:
        metric.update(evaluation)
    score = metric.score()
    assert (score.n, score.undefined) == (0, 4)
    assert torch.isnan(metric.compute())
    assert metric.higher_is_better is None
