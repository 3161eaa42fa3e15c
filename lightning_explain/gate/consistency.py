"""Conditions that repeat or contradict one another."""

from __future__ import annotations

from itertools import combinations

from lightning_explain.gate.language import AllOf, AnyOf, Condition, Expression, Lasting


def require_consistent(expressions: tuple[Expression, ...]) -> None:
    """Make sure that conditions which all have to hold can do so.

    Looked at are those of one score that are compared with a number, or with the same multiple of the same reference:
    whether others can hold together is known only at a validation.

    Args:
        expressions: What is joined by "and".

    Raises:
        ValueError: If two repeat or contradict one another.
    """
    conditions = [expression for expression in expressions if isinstance(expression, Condition)]
    for one, other in combinations(conditions, 2):
        _require_compatible(one, other)
    for expression in expressions:
        if isinstance(expression, AllOf):
            require_consistent(expression.parts)
        if isinstance(expression, Lasting):
            require_consistent((expression.part,))
        if isinstance(expression, AnyOf):
            for part in expression.parts:
                require_consistent((part,))


def _require_compatible(one: Condition, other: Condition) -> None:
    if one.subject != other.subject or _line(one) != _line(other):
        return
    score = str(one.subject)
    if one.comparison[0] == other.comparison[0]:
        raise ValueError(f"The gate bounds {score!r} twice on the same side: {one}, {other}. Keep one of them.")
    below, above = (one, other) if one.comparison.startswith(">") else (other, one)
    low, high = below.bound.offset, above.bound.offset
    touching = low == high and {below.comparison, above.comparison} == {">=", "<="}
    if low >= high and not touching:
        raise ValueError(f"No value of {score!r} satisfies both {one} and {other}: this gate could never open.")


def _line(condition: Condition) -> object:
    return condition.bound.reference, condition.bound.factor
