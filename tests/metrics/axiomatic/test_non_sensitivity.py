from dataclasses import replace

import pytest
import torch
from torch import nn

from lightning_explain import Layer, explain
from lightning_explain.attribution.regions import EveryFeature, Grid, Patches, Regions
from lightning_explain.metrics import NonSensitivity
from lightning_explain.metrics.axiomatic.non_sensitivity import non_sensitivity
from lightning_explain.metrics.evaluation import RandomEvaluation
from metrics.evaluations import Linear, Pair, Picture, evaluation_of, pictures, rows, with_scores


class Half(nn.Module):
    """Looks at the left half of a picture only."""

    def __init__(self):
        super().__init__()
        self.whole = Picture()

    def forward(self, x):
        return self.whole(x * (torch.arange(x.shape[-1]) < x.shape[-1] // 2))


def by_hand(model, x, scores, target, side, tolerance):
    """Blacken one patch after the other in one picture after the other, and keep two lists of patches."""
    result = []
    for i in range(len(x)):
        with torch.no_grad():
            whole = float(model(x[i : i + 1])[0, target[i]])
            silent, sizes, effects = [], {}, {}
            for row in range(0, x.shape[2], side):
                for column in range(0, x.shape[3], side):
                    holed = x[i : i + 1].clone()
                    holed[0, :, row : row + side, column : column + side] = 0
                    effects[row, column] = abs(whole - float(model(holed)[0, target[i]]))
                    patch = scores[i].view(x.shape[2:])[row : row + side, column : column + side]
                    sizes[row, column] = float(patch.abs().sum())
        silent = {at for at, size in sizes.items() if size <= tolerance * max(sizes.values())}
        deaf = {at for at, effect in effects.items() if effect <= tolerance * max(effects.values())}
        result.append(len(silent ^ deaf) / len(sizes))
    return torch.tensor(result, dtype=torch.float64)


@pytest.mark.parametrize("partition", [Patches(2), EveryFeature()])
@pytest.mark.parametrize("tolerance", [0.0, 1e-5, 0.3])
@pytest.mark.parametrize("model", [Picture(), Half()])
def test_it_is_the_symmetric_difference_of_two_sets(model, partition, tolerance):
    x = pictures()
    target = torch.tensor([0, 2, 1, 2])
    with evaluation_of(model, x, "input_x_gradient") as evaluation:
        scores = evaluation.attribution.point[0].clone()
        scores[..., :2, :] = 0  # what looks at the input is told to be silent there
        evaluation = with_scores(evaluation, scores)
        got = NonSensitivity(tolerance, partition).per_sample(evaluation)
        side = 2 if isinstance(partition, Patches) else 1
        expected = by_hand(model, x, evaluation.scores, target, side, tolerance)
    torch.testing.assert_close(got, expected)
    assert float(got.max()) > 0


def test_what_the_model_does_not_look_at_must_have_no_attribution():
    x, metric = pictures(), NonSensitivity(tolerance=1e-9)
    with evaluation_of(Half(), x, "input_x_gradient") as evaluation:
        assert metric.per_sample(evaluation).tolist() == [0] * 4
        everywhere = with_scores(evaluation, torch.ones(4, 1, 6, 6))
        nowhere = with_scores(evaluation, torch.zeros(4, 1, 6, 6))
        assert metric.per_sample(everywhere).tolist() == [0.5] * 4
        assert metric.per_sample(nowhere).tolist() == [0.5] * 4
        right = with_scores(evaluation, (torch.arange(6) >= 3).expand(4, 1, 6, 6).double())
        assert metric.per_sample(right).tolist() == [1] * 4


def test_sensitivities_are_silent_where_there_is_nothing_to_remove():
    model, x = Linear((2, 6, 6)), pictures()
    x[:, :, :2] = 0
    with evaluation_of(model, x, "saliency") as evaluation:
        assert bool((evaluation.scores > 0).all())
        assert NonSensitivity(partition=EveryFeature()).per_sample(evaluation).tolist() == [0] * 4


def test_units_do_not_matter():
    generator = torch.Generator().manual_seed(0)
    magnitudes = torch.rand(6, 20, generator=generator) * (torch.rand(6, 20, generator=generator) < 0.6)
    drops = torch.randn(6, 20, generator=generator) * (torch.rand(6, 20, generator=generator) < 0.6)
    expected = non_sensitivity(magnitudes, drops)
    torch.testing.assert_close(non_sensitivity(magnitudes * 1e-12, -drops * 1e9), expected)
    assert 0 < float(expected.min()) < float(expected.max()) < 1


def test_not_finite_is_undefined_and_nothing_at_all_is_not():
    nan, none = torch.tensor([[torch.nan, 1.0]]), torch.zeros(1, 2)
    assert non_sensitivity(nan, none).isnan().all()
    assert non_sensitivity(none, nan).isnan().all()
    assert non_sensitivity(none, none).tolist() == [0]
    assert non_sensitivity(torch.ones(1, 2), none).tolist() == [1]


def test_empty_regions_of_a_sample_do_not_count():
    class Uneven:
        """One sample in two regions, the others in four."""

        def __call__(self, z, space):
            ids = (torch.arange(36) // 9).expand(4, -1).clone()
            ids[0] = torch.arange(36) // 18
            return Regions(ids, 4)

    with evaluation_of(Picture(), pictures(), "input_x_gradient") as evaluation:
        scores = torch.ones(4, 36)
        scores[:, :18] = 0  # one of two regions, two of four; all have an effect
        got = NonSensitivity(partition=Uneven()).per_sample(with_scores(evaluation, scores.view(4, 1, 6, 6)))
    assert got.tolist() == [0.5] * 4


def test_several_inputs_and_layers():
    with evaluation_of(Pair(), (pictures(), rows()), "input_x_gradient") as evaluation:
        scores = [leaf.clone() for leaf in evaluation.attribution.point]
        assert NonSensitivity().per_sample(evaluation).tolist() == [0] * 4
        scores[1][:, :2] = 0
        silent = replace(evaluation, attribution=replace(evaluation.attribution, point=tuple(scores)))
        assert NonSensitivity().per_sample(silent).tolist() == pytest.approx([2 / 41] * 4)
    with evaluation_of(Picture(), pictures(), "input_x_gradient", place=Layer("conv")) as evaluation:
        assert NonSensitivity().per_sample(evaluation).tolist() == [0] * 4


def test_random_attributions_are_a_yardstick_and_the_rows_are_shared():
    model, seen = Half(), []
    handle = model.register_forward_hook(lambda module, args, out: seen.append(len(out)))
    with evaluation_of(model, pictures(), "input_x_gradient") as evaluation:
        _ = evaluation.problem.value
        before = sum(seen)
        random = RandomEvaluation(evaluation.perturbations)
        assert NonSensitivity(partition=Grid(3)).per_sample(random).tolist() == pytest.approx([1 / 3] * 4)
        assert sum(seen) - before == 4 * 9
        NonSensitivity(tolerance=0.1, partition=Grid(3)).per_sample(evaluation)
        evaluation.perturbations.single_drops(Grid(3))
        assert sum(seen) - before == 4 * 9
        NonSensitivity(partition=Grid(3), fill="mean").per_sample(evaluation)
        assert sum(seen) - before == 2 * 4 * 9
    handle.remove()
    assert NonSensitivity().perfect("raw") == 0


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_low_precision_models(dtype):
    with evaluation_of(Half().to(dtype), pictures().to(dtype), "input_x_gradient") as evaluation:
        got = NonSensitivity(partition=Grid(3)).per_sample(evaluation)
    assert got.dtype == torch.float64
    assert float(got.max()) <= (0.35 if dtype == torch.bfloat16 else 0)


@pytest.mark.parametrize("tolerance", [-1e-3, 1, float("nan")])
def test_no_share_of_the_largest_is_refused(tolerance):
    with pytest.raises(ValueError, match=r"share of each sample's largest number, in \[0, 1\), got"):
        NonSensitivity(tolerance=tolerance)


def test_quantus_cannot_take_more_than_one_feature_at_a_time(quantus):
    model, x = Picture().float().eval(), pictures().float()
    given = explain(model, x, "input_x_gradient", target=0).values.sum(dim=1, keepdim=True).numpy()
    oracle = quantus.NonSensitivity(features_in_step=4, disable_warnings=True)
    with pytest.raises(ValueError, match="could not be broadcast"):
        oracle(model=model, x_batch=x.numpy(), y_batch=torch.zeros(4).long().numpy(), a_batch=given)
