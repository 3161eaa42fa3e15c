import matplotlib
import numpy as np
import pytest
from captum.attr import visualization as captums
from matplotlib import cm, pyplot
from matplotlib.colors import Colormap

from lightning_explain.captum.attr._utils import visualization as ours

TIMES, CHANNELS = 8, 2
DATA = np.random.default_rng(0).normal(size=(TIMES, CHANNELS))
ATTR = np.random.default_rng(1).normal(size=(TIMES, CHANNELS))
X = np.linspace(2.0, 5.5, TIMES)
METHODS = list(ours.TimeseriesVisualizationMethod.__members__)


@pytest.fixture
def captum_draws(monkeypatch):
    """Captum asks matplotlib for something that is no longer there, and draws with pyplot whatever it is told."""
    found = {"get_cmap": lambda given: given if isinstance(given, Colormap) else matplotlib.colormaps[given]}
    monkeypatch.setattr(cm, "get_cmap", found["get_cmap"], raising=False)
    monkeypatch.setattr(pyplot, "show", lambda: None)
    yield captums
    pyplot.close("all")


def columns(axes):
    """Colors of the columns behind the lines, whether they are one artist or many."""
    if axes.patches:
        return np.array([patch.get_facecolor() for patch in axes.patches])
    collection = axes.collections[0]
    collection.update_scalarmappable()
    return collection.get_facecolor()


def places(axes):
    if axes.patches:
        return [(patch.get_x(), patch.get_x() + patch.get_width()) for patch in axes.patches]
    return [(path.vertices[0, 0], path.vertices[2, 0]) for path in axes.collections[0].get_paths()]


def lines(axes):
    return [np.asarray(line.get_xydata()) for line in axes.lines]


@pytest.mark.parametrize("method", METHODS[:2])
@pytest.mark.parametrize("sign", list(ours.VisualizeSign.__members__))
def test_overlays_are_those_of_captum(captum_draws, method, sign):
    arguments = {
        "x_values": X,
        "method": method,
        "sign": sign,
        "channel_labels": ["a", "b"],
        "title": "t",
        "show_colorbar": True,
    }
    figure, axes = ours.visualize_timeseries_attr(ATTR, DATA, **arguments, use_pyplot=False)
    expected, others = captum_draws.visualize_timeseries_attr(ATTR, DATA, **arguments)
    assert len(figure.axes) == len(expected.axes)
    for one, other in zip(np.ravel(axes), np.ravel(others), strict=True):
        np.testing.assert_allclose(columns(one), columns(other))
        np.testing.assert_allclose(places(one), places(other))
        np.testing.assert_allclose(lines(one), lines(other))
        assert [line.get_color() for line in one.lines] == [line.get_color() for line in other.lines]
        assert (one.get_title(), one.get_ylabel(), one.get_xlim()) == (
            other.get_title(),
            other.get_ylabel(),
            other.get_xlim(),
        )
        np.testing.assert_allclose(one.get_ylim(), other.get_ylim())


def test_colored_graphs_are_those_of_captum(captum_draws):
    arguments = {"x_values": X, "method": "colored_graph", "sign": "all", "linewidth": 3}
    data = DATA - DATA.mean(axis=0)
    _, axes = ours.visualize_timeseries_attr(ATTR, data, **arguments, use_pyplot=False)
    _, others = captum_draws.visualize_timeseries_attr(ATTR, data, **arguments)
    for one, other in zip(axes, others, strict=True):
        found, expected = one.collections[0], other.collections[0]
        np.testing.assert_allclose(found.get_segments(), expected.get_segments())
        np.testing.assert_allclose(found.get_array(), expected.get_array()[:-1])
        assert found.get_linewidth() == expected.get_linewidth() == [3]


def test_the_whole_graph_is_seen():
    _, axes = ours.visualize_timeseries_attr(ATTR, DATA * 0.1 + 5, method="colored_graph", use_pyplot=False)
    for channel, place in enumerate(axes):
        low, high = place.get_ylim()
        assert low < (DATA * 0.1 + 5)[:, channel].min()
        assert high > (DATA * 0.1 + 5)[:, channel].max()


@pytest.mark.parametrize("method", METHODS)
def test_nothing_of_pyplot_is_touched_without_it(method):
    figure, axes = ours.visualize_timeseries_attr(ATTR, DATA, X, method, use_pyplot=False, show_colorbar=True)
    assert not pyplot.get_fignums()
    assert np.ravel(axes)[0].get_xlim() == (X[0], X[-1])
    assert figure.subplotpars.hspace == (0.2 if method == "overlay_combined" else 0)


@pytest.mark.parametrize("method", METHODS)
def test_zeros_and_constants_are_drawn(method):
    ours.visualize_timeseries_attr(np.zeros_like(ATTR), np.ones_like(DATA), method=method, use_pyplot=False)
    ours.visualize_timeseries_attr(ATTR[:2, :1], DATA[:2, :1], method=method, use_pyplot=False)


def test_channels_may_come_first():
    _, axes = ours.visualize_timeseries_attr(ATTR, DATA, use_pyplot=False)
    _, others = ours.visualize_timeseries_attr(ATTR.T, DATA.T, channels_last=False, use_pyplot=False)
    for one, other in zip(axes, others, strict=True):
        np.testing.assert_allclose(columns(one), columns(other))


def test_combined_attributions_are_summed_and_named_only_with_labels():
    _, axes = ours.visualize_timeseries_attr(ATTR, DATA, method="overlay_combined", use_pyplot=False)
    assert axes.get_legend() is None
    _, axes = ours.visualize_timeseries_attr(
        ATTR, DATA, method="overlay_combined", channel_labels=["a", "b"], use_pyplot=False
    )
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["a", "b"]


def test_axes_of_ones_own_are_drawn_on():
    figure = matplotlib.figure.Figure()
    given = figure.subplots(2, 1)
    found, axes = ours.visualize_timeseries_attr(ATTR, DATA, plt_fig_axis=(figure, list(given)), use_pyplot=False)
    assert found is figure
    assert axes == list(given)
    assert all(len(place.lines) == 1 for place in given)
    with pytest.raises(AssertionError, match=r"Expected axes for 2 panels, got 1"):
        ours.visualize_timeseries_attr(ATTR, DATA, plt_fig_axis=(figure, given[0]), use_pyplot=False)


def test_more_channels_than_times_are_doubted():
    with pytest.warns(UserWarning, match=r"3 channels of only 2 times each"):
        ours.visualize_timeseries_attr(np.ones((2, 3)), np.ones((2, 3)), use_pyplot=False)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"attr": ATTR[:, 0]}, r"Expected attr of shape \(times, channels\), got \(8,\)"),
        ({"data": DATA[:, :1]}, r"differ in shape: \(2, 8\) and \(1, 8\)"),
        ({"x_values": X[:3]}, r"x_values of shape \(8,\), one for each time, got \(3,\)"),
        ({"method": "overlay"}, r"'colored_graph', got 'overlay'"),
        ({"sign": "plus"}, r"'all', got 'plus'"),
    ],
)
def test_mistakes_are_named(arguments, message):
    with pytest.raises(AssertionError, match=message):
        ours.visualize_timeseries_attr(**{"attr": ATTR, "data": DATA, "use_pyplot": False, **arguments})
