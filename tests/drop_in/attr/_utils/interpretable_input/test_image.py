import captum.attr
import numpy as np
import pytest
import torch
from matplotlib import pyplot
from PIL import Image

from lightning_explain.captum.attr._utils.interpretable_input import ImageMaskInput

HEIGHT, WIDTH = 4, 6
PIXELS = np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8)
IMAGE = Image.fromarray(PIXELS)
MASK = torch.tensor([7, 2, 9])[torch.arange(HEIGHT * WIDTH) // 10].reshape(HEIGHT, WIDTH)
OVERLAPPING = [MASK == 7, MASK != 7, torch.arange(WIDTH).expand(HEIGHT, WIDTH) < 2]
CASES = [
    {},
    {"mask": MASK, "baseline": (1, 2, 3)},
    {"mask_list": OVERLAPPING},
    {"mask": MASK, "processor_fn": np.array},
]


@pytest.mark.parametrize("case", CASES, ids=range(len(CASES)))
def test_images_and_attributions_are_those_of_captum(case):
    ours, theirs = ImageMaskInput(IMAGE, **case), captum.attr.ImageMaskInput(IMAGE, **case)
    assert (ours.n_itp_features, ours.values, ours.mask_id_to_idx) == (
        theirs.n_itp_features,
        theirs.values,
        theirs.mask_id_to_idx,
    )
    torch.testing.assert_close(ours.to_tensor(), theirs.to_tensor())
    assert np.array_equal(ours.to_model_input(), theirs.to_model_input())
    for one, other in zip(ours.get_mask_list(), theirs.get_mask_list(), strict=True):
        assert torch.equal(one, other)
    for _ in range(4):
        there = torch.randint(2, (1, ours.n_itp_features)).float()
        assert np.array_equal(ours.to_model_input(there), theirs.to_model_input(there))
    attr = torch.randn(2, ours.n_itp_features)
    torch.testing.assert_close(ours.format_pixel_attr(attr), theirs.format_pixel_attr(attr))
    assert ours.format_attr(attr) is attr


def test_absent_regions_have_the_baselines_color():
    found = np.asarray(ImageMaskInput(IMAGE, MASK, baseline=(1, 2, 3)).to_model_input(torch.tensor([[1, 0, 1]])))
    inside = (MASK == 7).numpy()  # the second of 2, 7, 9
    assert (found[inside] == [1, 2, 3]).all()
    assert (found[~inside] == PIXELS[~inside]).all()
    assert np.array_equal(np.asarray(IMAGE), PIXELS)


def test_an_undefined_region_does_not_spread():
    found = ImageMaskInput(IMAGE, MASK).format_pixel_attr(torch.tensor([[float("nan"), 1.0, 2.0]]))[0]
    assert torch.equal(found.isnan(), MASK == 2)


@pytest.mark.parametrize("case", CASES[1:3], ids=range(2))
def test_regions_are_drawn_alike_each_time(monkeypatch, case):
    image = ImageMaskInput(IMAGE, **case)
    figures = [image.plot_mask_overlay(border_width=1) for _ in range(2)]
    shown = [[np.asarray(drawn.get_array()) for drawn in axes.images] for _, axes in figures]
    assert len(shown[0]) == 1 + 2 * image.n_itp_features
    assert all(np.array_equal(one, other) for one, other in zip(*shown, strict=True))
    assert [text.get_text() for text in figures[0][1].texts] == [str(number) for number in image.mask_id_to_idx]
    colors = {tuple(picture[picture[..., 3] > 0][0, :3].tolist()) for picture in shown[0][1::2]}
    assert len(colors) == image.n_itp_features
    monkeypatch.setattr(pyplot, "show", lambda: None)
    assert image.plot_mask_overlay(show=True, show_legends=False) is None
    pyplot.close("all")


def test_mistakes_are_named():
    with pytest.raises(AssertionError, match=r"height and width \(4, 6\), got \(6, 4\)"):
        ImageMaskInput(IMAGE, MASK.T)
    with pytest.raises(AssertionError, match=r"height and width \(4, 6\), got \(6, 4\)"):
        ImageMaskInput(IMAGE, mask_list=[MASK == 7, MASK.T == 7])
    with pytest.raises(ValueError, match=r"an image of 3 channels, as the baseline has, got 'L'"):
        ImageMaskInput(IMAGE.convert("L"))
