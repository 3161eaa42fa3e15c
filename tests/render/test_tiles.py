import numpy as np
import pytest

from lightning_explain.render import heat, overlay, tiles

RNG = np.random.default_rng(0)


def grey(levels):
    return np.repeat(np.asarray(levels, dtype=np.uint8)[..., None], 3, axis=-1)


def test_grey_images_are_scaled_from_each_samples_own_range():
    samples = np.array([[[[0.0, 1.0], [2.0, 4.0]]], [[[-1.0, 0.0], [0.0, 1.0]]]])
    first, second = tiles(samples)
    assert np.array_equal(first, grey([[0, 64], [128, 255]]))
    assert np.array_equal(second, grey([[0, 128], [128, 255]]))


def test_a_given_range_holds_for_all_samples():
    samples = np.array([0.0, 0.5, 1.0, 2.0]).reshape(4, 1, 1, 1)
    assert [int(tile[0, 0, 0]) for tile in tiles(samples, value_range=(0.0, 1.0))] == [0, 128, 255, 255]


def test_colored_images_keep_their_colors():
    samples = RNG.integers(0, 256, size=(2, 3, 4, 5))
    for sample, tile in zip(samples, tiles(samples, value_range=(0, 255)), strict=True):
        assert tile.dtype == np.uint8
        assert np.array_equal(tile, np.moveaxis(sample, 0, -1))


def test_other_channels_are_averaged():
    samples = RNG.random((2, 5, 3, 4)).astype(np.float32)
    expected = grey(np.rint(samples.mean(axis=1) * 255))
    assert np.array_equal(np.stack(tiles(samples, value_range=(0, 1))), expected)


@pytest.mark.parametrize("channels", [1, 3, 5])
def test_attributions_of_images_are_summed_over_channels(channels):
    samples = RNG.random((2, channels, 3, 4)).astype(np.float32)
    attributions = RNG.normal(size=samples.shape).astype(np.float32)
    drawn = np.stack(tiles(samples, attributions, scale=2.0, value_range=(0, 1)))
    background = np.moveaxis(samples, 1, -1) if channels == 3 else samples.mean(axis=1)
    assert np.array_equal(drawn, overlay(background, attributions.sum(axis=1), 2.0))
    summed = attributions.sum(axis=1, keepdims=True)
    assert np.array_equal(drawn, np.stack(tiles(samples, summed, scale=2.0, value_range=(0, 1))))


def test_constant_samples_are_middle_grey():
    assert np.array_equal(np.stack(tiles(np.full((2, 1, 2, 2), 7.0))), np.full((2, 2, 2, 3), 128))


@pytest.mark.parametrize(
    ("shape", "size"),
    [
        ((), (1, 1)),
        ((1,), (1, 1)),
        ((4,), (1, 4)),
        ((16,), (4, 16)),
        ((17,), (4, 5)),
        ((784,), (28, 28)),
        ((1, 100), (10, 10)),
        ((3, 12), (3, 12)),
        ((2, 50), (14, 50)),
        ((64, 4), (64, 16)),
        ((2, 3, 4, 5), (24, 10)),
    ],
)
@pytest.mark.parametrize("dtype", [np.float64, np.int64, bool])
def test_everything_else_is_a_grid(shape, size, dtype):
    samples = RNG.integers(0, 2, size=(3, *shape)).astype(dtype)
    for drawn in (tiles(samples), tiles(samples, samples)):
        assert [tile.shape for tile in drawn] == [(*size, 3)] * 3


def test_cells_are_in_order_and_unused_ones_blank():
    values = RNG.normal(size=(2, 23))
    for row, tile in zip(values, tiles(np.full((2, 23), 1.0), values, value_range=(0, 1)), strict=True):
        cells = tile.reshape(-1, 3)
        assert tile.shape == (5, 5, 3)
        assert np.array_equal(cells[:23], heat(row, 1.0))
        assert (cells[23:] == 255).all()


def test_rows_of_a_matrix_are_channels():
    values = RNG.normal(size=(2, 3, 12))
    drawn = np.stack(tiles(np.ones((2, 3, 12)), values, value_range=(0, 1)))
    assert np.array_equal(drawn, heat(values, 1.0))
    repeated = np.stack(tiles(np.ones((2, 3, 12)), values[:, :1], value_range=(0, 1)))
    assert np.array_equal(repeated, heat(values[:, [0, 0, 0]], 1.0))


def test_cells_of_thin_matrices_are_stretched():
    values = RNG.normal(size=(2, 2, 40))
    drawn = np.stack(tiles(np.ones((2, 2, 40)), values, value_range=(0, 1)))
    assert drawn.shape == (2, 10, 40, 3)
    assert np.array_equal(drawn, heat(values, 1.0).repeat(5, axis=1))


def test_nan_attributions_are_drawn():
    drawn = tiles(np.zeros((2, 1, 2, 2)), np.full((2, 1, 2, 2), np.nan))
    assert (np.stack(drawn) == [255, 0, 255]).all()


@pytest.mark.parametrize(
    ("shape", "attributed"),
    [((2, 3, 4, 4), (2, 2, 4, 4)), ((2, 3, 4, 4), (2, 3, 4, 5)), ((2, 1, 4, 4), (2, 4, 4)), ((2, 5), (2, 4))],
)
def test_attributions_of_another_shape_are_refused(shape, attributed):
    with pytest.raises(ValueError, match=r"Attributions of samples of shape .* must have that shape.* got"):
        tiles(np.zeros(shape), np.zeros(attributed))


@pytest.mark.parametrize("shape", [(), (2, 0), (2, 1, 0, 3)])
def test_samples_without_values_are_refused(shape):
    with pytest.raises(ValueError, match=r"must be \(n, \.\.\.\) with at least one value each, got shape"):
        tiles(np.zeros(shape))


def test_no_samples_give_no_tiles():
    assert tiles(np.zeros((0, 1, 4, 4)), np.zeros((0, 1, 4, 4))) == []
