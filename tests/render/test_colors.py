import matplotlib
import numpy as np
import pytest

from lightning_explain.render import fixed_scale, heat, overlay, relative
from lightning_explain.render.colors import NAN_COLOR, to_bytes

WHITE = [255, 255, 255]
BLUE, RED = [27, 90, 156], [162, 19, 40]


def test_ends_are_the_color_maps_and_zero_is_white():
    ends = matplotlib.colormaps["RdBu_r"]([0.08, 0.92])[:, :3] * 255
    assert np.array_equal(np.rint(ends), [BLUE, RED])
    assert heat(np.array([-2.0, 0.0, -0.0, 2.0]), scale=2.0).tolist() == [BLUE, WHITE, WHITE, RED]


def test_values_beyond_the_scale_saturate():
    values = np.array([-1e30, -np.inf, -3.1, 3.1, np.inf, 1e30])
    assert heat(values, scale=3.0).tolist() == [BLUE] * 3 + [RED] * 3
    assert heat(np.array([1e30, -1e30]), scale=1e-300).tolist() == [RED, BLUE]


def test_red_is_positive_and_blue_is_negative_and_both_grow():
    shares = np.linspace(0.02, 1.0, 20)
    positive, negative = heat(shares, 1.0).astype(int), heat(-shares, 1.0).astype(int)
    assert (positive[:, 0] > positive[:, 2]).all()
    assert (negative[:, 2] > negative[:, 0]).all()
    for colors in (positive, negative):
        assert (np.diff(colors.sum(axis=1)) < 0).all()


def test_colors_depend_on_the_share_of_the_scale_alone():
    values = np.random.default_rng(0).normal(size=(3, 5, 4))
    alone = heat(values[1], 1.5)
    assert alone.shape == (5, 4, 3)
    assert alone.dtype == np.uint8
    assert np.array_equal(heat(values, 1.5)[1], alone)
    assert np.array_equal(heat(values[1] * 1e-3, 1.5e-3), alone)
    # The same value has the same color, whatever stands beside it.
    assert np.array_equal(heat(np.array([0.3, 0.1]), 1.0)[0], heat(np.array([0.3, 9.0]), 1.0)[0])


def test_nan_has_a_color_of_its_own():
    assert heat(np.array([np.nan, 0.5]), 1.0)[0].tolist() == list(NAN_COLOR) == [255, 0, 255]
    for background in (0.0, 1.0):
        assert overlay(np.array([background]), np.array([np.nan]), 1.0).tolist() == [[255, 0, 255]]
    assert NAN_COLOR not in {tuple(color) for color in heat(np.linspace(-1, 1, 1001), 1.0).tolist()}


def test_overlay_shows_the_greyed_original_where_the_value_is_zero():
    background = np.array([[0.0, 0.5, 1.0]])
    shown = overlay(background, np.zeros((1, 3)), 1.0)
    assert shown.tolist() == [[[144] * 3, [200] * 3, [255] * 3]]


def test_overlay_hides_the_original_where_the_value_is_large():
    backgrounds = np.linspace(0, 1, 5)
    assert overlay(backgrounds, np.full(5, 2.0), 2.0).tolist() == [RED] * 5
    assert overlay(backgrounds, np.full(5, -9.0), 2.0).tolist() == [BLUE] * 5


def test_overlay_over_white_is_the_heat():
    values = np.linspace(-1.2, 1.2, 101)
    assert np.array_equal(overlay(np.ones(101), values, 1.0), heat(values, 1.0))


def test_opacity_grows_with_the_value():
    values = np.linspace(0, 1, 12)
    black, white = overlay(np.zeros(12), values, 1.0), overlay(np.ones(12), values, 1.0)
    contrast = np.abs(white.astype(int) - black).sum(axis=1)
    assert (np.diff(contrast) < 0).all()
    assert contrast[-1] == 0


def test_overlay_takes_colored_originals_by_their_luminance_and_whole_batches():
    rng = np.random.default_rng(1)
    colored, values = rng.random((2, 3, 4, 3)).astype(np.float32), rng.normal(size=(2, 3, 4))
    grey = colored @ np.array([0.299, 0.587, 0.114], dtype=np.float32)
    shown = overlay(colored, values, 2.0)
    assert np.array_equal(shown, overlay(grey, values, 2.0))
    assert np.array_equal(shown[1], overlay(colored[1], values[1], 2.0))


def test_overlay_refuses_another_shape():
    with pytest.raises(ValueError, match=r"values of shape \(2, 3\) must have shape .* got \(3, 2\)"):
        overlay(np.zeros((3, 2)), np.zeros((2, 3)), 1.0)


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan"), float("inf")])
def test_scale_must_be_positive_and_finite(scale):
    with pytest.raises(ValueError, match=r"must be a positive finite number .*got"):
        heat(np.zeros(2), scale)


def test_to_bytes_rounds_and_saturates():
    assert to_bytes(np.array([-1.0, 0.0, 0.5, 1.0, 7.0, np.nan])).tolist() == [0, 0, 128, 255, 255, 0]


def test_fixed_scale_counts_neither_zeros_nor_nan():
    values = np.concatenate([np.zeros(5000), [np.nan, np.inf], -np.arange(1.0, 102.0)])
    assert fixed_scale(values) == pytest.approx(100.0)
    assert fixed_scale(values, quantile=0.5) == pytest.approx(51.0)


@pytest.mark.parametrize("values", [np.zeros((2, 3)), np.full(4, np.nan), np.zeros(0)])
def test_fixed_scale_of_nothing_is_one(values):
    assert fixed_scale(values) == 1.0


def test_relative_divides_each_sample_by_its_mean_magnitude():
    values = np.array([[[1.0, -3.0]], [[0.0, 0.0]], [[np.nan, 5.0]]])
    expected = [[[0.5, -1.5]], [[0.0, 0.0]], [[np.nan, 1.0]]]
    assert np.array_equal(relative(values), expected, equal_nan=True)
    assert np.array_equal(relative(values[:1] * 1e-20), relative(values[:1]))
