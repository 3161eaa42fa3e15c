import random

import captum.attr
import pytest
import torch

from lightning_explain.captum.attr._utils.baselines import ProductBaselines

NAMED = {"hue": ["red", "blue"], ("x", "y"): [(0, 1), (2, 3), (4, 5)]}


def test_every_combination_comes_and_no_other():
    baselines = ProductBaselines([[1, 2], [3, 4, 5]])
    drawn = {tuple(baselines()) for _ in range(200)}
    assert drawn == {(a, b) for a in (1, 2) for b in (3, 4, 5)}


def test_values_are_drawn_evenly():
    baselines = ProductBaselines([[0, 1, 2]])
    counts = torch.tensor([baselines()[0] for _ in range(3000)]).bincount()
    assert (counts - 1000).abs().max() < 110  # about four standard deviations


def test_names_drawn_together_stay_together():
    baselines = ProductBaselines(NAMED)
    drawn = [baselines() for _ in range(50)]
    assert all(set(one) == {"hue", "x", "y"} and one["y"] == one["x"] + 1 for one in drawn)
    assert {one["x"] for one in drawn} == {0, 2, 4}
    assert set(captum.attr.ProductBaselines(NAMED)()) == set(drawn[0])


def test_the_seed_of_torch_chooses_and_no_random_numbers_of_the_user_are_taken():
    drawn = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        before = random.getstate(), torch.get_rng_state()
        baselines = ProductBaselines([list(range(100))])
        drawn.append([baselines() for _ in range(5)])
        assert random.getstate() == before[0]
        assert torch.equal(torch.get_rng_state(), before[1])
    assert drawn[0] == drawn[1] != drawn[2]


def test_nothing_to_draw_from():
    with pytest.raises(ValueError, match=r"at least one value"):
        ProductBaselines([[1], []])
