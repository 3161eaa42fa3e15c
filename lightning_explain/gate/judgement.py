"""How an expression fares against what is known of the scores."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from lightning_explain.gate.history import History
from lightning_explain.gate.language import COMPARISONS, AllOf, Condition, Expression, Lasting
from lightning_explain.gate.verdict import Joined, Lasted, Outcome, Reason, Value
from lightning_explain.gate.words import alone, fault, told, told_paired


@dataclass(frozen=True)
class Facts:
    """What is known at a validation.

    Args:
        values: Of each score.
        yardsticks: The name of each score's random line.
        history: Of the validations before.
    """

    values: Mapping[str, Value]
    yardsticks: Mapping[str, str]
    history: History

    def reference(self, condition: Condition) -> Value | None:
        """What a condition's ``random`` or ``best`` stands for.

        Returns:
            Its value; None if there is none.
        """
        if condition.reference == "random":
            return self.values.get(self.yardsticks.get(condition.score, ""))
        best = self.history.best.get(condition.score)
        return None if best is None else Value(best)


def outcome(expression: Expression, facts: Facts) -> Outcome:
    """Compare what is known with an expression.

    Returns:
        How the expression and all its parts fare.
    """
    if isinstance(expression, Condition):
        return _reason(expression, facts)
    if isinstance(expression, Lasting):
        text = str(expression.part)
        before = facts.history.streaks.get(text, 0)
        return Lasted(outcome(expression.part, facts), text, expression.validations, before)
    joint = "and" if isinstance(expression, AllOf) else "or"
    return Joined(joint, tuple(outcome(part, facts) for part in expression.parts))


def _reason(condition: Condition, facts: Facts) -> Reason:
    value = facts.values.get(condition.score)
    reference = facts.reference(condition) if condition.reference else None
    passed, why = _compared(condition, value, reference)
    known = value if value is not None and value.stale_since is None else Value(math.nan)
    number = _number(condition, reference)
    threshold = condition.bound.at(number)
    paired = known.paired if condition.is_paired else Value(math.nan)
    return Reason(
        score=condition.score,
        comparison=condition.comparison,
        threshold=None if math.isnan(threshold) else threshold,
        value=known.mean if known is value else None,
        standard_error=known.standard_error,
        n=known.n,
        passed=passed,
        why=why,
        end=condition.subject.end,
        low=known.low,
        high=known.high,
        reference=None if math.isnan(number) else number,
        scored=known is value and (condition.reference != "random" or _is_current(reference)),
        advantage=None if math.isnan(paired.mean) else paired.mean,
        advantage_low=paired.low,
        advantage_high=paired.high,
    )


def _compared(condition: Condition, value: Value | None, reference: Value | None) -> tuple[bool, str]:
    wrong = fault(value, condition.subject.end)
    if value is None or wrong is not None:
        return False, f"{wrong}, needs {condition.needs}"
    if condition.reference is None:
        return condition.holds(value.at(condition.subject.end)), told(condition, value, None)
    if condition.reference == "best" and value.higher_is_better is None:
        return False, f"{alone(condition, value)}, needs {condition.needs}, but has no direction that is better"
    if condition.reference == "best" and reference is None:
        return True, f"{alone(condition, value)}, which is the first, nothing to compare with (needs {condition.needs})"
    wrong = fault(reference, condition.bound.reference.end if condition.bound.reference else "mean")
    if reference is None or wrong is not None:
        return False, f"{alone(condition, value)}, needs {condition.needs}, which {wrong}"
    return _beyond_random(condition, value) if condition.is_paired else _against(condition, value, reference)


def _against(condition: Condition, value: Value, reference: Value) -> tuple[bool, str]:
    held = condition.holds(value.at(condition.subject.end), _number(condition, reference))
    return held, told(condition, value, reference)


def _beyond_random(condition: Condition, value: Value) -> tuple[bool, str]:
    end = value.paired.at(condition.subject.end)
    if not math.isfinite(end):
        lacks = f"{alone(condition, value)} without interval of the difference from random"
        return False, f"{lacks}, needs {condition.needs}"
    return COMPARISONS[condition.comparison](end, condition.bound.offset), told_paired(condition, value)


def _number(condition: Condition, reference: Value | None) -> float:
    if reference is None or condition.bound.reference is None or reference.stale_since is not None:
        return math.nan
    return reference.at(condition.bound.reference.end)


def _is_current(value: Value | None) -> bool:
    return value is not None and value.stale_since is None
