from itertools import pairwise, permutations

import pytest
import torch

from lightning_explain import Input, ProbeSet, Saliency
from lightning_explain.metrics import TopKIntersection
from lightning_explain.metrics.localisation.top_k_intersection import top_k_intersection
from metrics.evaluations import Pair, Picture, evaluation_of, pictures, rows


def by_hand(scores, mask, k):
    """Sort in every order that ties allow; count what is marked among the first k."""
    shares = []
    for order in permutations(range(len(scores))):
        falling = all(scores[a] >= scores[b] for a, b in pairwise(order))
        if falling:
            shares.append(sum(mask[i] for i in order[:k]) / k)
    return sum(shares) / len(shares)


@pytest.mark.parametrize("k", [1, 2, 3, 6])
@pytest.mark.parametrize("digits", [0, 6])
def test_it_is_the_mean_over_all_orders_that_ties_allow(k, digits):
    generator = torch.Generator().manual_seed(3)
    scores = torch.randn(6, 6, generator=generator).round(decimals=digits)
    mask = torch.rand(6, 6, generator=generator) < 0.5
    mask[:, 1] = True
    expected = [by_hand(s.tolist(), m.tolist(), k) for s, m in zip(scores, mask, strict=True)]
    assert top_k_intersection(scores, mask, k).tolist() == pytest.approx(expected)


def test_all_features_lie_inside_by_the_share_of_the_area():
    scores = torch.randn(3, 8, generator=torch.Generator().manual_seed(0))
    mask = torch.arange(8).expand(3, 8) < torch.tensor([[2], [4], [8]])
    assert top_k_intersection(scores, mask, 8).tolist() == [0.25, 0.5, 1]


@pytest.mark.parametrize(("share", "number"), [(0.02, 1), (0.25, 9), (1 / 3, 12), (1.0, 36)])
def test_a_share_is_a_number_of_the_features(share, number):
    mask = torch.rand(4, 36, generator=torch.Generator().manual_seed(0)) < 0.4
    with evaluation_of(Picture(), pictures(), of={"mask": mask}) as evaluation:
        expected = top_k_intersection(evaluation.scores, mask, number)
        assert torch.equal(TopKIntersection(k=share).per_sample(evaluation), expected)
        assert torch.equal(TopKIntersection(k=number).per_sample(evaluation), expected)


def test_the_default_is_the_share_of_the_paper():
    assert round(TopKIntersection().k * 224 * 224) == pytest.approx(1000, rel=0.01)


@pytest.mark.parametrize("k", [0, -3, 0.0, 1.5, True, float("nan")])
def test_what_is_neither_a_number_nor_a_share_is_refused(k):
    with pytest.raises(ValueError, match=r"k is a number of features \(an integer from 1\) or a share"):
        TopKIntersection(k=k)


def test_more_features_than_there_are_do_not_apply():
    x = pictures()
    probe = ProbeSet.from_tensors(x, target=0, mask=x[:, 0] > 0)
    assert TopKIntersection(k=36).missing(Saliency(), Input(), probe) is None
    assert "k=37 features are asked for, the input has 36" in TopKIntersection(k=37).missing(Saliency(), Input(), probe)
    assert TopKIntersection(k=37).missing(Saliency(), Input(channel_dim=None), probe) is None
    both = ProbeSet.from_tensors((x, rows()), target=0, mask=x[:, 0] > 0)
    assert TopKIntersection(k=41).missing(Saliency(), Input(), both) is None
    with pytest.raises(ValueError, match="k must be from 1 to the number of features, 36, got 37"):
        top_k_intersection(torch.zeros(2, 36), torch.ones(2, 36, dtype=torch.bool), 37)


def test_several_inputs_stand_in_one_line():
    mask = torch.zeros(4, 41, dtype=torch.bool)
    mask[:, :20] = True
    with evaluation_of(Pair(), (pictures(), rows()), of={"mask": mask}) as evaluation:
        scores = evaluation.scores
        top = scores.argsort(dim=1, descending=True)[:, :4]
        expected = (top < 20).double().mean(dim=1)
        assert torch.equal(TopKIntersection(k=0.1).per_sample(evaluation), expected)


def test_quantus_agrees_where_there_are_no_ties(quantus):
    generator = torch.Generator().manual_seed(2)
    scores, mask = torch.randn(9, 40, generator=generator), torch.rand(9, 40, generator=generator) < 0.4
    for influence in (False, True):
        oracle = quantus.TopKIntersection(k=7, concept_influence=influence, disable_warnings=True)
        theirs = oracle.evaluate_batch(a_batch=scores.numpy(), s_batch=mask.numpy())
        ours = TopKIntersection(k=7, enrichment=influence).inside(scores, mask)
        assert ours.tolist() == pytest.approx(theirs.tolist())
