import warnings

import pytest


@pytest.fixture(scope="session")
def quantus():
    """An oracle, where it can be imported: what it imports may fail in ways of its own."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import quantus
    except Exception as error:  # noqa: BLE001  (a broken torchvision raises RuntimeError)
        pytest.skip(f"Quantus cannot be imported: {error}")
    return quantus
