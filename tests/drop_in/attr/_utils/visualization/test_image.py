import numpy as np
import pytest
import torch
from captum.attr import visualization as captums
from matplotlib import pyplot
from matplotlib.figure import Figure

from lightning_explain.captum.attr._utils import visualization as ours

HEIGHT, WIDTH = 5, 6
ATTR = np.random.default_rng(0).normal(size=(HEIGHT, WIDTH, 3))
IMAGE = np.random.default_rng(1).uniform(size=(HEIGHT, WIDTH, 3))
METHODS = list(ours.ImageVisualizationMethod.__members__)
UNSIGNED = ("masked_image", "alpha_scaling")
CASES = [
    (method, sign)
    for method in METHODS
    for sign in ours.VisualizeSign.__members__
    if not (method in UNSIGNED and sign == "all")
]


def drawn(figure):
    """What the axes of a figure show: arrays with their colors and opacity, and what is written."""
    shown = []
    for axes in figure.axes:
        pictures = [
            (np.asarray(image.get_array(), dtype=float), image.get_cmap().name, image.get_clim(), image.get_alpha())
            for image in axes.images
        ]
        shown.append((
            axes.get_title(),
            axes.axison,
            pictures,
            [str(label.get_text()) for label in axes.get_xticklabels()],
        ))
    return shown


def same(one, other):
    assert len(one) == len(other)
    for (title, visible, pictures, labels), (title2, visible2, pictures2, labels2) in zip(one, other, strict=True):
        assert (title, visible, labels) == (title2, visible2, labels2)
        assert len(pictures) == len(pictures2)
        for (values, cmap, limits, alpha), (values2, cmap2, limits2, alpha2) in zip(pictures, pictures2, strict=True):
            assert (cmap, alpha) == (cmap2, alpha2)
            assert values.shape == values2.shape
            np.testing.assert_allclose(values, values2, rtol=1e-9)
            np.testing.assert_allclose(limits, limits2)


@pytest.mark.parametrize(("method", "sign"), CASES)
def test_figures_are_those_of_captum(method, sign):
    arguments = {"method": method, "sign": sign, "show_colorbar": True, "title": "t", "use_pyplot": False}
    figure, axes = ours.visualize_image_attr(ATTR, IMAGE, **arguments)
    expected, _ = captums.visualize_image_attr(ATTR, IMAGE, **arguments)
    assert axes is figure.axes[0]
    same(drawn(figure), drawn(expected))


@pytest.mark.parametrize("method", METHODS)
def test_images_may_be_bytes(method):
    image = (IMAGE * 255).astype(np.uint8)
    figure, _ = ours.visualize_image_attr(ATTR, image, method, use_pyplot=False)
    expected, _ = captums.visualize_image_attr(ATTR, image, method, use_pyplot=False)
    same(drawn(figure), drawn(expected))


def test_arguments_reach_the_figure():
    arguments = {"cmap": "viridis", "alpha_overlay": 0.3, "outlier_perc": 20, "fig_size": (3, 2), "use_pyplot": False}
    figure, _ = ours.visualize_image_attr(ATTR, IMAGE, "blended_heat_map", **arguments)
    expected, _ = captums.visualize_image_attr(ATTR, IMAGE, "blended_heat_map", **arguments)
    same(drawn(figure), drawn(expected))
    assert figure.get_size_inches().tolist() == [3, 2]


def test_several_ways_side_by_side():
    methods, signs = zip(*CASES[::3], strict=True)
    arguments = {"titles": list(methods), "show_colorbar": True, "use_pyplot": False}
    figure, axes = ours.visualize_image_attr_multiple(ATTR, IMAGE, methods, signs, **arguments)
    expected, _ = captums.visualize_image_attr_multiple(ATTR, IMAGE, methods, signs, **arguments)
    same(drawn(figure), drawn(expected))
    assert isinstance(axes, list)
    one, axis = ours.visualize_image_attr_multiple(ATTR, IMAGE, ["heat_map"], ["all"], use_pyplot=False)
    assert axis is one.axes[0]


def test_axes_of_ones_own_are_drawn_on():
    figure = Figure()
    left, right = figure.subplots(1, 2)
    found = ours.visualize_image_attr(ATTR, plt_fig_axis=(figure, right), use_pyplot=False)
    assert found == (figure, right)
    assert not left.images
    assert ours.visualize_image_attr(ATTR, plt_fig_axis=(figure, [left, right]), use_pyplot=False)[1] is left


@pytest.mark.parametrize("method", METHODS)
def test_maps_of_zeros_are_drawn(method):
    figure, _ = ours.visualize_image_attr(np.zeros((HEIGHT, WIDTH)), IMAGE, method, "negative", use_pyplot=False)
    last = drawn(figure)[0][2][-1][0]
    if method in {"heat_map", "blended_heat_map", "masked_image"}:
        assert (last == 0).all()


def test_grey_images_are_grey():
    for image in (IMAGE[..., 0], IMAGE[..., :1]):
        for method in METHODS:
            figure, _ = ours.visualize_image_attr(ATTR, image, method, "positive", use_pyplot=False)
            shown = figure.axes[0].images[0].make_image(None, unsampled=True)[0][..., :3]
            assert method == "heat_map" or (shown == shown[..., :1]).all()


def test_tensors_are_taken():
    figure, _ = ours.visualize_image_attr(torch.tensor(ATTR), torch.tensor(IMAGE), "masked_image", use_pyplot=False)
    expected, _ = ours.visualize_image_attr(ATTR, IMAGE, "masked_image", use_pyplot=False)
    same(drawn(figure), drawn(expected))


def test_the_original_needs_no_finite_attributions():
    figure, _ = ours.visualize_image_attr(ATTR * np.nan, IMAGE, "original_image", use_pyplot=False)
    assert len(figure.axes[0].images) == 1


def test_pyplot_shows_its_own_figures_alone(monkeypatch):
    shows = []
    monkeypatch.setattr(pyplot, "show", lambda: shows.append(pyplot.get_fignums()))
    ours.visualize_image_attr(ATTR, use_pyplot=False)
    assert not pyplot.get_fignums()
    figure, _ = ours.visualize_image_attr(ATTR)
    assert shows == [[figure.number]]
    pyplot.close("all")
    figure, _ = ours.visualize_image_attr_multiple(ATTR, IMAGE, ["heat_map"], ["all"])
    assert shows[1:] == [[figure.number]]
    pyplot.close("all")


def test_mistakes_leave_no_figure_behind():
    with pytest.raises(ValueError, match=r"of 90 values 90 are not|of 30 values 30 are not"):
        ours.visualize_image_attr(ATTR * np.nan)
    assert not pyplot.get_fignums()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "heatmap"}, r"'alpha_scaling', got 'heatmap'"),
        ({"sign": "plus"}, r"'all', got 'plus'"),
        ({"method": "masked_image"}, r"'masked_image' needs the original image"),
        ({"method": "masked_image", "original_image": IMAGE, "sign": "all"}, r"'masked_image' cannot show both signs"),
        (
            {"method": "blended_heat_map", "original_image": IMAGE.transpose(2, 0, 1)},
            r"Attributions \(5, 6, 3\) and original \(3, 5, 6\) differ in height or width",
        ),
        ({"attr": ATTR[None]}, r"\(height, width, channels\) or \(height, width\), got \(1, 5, 6, 3\)"),
        ({"original_image": IMAGE[None]}, r"Expected an image \(height, width, channels\)"),
    ],
)
def test_mistakes_are_named(arguments, message):
    with pytest.raises(AssertionError, match=message):
        ours.visualize_image_attr(**{"attr": ATTR, "use_pyplot": False, **arguments})


def test_as_many_methods_as_signs_and_titles():
    with pytest.raises(AssertionError, match=r"got 2, 1 and 2"):
        ours.visualize_image_attr_multiple(ATTR, IMAGE, ["heat_map"] * 2, ["all"], use_pyplot=False)
    with pytest.raises(AssertionError, match=r"got 1, 1 and 2"):
        ours.visualize_image_attr_multiple(ATTR, IMAGE, ["heat_map"], ["all"], ["a", "b"], use_pyplot=False)
