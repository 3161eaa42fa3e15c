"""What all scores of a region have in common."""

import pytest
import torch

from lightning_explain import GradCAM, Input, Layer, ProbeSet, Saliency
from lightning_explain.metrics import METRICS
from lightning_explain.metrics.evaluation import RandomEvaluation
from lightning_explain.metrics.localisation.region import RegionMetric, ShareMetric, area_share
from metrics.evaluations import Picture, evaluation_of, pictures, with_scores

REGIONS = [metric for metric in METRICS.values() if issubclass(metric, RegionMetric)]
SHARES = [metric for metric in REGIONS if issubclass(metric, ShareMetric)]


def enriched(metric, **settings):
    """The same score divided by the area, whatever the parameter is called."""
    return metric(**{"weighted" if metric.name == "attribution_localisation" else "enrichment": True}, **settings)


def plain(metric):
    return metric(**{"weighted" if metric.name == "attribution_localisation" else "enrichment": False})


def test_which_they_are():
    assert {metric.name for metric in REGIONS} == {
        "attribution_localisation",
        "localisation_auc",
        "pointing_game",
        "relevance_mass",
        "relevance_rank",
        "top_k_intersection",
    }
    assert [metric.name for metric in REGIONS if metric not in SHARES] == ["localisation_auc"]


@pytest.mark.parametrize("metric", SHARES)
def test_shares_are_divided_by_the_share_of_the_area(metric):
    mask = torch.zeros(4, 6, 6, dtype=torch.bool)
    for i in range(4):
        mask[i, : i + 1, 1:4] = True
    with evaluation_of(Picture(), pictures(), "input_x_gradient", of={"mask": mask.flatten(1)}) as evaluation:
        shares, divided = (scorer.per_sample(evaluation).tolist() for scorer in (plain(metric), enriched(metric)))
    assert all(0 <= share <= 1 for share in shares)
    assert divided == pytest.approx([share * 36 / (3 * (i + 1)) for i, share in enumerate(shares)], abs=1e-12)


@pytest.mark.parametrize("metric", SHARES)
@pytest.mark.parametrize("value", [1.0, 0.1, 1e-30])
def test_a_uniform_map_has_enrichment_one(metric, value):
    generator = torch.Generator().manual_seed(0)
    mask = torch.rand(4, 36, generator=generator) < torch.tensor([[0.05], [0.3], [0.5], [0.95]])
    with evaluation_of(Picture(), pictures(), of={"mask": mask}) as evaluation:
        got = enriched(metric).per_sample(with_scores(evaluation, torch.full((4, 1, 6, 6), value)))
    torch.testing.assert_close(got, torch.ones(4, dtype=torch.float64), atol=1e-14, rtol=0)


@pytest.mark.parametrize("metric", REGIONS)
def test_chance_does_not_depend_on_the_size_of_the_mask(metric):
    n, chance = 400, 0.5 if metric.name == "localisation_auc" else 1
    noise = torch.randn(n, 1, 6, 6, generator=torch.Generator().manual_seed(0))
    for size in (2, 9, 30):
        mask = torch.zeros(n, 36, dtype=torch.bool)
        mask[:, :size] = True
        with evaluation_of(Picture(), torch.zeros(n, 2, 6, 6).double(), target=0, of={"mask": mask}) as evaluation:
            scorer = metric() if chance == 0.5 else enriched(metric)
            scorer.update(with_scores(evaluation, noise))
        score = scorer.score()
        assert abs(score.mean - chance) < 3.5 * score.standard_error
        assert score.standard_error < 0.25


@pytest.mark.parametrize("metric", REGIONS)
def test_an_empty_mask_is_undefined_and_counted(metric):
    mask = torch.zeros(4, 36, dtype=torch.bool)
    mask[2, 5] = True
    with evaluation_of(Picture(), pictures(), of={"mask": mask}) as evaluation:
        scorer = metric()
        scorer.update(evaluation)
    assert torch.tensor(scorer.score().per_sample).isnan().tolist() == [True, True, False, True]
    assert (scorer.score().n, scorer.score().undefined) == (1, 3)


@pytest.mark.parametrize("metric", REGIONS)
def test_maps_that_are_not_finite_are_undefined(metric):
    mask = torch.rand(4, 36, generator=torch.Generator().manual_seed(0)) < 0.5
    with evaluation_of(Picture(), pictures(), of={"mask": mask}) as evaluation:
        scores = evaluation.attribution.point[0].clone()
        scores[1, 0, 2, 2], scores[3, 0, 0, 0] = torch.nan, torch.inf
        got = metric().per_sample(with_scores(evaluation, scores))
    assert got.isnan().tolist() == [False, True, False, True]


@pytest.mark.parametrize("metric", REGIONS)
def test_direction_and_perfection_follow_the_region(metric):
    assert metric().higher_is_better is True
    assert metric(artefact=True).higher_is_better is False
    assert metric(artefact=True).perfect("raw") == 0
    with evaluation_of(Picture(), pictures(), of={"mask": torch.arange(36).expand(4, 36) < 9}) as evaluation:
        artefact = metric(artefact=True)
        artefact.update(evaluation)
    assert artefact.score().higher_is_better is False


@pytest.mark.parametrize("metric", SHARES)
def test_no_enrichment_is_perfect(metric):
    assert enriched(metric).perfect("raw") is None
    assert plain(metric).perfect("raw") == (None if metric.name == "top_k_intersection" else 1)


@pytest.mark.parametrize("metric", REGIONS)
def test_all_that_lies_inside_is_perfect_and_all_that_lies_outside_is_not(metric):
    mask = torch.arange(36).expand(4, 36) < 9
    inside = torch.where(mask, 2.0 + torch.arange(36.0), -1.0).view(4, 1, 6, 6)
    scorer = metric() if metric not in SHARES else plain(metric)
    with evaluation_of(Picture(), pictures(), of={"mask": mask}) as evaluation:
        assert scorer.per_sample(with_scores(evaluation, inside)).tolist() == [1] * 4
        assert scorer.per_sample(with_scores(evaluation, -inside)).tolist() == [0] * 4


@pytest.mark.parametrize("metric", REGIONS)
def test_random_attributions_are_a_yardstick(metric):
    mask = torch.arange(36).expand(4, 36) < 9
    with evaluation_of(Picture(), pictures(), of={"mask": mask}) as evaluation:
        random = RandomEvaluation(evaluation.perturbations, mask)
        expected = metric().per_sample(with_scores(evaluation, random.scores.view(4, 1, 6, 6)))
        torch.testing.assert_close(metric().per_sample(random), expected)


@pytest.mark.parametrize("metric", REGIONS)
def test_a_mask_at_the_input_is_needed(metric):
    x = pictures()
    masked, bare = ProbeSet.from_tensors(x, target=0, mask=x[:, 0] > 0), ProbeSet.from_tensors(x, target=0)
    assert metric().missing(Saliency(), Input(), masked) is None
    assert "has no mask; pass mask=" in metric().missing(Saliency(), Input(), bare)
    assert "saliency@conv lives at a layer, the mask at the input" in metric().missing(
        Saliency(), Layer("conv"), masked
    )
    with (
        evaluation_of(Picture(), x) as evaluation,
        pytest.raises(ValueError, match=f"{metric.name} needs a mask, and the probe set has none"),
    ):
        metric().per_sample(evaluation)


@pytest.mark.parametrize("metric", REGIONS)
def test_a_mask_of_another_size_is_refused(metric):
    mask = torch.ones(4, 144, dtype=torch.bool)
    with (
        evaluation_of(Picture(), pictures(), of={"mask": mask}) as evaluation,
        pytest.raises(ValueError, match=rf"{metric.name} needs a mask of the features, \(4, 36\) .*, got \(4, 144\)"),
    ):
        metric().per_sample(evaluation)


@pytest.mark.parametrize("metric", REGIONS)
def test_coarse_maps_are_compared_at_the_input(metric):
    class Halved(Picture):
        def forward(self, x):
            return super().forward(torch.nn.functional.avg_pool2d(x, 2))

    mask = torch.arange(144).expand(4, 144) % 12 < 5
    with evaluation_of(Halved(), pictures(size=12), GradCAM(signed=True), of={"mask": mask}) as evaluation:
        assert evaluation.point[0].shape == (4, 1, 6, 6)
        assert evaluation.scores.shape == (4, 144)
        assert metric().per_sample(evaluation).isfinite().all()


@pytest.mark.parametrize("metric", REGIONS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_low_precision_maps_are_scored_in_float64(metric, dtype):
    mask = torch.arange(36).expand(4, 36) < 9
    with evaluation_of(Picture(), pictures(), of={"mask": mask}) as evaluation:
        low = evaluation.attribution.point[0].to(dtype)
        got = metric().per_sample(with_scores(evaluation, low.sum(dim=1, keepdim=True)))
        exact = metric().per_sample(with_scores(evaluation, low.sum(dim=1, keepdim=True).double()))
    assert got.dtype == torch.float64
    assert torch.equal(got, exact)


def test_area_share():
    assert area_share(torch.tensor([[True, False, False, False], [True, True, True, False]])).tolist() == [0.25, 0.75]
