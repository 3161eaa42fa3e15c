"""Other libraries, where they can be imported."""

import importlib
import warnings

import pytest


def oracle(name):
    """Import a library, or skip the test: what it imports may fail in ways of its own."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return importlib.import_module(name)
    except Exception as error:  # noqa: BLE001  (a broken torchvision raises RuntimeError)
        pytest.skip(f"{name} cannot be imported: {error}")
