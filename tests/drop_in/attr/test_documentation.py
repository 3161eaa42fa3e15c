import inspect
import re
from inspect import signature

import pytest

from lightning_explain.captum import attr
from lightning_explain.captum.attr.documentation import CONSTRUCTOR, PARAMETERS, documented, documented_class

CLASSES = sorted(
    name for name, kind in vars(attr).items() if inspect.isclass(kind) and issubclass(kind, attr.Attribution)
)
EXPLAIN = [name for name in CLASSES if hasattr(getattr(attr, name), "attribute")]


def listed(doc: str) -> list[str]:
    """The parameters that a docstring describes."""
    section = doc.split("Args:\n")[1].split("\n\n")[0]
    return re.findall(r"^ +(\w+): ", section, flags=re.MULTILINE)


@pytest.mark.parametrize("name", EXPLAIN)
def test_every_parameter_of_every_method_is_described(name: str) -> None:
    attribute = getattr(attr, name).attribute
    expected = [name for name in signature(attribute).parameters if name not in {"self", "args", "kwargs"}]
    described = [found for found in listed(attribute.__doc__) if found not in {"args", "kwargs"}]
    assert described == expected
    assert "Returns:" in attribute.__doc__


def test_a_parameter_means_what_it_means_to_the_class() -> None:
    assert PARAMETERS["baselines"] in attr.DeepLift.attribute.__doc__
    assert PARAMETERS["DeepLiftShap.baselines"] in attr.DeepLiftShap.attribute.__doc__
    assert PARAMETERS["DeepLiftShap.baselines"] in attr.LayerDeepLiftShap.attribute.__doc__
    assert PARAMETERS["GradientShap.n_samples"] in attr.NeuronGradientShap.attribute.__doc__


def test_what_is_described_is_a_parameter_of_something() -> None:
    taken = {parameter for name in EXPLAIN for parameter in signature(getattr(attr, name).attribute).parameters}
    assert {key.split(".")[-1] for key in PARAMETERS} <= taken
    made = {parameter for name in CLASSES for parameter in signature(getattr(attr, name)).parameters}
    assert set(CONSTRUCTOR) <= made


def test_what_is_not_described_is_noticed() -> None:
    def attribute(self: object, inputs: object, unheard_of: int) -> None: ...

    with pytest.raises(KeyError, match="unheard_of"):
        documented(attribute)
    with pytest.raises(KeyError, match="inputs"):
        documented_class("A class whose constructor takes inputs.", signature(attribute))


def test_a_class_that_is_made_is_described() -> None:
    made = attr.LayerIntegratedGradients.__doc__
    assert listed(made) == ["forward_func", "layer", "device_ids", "multiply_by_inputs"]
    assert made.startswith(":class:`IntegratedGradients` of what goes through a layer.")
    assert attr.NeuronDeepLift.__doc__.startswith(":class:`DeepLift` of a neuron, by the inputs.")
