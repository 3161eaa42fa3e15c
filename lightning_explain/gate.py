"""Conditions on scores, and the verdict on one validation. Numbers and names only: no tensors, no trainer."""

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from operator import ge, gt, le, lt

from lightning_explain.registry import unknown

_COMPARISONS: dict[str, Callable[[float, float], bool]] = {">=": ge, "<=": le, ">": gt, "<": lt}
_SCORE = re.compile(r"[\w/@.:\[\],-]+")
_COMPARISON = re.compile(r">=|<=|>|<")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_END = re.compile(r"$")


@dataclass(frozen=True)
class Condition:
    """What one score has to be.

    Args:
        score: Full name of the score, or of any metric that the run logs.
        comparison: ``>=``, ``<=``, ``>`` or ``<``.
        threshold: A finite number.

    Raises:
        ValueError: If the comparison is not one of these, or the threshold is not finite.

    Example:
        >>> condition = Condition.parse("attribution/saliency/srg >= 0.1")
        >>> condition.holds(0.25)
        True
        >>> print(condition)
        attribution/saliency/srg >= 0.1
    """

    score: str
    comparison: str
    threshold: float

    def __post_init__(self) -> None:
        if self.comparison not in _COMPARISONS:
            raise ValueError(unknown("comparison", self.comparison, _COMPARISONS))
        if not math.isfinite(self.threshold):
            raise ValueError(f"The threshold of {self.score!r} must be finite, got {self.threshold}.")

    @classmethod
    def parse(cls, text: str) -> "Condition":
        """Read ``"<score> <comparison> <number>"``.

        Returns:
            The condition.

        Raises:
            ValueError: If the text is anything else; the message points at the place.
        """
        score, _, end = _take(_SCORE, text, 0, "the name of a score (letters, digits and / @ . : [ ] , - _)")
        comparison, _, end = _take(_COMPARISON, text, end, "one of >=, <=, >, <")
        number, start, end = _take(_NUMBER, text, end, "a finite number such as 0.5, -1 or 1e-3")
        _take(_END, text, end, "the end of the condition (one condition per string)")
        if not math.isfinite(float(number)):
            raise ValueError(_pointing(text, start, "a finite number such as 0.5, -1 or 1e-3"))
        return cls(score, comparison, float(number))

    def holds(self, value: float) -> bool:
        """Whether ``value`` satisfies the condition.

        Returns:
            The result of the comparison; False for NaN.
        """
        return _COMPARISONS[self.comparison](value, self.threshold)

    def __str__(self) -> str:
        return f"{self.score} {self.needs}"

    @property
    def needs(self) -> str:
        """Comparison and threshold, as in ``>= 1.5``."""
        short = f"{self.threshold:g}"
        return f"{self.comparison} {short if float(short) == self.threshold else repr(self.threshold)}"


@dataclass(frozen=True)
class Value:
    """What is known about a score when the gate is judged.

    Args:
        mean: The score.
        standard_error: Its standard error over the samples, if there are several.
        n: The number of samples in the mean.
        undefined: For how many samples the score was NaN.
        stale_since: The step at which it was last scored, if that was not in this validation.
    """

    mean: float
    standard_error: float | None = None
    n: int | None = None
    undefined: int = 0
    stale_since: int | None = None


@dataclass(frozen=True)
class Reason:
    """How one condition fared.

    Args:
        score: Of the condition, like ``comparison`` and ``threshold``.
        value: The score in this validation; None if it has none. With its ``standard_error`` over ``n`` samples.
        passed: Whether the condition holds.
        why: The same in words, to be read after the score's name.
    """

    score: str
    comparison: str
    threshold: float
    value: float | None
    standard_error: float | None
    n: int | None
    passed: bool
    why: str


@dataclass(frozen=True)
class Verdict:
    """The gate's answer to one validation.

    Args:
        open: Whether every condition holds, on every rank.
        step: The trainer's global step.
        validation: Which validation run it was.
        reasons: One for each condition.
    """

    open: bool
    step: int
    validation: int
    reasons: tuple[Reason, ...]

    @property
    def sentence(self) -> str:
        """The verdict in plain English: what failed, or, of an open gate, what passed."""
        state = "open" if self.open else "closed"
        told = [reason for reason in self.reasons if reason.passed == self.open]
        clauses = "; ".join(f"{reason.score} {reason.why}" for reason in told)
        return f"Gate {state} at step {self.step}: {clauses or 'the conditions hold here, but not on every rank'}."

    def to_dict(self) -> dict[str, object]:
        """The verdict as plain values.

        Returns:
            A dictionary that strict JSON can hold: a number that is not finite becomes None.
        """
        conditions = [{key: _finite(value) for key, value in asdict(reason).items()} for reason in self.reasons]
        own = {"open": self.open, "step": self.step, "validation": self.validation, "sentence": self.sentence}
        return {**own, "conditions": conditions}


@dataclass(frozen=True)
class Gate:
    """Conditions that must all hold.

    Args:
        conditions: At least one; at most one lower and one upper bound for each score.

    Raises:
        ValueError: If there is no condition, or two conditions repeat or contradict one another.

    Example:
        >>> gate = Gate.parse(["attribution/saliency/relevance_mass >= 1.5", "val_acc >= 0.9"])
        >>> values = {"attribution/saliency/relevance_mass": Value(0.82, 0.1, 32), "val_acc": Value(0.98)}
        >>> gate.judge(values, step=125, validation=3).sentence
        'Gate closed at step 125: attribution/saliency/relevance_mass is 0.82 ± 0.10 (n = 32), needs >= 1.5.'
    """

    conditions: tuple[Condition, ...]

    def __post_init__(self) -> None:
        if not self.conditions:
            raise ValueError("A gate needs at least one condition, such as 'val_acc >= 0.9', got none.")
        for i, condition in enumerate(self.conditions):
            for earlier in self.conditions[:i]:
                _require_compatible(earlier, condition)

    @classmethod
    def parse(cls, gate: str | Iterable[str]) -> "Gate":
        """Read a condition, or a list of them.

        Returns:
            The gate.

        Raises:
            TypeError: If something in the list is not a string.
        """
        texts = [gate] if isinstance(gate, str) else list(gate)
        for text in texts:
            if not isinstance(text, str):
                raise TypeError(f"A gate is a list of strings such as 'val_acc >= 0.9', got {text!r} in it.")
        return cls(tuple(Condition.parse(text) for text in texts))

    @property
    def texts(self) -> list[str]:
        """The conditions as they would be typed."""
        return [str(condition) for condition in self.conditions]

    @property
    def scores(self) -> tuple[str, ...]:
        """The names of all scores that the conditions ask for."""
        return tuple(dict.fromkeys(condition.score for condition in self.conditions))

    def check(self, names: Iterable[str], prefix: str = "") -> None:
        """Make sure that every score will exist.

        Args:
            names: The scores there will be.
            prefix: Look only at conditions on scores whose name begins like this.

        Raises:
            ValueError: If a score is not among ``names``; lists every condition in question.
        """
        known = list(names)
        asked = [condition for condition in self.conditions if condition.score.startswith(prefix)]
        wrong = [f"{c!s}: {unknown('score', c.score, known)}" for c in asked if c.score not in known]
        if wrong:
            raise ValueError("The gate has conditions on scores that will not exist.\n" + "\n".join(wrong))

    def judge(self, values: Mapping[str, Value], *, step: int, validation: int) -> Verdict:
        """Compare the scores of a validation with the conditions.

        Args:
            values: What is known of each score. One that is not in it, is stale or is not finite refuses.
            step: The trainer's global step.
            validation: Which validation run it is.

        Returns:
            The verdict.
        """
        reasons = tuple(_reason(condition, values.get(condition.score)) for condition in self.conditions)
        return Verdict(all(reason.passed for reason in reasons), step, validation, reasons)


def _take(pattern: re.Pattern[str], text: str, start: int, expected: str) -> tuple[str, int, int]:
    start += len(text[start:]) - len(text[start:].lstrip())
    match = pattern.match(text, start)
    if match is None:
        raise ValueError(_pointing(text, start, expected))
    return match.group(), start, match.end()


def _pointing(text: str, position: int, expected: str) -> str:
    shown = re.sub(r"\s", " ", text)
    return f"Cannot read the condition: expected {expected}.\n  {shown}\n  {' ' * position}^"


def _require_compatible(one: Condition, other: Condition) -> None:
    if one.score != other.score:
        return
    if one.comparison[0] == other.comparison[0]:
        raise ValueError(f"The gate bounds {one.score!r} twice on the same side: {one}, {other}. Keep one of them.")
    below, above = (one, other) if one.comparison.startswith(">") else (other, one)
    touching = below.threshold == above.threshold and {below.comparison, above.comparison} == {">=", "<="}
    if below.threshold >= above.threshold and not touching:
        raise ValueError(f"No value of {one.score!r} satisfies both {one} and {other}: this gate could never open.")


def _reason(condition: Condition, value: Value | None) -> Reason:
    current = value is not None and value.stale_since is None
    mean, error, n = (value.mean, value.standard_error, value.n) if value is not None and current else (None,) * 3
    passed = mean is not None and math.isfinite(mean) and condition.holds(mean) and not _mostly_undefined(value)
    why = f"{_state(condition, value)}, needs {condition.needs}"
    return Reason(condition.score, condition.comparison, condition.threshold, mean, error, n, passed, why)


def _state(condition: Condition, value: Value | None) -> str:
    if value is None:
        return "has no value (nothing has scored or logged it so far)"
    if value.stale_since is not None:
        return f"was not scored at this validation (last scored at step {value.stale_since})"
    if math.isnan(value.mean):
        everywhere = value.undefined > 0 and value.undefined >= (value.n or 0)
        return f"is NaN for all {value.undefined} samples" if everywhere else "is NaN"
    if math.isinf(value.mean):
        return "is infinite"
    if _mostly_undefined(value):
        return f"is defined for {value.n} of {value.undefined + (value.n or 0)} samples only"
    return f"is {_number(condition, value)}{_sample(value)}"


def _mostly_undefined(value: Value | None) -> bool:
    # A mean over the few samples that are left says nothing of the probe set.
    return value is not None and value.n is not None and value.undefined > value.n


def _number(condition: Condition, value: Value) -> str:
    error = value.standard_error or math.nan
    digits = max(0, 1 - math.floor(math.log10(error))) if math.isfinite(error) else 4
    form = "f" if math.isfinite(error) and digits <= 6 else "g"
    # Rounded, the number must still be on its own side of the threshold: 1.4996 is not "1.50, needs >= 1.5".
    texts = (f"{value.mean:.{digits + more}{form}}" for more in range(20))
    text = next((t for t in texts if condition.holds(float(t)) == condition.holds(value.mean)), repr(value.mean))
    return f"{text} ± {error:.{digits if form == 'f' else 2}{form}}" if math.isfinite(error) else text


def _sample(value: Value) -> str:
    if value.n is None:
        return ""
    return f" (n = {value.n}, {value.undefined} undefined)" if value.undefined else f" (n = {value.n})"


def _finite(value: object) -> object:
    return None if isinstance(value, float) and not math.isfinite(value) else value
