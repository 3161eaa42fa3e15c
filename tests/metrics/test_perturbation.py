import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from live import peak

from lightning_explain import Input, Layer, Neuron
from lightning_explain.attribution import removal as removal_module
from lightning_explain.attribution.budget import RowBudget
from lightning_explain.attribution.regions import EveryFeature, Grid, Patches, Regions
from lightning_explain.metrics import perturbation as perturbation_module
from lightning_explain.metrics.perturbation import Course, Curve, Perturbations, Subsets
from metrics.evaluations import TARGET, Linear, Pair, Picture, Watched, pictures, problem_of, rows


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


class Own:
    """Regions of their own for each of four pictures: 4, 2, 3 and 1 of them, of different sizes."""

    ids = torch.stack([
        torch.arange(36) // 10,
        torch.arange(36) % 3 // 2,
        torch.arange(36) // 16,
        torch.zeros(36).long(),
    ])

    def __call__(self, z, space):
        return Regions(self.ids, 4)


def curve_by_hand(problem, partition, scores, course):
    """A sample, a point, a region at a time, on pictures (n, 2, 6, 6)."""
    x, x0 = (
        problem.z[0],
        {"baseline": problem.z0[0], "mean": problem.z[0].mean(dim=0, keepdim=True).expand(4, -1, -1, -1)},
    )
    ids = partition(problem.z, None if isinstance(partition, Own) else Perturbations(problem).features).ids.expand(
        4, -1
    )
    curves, places = [], []
    for i in range(4):
        names = sorted({int(r) for r in ids[i]})
        mean = {
            r: sum(float(scores[i, d]) for d in range(36) if ids[i, d] == r) / int((ids[i] == r).sum()) for r in names
        }
        order = sorted(names, key=lambda r, mean=mean: -mean[r])
        if course.ascending:
            order.reverse()
        most = max(len(set(row.tolist())) for row in ids)
        steps = min(course.steps, most)
        shares = course.shares or [k / steps for k in range(steps + 1)]
        curve, place = [], []
        for share in shares:
            moved = order[: round(share * len(names))]
            gone = torch.tensor([(int(r) in moved) != course.insertion for r in ids[i]]).view(1, 6, 6)
            point = torch.where(gone, x0[course.fill][i], x[i])
            with torch.no_grad():
                curve.append(float(problem.model(point[None])[0, TARGET[i]]))
            place.append(len(moved) / len(names))
        curves.append(curve)
        places.append(place)
    return torch.tensor(curves, dtype=torch.float64), torch.tensor(places, dtype=torch.float64)


@pytest.mark.parametrize("partition", [EveryFeature(), Grid(3), Patches(2), Own()], ids=lambda p: type(p).__name__)
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"ascending": True},
        {"insertion": True},
        {"insertion": True, "ascending": True, "fill": "mean"},
        {"shares": (0.0, 0.1, 0.3, 0.35, 1.0)},
        {"shares": (0.2, 0.6), "ascending": True},
        {"steps": 3, "fill": "mean"},
    ],
    ids=str,
)
def test_every_course_is_that_of_a_loop(partition, settings):
    scores = torch.randn(4, 36, generator=torch.Generator().manual_seed(0)).round()  # many ties
    course = Course(partition, **({"steps": 5} | settings))
    with problem_of(Picture(), pictures(), baseline=pictures(seed=5)) as problem:
        curve = Perturbations(problem).curve(scores, course)
        values, places = curve_by_hand(problem, partition, scores, course)
    torch.testing.assert_close(curve.values, values)
    torch.testing.assert_close(curve.shares.expand_as(places), places)
    assert curve.shares.ndim == (2 if isinstance(partition, Own) else 1)


def test_the_least_relevant_first_is_the_opposite_order_also_of_ties():
    scores = torch.zeros(4, 36)
    with problem_of(Picture(), pictures()) as problem:
        most, least = (Perturbations(problem).curve(scores, Course(steps=36, ascending=a)) for a in (False, True))
        insertion = Perturbations(problem).curve(scores, Course(steps=36, insertion=True))
    torch.testing.assert_close(least.values, insertion.values.flip(1))
    assert not torch.allclose(least.values, most.values)


def test_areas_of_samples_with_regions_of_their_own():
    curve = Curve(torch.tensor([[0.0, 0.5, 1.0], [0.0, 1.0, 1.0]]), torch.tensor([[1.0, 0.5, 0.0], [1.0, 0.0, 0.0]]))
    assert curve.area().tolist() == [0.5, 0.5]


@pytest.mark.parametrize(
    ("settings", "rows"),
    [
        ({}, 8 - 1),  # both ends are known
        ({"insertion": True}, 8 - 1),
        ({"fill": "mean"}, 8),  # the whole sample is known, what is left without anything is not
        ({"fill": "mean", "insertion": True}, 8),
        ({"fill": "noisy_linear", "shares": (0.5,)}, 1),
        ({"shares": (0.0, 1.0)}, 0),
        ({"shares": (0.0, 0.25, 0.5)}, 2),
        ({"partition": Grid(2)}, 3),
        ({"partition": Own()}, 3),
        ({"readout": "probability"}, 7 + 1),  # the baseline has to be read in another way
    ],
    ids=str,
)
def test_rows_of_a_curve(settings, rows):
    model, seen = Picture(), []
    with problem_of(model, pictures()) as problem:
        perturbations = Perturbations(problem)
        problem.value, problem.baseline_value  # noqa: B018  (every curve has them)
        handle = model.register_forward_hook(lambda module, args, out: seen.append(len(out)))
        perturbations.curve(torch.randn(4, 36), Course(**({"steps": 8} | settings)))
        handle.remove()
    assert sum(seen) == 4 * rows


def test_rows_of_random_sets_and_single_regions_are_shared():
    model, seen = Picture(), []
    with problem_of(model, pictures()) as problem:
        problem.value  # noqa: B018
        handle = model.register_forward_hook(lambda module, args, out: seen.append(len(out)))
        for _ in range(2):
            for readout in ("raw", "probability"):
                perturbations = Perturbations(problem, readout)
                assert perturbations.drops(Subsets(Grid(3), 5)).shape == (4, 5)
                assert perturbations.single_drops(Grid(3)).shape == (4, 9)
            assert sum(seen) == 4 * (5 + 9)
        perturbations.drops(Subsets(Grid(3), 5), "mean")
        assert sum(seen) == 4 * (5 + 9 + 5)
        handle.remove()


def test_sets_are_drawn_and_named_once_for_all_methods_and_metrics(monkeypatch):
    """A name is made of all numbers, on the CPU: not for each metric of each method."""
    drawn, named = [], []
    stream, digest = perturbation_module.stream, removal_module.digest
    monkeypatch.setattr(perturbation_module, "stream", lambda *args: drawn.append(args) or stream(*args))
    monkeypatch.setattr(removal_module, "digest", lambda tensor: named.append(tensor.shape) or digest(tensor))
    subsets = Subsets(Grid(3), 8)
    with problem_of(Picture(), pictures()) as problem:
        for _ in range(3):
            perturbations = Perturbations(problem, "probability")
            perturbations.drops(subsets)
            perturbations.foretold(pictures()[:, 0].flatten(1), subsets)
            perturbations.single_drops(Grid(3))
        assert len(drawn) == 1
        assert len(named) == 2 + 1
        Perturbations(problem, seed=1).drops(subsets)
        assert len(drawn) == 2


def test_single_drops_are_those_of_a_loop():
    model, inputs = Pair(), (pictures(), rows())
    with problem_of(model, inputs) as problem:
        perturbations = Perturbations(problem)
        regions = perturbations.regions(Grid(2))
        masks = torch.stack([regions.ids[0] == r for r in range(regions.count)])
        expected = drops_by_hand(model, inputs, tuple(map(torch.zeros_like, inputs)), TARGET, masks)
        torch.testing.assert_close(perturbations.single_drops(Grid(2)), expected)


def test_shares_are_dealt_out_in_turn():
    with problem_of(Picture(), pictures()) as problem:
        taken = Perturbations(problem).taken(Subsets(Grid(3), 5, (0.1, 0.5)))
        assert taken.sum(dim=1).tolist() == [1, 4, 1, 4, 1]  # of 9; 4.5 is rounded to the even
        whole = Perturbations(problem).taken(Subsets(Grid(3), 2, (1.0,)))
        assert bool(whole.all())


def test_sets_and_their_sums_of_samples_with_regions_of_their_own():
    model, x = Linear((2, 6, 6)), pictures()
    with problem_of(model, x) as problem:
        perturbations, subsets = Perturbations(problem), Subsets(Own(), 12, (0.25, 0.5))
        pixel = (x * model.weight.detach()[TARGET]).sum(dim=1).flatten(1)
        torch.testing.assert_close(perturbations.drops(subsets), perturbations.foretold(pixel, subsets))
        drops = perturbations.drops(Subsets(subsets.partition, 12, (0.25,)))
    # The fourth picture is one region: all of it goes, or nothing does.
    assert all(v == 0 or v == pytest.approx(float(pixel[3].sum())) for v in drops[3].tolist())
    assert 0 < int((drops[3] != 0).sum()) < 12


@pytest.mark.parametrize(("most", "shares"), [(None, 9), (4, 4), (100, 9)])
def test_regions_go_one_by_one(most, shares):
    with problem_of(Picture(), pictures()) as problem:
        perturbations = Perturbations(problem)
        course = perturbations.one_by_one(Course(Patches(2), ascending=True), most)
        assert course == Course(Patches(2), shares=tuple(k / 9 for k in range(shares + 1)), ascending=True)
        assert (perturbations.curve(torch.randn(4, 36), course).shares * 9).tolist() == pytest.approx(range(shares + 1))


def test_wrong_courses_and_sets_are_refused():
    with pytest.raises(ValueError, match="steps must be at least 1, got 0"):
        Course(steps=0)
    with pytest.raises(ValueError, match=r"shares between 0 and 1, at least one, got \(0.5, 1.5\)"):
        Course(shares=(0.5, 1.5))
    with pytest.raises(ValueError, match=r"at least one, got \(\)"):
        Course(shares=())
    with pytest.raises(ValueError, match=r"must ascend, got \(0.5, 0.25\)"):
        Course(shares=(0.5, 0.25))
    with pytest.raises(ValueError, match="count must be at least 1, got 0"):
        Subsets(count=0)
    with pytest.raises(ValueError, match=r"shares between 0 and 1, at least one, got \(-0.5,\)"):
        Subsets(shares=(-0.5,))


@pytest.mark.parametrize("partition", [EveryFeature(), Grid(4)], ids=lambda p: type(p).__name__)
def test_memory_of_a_curve_does_not_grow_with_its_points(partition):
    scores = torch.randn(8, 256, generator=torch.Generator().manual_seed(0))

    def ask(points):
        shares = tuple(k / points for k in range(points + 1))
        return lambda problem: Perturbations(problem).curve(scores, Course(partition, shares=shares))

    small, large = peak(ask(4)), peak(ask(40))
    assert large < 1.1 * small, f"{large} bytes for 40 points, {small} for 4"
