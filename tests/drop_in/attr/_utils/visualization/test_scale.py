import numpy as np
import pytest
import torch
from captum.attr._utils import visualization as captums

from lightning_explain.captum.attr._utils.visualization.scale import (
    VisualizeSign,
    array,
    normalised,
    palette,
)

SIGNS = list(VisualizeSign.__members__)


def reference(attr, sign, outlier_perc):
    """From the definition: the smallest value such that those up to it make up the rest of the sum saturates."""
    part = {"positive": attr.clip(0), "negative": -attr.clip(max=0), "absolute_value": abs(attr), "all": attr}[sign]
    sizes = np.sort(np.abs(part).ravel())
    saturation = next(
        size for n, size in enumerate(sizes, 1) if sizes[:n].sum() >= sizes.sum() * (1 - outlier_perc / 100)
    )
    return np.clip(part / saturation, -1, 1)


@pytest.mark.parametrize("sign", SIGNS)
@pytest.mark.parametrize("outlier_perc", [0.5, 2, 30])
def test_shares_are_those_of_the_definition_and_of_captum(sign, outlier_perc):
    attr = np.random.default_rng(0).normal(size=(6, 7)) ** 3
    found = normalised(attr, sign, outlier_perc)
    np.testing.assert_allclose(found, reference(attr, sign, outlier_perc), rtol=1e-12)
    np.testing.assert_allclose(found, captums._normalize_attr(attr, sign, outlier_perc), rtol=1e-12)


@pytest.mark.parametrize("sign", SIGNS)
@pytest.mark.parametrize("outlier_perc", [0, 2, 100])
def test_zeros_stay_zeros(sign, outlier_perc):
    assert (normalised(np.zeros((3, 4)), sign, outlier_perc) == 0).all()


def test_a_sign_without_values_is_zero():
    assert (normalised(np.array([1.0, 2.0]), "negative") == 0).all()


def test_all_are_outliers():
    assert normalised(np.array([0.0, 1.0, -3.0]), "all", 100).tolist() == [0, 1, -1]


def test_none_is_an_outlier():
    assert normalised(np.array([1.0, 2.0, 4.0]), "positive", 0).tolist() == [0.25, 0.5, 1]


@pytest.mark.parametrize("scale", [1e-30, 1e-7, 1e30])
def test_the_size_of_attributions_does_not_matter(scale):
    attr = np.random.default_rng(0).normal(size=(4, 5))
    np.testing.assert_allclose(normalised(attr * scale, "all"), normalised(attr, "all"), rtol=1e-9)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_finite_is_counted(value):
    with pytest.raises(ValueError, match=r"of 3 values 2 are not"):
        normalised(np.array([1.0, value, value]), "all")


def test_nothing_at_all():
    with pytest.raises(ValueError, match=r"of 0 values 0 are not"):
        normalised(np.zeros((0, 3)), "all")


@pytest.mark.parametrize("outlier_perc", [-1, 101])
def test_percentages(outlier_perc):
    with pytest.raises(AssertionError, match=r"percentage of outliers in \[0, 100\]"):
        normalised(np.ones(3), "all", outlier_perc)


@pytest.mark.parametrize("sign", SIGNS)
def test_colors_are_those_of_captum(sign):
    cmap, low, high = captums._initialize_cmap_and_vmin_vmax(sign)
    ours = palette(sign)
    assert (ours["vmin"], ours["vmax"]) == (low, high)
    if sign == "all":
        np.testing.assert_allclose(ours["cmap"](np.linspace(0, 1, 7)), cmap(np.linspace(0, 1, 7)))
    else:
        assert ours["cmap"] == cmap
    assert palette(sign, "viridis")["cmap"] == "viridis"


def test_unknown_signs_are_named():
    with pytest.raises(AssertionError, match=r"'positive', 'absolute_value', 'negative', 'all', got 'both'"):
        normalised(np.ones(3), "both")


def test_tensors_are_arrays_too():
    assert array(torch.ones(2, requires_grad=True)).tolist() == [1, 1]
    assert array([1, 2]).tolist() == [1, 2]


def test_tensors_are_taken_for_arrays():
    values = torch.tensor([[0.5, -1.0]], requires_grad=True)
    for given in (values, values.bfloat16()):  # which NumPy does not have
        np.testing.assert_array_equal(array(given), np.array([[0.5, -1.0]], np.float32))
