import json
import math
import subprocess
import sys

import pytest

from lightning_explain.gate import Condition, Gate, Value, Verdict

MASS = "attribution/integrated_gradients/relevance_mass"


@pytest.mark.parametrize(
    ("text", "score", "comparison", "threshold"),
    [
        (f"{MASS} >= 1.5", MASS, ">=", 1.5),
        ("a/grad_cam@layer4.0.conv2:[2,-1]/srg<=1e-3", "a/grad_cam@layer4.0.conv2:[2,-1]/srg", "<=", 1e-3),
        ("  val_acc >  -0.5 ", "val_acc", ">", -0.5),
        ("val-loss<+.5E+1", "val-loss", "<", 5.0),
        ("1 < 2.", "1", "<", 2.0),
        ("\tjust_a_tab\t>=\t3\n", "just_a_tab", ">=", 3.0),
    ],
)
def test_condition_is_read(text: str, score: str, comparison: str, threshold: float) -> None:
    assert Condition.parse(text) == Condition(score, comparison, threshold)
    assert Condition.parse(str(Condition.parse(text))) == Condition.parse(text)


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
        ("val_acc >= high", 11, "a finite number"),
        ("val_acc >= nan", 11, "a finite number"),
        ("val_acc >= -inf", 11, "a finite number"),
        ("val_acc >= 1e999", 11, "a finite number"),
        ("val_acc >= 5%", 12, "the end of the condition"),
        ("val_acc >= 5 and val_loss < 1", 13, "the end of the condition"),
        ("a >= b >= 1", 5, "a finite number"),
        ("a\t= 1", 2, "one of >="),
    ],
)
def test_what_cannot_be_read_is_pointed_at(text: str, column: int, expected: str) -> None:
    with pytest.raises(ValueError, match="Cannot read the condition: expected") as caught:
        Condition.parse(text)
    first, shown, caret = str(caught.value).split("\n")
    assert expected in first
    assert shown == f"  {text}".replace("\t", " ")
    assert caret == " " * (column + 2) + "^"


def test_condition_made_by_hand_is_checked() -> None:
    with pytest.raises(ValueError, match="No comparison '=>'"):
        Condition("a", "=>", 1.0)
    with pytest.raises(ValueError, match="must be finite, got inf"):
        Condition("a", "<", math.inf)


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
    condition = Condition("a", comparison, 1.0)
    assert tuple(condition.holds(value) for value in (0.5, 1.0, 1.5)) == held
    assert not condition.holds(math.nan)


def test_gate_is_read_from_one_or_many() -> None:
    assert Gate.parse("a >= 1") == Gate.parse(["a>=1"]) == Gate((Condition("a", ">=", 1.0),))
    assert Gate.parse(["a >= 1", "a < 2", "b > 0"]).texts == ["a >= 1", "a < 2", "b > 0"]
    assert Gate.parse(["a >= 0.1234567890123"]).texts == ["a >= 0.1234567890123"]


@pytest.mark.parametrize(
    ("conditions", "message"),
    [
        ([], "at least one condition"),
        (["a >= 1", "a>=1.0"], "bounds 'a' twice on the same side: a >= 1, a >= 1"),
        (["a >= 1", "b < 1", "a > 2"], "bounds 'a' twice on the same side"),
        (["a <= 1", "a < 2"], "twice on the same side"),
        (["a >= 2", "a <= 1"], "No value of 'a' satisfies both a >= 2 and a <= 1"),
        (["a < 1", "a >= 1"], "No value of 'a' satisfies both"),
        (["a <= 1", "a > 1"], "could never open"),
    ],
)
def test_gates_that_make_no_sense(conditions: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Gate.parse(conditions)


def test_bounds_on_both_sides_make_sense() -> None:
    gate = Gate.parse(["a >= 1", "a <= 1"])
    assert [gate.judge({"a": Value(x)}, step=1, validation=1).open for x in (0.9, 1.0, 1.1)] == [False, True, False]


def test_gate_wants_strings() -> None:
    with pytest.raises(TypeError, match=r"list of strings such as .*, got 3 in it"):
        Gate.parse(["a > 1", 3])  # type: ignore[list-item]


def test_check_lists_every_unknown_score_with_the_nearest() -> None:
    gate = Gate.parse(["m/saliency/srg > 0", "m/salience/srg > 0", "m/saliency/mass > 1", "val_acc > 0.5"])
    with pytest.raises(ValueError, match="will not exist") as caught:
        gate.check(["m/saliency/srg", "m/saliency/relevance_mass"], prefix="m/")
    _, *lines = str(caught.value).split("\n")
    assert len(lines) == 2
    assert lines[0] == (
        "m/salience/srg > 0: No score 'm/salience/srg'. Did you mean 'm/saliency/srg'? "
        "Known: m/saliency/srg, m/saliency/relevance_mass."
    )
    assert "m/saliency/mass > 1" in lines[1]
    gate.check(["m/saliency/srg", "m/salience/srg", "m/saliency/mass"], prefix="m/")
    with pytest.raises(ValueError, match="val_acc"):
        gate.check(["m/saliency/srg", "m/salience/srg", "m/saliency/mass"])


def judge(value: Value | None, condition: str = "a >= 1.5") -> Verdict:
    return Gate.parse(condition).judge({} if value is None else {"a": value}, step=125, validation=3)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (Value(0.82, 0.1, 32), "a is 0.82 ± 0.10 (n = 32), needs >= 1.5"),
        (Value(0.82, 0.1, 30, 2), "a is 0.82 ± 0.10 (n = 30, 2 undefined), needs >= 1.5"),
        (Value(0.82), "a is 0.82, needs >= 1.5"),
        (Value(0.82, math.nan, 1), "a is 0.82 (n = 1), needs >= 1.5"),
        (Value(0.82, 0.0, 32), "a is 0.82 (n = 32), needs >= 1.5"),
        (Value(1.4996, 0.1, 32), "a is 1.4996 ± 0.10 (n = 32), needs >= 1.5"),
        (Value(1.49999999), "a is 1.49999999, needs >= 1.5"),
        (Value(-1234.5, 250.0, 8), "a is -1234 ± 250 (n = 8), needs >= 1.5"),
        (Value(1.234e-9, 2e-10, 8), "a is 1.234e-09 ± 2e-10 (n = 8), needs >= 1.5"),
        (Value(math.nan, math.nan, 0, 32), "a is NaN for all 32 samples, needs >= 1.5"),
        (Value(math.nan), "a is NaN, needs >= 1.5"),
        (Value(math.inf), "a is infinite, needs >= 1.5"),
        (
            Value(2.0, 0.1, 32, stale_since=100),
            "a was not scored at this validation (last scored at step 100), needs >= 1.5",
        ),
        (None, "a has no value (nothing has scored or logged it so far), needs >= 1.5"),
    ],
)
def test_refusals_in_words(value: Value | None, said: str) -> None:
    verdict = judge(value)
    assert not verdict.open
    assert verdict.sentence == f"Gate closed at step 125: {said}."


def test_open_gate_in_words() -> None:
    verdict = Gate.parse(["a >= 1.5", "b < 2"]).judge({"a": Value(1.5001, 0.3, 9), "b": Value(0)}, step=7, validation=1)
    assert verdict.open
    assert verdict.sentence == "Gate open at step 7: a is 1.50 ± 0.30 (n = 9), needs >= 1.5; b is 0, needs < 2."


def test_only_what_failed_is_told_of_a_closed_gate() -> None:
    verdict = Gate.parse(["a >= 1.5", "b < 2", "c > 0"]).judge({"a": Value(2), "b": Value(3)}, step=7, validation=1)
    assert [reason.passed for reason in verdict.reasons] == [True, False, False]
    assert verdict.sentence.startswith("Gate closed at step 7: b is 3, needs < 2; c has no value")


def test_verdict_is_strict_json() -> None:
    gate = Gate.parse(["a >= 1.5", "b < 2", "c > 0"])
    verdict = gate.judge({"a": Value(math.nan, math.nan, 0, 32), "b": Value(1.0, 0.25, 4)}, step=7, validation=2)
    told = json.loads(json.dumps(verdict.to_dict(), allow_nan=False))
    assert (told["open"], told["step"], told["validation"]) == (False, 7, 2)
    assert told["sentence"] == verdict.sentence
    assert told["conditions"][1] == {
        "score": "b",
        "comparison": "<",
        "threshold": 2.0,
        "value": 1.0,
        "standard_error": 0.25,
        "n": 4,
        "passed": True,
        "why": "is 1.00 ± 0.25 (n = 4), needs < 2",
    }
    assert [c["value"] for c in told["conditions"]] == [None, 1.0, None]


def test_disagreeing_ranks_are_told() -> None:
    verdict = Verdict(False, 7, 1, judge(Value(2.0)).reasons)
    assert verdict.sentence == "Gate closed at step 7: the conditions hold here, but not on every rank."


def test_gate_loads_no_tensors() -> None:
    code = "import sys, lightning_explain.gate as g; print({'torch', 'numpy', 'lightning'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_a_mean_over_the_few_samples_that_are_left_refuses() -> None:
    gate = Gate.parse("attribution/saliency/srg >= 0")
    for undefined, passed in ((15, True), (16, True), (17, False), (31, False)):
        value = Value(1.0, 0.1, 32 - undefined, undefined)
        verdict = gate.judge({"attribution/saliency/srg": value}, step=1, validation=1)
        assert verdict.open == passed
    assert "is defined for 1 of 32 samples only" in verdict.sentence
