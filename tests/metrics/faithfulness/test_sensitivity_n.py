import numpy as np
import pytest
import torch

from lightning_explain import IntegratedGradients, Saliency
from lightning_explain.attribution.regions import Grid
from lightning_explain.metrics import FaithfulnessCorrelation, Infidelity, SensitivityN
from lightning_explain.metrics.evaluation import RandomEvaluation
from lightning_explain.metrics.faithfulness.sensitivity_n import SHARES, sensitivity_n
from lightning_explain.metrics.perturbation import Subsets
from metrics.evaluations import TARGET, Linear, Pair, Picture, evaluation_of, masks_of, pictures, rows, with_scores
from metrics.oracles import quantus_scores


def by_hand(model, x, phi, masks, cell):
    """For each sample: group its removals by how many cells they take, correlate within groups, average."""
    result = []
    for i, target in enumerate(TARGET.tolist()):
        groups = {}
        for mask in masks:
            gone = mask.view(6, 6)
            left = x[i : i + 1].clone()
            left[:, :, gone] = 0
            with torch.no_grad():
                fell = float(model(x[i : i + 1])[0, target] - model(left)[0, target])
            groups.setdefault(int(gone.sum()) // cell, []).append((float(phi[i][:, gone].sum()), fell))
        result.append(np.mean([np.corrcoef(np.array(pairs).T)[0, 1] for pairs in groups.values()]))
        assert sorted(groups) == [1, 3, 7]
    return torch.tensor(result)


def test_it_is_the_mean_of_a_loop_over_sizes():
    model, x = Picture(), pictures()
    subsets = Subsets(Grid(3), 18, (0.1, 0.34, 0.8))
    with evaluation_of(model, x, "input_x_gradient") as evaluation:
        got = SensitivityN(subsets).per_sample(evaluation)
        masks, phi = masks_of(evaluation, subsets), evaluation.attribution.point[0]
    torch.testing.assert_close(got, by_hand(model, x, phi, masks, 4))


@pytest.mark.parametrize("method", [IntegratedGradients(2), Saliency(absolute=False)])
def test_exact_attributions_of_a_linear_model_are_perfect_at_every_size(method):
    with evaluation_of(Linear((2, 6, 6)), pictures(), method, baseline=1.5) as evaluation:
        assert SensitivityN().per_sample(evaluation).tolist() == pytest.approx([1] * 4)
        upside_down = with_scores(evaluation, -evaluation.attribution.point[0])
        assert SensitivityN().per_sample(upside_down).tolist() == pytest.approx([-1] * 4)
    assert SensitivityN().perfect("raw") == 1


def test_several_inputs():
    class Sum(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.picture, self.table = Linear((2, 6, 6)), Linear((5,), seed=1)

        def forward(self, image, row):
            return self.picture(image) + self.table(row)

    inputs = (pictures(), rows())
    with evaluation_of(Sum(), inputs, "input_x_gradient") as evaluation:
        assert SensitivityN().per_sample(evaluation).tolist() == pytest.approx([1] * 4)
    with evaluation_of(Pair(), inputs, "input_x_gradient") as evaluation:
        found = SensitivityN().per_sample(evaluation)
    assert bool(((found > -1) & (found < 1 - 1e-3)).all())


def test_larger_removals_cost_more_and_that_is_no_merit():
    """A map that says the same of every cell foretells sizes, and nothing else."""
    model, x = Linear((2, 6, 6)), pictures()
    model.weight.data = model.weight.data.abs()
    subsets = Subsets(count=60, shares=(0.1, 0.9))
    with evaluation_of(model, x.abs(), "input_x_gradient") as evaluation:
        generator = torch.Generator().manual_seed(0)
        nearly_flat = 1 + 0.01 * torch.randn(4, 2, 6, 6, generator=generator, dtype=torch.float64)
        flat = with_scores(evaluation, nearly_flat)
        assert float(FaithfulnessCorrelation(subsets).per_sample(flat).min()) > 0.9
        assert float(SensitivityN(subsets).per_sample(flat).abs().max()) < 0.5


def test_undefined_sizes_are_left_out_and_undefined_samples_are_nan():
    sizes = torch.tensor([1, 1, 1, 2, 2, 2])
    drops = torch.tensor([[1.0, 2.0, 3.0, 5.0, 5.0, 5.0], [1.0, 1.0, 1.0, 2.0, 2.0, 2.0], [torch.nan] * 6])
    foretold = torch.tensor([[3.0, 2.0, 1.0, 1.0, 2.0, 3.0]]).repeat(3, 1)
    found = sensitivity_n(foretold, drops, sizes)
    assert found[0] == pytest.approx(-1)
    assert torch.isnan(found).tolist() == [False, True, True]
    # All cells at once: one removal, over and over.
    with evaluation_of(Picture(), pictures(), "input_x_gradient") as evaluation:
        everything = SensitivityN(Subsets(count=6, shares=(1.0,)))
        assert torch.isnan(everything.per_sample(evaluation)).all()
        part = SensitivityN(Subsets(count=40, shares=(0.2, 1.0))).per_sample(evaluation)
        assert torch.isfinite(part).all()
        zero = with_scores(evaluation, torch.zeros(4, 2, 6, 6))
        assert torch.isnan(SensitivityN().per_sample(zero)).all()


def test_shares_that_come_to_one_size_are_one():
    """Five features: 5, 10 and 20 % of them are one."""
    with evaluation_of(Linear((5,)), rows(), "input_x_gradient") as evaluation:
        sizes = evaluation.perturbations.taken(Subsets(count=100, shares=SHARES)).sum(dim=1)
        assert sizes.unique().tolist() == [1, 2, 4]
        assert SensitivityN().per_sample(evaluation).tolist() == pytest.approx([1] * 4)


def test_all_methods_share_the_rows(count_rows):
    with count_rows(Picture()) as (model, counted), evaluation_of(model, pictures(), "input_x_gradient") as evaluation:
        spent = counted(evaluation)
        SensitivityN().per_sample(evaluation)
        assert spent() == 100
        SensitivityN().per_sample(with_scores(evaluation, -evaluation.attribution.point[0]))
        SensitivityN().per_sample(RandomEvaluation(evaluation.perturbations))
        FaithfulnessCorrelation(Subsets(count=100, shares=SHARES)).per_sample(evaluation)
        Infidelity(subsets=Subsets(count=100, shares=SHARES)).per_sample(evaluation)
        assert spent() == 100


def test_too_few_sets_are_refused():
    with pytest.raises(ValueError, match=r"5 shares need Subsets\(count=15\) at least, got 14"):
        SensitivityN(Subsets(count=14, shares=SHARES))


def test_quantus_calls_exact_attributions_of_a_linear_model_imperfect(quantus):
    """It sets the attribution of one step against the fall at all steps so far, and correlates across samples."""
    model, x = Linear((1, 6, 6)), pictures()[:, :1].abs()
    x[:, :, 0, 0] = 0  # "black", the least value of each picture, is the baseline of zero
    phi = (x * model.weight.detach()[TARGET]).clone()
    metric = quantus.SensitivityN(return_aggregate=False, disable_warnings=True)
    theirs = quantus_scores(metric, model, x, TARGET, phi)
    assert len(theirs) == 28  # a score for each size, none for a sample
    assert theirs.min() < 0
    with evaluation_of(Linear((1, 6, 6)), x, "input_x_gradient") as evaluation:
        torch.testing.assert_close(evaluation.scores, phi.flatten(1))
        assert SensitivityN().per_sample(evaluation).tolist() == pytest.approx([1] * 4)
