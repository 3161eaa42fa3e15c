import pytest
import torch

from lightning_explain.metrics import Sparseness
from lightning_explain.metrics.complexity.sparseness import sparseness
from metrics.evaluations import Pair, Picture, evaluation_of, pictures, rows, with_scores


def by_hand(scores):
    """Half the mean difference between any two magnitudes, over their mean: how the index was first defined."""
    sizes = [abs(value) for value in scores]
    pairs = [abs(a - b) for a in sizes for b in sizes]
    return sum(pairs) / len(pairs) / 2 / (sum(sizes) / len(sizes))


@pytest.fixture
def maps():
    return torch.randn(7, 25, generator=torch.Generator().manual_seed(0)).round(decimals=1)


def test_it_is_half_the_relative_mean_difference(maps):
    assert sparseness(maps).tolist() == pytest.approx([by_hand(row.tolist()) for row in maps])


def test_from_equal_to_one_alone():
    one = torch.zeros(8)
    one[3] = -2
    two = torch.zeros(8)
    two[[0, 7]] = 1
    assert sparseness(torch.stack([torch.full((8,), -0.1), two, one])).tolist() == pytest.approx([0, 0.75, 0.875])
    assert float(sparseness(torch.full((1, 1000), 0.1))) == 0  # not a rounding error below


def test_neither_units_nor_signs_nor_order_matter(maps):
    expected = sparseness(maps)
    for same in (maps * 1e-20, maps * 1e30, -maps, maps.abs(), maps.flip(1)):
        torch.testing.assert_close(sparseness(same), expected, rtol=1e-6, atol=0)


def test_undefined_samples_are_nan():
    scores = torch.tensor([[0.0, 0.0], [torch.nan, 1.0], [torch.inf, 1.0], [0.0, 1e-40]])
    assert sparseness(scores).isnan().tolist() == [True, True, True, False]


def test_samples_do_not_look_at_each_other(maps):
    scaled = maps.clone()
    scaled[0] *= 1e6
    torch.testing.assert_close(sparseness(scaled)[1:], sparseness(maps)[1:], rtol=0, atol=0)


def test_features_are_positions_of_all_inputs():
    with evaluation_of(Pair(), (pictures(), rows()), "input_x_gradient") as evaluation:
        expected = [by_hand(row.tolist()) for row in evaluation.scores]
        assert evaluation.scores.shape == (4, 41)
        assert Sparseness().per_sample(evaluation).tolist() == pytest.approx(expected)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_low_precision_maps_are_scored_in_float64(dtype):
    with evaluation_of(Picture(), pictures()) as evaluation:
        low = evaluation.attribution.point[0][:, :1].to(dtype)
        got = Sparseness().per_sample(with_scores(evaluation, low))
        assert torch.equal(got, Sparseness().per_sample(with_scores(evaluation, low.double())))


def test_quantus_agrees(maps, quantus):
    oracle = quantus.Sparseness(disable_warnings=True)
    theirs = oracle.evaluate_batch(a_batch=maps.abs().double().numpy(), x_batch=maps[:, None].numpy())
    assert sparseness(maps).tolist() == pytest.approx(list(theirs), abs=1e-6)
