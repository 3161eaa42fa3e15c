import pytest
import torch

from lightning_explain import GradCAM, InputXGradient, IntegratedGradients, KernelShap, Layer, Saliency, SmoothGrad
from lightning_explain.metrics.evaluation import RandomEvaluation
from lightning_explain.metrics.perturbation import Course
from metrics.evaluations import Pair, Picture, evaluation_of, pictures, rows


@pytest.mark.parametrize(
    "method", [Saliency(absolute=False), SmoothGrad(n_samples=2), IntegratedGradients(3, multiply_by_inputs=False)]
)
def test_sensitivities_become_contributions(method):
    x = pictures()
    with evaluation_of(Picture(), x, method, baseline=0.5) as evaluation:
        expected = (evaluation.attribution.point[0] * (x - 0.5)).sum(dim=1).flatten(1)
        torch.testing.assert_close(evaluation.contributions, expected)
        assert not torch.allclose(evaluation.contributions, evaluation.scores)


def test_sensitivities_at_a_layer_are_multiplied_with_its_activations():
    model, x = Picture(), pictures()
    with evaluation_of(model, x, Saliency(absolute=False), place=Layer("conv"), baseline=0.5) as evaluation:
        with torch.no_grad():
            difference = model.conv(x) - model.conv(torch.full_like(x, 0.5))
        expected = (evaluation.attribution.point[0] * difference).sum(dim=1).flatten(1)
        torch.testing.assert_close(evaluation.contributions, expected)


@pytest.mark.parametrize("method", [InputXGradient(), IntegratedGradients(3), GradCAM(signed=True)])
def test_contributions_stay_what_they_are(method):
    with evaluation_of(Picture(), pictures(), method, baseline=0.5) as evaluation:
        assert torch.equal(evaluation.contributions, evaluation.scores)
        assert evaluation.scores.shape == (4, 36)
        torch.testing.assert_close(evaluation.scores, evaluation.attribution.point[0].sum(dim=1).flatten(1))


@pytest.mark.parametrize("mask", [None, torch.arange(36).view(1, 1, 6, 6) // 9])
def test_what_a_feature_contributes_is_shared_out_among_its_elements(mask):
    with evaluation_of(Picture(), pictures(), KernelShap(100), baseline=0.5, feature_mask=mask) as evaluation:
        found = evaluation.contributions
        torch.testing.assert_close(found.sum(dim=1), evaluation.attribution.span, rtol=0, atol=1e-10)
        if mask is None:
            torch.testing.assert_close(found, evaluation.attribution.coefficients)
        else:
            per_pixel = evaluation.attribution.coefficients.repeat_interleave(9, dim=1) / 9
            torch.testing.assert_close(found, per_pixel)


def test_coarse_maps_are_scored_at_the_first_input_of_their_kind():
    with evaluation_of(Pair(), (pictures(), rows()), GradCAM("picture.conv2", signed=True)) as evaluation:
        image, row = evaluation.attribution.point
        assert image.shape == (4, 1, 6, 6)
        assert evaluation.scores.shape == (4, 41)
        assert evaluation.scores[:, 36:].abs().max() == row.abs().max() == 0


def test_random_attributions_are_the_same_at_every_validation():
    with evaluation_of(Picture(1), pictures()) as evaluation:
        first = RandomEvaluation(evaluation.perturbations, seed=2)
        torch.manual_seed(7)
        state = torch.get_rng_state()
        second, other = (RandomEvaluation(evaluation.perturbations, seed=seed) for seed in (2, 3))
        assert first.scores.shape == (4, 36)
        assert torch.equal(first.scores, second.scores)
        assert not torch.equal(first.scores, other.scores)
        assert torch.equal(torch.get_rng_state(), state)
        assert first.contributions is first.scores
        ours, theirs = first.curve(Course()), evaluation.perturbations.curve(first.scores, Course())
        assert torch.equal(ours.values, theirs.values)


@pytest.mark.parametrize("seed", [0, 1, 42])
def test_random_attributions_are_not_the_users_random_data(seed):
    torch.manual_seed(seed)
    x = torch.randn(4, 30)
    with evaluation_of(torch.nn.Linear(30, 3), x, "input_x_gradient") as evaluation:
        scores = RandomEvaluation(evaluation.perturbations, seed=seed).scores
    assert float(torch.corrcoef(torch.stack([scores.flatten(), x.flatten()]))[0, 1].abs()) < 0.3
