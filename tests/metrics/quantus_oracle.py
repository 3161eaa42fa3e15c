"""Quantus as an oracle, where it can be imported and is sound."""

import warnings

import pytest


def import_quantus():
    """The module; the test is skipped where it, or what it imports, is not there or does not work."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            import quantus
        except Exception as error:  # noqa: BLE001  (a broken torchvision raises RuntimeError, others ImportError)
            pytest.skip(f"Quantus cannot be imported: {type(error).__name__}: {error}")
    return quantus
