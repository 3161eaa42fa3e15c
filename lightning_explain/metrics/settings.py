"""What a metric was made with, in a few letters that are the same in every process."""

from __future__ import annotations

import hashlib
import inspect
import re
from collections.abc import Mapping, Sequence
from typing import Any

LETTERS = 12


def settings_digest(cls: type, args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
    """Tell objects of different settings apart.

    Args:
        cls: Their class.
        args: What its constructor got.
        kwargs: What it got by name.

    Returns:
        Letters and digits. The same for what is written in another way only: by name, a list for a tuple, or a default
        that is spelled out.

    Example:
        >>> class Sized:
        ...     def __init__(self, size=2): ...
        >>> settings_digest(Sized, [], {}) == settings_digest(Sized, [2], {}) != settings_digest(Sized, [3], {})
        True
    """
    try:
        # Not of the class: that would be the signature of a __new__ that takes anything, in some versions of Python.
        bound = inspect.signature(cls.__init__).bind(None, *args, **kwargs)  # type: ignore[misc]  # (of the class itself)
    except TypeError:  # the constructor will say it better
        return ""
    bound.apply_defaults()
    written = f"{cls.__qualname__}({_written(bound.arguments)})"
    return hashlib.sha256(written.encode()).hexdigest()[:LETTERS]


def _written(value: Any) -> str:  # noqa: ANN401
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key}: {_written(value[key])}' for key in sorted(value, key=str))}}}"
    if isinstance(value, (list, tuple)):
        return f"({', '.join(map(_written, value))})"
    if callable(value) and hasattr(value, "__qualname__"):  # a function or a class
        return f"{value.__module__}.{value.__qualname__}"
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))  # an address is another one in the next process
