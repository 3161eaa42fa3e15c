import pytest
import torch
from metrics.evaluations import Pair, Picture, evaluation_of, pictures, rows, with_scores

from lightning_explain import Input, Layer, ProbeSet, Saliency
from lightning_explain.metrics import RelevanceMass, RelevanceRank
from lightning_explain.metrics.localisation.relevance_mass import relevance_mass
from lightning_explain.metrics.localisation.relevance_rank import relevance_rank

BOTH = [RelevanceMass, RelevanceRank]


def mass_by_hand(scores, mask):
    inside = total = 0.0
    for value, marked in zip(scores.tolist(), mask.tolist(), strict=True):
        total += max(value, 0)
        inside += max(value, 0) if marked else 0
    return inside / total


def rank_by_hand(scores, mask, trials=4000, seed=0):
    """Break ties at random, many times, and count the K highest that are marked."""
    generator = torch.Generator().manual_seed(seed)
    size, hits = int(mask.sum()), 0
    for _ in range(trials):
        shuffled = torch.randperm(len(scores), generator=generator)
        order = shuffled[scores[shuffled].argsort(descending=True, stable=True)]
        hits += int(mask[order[:size]].sum())
    return hits / trials / size


def test_mass_is_the_share_of_what_is_positive():
    generator = torch.Generator().manual_seed(0)
    scores, mask = torch.randn(6, 30, generator=generator), torch.rand(6, 30, generator=generator) < 0.3
    expected = [mass_by_hand(*pair) for pair in zip(scores, mask, strict=True)]
    assert relevance_mass(scores, mask).tolist() == pytest.approx(expected)
    assert relevance_mass(scores * 1e-42, mask).tolist() == pytest.approx(expected, rel=0.1)  # denormal numbers
    assert relevance_mass(scores * 1e37, mask).tolist() == pytest.approx(expected)  # whose sum overflows in float32


@pytest.mark.parametrize("digits", [0, 6])
def test_rank_is_the_expected_share_under_random_tie_breaking(digits):
    generator = torch.Generator().manual_seed(1)
    scores = torch.randn(4, 20, generator=generator).round(decimals=digits)
    mask = torch.rand(4, 20, generator=generator) < 0.4
    got = relevance_rank(scores, mask)
    for i in range(4):
        assert float(got[i]) == pytest.approx(rank_by_hand(scores[i], mask[i]), abs=0.02 if digits == 0 else 1e-9)


def test_metrics_divide_by_the_share_of_the_area():
    mask = torch.zeros(4, 6, 6, dtype=torch.bool)
    for i in range(4):
        mask[i, : i + 1, 1:4] = True
    with evaluation_of(Picture(), pictures(), "input_x_gradient", of={"mask": mask.flatten(1)}) as evaluation:
        for metric, share in ((RelevanceMass, mass_by_hand), (RelevanceRank, rank_by_hand)):
            shares = [share(evaluation.scores[i], mask[i].flatten()) for i in range(4)]
            areas = [3 * (i + 1) / 36 for i in range(4)]
            assert metric(enrichment=False).per_sample(evaluation).tolist() == pytest.approx(shares, abs=1e-9)
            enriched = [s / a for s, a in zip(shares, areas, strict=True)]
            assert metric().per_sample(evaluation).tolist() == pytest.approx(enriched, abs=1e-9)


@pytest.mark.parametrize("metric", BOTH)
@pytest.mark.parametrize("value", [1.0, 0.1, 1e-30])
def test_a_uniform_map_has_enrichment_one(metric, value):
    generator = torch.Generator().manual_seed(0)
    mask = torch.rand(4, 36, generator=generator) < torch.tensor([[0.05], [0.3], [0.5], [0.95]])
    with evaluation_of(Picture(), pictures(), of={"mask": mask}) as evaluation:
        uniform = torch.full((4, 1, 6, 6), value)
        got = metric().per_sample(with_scores(evaluation, uniform))
    torch.testing.assert_close(got, torch.ones(4, dtype=torch.float64), atol=1e-14, rtol=0)


@pytest.mark.parametrize("metric", BOTH)
def test_chance_is_one_whatever_the_size_of_the_mask(metric):
    n = 400
    x = torch.zeros(n, 2, 6, 6, dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(n, 1, 6, 6, generator=generator)
    for size in (2, 9, 30):
        mask = torch.zeros(n, 36, dtype=torch.bool)
        mask[:, :size] = True
        with evaluation_of(Picture(), x, target=0, of={"mask": mask}) as evaluation:
            scorer = metric()
            scorer.update(with_scores(evaluation, noise))
        score = scorer.score()
        assert abs(score.mean - 1) < 3.5 * score.standard_error
        assert score.standard_error < 0.15


@pytest.mark.parametrize("metric", BOTH)
def test_all_relevance_inside_gives_one_over_the_area(metric):
    mask = torch.zeros(4, 36, dtype=torch.bool)
    mask[:, 4:13] = True
    with evaluation_of(Picture(), pictures(), of={"mask": mask}) as evaluation:
        inside = torch.where(mask, 2.0 + torch.arange(36.0), -1.0).view(4, 1, 6, 6)
        assert metric().per_sample(with_scores(evaluation, inside)).tolist() == pytest.approx([4] * 4)
        assert metric().per_sample(with_scores(evaluation, -inside)).tolist() == pytest.approx([0] * 4)


def test_undefined_samples_are_nan():
    scores = torch.tensor([[0.0, 0.0], [-1.0, -2.0], [torch.nan, 1.0], [torch.inf, 1.0], [1.0, 3.0], [1.0, 3.0]])
    mask = torch.tensor([[True, False]] * 5 + [[False, False]])
    assert torch.isnan(relevance_mass(scores, mask)).tolist() == [True, True, True, True, False, True]
    assert torch.isnan(relevance_rank(scores, mask)).tolist() == [False, False, True, True, False, True]
    # All zero says nothing of where: chance by rank, undefined by mass.
    assert float(relevance_rank(scores, mask)[0]) == 0.5


def test_an_empty_mask_is_undefined_for_both():
    mask = torch.zeros(4, 36, dtype=torch.bool)
    mask[2, 5] = True
    with evaluation_of(Picture(), pictures(), of={"mask": mask}) as evaluation:
        for metric in BOTH:
            assert torch.isnan(metric().per_sample(evaluation)).tolist() == [True, True, False, True]


def test_other_inputs_count_as_outside():
    mask = torch.zeros(4, 36 + 5, dtype=torch.bool)
    mask[:, :12] = True
    with evaluation_of(Pair(), (pictures(), rows()), of={"mask": mask}) as evaluation:
        got = RelevanceMass().per_sample(evaluation)
        shares = [mass_by_hand(evaluation.scores[i], mask[i]) for i in range(4)]
    assert got.tolist() == pytest.approx([s * 41 / 12 for s in shares])


@pytest.mark.parametrize("metric", BOTH)
def test_direction_follows_the_region(metric):
    assert metric().higher_is_better is True
    assert metric(artefact=True).higher_is_better is False
    with evaluation_of(Picture(), pictures(), of={"mask": torch.ones(4, 36, dtype=torch.bool)}) as evaluation:
        artefact = metric(artefact=True)
        artefact.update(evaluation)
    assert artefact.score().higher_is_better is False


@pytest.mark.parametrize("metric", BOTH)
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
