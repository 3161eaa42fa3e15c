from pathlib import Path

import pytest

from lightning_explain import METHODS, Conductance, Input, IntegratedGradients, Layer, Neuron
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
    "activation",
    "attention_relevance",
    "attention_rollout",
    "conductance",
    "eigen_cam",
    "expected_gradients",
    "grad_cam_plus_plus",
    "gradient_shap",
    "hires_cam",
    "internal_influence",
    "layer_cam",
    "score_cam",
    "xgrad_cam",
}
PER_FEATURE = {
    "feature_ablation",
    "feature_permutation",
    "shapley_sampling",
    "shapley_values",
    "lime",
    "kernel_shap",
}
COMPLETE = {
    "integrated_gradients",
    "conductance",
    "gradient_shap",
    "expected_gradients",
    "shapley_sampling",
    "shapley_values",
    "kernel_shap",
    "deep_lift",
    "deep_lift_shap",
}
MAPS = {name for name in NAMES if "cam" in name and name != "guided_grad_cam"}


def test_the_names_that_users_type() -> None:
    assert set(METHODS) == NAMES


def test_every_file_in_the_folder_is_entered() -> None:
    files = {path.stem for path in Path(methods.__file__).parent.glob("*.py")} - {
        "__init__",
        "method",
        "cam",
        "attention",
    }
    assert {METHODS[name].__module__.rsplit(".", 1)[1] for name in METHODS} == files


@pytest.mark.parametrize("name", METHODS)
def test_methods_are_values(name: str) -> None:
    method = METHODS[name]()
    assert isinstance(method, Method)
    assert method.name == name
    assert method == METHODS[name]()
    assert len({method, METHODS[name]()}) == 1
    assert method.__doc__
    assert "arXiv" in type(method).__doc__  # or the words that there is none


@pytest.mark.parametrize("name", METHODS)
def test_methods_have_a_place_of_their_own(name: str) -> None:
    assert METHODS[name]().place() == (None if METHODS[name]().coarse else Input())
    assert GradCAM("features.3").place() == Layer("features.3")


def test_what_the_attributions_are_is_declared() -> None:
    assert {name for name in METHODS if METHODS[name].complete} == COMPLETE
    assert {name for name in METHODS if METHODS[name].per_feature} == PER_FEATURE
    assert {name for name in METHODS if METHODS[name]().coarse} == MAPS
    assert {name for name in METHODS if METHODS[name].needs_attention} == {"attention_relevance", "attention_rollout"}
    assert {name for name in METHODS if not METHODS[name].about_score} == {
        "activation",
        "attention_rollout",
        "eigen_cam",
    }
    shares = {name for name in METHODS if METHODS[name]().contributes}
    assert shares == {"input_x_gradient", "occlusion", "rise", "lrp"} | COMPLETE | MAPS | PER_FEATURE


def test_where_they_add_up() -> None:
    places = (Input(), Layer("a"), Neuron("a", 0))
    assert [Conductance().complete_at(place) for place in places] == [True, True, False]  # of the unit, not the score
    assert [IntegratedGradients().complete_at(place) for place in places] == [True] * 3
    assert not any(IntegratedGradients(multiply_by_inputs=False).complete_at(place) for place in places)
