"""What a gate can say: conditions on scores, joined and repeated. Written as they are read."""

import math
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from operator import ge, gt, le, lt
from typing import TypeAlias

from lightning_explain.registry import unknown

COMPARISONS: dict[str, Callable[[float, float], bool]] = {">=": ge, "<=": le, ">": gt, "<": lt}
ENDS = ("mean", "lower", "upper")
SCORE = r"[\w/@.:\[\],-]+"
JOINTS = ("and", "or", "for")
REFERENCES = ("random", "best")


@dataclass(frozen=True)
class Reading:
    """A score's mean over the probe set, or an end of the 95 % interval of that mean.

    Args:
        name: The score.
        end: ``"mean"``, ``"lower"`` or ``"upper"``.

    Raises:
        ValueError: If the end is none of these, or the name is not one that can be read.

    Example:
        >>> print(Reading("attribution/saliency/srg", "lower"))
        lower(attribution/saliency/srg)
    """

    name: str
    end: str = "mean"

    def __post_init__(self) -> None:
        if self.end not in ENDS:
            raise ValueError(unknown("end of an interval", self.end, ENDS))
        if not re.fullmatch(SCORE, self.name) or self.name in JOINTS:
            raise ValueError(f"Expected the name of a score (letters, digits, / @ . : [ ] , - _), got {self.name!r}.")

    def __str__(self) -> str:
        return self.name if self.end == "mean" else f"{self.end}({self.name})"


@dataclass(frozen=True)
class Bound:
    """What a score is compared with: a number, or ``factor * reference + offset``.

    Args:
        offset: A finite number.
        reference: ``random``, an end of its interval, or ``best``; None for a number alone.
        factor: A finite number other than 0; 1 without a reference.

    Raises:
        ValueError: If a number is not finite, the factor does not fit or the reference is not known.

    Example:
        >>> print(Bound(-0.05, Reading("best")), Bound(0.0, Reading("random", "upper"), 2.0), Bound(1.5), sep=" | ")
        best - 0.05 | 2 * upper(random) | 1.5
    """

    offset: float = 0.0
    reference: Reading | None = None
    factor: float = 1.0

    def __post_init__(self) -> None:
        if not math.isfinite(self.offset) or not math.isfinite(self.factor):
            raise ValueError(f"The numbers of a bound must be finite, got {self.factor} and {self.offset}.")
        if self.factor == 0 or (self.reference is None and self.factor != 1):
            raise ValueError(f"Expected the factor of a reference, other than 0, got {self.factor}.")
        if self.reference is not None and self.reference.name not in REFERENCES:
            raise ValueError(unknown("reference", self.reference.name, REFERENCES))
        if self.reference is not None and self.reference.name == "best" and self.reference.end != "mean":
            raise ValueError(f"The best value of a score is one number, without an interval: got {self.reference}.")

    def at(self, reference: float) -> float:
        """The number that a score is compared with.

        Args:
            reference: The value of the reference; not used without one.

        Returns:
            ``factor * reference + offset``.
        """
        return self.offset if self.reference is None else self.factor * reference + self.offset

    def written(self, reference: str) -> str:
        """The bound with other words in the reference's place.

        Returns:
            As in ``2 * 0.10 + 0.05``.
        """
        if self.reference is None:
            return short(self.offset)
        scaled = reference if self.factor == 1 else f"{short(self.factor)} * {reference}"
        sign = "+" if self.offset > 0 else "-"
        return scaled if self.offset == 0 else f"{scaled} {sign} {short(abs(self.offset))}"

    def __str__(self) -> str:
        return self.written(str(self.reference))


@dataclass(frozen=True)
class Condition:
    """What one score has to be.

    Args:
        subject: The score, or any metric that the run logs; its mean or an end of its interval.
        comparison: ``>=``, ``<=``, ``>`` or ``<``.
        bound: What it is compared with.

    Raises:
        ValueError: If the comparison is not one of these.

    Example:
        >>> condition = Condition(Reading("attribution/saliency/srg"), ">=", Bound(0.1))
        >>> condition.holds(0.25)
        True
        >>> print(condition)
        attribution/saliency/srg >= 0.1
    """

    subject: Reading
    comparison: str
    bound: Bound

    def __post_init__(self) -> None:
        if self.comparison not in COMPARISONS:
            raise ValueError(unknown("comparison", self.comparison, COMPARISONS))

    @property
    def score(self) -> str:
        """The name of the score."""
        return self.subject.name

    @property
    def reference(self) -> str | None:
        """``random`` or ``best``; None if the score is compared with a number."""
        return None if self.bound.reference is None else self.bound.reference.name

    @property
    def is_paired(self) -> bool:
        """Whether the samples' differences from random attributions are compared, and not two means.

        So it is where the interval has to lie beyond random: ``lower(score) > random`` or ``upper(score) < random``,
        with an offset or without. Random attributions are one draw, and their mean is no more exact than the score's.
        """
        beyond = {"lower": ">", "upper": "<"}.get(self.subject.end) == self.comparison[0]
        return beyond and self.bound.reference == Reading("random") and self.bound.factor == 1

    def holds(self, value: float, reference: float = math.nan) -> bool:
        """Whether ``value`` satisfies the condition.

        Returns:
            The result of the comparison; False for NaN.
        """
        return COMPARISONS[self.comparison](value, self.bound.at(reference))

    @property
    def mirrored(self) -> "Condition":
        """The same demand on a score whose better side is the other one, as in ``a <= best + 0.05``."""
        end = {"lower": "upper", "upper": "lower"}
        subject = Reading(self.score, end.get(self.subject.end, "mean"))
        reference, factor = self.bound.reference, float(f"{1 / self.bound.factor:.3g}")
        if reference is not None:
            reference = Reading(reference.name, end.get(reference.end, "mean"))
        comparison = self.comparison.translate(str.maketrans("<>", "><"))
        return Condition(subject, comparison, Bound(0.0 - self.bound.offset, reference, factor))

    @property
    def needs(self) -> str:
        """Comparison and bound, as in ``>= 1.5`` or ``lower end > random``."""
        end = "" if self.subject.end == "mean" else f"{self.subject.end} end "
        return f"{end}{self.comparison} {self.bound}"

    def __str__(self) -> str:
        return f"{self.subject} {self.comparison} {self.bound}"


@dataclass(frozen=True)
class AllOf:
    """Expressions that must all hold.

    Args:
        parts: At least two, none of them an ``AllOf``: see :func:`all_of`.

    Raises:
        ValueError: If there are fewer, or one is.
    """

    parts: "tuple[Expression, ...]"

    def __post_init__(self) -> None:
        _require_joinable(self)

    def __str__(self) -> str:
        return " and ".join(f"({part})" if isinstance(part, AnyOf) else str(part) for part in self.parts)


@dataclass(frozen=True)
class AnyOf:
    """Expressions of which one must hold.

    Args:
        parts: At least two, none of them an ``AnyOf``: see :func:`any_of`.

    Raises:
        ValueError: If there are fewer, or one is.
    """

    parts: "tuple[Expression, ...]"

    def __post_init__(self) -> None:
        _require_joinable(self)

    def __str__(self) -> str:
        return " or ".join(f"({part})" if isinstance(part, AllOf) else str(part) for part in self.parts)


@dataclass(frozen=True)
class Lasting:
    """What must have held at each of the last scored validations.

    Args:
        part: What must have held.
        validations: At how many, this one included; at least 1.

    Raises:
        ValueError: If the number is below 1.
    """

    part: "Expression"
    validations: int

    def __post_init__(self) -> None:
        if self.validations < 1:
            raise ValueError(f"Expected a condition for 1 validation or more, got {self.validations}.")

    def __str__(self) -> str:
        part = str(self.part) if isinstance(self.part, Condition) else f"({self.part})"
        return f"{part} for {self.validations} validation{'s' if self.validations > 1 else ''}"


Expression: TypeAlias = Condition | AllOf | AnyOf | Lasting


def all_of(parts: Iterable[Expression]) -> Expression:
    """Join expressions by "and".

    Returns:
        The only one, or an ``AllOf`` that holds those of its parts.
    """
    flat = tuple(inner for part in parts for inner in (part.parts if isinstance(part, AllOf) else (part,)))
    return flat[0] if len(flat) == 1 else AllOf(flat)


def any_of(parts: Iterable[Expression]) -> Expression:
    """Join expressions by "or".

    Returns:
        The only one, or an ``AnyOf`` that holds those of its parts.
    """
    flat = tuple(inner for part in parts for inner in (part.parts if isinstance(part, AnyOf) else (part,)))
    return flat[0] if len(flat) == 1 else AnyOf(flat)


def conditions(expression: Expression) -> Iterator[Condition]:
    """The conditions in an expression, from left to right.

    Yields:
        Condition after condition.
    """
    if isinstance(expression, Condition):
        yield expression
        return
    for part in (expression.part,) if isinstance(expression, Lasting) else expression.parts:
        yield from conditions(part)


def short(number: float) -> str:
    """The shortest way to write a number that is read as the same.

    Returns:
        As in ``0.1``, ``1e-09``.
    """
    text = f"{number:g}"
    return text if float(text) == number else repr(number)


def _require_joinable(joint: AllOf | AnyOf) -> None:
    if len(joint.parts) < 2 or any(type(part) is type(joint) for part in joint.parts):
        raise ValueError(f"Expected two parts or more, none of them {type(joint).__name__}, got {len(joint.parts)}.")
