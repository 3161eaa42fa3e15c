import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from metrics.evaluations import TARGET, Linear, Pair, Picture, Watched, pictures, problem_of, rows

from lightning_explain import Input, Layer, Neuron
from lightning_explain.attribution.budget import RowBudget


@pytest.mark.parametrize(("cells", "share", "expected"), [(3, 0.34, 3), (6, 0.2, 7), (2, 0.01, 1), (2, 1.0, 4)])
def test_random_removals_take_that_share_of_whole_cells(cells, share, expected):
    with problem_of(Picture(), pictures()) as problem:
        perturbations = Watched(problem, removals=50, cells=cells, share=share)
        masks = perturbations.masks.view(50, 6, 6)
    assert perturbations.taken.sum(dim=1).tolist() == [expected] * 50
    side = 6 // cells
    blocks = masks.view(50, cells, side, cells, side).permute(0, 1, 3, 2, 4).flatten(3)
    assert bool((blocks.all(dim=3) == blocks.any(dim=3)).all())  # a cell goes whole, or stays
    assert blocks.any(dim=3).flatten(1).sum(dim=1).tolist() == [expected] * 50
    if expected < cells**2:
        assert len({tuple(mask.flatten().tolist()) for mask in masks}) > 3


def test_removals_are_the_same_for_a_seed_whatever_the_model_and_the_global_generators():
    with problem_of(Picture(1), pictures(4)) as one, problem_of(Picture(2), pictures(2), TARGET[:2]) as two:
        first = Watched(one, removals=9, seed=3)
        torch.manual_seed(99)
        np.random.seed(99)
        random.seed(99)
        states = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
        second, other = Watched(two, removals=9, seed=3), Watched(two, removals=9, seed=4)
        assert torch.equal(first.masks, second.masks)
        assert not torch.equal(second.masks, other.masks)
        assert torch.equal(torch.get_rng_state(), states[0])
        assert np.array_equal(np.random.get_state()[1], states[1])
        assert random.getstate() == states[2]


@pytest.mark.parametrize(
    ("shape", "count"),
    [((2, 6, 6), 36), ((2, 9), 9), ((7,), 7), ((), 1), ((2, 3, 2, 4), 24)],
)
def test_features_are_positions_whatever_the_shape(shape, count):
    z = torch.randn(3, *shape, dtype=torch.float64)
    model = Linear(shape) if shape else torch.nn.Identity()
    reshaped = z if shape else z.view(3)
    with problem_of(model, reshaped, 0 if shape else "output") as problem:
        perturbations = Watched(problem, removals=5)
        assert perturbations.features.count == count
        assert perturbations.masks.shape == (5, count)
        assert perturbations.drops.shape == (3, 5)


def drops_by_hand(model, inputs, baseline, target, masks):
    """Every sample, every removal: copy, overwrite, look."""
    drops = torch.empty(len(target), len(masks), dtype=torch.float64)
    for i in range(len(target)):
        for k, mask in enumerate(masks):
            left = [x[i : i + 1].clone() for x in inputs]
            start = 0
            for x, x0 in zip(left, baseline, strict=True):
                places = [()] if x.ndim < 2 else np.ndindex(*(x.shape[2:] if x.ndim > 2 else x.shape[1:]))
                for number, position in enumerate(places):
                    if mask[start + number]:
                        where = (0, slice(None), *position) if x.ndim > 2 else (0, *position)
                        x[where] = x0[i][where[1:]]
                start += number + 1
            with torch.no_grad():
                full = model(*[x[i : i + 1] for x in inputs])[0, target[i]]
                drops[i, k] = full - model(*left)[0, target[i]]
    return drops


def test_drops_are_those_of_a_loop():
    model, x, x0 = Picture(), pictures(), pictures(seed=5)
    with problem_of(model, x, baseline=x0) as problem:
        perturbations = Watched(problem, "probability", removals=6, cells=3)
        expected = drops_by_hand(model, (x,), (x0,), TARGET, perturbations.masks)
        torch.testing.assert_close(perturbations.drops, expected)
        assert expected.abs().min() > 0


def test_drops_of_several_inputs_are_those_of_a_loop():
    model, inputs = Pair(), (pictures(), rows())
    baseline = tuple(torch.full_like(x, 0.5) for x in inputs)
    with problem_of(model, inputs, baseline=baseline) as problem:
        perturbations = Watched(problem, removals=8, cells=2)
        masks = perturbations.masks
        assert masks.shape == (8, 36 + 5)
        expected = drops_by_hand(model, inputs, baseline, TARGET, masks)
        torch.testing.assert_close(perturbations.drops, expected)


def test_foretold_is_the_sum_over_what_is_removed():
    with problem_of(Pair(), (pictures(), rows())) as problem:
        perturbations = Watched(problem, removals=10, cells=3)
        contributions = torch.randn(4, 41, generator=torch.Generator().manual_seed(0))
        got = perturbations.foretold(contributions)
        masks = perturbations.masks
    for i in range(4):
        for k in range(10):
            expected = sum(float(c) for c, gone in zip(contributions[i], masks[k], strict=True) if gone)
            assert float(got[i, k]) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("readout", ["raw", "probability"])
def test_curves_are_those_of_a_loop_over_steps(readout):
    model, x, x0 = Picture(), pictures(3), pictures(3, seed=5)
    scores = torch.randn(3, 36, generator=torch.Generator().manual_seed(0)).round(decimals=1)  # some ties
    target = TARGET[:3]
    with problem_of(model, x, target, baseline=x0) as problem:
        perturbations = Watched(problem, readout, steps=8)
        deletion, insertion = perturbations.curves(scores)

    def read(point, i):
        with torch.no_grad():
            outputs = model(point[None])[0]
        return float((outputs.softmax(0) if readout == "probability" else outputs)[target[i]])

    for i in range(3):
        order = sorted(range(36), key=lambda d, i=i: -float(scores[i, d]))  # Python's sort is stable
        for step in range(9):
            gone = round(36 * step / 8)
            deleted, inserted = x[i].clone(), x0[i].clone()
            for d in order[:gone]:
                deleted[:, d // 6, d % 6] = x0[i][:, d // 6, d % 6]
                inserted[:, d // 6, d % 6] = x[i][:, d // 6, d % 6]
            assert float(deletion[i, step]) == pytest.approx(read(deleted, i), abs=1e-10)
            assert float(insertion[i, step]) == pytest.approx(read(inserted, i), abs=1e-10)


@pytest.mark.parametrize("readout", ["raw", "probability"])
def test_curves_begin_and_end_at_the_input_and_the_baseline(readout):
    model, x = Picture(), pictures()
    with problem_of(model, x, baseline=0.7) as problem:
        perturbations = Watched(problem, readout)
        deletion, insertion = perturbations.curves(torch.randn(4, 36))
    with torch.no_grad():
        full, empty = model(x), model(torch.full_like(x, 0.7))
    if readout == "probability":
        full, empty = full.softmax(1), empty.softmax(1)
    pick = torch.arange(4), TARGET
    torch.testing.assert_close(deletion[:, 0], full[pick])
    torch.testing.assert_close(deletion[:, -1], empty[pick])
    torch.testing.assert_close(insertion[:, 0], empty[pick])
    torch.testing.assert_close(insertion[:, -1], full[pick])


def test_drops_are_read_raw_also_where_curves_are_probabilities():
    with problem_of(Picture(), pictures()) as problem:
        raw = Watched(problem, "raw", removals=4)
        shown = Watched(problem, "probability", removals=4)
        assert torch.equal(raw.drops, shown.drops)
        assert not torch.allclose(raw.curves(torch.randn(4, 36))[0][:, 0], shown.curves(torch.randn(4, 36))[0][:, 0])


def test_what_is_shown_is_read_as_asked_and_made_once():
    with problem_of(Picture(), pictures()) as problem:
        perturbations = Watched(problem, "probability").perturbations
        shown = perturbations.shown()
        assert shown.readout == "probability"
        assert perturbations.shown("probability") is shown
        assert perturbations.shown("raw") is problem
        torch.testing.assert_close(shown.value, problem.model(pictures()).softmax(1)[torch.arange(4), TARGET].detach())


def test_few_features_go_one_by_one():
    weight = torch.tensor([[4.0, 2.0, 1.0]], dtype=torch.float64)
    model = Linear((3,), classes=1)
    model.weight.data = weight
    with problem_of(model, torch.ones(2, 3, dtype=torch.float64), 0) as problem:
        perturbations = Watched(problem, steps=16)
        deletion, insertion = perturbations.curves(weight.expand(2, 3))
        assert perturbations.shares.tolist() == pytest.approx([0, 1 / 3, 2 / 3, 1])
    assert deletion.tolist() == [[7, 3, 1, 0]] * 2
    assert insertion.tolist() == [[0, 4, 6, 7]] * 2


def test_one_feature_has_no_point_between():
    with problem_of(Linear((1,)), torch.ones(3, 1, dtype=torch.float64), TARGET[:3]) as problem:
        deletion, insertion = Watched(problem).curves(torch.randn(3, 1))
    assert deletion.shape == insertion.shape == (3, 2)
    torch.testing.assert_close(deletion, insertion.flip(1))


def test_curves_stand_at_the_share_of_features_that_is_really_gone():
    with problem_of(Linear((17,)), rows(4, 17)) as problem:
        perturbations = Watched(problem, steps=4)
        assert (perturbations.shares * 17).tolist() == pytest.approx([0, 4, 8, 13, 17])


def test_removals_at_a_layer_overwrite_its_output():
    model, x = Picture(), pictures()
    with problem_of(model, x, baseline=0.2, place=Layer("conv")) as problem:
        perturbations = Watched(problem, removals=5, cells=3)
        masks, drops = perturbations.masks.view(5, 6, 6), perturbations.drops
    with torch.no_grad():
        hidden, empty = model.conv(x), model.conv(torch.full_like(x, 0.2))
        pick = torch.arange(4), TARGET

        def rest(z):
            return model.head(torch.tanh(model.conv2(torch.tanh(z * 2))).mean(dim=(2, 3)))[pick] * 4

        for k in range(5):
            left = hidden.clone()
            left[:, :, masks[k]] = empty[:, :, masks[k]]
            torch.testing.assert_close(drops[:, k], rest(hidden) - rest(left))


def test_removals_at_a_layers_input_overwrite_what_it_is_given():
    model, x = Picture(), pictures()
    with problem_of(model, x, place=Layer("conv2", of="input")) as problem:
        perturbations = Watched(problem, removals=5, cells=3)
        masks, drops = perturbations.masks.view(5, 6, 6), perturbations.drops
    with torch.no_grad():
        hidden, empty = (torch.tanh(model.conv(point) * 2) for point in (x, torch.zeros_like(x)))
        pick = torch.arange(4), TARGET

        def rest(z):
            return model.head(torch.tanh(model.conv2(z)).mean(dim=(2, 3)))[pick] * 4

        for k in range(5):
            left = torch.where(masks[k], empty, hidden)
            torch.testing.assert_close(drops[:, k], rest(hidden) - rest(left))


def test_removals_for_a_neuron_are_watched_in_that_neuron():
    model, x = Picture(), pictures()
    with problem_of(model, x, baseline=0.2, place=Neuron("conv2", (slice(None), 2, 3))) as problem:
        perturbations = Watched(problem, removals=5, cells=3)
        masks, drops = perturbations.masks.view(5, 6, 6), perturbations.drops

    def unit(point):
        with torch.no_grad():
            return model.conv2(torch.tanh(model.conv(point) * 2))[:, :, 2, 3].sum(dim=1)

    for k in range(5):
        torch.testing.assert_close(drops[:, k], unit(x) - unit(torch.where(masks[k], 0.2, x)))


def test_every_element_is_a_feature_where_no_dimension_is_spanned_whole():
    with problem_of(Picture(), pictures(), place=Input(channel_dim=None)) as problem:
        perturbations = Watched(problem, removals=3, cells=6)
        assert perturbations.features.count == 72
        masks = perturbations.masks.view(3, 2, 6, 6)
        assert bool((masks[:, 0] != masks[:, 1]).any())
        assert perturbations.curves(torch.randn(4, 72))[0].shape == (4, 17)


def test_channels_may_stand_last():
    x = pictures().permute(0, 2, 3, 1).contiguous()
    model = Linear((6, 6, 2))
    with problem_of(model, x, place=Input(channel_dim=-1)) as problem:
        perturbations = Watched(problem, removals=4, cells=3)
        masks = perturbations.masks
        assert masks.shape == (4, 36)
        for k in range(4):
            gone = masks[k].view(1, 6, 6, 1)
            expected = (x * gone * model.weight.detach()[TARGET]).flatten(1).sum(dim=1)
            torch.testing.assert_close(perturbations.drops[:, k], expected)


def test_integer_inputs_can_be_removed():
    class Bag(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.table = torch.nn.Parameter(torch.randn(9, 3, generator=torch.Generator().manual_seed(0)))

        def forward(self, tokens):
            return self.table[tokens].sum(dim=1)

    tokens = torch.tensor([[1, 2, 3, 4], [5, 6, 7, 8], [8, 1, 1, 2]])
    model = Bag()
    with problem_of(model, tokens, TARGET[:3], baseline=torch.zeros_like(tokens)) as problem:
        perturbations = Watched(problem, removals=6)
        for k, mask in enumerate(perturbations.masks):
            table = model.table.detach()[:, TARGET[:3]]
            expected = torch.stack([
                sum(table[t, i] - table[0, i] for t, gone in zip(tokens[i], mask, strict=True) if gone)
                for i in range(3)
            ])
            torch.testing.assert_close(perturbations.drops[:, k], expected)


@pytest.mark.parametrize("max_rows", [1, 3, 64])
def test_chunks_do_not_matter(max_rows):
    with problem_of(Pair(), (pictures(), rows())) as problem:
        whole = Watched(replace(problem, budget=RowBudget(10_000)), "probability", removals=7)
        parts = Watched(replace(problem, budget=RowBudget(max_rows)), "probability", removals=7)
        torch.testing.assert_close(parts.drops, whole.drops)
        scores = torch.randn(4, 41, generator=torch.Generator().manual_seed(1))
        for one, other in zip(parts.curves(scores), whole.curves(scores), strict=True):
            torch.testing.assert_close(one, other)
