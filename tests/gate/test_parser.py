import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lightning_explain.gate import AllOf, AnyOf, Bound, Condition, Expression, Gate, Lasting, Reading, parse
from lightning_explain.gate.language import all_of, any_of

MASS = "attribution/integrated_gradients/relevance_mass"
RANDOM, BEST = Reading("random"), Reading("best")


def number(score: str, comparison: str, threshold: float) -> Condition:
    return Condition(Reading(score), comparison, Bound(threshold))


@pytest.mark.parametrize(
    ("text", "score", "comparison", "threshold"),
    [
        (f"{MASS} >= 1.5", MASS, ">=", 1.5),
        ("a/grad_cam@layer4.0.conv2:[2,-1]/srg<=1e-3", "a/grad_cam@layer4.0.conv2:[2,-1]/srg", "<=", 1e-3),
        ("  val_acc >  -0.5 ", "val_acc", ">", -0.5),
        ("val-loss<+.5E+1", "val-loss", "<", 5.0),
        ("1 < 2.", "1", "<", 2.0),
        ("\tjust_a_tab\t>=\t3\n", "just_a_tab", ">=", 3.0),
        ("random >= 3", "random", ">=", 3.0),
        ("lower < 1", "lower", "<", 1.0),
        ("android/or-else > 1", "android/or-else", ">", 1.0),
        ("a > 1 + 2 -0.5", "a", ">", 2.5),
        ("a > 1 - -2", "a", ">", 3.0),
    ],
)
def test_comparison_with_a_number_is_read(text: str, score: str, comparison: str, threshold: float) -> None:
    assert parse(text) == number(score, comparison, threshold)


@pytest.mark.parametrize(
    ("text", "bound"),
    [
        ("random", Bound(0.0, RANDOM)),
        ("random + 0.05", Bound(0.05, RANDOM)),
        ("random+0.05", Bound(0.05, RANDOM)),
        ("random-0.05", Bound(-0.05, RANDOM)),
        ("0.05 + random", Bound(0.05, RANDOM)),
        ("1 - random", Bound(1.0, RANDOM, -1.0)),
        ("2 * random", Bound(0.0, RANDOM, 2.0)),
        ("random*2", Bound(0.0, RANDOM, 2.0)),
        ("-.5e0*random - 1 + 3", Bound(2.0, RANDOM, -0.5)),
        ("1 - 2 * best", Bound(1.0, BEST, -2.0)),
        ("best - 0.05", Bound(-0.05, BEST)),
        ("lower(random)", Bound(0.0, Reading("random", "lower"))),
        ("2 * upper ( random ) + 1", Bound(1.0, Reading("random", "upper"), 2.0)),
    ],
)
def test_bounds_are_read(text: str, bound: Bound) -> None:
    assert parse(f"a >= {text}") == Condition(Reading("a"), ">=", bound)


def test_ends_of_the_interval_are_read() -> None:
    assert parse("lower(a/b) > 1") == Condition(Reading("a/b", "lower"), ">", Bound(1.0))
    assert parse("upper ( a/b )<=1") == Condition(Reading("a/b", "upper"), "<=", Bound(1.0))


def test_and_binds_closer_than_or_and_for_closer_than_both() -> None:
    a, b, c = (number(name, ">", 1.0) for name in "abc")
    assert parse("a > 1 or b > 1 and c > 1") == AnyOf((a, AllOf((b, c))))
    assert parse("a > 1 and b > 1 or c > 1") == AnyOf((AllOf((a, b)), c))
    assert parse("(a > 1 or b > 1) and c > 1") == AllOf((AnyOf((a, b)), c))
    assert parse("a > 1 and b > 1 for 3 validations") == AllOf((a, Lasting(b, 3)))
    assert parse("(a > 1 and b > 1) for 3 validations") == Lasting(AllOf((a, b)), 3)
    assert parse("(a > 1 for 2 validations or b > 1) for 1 validation") == Lasting(AnyOf((Lasting(a, 2), b)), 1)
    assert parse("((a > 1))and(b > 1 and c > 1)") == AllOf((a, b, c))


@pytest.mark.parametrize(
    ("text", "column", "expected"),
    [
        ("", 0, "the name of a score"),
        (">= 1", 0, "the name of a score"),
        ("val acc >= 1", 4, "one of >=, <=, >, <"),
        ("val_acc = 1", 8, "one of >=, <=, >, <"),
        ("val_acc == 1", 8, "one of >=, <=, >, <"),
        ("val_acc => 1", 8, "one of >=, <=, >, <"),
        ("val_acc", 7, "one of >=, <=, >, <"),
        ("val_acc >= ", 11, "a finite number"),
        ("val_acc >= high", 11, "a finite number .* or random, lower.random., upper.random. or best"),
        ("val_acc >= nan", 11, "a finite number"),
        ("val_acc >= -inf", 11, "a finite number"),
        ("val_acc >= 1e999", 11, "a finite number"),
        ("val_acc >= 5%", 12, "and, or, for, .* or the end of the condition"),
        ("a > 1 b > 1", 6, "the end of the condition"),
        ("a >= b >= 1", 5, "a finite number"),
        ("a\t= 1", 2, "one of >="),
        ("a > 1 and", 9, "the name of a score"),
        ("a > 1 and or b > 1", 10, "the name of a score"),
        ("a > 1 AND b > 1", 6, "the end of the condition"),
        ("and > 1", 0, "the name of a score"),
        ("(a > 1", 6, "or [)]$"),
        ("a > 1)", 5, "the end of the condition"),
        ("()", 1, "the name of a score"),
        ("lower(a > 1", 8, "[)]$"),
        ("lower(a > 1)", 8, "[)]$"),
        ("lower() > 1", 6, "the name of a score"),
        ("middle(a) > 1", 6, "one of >="),
        ("a > lower(best)", 10, "random$"),
        ("a > lower(b)", 10, "random$"),
        ("a > randomly", 4, "a finite number"),
        ("a > random@conv", 4, "a finite number"),
        ("a > random +", 12, "a finite number"),
        ("a > random best", 11, "the end of the condition"),
        ("a > random + best", 13, "one reference"),
        ("a > 1e308 + 1e308", 12, "the sum is too large"),
        ("a > 2 * 3", 8, "^Cannot read the condition: expected random, "),
        ("a > random * best", 13, "a finite number"),
        ("a > 0 * random", 4, "a factor other than 0"),
        ("a > random * 0.0", 13, "a factor other than 0"),
        ("a > 1 for", 9, "a whole number of validations, 1 or more"),
        ("a > 1 for 0 validations", 10, "a whole number of validations, 1 or more"),
        ("a > 1 for 2.5 validations", 10, "a whole number of validations, 1 or more"),
        ("a > 1 for -2 validations", 10, "a whole number of validations, 1 or more"),
        ("a > 1 for 3", 11, "expected validations"),
        ("a > 1 for 3 epochs", 12, "expected validations"),
        ("0.2 < a < 0.5", 0, "one comparison at a time: 'a > 0.2 and a < ...'$"),
        ("b > 1 or (1e-3<=lower(a/b) < best)", 10, "'lower.a/b. >= 1e-3 and lower.a/b. < ...'$"),
        ("b > 1 and 0.5 <= a and c > 1", 10, "the score on the left and one comparison at a time: 'a >= 0.5'$"),
        ("a > 0.2 < 0.5", 8, "the end of the condition"),
        ("(" * 51 + "a > 1" + ")" * 51, 50, "at most 50 parentheses inside one another"),
        ("(" * 5000 + "a > 1", 50, "at most 50 parentheses inside one another"),
        ("a > 1 for 3 validations for 2 validations", 24, "the end of the condition"),
    ],
)
def test_what_cannot_be_read_is_pointed_at(text: str, column: int, expected: str) -> None:
    with pytest.raises(ValueError, match="Cannot read the condition: expected") as caught:
        parse(text)
    first, shown, caret = str(caught.value).split("\n")
    with pytest.raises(ValueError, match=expected):
        raise ValueError(first.removesuffix("."))
    assert shown == f"  {text}".replace("\t", " ")
    assert caret == " " * (column + 2) + "^"


def test_many_parentheses_are_fine_where_they_are_not_inside_one_another() -> None:
    assert parse("(" * 50 + "a > 1" + ")" * 50) == parse("a > 1")
    assert len(parse(" and ".join(["((a > 1 or b > 1))"] * 60)).parts) == 60


# --- written as they are read

names = st.one_of(
    st.sampled_from(["a", "val-loss", "a/grad_cam@layer4.0:[2,-1]/srg", "random", "best", "lower", "validations", "1"]),
    st.text("abfornd1/@.:[],-_", min_size=1).filter(lambda name: name not in {"and", "or", "for"}),
)
ends = st.sampled_from(["mean", "lower", "upper"])
numbers = st.floats(allow_nan=False, allow_infinity=False)
factors = numbers.filter(bool)
references = st.one_of(st.just(BEST), st.builds(Reading, st.just("random"), ends))
bounds = st.one_of(st.builds(Bound, numbers), st.builds(Bound, numbers, references, factors))
leaves = st.builds(Condition, st.builds(Reading, names, ends), st.sampled_from([">=", "<=", ">", "<"]), bounds)
expressions = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.builds(all_of, st.lists(inner, min_size=1, max_size=3)),
        st.builds(any_of, st.lists(inner, min_size=1, max_size=3)),
        st.builds(Lasting, inner, st.integers(1, 99)),
    ),
    max_leaves=6,
)


@settings(max_examples=200)
@given(expressions)
def test_every_expression_is_read_as_it_is_written(expression: Expression) -> None:
    assert parse(str(expression)) == expression


@settings(max_examples=200)
@given(st.lists(expressions, min_size=1, max_size=3))
def test_every_gate_is_read_as_it_is_written(parts: list[Expression]) -> None:
    try:
        gate = Gate.parse([str(part) for part in parts])
    except ValueError as error:
        assert "bounds" in str(error) or "could never open" in str(error)  # noqa: PT017  (a gate that makes no sense)
        return
    assert Gate.parse(str(gate)) == gate
    assert Gate.parse(gate.texts) == gate


@settings(max_examples=200)
@given(st.text("abr ()<>=+-*.1forandvalidtionslwe", max_size=30))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        expression = parse(text)
    except ValueError as error:
        assert "Cannot read the condition" in str(error)  # noqa: PT017
    else:
        assert parse(str(expression)) == expression
