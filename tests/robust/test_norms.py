import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lightning_explain.randomness import stream
from lightning_explain.robust.norms import L2, NORMS, LInf

SHAPES = st.tuples(st.integers(2, 4), st.integers(2, 5), st.integers(1, 3))
RADII = st.floats(0, 3)
SEEDS = st.integers(0, 10_000)


def changes(shape, seed, scale=1.0):
    return scale * torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def length(change, name):
    flat = change.flatten(1).tolist()
    return [max(map(abs, row)) if name == "Linf" else math.sqrt(sum(v * v for v in row)) for row in flat]


@pytest.mark.parametrize("name", NORMS)
@given(shape=SHAPES, radius=RADII, seed=SEEDS)
def test_what_is_projected_is_near_and_stays(name, shape, radius, seed):
    norm, change = NORMS[name](), changes(shape, seed)
    got = norm.project(change, radius)
    assert max(length(got, name)) <= radius + 1e-12
    torch.testing.assert_close(norm.project(got, radius), got)
    inside = torch.tensor(length(change, name)) <= radius
    assert torch.equal(got[inside], change[inside])


@pytest.mark.parametrize("name", NORMS)
@given(shape=SHAPES, radius=st.floats(0.1, 3), seed=SEEDS)
def test_no_other_near_point_is_nearer(name, shape, radius, seed):
    """The projection onto a convex set: <change - p, q - p> <= 0 for every q in it."""
    norm, change = NORMS[name](), changes(shape, seed)
    got = norm.project(change, radius)
    other = norm.project(changes(shape, seed + 1, 3.0), radius)
    assert float(((change - got) * (other - got)).flatten(1).sum(dim=1).max()) <= 1e-9


@pytest.mark.parametrize("name", NORMS)
@given(shape=SHAPES, seed=SEEDS)
def test_no_direction_of_length_one_climbs_faster(name, shape, seed):
    norm, gradient = NORMS[name](), changes(shape, seed)
    direction = norm.ascent(gradient)
    assert length(direction, name) == pytest.approx([1.0] * shape[0])
    other = norm.project(changes(shape, seed + 1, 5.0), 1.0)
    assert bool(((direction - other) * gradient).flatten(1).sum(dim=1).min() >= -1e-12)


def test_tiny_and_dead_and_broken_gradients():
    gradient = torch.tensor([[3e-30, 4e-30], [0.0, 0.0], [torch.nan, 2.0], [torch.inf, 1.0]])
    torch.testing.assert_close(
        L2().ascent(gradient), torch.tensor([[0.6, 0.8], [0.0, 0.0], [0.0, 1.0], [1.0, 0.0]]), atol=1e-6, rtol=0
    )
    assert LInf().ascent(gradient).tolist() == [[1, 1], [0, 0], [0, 1], [1, 1]]
    assert LInf(threshold=1.5).ascent(gradient).tolist() == [[0, 0], [0, 0], [0, 1], [1, 0]]


def test_a_ball_without_extent():
    change = torch.tensor([[3.0, 4.0], [0.0, 0.0]])
    for norm in (LInf(), L2()):
        assert torch.equal(norm.project(change, 0.0), torch.zeros(2, 2))


@pytest.mark.parametrize("name", NORMS)
def test_draws_are_uniform_in_the_ball(name):
    """The share within a part of the radius is that part's volume; the mean is the centre."""
    norm, dimensions = NORMS[name](), 3
    free = torch.ones(20_000, dimensions + 2, dtype=torch.float64)
    free[:, -2:] = 0
    drawn = norm.draw(free, 2.0, stream("test", 0))
    assert bool((drawn[:, -2:] == 0).all())
    lengths = torch.tensor(length(drawn, name))
    assert float(lengths.max()) <= 2 + 1e-9
    for part in (0.5, 0.8, 0.95):
        assert float((lengths <= 2 * part).double().mean()) == pytest.approx(part**dimensions, abs=0.015)
    assert float(drawn.mean(dim=0).abs().max()) < 0.03
    assert float((drawn[:, 0] * drawn[:, 1]).mean()) == pytest.approx(0, abs=0.02)


def test_draws_belong_to_rows_not_to_columns():
    """As many rows as columns: a radius for each column would go unnoticed in the shapes."""
    drawn = L2().draw(torch.ones(6, 6, dtype=torch.float64), 1.0, stream("test", 1))
    lengths = drawn.norm(dim=1)
    directions = drawn / lengths[:, None]
    assert float(lengths.max()) <= 1
    assert len(set(lengths.tolist())) == 6
    torch.testing.assert_close(directions.norm(dim=1), torch.ones(6, dtype=torch.float64))


def test_no_element_is_free():
    for norm in (LInf(), L2()):
        assert torch.equal(norm.draw(torch.zeros(2, 3), 1.0, stream("test", 0)), torch.zeros(2, 3))


def test_draws_are_the_same_in_every_precision():
    for norm in (LInf(), L2()):
        kinds = (torch.float32, torch.float64)
        single, double = (norm.draw(torch.ones(3, 4, dtype=kind), 1.0, stream("x", 0)) for kind in kinds)
        assert (single.dtype, double.dtype) == (torch.float32, torch.float64)
        torch.testing.assert_close(single.double(), double, atol=1e-6, rtol=0)


@pytest.mark.parametrize("shape", [(0, 3), (0,), (0, 1, 4, 4)])
def test_of_no_samples_there_are_no_changes(shape):
    nothing = torch.zeros(shape)
    for norm in (LInf(), L2()):
        for found in (norm.draw(nothing, 1.0, stream("x", 0)), norm.ascent(nothing), norm.project(nothing, 1.0)):
            assert found.shape == shape
