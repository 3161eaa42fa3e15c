import numpy as np
import pytest
from captum.attr import visualization as captums
from matplotlib.figure import Figure

from lightning_explain.captum.attr._utils import visualization as ours

BLOB = np.zeros((9, 11), dtype=bool)
BLOB[1:7, 2:9] = True
BLOB[4:, 8:] = True
BLOB[3, 4] = False


def shown(draw, *arguments, **keywords):
    axes = Figure().subplots()
    draw(axes, *arguments, **keywords)
    return axes


@pytest.mark.parametrize("width", [1, 2, 5])
@pytest.mark.parametrize("color", ["black", "red", np.array([0.1, 0.2, 0.3, 0.8])], ids=str)
def test_borders_are_those_of_captum(width, color):
    pytest.importorskip("scipy", reason="Captum's borders need scipy")
    ours_ = shown(ours.draw_mask_border, BLOB, width, color).images
    theirs = shown(captums.draw_mask_border, BLOB, width, color).images
    np.testing.assert_allclose(ours_[0].get_array(), theirs[0].get_array())


def test_a_border_is_what_is_near_the_outside():
    """From the definition: pixels inside from which the outside is at most two steps away."""
    framed = np.pad(BLOB, 1)
    outside = np.argwhere(~framed) - 1
    steps = np.abs(np.argwhere(BLOB)[:, None] - outside[None]).sum(axis=2).min(axis=1)
    border = np.zeros_like(BLOB)
    border[BLOB] = steps <= 2
    found = shown(ours.draw_mask_border, BLOB, 2).images[0].get_array()
    assert (np.asarray(found[..., 3], dtype=bool) == border).all()


def test_names_stand_where_those_of_captum_do():
    arguments = {"label": "7", "fontsize": 8, "text_color": "red", "bbox_facecolor": "blue", "bbox_alpha": 0.3}
    (one,), (other,) = (shown(module.draw_mask_legend, BLOB, **arguments).texts for module in (ours, captums))
    assert one.get_position() == pytest.approx(other.get_position())
    assert [one.get_text(), one.get_color(), one.get_fontsize()] == ["7", "red", 8]
    box, expected = one.get_bbox_patch(), other.get_bbox_patch()
    assert box.get_facecolor() == expected.get_facecolor()


def test_empty_regions_are_not_drawn():
    assert not shown(ours.draw_mask_border, BLOB & False).images
    assert not shown(ours.draw_mask_legend, BLOB & False, "x").texts
    assert not shown(ours.draw_mask_border, BLOB, 0).images
