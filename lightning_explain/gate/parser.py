"""From text to expressions, by recursive descent.

.. code-block:: text

    gate       := all { "or" all }
    all        := lasting { "and" lasting }
    lasting    := ( condition | "(" gate ")" ) [ "for" count "validations" ]
    condition  := reading ( ">=" | "<=" | ">" | "<" ) bound
    reading    := score | ( "lower" | "upper" ) "(" score ")"
    bound      := term { ( "+" | "-" ) term }          with one reference at most
    term       := number [ "*" reference ] | reference [ "*" number ]
    reference  := "best" | "random" | ( "lower" | "upper" ) "(" "random" ")"
"""

import math
import re

from lightning_explain.gate.language import (
    SCORE,
    Bound,
    Condition,
    Expression,
    Lasting,
    Reading,
    all_of,
    any_of,
)

_WORD_ENDS = r"(?![\w/@.:\[\],-])"
_OPEN, _CLOSE, _STAR = re.compile(r"\("), re.compile(r"\)"), re.compile(r"\*")
_AND, _OR, _FOR = (re.compile(word + _WORD_ENDS) for word in ("and", "or", "for"))
_SCORE = re.compile(rf"(?!(?:and|or|for){_WORD_ENDS}){SCORE}")
_COMPARISON = re.compile(r">=|<=|>|<")
_SIGN = re.compile(r"[+-]")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_FACTOR = re.compile(_NUMBER.pattern + r"\s*\*")
_END_OF_INTERVAL = re.compile(r"(lower|upper)(?=\s*\()")
_RANDOM = re.compile(r"random(?![\w/@.:\[\],])")
_REFERENCE = re.compile(r"(random|best)(?![\w/@.:\[\],])")
_COUNT = re.compile(r"0*[1-9]\d*(?![\w.])")
_VALIDATIONS = re.compile(rf"validations?{_WORD_ENDS}")
_END = re.compile(r"$")
_CHAIN = re.compile(
    rf"(?P<number>{_NUMBER.pattern})\s*(?P<comparison>{_COMPARISON.pattern})\s*"
    rf"(?P<score>(?:lower|upper)\s*\(\s*{SCORE}\s*\)|{SCORE})\s*(?P<second>{_COMPARISON.pattern})?"
)
_A_BOUND_BEGINS = re.compile(rf"{_NUMBER.pattern}|{_REFERENCE.pattern}|(lower|upper)\s*\(\s*{_RANDOM.pattern}")
_DEEPEST = 50
"""More parentheses inside one another than anybody needs, and fewer than Python's stack holds."""

_A_SCORE = "the name of a score (letters, digits and / @ . : [ ] , - _), lower(<score>), upper(<score>) or ("
_A_NUMBER = "a finite number such as 0.5, -1 or 1e-3"
_A_BOUND = f"{_A_NUMBER}, or random, lower(random), upper(random) or best"
_A_REFERENCE = "random, lower(random), upper(random) or best"
_AN_END = "and, or, for, + or -, or the end of the condition"


def parse(text: str) -> Expression:
    """Read an expression.

    Args:
        text: As in ``"(a >= 0.5 or lower(b) > random + 0.05) and c < 1 for 3 validations"``.

    Returns:
        The expression. "and" binds closer than "or", "for" closer than both.

    Raises:
        ValueError: If the text is anything else; the message points at the place.

    Example:
        >>> parse("a > 1 or b >= random and c < 2 for 3 validations").parts[1].parts
        (Condition(subject=Reading(name='b', end='mean'), comparison='>=', bound=Bound(offset=0.0,
        reference=Reading(name='random', end='mean'), factor=1.0)), Lasting(part=Condition(subject=Reading(name='c',
        end='mean'), comparison='<', bound=Bound(offset=2.0, reference=None, factor=1.0)), validations=3))
    """
    reader = _Reader(text)
    expression = reader.any()
    reader.take(_END, _AN_END)
    return expression


class _Reader:
    """A text, and how far it is read. Every method reads the rule of its name."""

    def __init__(self, text: str) -> None:
        self.text, self.at, self.depth = text, 0, 0

    def any(self) -> Expression:
        parts = [self.all()]
        while self.meets(_OR):
            parts.append(self.all())
        return any_of(parts)

    def all(self) -> Expression:
        parts = [self.lasting()]
        while self.meets(_AND):
            parts.append(self.lasting())
        return all_of(parts)

    def lasting(self) -> Expression:
        part = self.enclosed() if self.meets(_OPEN) else self.condition()
        if not self.meets(_FOR):
            return part
        count = int(self.take(_COUNT, "a whole number of validations, 1 or more"))
        self.take(_VALIDATIONS, "validations")
        return Lasting(part, count)

    def enclosed(self) -> Expression:
        self.depth += 1
        if self.depth > _DEEPEST:
            raise self.error(f"at most {_DEEPEST} parentheses inside one another", self.at - 1)
        part = self.any()
        self.take(_CLOSE, "and, or, for, + or -, or )")
        self.depth -= 1
        return part

    def condition(self) -> Condition:
        self.refuse_chain()
        subject = self.reading()
        comparison = self.take(_COMPARISON, "one of >=, <=, >, <")
        return Condition(subject, comparison, self.bound())

    def reading(self) -> Reading:
        end = self.meets(_END_OF_INTERVAL)
        if end is None:
            return Reading(self.take(_SCORE, _A_SCORE))
        self.take(_OPEN, "(")
        name = self.take(_SCORE, "the name of a score")
        self.take(_CLOSE, ")")
        return Reading(name, end)

    def refuse_chain(self) -> None:
        # Read as a condition, the number would be the name of a score: what is wrong would be found too far right.
        self.skip()
        chain = _CHAIN.match(self.text, self.at)
        if chain is None or (chain["second"] is None and _A_BOUND_BEGINS.match(chain["score"])):
            return
        score, turned = chain["score"], chain["comparison"].translate(str.maketrans("<>", "><"))
        second = f" and {score} {chain['second']} ..." if chain["second"] else ""
        told = f"'{score} {turned} {chain['number']}{second}'"
        raise self.error(f"the score on the left and one comparison at a time: {told}", self.at)

    def bound(self) -> Bound:
        bound = self.term()
        while sign := self.meets(_SIGN):
            start = self.at
            term = self.term(1.0 if sign == "+" else -1.0)
            if bound.reference is not None and term.reference is not None:
                raise self.error(_A_NUMBER + " (a bound has one reference)", start)
            factor, offset = term.factor if bound.reference is None else bound.factor, bound.offset + term.offset
            if not math.isfinite(offset):
                raise self.error(_A_NUMBER + " (the sum is too large)", start)
            bound = Bound(offset, bound.reference or term.reference, factor)
        return bound

    def term(self, sign: float = 1.0) -> Bound:
        if self.sees(_NUMBER) is None:
            reference = self.reference(_A_BOUND)
            return Bound(0.0, reference, sign * (self.number(factor=True) if self.meets(_STAR) else 1.0))
        number = self.number(factor=self.sees(_FACTOR) is not None)
        if not self.meets(_STAR):
            return Bound(sign * number)
        return Bound(0.0, self.reference(_A_REFERENCE), sign * number)

    def reference(self, expected: str) -> Reading:
        end = self.meets(_END_OF_INTERVAL)
        if end is None:
            return Reading(self.take(_REFERENCE, expected))
        self.take(_OPEN, "(")
        name = self.take(_RANDOM, "random")
        self.take(_CLOSE, ")")
        return Reading(name, end)

    def number(self, *, factor: bool) -> float:
        self.skip()
        start, number = self.at, float(self.take(_NUMBER, _A_NUMBER))
        if not math.isfinite(number):
            raise self.error(_A_NUMBER, start)
        if factor and number == 0:
            raise self.error("a factor other than 0", start)
        return number

    def take(self, pattern: re.Pattern[str], expected: str) -> str:
        """Read what has to come.

        Returns:
            The text.

        Raises:
            ValueError: If something else comes.
        """
        taken = self.meets(pattern)
        if taken is None:
            raise self.error(expected, self.at)
        return taken

    def meets(self, pattern: re.Pattern[str]) -> str | None:
        """Read what may come.

        Returns:
            The text; None if something else comes, which stays unread.
        """
        found = self.sees(pattern)
        self.at += 0 if found is None else len(found)
        return found

    def sees(self, pattern: re.Pattern[str]) -> str | None:
        """Look at what comes, and read nothing but white space.

        Returns:
            The text; None if something else comes.
        """
        self.skip()
        match = pattern.match(self.text, self.at)
        return None if match is None else match.group()

    def skip(self) -> None:
        self.at += len(self.text[self.at :]) - len(self.text[self.at :].lstrip())

    def error(self, expected: str, at: int) -> ValueError:
        at += len(self.text[at:]) - len(self.text[at:].lstrip())
        shown = re.sub(r"\s", " ", self.text)
        return ValueError(f"Cannot read the condition: expected {expected}.\n  {shown}\n  {' ' * at}^")
