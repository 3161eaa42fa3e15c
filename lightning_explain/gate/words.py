"""What is said of a condition: numbers rounded as far as they can be, and why there is none."""

from __future__ import annotations

import math
from collections.abc import Callable

from lightning_explain.gate.language import COMPARISONS, Condition
from lightning_explain.gate.verdict import Value


def fault(value: Value | None, end: str = "mean") -> str | None:
    """Why a value cannot be compared.

    Args:
        value: What is known of the score.
        end: The end of its interval that is asked for, or ``"mean"``.

    Returns:
        The reason in words, to be read after the score's name; None if it can be compared.
    """
    if value is None:
        return "has no value (nothing has scored or logged it so far)"
    if value.stale_since is not None:
        return f"was not scored at this validation (last scored at step {value.stale_since})"
    if math.isnan(value.mean):
        everywhere = value.undefined > 0 and value.undefined >= (value.n or 0)
        return f"is NaN for all {value.undefined} samples" if everywhere else "is NaN"
    if math.isinf(value.mean):
        return "is infinite"
    # A mean over the few samples that are left says nothing of the probe set.
    if value.n is not None and value.undefined > value.n:
        return f"is defined for {value.n} of {value.undefined + value.n} samples only"
    return None if math.isfinite(value.at(end)) else f"is {_writer(value)(value.mean)}{_sample(value)} without interval"


def told(condition: Condition, value: Value, reference: Value | None) -> str:
    """Both sides of a comparison that was made.

    Args:
        condition: The comparison.
        value: The score.
        reference: What it was compared with; None for a number.

    Returns:
        As in ``is 0.12 ± 0.02 (n = 32), needs > random, which is 0.10``.
    """
    bound, end = condition.bound, condition.subject.end
    if reference is None or bound.reference is None:
        write = _writer(value, condition, bound.offset)
        return f"is {_shown(value, end, write)}, needs {condition.needs}"
    other = reference.at(bound.reference.end)
    threshold = bound.at(other)
    write = _writer(value, condition, threshold, rounded=True)
    sum_of = bound.written(write(other))
    result = "" if threshold == other else f" = {write(threshold)}"
    return f"is {_shown(value, end, write)}, needs {condition.needs}, which is {sum_of}{result}"


def told_paired(condition: Condition, value: Value) -> str:
    """A score and how far it is ahead of random attributions, sample by sample.

    Returns:
        As in ``is 0.82 [0.61, 1.02] (n = 32), ahead of random by 0.18 [0.05, 0.31], needs lower end > random``. Ahead
        is below, where the condition asks for less than random.
    """
    end, paired = condition.subject.end, value.paired
    write = _writer(paired, condition, condition.bound.offset)
    ends = (paired.mean, paired.at("lower"), paired.at("upper"))
    if end == "upper":
        ends = (0.0 - ends[0], 0.0 - ends[2], 0.0 - ends[1])
    ahead = f"{write(ends[0])} [{write(ends[1])}, {write(ends[2])}]"
    return f"is {_shown(value, end, _writer(value))}, ahead of random by {ahead}, needs {condition.needs}"


def alone(condition: Condition, value: Value) -> str:
    """The score of a comparison that could not be made.

    Returns:
        As in ``is 0.12 ± 0.02 (n = 32)``.
    """
    return f"is {_shown(value, condition.subject.end, _writer(value))}"


def _shown(value: Value, end: str, write: Callable[[float], str]) -> str:
    if end != "mean":
        return f"{write(value.mean)} [{write(value.at('lower'))}, {write(value.at('upper'))}]{_sample(value)}"
    error = value.standard_error
    if not error or not math.isfinite(error):
        return f"{write(value.mean)}{_sample(value)}"
    digits, form = _digits(value)
    return f"{write(value.mean)} ± {error:.{digits if form == 'f' else 2}{form}}{_sample(value)}"


def _writer(
    value: Value, condition: Condition | None = None, threshold: float = math.nan, *, rounded: bool = False
) -> Callable[[float], str]:
    # Rounded, a number must still be on its own side of the threshold: 1.4996 is not "1.50, needs >= 1.5".
    digits, form = _digits(value)
    if condition is None:
        return lambda number: f"{number:.{digits}{form}}"
    compare, number = COMPARISONS[condition.comparison], value.at(condition.subject.end)
    for more in range(digits, digits + 20):
        other = float(f"{threshold:.{more}{form}}") if rounded else threshold
        if compare(float(f"{number:.{more}{form}}"), other) == compare(number, threshold):
            return lambda number, more=more: f"{number:.{more}{form}}"  # type: ignore[misc]
    return repr


def _digits(value: Value) -> tuple[int, str]:
    error = value.standard_error or math.nan
    digits = max(0, 1 - math.floor(math.log10(error))) if math.isfinite(error) else 4
    return digits, "f" if math.isfinite(error) and digits <= 6 else "g"


def _sample(value: Value) -> str:
    if value.n is None:
        return ""
    return f" (n = {value.n}, {value.undefined} undefined)" if value.undefined else f" (n = {value.n})"
