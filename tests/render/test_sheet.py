import numpy as np
import pytest

from lightning_explain.render import contact_sheet
from lightning_explain.render.bar import color_bar
from lightning_explain.render.layout import edged, fit
from lightning_explain.render.text import HEADLINE, NOTE, line


def ink(block):
    return int((255 - block.astype(int)).sum())


def image(seed, side=28):
    return np.random.default_rng(seed).integers(0, 200, size=(side, side, 3), dtype=np.uint8)


def columns(count, rows):
    return [(f"step {100 * i}", [image(10 * i + j) for j in range(rows)]) for i in range(count)]


def test_rows_are_samples_and_columns_are_validations():
    drawn = columns(4, 3)
    names = ["sample_0", "sample_1", "sample_2"]
    sheet = contact_sheet("a/b", drawn, names, "saliency", "*what*", scale=2.0)
    assert (sheet.tag, sheet.description) == ("a/b", "*what*")
    places = np.empty((4, 3, 2), dtype=int)
    for i, (_, images) in enumerate(drawn):
        for j, small in enumerate(images):
            large = fit(small, 64, 112)
            assert large.shape == (84, 84, 3)
            rows, cols = np.nonzero((sheet.image == large[0, 0]).all(axis=2))
            found = [
                (y, x)
                for y, x in zip(rows, cols, strict=True)
                if np.array_equal(sheet.image[y : y + 84, x : x + 84], large)
            ]
            assert len(found) == 1
            places[i, j] = found[0]
    assert (np.diff(places[..., 0], axis=1) == 91).all()
    assert (np.diff(places[..., 1], axis=0) == 91).all()
    assert (places[..., 0] == places[:1, :, 0]).all()
    texts = [line("saliency", HEADLINE), *(line(text, NOTE) for text in [*names, *(name for name, _ in drawn)])]
    tiles = [edged(fit(small, 64, 112)) for _, images in drawn for small in images]
    assert ink(sheet.image) == sum(map(ink, [*texts, *tiles, color_bar(2.0, 160)]))


def test_long_names_are_wrapped_not_cut():
    sheet = contact_sheet("a", columns(1, 2), ["a rather long name of a sample, number 1"] * 2, "x", "d").image
    parts = ["a rather long name", "of a sample, number", "1"]
    texts = [line(part, NOTE) for part in parts] * 2 + [line("x", HEADLINE), line("step 0", NOTE)]
    tiles = [edged(fit(small, 64, 112)) for small in columns(1, 2)[0][1]]
    assert ink(sheet) == sum(map(ink, texts + tiles))


def test_images_of_any_size_are_brought_to_size():
    sheet = contact_sheet("a", [("step 1", [image(0, 300)]), ("step 2", [image(1, 5)])], ["r"], "t").image
    assert 112 < sheet.shape[0] < 200
    assert sheet.dtype == np.uint8


def test_columns_need_one_image_for_each_row():
    with pytest.raises(ValueError, match=r"Column 'step 100' of contact sheet 'a' must have .* the 3 row names, got 2"):
        contact_sheet("a", [*columns(1, 3), ("step 100", [image(0), image(1)])], ["x", "y", "z"], "t")


@pytest.mark.parametrize(("made", "names"), [([], ["x"]), ([("s", [])], [])])
def test_empty_sheets_are_refused(made, names):
    with pytest.raises(ValueError, match=r"Contact sheet 'a' needs at least one column and one row, got"):
        contact_sheet("a", made, names, "t")


def test_sheets_take_images_only():
    with pytest.raises(ValueError, match=r"column 's' of contact sheet 'a' must be uint8 .* got float32"):
        contact_sheet("a", [("s", [np.zeros((4, 4, 3), dtype=np.float32)])], ["x"], "t")
