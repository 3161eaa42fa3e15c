import pytest
import torch

from lightning_explain.metrics import RelevanceMass
from lightning_explain.metrics.localisation.relevance_mass import relevance_mass
from metrics.evaluations import Pair, Picture, evaluation_of, pictures, rows, with_scores


def by_hand(scores, mask):
    inside = total = 0.0
    for value, marked in zip(scores.tolist(), mask.tolist(), strict=True):
        total += max(value, 0)
        inside += max(value, 0) if marked else 0
    return inside / total


def test_it_is_the_share_of_what_is_positive():
    generator = torch.Generator().manual_seed(0)
    scores, mask = torch.randn(6, 30, generator=generator), torch.rand(6, 30, generator=generator) < 0.3
    expected = [by_hand(*pair) for pair in zip(scores, mask, strict=True)]
    assert relevance_mass(scores, mask).tolist() == pytest.approx(expected)
    assert relevance_mass(scores * 1e-42, mask).tolist() == pytest.approx(expected, rel=0.1)  # denormal numbers
    assert relevance_mass(scores * 1e37, mask).tolist() == pytest.approx(expected)  # whose sum overflows in float32


def test_undefined_samples_are_nan():
    scores = torch.tensor([[0.0, 0.0], [-1.0, -2.0], [torch.nan, 1.0], [torch.inf, 1.0], [1.0, 3.0], [1.0, 3.0]])
    mask = torch.tensor([[True, False]] * 5 + [[False, False]])
    assert torch.isnan(relevance_mass(scores, mask)).tolist() == [True, True, True, True, False, True]


def test_all_inside_gives_one_over_the_area():
    mask = torch.zeros(4, 36, dtype=torch.bool)
    mask[:, 4:13] = True
    with evaluation_of(Picture(), pictures(), of={"mask": mask}) as evaluation:
        inside = torch.where(mask, 2.0 + torch.arange(36.0), -1.0).view(4, 1, 6, 6)
        assert RelevanceMass().per_sample(with_scores(evaluation, inside)).tolist() == pytest.approx([4] * 4)
        assert RelevanceMass().per_sample(with_scores(evaluation, -inside)).tolist() == pytest.approx([0] * 4)


def test_other_inputs_count_as_outside():
    mask = torch.zeros(4, 36 + 5, dtype=torch.bool)
    mask[:, :12] = True
    with evaluation_of(Pair(), (pictures(), rows()), of={"mask": mask}) as evaluation:
        got = RelevanceMass().per_sample(evaluation)
        shares = [by_hand(evaluation.scores[i], mask[i]) for i in range(4)]
    assert got.tolist() == pytest.approx([s * 41 / 12 for s in shares])


def test_quantus_adds_up_signed_numbers_and_leaves_the_range(quantus):
    scores = torch.randn(6, 36, generator=torch.Generator().manual_seed(0))
    mask = torch.rand(6, 36, generator=torch.Generator().manual_seed(1)) < 0.4
    oracle = quantus.RelevanceMassAccuracy(disable_warnings=True)
    theirs = oracle.evaluate_batch(a_batch=scores.numpy(), s_batch=mask.numpy())
    assert min(theirs) < 0 or max(theirs) > 1
    ours = relevance_mass(scores, mask)
    assert bool(((ours > 0) & (ours < 1)).all())
    positive = oracle.evaluate_batch(a_batch=scores.clamp(min=0).numpy(), s_batch=mask.numpy())
    assert ours.tolist() == pytest.approx(list(positive), rel=1e-5)
