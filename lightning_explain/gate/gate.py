"""The gate: what it says, what it needs to know, and its verdict."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from lightning_explain.gate.consistency import require_consistent
from lightning_explain.gate.history import History
from lightning_explain.gate.judgement import Facts, outcome
from lightning_explain.gate.language import AllOf, AnyOf, Condition, Expression, all_of, conditions
from lightning_explain.gate.parser import parse
from lightning_explain.gate.verdict import Outcome, Value, Verdict, streaks
from lightning_explain.gate.words import fault
from lightning_explain.registry import unknown


@dataclass(frozen=True)
class Gate:
    """Expressions that must all hold.

    Args:
        expressions: At least one.

    Raises:
        ValueError: If there is none, or two conditions repeat or contradict one another.

    Example:
        >>> gate = Gate.parse(["lower(a/saliency/srg) > random", "val_acc >= 0.9"])
        >>> values = {
        ...     "a/saliency/srg": Value(
        ...         0.82, 0.1, 32, low=0.61, high=1.02, advantage=0.18, advantage_low=-0.02, advantage_high=0.38
        ...     ),
        ...     "a/random/srg": Value(0.64, 0.05, 32),
        ...     "val_acc": Value(0.98),
        ... }
        >>> gate.judge(values, step=125, validation=3, yardsticks={"a/saliency/srg": "a/random/srg"}).sentence
        'Gate closed at step 125: a/saliency/srg is 0.82 [0.61, 1.02] (n = 32), ahead of random by 0.18 [-0.02, 0.38],
        needs lower end > random.'
    """

    expressions: tuple[Expression, ...]

    def __post_init__(self) -> None:
        if not self.expressions:
            raise ValueError("A gate needs at least one condition, such as 'val_acc >= 0.9', got none.")
        require_consistent(self.expressions)

    @classmethod
    def parse(cls, gate: str | Iterable[str]) -> Gate:
        """Read an expression, or a list of them that must all hold.

        Returns:
            The gate. What is joined by "and" in a string is the same as a list.

        Raises:
            TypeError: If something in the list is not a string.
        """
        texts = [gate] if isinstance(gate, str) else list(gate)
        for text in texts:
            if not isinstance(text, str):
                raise TypeError(f"A gate is a list of strings such as 'val_acc >= 0.9', got {text!r} in it.")
        if not texts:
            return cls(())
        joined = all_of([parse(text) for text in texts])
        return cls(joined.parts if isinstance(joined, AllOf) else (joined,))

    def __str__(self) -> str:
        texts = (f"({part})" if isinstance(part, AnyOf) else str(part) for part in self.expressions)
        return " and ".join(texts) if len(self.expressions) > 1 else self.texts[0]

    @property
    def texts(self) -> list[str]:
        """The expressions as they would be typed."""
        return [str(expression) for expression in self.expressions]

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """All single conditions, from left to right."""
        return tuple(condition for expression in self.expressions for condition in conditions(expression))

    def check(
        self,
        names: Iterable[str],
        prefix: str = "",
        *,
        yardsticks: Mapping[str, str] | None = None,
        directions: Mapping[str, bool | None] | None = None,
    ) -> None:
        """Make sure that everything the gate asks for will exist.

        Args:
            names: The scores there will be.
            prefix: Look only at conditions on scores whose name begins like this.
            yardsticks: The name of the random line of each score that has one.
            directions: Whether higher is better, of each score that has a direction.

        Raises:
            ValueError: If a score is not among ``names``, has no random line or no direction although it is compared
                with ``random`` or ``best``, or is compared so that worse passes; lists every condition in question.
        """
        known = list(names)
        better = {score: higher for score in known if (higher := (directions or {}).get(score)) is not None}
        asked = [condition for condition in self.conditions if condition.score.startswith(prefix)]
        there = [condition for condition in asked if condition.score in known]
        _require("scores that will not exist", "score", [c for c in asked if c not in there], known)
        compared = {reference: [c for c in there if c.reference == reference] for reference in ("random", "best")}
        _require("'random' of scores without a random line", "random line of", compared["random"], yardsticks or {})
        _require("'best' of scores of which neither direction is better", "direction of", compared["best"], better)
        _require_sides([c for c in there if c.reference is not None], better)

    def check_metrics(self, scores_begin_with: Iterable[str]) -> None:
        """Make sure that metrics of the run, which are no scores, are compared with numbers.

        Args:
            scores_begin_with: How the names of scores begin.

        Raises:
            ValueError: If an interval, ``random`` or ``best`` is asked for; lists every condition in question.
        """
        prefixes = tuple(scores_begin_with)
        metrics = [c for c in self.conditions if not c.score.startswith(prefixes)]
        wrong = [f"{c}" for c in metrics if c.reference is not None or c.subject.end != "mean"]
        if wrong:
            raise ValueError(
                f"The gate asks for an interval, 'random' or 'best' of a metric that the run logs: {'; '.join(wrong)}."
                " Only scores of an attribution monitor have these; compare a metric with a number, as in"
                f" 'val_acc >= 0.9'. Scores begin with {' or '.join(prefixes)}."
            )

    def judge(
        self,
        values: Mapping[str, Value],
        *,
        step: int,
        validation: int,
        yardsticks: Mapping[str, str] | None = None,
        history: History | None = None,
    ) -> Verdict:
        """Compare the scores of a validation with the conditions.

        Args:
            values: What is known of each score. One that is not in it, is stale or is not finite refuses.
            step: The trainer's global step.
            validation: Which validation run it is.
            yardsticks: The name of the random line of each score that is compared with ``random``.
            history: Of the validations before, as the verdict on the last of them holds it; None: there is none.

        Returns:
            The verdict, with the history for the next.
        """
        history = history or History()
        facts = Facts(values, yardsticks or {}, history)
        outcomes = tuple(outcome(expression, facts) for expression in self.expressions)
        passed = all(each.passed for each in outcomes)
        return Verdict(passed, step, validation, outcomes, self._remember(values, outcomes, history))

    def _remember(self, values: Mapping[str, Value], outcomes: tuple[Outcome, ...], history: History) -> History:
        best = dict(history.best)
        for score in {condition.score for condition in self.conditions if condition.reference == "best"}:
            value = values.get(score)
            if value is not None and fault(value) is None and value.higher_is_better is not None:
                better = max if value.higher_is_better else min
                best[score] = better(value.mean, best.get(score, value.mean))
        return History(best, {text: count for each in outcomes for text, count in streaks(each)})


def _require(what: str, kind: str, asked: list[Condition], known: Iterable[str]) -> None:
    wrong = [f"{c!s}: {unknown(kind, c.score, known)}" for c in asked if c.score not in known]
    if wrong:
        raise ValueError(f"The gate has conditions on {what}.\n" + "\n".join(wrong))


def _require_sides(compared: list[Condition], better: Mapping[str, bool]) -> None:
    # "infidelity >= best - 0.05" holds for ever where lower is better, and "lower(infidelity) > random" for bad maps.
    wrong = [c for c in compared if c.score in better and (c.comparison[0] == ">") is not better[c.score]]
    if wrong:
        told = (f"{c}: {'higher' if better[c.score] else 'lower'} is better; write {c.mirrored}" for c in wrong)
        raise ValueError("The gate has conditions that ask for worse than 'random' or 'best'.\n" + "\n".join(told))
