"""What is known of a score, how each part of a gate fared, and the verdict."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import TypeAlias

from lightning_explain.gate.history import History


@dataclass(frozen=True)
class Value:
    """What is known about a score when the gate is judged.

    Args:
        mean: The score.
        standard_error: Its standard error over the samples, if there are several.
        n: The number of samples in the mean.
        undefined: For how many samples the score was NaN.
        stale_since: The step at which it was last scored, if that was not in this validation.
        low: The lower end of the mean's 95 % interval, if it has one.
        high: The upper end.
        higher_is_better: The direction, where ``best`` is asked for.
        advantage: The mean of score - random over samples, where random attributions were scored too.
        advantage_low: The lower end of its 95 % interval.
        advantage_high: The upper end.
    """

    mean: float
    standard_error: float | None = None
    n: int | None = None
    undefined: int = 0
    stale_since: int | None = None
    low: float | None = None
    high: float | None = None
    higher_is_better: bool | None = None
    advantage: float | None = None
    advantage_low: float | None = None
    advantage_high: float | None = None

    def at(self, end: str) -> float:
        """The mean, or an end of its interval.

        Returns:
            The number; NaN if there is none.
        """
        number = {"mean": self.mean, "lower": self.low, "upper": self.high}[end]
        return math.nan if number is None else number

    @property
    def paired(self) -> Value:
        """The difference from random attributions as a value of its own; NaN if it is not known."""
        mean = math.nan if self.advantage is None else self.advantage
        return Value(mean, self.standard_error, self.n, low=self.advantage_low, high=self.advantage_high)


@dataclass(frozen=True)
class Reason:
    """How one condition fared.

    Args:
        score: Of the condition, like ``comparison``.
        comparison: ``>=``, ``<=``, ``>`` or ``<``.
        threshold: The number that the score was compared with; None if it is not known.
        value: The score in this validation; None if it has none. With its ``standard_error`` over ``n`` samples.
        passed: Whether the condition holds.
        why: The same in words, to be read after the score's name.
        end: Which end of the score's interval was compared, or ``"mean"``.
        low: The lower end of the 95 % interval of the mean, like ``high`` the upper one.
        reference: The value of ``random`` or ``best``; None if the condition has neither, or it is not known.
        scored: Whether everything that the condition needs was scored at this validation.
        advantage: The mean of score - random over samples; None unless its interval was compared with the bound's
            offset.
        advantage_low: The lower end of its 95 % interval.
        advantage_high: The upper end.
    """

    score: str
    comparison: str
    threshold: float | None
    value: float | None
    standard_error: float | None
    n: int | None
    passed: bool
    why: str
    end: str = "mean"
    low: float | None = None
    high: float | None = None
    reference: float | None = None
    scored: bool = True
    advantage: float | None = None
    advantage_low: float | None = None
    advantage_high: float | None = None

    @property
    def holds(self) -> bool | None:
        """Whether the condition holds; None if this validation cannot tell."""
        return self.passed if self.scored else None

    @property
    def told(self) -> str:
        """The reason as a clause."""
        return f"{self.score} {self.why}"


@dataclass(frozen=True)
class Joined:
    """How expressions fared that are joined by "and" or "or".

    Args:
        joint: ``"and"`` or ``"or"``.
        parts: How each fared.
    """

    joint: str
    parts: tuple[Outcome, ...]

    @property
    def holds(self) -> bool | None:
        """Whether they hold together; None if this validation cannot tell."""
        held = [part.holds for part in self.parts]
        decisive = self.joint == "or"
        if decisive in held:
            return decisive
        return None if None in held else not decisive

    @property
    def passed(self) -> bool:
        """Whether they hold together."""
        return self.holds is True

    @property
    def told(self) -> str:
        """What decided, as a clause: of "or" every part."""
        if self.joint == "and":
            return " and ".join(_enclosed(part) for part in self.deciding)
        return ", or ".join(
            _enclosed(part) + (" (does not hold)" if self.passed and not part.passed else "") for part in self.deciding
        )

    @property
    def deciding(self) -> tuple[Outcome, ...]:
        """The parts that are worth telling."""
        return tuple(part for part in self.parts if self.joint == "or" or part.passed == self.passed)


@dataclass(frozen=True)
class Lasted:
    """How an expression fared at the last validations.

    Args:
        part: How it fared at this one.
        text: The expression.
        validations: For how many it has to hold.
        before: For how many scored validations it held in a row, before this one.
    """

    part: Outcome
    text: str
    validations: int
    before: int

    @property
    def streak(self) -> int:
        """For how many scored validations it has held in a row. One that was not scored does not count."""
        if self.part.holds is None:
            return self.before
        return self.before + 1 if self.part.holds else 0

    @property
    def holds(self) -> bool | None:
        """Whether it has held for long enough; None if this validation cannot tell."""
        return self.streak >= self.validations if self.part.holds else self.part.holds

    @property
    def passed(self) -> bool:
        """Whether it has held for long enough."""
        return self.holds is True

    @property
    def told(self) -> str:
        """The last fare and the count, as a clause."""
        held = min(self.streak, self.validations)
        return f"{_enclosed(self.part)}, held for {held} of {self.validations} validations"


Outcome: TypeAlias = Reason | Joined | Lasted


@dataclass(frozen=True)
class Verdict:
    """The gate's answer to one validation.

    Args:
        open: Whether everything holds, on every rank.
        step: The trainer's global step.
        validation: Which validation run it was.
        outcomes: How each of the gate's expressions fared.
        history: What the gate remembers from now on.
    """

    open: bool
    step: int
    validation: int
    outcomes: tuple[Outcome, ...]
    history: History = field(default_factory=History, repr=False)

    @property
    def reasons(self) -> tuple[Reason, ...]:
        """How each single condition fared, from left to right."""
        return tuple(reason for outcome in self.outcomes for reason in _reasons(outcome))

    @property
    def sentence(self) -> str:
        """The verdict in plain English: what failed, or, of an open gate, what passed."""
        state = "open" if self.open else "closed"
        clauses = "; ".join(outcome.told for outcome in self.outcomes if outcome.passed == self.open)
        return f"Gate {state} at step {self.step}: {clauses or 'the conditions hold here, but not on every rank'}."

    def to_dict(self) -> dict[str, object]:
        """The verdict as plain values.

        Returns:
            A dictionary that strict JSON can hold: a number that is not finite becomes None.
        """
        conditions = [{key: _finite(value) for key, value in asdict(reason).items()} for reason in self.reasons]
        clauses = [{"passed": outcome.passed, "told": outcome.told} for outcome in self.outcomes]
        own = {"open": self.open, "step": self.step, "validation": self.validation, "sentence": self.sentence}
        return {**own, "conditions": conditions, "clauses": clauses}


def streaks(outcome: Outcome) -> Iterator[tuple[str, int]]:
    """How long expressions have held, this validation included.

    Yields:
        The text of an expression, and its count.
    """
    if isinstance(outcome, Reason):
        return
    if isinstance(outcome, Lasted):
        yield outcome.text, outcome.streak
    for part in _parts(outcome):
        yield from streaks(part)


def _parts(outcome: Joined | Lasted) -> tuple[Outcome, ...]:
    return (outcome.part,) if isinstance(outcome, Lasted) else outcome.parts


def _reasons(outcome: Outcome) -> Iterator[Reason]:
    if isinstance(outcome, Reason):
        yield outcome
        return
    for part in _parts(outcome):
        yield from _reasons(part)


def _enclosed(outcome: Outcome) -> str:
    several = isinstance(outcome, Joined) and len(outcome.deciding) > 1
    return f"({outcome.told})" if several else outcome.told


def _finite(value: object) -> object:
    return None if isinstance(value, float) and not math.isfinite(value) else value
