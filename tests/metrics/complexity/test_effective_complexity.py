import pytest
import torch

from lightning_explain.metrics import EffectiveComplexity
from lightning_explain.metrics.complexity.effective_complexity import effective_complexity
from metrics.evaluations import Pair, Picture, evaluation_of, pictures, rows


def by_hand(scores, threshold):
    largest = max(abs(value) for value in scores)
    return len([value for value in scores if abs(value) / largest > threshold])


@pytest.fixture
def maps():
    return torch.randn(7, 25, generator=torch.Generator().manual_seed(0), dtype=torch.float64) ** 3


@pytest.mark.parametrize("threshold", [0.0, 0.01, 0.5, 0.99])
def test_it_counts_what_is_worth_mentioning(maps, threshold):
    maps[:, :5] = 0
    expected = [by_hand(row.tolist(), threshold) for row in maps]
    assert effective_complexity(maps, threshold).tolist() == expected
    assert min(expected) >= 1
    assert max(expected) <= 20


def test_neither_units_nor_signs_matter(maps):
    for same in (maps * 1e-200, maps * 1e200, -maps):
        assert torch.equal(effective_complexity(same), effective_complexity(maps))


def test_undefined_samples_are_nan():
    scores = torch.tensor([[0.0, 0.0], [torch.nan, 1.0], [torch.inf, 1.0], [0.0, 1e-40]])
    assert effective_complexity(scores).isnan().tolist() == [True, True, True, False]


def test_as_a_share_and_as_a_number():
    with evaluation_of(Pair(), (pictures(), rows()), "input_x_gradient") as evaluation:
        numbers = [by_hand(row.tolist(), 0.2) for row in evaluation.scores]
        assert EffectiveComplexity(0.2, share=False).per_sample(evaluation).tolist() == numbers
        shares = EffectiveComplexity(threshold=0.2).per_sample(evaluation).tolist()
    assert shares == pytest.approx([number / 41 for number in numbers])


@pytest.mark.parametrize("threshold", [-0.1, 1, float("nan")])
def test_no_share_of_the_largest_is_refused(threshold):
    with pytest.raises(ValueError, match=r"share of each map's largest magnitude, in \[0, 1\), got"):
        EffectiveComplexity(threshold=threshold)


def test_quantus_lets_one_sample_change_the_others(maps, quantus):
    model, x = Picture().float().eval(), pictures(7, 5).float()
    given = maps.float().view(7, 1, 5, 5).numpy()
    scaled = given.copy()
    scaled[0] *= 1e6
    y = torch.zeros(7, dtype=torch.long).numpy()

    def theirs(attributions):
        oracle = quantus.EffectiveComplexity(disable_warnings=True)
        return oracle(model=model, x_batch=x.numpy(), y_batch=y, a_batch=attributions.copy())

    assert min(theirs(given)[1:]) >= 20
    assert max(theirs(scaled)[1:]) < 20
    ours, ours_scaled = (effective_complexity(torch.from_numpy(a).flatten(1)) for a in (given, scaled))
    assert torch.equal(ours, ours_scaled)
