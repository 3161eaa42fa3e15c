import inspect

import captum.robust
import pytest

from lightning_explain.captum import robust

NAMES = captum.robust.__all__


def parameters(function):
    return [(p.name, p.kind, p.default) for p in inspect.signature(function).parameters.values()]


def public(cls):
    return sorted(name for name, value in vars(cls).items() if callable(value) and not name.startswith("_"))


@pytest.mark.parametrize("name", NAMES)
def test_constructors_are_captums(name):
    assert parameters(getattr(robust, name)) == parameters(getattr(captum.robust, name))


@pytest.mark.parametrize(
    ("name", "method"),
    [(name, method) for name in NAMES for method in [*public(getattr(captum.robust, name)), "__call__"]
     if hasattr(getattr(captum.robust, name), method)],
)  # fmt: skip
def test_methods_are_captums(name, method):
    ours, theirs = (inspect.unwrap(getattr(getattr(p, name), method)) for p in (robust, captum.robust))
    assert parameters(ours) == parameters(theirs)


def test_attacks_are_perturbations_and_calling_one_perturbs():
    class Doubled(robust.Perturbation):
        def perturb(self, inputs, *, times=2):
            return inputs * times

    assert Doubled()(3) == 6
    assert Doubled()(3, times=5) == 15
    assert issubclass(robust.FGSM, robust.Perturbation)
    assert issubclass(robust.PGD, robust.Perturbation)
