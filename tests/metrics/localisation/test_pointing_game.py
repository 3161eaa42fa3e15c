import math

import pytest
import torch

from lightning_explain import Input
from lightning_explain.metrics import PointingGame
from lightning_explain.metrics.localisation.pointing_game import dilated, pointing_game
from metrics.evaluations import Pair, Picture, evaluation_of, pictures, rows, with_scores


def by_hand(scores, mask):
    """Everyone who is at the top may be pointed at; how often is it inside?"""
    top = max(scores)
    candidates = [i for i, value in enumerate(scores) if value == top]
    return sum(mask[i] for i in candidates) / len(candidates)


def near(region, radius):
    """Measure the distance of every position to every position of the region."""
    marked = region.nonzero().tolist()
    result = torch.zeros_like(region)
    for position in torch.ones_like(region).nonzero().tolist():
        result[tuple(position)] = any(math.dist(position, other) <= radius for other in marked)
    return result


@pytest.mark.parametrize("digits", [0, 6])
def test_the_highest_is_inside_or_not(digits):
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(40, 12, generator=generator).round(decimals=digits)
    mask = torch.rand(40, 12, generator=generator) < 0.4
    mask[:, 0] = True
    expected = [by_hand(s.tolist(), m.tolist()) for s, m in zip(scores, mask, strict=True)]
    got = pointing_game(scores, mask)
    assert got.tolist() == pytest.approx(expected)
    assert bool(((got > 0) & (got < 1)).any()) == (digits == 0)  # in between only where there are ties


def test_signs_count():
    scores = torch.tensor([[-5.0, 1.0, 2.0], [-5.0, -1.0, -2.0]])
    assert pointing_game(scores, torch.tensor([[False, False, True], [False, True, False]])).tolist() == [1, 1]


@pytest.mark.parametrize("radius", [0, 0.5, 1, 1.5, 2.3, 3, 40])
@pytest.mark.parametrize("dims", [(9,), (6, 9), (3, 4, 5)])
def test_dilation_is_by_euclidean_distance(dims, radius):
    region = torch.rand(3, *dims, generator=torch.Generator().manual_seed(1)) < 0.06
    region[0] = False
    region[1].view(-1)[2] = True
    expected = torch.stack([near(one, radius) for one in region])
    assert torch.equal(dilated(region, radius), expected)
    assert not expected[0].any()
    assert expected[1].any()


def test_what_is_nearly_inside_counts_within_the_tolerance():
    mask = torch.zeros(4, 6, 6, dtype=torch.bool)
    mask[:, 2, 2] = True
    scores = torch.zeros(4, 1, 6, 6)
    for i, (row, column) in enumerate([(2, 2), (3, 2), (3, 3), (2, 5)]):
        scores[i, 0, row, column] = 1
    with evaluation_of(Picture(), pictures(), of={"mask": mask.flatten(1)}) as evaluation:
        pointed = with_scores(evaluation, scores)
        for tolerance, expected in ((0, [1, 0, 0, 0]), (1, [1, 1, 0, 0]), (1.5, [1, 1, 1, 0]), (3, [1, 1, 1, 1])):
            assert PointingGame(tolerance).per_sample(pointed).tolist() == expected
        # With what is tolerated, 5 of 36 pixels are inside.
        assert PointingGame(1, enrichment=True).per_sample(pointed).tolist() == pytest.approx([7.2, 7.2, 0, 0])


def test_tolerance_stays_within_an_input_and_a_sample():
    mask = torch.zeros(4, 36 + 5, dtype=torch.bool)
    mask[0, 35], mask[1:, 0] = True, True
    with evaluation_of(Pair(), (pictures(), rows()), of={"mask": mask}) as evaluation:
        region = PointingGame(tolerance=2).region(mask, evaluation)
    assert region.shape == mask.shape
    assert not region[:, 36:].any()
    assert torch.equal(region[0, :36].view(6, 6), near(mask[0, :36].view(6, 6), 2))
    assert torch.equal(region[1, :36], region[2, :36])


def test_every_element_may_be_a_feature():
    mask = torch.zeros(4, 72, dtype=torch.bool)
    mask[:, :36] = True
    place = Input(channel_dim=None)
    with evaluation_of(Picture(), pictures(), "input_x_gradient", place=place, of={"mask": mask}) as evaluation:
        expected = [by_hand(s.tolist(), m.tolist()) for s, m in zip(evaluation.scores, mask, strict=True)]
        assert PointingGame().per_sample(evaluation).tolist() == expected
        assert PointingGame(tolerance=1).per_sample(evaluation).shape == (4,)


def test_a_negative_tolerance_is_refused():
    with pytest.raises(ValueError, match="tolerance is a number of positions, at least 0, got -1"):
        PointingGame(tolerance=-1)


def test_quantus_agrees_where_there_are_no_ties_and_calls_an_empty_mask_a_hit(quantus):
    generator = torch.Generator().manual_seed(2)
    scores, mask = torch.randn(30, 20, generator=generator), torch.rand(30, 20, generator=generator) < 0.4
    mask[0] = False
    oracle = quantus.PointingGame(disable_warnings=True)
    theirs = oracle.evaluate_batch(a_batch=scores.numpy(), s_batch=mask.numpy())
    ours = pointing_game(scores, mask)
    assert ours[1:].tolist() == theirs[1:].tolist()
    assert bool(theirs[0]) is True  # NaN, put into an array of booleans
    assert math.isnan(ours[0])


def test_quantus_calls_any_tied_maximum_inside_a_hit(quantus):
    scores, mask = torch.zeros(2, 9), torch.arange(9).expand(2, 9) == 4
    theirs = quantus.PointingGame(disable_warnings=True).evaluate_batch(a_batch=scores.numpy(), s_batch=mask.numpy())
    assert theirs.tolist() == [True, True]
    assert pointing_game(scores, mask).tolist() == pytest.approx([1 / 9] * 2)
