"""Verdicts against Python's own reading of the same words, and counts against the whole story."""

import math

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lightning_explain.evidence import value_of
from lightning_explain.gate import Bound, Condition, Expression, Gate, History, Reading, Value, parse
from lightning_explain.gate.language import all_of, any_of
from lightning_explain.metrics import Score

NUMBERS = st.sampled_from([-2.0, -0.5, 0.0, 0.125, 0.5, 1.0, 3.0])  # differences of these are exact
FACTORS = st.sampled_from([-1.0, 0.5, 1.0, 2.0])
ENDS = st.sampled_from(["mean", "lower", "upper"])
REFERENCES = st.one_of(st.just(Reading("best")), st.builds(Reading, st.just("random"), ENDS))
BOUNDS = st.one_of(st.builds(Bound, NUMBERS), st.builds(Bound, NUMBERS, REFERENCES, FACTORS))
COMPARISONS = st.sampled_from([">=", "<=", ">", "<"])
CONDITIONS = st.builds(Condition, st.builds(Reading, st.just("a"), ENDS), COMPARISONS, BOUNDS)
EXPRESSIONS = st.recursive(
    CONDITIONS,
    lambda inner: st.one_of(*(st.builds(join, st.lists(inner, min_size=2, max_size=3)) for join in (all_of, any_of))),
    max_leaves=5,
)


class Scored(float):
    """A number with an interval, for Python to reckon with."""

    low: float
    high: float


def scored(mean: float, low: float, high: float) -> Scored:
    number = Scored(mean)
    number.low, number.high = low, high
    return number


@settings(max_examples=200)
@given(EXPRESSIONS, NUMBERS, NUMBERS, NUMBERS)
def test_an_expression_holds_if_python_says_so(expression: Expression, mean: float, line: float, best: float) -> None:
    try:
        gate = Gate((expression,))
    except ValueError:  # it could never open
        return
    values = {
        "a": Value(
            mean,
            low=mean - 0.5,
            high=mean + 1,
            higher_is_better=True,
            # As wide as the score's own: then it makes no difference that samples are paired.
            advantage=mean - line,
            advantage_low=mean - 0.5 - line,
            advantage_high=mean + 1 - line,
        ),
        "r": Value(line, low=line - 1, high=line + 0.5),
    }
    verdict = gate.judge(values, step=0, validation=2, yardsticks={"a": "r"}, history=History({"a": best}, {}))
    known = {
        "a": scored(mean, mean - 0.5, mean + 1),
        "random": scored(line, line - 1, line + 0.5),
        "best": best,
        "lower": lambda number: number.low,
        "upper": lambda number: number.high,
    }
    assert verdict.open is eval(str(expression), known)
    assert verdict.history.best == {"a": max(mean, best)} or "best" not in str(expression)


@settings(max_examples=200)
@given(st.lists(st.sampled_from([1.0, 0.0, math.nan, None]), min_size=1, max_size=12), st.integers(1, 4))
def test_a_count_is_that_of_the_whole_story(story: list[float | None], validations: int) -> None:
    gate = Gate((parse(f"a > 0.5 for {validations} validations"),))
    history = History()
    for i, value in enumerate(story):
        known = Value(math.nan, stale_since=0) if value is None else Value(value)
        verdict = gate.judge({"a": known}, step=i, validation=i + 1, history=history)
        history = History.from_dict(verdict.history.to_dict())
        last = [earlier for earlier in story[: i + 1] if earlier is not None][-validations:]
        assert verdict.open is (value is not None and last == [1.0] * validations)


@settings(max_examples=200)
@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6), st.floats(1e-9, 1e3), COMPARISONS)
def test_the_numbers_of_a_sentence_are_on_the_sides_they_were_compared_on(
    mean: float, line: float, error: float, comparison: str
) -> None:
    values = {"a": Value(mean, error, 32), "r": Value(line)}
    verdict = Gate.parse(f"a {comparison} random").judge(values, step=0, validation=1, yardsticks={"a": "r"})
    _, told = verdict.sentence.removesuffix(".").split(": a is ")
    left, right = told.split(" ")[0], told.rpartition(" ")[2]
    assert verdict.open is eval(f"{left} {comparison} {right}")


def opened_by_luck(text: str, *, cases: int = 800, samples: int = 32, ahead: float = 0.0) -> float:
    """How often a gate opens for maps that are random themselves: samples differ more than what maps get from them."""
    generator = torch.Generator().manual_seed(samples)
    easy = torch.randn(cases, 1, samples, generator=generator, dtype=torch.float64).exp()
    noise = torch.randn(cases, 2, samples, generator=generator, dtype=torch.float64)
    gate, opened = Gate.parse(text), 0
    for ours, line in easy + 0.5 * noise + torch.tensor([[ahead], [0.0]]):
        random = Score.of(line)
        values = {"a": value_of(Score.of(ours).against(random, 1.0)), "r": value_of(random)}
        opened += gate.judge(values, step=0, validation=1, yardsticks={"a": "r"}).open
    return opened / cases


def test_random_maps_open_a_gate_as_seldom_as_its_interval_says() -> None:
    assert 0.01 <= opened_by_luck("lower(a) > random") <= 0.05
    assert 0.01 <= opened_by_luck("upper(a) < random + 0.5", samples=8, ahead=0.5) <= 0.05


def test_maps_that_are_better_open_it_though_samples_differ_by_more() -> None:
    assert opened_by_luck("lower(a) > random", cases=100, ahead=0.5) > 0.9
