import itertools

import numpy as np
import pytest
import torch

from lightning_explain.attribution.regions import EveryFeature, Patches
from lightning_explain.metrics import DeletionAUC, Selectivity
from metrics.evaluations import TARGET, Linear, Pair, Picture, evaluation_of, pictures, rows, with_scores


@pytest.mark.parametrize("size", [1, 2, 4])
def test_the_area_is_that_of_a_loop(size):
    """Take the patch of the highest relevance that is still there, record the score, and so on; add trapezia up."""
    model, x, x0 = Picture(), pictures(), pictures(seed=5)
    step = min(size, 3)
    with evaluation_of(model, x, "input_x_gradient", readout="probability", baseline=x0) as evaluation:
        scores = evaluation.attribution.point[0].sum(dim=1)
        got = Selectivity(Patches(size)).per_sample(evaluation)
    for i in range(4):
        there = {(r, c) for r in range(0, 6, step) for c in range(0, 6, step)}
        point, curve = x[i].clone(), []
        while True:
            with torch.no_grad():
                curve.append(float(model(point[None]).softmax(1)[0, TARGET[i]]))
            if not there:
                break
            r, c = max(there, key=lambda p, i=i: float(scores[i, p[0] : p[0] + step, p[1] : p[1] + step].mean()))
            there.remove((r, c))
            point[:, r : r + step, c : c + step] = x0[i][:, r : r + step, c : c + step]
        area = sum((a + b) / 2 for a, b in itertools.pairwise(curve)) / (len(curve) - 1)
        assert float(got[i]) == pytest.approx(area, abs=1e-10)


def test_linear_models_have_a_closed_form():
    model = Linear((4,), classes=1)
    model.weight.data = torch.tensor([[1.0, 2.0, 4.0, 8.0]], dtype=torch.float64)
    with evaluation_of(model, torch.ones(2, 4, dtype=torch.float64), "input_x_gradient", target=0) as evaluation:
        # Patches of two: 15, 3, 0.
        assert Selectivity().per_sample(evaluation).tolist() == [(15 / 2 + 3 + 0) / 2] * 2


def test_it_is_the_deletion_area_with_a_point_for_every_region():
    with evaluation_of(Pair(), (pictures(), rows()), readout="probability") as evaluation:
        ours = Selectivity(EveryFeature()).per_sample(evaluation)
        torch.testing.assert_close(ours, DeletionAUC(steps=41).per_sample(evaluation))


def test_maps_that_order_nothing_are_undefined():
    with evaluation_of(Picture(), pictures()) as evaluation:
        scores = evaluation.attribution.point[0].clone()
        scores[2] = -1
        got = Selectivity().per_sample(with_scores(evaluation, scores))
        assert got.isnan().tolist() == [False, False, True, False]


def test_settings():
    assert (Selectivity().perfect("probability"), Selectivity().perfect("raw")) == (0, None)
    assert Selectivity(fill="uniform").course.fill == "uniform"


def test_the_curve_is_that_of_quantus(quantus):
    """For one channel and patches of one size; its curve begins after the first patch."""
    model, x = Picture(channels=1).float(), pictures(size=8)[:, :1].float()
    with evaluation_of(model, x, "input_x_gradient", readout="probability") as evaluation:
        curve = evaluation.curve(evaluation.perturbations.one_by_one(Selectivity(partition=Patches(2)).course)).values
        maps = evaluation.attribution.point[0].numpy()
    metric = quantus.Selectivity(
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
    torch.testing.assert_close(curve[:, 1:], torch.tensor(np.array(theirs)).to(curve), atol=1e-5, rtol=0)
