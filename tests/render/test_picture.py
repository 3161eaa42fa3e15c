import io
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from lightning_explain.render import Picture, png


def decoded(data):
    picture = Image.open(io.BytesIO(data))
    assert picture.mode == "RGB"
    return np.asarray(picture)


def noise(*shape):
    return np.random.default_rng(0).integers(0, 256, size=shape, dtype=np.uint8)


@pytest.mark.parametrize(
    "image",
    [
        pytest.param(noise(5, 7, 3), id="noise"),
        pytest.param(noise(3, 4, 3).repeat(4, axis=0).repeat(4, axis=1), id="enlarged"),
        pytest.param(np.full((9, 2, 3), 200, dtype=np.uint8), id="flat"),
        pytest.param(np.zeros((4, 3, 3), dtype=np.uint8), id="black"),
        pytest.param(noise(1, 1, 3), id="one pixel"),
        pytest.param(noise(6, 8, 3)[::2, ::-1], id="not contiguous"),
    ],
)
def test_png_round_trip(image):
    assert np.array_equal(decoded(png(image)), image)


def test_png_of_repeated_rows_is_small():
    row = noise(1, 300, 3)
    assert len(png(row.repeat(100, axis=0))) < 3 * len(png(row)) < 3000


def test_picture_keeps_what_it_is_given():
    image = noise(2, 3, 3)
    picture = Picture("a/b", image, "*what*")
    assert (picture.tag, picture.description) == ("a/b", "*what*")
    assert picture.image is image
    assert Picture("a/b", image).description == ""


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((2, 2, 3), dtype=np.float32), r"Picture 'a/b' must be uint8 .*got float32 of shape \(2, 2, 3\)"),
        (np.zeros((3, 2, 2), dtype=np.uint8), r"must be uint8 of shape \(height, width, 3\), got uint8 .*\(3, 2, 2\)"),
        (np.zeros((2, 2), dtype=np.uint8), r"got uint8 of shape \(2, 2\)"),
        (np.zeros((0, 2, 3), dtype=np.uint8), r"got uint8 of shape \(0, 2, 3\)"),
        ([[[0, 0, 0]]], r"must be a numpy array.* got list"),
    ],
)
def test_picture_refuses_what_is_no_image(image, message):
    with pytest.raises(ValueError, match=message):
        Picture("a/b", image)


def test_picture_refuses_an_empty_tag():
    with pytest.raises(ValueError, match=r"needs a tag such as 'attribution/sample_03', got an empty one"):
        Picture("", noise(2, 2, 3))


def test_png_refuses_what_is_no_image():
    with pytest.raises(ValueError, match=r"must be uint8 of shape \(height, width, 3\), got uint8 of shape \(2, 2\)"):
        png(noise(2, 2))


def test_rendering_imports_neither_pyplot_nor_torch():
    code = """
import sys
import numpy as np
from lightning_explain.loggers import write_pictures
from lightning_explain.render import Tile, contact_sheet, png, sample_picture, tiles
x = np.zeros((2, 1, 4, 4))
drawn = tiles(x, x)
png(sample_picture("a", [Tile("t", drawn[0], 1.0)], ["caption"]).image)
png(contact_sheet("b", [("step 1", drawn)], ["r", "s"], "title", scale=1.0).image)
loaded = {name for name in ("matplotlib.pyplot", "torch", "lightning") if name in sys.modules}
assert not loaded, loaded
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
