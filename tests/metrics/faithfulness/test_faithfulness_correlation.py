import numpy as np
import pytest
import torch

from lightning_explain import Input, IntegratedGradients, Layer, Saliency
from lightning_explain.attribution.regions import EveryFeature, Grid
from lightning_explain.metrics import FaithfulnessCorrelation, Infidelity
from lightning_explain.metrics.evaluation import RandomEvaluation
from lightning_explain.metrics.perturbation import Subsets
from metrics.evaluations import (
    TARGET,
    Linear,
    Pair,
    Picture,
    evaluation_of,
    masks_of,
    pictures,
    rows,
    with_scores,
)
from metrics.oracles import quantus_scores


def correlated_by_hand(model, inputs, baseline, attribution, masks):
    """Bhatt et al.'s formula, a sample and a removal at a time; the correlation is NumPy's."""
    result = []
    for i, target in enumerate(TARGET.tolist()):
        gone, fell = [], []
        for mask in masks:
            parts = mask.split([x[0].numel() // (x.shape[1] if x.ndim > 2 else 1) for x in inputs])
            total, left = 0.0, []
            for x, x0, phi, flat in zip(inputs, baseline, attribution, parts, strict=True):
                where = flat.view(x.shape[2:] if x.ndim > 2 else x.shape[1:])
                total += float(phi[i][..., where].sum())
                changed = x[i].clone()
                changed[..., where] = x0[i][..., where]
                left.append(changed[None])
            with torch.no_grad():
                fell.append(float(model(*[x[i : i + 1] for x in inputs])[0, target] - model(*left)[0, target]))
            gone.append(total)
        result.append(np.corrcoef(gone, fell)[0, 1])
    return torch.tensor(result)


@pytest.mark.parametrize("method", ["input_x_gradient", "occlusion"])
def test_correlation_is_that_of_a_loop(method):
    model, x = Picture(), pictures()
    subsets = Subsets(Grid(3), 9, (0.3,))
    with evaluation_of(model, x, method, baseline=0.4) as evaluation:
        got = FaithfulnessCorrelation(subsets).per_sample(evaluation)
        masks, point = masks_of(evaluation, subsets), evaluation.attribution.point
    torch.testing.assert_close(got, correlated_by_hand(model, (x,), (torch.full_like(x, 0.4),), point, masks))
    assert got.dtype == torch.float64


def test_several_inputs_are_removed_together():
    model, inputs = Pair(), (pictures(), rows())
    subsets = Subsets(Grid(2), 8, (0.4,))
    with evaluation_of(model, inputs, IntegratedGradients(3)) as evaluation:
        got = FaithfulnessCorrelation(subsets).per_sample(evaluation)
        masks, point = masks_of(evaluation, subsets), evaluation.attribution.point
    expected = correlated_by_hand(model, inputs, tuple(map(torch.zeros_like, inputs)), point, masks)
    torch.testing.assert_close(got, expected)


@pytest.mark.parametrize("place", [Input(), Input(channel_dim=None)])
@pytest.mark.parametrize("method", [IntegratedGradients(2), Saliency(absolute=False)])
def test_exact_attributions_of_a_linear_model_are_perfect(method, place):
    with evaluation_of(Linear((2, 6, 6)), pictures(), method, baseline=1.5, place=place) as evaluation:
        found = FaithfulnessCorrelation().per_sample(evaluation)
        torch.testing.assert_close(found, torch.ones(4, dtype=torch.float64))
        upside_down = with_scores(evaluation, -evaluation.attribution.point[0])
        assert FaithfulnessCorrelation().per_sample(upside_down).tolist() == pytest.approx([-1] * 4)
    assert FaithfulnessCorrelation().perfect("raw") == FaithfulnessCorrelation().perfect("probability") == 1


def test_its_square_is_what_a_straight_line_explains():
    """Infidelity's best scale has no offset; that is how the two differ."""
    with evaluation_of(Picture(), pictures(), "input_x_gradient") as evaluation:
        base = FaithfulnessCorrelation().per_sample(evaluation)
        scaled = with_scores(evaluation, evaluation.attribution.point[0] * 1e25)
        torch.testing.assert_close(FaithfulnessCorrelation().per_sample(scaled), base)
        perturbations, subsets = evaluation.perturbations, Subsets()
        drops = perturbations.drops(subsets)
        foretold = perturbations.foretold(evaluation.contributions, subsets)
        residual = []
        for fell, said in zip(drops.numpy(), foretold.numpy(), strict=True):
            _, rest, *_ = np.linalg.lstsq(np.stack([said, np.ones(64)], axis=1), fell, rcond=None)
            residual.append(1 - rest[0] / ((fell - fell.mean()) ** 2).sum())
    torch.testing.assert_close(base.square(), torch.tensor(residual))


def test_random_attributions_have_about_no_correlation():
    n = 200
    with evaluation_of(Picture(), pictures(n), "input_x_gradient", target=torch.arange(n) % 3) as evaluation:
        chance = FaithfulnessCorrelation()
        chance.update(RandomEvaluation(evaluation.perturbations, seed=0))
        ours = FaithfulnessCorrelation()
        ours.update(evaluation)
    assert abs(chance.score().mean) < 3 * chance.score().standard_error
    assert ours.score().mean > 0.5


def test_samples_without_a_correlation_are_undefined():
    x = pictures()
    x[3] = 0  # as the baseline: no removal changes anything
    with evaluation_of(Picture(), x, "input_x_gradient") as evaluation:
        scores = torch.randn(4, 2, 6, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        scores[0], scores[1, 0, 2, 2] = 0, torch.nan
        found = FaithfulnessCorrelation().per_sample(with_scores(evaluation, scores))
        assert torch.isnan(found).tolist() == [True, True, False, True]
        # Equal regions all foretell the same; unequal ones do not.
        flat = with_scores(evaluation, torch.ones_like(scores))
        assert torch.isnan(FaithfulnessCorrelation().per_sample(flat)).all()


def test_rows_are_those_of_infidelity(count_rows):
    with count_rows(Picture()) as (model, counted), evaluation_of(model, pictures(), "input_x_gradient") as evaluation:
        spent = counted(evaluation)
        FaithfulnessCorrelation().per_sample(evaluation)
        assert spent() == 64
        Infidelity().per_sample(evaluation)
        FaithfulnessCorrelation().per_sample(RandomEvaluation(evaluation.perturbations))
        FaithfulnessCorrelation().per_sample(with_scores(evaluation, -evaluation.attribution.point[0]))
        assert spent() == 64
        FaithfulnessCorrelation(Subsets(count=10)).per_sample(evaluation)
        assert spent() == 64 + 10


def test_layers_are_scored_at_the_layer():
    class Head(torch.nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.body = torch.nn.Conv2d(2, 3, 3, padding=1).double()
            self.head = Linear((3, 6, 6))

        def forward(self, x):
            return self.head(torch.tanh(self.body(x)))

    place = Layer("head", of="input")
    with evaluation_of(Head(), pictures(), IntegratedGradients(2), place=place) as evaluation:
        assert FaithfulnessCorrelation().per_sample(evaluation).tolist() == pytest.approx([1] * 4)
    with evaluation_of(Head(), pictures(), "input_x_gradient") as evaluation:
        assert float(FaithfulnessCorrelation().per_sample(evaluation).max()) < 1 - 1e-4


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_other_precisions(dtype):
    with evaluation_of(Picture(), pictures(), "input_x_gradient") as evaluation:
        expected = FaithfulnessCorrelation().per_sample(evaluation)
    with evaluation_of(Picture().to(dtype), pictures().to(dtype), "input_x_gradient") as evaluation:
        got = FaithfulnessCorrelation().per_sample(evaluation)
    torch.testing.assert_close(got, expected, atol=1e-5 if dtype == torch.float32 else 0.15, rtol=0)


def test_too_few_sets_are_refused():
    with pytest.raises(ValueError, match=r"from 3 random sets on, got Subsets\(count=2\)"):
        FaithfulnessCorrelation(Subsets(count=2))


def test_quantus_agrees(quantus):
    """Given the same removals: its own are drawn from NumPy's global generator."""
    model, x = Picture(channels=1), pictures()[:, :1].abs()
    x[:, :, 0, 0] = 0  # "black" is the least value of each picture
    subsets = Subsets(EveryFeature(), 12, (0.25,))
    with evaluation_of(model, x, "input_x_gradient") as evaluation:
        got = FaithfulnessCorrelation(subsets).per_sample(evaluation)
        masks, phi = masks_of(evaluation, subsets), evaluation.attribution.point[0]
    chosen = [mask.nonzero().flatten().numpy() for mask in masks for _ in range(4)]
    metric = quantus.FaithfulnessCorrelation(nr_runs=12, subset_size=9, return_aggregate=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(np.random, "choice", lambda *_, **__: chosen.pop(0))
        theirs = quantus_scores(metric, model, x, TARGET, phi)
    np.testing.assert_allclose(got, theirs, atol=1e-4)


def test_quantus_moves_the_global_generator_and_depends_on_it(quantus):
    model, x = Picture(channels=1), pictures()[:, :1]
    metric = quantus.FaithfulnessCorrelation(nr_runs=10, subset_size=7, return_aggregate=False)
    state = np.random.get_state()
    first, second = (quantus_scores(metric, model, x, TARGET, x) for _ in range(2))
    assert not np.allclose(first, second)
    np.random.set_state(state)
    again = quantus_scores(metric, model, x, TARGET, x)
    np.testing.assert_allclose(again, first)
    with evaluation_of(Picture(channels=1), x, "input_x_gradient") as evaluation:
        once = FaithfulnessCorrelation().per_sample(evaluation)
    np.random.seed(5)
    with evaluation_of(Picture(channels=1), x, "input_x_gradient") as evaluation:
        assert torch.equal(FaithfulnessCorrelation().per_sample(evaluation), once)
