import numpy as np
import pytest
import torch
from torch import nn

from lightning_explain import GradCAM, Input, Layer, ProbeSet, Saliency, explain
from lightning_explain.metrics import Continuity
from lightning_explain.metrics.robustness.continuity import absolute_sum, translated
from metrics.evaluations import TARGET, Linear, Pair, Picture, evaluation_of, pictures, rows
from metrics.oracles import oracle


@pytest.fixture(scope="module")
def quantus():
    return oracle("quantus")


def moved_by_hand(x, distance, fill, axis):
    """Element by element, along the last (-1) or the last but one (-2) dimension."""
    result = fill.clone()
    side = x.shape[axis]
    for place in range(side):
        source = place - distance
        if 0 <= source < side:
            result.select(axis, place).copy_(x.select(axis, source))
    return result


@pytest.mark.parametrize("distance", [-9, -6, -2, -1, 1, 3, 5, 6, 7])
@pytest.mark.parametrize("axis", [-1, -2])
def test_translations(distance, axis):
    x, fill = pictures(), pictures(seed=3)
    got = translated(x, fill, distance, x.ndim + axis)
    torch.testing.assert_close(got, moved_by_hand(x, distance, fill, axis), atol=0, rtol=0)
    assert not torch.equal(got, x)


def by_hand(model, x, method, distances, baseline, axis=-1):
    result = []
    for i in range(len(x)):
        one, ratios = x[i : i + 1], []
        original = explain(model, one, method, target=TARGET[i : i + 1]).values
        for distance in distances:
            other = moved_by_hand(one, distance, baseline[i : i + 1], axis)
            change = explain(model, other, method, target=TARGET[i : i + 1]).values - original
            ratios.append(float(change.abs().sum()) / float((other - one).square().sum()) ** 0.5)
        result.append(max(ratios))
    return torch.tensor(result, dtype=torch.float64)


@pytest.mark.parametrize("method", ["saliency", "input_x_gradient"])
@pytest.mark.parametrize("axis", [-1, -2])
def test_it_is_the_largest_of_separately_explained_translations(method, axis):
    model, x = Picture(), pictures()
    with evaluation_of(model, x, method) as evaluation:
        got = Continuity((-3, 1, 2), along=axis).per_sample(evaluation)
    torch.testing.assert_close(got, by_hand(model, x, method, (-3, 1, 2), torch.zeros_like(x), axis))
    assert float(got.min()) > 0


def test_edges_are_filled_with_the_baseline():
    model, x = Picture(), pictures()
    with evaluation_of(model, x, "saliency", baseline="mean") as evaluation:
        got = Continuity((2, -1)).per_sample(evaluation)
    filled = by_hand(model, x, "saliency", (2, -1), x.mean(dim=0, keepdim=True).expand_as(x))
    torch.testing.assert_close(got, filled)
    assert not torch.allclose(got, by_hand(model, x, "saliency", (2, -1), torch.zeros_like(x)))


def test_series_move_in_time_and_tables_stay():
    class Series(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = Pair()

        def forward(self, series, row):
            return self.inner(series[..., None].expand(-1, -1, -1, 6), row)

    series = pictures()[..., 0]
    with evaluation_of(Series(), (series, rows()), "saliency") as evaluation:
        metric = Continuity((1,), along=-2)  # a series has one dimension of positions: time
        moved, row = metric._translated(evaluation.problem, 1)
        assert torch.equal(row, rows())
        assert torch.equal(moved[..., 1:], series[..., :-1])
        assert torch.equal(moved[..., 0], torch.zeros(4, 2, dtype=torch.float64))
        explained = evaluation.explain(evaluation.problem.with_inputs((moved, row)))
        change = sum((a - b).abs().flatten(1).sum(1) for a, b in zip(explained, evaluation.point, strict=True))
        expected = change / (moved - series).flatten(1).norm(dim=1)
        torch.testing.assert_close(metric.per_sample(evaluation), expected)


def test_channels_do_not_move():
    class Last(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = Picture()

        def forward(self, x):
            return self.inner(x.movedim(-1, 1))

    x = pictures()
    with evaluation_of(Picture(), x, "saliency") as evaluation:
        expected = Continuity().per_sample(evaluation)
    with evaluation_of(Last(), x.movedim(1, -1), "saliency", place=Input(channel_dim=-1)) as evaluation:
        torch.testing.assert_close(Continuity().per_sample(evaluation), expected)
    with evaluation_of(Picture(), x, "saliency", place=Input(channel_dim=None)) as evaluation:
        torch.testing.assert_close(Continuity().per_sample(evaluation), expected)


def test_a_linear_gradient_stays_and_input_x_gradient_moves_along():
    model, x = Linear((2, 6, 6)), pictures()
    with evaluation_of(model, x, Saliency(absolute=False)) as evaluation:
        assert float(Continuity().per_sample(evaluation).max()) < 1e-12
    model.weight.data = torch.full_like(model.weight, 2.0)
    with evaluation_of(model, x, "input_x_gradient") as evaluation:
        got = Continuity((1,)).per_sample(evaluation)
    difference = moved_by_hand(x, 1, torch.zeros_like(x), -1) - x
    torch.testing.assert_close(got, 2 * difference.abs().flatten(1).sum(1) / difference.flatten(1).norm(dim=1))


def test_layers_and_coarse_maps():
    model, x = Picture(), pictures(size=8)
    for settings in ({"method": "saliency", "place": Layer("conv")}, {"method": GradCAM("conv2", signed=True)}):
        with evaluation_of(model, x, **settings) as evaluation:
            got = Continuity((1, -1)).per_sample(evaluation)
            ratios = []
            for distance in (1, -1):
                other = moved_by_hand(x, distance, torch.zeros_like(x), -1)
                change = evaluation.explain(evaluation.problem.with_inputs(other))[0] - evaluation.point[0]
                ratios.append(change.abs().flatten(1).sum(1) / (other - x).flatten(1).norm(dim=1))
            torch.testing.assert_close(got, torch.stack(ratios).amax(dim=0))


def test_each_distance_costs_an_explanation():
    seen, model = [], Picture()
    model.register_forward_hook(lambda _module, args, _result: seen.append(len(args[0])))
    with evaluation_of(model, pictures(), "saliency") as evaluation:
        seen.clear()
        Continuity((1, 2, -2)).per_sample(evaluation)
    assert sum(seen) == 3 * 4


def test_samples_that_no_translation_changes_are_undefined():
    x = pictures()
    x[2] = 0  # its own baseline
    with evaluation_of(Picture(), x, "saliency") as evaluation:
        assert torch.isnan(Continuity().per_sample(evaluation)).tolist() == [False, False, True, False]


def test_norms_add_up_over_tensors_in_double_precision():
    point = (torch.tensor([[1.0, -2.0]]), torch.tensor([[[2.0**-30]]]))
    assert float(absolute_sum(point)) == 3 + 2.0**-30


def test_probe_sets_without_positions():
    reason = Continuity().missing(Saliency(), Input(), ProbeSet.from_tensors(torch.randn(3, 5), target=0))
    assert "no pictures or series" in reason
    pair = ProbeSet.from_tensors((torch.randn(3, 5), torch.randn(3, 2, 7)), target=0)
    assert Continuity().missing(Saliency(), Input(), pair) is None


@pytest.mark.parametrize("distances", [(), (1, 0)])
def test_distances_are_checked(distances):
    with pytest.raises(ValueError, match="distances are one and more numbers of positions, none of them 0"):
        Continuity(distances)


def test_the_dimension_is_checked():
    with pytest.raises(ValueError, match="along counts dimensions from the last, -1, got 2"):
        Continuity(along=2)


@pytest.mark.skipif(int(np.__version__.split(".")[0]) < 2, reason="np.NaN is there before NumPy 2")
def test_quantus_fails_under_numpy_2_where_predictions_may_change(quantus):
    model, x = Picture().float().eval(), pictures().float().numpy()
    metric = quantus.Continuity(nr_steps=3, disable_warnings=True, return_nan_when_prediction_changes=True)

    def ours(model, inputs, targets, **_):
        return inputs.sum(axis=1, keepdims=True)

    with pytest.raises(AttributeError, match=r"`np\.NaN` was removed"):
        metric(model=model, x_batch=x, y_batch=TARGET.numpy(), a_batch=None, explain_func=ours)
