"""What explains nothing itself has Captum's names, parameters and defaults."""

import inspect
from importlib import import_module

import captum.attr
import pytest

PLACES = {
    "attr._utils.visualization": [
        "ImageVisualizationMethod", "TimeseriesVisualizationMethod", "VisualizationDataRecord", "VisualizeSign",
        "draw_mask_border", "draw_mask_legend", "format_classname", "format_special_tokens", "format_tooltip",
        "format_word_importances", "visualize_image_attr", "visualize_image_attr_multiple", "visualize_text",
        "visualize_timeseries_attr",
    ],
    "attr._utils.stat": [
        "CommonStats", "Count", "GeneralAccumFn", "MSE", "Max", "Mean", "Min", "Stat", "StdDev", "Sum", "Var",
    ],
    "attr._utils.summarizer": ["Summarizer", "SummarizerSingleTensor"],
    "attr._utils.class_summarizer": ["ClassSummarizer"],
    "attr._utils.baselines": ["ProductBaselines"],
    "attr._utils.input_layer_wrapper": ["InputIdentity", "ModelInputWrapper"],
    "attr._utils.interpretable_input": ["ImageMaskInput", "InterpretableInput", "TextTemplateInput", "TextTokenInput"],
    "attr._models.base": [
        "InterpretableEmbeddingBase", "TokenReferenceBase", "configure_interpretable_embedding_layer",
        "remove_interpretable_embedding_layer",
    ],
    "_utils.models.model": ["Model"],
    "_utils.models.linear_model.model": [
        "LinearModel", "SGDLasso", "SGDLinearModel", "SGDLinearRegression", "SGDRidge", "SkLearnLasso",
        "SkLearnLinearModel", "SkLearnLinearRegression", "SkLearnLogisticRegression", "SkLearnRidge",
        "SkLearnSGDClassifier",
    ],
    "_utils.models.linear_model.train": ["l2_loss", "sgd_train_linear_model", "sklearn_train_linear_model"],
}  # fmt: skip
LANGUAGE = {
    "LLMAttribution": "llm_attr", "LLMAttributionResult": "llm_attr", "LLMGradientAttribution": "llm_attr",
    "RemoteLLMAttribution": "llm_attr", "RemoteLLMProvider": "remote_provider", "VLLMProvider": "remote_provider",
}  # fmt: skip
NAMES = [
    *(
        (f"lightning_explain.captum.{place}", f"captum.{place}", name)
        for place, names in PLACES.items()
        for name in names
    ),
    *(
        (f"lightning_explain.captum.attr._core.{place}", f"captum.attr._core.{place}", name)
        for name, place in LANGUAGE.items()
    ),
]
# The first name of captum.attr is written where a module of scikit-learn was meant; abstract classes take anything.
ELSE = {("sklearn_train_linear_model", "sklearn_trainer"), ("l2_loss", "x1")}


def parameters(function):
    found = inspect.signature(inspect.unwrap(function)).parameters.values()
    return [(one.name, one.kind, one.default) for one in found if one.name not in {"self", "cls"}]


def alike(one, other):
    return one == other or (callable(one) and callable(other)) or repr(one) == repr(other)


def compare(name, ours, theirs):
    assert [parameter[:2] for parameter in ours] == [parameter[:2] for parameter in theirs], name
    for (parameter, _, one), (_, _, other) in zip(ours, theirs, strict=True):
        assert alike(one, other) or (name, parameter) in ELSE, (name, parameter)


@pytest.mark.parametrize(("our_place", "their_place", "name"), NAMES, ids=[name for *_, name in NAMES])
def test_names_parameters_and_defaults_are_those_of_captum(our_place, their_place, name):
    ours, theirs = getattr(import_module(our_place), name), getattr(import_module(their_place), name)
    if not inspect.isclass(theirs):
        compare(name, parameters(ours), parameters(theirs))
    elif hasattr(theirs, "__members__"):
        assert {key: value.value for key, value in ours.__members__.items()} == {
            key: value.value for key, value in theirs.__members__.items()
        }
    else:
        if theirs.__init__ is not object.__init__:
            compare(name, parameters(ours.__init__), parameters(theirs.__init__))
        for key, member in vars(theirs).items():
            if not key.startswith("_") and inspect.isfunction(member):
                compare(f"{name}.{key}", parameters(getattr(ours, key)), parameters(member))
            elif not key.startswith("_") and isinstance(member, property):
                assert isinstance(inspect.getattr_static(ours, key), property)


def test_every_name_of_the_kind_is_there():
    listed = {name for *_, name in NAMES}
    explain = {
        name
        for name in captum.attr.__all__
        if inspect.isclass(kind := getattr(captum.attr, name)) and issubclass(kind, captum.attr.Attribution)
    }
    assert set(captum.attr.__all__) - explain - listed == {"StatValue", "visualization"}
    assert import_module("lightning_explain.captum.attr._utils.stat").StatValue == captum.attr.StatValue


def test_parts_are_attributes_as_in_captum() -> None:
    package = import_module("lightning_explain.captum")
    for part in ("attr", "metrics", "robust"):
        assert hasattr(captum, part)
        assert getattr(package, part) is import_module(f"lightning_explain.captum.{part}")
        assert part in dir(package)
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        package.nothing  # noqa: B018
