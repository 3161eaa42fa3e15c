import itertools

import numpy as np
import pytest
import torch

from lightning_explain.attribution import regions as regions_module
from lightning_explain.attribution.regions import Grid, Regions, Segments
from lightning_explain.metrics import IROF, METRICS
from lightning_explain.metrics.faithfulness.irof import irof
from lightning_explain.metrics.perturbation import Curve
from metrics.evaluations import TARGET, Linear, Pair, Picture, evaluation_of, pictures, rows, with_scores


class Own:
    """Segments of each picture's own: 5, 2, 3 and 1 of them."""

    ids = torch.stack([
        torch.arange(36) // 8,
        torch.arange(36) % 3 // 2,
        torch.arange(36) // 16,
        torch.zeros(36).long(),
    ])

    def __call__(self, z, space):
        return Regions(self.ids, 5)


def blobs(n=3, channels=3, side=12):
    """Pictures of plain rectangles, a different number in each."""
    x = torch.zeros(n, channels, side, side, dtype=torch.float64)
    for i in range(n):
        for k in range(i + 2):
            x[i, k % channels, k * side // (i + 2) :] += 0.3 + 0.2 * k
    return x


def irof_by_hand(model, x, x0, scores, ids):
    """Remove segment after segment, the highest mean first; one less the area under the normalised curve."""
    result = []
    for i in range(len(x)):
        segments = sorted({int(s) for s in ids[i]})
        relevance = {s: float(scores[i].flatten()[ids[i] == s].mean()) for s in segments}
        point, curve = x[i].clone(), []
        for s in [None, *sorted(segments, key=lambda s, relevance=relevance: -relevance[s])]:
            if s is not None:
                gone = (ids[i] == s).view(1, *x.shape[2:])
                point = torch.where(gone, x0[i], point)
            with torch.no_grad():
                curve.append(float(model(point[None]).softmax(1)[0, TARGET[i]]))
        relative = [value / curve[0] for value in curve]
        result.append(1 - sum((a + b) / 2 for a, b in itertools.pairwise(relative)) / len(segments))
    return torch.tensor(result, dtype=torch.float64)


def test_segments_of_each_picture_are_removed_as_in_a_loop():
    x = blobs()
    model = Picture(channels=3)
    with evaluation_of(
        model, x, "input_x_gradient", target=TARGET[:3], readout="probability", baseline=0.2
    ) as evaluation:
        metric = IROF(Segments(9, 0.1))
        found = evaluation.perturbations.regions(metric.course.partition)
        assert len(set(found.filled.tolist())) > 1
        scores = evaluation.attribution.point[0].sum(dim=1)
        expected = irof_by_hand(model, x, torch.full_like(x, 0.2), scores, found.ids)
        torch.testing.assert_close(metric.per_sample(evaluation), expected)


def test_a_sample_is_divided_by_the_number_of_its_own_segments():
    model, x, x0 = Picture(), pictures(), pictures(seed=5)
    with evaluation_of(model, x, "input_x_gradient", readout="probability", baseline=x0) as evaluation:
        scores = evaluation.attribution.point[0].sum(dim=1)
        got = IROF(Own()).per_sample(evaluation)
    expected = irof_by_hand(model, x, x0, scores, Own.ids)
    torch.testing.assert_close(got[:3], expected[:3])
    assert bool(got[3].isnan())  # a single segment: nothing is ordered


def test_closed_forms():
    shares = torch.tensor([0.0, 0.25, 0.5, 0.75, 1.0])
    curves = torch.tensor([[4.0, 0, 0, 0, 0], [2.0, 2, 2, 2, 2], [1.0, 0.75, 0.5, 0.25, 0], [1.0, 2, 2, 2, 1]])
    assert irof(Curve(shares, curves)).tolist() == pytest.approx([1 - 1 / 8, 0, 0.5, -0.75])


def test_a_score_that_is_not_positive_has_no_share_to_lose():
    curves = torch.tensor([[0.0, 0.0], [-1.0, -2.0], [torch.nan, torch.nan], [1.0, 0.0]])
    assert irof(Curve(torch.tensor([0.0, 1.0]), curves)).isnan().tolist() == [True, True, True, False]


def test_a_score_that_is_hardly_there_has_no_share_to_lose():
    """A confidently wrong sample would have -7e6 alone."""
    curves = torch.tensor([[1e-7, 0.9, 1.0], [1e-7, 1e-7, 0.0], [0.1, 1.0, 0.1], [0.099, 1.0, 0.1]])
    got = irof(Curve(torch.tensor([0.0, 0.5, 1.0]), curves))
    assert got.isnan().tolist() == [True, False, False, True]
    assert float(got[1]) == pytest.approx(0.25)
    assert float(got[2]) == pytest.approx(1 - 0.55 / 0.1)
    model = Picture()
    with evaluation_of(model, pictures(), "input_x_gradient", readout="probability") as evaluation:
        assert IROF(Grid(3)).per_sample(evaluation).isfinite().any()
    with torch.no_grad():
        model.head.bias -= 40.0 * torch.nn.functional.one_hot(torch.tensor(0), 3)
    with evaluation_of(model, pictures(), "input_x_gradient", readout="probability", baseline=50.0) as evaluation:
        got = IROF(Grid(3)).per_sample(evaluation)
        assert not bool((got < -9).any())


def test_the_exact_contributions_of_a_linear_model_are_the_best_order():
    model = Linear((2, 6, 6), classes=1)
    x = pictures()
    sign = (x * model.weight.detach()).sum(dim=(1, 2, 3)).sign().view(4, 1, 1, 1)
    with evaluation_of(model, x * sign, "input_x_gradient", target=0) as evaluation:
        metric = IROF(Grid(3))
        best = metric.per_sample(evaluation)
        for seed in range(10):
            other = torch.randn(4, 2, 6, 6, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
            assert bool((metric.per_sample(with_scores(evaluation, other)) <= best + 1e-12).all())


def test_each_segment_but_the_last_costs_a_row():
    model, seen = Pair(), []
    with evaluation_of(model, (pictures(), rows()), "input_x_gradient", readout="probability") as evaluation:
        handle = model.register_forward_hook(lambda module, args, out: seen.append(len(out)))
        got = IROF(Grid(2)).per_sample(evaluation)
        assert sum(seen) == 4 * (4 + 4 - 1 + 1)
        handle.remove()
    assert bool(got.isfinite().all())


def test_degenerate_maps_are_undefined():
    with evaluation_of(Picture(), pictures(), readout="probability") as evaluation:
        scores = evaluation.attribution.point[0].clone()
        scores[2] = 0
        got = IROF(Grid(3)).per_sample(with_scores(evaluation, scores))
        assert got.isnan().tolist() == [False, False, True, False]


def test_without_scikit_image_the_user_has_to_choose(monkeypatch):
    monkeypatch.setattr(regions_module, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"pip install 'lightning-explain\[segments\]'"):
        METRICS["irof"]()
    assert IROF(Grid()).course.partition == Grid()


def test_settings():
    assert IROF().course.partition == Segments()
    assert (IROF().perfect("probability"), IROF().perfect("raw")) == (1, None)


def test_quantus_raises_on_colors_and_where_numpy_has_no_trapz(quantus):
    x, maps = blobs().float().numpy(), torch.randn(3, 1, 12, 12).numpy()

    def score(channels):
        metric = quantus.IROF(return_aggregate=False, disable_warnings=True, display_progressbar=False)
        model = Picture(channels=channels).float().eval()
        return metric(model=model, x_batch=x[:, :channels], y_batch=TARGET[:3].numpy(), a_batch=maps, device="cpu")

    with pytest.raises(AssertionError, match="shape of arr must be the same"):
        score(3)
    if hasattr(np, "trapz"):
        assert max(score(1)) > 1  # in units of segments
    else:
        with pytest.raises(AttributeError, match="trapz"):
            score(1)
