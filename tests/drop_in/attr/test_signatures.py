from inspect import Parameter, signature

import pytest
from captum import attr as captum
from captum.attr._core import lime as captum_lime

from lightning_explain.captum import attr as ours
from lightning_explain.captum.attr._core import dataloader_attr, lime

NAMES = [
    "FeatureAblation",
    "FeaturePermutation",
    "Occlusion",
    "ShapleyValueSampling",
    "ShapleyValues",
    "LimeBase",
    "Lime",
    "KernelShap",
    "DataLoaderAttribution",
]


def taken(call: object) -> list[tuple[str, object, object]]:
    return [(name, held.kind, held.default) for name, held in signature(call).parameters.items()]


@pytest.mark.parametrize("name", NAMES)
def test_calls_are_written_as_for_captum(name: str) -> None:
    own, theirs = getattr(ours, name), getattr(captum, name)
    assert taken(own.attribute) == taken(theirs.attribute)
    made, expected = taken(own), taken(theirs)
    if name == "FeaturePermutation":  # whose default is a private function
        assert made[1] == ("perm_func", Parameter.POSITIONAL_OR_KEYWORD, None)
        made, expected = made[:1], expected[:1]
    assert made == expected
    assert issubclass(own, ours.Attribution)
    assert issubclass(own, ours.PerturbationAttribution) == issubclass(theirs, captum.PerturbationAttribution)
    assert own.get_name() == theirs.get_name()
    assert "Args:" in own.attribute.__doc__


def test_classes_are_of_the_kind_that_captums_are_of() -> None:
    assert issubclass(ours.KernelShap, ours.Lime)
    assert issubclass(ours.Lime, ours.LimeBase)
    assert issubclass(ours.ShapleyValues, ours.ShapleyValueSampling)


def test_names_that_are_not_exported() -> None:
    kernel = "get_exp_kernel_similarity_function"
    assert taken(getattr(lime, kernel)) == taken(getattr(captum_lime, kernel))
    assert lime.Lime is ours.Lime
    assert dataloader_attr.DataLoaderAttribution is ours.DataLoaderAttribution
    role = dataloader_attr.InputRole
    assert (role.need_attr, role.need_forward, role.no_forward) == (0, 1, 2)
