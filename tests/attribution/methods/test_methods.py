from pathlib import Path

import pytest

from lightning_explain import METHODS, Input, Layer
from lightning_explain.attribution import methods
from lightning_explain.attribution.methods import GradCAM, Method

NAMES = {
    "saliency",
    "input_x_gradient",
    "integrated_gradients",
    "smoothgrad",
    "smoothgrad_sq",
    "vargrad",
    "grad_cam",
    "occlusion",
    "feature_ablation",
    "feature_permutation",
    "shapley_sampling",
    "shapley_values",
    "lime",
    "kernel_shap",
    "rise",
    "deep_lift",
    "deep_lift_shap",
    "guided_backprop",
    "deconvolution",
    "guided_grad_cam",
    "lrp",
}
PER_FEATURE = {
    "feature_ablation",
    "feature_permutation",
    "shapley_sampling",
    "shapley_values",
    "lime",
    "kernel_shap",
}


def test_the_names_that_users_type() -> None:
    assert set(METHODS) == NAMES


def test_every_file_in_the_folder_is_entered() -> None:
    files = {path.stem for path in Path(methods.__file__).parent.glob("*.py")} - {"__init__", "method"}
    assert {METHODS[name].__module__.rsplit(".", 1)[1] for name in METHODS} == files


@pytest.mark.parametrize("name", METHODS)
def test_methods_are_values(name: str) -> None:
    method = METHODS[name]()
    assert isinstance(method, Method)
    assert method.name == name
    assert method == METHODS[name]()
    assert len({method, METHODS[name]()}) == 1
    assert method.__doc__
    assert "arXiv" in type(method).__doc__


@pytest.mark.parametrize("name", METHODS)
def test_methods_have_a_place_of_their_own(name: str) -> None:
    assert METHODS[name]().place() == (None if METHODS[name]().coarse else Input())
    assert GradCAM("features.3").place() == Layer("features.3")


def test_what_the_attributions_are_is_declared() -> None:
    assert {name for name in METHODS if METHODS[name].complete} == {
        "integrated_gradients",
        "shapley_sampling",
        "shapley_values",
        "kernel_shap",
        "deep_lift",
        "deep_lift_shap",
    }
    assert {name for name in METHODS if METHODS[name].per_feature} == PER_FEATURE
    assert {name for name in METHODS if METHODS[name]().coarse} == {"grad_cam"}
    shares = {name for name in METHODS if METHODS[name]().contributes}
    assert shares - PER_FEATURE == {
        "input_x_gradient",
        "integrated_gradients",
        "grad_cam",
        "occlusion",
        "rise",
        "deep_lift",
        "deep_lift_shap",
        "lrp",
    }
    assert shares >= PER_FEATURE
