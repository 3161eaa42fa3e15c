"""Finding an object by the name that a user typed."""

from __future__ import annotations

import importlib
from typing import Any


def load_object(path: str) -> Any:  # noqa: ANN401
    """Import something by name.

    Args:
        path: ``package.module:name``.

    Returns:
        The object.

    Raises:
        ValueError: If the path is written in another way, the module cannot be imported, or has no such name.
    """
    module, _, name = path.partition(":")
    if not module or not name:
        raise ValueError(f"Expected package.module:name, got {path!r}.")
    try:
        found: Any = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError, TypeError) as error:
        raise ValueError(f"Cannot import {path!r}: {error}.") from error
    return found
