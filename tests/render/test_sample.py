import numpy as np
import pytest

from lightning_explain.render import Tile, sample_picture, tiles
from lightning_explain.render.bar import color_bar
from lightning_explain.render.layout import edged, fit
from lightning_explain.render.text import HEADLINE, NOTE, TITLE, line, wrapped

LONG = "attribution of the class 'golden retriever' (n02099601) · predicted 'flat-coated retriever' (51.3 %) " * 3


def ink(block):
    return int((255 - block.astype(int)).sum())


def image(height=28, width=28, seed=0):
    return np.random.default_rng(seed).integers(0, 200, size=(height, width, 3), dtype=np.uint8)


def contains(picture, block):
    height, width = block.shape[:2]
    windows = np.lib.stride_tricks.sliding_window_view(picture[..., 0], (height, width))
    places = np.argwhere((windows[:, :, 0, :] == block[0, :, 0]).all(axis=2))
    return any(np.array_equal(picture[y : y + height, x : x + width], block) for y, x in places)


def test_every_tile_and_every_text_is_in_the_picture():
    drawn = [
        Tile("original", image()),
        Tile("saliency", image(seed=1), 0.5, "insertion 0.71"),
        Tile("third", image(9, 5)),
    ]
    picture = sample_picture("a/b", drawn, ["sample_03 · label 7", "step 9"], "*what*")
    assert (picture.tag, picture.description) == ("a/b", "*what*")
    blocks = [edged(fit(tile.image, 112, 224)) for tile in drawn]
    blocks += [line(tile.title, TITLE) for tile in drawn] + [color_bar(0.5, 114), line("insertion 0.71", NOTE)]
    blocks += [line("sample_03 · label 7", HEADLINE), line("step 9", NOTE)]
    assert all(contains(picture.image, block) for block in blocks)
    assert ink(picture.image) == sum(map(ink, blocks))


@pytest.mark.parametrize("count", [1, 2, 6, 7, 13])
def test_nothing_is_cut_off_and_nothing_overlaps(count):
    drawn = [
        Tile(f"integrated_gradients@backbone.layer{i}.conv{i}", image(20 + 9 * i, 60 - 3 * i, i), 10.0 ** (i - 5), LONG)
        for i in range(count)
    ]
    picture = sample_picture("a", drawn, [LONG, LONG, "", "short"]).image
    # Ink that was cut off or drawn over would be missing.
    expected = 0
    for tile in drawn:
        fitted = edged(fit(tile.image, 112, 224))
        width = max(132, fitted.shape[1])
        expected += ink(fitted) + ink(color_bar(tile.scale, fitted.shape[1]))
        expected += sum(ink(line(part, TITLE)) for part in wrapped(tile.title, width, TITLE))
        expected += sum(ink(line(part, NOTE)) for part in wrapped(tile.note, width, NOTE))
    rest = ink(picture) - expected
    # What is left are the captions; spaces between words have no ink, wherever the lines break.
    words = [[ink(line(part, style)) for part in LONG.split()] for style in (HEADLINE, NOTE)]
    assert rest == pytest.approx(sum(map(sum, words)) + ink(line("short", NOTE)), rel=0.01)
    for border in (picture[:14], picture[-14:], picture[:, :14], picture[:, -14:]):
        assert (border == 255).all()


def test_tiles_are_aligned_whatever_their_titles():
    red = np.zeros((112, 112, 3), dtype=np.uint8)
    picture = sample_picture("a", [Tile("short", red), Tile("a_very_long_title_that_needs_lines", red)]).image
    black = (picture == 0).all(axis=2)
    rows, columns = np.flatnonzero(black.sum(axis=1) >= 200), np.flatnonzero(black.sum(axis=0) >= 112)
    assert len(rows) == 112
    assert rows[-1] - rows[0] == 111
    assert len(columns) == 224


def test_more_than_six_tiles_go_to_a_new_row():
    one = sample_picture("a", [Tile("t", image())] * 6).image
    two = sample_picture("a", [Tile("t", image())] * 7).image
    assert one.shape[1] == two.shape[1]
    assert two.shape[0] > one.shape[0] + 112


def test_the_same_content_gives_the_same_picture():
    x = np.random.default_rng(0).normal(size=(2, 1, 8, 8))
    first, again = (sample_picture("a", [Tile("t", tiles(x, x)[1], 1.0)], ["c"]).image for _ in range(2))
    assert np.array_equal(first, again)


def test_no_tiles_are_refused():
    with pytest.raises(ValueError, match=r"Picture 'a/b' needs at least one tile, got none"):
        sample_picture("a/b", [])


def test_tiles_must_be_images():
    with pytest.raises(ValueError, match=r"Tile 'saliency' must be uint8 .* got float64 of shape \(4, 4\)"):
        Tile("saliency", np.zeros((4, 4)))
