import math

import pytest
import torch
from scipy.stats import entropy

from lightning_explain.metrics import Complexity
from lightning_explain.metrics.complexity.complexity import complexity
from metrics.evaluations import Pair, evaluation_of, pictures, rows


def by_hand(scores):
    sizes = [abs(value) for value in scores]
    shares = [size / sum(sizes) for size in sizes]
    return sum(share * math.log(1 / share) for share in shares if share)


@pytest.fixture
def maps():
    return torch.randn(7, 25, generator=torch.Generator().manual_seed(0), dtype=torch.float64).round(decimals=1)


def test_it_is_the_entropy_of_the_magnitudes(maps):
    assert complexity(maps).tolist() == pytest.approx([by_hand(row.tolist()) for row in maps])
    assert complexity(maps).tolist() == pytest.approx(entropy(maps.abs().numpy(), axis=1).tolist())


def test_from_one_alone_to_equal():
    maps = torch.zeros(3, 16)
    maps[0, 3], maps[1, :4], maps[2] = -7, -1, 0.1
    assert complexity(maps).tolist() == pytest.approx([0, math.log(4), math.log(16)])
    assert complexity(maps, normalize=True).tolist() == pytest.approx([0, 0.5, 1])


def test_neither_units_nor_signs_nor_order_matter(maps):
    for same in (maps * 1e-200, maps * 1e200, -maps, maps.flip(1)):
        torch.testing.assert_close(complexity(same), complexity(maps))


def test_undefined_samples_are_nan():
    scores = torch.tensor([[0.0, 0.0], [torch.nan, 1.0], [torch.inf, 1.0], [0.0, 1e-40]])
    for normalize in (False, True):
        assert complexity(scores, normalize=normalize).isnan().tolist() == [True, True, True, False]
    assert complexity(torch.ones(2, 1)).tolist() == [0, 0]
    assert complexity(torch.ones(2, 1), normalize=True).isnan().all()  # one feature has no less and no more


@pytest.mark.parametrize("normalize", [False, True])
def test_features_are_positions_of_all_inputs(normalize):
    with evaluation_of(Pair(), (pictures(), rows()), "input_x_gradient") as evaluation:
        expected = [by_hand(row.tolist()) / (math.log(41) if normalize else 1) for row in evaluation.scores]
        assert Complexity(normalize).per_sample(evaluation).tolist() == pytest.approx(expected)


def test_quantus_agrees_and_changes_what_it_is_given(maps, quantus):
    given = maps.abs().numpy().copy()
    theirs = quantus.Complexity(disable_warnings=True).evaluate_batch(a_batch=given, x_batch=maps[:, None].numpy())
    assert complexity(maps).tolist() == pytest.approx(list(theirs), abs=1e-5)
    assert given.sum() == pytest.approx(7)  # shares of each map stand where its attributions stood
    before = maps.clone()
    complexity(maps)
    assert torch.equal(maps, before)
