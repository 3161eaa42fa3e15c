"""Every public name of Captum 0.9.0: there, called alike, and of the same kind."""

import importlib
import inspect

import captum.attr
import pytest
from conformance.differences import DEFAULTS, INTERNAL
from conformance.shim import PACKAGES
from torch import nn

BOTH = ("captum", "lightning_explain.captum")


def theirs_of(package, name):
    return getattr(importlib.import_module(f"captum.{package}"), name)


NAMES = [(package, name) for package in PACKAGES for name in importlib.import_module(f"captum.{package}").__all__]
CLASSES = [(package, name) for package, name in NAMES if inspect.isclass(theirs_of(package, name))]
METHODS = [name for package, name in CLASSES if issubclass(theirs_of(package, name), captum.attr.Attribution)]
MULTIPLY = [name for name in METHODS if "multiply_by_inputs" in inspect.signature(theirs_of("attr", name)).parameters]


def objects(package, name):
    """The object of a name, Captum's and ours."""
    return theirs_of(package, name), getattr(importlib.import_module(f"lightning_explain.captum.{package}"), name)


def plain(value):
    """A default, such that equal ones compare equal: of functions, only that there is one."""
    return "a function" if callable(value) and not inspect.isclass(value) else value


def parameters(function, *known):
    """Names, kinds and defaults; ``known`` is class and method, whose known differences are put in."""
    found = inspect.signature(function).parameters.values()
    return [(each.name, str(each.kind), DEFAULTS.get((*known, each.name), plain(each.default))) for each in found]


def methods_of(theirs):
    """Names of the public methods that Captum itself defines, at whatever base."""
    bases = [base for base in theirs.__mro__ if base.__module__.startswith("captum.")]
    defined = {name: value for base in reversed(bases) for name, value in vars(base).items()}
    public = {name for name, value in defined.items() if not name.startswith("_") and not isinstance(value, property)}
    return sorted(
        name for name in public if callable(getattr(theirs, name)) and (theirs.__name__, name) not in INTERNAL
    )


@pytest.mark.parametrize(("package", "name"), NAMES)
def test_is_there(package, name):
    theirs, ours = objects(package, name)
    assert not getattr(ours, "__module__", "").startswith("captum.")
    assert inspect.isclass(ours) == inspect.isclass(theirs)


@pytest.mark.parametrize(("package", "name"), [found for found in NAMES if inspect.isroutine(theirs_of(*found))])
def test_functions_are_called_alike(package, name):
    theirs, ours = objects(package, name)
    assert parameters(ours) == parameters(theirs)


@pytest.mark.parametrize(("package", "name"), CLASSES)
def test_classes_are_made_alike(package, name):
    theirs, ours = objects(package, name)
    assert parameters(ours) == parameters(theirs, name, "__init__")


OF_CLASSES = [(*found, method) for found in CLASSES for method in methods_of(theirs_of(*found))]


@pytest.mark.parametrize(("package", "name", "method"), OF_CLASSES)
def test_methods_are_called_alike(package, name, method):
    theirs, ours = (getattr(found, method) for found in objects(package, name))
    expected = parameters(theirs)
    if method == "attribute_future" and len(expected) == 1:
        unmade = object.__new__(objects(package, name)[1])
        with pytest.raises(NotImplementedError, match="attribute_future"):
            unmade.attribute_future()
    else:
        assert parameters(ours) == expected


def test_the_visualization_is_called_alike():
    theirs, ours = (importlib.import_module(f"{home}.attr").visualization for home in BOTH)
    there = {name: value for name, value in vars(theirs).items() if getattr(value, "__module__", "") == theirs.__name__}
    public = {name: value for name, value in there.items() if not name.startswith("_")}
    assert sorted(name for name in public if not hasattr(ours, name)) == []
    for name, value in public.items():
        assert parameters(getattr(ours, name)) == parameters(value), name


@pytest.mark.parametrize(("package", "name"), CLASSES)
def test_classes_are_related_alike(package, name):
    theirs, ours = objects(package, name)
    related = {"theirs": [], "ours": []}
    for other in CLASSES:
        kind, our_kind = objects(*other)
        related["theirs"] += [other[1]] * issubclass(theirs, kind)
        related["ours"] += [other[1]] * issubclass(ours, our_kind)
    assert related["ours"] == related["theirs"]


@pytest.fixture(scope="module")
def model():
    return nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))


def made(home, name, model):
    """An object of a class of attributions."""
    attr = importlib.import_module(f"{home}.attr")
    given = {
        "forward_func": model,
        "model": model,
        "layer": model[0],
        "attribution_method": attr.Saliency(model) if name == "NoiseTunnel" else None,
        "attr_method": attr.FeatureAblation(model) if name == "DataLoaderAttribution" else None,
        "interpretable_model": None,
        "similarity_func": lambda *_, **__: 1.0,
        "perturb_func": lambda *_, **__: None,
        "perturb_interpretable_space": False,
        "from_interp_rep_transform": None,
        "to_interp_rep_transform": lambda *_, **__: None,
    }
    cls = getattr(attr, name)
    needed = [each for each in inspect.signature(cls).parameters.values() if each.default is inspect.Parameter.empty]
    return cls(**{each.name: given[each.name] for each in needed})


@pytest.mark.parametrize("name", [name for name in METHODS if "LLM" not in name])
def test_objects_say_the_same_of_themselves(name, model):
    theirs, ours = (made(home, name, model) for home in BOTH)
    assert ours.has_convergence_delta() == theirs.has_convergence_delta()
    assert ours.multiplies_by_inputs == theirs.multiplies_by_inputs
    assert ours.get_name() == theirs.get_name()


@pytest.mark.parametrize("flag", [True, False])
@pytest.mark.parametrize("name", MULTIPLY)
def test_objects_multiply_as_they_are_told(name, flag, model):
    for home in BOTH:
        cls = getattr(importlib.import_module(f"{home}.attr"), name)
        at = {"layer": model[0]} if "layer" in inspect.signature(cls).parameters else {}
        assert cls(model, **at, multiply_by_inputs=flag).multiplies_by_inputs is flag


WRAPPED = [name for name in METHODS if hasattr(getattr(theirs_of("attr", name), "attribute", None), "__wrapped__")]


@pytest.mark.parametrize(
    "name", [name for name in WRAPPED if hasattr(theirs_of("attr", name).attribute, "__wrapped__")]
)
def test_wrappers_of_captums_kind_can_call_it(name):
    """Captum's own wrappers call what is wrapped, and scripts look at its arguments."""
    theirs, ours = (found.attribute.__wrapped__ for found in objects("attr", name))
    expected = inspect.getfullargspec(theirs).args  # none where Captum wraps twice
    assert inspect.getfullargspec(ours).args == (expected or inspect.getfullargspec(inspect.unwrap(theirs)).args)
