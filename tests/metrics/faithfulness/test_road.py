from itertools import product

import numpy as np
import pytest
import torch
from torch import nn

from lightning_explain import Input, Neuron, ProbeSet, Saliency
from lightning_explain.attribution import fill
from lightning_explain.attribution.regions import Grid
from lightning_explain.metrics import ROAD
from lightning_explain.metrics.evaluation import RandomEvaluation
from metrics.evaluations import TARGET, Linear, Pair, Picture, evaluation_of, pictures, rows, with_scores


def imputed_by_elimination(x, gone):
    """One equation for every pixel: it is what it is, or the weighted mean of its neighbours."""
    side = x.shape[1]
    pixels = list(product(range(side), repeat=2))
    matrix, right = torch.eye(side**2, dtype=torch.float64), x.flatten(1).T.clone()
    for i, (r, c) in enumerate(pixels):
        if gone[r, c]:
            near = {
                (a, b): 12 if abs(r - a) + abs(c - b) > 1 else 6
                for a, b in pixels
                if 0 < max(abs(r - a), abs(c - b)) < 2
            }
            total = sum(1 / weight for weight in near.values())
            right[i] = 0
            for (a, b), weight in near.items():
                matrix[i, a * side + b] = -1 / weight / total
    return torch.linalg.solve(matrix, right).T.view_as(x)


@pytest.mark.parametrize("order", ["morf", "lerf", "difference"])
@pytest.mark.parametrize("readout", ["top", "probability"])
def test_scores_are_those_of_a_loop_without_the_noise(monkeypatch, order, readout):
    monkeypatch.setattr(fill, "NOISE", 0.0)
    model, x, percentages = Picture(), pictures(3), (20, 70)
    model.head.weight.data *= 5
    with evaluation_of(model, x, "input_x_gradient", target=TARGET[:3], readout="probability") as evaluation:
        scores = evaluation.scores
        got = ROAD(percentages, order, readout).per_sample(evaluation)
    for i in range(3):
        means = {}
        for first in ("morf", "lerf"):
            ranked = sorted(range(36), key=lambda d, i=i: -float(scores[i, d]))
            ranked = ranked if first == "morf" else ranked[::-1]
            said = []
            for percentage in percentages:
                gone = torch.zeros(36, dtype=torch.bool)
                gone[ranked[: round(36 * percentage / 100)]] = True
                with torch.no_grad():
                    out = model(imputed_by_elimination(x[i], gone.view(6, 6))[None]).softmax(1)[0]
                said.append(float(out.argmax() == TARGET[i]) if readout == "top" else float(out[TARGET[i]]))
            means[first] = sum(said) / len(said)
        expected = means["lerf"] - means["morf"] if order == "difference" else means[order]
        assert float(got[i]) == pytest.approx(expected, abs=1e-5)


class Brightest(nn.Module):
    """Class 1 if the middle of the picture is bright, else class 0."""

    def forward(self, x):
        middle = x[:, :, 3:5, 3:5].mean(dim=(1, 2, 3))
        return torch.stack([0.5 - middle, middle - 0.5], dim=1)


def test_a_map_that_points_at_what_counts_beats_its_opposite():
    x = torch.zeros(2, 1, 8, 8, dtype=torch.float64)
    x[:, :, 3:5, 3:5] = 1
    with evaluation_of(Brightest(), x, target=torch.tensor([1, 1])) as evaluation:
        good = x + torch.linspace(0, 1e-3, 64, dtype=torch.float64).view(8, 8)
        scored = {
            (order, sign): ROAD((10, 50), order).per_sample(with_scores(evaluation, sign * good)).tolist()
            for order in ("morf", "lerf", "difference")
            for sign in (1, -1)
        }
    assert scored["morf", 1] == scored["lerf", -1] == [0, 0]
    assert scored["lerf", 1] == scored["morf", -1] == [1, 1]
    assert scored["difference", 1] == [1, 1]
    assert scored["difference", -1] == [-1, -1]


@pytest.mark.parametrize(
    ("settings", "count"), [({"percentages": (30,)}, 1), ({}, 7), ({"order": "lerf"}, 7), ({"order": "difference"}, 14)]
)
def test_a_percentage_costs_a_row(settings, count):
    model, seen = Picture(), []
    with evaluation_of(model, pictures()) as evaluation:
        handle = model.register_forward_hook(lambda module, args, out: seen.append(len(out)))
        first = ROAD(**settings).per_sample(evaluation)
        assert sum(seen) == 4 * count
        assert torch.equal(ROAD(**settings).per_sample(evaluation), first)
        assert sum(seen) == 4 * count
        handle.remove()


def test_orders_share_their_rows():
    model, seen = Picture(), []
    with evaluation_of(model, pictures()) as evaluation:
        handle = model.register_forward_hook(lambda module, args, out: seen.append(len(out)))
        difference, most, least = (ROAD(order=o).per_sample(evaluation) for o in ("difference", "morf", "lerf"))
        torch.testing.assert_close(difference, least - most)
        assert sum(seen) == 4 * 14
        handle.remove()


@pytest.mark.parametrize("case", ["pair", "series", "elements", "last", "cells"])
def test_variables_of_every_kind(case):
    x, model, place, partition = pictures(), Picture(), Input(), {}
    if case == "pair":
        x, model = (pictures(), rows()), Pair()
    elif case == "series":
        x = torch.randn(4, 2, 12, dtype=torch.float64)
        model = Linear((2, 12))
    elif case == "elements":
        place = Input(channel_dim=None)
    elif case == "last":
        x, place = x.movedim(1, -1).contiguous(), Input(channel_dim=-1)
        model = Linear((6, 6, 2))
    else:
        partition = {"partition": Grid(3)}
    with evaluation_of(model, x, "input_x_gradient", place=place, readout="probability") as evaluation:
        got = ROAD(readout="probability", **partition).per_sample(evaluation)
        assert bool(((got > 0) & (got < 1)).all())
        top = ROAD(**partition).per_sample(evaluation)
        torch.testing.assert_close((top * 7).round(), top * 7)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_other_precisions(dtype):
    model, x = Picture(), pictures()
    with evaluation_of(model, x, "input_x_gradient", readout="probability") as evaluation:
        expected = ROAD(readout="probability").per_sample(evaluation)
        scores = evaluation.attribution.point[0]
    with evaluation_of(model.to(dtype), x.to(dtype), readout="probability") as evaluation:
        got = ROAD(readout="probability").per_sample(with_scores(evaluation, scores))
    assert got.dtype == torch.float32
    torch.testing.assert_close(got, expected, atol=0.1 if dtype == torch.bfloat16 else 1e-4, rtol=0, check_dtype=False)


def test_where_there_is_no_class_it_is_undefined():
    x = rows(3, 5)
    with evaluation_of(Linear((5,), classes=1), x, target=0) as evaluation:
        assert ROAD().per_sample(evaluation).isnan().all()
        assert ROAD(readout="probability").per_sample(evaluation).isfinite().all()
        assert ROAD().per_sample(RandomEvaluation(evaluation.perturbations)).isnan().all()
    regression = ProbeSet(x, target="output")
    classes = ProbeSet(x, target=torch.tensor([0, 1, 0]))
    assert "take readout='probability'" in ROAD().missing(Saliency(), Input(), regression)
    assert "explains a neuron" in ROAD().missing(Saliency(), Neuron("conv", 0), classes)
    assert ROAD().missing(Saliency(), Input(), classes) is None
    assert ROAD(readout="probability").missing(Saliency(), Input(), regression) is None


def test_maps_that_order_nothing_are_undefined():
    with evaluation_of(Picture(), pictures()) as evaluation:
        scores = evaluation.attribution.point[0].clone()
        scores[0] = 7
        for order in ("morf", "difference"):
            got = ROAD(order=order).per_sample(with_scores(evaluation, scores))
            assert got.isnan().tolist() == [True, False, False, False]


def test_a_map_of_zeros_at_most_loses_the_share_that_was_asked_for():
    """Ranks, not thresholds: with a threshold at the percentile all zeros would go at once."""
    x = pictures()
    with evaluation_of(Picture(), x) as evaluation:
        scores = torch.zeros(4, 2, 6, 6, dtype=torch.float64)
        scores[:, :, 2, 3] = 1
        curve = with_scores(evaluation, scores).curve(ROAD((30,)).course)
    assert curve.shares.tolist() == pytest.approx([11 / 36])


def test_the_global_generators_are_left_alone():
    with evaluation_of(Picture(), pictures()) as evaluation:
        torch.manual_seed(3)
        states = torch.get_rng_state(), np.random.get_state()[1].copy()
        ROAD().per_sample(evaluation)
        assert torch.equal(torch.get_rng_state(), states[0])
        assert np.array_equal(np.random.get_state()[1], states[1])


def test_settings():
    assert [ROAD(order=o).higher_is_better for o in ("morf", "lerf", "difference")] == [False, True, True]
    assert [ROAD(order=o).perfect("raw") for o in ("morf", "lerf", "difference")] == [0, 1, 1]
    assert [ROAD(readout="probability").perfect(r) for r in ("raw", "probability")] == [None, 0]
    assert ROAD((50, 10)).course.shares == (0.1, 0.5)
    with pytest.raises(ValueError, match=r"between 0 and 100, at least one, got \(50, 100\)"):
        ROAD((50, 100))
    with pytest.raises(ValueError, match=r"at least one, got \(\)"):
        ROAD(())
    with pytest.raises(ValueError, match=r"order 'both'.*difference"):
        ROAD(order="both")
    with pytest.raises(ValueError, match=r"readout 'raw'.*probability"):
        ROAD(readout="raw")


def test_quantus_raises_on_colors_and_forgets_all_batches_but_the_first(quantus):
    x, scores, label = torch.rand(4, 3, 8, 8).numpy(), torch.rand(4, 1, 8, 8).numpy(), np.array([0, 1, 2, 1])

    def road(channels, samples, **settings):
        metric = quantus.ROAD(
            percentages=[10, 50], return_aggregate=False, disable_warnings=True, display_progressbar=False
        )
        return metric(
            model=Picture(channels=channels).float().eval(),
            x_batch=x[:samples, :channels],
            y_batch=label[:samples],
            a_batch=scores[:samples],
            device="cpu",
            **settings,
        )

    with pytest.raises(IndexError, match="out of bounds"):
        road(3, 4)
    assert road(1, 4, batch_size=2) == road(1, 2)
    assert road(1, 4, batch_size=2) != road(1, 4)
