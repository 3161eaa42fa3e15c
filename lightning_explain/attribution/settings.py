"""Checks of what users set: the mistake is named where it is made, before anything is computed."""

from __future__ import annotations

from collections.abc import Iterable
from numbers import Integral, Real


def require_integer(what: str, given: object, least: int | None = None) -> None:
    """Refuse what is not a whole number, or too small a one.

    Args:
        what: What it is, as the message begins.
        given: What the user gave.
        least: The least that makes sense; None: there is none.

    Raises:
        TypeError: If it is no integer.
        ValueError: If it is less.

    Example:
        >>> require_integer("steps", 16, 1)
        >>> require_integer("steps", "16", 1)
        Traceback (most recent call last):
        ...
        TypeError: steps must be an integer, got '16'.
    """
    if isinstance(given, bool) or not isinstance(given, Integral):
        raise TypeError(f"{what} must be an integer, got {_shown(given)}.")
    if least is not None and given < least:
        raise ValueError(f"{what} must be at least {least}, got {given}.")


def require_number(what: str, given: object) -> None:
    """Refuse what is not a number.

    Args:
        what: What it is, as the message begins.
        given: What the user gave.

    Raises:
        TypeError: If it is none.
    """
    if isinstance(given, bool) or not isinstance(given, Real):
        raise TypeError(f"{what} must be a number, got {_shown(given)}.")


def numbers(what: str, given: object) -> tuple[float, ...]:
    """Several numbers, as a tuple: a list would not be found again.

    Args:
        what: What they are, as the message begins.
        given: What the user gave.

    Returns:
        The numbers.

    Raises:
        TypeError: If they are none, or a single number.

    Example:
        >>> numbers("shares", [0.1, 0.2])
        (0.1, 0.2)
    """
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise TypeError(f"{what} must be several numbers, such as (0.1, 0.2), got {_shown(given)}.")
    listed = tuple(given)
    for number in listed:
        require_number(f"Each of {what}", number)
    return listed


def require_kind(what: str, given: object, kind: type, example: str) -> None:
    """Refuse what is not of a kind.

    Args:
        what: What it is, as the message begins.
        given: What the user gave.
        kind: What it should be.
        example: What would work.

    Raises:
        TypeError: If it is something else.
    """
    if not isinstance(given, kind):
        raise TypeError(f"{what} must be {kind.__name__}, such as {example}, got {_shown(given)}.")


def require_callable(what: str, given: object, example: str) -> None:
    """Refuse what cannot be called, a class among them: it would have to be made first.

    Args:
        what: What it is, as the message begins.
        given: What the user gave.
        example: What would work.

    Raises:
        TypeError: If it cannot.
    """
    if isinstance(given, type) or not callable(given):
        raise TypeError(f"{what} must be one such as {example}, got {_shown(given)}.")


def _shown(given: object) -> str:
    # Short things as they are; of tensors and the like the type says enough.
    if isinstance(given, type):
        return f"the class {given.__name__}"
    short = given is None or isinstance(given, (str, bool, Real))
    return repr(given) if short else type(given).__name__
