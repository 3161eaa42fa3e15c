import pytest
import torch

from lightning_explain.metrics import LocalisationAUC
from lightning_explain.metrics.localisation.localisation_auc import localisation_auc
from metrics.evaluations import Pair, evaluation_of, pictures, rows


def by_hand(scores, mask):
    """Compare every feature inside with every feature outside."""
    inside = [value for value, marked in zip(scores, mask, strict=True) if marked]
    outside = [value for value, marked in zip(scores, mask, strict=True) if not marked]
    wins = sum((a > b) + (a == b) / 2 for a in inside for b in outside)
    return wins / (len(inside) * len(outside))


@pytest.fixture(params=[0, 6])
def maps(request):
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(8, 30, generator=generator).round(decimals=request.param)
    return scores, torch.rand(8, 30, generator=generator) < torch.linspace(0.1, 0.9, 8)[:, None]


def test_it_is_how_often_inside_beats_outside(maps):
    expected = [by_hand(s.tolist(), m.tolist()) for s, m in zip(*maps, strict=True)]
    assert localisation_auc(*maps).tolist() == pytest.approx(expected)


def test_it_is_the_roc_auc_of_scikit_learn(maps):
    metrics = pytest.importorskip("sklearn.metrics")
    expected = [metrics.roc_auc_score(m.numpy(), s.numpy()) for s, m in zip(*maps, strict=True)]
    assert localisation_auc(*maps).tolist() == pytest.approx(expected)


def test_perfect_turned_round_and_constant():
    mask = torch.arange(10).expand(3, 10) >= 7
    rising = torch.arange(10.0)
    assert localisation_auc(torch.stack([rising, -rising, torch.ones(10)]), mask).tolist() == [1, 0, 0.5]


def test_only_the_order_counts(maps):
    scores, mask = maps
    assert torch.equal(localisation_auc(scores, mask), localisation_auc(scores.exp() * 1e-3, mask))


def test_undefined_where_there_is_no_outside():
    scores = torch.randn(2, 5, generator=torch.Generator().manual_seed(0))
    got = localisation_auc(scores, torch.tensor([[True] * 5, [True] * 4 + [False]]))
    assert got.isnan().tolist() == [True, False]


def test_many_ties_do_not_overflow():
    scores = torch.zeros(2, 200_000)
    scores[:, :100] = 1
    mask = torch.zeros(2, 200_000, dtype=torch.bool)
    mask[0, :100], mask[1, 50:150_000] = True, True
    expected = torch.tensor([1.0, by_counting(50, 149_900, 50, 50_000)], dtype=torch.float64)
    torch.testing.assert_close(localisation_auc(scores, mask), expected, atol=1e-14, rtol=0)


def by_counting(ones_in, zeros_in, ones_out, zeros_out):
    wins = ones_in * zeros_out + (ones_in * ones_out + zeros_in * zeros_out) / 2
    return wins / ((ones_in + zeros_in) * (ones_out + zeros_out))


def test_other_inputs_are_outside():
    mask = torch.zeros(4, 41, dtype=torch.bool)
    mask[:, 10:30] = True
    with evaluation_of(Pair(), (pictures(), rows()), "input_x_gradient", of={"mask": mask}) as evaluation:
        expected = [by_hand(s.tolist(), m.tolist()) for s, m in zip(evaluation.scores, mask, strict=True)]
        assert LocalisationAUC().per_sample(evaluation).tolist() == pytest.approx(expected)
