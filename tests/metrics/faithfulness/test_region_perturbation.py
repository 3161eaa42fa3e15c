from itertools import product

import numpy as np
import pytest
import torch

from lightning_explain.attribution.regions import Grid, Patches
from lightning_explain.metrics import RegionPerturbation, Selectivity
from lightning_explain.metrics.evaluation import RandomEvaluation
from lightning_explain.metrics.faithfulness.region_perturbation import aopc
from metrics.evaluations import TARGET, Linear, Pair, Picture, evaluation_of, pictures, rows, with_scores


def aopc_by_hand(model, x, x0, scores, size, most, order):
    """Patch after patch disappears from one and the same picture; the falls are added up."""
    result = []
    for i in range(len(x)):
        corners = list(product(range(0, 6, size), repeat=2))
        patches = [[(r, c) for r in range(a, min(a + size, 6)) for c in range(b, min(b + size, 6))] for a, b in corners]
        relevance = [sum(float(scores[i, r, c]) for r, c in patch) / len(patch) for patch in patches]
        ranked = sorted(range(len(patches)), key=lambda p, relevance=relevance: relevance[p], reverse=order == "morf")
        with torch.no_grad():
            whole = float(model(x[i : i + 1]).softmax(1)[0, TARGET[i]])
            point, falls = x[i].clone(), [0.0]
            for p in ranked[:most]:
                for r, c in patches[p]:
                    point[:, r, c] = x0[i][:, r, c]
                falls.append(whole - float(model(point[None]).softmax(1)[0, TARGET[i]]))
        result.append(sum(falls) / len(falls))
    return torch.tensor(result, dtype=torch.float64)


@pytest.mark.parametrize("order", ["morf", "lerf"])
@pytest.mark.parametrize(("size", "most"), [(2, 100), (2, 4), (1, 7)])
def test_it_is_that_of_a_loop(order, size, most):
    model, x, x0 = Picture(), pictures(), pictures(seed=5)
    with evaluation_of(model, x, "input_x_gradient", readout="probability", baseline=x0) as evaluation:
        scores = evaluation.attribution.point[0].sum(dim=1)
        got = RegionPerturbation(most, order, Patches(size)).per_sample(evaluation)
    torch.testing.assert_close(got, aopc_by_hand(model, x, x0, scores, size, most, order))


def test_the_first_point_counts_and_its_fall_is_zero():
    assert aopc(torch.tensor([[1.0, 0.0, 0.0, 0.0]])).tolist() == [0.75]
    assert aopc(torch.tensor([[0.5, 1.5], [torch.nan, torch.nan]]))[0] == -0.5


def test_linear_models_have_a_closed_form_and_their_contributions_the_best_order():
    x = torch.ones(2, 2, 4, 4, dtype=torch.float64)
    model = Linear((2, 4, 4), classes=1)
    metric = RegionPerturbation(partition=Patches(2))
    with evaluation_of(model, x, "input_x_gradient", target=0) as evaluation:
        cells = model.weight.detach()[0].sum(dim=0).view(2, 2, 2, 2).sum(dim=(1, 3)).flatten()
        falls = cells.sort(descending=True).values.cumsum(dim=0)
        best = metric.per_sample(evaluation)
        assert best.tolist() == pytest.approx([float(falls.sum()) / 5] * 2)
        least = RegionPerturbation(partition=Patches(2), order="lerf").per_sample(evaluation)
        assert bool((least < best).all())
        for seed in range(10):
            other = torch.randn(2, 2, 4, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
            assert bool((metric.per_sample(with_scores(evaluation, other)) <= best + 1e-12).all())


def test_uniform_noise_takes_the_place_of_patches():
    with evaluation_of(Picture(), pictures(), readout="probability") as evaluation:
        one, other = (RegionPerturbation(fill=fill).per_sample(evaluation) for fill in ("baseline", "uniform"))
        torch.testing.assert_close(RegionPerturbation(fill="uniform").per_sample(evaluation), other)
    assert (one - other).abs().min() > 1e-6


@pytest.mark.parametrize(("settings", "count"), [({}, 4 - 1), ({"regions": 2}, 2), ({"fill": "uniform"}, 4)])
def test_each_region_costs_a_row(settings, count):
    model, seen = Picture(), []
    with evaluation_of(model, pictures()) as evaluation:
        evaluation.problem.value, evaluation.problem.baseline_value  # noqa: B018
        handle = model.register_forward_hook(lambda module, args, out: seen.append(len(out)))
        RegionPerturbation(**settings).per_sample(evaluation)
        assert sum(seen) == 4 * count
        Selectivity(fill=settings.get("fill", "baseline")).per_sample(evaluation)
        assert sum(seen) == 4 * (count + (0 if "regions" not in settings else 3))  # the same course, if all regions go
        handle.remove()


def test_several_inputs_have_patches_of_their_own():
    with evaluation_of(Pair(), (pictures(), rows()), "input_x_gradient", readout="probability") as evaluation:
        assert evaluation.perturbations.regions(Patches(3)).count == 4 + 2
        assert bool(RegionPerturbation(partition=Patches(3)).per_sample(evaluation).isfinite().all())


def test_maps_that_order_nothing_are_undefined():
    with evaluation_of(Picture(), pictures()) as evaluation:
        scores = evaluation.attribution.point[0].clone()
        scores[1], scores[3, 0, 2, 3] = 1.5, torch.inf
        got = RegionPerturbation().per_sample(with_scores(evaluation, scores))
        assert got.isnan().tolist() == [False, True, False, True]


def test_random_attributions_are_scored_too():
    with evaluation_of(Picture(), pictures(), readout="probability") as evaluation:
        random = RandomEvaluation(evaluation.perturbations)
        assert bool(RegionPerturbation().per_sample(random).isfinite().all())


def test_settings():
    assert [RegionPerturbation(order=o).higher_is_better for o in ("morf", "lerf")] == [True, False]
    # At best L / (L + 1) times the score, and L is that of the sample.
    assert RegionPerturbation().perfect("probability") is RegionPerturbation(order="lerf").perfect("raw") is None
    assert RegionPerturbation(partition=Grid(2)).course.partition == Grid(2)
    with pytest.raises(ValueError, match="regions must be at least 1, got 0"):
        RegionPerturbation(0)
    with pytest.raises(ValueError, match=r"order 'mrof'.*morf"):
        RegionPerturbation(order="mrof")


def test_the_curve_is_that_of_quantus(quantus):
    """For one channel and patches of one size; its curve begins after the first patch."""
    model, x = Picture(channels=1).float(), pictures(size=8)[:, :1].float()
    with evaluation_of(model, x, "input_x_gradient", readout="probability") as evaluation:
        curve = evaluation.curve(
            evaluation.perturbations.one_by_one(RegionPerturbation(partition=Patches(2)).course)
        ).values
        maps = evaluation.attribution.point[0].numpy()
    metric = quantus.RegionPerturbation(
        patch_size=2,
        perturb_baseline=0.0,
        abs=False,
        normalise=False,
        disable_warnings=True,
        display_progressbar=False,
        return_aggregate=False,
    )
    theirs = metric(
        model=model.eval(), x_batch=x.numpy(), y_batch=TARGET.numpy(), a_batch=maps, softmax=True, device="cpu"
    )
    torch.testing.assert_close(curve[:, :1] - curve[:, 1:], torch.tensor(np.array(theirs)).to(curve), atol=1e-5, rtol=0)


def test_quantus_calls_small_falls_better(quantus):
    """It returns how far the score falls, the most relevant first, and says that lower is better."""
    model, x = Picture(channels=1).float(), pictures(size=8)[:, :1].float()
    with evaluation_of(model, x, "input_x_gradient", readout="probability") as evaluation:
        maps = evaluation.attribution.point[0].numpy()
    metric = quantus.RegionPerturbation(
        patch_size=2, perturb_baseline=0.0, abs=False, normalise=False, disable_warnings=True, return_aggregate=False
    )
    assert metric.score_direction.value == "lower"
    right, wrong = (
        np.mean(metric(model=model.eval(), x_batch=x.numpy(), y_batch=TARGET.numpy(), a_batch=a, softmax=True))
        for a in (maps, -maps)
    )
    assert right > wrong
