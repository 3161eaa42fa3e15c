"""Captum's public names around this package's engine: put ``lightning_explain.`` before ``captum`` in an import."""

from importlib import import_module
from types import ModuleType

_PARTS = ("attr", "metrics", "robust")


def __getattr__(name: str) -> ModuleType:
    # Captum loads its parts with itself; here the first look at one does.
    if name in _PARTS:
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *_PARTS]
