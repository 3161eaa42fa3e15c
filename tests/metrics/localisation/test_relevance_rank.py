import pytest
import torch

from lightning_explain.metrics import RelevanceRank
from lightning_explain.metrics.localisation.relevance_rank import hits, relevance_rank
from metrics.evaluations import Picture, evaluation_of, pictures, with_scores


def by_hand(scores, mask, trials=4000, seed=0):
    """Break ties at random, many times, and count the K highest that are marked."""
    generator = torch.Generator().manual_seed(seed)
    size, found = int(mask.sum()), 0
    for _ in range(trials):
        shuffled = torch.randperm(len(scores), generator=generator)
        order = shuffled[scores[shuffled].argsort(descending=True, stable=True)]
        found += int(mask[order[:size]].sum())
    return found / trials / size


@pytest.mark.parametrize("digits", [0, 6])
def test_it_is_the_expected_share_under_random_tie_breaking(digits):
    generator = torch.Generator().manual_seed(1)
    scores = torch.randn(4, 20, generator=generator).round(decimals=digits)
    mask = torch.rand(4, 20, generator=generator) < 0.4
    got = relevance_rank(scores, mask)
    for i in range(4):
        assert float(got[i]) == pytest.approx(by_hand(scores[i], mask[i]), abs=0.02 if digits == 0 else 1e-9)


def test_hits_take_another_number_in_every_sample():
    scores = torch.tensor([[4.0, 3.0, 2.0, 1.0]]).expand(4, 4)
    mask = torch.tensor([[True, False, True, True]]).expand(4, 4)
    assert hits(scores, mask, torch.tensor([1, 2, 3, 4])).tolist() == [1, 1, 2, 3]


def test_undefined_samples_are_nan():
    scores = torch.tensor([[0.0, 0.0], [-1.0, -2.0], [torch.nan, 1.0], [torch.inf, 1.0], [1.0, 3.0], [1.0, 3.0]])
    mask = torch.tensor([[True, False]] * 5 + [[False, False]])
    assert torch.isnan(relevance_rank(scores, mask)).tolist() == [False, False, True, True, False, True]
    assert float(relevance_rank(scores, mask)[0]) == 0.5  # all zero says nothing of where: chance


def test_all_inside_gives_one_over_the_area():
    mask = torch.zeros(4, 36, dtype=torch.bool)
    mask[:, 4:13] = True
    with evaluation_of(Picture(), pictures(), of={"mask": mask}) as evaluation:
        inside = torch.where(mask, 2.0 + torch.arange(36.0), -1.0).view(4, 1, 6, 6)
        assert RelevanceRank().per_sample(with_scores(evaluation, inside)).tolist() == pytest.approx([4] * 4)
        assert RelevanceRank().per_sample(with_scores(evaluation, -inside)).tolist() == pytest.approx([0] * 4)


def test_quantus_lets_the_order_in_memory_decide(quantus):
    """Of a map that says nothing: all that an unstable sort puts first, where ours has chance."""
    scores, first = torch.zeros(1, 16), torch.arange(16)[None] < 2
    oracle = quantus.RelevanceRankAccuracy(disable_warnings=True)
    theirs = [
        float(oracle.evaluate_batch(a_batch=scores.numpy(), s_batch=m.numpy())[0]) for m in (first, first.flip(1))
    ]
    assert sorted(theirs) == [0, 1]
    assert relevance_rank(scores, first).item() == relevance_rank(scores, first.flip(1)).item() == 2 / 16
