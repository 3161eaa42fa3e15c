import math

import pytest

from lightning_explain.gate import AllOf, AnyOf, Bound, Condition, Lasting, Reading, parse
from lightning_explain.gate.language import all_of, any_of, conditions, short

A, B, C = (Condition(Reading(name), ">", Bound(1.0)) for name in "abc")


@pytest.mark.parametrize(
    ("comparison", "held"),
    [
        (">=", (False, True, True)),
        ("<=", (True, True, False)),
        (">", (False, False, True)),
        ("<", (True, False, False)),
    ],
)
def test_comparison(comparison: str, held: tuple[bool, ...]) -> None:
    condition = Condition(Reading("a"), comparison, Bound(1.0))
    assert tuple(condition.holds(value) for value in (0.5, 1.0, 1.5)) == held
    assert not condition.holds(math.nan)
    relative = Condition(Reading("a"), comparison, Bound(-3.0, Reading("random"), 2.0))
    assert tuple(relative.holds(value, 2.0) for value in (0.5, 1.0, 1.5)) == held
    assert not relative.holds(1.0, math.nan)


def test_what_is_made_by_hand_is_checked() -> None:
    with pytest.raises(ValueError, match="No comparison '=>'"):
        Condition(Reading("a"), "=>", Bound(1.0))
    with pytest.raises(ValueError, match=r"must be finite, got 1.0 and inf"):
        Bound(math.inf)
    with pytest.raises(ValueError, match=r"must be finite, got nan and 0.0"):
        Bound(0.0, Reading("best"), math.nan)
    with pytest.raises(ValueError, match="factor of a reference, other than 0, got 0"):
        Bound(1.0, Reading("random"), 0.0)
    with pytest.raises(ValueError, match="factor of a reference, other than 0, got 2"):
        Bound(1.0, None, 2.0)
    with pytest.raises(ValueError, match=r"No reference 'rando'. Did you mean 'random'"):
        Bound(1.0, Reading("rando"))
    with pytest.raises(ValueError, match=r"one number, without an interval: got lower\(best\)"):
        Bound(1.0, Reading("best", "lower"))
    with pytest.raises(ValueError, match="No end of an interval 'low'"):
        Reading("a", "low")
    with pytest.raises(ValueError, match=r"Expected the name of a score .* got 'a b'"):
        Reading("a b")
    with pytest.raises(ValueError, match=r"Expected the name of a score .* got 'and'"):
        Reading("and")
    with pytest.raises(ValueError, match="Expected a condition for 1 validation or more, got 0"):
        Lasting(A, 0)
    with pytest.raises(ValueError, match="Expected two parts or more, none of them AllOf, got 1"):
        AllOf((A,))
    with pytest.raises(ValueError, match="none of them AnyOf, got 2"):
        AnyOf((AnyOf((A, B)), C))


def test_joining_keeps_one_level() -> None:
    assert all_of([AllOf((A, B)), C]) == AllOf((A, B, C))
    assert any_of([A, AnyOf((B, C))]) == AnyOf((A, B, C))
    assert all_of([A]) == any_of([A]) == A


def test_conditions_from_left_to_right() -> None:
    assert list(conditions(AnyOf((Lasting(AllOf((B, A)), 2), C)))) == [B, A, C]


@pytest.mark.parametrize(
    "text",
    [
        "a > 0.1234567890123",
        "lower(a) <= 2 * upper(random) - 0.05",
        "a > -1 * best + 1",
        "(a > 1 and b > 1) or c > 1",
        "(a > 1 or b > 1) and c > 1 for 2 validations",
        "(a > 1 for 2 validations) for 3 validations",
        "(a > 1 or b > 1) for 1 validation",
    ],
)
def test_canonical_texts_stay(text: str) -> None:
    assert str(parse(text)) == text


@pytest.mark.parametrize("number", [0.1, 1e-9, 1 / 3, 1e22, -2.0, 123456789.0])
def test_short_numbers_lose_nothing(number: float) -> None:
    assert float(short(number)) == number
