import numpy as np
import pytest

from lightning_explain.render.layout import EDGE, EMPTY, edged, fit, framed, table


def block(height, width, level):
    return np.full((height, width, 3), level, dtype=np.uint8)


def test_columns_and_rows_are_as_large_as_their_largest_block():
    made = table([[block(2, 5, 1), block(4, 3, 2)], [block(3, 2, 3), block(1, 6, 4)]], (7, 10), (1.0, 0.0))
    assert made.shape == (4 + 7 + 3, 5 + 10 + 6, 3)
    levels = made[..., 0]
    assert (levels[2:4, :5] == 1).all()
    assert (levels[:4, 15:18] == 2).all()
    assert (levels[11:14, :2] == 3).all()
    assert (levels[11, 15:21] == 4).all()
    assert (levels != 255).sum() == 10 + 12 + 6 + 6


def test_empty_rows_and_columns_take_no_space():
    made = table([[EMPTY, EMPTY], [EMPTY, block(2, 3, 0)], [EMPTY, EMPTY], [EMPTY, block(1, 1, 0)]], (5, 9), [0.0] * 4)
    assert made.shape == (2 + 5 + 1, 3, 3)


def test_rows_may_differ_in_length():
    made = table([[block(1, 2, 0)], [block(1, 2, 0), block(1, 4, 0)]], (1, 1), (0.0, 0.0))
    assert made.shape == (3, 7, 3)


def test_framed_adds_a_margin():
    made = framed(block(2, 3, 9), 4)
    assert made.shape == (10, 11, 3)
    assert (made[4:6, 4:7] == 9).all()
    assert (made == 255).sum() == made.size - 18


def test_edged_draws_a_line_around_the_image():
    made = edged(block(2, 3, 9))
    assert made.shape == (4, 5, 3)
    assert (made[1:-1, 1:-1] == 9).all()
    assert (made == EDGE).sum() == made.size - 18


@pytest.mark.parametrize(
    ("shape", "fitted"),
    [
        ((28, 28), (112, 112)),
        ((28, 10), (112, 40)),
        ((5, 40), (15, 120)),
        ((1, 1), (112, 112)),
        ((112, 30), (112, 30)),
        ((224, 100), (224, 100)),
        ((225, 225), (224, 224)),
        ((500, 1000), (112, 224)),
        ((1, 5000), (1, 224)),
    ],
)
def test_fit(shape, fitted):
    assert fit(block(*shape, 7), 112, 224).shape == (*fitted, 3)


def test_enlarged_pixels_stay_squares_of_one_color():
    image = np.random.default_rng(0).integers(0, 256, size=(3, 5, 3), dtype=np.uint8)
    enlarged = fit(image, 10, 100)
    assert enlarged.shape == (6, 10, 3)
    for shift in ((0, 0), (0, 1), (1, 0), (1, 1)):
        assert np.array_equal(enlarged[shift[0] :: 2, shift[1] :: 2], image)


def test_reduced_pixels_are_averages():
    image = np.stack([block(4, 4, 0)[..., 0], block(4, 4, 100)[..., 0], block(4, 4, 200)[..., 0]], axis=-1)
    image[::2] = 50
    assert (fit(image, 1, 2) == [25, 75, 125]).all()
