"""What does not fit together is refused, where broadcasting would make numbers of it."""

import pytest
import torch

from lightning_explain.metrics.axiomatic.completeness import completeness_gap
from lightning_explain.metrics.axiomatic.non_sensitivity import non_sensitivity
from lightning_explain.metrics.complexity.complexity import complexity
from lightning_explain.metrics.complexity.degenerate import is_degenerate
from lightning_explain.metrics.complexity.effective_complexity import effective_complexity
from lightning_explain.metrics.complexity.sparseness import sparseness
from lightning_explain.metrics.correlation import pearson
from lightning_explain.metrics.faithfulness.confidence import average_drop, increase_in_confidence, soft_mask
from lightning_explain.metrics.faithfulness.infidelity import infidelity
from lightning_explain.metrics.faithfulness.monotonicity import rising_steps
from lightning_explain.metrics.faithfulness.pixel_flipping import pixel_flipping
from lightning_explain.metrics.faithfulness.rationale import mean_drop
from lightning_explain.metrics.faithfulness.region_perturbation import aopc
from lightning_explain.metrics.faithfulness.sensitivity_n import sensitivity_n
from lightning_explain.metrics.localisation.localisation_auc import localisation_auc
from lightning_explain.metrics.localisation.pointing_game import pointing_game
from lightning_explain.metrics.localisation.relevance_mass import relevance_mass
from lightning_explain.metrics.localisation.relevance_rank import relevance_rank
from lightning_explain.metrics.localisation.top_k_intersection import top_k_intersection
from lightning_explain.metrics.randomisation.efficient import histogram_entropy, relative_rise
from lightning_explain.metrics.randomisation.random_logit import structural_similarity
from lightning_explain.metrics.ranks import map_similarity, spearman
from lightning_explain.metrics.robustness.changes import difference, elementwise_change, relative_change
from lightning_explain.metrics.robustness.lipschitz import steepness
from lightning_explain.metrics.robustness.noise import worst
from lightning_explain.metrics.robustness.sensitivity import mean_of
from lightning_explain.metrics.shapes import require_alike

REGIONS = [relevance_mass, relevance_rank, localisation_auc, pointing_game, lambda s, m: top_k_intersection(s, m, 2)]


@pytest.mark.parametrize(
    "score",
    [
        infidelity,
        pearson,
        map_similarity,
        non_sensitivity,
        lambda a, b: sensitivity_n(a, b, torch.ones(6)),
        lambda a, b: spearman(a, b, torch.ones_like(a, dtype=torch.bool)),
        lambda a, b: pearson(a, a, b > 0),
        lambda a, b: steepness(a, b),
        lambda a, b: worst(a, b > 0),
        lambda a, b: mean_of(a, b > 0),
    ],
)
@pytest.mark.parametrize("shape", [(4,), (4, 1), (1, 6), (4, 6, 1)])
def test_pairs_of_other_shapes(score, shape):
    """(4, 6) and (1, 6) broadcast; the numbers would be of other samples."""
    with pytest.raises(ValueError, match=r"must have the same shape \(.*\), got .*\(4, 6\) and \("):
        score(torch.ones(4, 6), torch.ones(shape))


@pytest.mark.parametrize("score", [average_drop, increase_in_confidence, relative_rise])
def test_pairs_of_numbers_for_each_sample(score):
    for other in (torch.ones(1), torch.ones(4, 1), torch.ones(())):
        with pytest.raises(ValueError, match=r"must have the same shape \(n,\), got \(4,\) and \("):
            score(torch.ones(4), other)
    with pytest.raises(ValueError, match=r"must have the same shape \(n,\), got \(4, 1\) and \(4, 1\)"):
        score(torch.ones(4, 1), torch.ones(4, 1))
    with pytest.raises(ValueError, match=r"delta and span and size must have the same shape \(n,\)"):
        completeness_gap(torch.ones(4), torch.ones(4), torch.ones(1))
    with pytest.raises(ValueError, match=r"value and left\[:, 0\] must .* shape \(n,\), got \(1,\) and \(4,\)"):
        mean_drop(torch.ones(1), torch.ones(4, 3))


@pytest.mark.parametrize(
    "score",
    [
        complexity,
        sparseness,
        effective_complexity,
        is_degenerate,
        soft_mask,
        histogram_entropy,
        pixel_flipping,
        aopc,
        rising_steps,
    ],
)
def test_maps_that_are_not_flat(score):
    for shape in ((4,), (4, 3, 3)):
        with pytest.raises(ValueError, match=r"^\w+ must have shape \(n, .*\), got \(4"):
            score(torch.ones(shape))


@pytest.mark.parametrize("score", REGIONS)
def test_regions(score):
    scores, mask = torch.rand(4, 9), torch.rand(4, 9) > 0.5
    assert score(scores, mask).shape == (4,)
    with pytest.raises(ValueError, match=r"scores and mask must .* shape \(n, D\), got \(4, 9\) and \(4, 3, 3\)"):
        score(scores, mask.view(4, 3, 3))
    with pytest.raises(ValueError, match=r"got \(4, 3, 3\) and \(4, 3, 3\)"):
        score(scores.view(4, 3, 3), mask.view(4, 3, 3))
    with pytest.raises(ValueError, match=r"got \(4, 9\) and \(1, 9\)"):
        score(scores, mask[:1])
    with pytest.raises(TypeError, match=r"mask must be boolean, .*, got torch.float32; write mask > 0"):
        score(scores, mask.float())


@pytest.mark.parametrize("change", [difference, relative_change, lambda a, b: elementwise_change(a, b, 0.1)])
def test_points(change):
    with pytest.raises(ValueError, match=r"tensors of the same shapes \(n, ...\), got \[\(4, 2\)\] and \[\(1, 2\)\]"):
        change((torch.ones(4, 2),), (torch.ones(1, 2),))
    with pytest.raises(ValueError, match="tensors of the same shapes"):
        change((torch.ones(4, 2),), (torch.ones(4, 2), torch.ones(4, 2)))


def test_maps_for_structural_similarity_are_laid_out():
    with pytest.raises(ValueError, match=r"shape \(n, height, width\), got \(2, 9\) and \(2, 9\)"):
        structural_similarity(torch.rand(2, 9), torch.rand(2, 9))


def test_what_is_no_tensor():
    with pytest.raises(TypeError, match=r"mask must be a tensor of shape \(n, D\), got list"):
        require_alike("(n, D)", scores=torch.ones(1, 2), mask=[[1, 2]])
