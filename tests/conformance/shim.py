"""``import captum.attr`` that gives our names: only for the process that runs Captum's tests."""

import contextlib
import importlib
import importlib.util
import pkgutil
import sys

PACKAGES = ("attr", "metrics", "robust")
# The metaclass of typing: two aliases of one type are one object, and would be taken for each other.
SHARED = ("StatValue",)


def absent(name):
    """What stands for a name that we do not offer: real Captum must not pass tests for us."""

    def missing(*_, **__):
        raise NotImplementedError(f"lightning_explain.captum has no {name}")

    return type(name, (), {"__new__": missing})


def public(package, against="ours"):
    """Captum's public objects of a package and what takes their place, as (name, theirs, ours)."""
    theirs = importlib.import_module(f"captum.{package}")
    name = f"captum.{package}" if against == "captum" else f"lightning_explain.captum.{package}"
    ours = importlib.import_module(name) if importlib.util.find_spec(name) else None
    for name in theirs.__all__:
        if name not in SHARED:
            original = getattr(theirs, name)
            yield name, original, getattr(ours, name, None) or absent(name)


def mirrored():
    """What is public by its name in modules that we have at Captum's place: linear models, rules of LRP, similarity."""
    ours = importlib.import_module("lightning_explain.captum")
    for found in pkgutil.walk_packages(ours.__path__, f"{ours.__name__}."):
        place = found.name.removeprefix("lightning_explain.")
        with contextlib.suppress(ModuleNotFoundError):  # a module of our own
            theirs, its = importlib.import_module(place), importlib.import_module(found.name)
            for name, value in vars(theirs).items():
                own = str(getattr(value, "__module__", "")).startswith("captum.") and not name.startswith("_")
                if own and hasattr(its, name):
                    yield name, value, getattr(its, name)


def load(package):
    """Import all of real Captum's package, so that no module of it is built from our classes later."""
    root = importlib.import_module(f"captum.{package}")
    for found in pkgutil.walk_packages(root.__path__, f"captum.{package}."):
        importlib.import_module(found.name)


def install(against="ours"):
    """Put our objects in the place of Captum's public ones, wherever its modules hold them.

    Private helpers (``captum._utils.common``, ``captum.attr._utils.batching``) stay what they are: tests use them as
    tools. ``captum.testing`` is imported afterwards, and finds ours.

    Returns:
        The objects that take part, by ``id``: a test module that sees none of them says nothing about us.
    """
    if early := [name for name in sys.modules if name.startswith("captum.testing")]:
        raise RuntimeError(f"{early} were imported before the shim, and hold Captum's own classes")
    for package in PACKAGES:
        load(package)
    found = [each for package in PACKAGES for each in public(package, against)]
    found += mirrored() if against == "ours" else ()
    replaced = {id(theirs): ours for _, theirs, ours in found}
    held = [module for name, module in sys.modules.items() if name.split(".")[0] == "captum"]
    for module in held:
        for name, value in list(vars(module).items()):
            if id(value) in replaced:
                setattr(module, name, replaced[id(value)])
    return {id(ours): ours for ours in replaced.values()}
