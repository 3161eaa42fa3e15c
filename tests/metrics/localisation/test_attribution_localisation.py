import warnings

import pytest
import torch

from lightning_explain.metrics import AttributionLocalisation, RelevanceMass
from metrics.evaluations import Picture, evaluation_of, pictures


def by_hand(scores, mask):
    """mu and mu_w of the paper, number by number."""
    inside = total = 0.0
    size = 0
    for value, marked in zip(scores, mask, strict=True):
        if value > 0:
            total += value
            inside += value if marked else 0.0
        size += marked
    ratio = inside / total
    return ratio, ratio * len(scores) / size


@pytest.fixture
def masked():
    mask = torch.zeros(4, 6, 6, dtype=torch.bool)
    for i in range(4):
        mask[i, i : i + 2, 1:5] = True
    with evaluation_of(Picture(), pictures(), "input_x_gradient", of={"mask": mask.flatten(1)}) as evaluation:
        yield evaluation


def test_it_is_the_papers_ratio_plain_and_weighted(masked):
    expected = [by_hand(s.tolist(), m.tolist()) for s, m in zip(masked.scores, masked.mask, strict=True)]
    plain, weighted = AttributionLocalisation(), AttributionLocalisation(weighted=True)
    assert plain.per_sample(masked).tolist() == pytest.approx([ratio for ratio, _ in expected])
    assert weighted.per_sample(masked).tolist() == pytest.approx([ratio for _, ratio in expected])


def test_it_is_relevance_mass_under_another_name(masked):
    for flag in (False, True):
        ours = AttributionLocalisation(weighted=flag).per_sample(masked)
        assert torch.equal(ours, RelevanceMass(enrichment=flag).per_sample(masked))


def test_quantus_weighs_by_the_size_of_the_batch(masked, quantus):
    scores, mask, x = masked.scores, masked.mask, masked.problem.inputs
    given = {"a_batch": scores.clamp(min=0).numpy(), "s_batch": mask.numpy(), "x_batch": x.sum(dim=1).numpy()}
    plain = quantus.AttributionLocalisation(disable_warnings=True).evaluate_batch(**given)
    assert AttributionLocalisation().per_sample(masked).tolist() == pytest.approx(plain.tolist(), rel=1e-6)
    # S_in / (numbers in the samples from the third on), where the paper has S_tot / S_in.
    weighted = quantus.AttributionLocalisation(weighted=True, max_size=9.0, disable_warnings=True)
    theirs = weighted.evaluate_batch(**given)
    assert theirs.tolist() == pytest.approx((plain * mask.sum(dim=1).numpy() / (2 * 36)).tolist())
    two = {name: array[:2] for name, array in given.items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert weighted.evaluate_batch(**two).tolist() == [float("inf")] * 2
