import inspect

import captum.metrics
import pytest
from captum.metrics._core.sensitivity import default_perturb_func

from lightning_explain.captum import metrics


def parameters(function):
    defaults = [getattr(p.default, "__name__", p.default) for p in inspect.signature(function).parameters.values()]
    return [(p.name, p.kind, d) for p, d in zip(inspect.signature(function).parameters.values(), defaults, strict=True)]


@pytest.mark.parametrize("name", captum.metrics.__all__)
def test_functions_are_captums(name):
    assert parameters(getattr(metrics, name)) == parameters(getattr(captum.metrics, name))
    assert callable(getattr(metrics, name))


def test_the_default_perturbation_is_captums():
    assert parameters(metrics.default_perturb_func) == parameters(default_perturb_func)


def test_what_is_decorated_takes_what_captums_does():
    ours, theirs = (package.infidelity_perturb_func_decorator()(len) for package in (metrics, captum.metrics))
    unwrapped = [inspect.signature(function, follow_wrapped=False) for function in (ours, theirs)]
    assert [list(found.parameters) for found in unwrapped] == [["inputs", "baselines"]] * 2
    assert ours.__name__ == "len"
