import numpy as np
import pytest
import torch

from lightning_explain import IntegratedGradients, Occlusion, Saliency
from lightning_explain.attribution.regions import EveryFeature, Grid, Patches, Regions, Segments
from lightning_explain.metrics import FaithfulnessEstimate
from lightning_explain.metrics.evaluation import RandomEvaluation
from metrics.evaluations import TARGET, Linear, Pair, Picture, evaluation_of, pictures, rows, with_scores
from metrics.oracles import quantus_scores


def test_correlation_is_that_of_a_loop_over_cells():
    model, x = Picture(), pictures()
    with evaluation_of(model, x, "input_x_gradient") as evaluation:
        got = FaithfulnessEstimate(Grid(3)).per_sample(evaluation)
        phi = evaluation.attribution.point[0]
    for i, target in enumerate(TARGET.tolist()):
        worth, fell = [], []
        for top in (0, 2, 4):
            for start in (0, 2, 4):
                left = x[i : i + 1].clone()
                left[:, :, top : top + 2, start : start + 2] = 0
                with torch.no_grad():
                    fell.append(float(model(x[i : i + 1])[0, target] - model(left)[0, target]))
                worth.append(float(phi[i, :, top : top + 2, start : start + 2].sum()))
        assert float(got[i]) == pytest.approx(np.corrcoef(worth, fell)[0, 1], abs=1e-9)


@pytest.mark.parametrize("partition", [Grid(3), Grid(4), Patches(4), EveryFeature()])
@pytest.mark.parametrize("method", [IntegratedGradients(2), Saliency(absolute=False)])
def test_exact_attributions_of_a_linear_model_are_perfect(method, partition):
    with evaluation_of(Linear((2, 6, 6)), pictures(), method, baseline=1.5) as evaluation:
        metric = FaithfulnessEstimate(partition)
        assert metric.per_sample(evaluation).tolist() == pytest.approx([1] * 4)
        upside_down = with_scores(evaluation, -evaluation.attribution.point[0])
        assert metric.per_sample(upside_down).tolist() == pytest.approx([-1] * 4)
    assert metric.perfect("raw") == 1


def test_occlusion_of_the_same_cells_is_perfect_by_its_definition():
    with evaluation_of(Picture(), pictures(), Occlusion(window=2)) as evaluation:
        assert FaithfulnessEstimate(Grid(3)).per_sample(evaluation).tolist() == pytest.approx([1] * 4)
        assert float(FaithfulnessEstimate(Grid(2)).per_sample(evaluation).max()) < 1 - 1e-6


def test_several_inputs():
    with evaluation_of(Pair(), (pictures(), rows()), Occlusion(window=1)) as evaluation:
        regions = evaluation.perturbations.regions(EveryFeature())
        assert regions.count == 41
        contributions = evaluation.perturbations.single_drops(EveryFeature())
        found = FaithfulnessEstimate(EveryFeature()).per_sample(evaluation)
    for i in range(4):
        said = evaluation.scores[i].numpy()
        assert float(found[i]) == pytest.approx(np.corrcoef(said, contributions[i].numpy())[0, 1])


def test_regions_without_features_take_no_part():
    class Halves:
        """Three regions in the first two samples, two in the others."""

        def __call__(self, z, space):
            ids = torch.tensor([[0, 0, 1, 1, 2, 2]] * 2 + [[0, 0, 0, 1, 1, 1]] * 2)
            return Regions(ids, 3)

        def __hash__(self):
            return 1

    with evaluation_of(Linear((6,)), rows(4, 6), "input_x_gradient") as evaluation:
        noise = torch.randn(4, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        other = with_scores(evaluation, noise)
        found = FaithfulnessEstimate(Halves()).per_sample(other)
        drops = evaluation.perturbations.single_drops(Halves())
    for i, regions in ((0, [slice(0, 2), slice(2, 4), slice(4, 6)]), (2, [slice(0, 3), slice(3, 6)])):
        said = [float(noise[i, region].sum()) for region in regions]
        expected = np.corrcoef(said, drops[i, : len(regions)].numpy())[0, 1]
        assert float(found[i]) == pytest.approx(expected)


def test_segments():
    pytest.importorskip("skimage")
    with evaluation_of(Linear((2, 6, 6)), pictures(), "input_x_gradient") as evaluation:
        assert FaithfulnessEstimate(Segments(6)).per_sample(evaluation).tolist() == pytest.approx([1] * 4)


def test_samples_without_a_correlation_are_undefined():
    x = pictures()
    x[3] = 0
    with evaluation_of(Picture(), x, "input_x_gradient") as evaluation:
        scores = torch.randn(4, 2, 6, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        scores[0], scores[1, 0, 2, 2] = 0, torch.nan
        found = FaithfulnessEstimate().per_sample(with_scores(evaluation, scores))
    assert torch.isnan(found).tolist() == [True, True, False, True]


def test_all_methods_share_the_rows(count_rows):
    with count_rows(Picture()) as (model, counted), evaluation_of(model, pictures(), "input_x_gradient") as evaluation:
        spent = counted(evaluation)
        FaithfulnessEstimate().per_sample(evaluation)
        assert spent() == 36
        FaithfulnessEstimate().per_sample(with_scores(evaluation, -evaluation.attribution.point[0]))
        FaithfulnessEstimate().per_sample(RandomEvaluation(evaluation.perturbations))
        assert spent() == 36
        FaithfulnessEstimate(Grid(3)).per_sample(evaluation)
        assert spent() == 36 + 9


def test_quantus_agrees(quantus):
    """A feature at a time, of pictures of one channel, black being zero."""
    model, x = Picture(channels=1), pictures()[:, :1].abs()
    x[:, :, 0, 0] = 0
    with evaluation_of(model, x, "input_x_gradient") as evaluation:
        got = FaithfulnessEstimate(EveryFeature()).per_sample(evaluation)
        phi = evaluation.attribution.point[0]
    theirs = quantus_scores(quantus.FaithfulnessEstimate(disable_warnings=True), model, x, TARGET, phi)
    np.testing.assert_allclose(got, theirs, atol=1e-4)
    assert theirs.max() < 0.999
