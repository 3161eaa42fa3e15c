import json
import math
import subprocess
import sys

import pytest

from lightning_explain.gate import Gate, History, Value, Verdict, parse


def test_gate_is_read_from_one_or_many() -> None:
    assert Gate.parse("a >= 1") == Gate.parse(["a>=1"]) == Gate((parse("a >= 1"),))
    assert Gate.parse(["a >= 1", "a < 2", "b > 0"]).texts == ["a >= 1", "a < 2", "b > 0"]
    assert Gate.parse("a >= 1 and b > 0") == Gate.parse(["a >= 1", "b > 0"])
    assert Gate.parse(["a >= 1 or c > 1", "b > 0"]).texts == ["a >= 1 or c > 1", "b > 0"]
    assert str(Gate.parse(["a >= 1 or c > 1", "b > 0"])) == "(a >= 1 or c > 1) and b > 0"
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
        (["a <= 1 and a > 1"], "could never open"),
        (["b > 1 or a <= 1 and a > 1"], "could never open"),
        (["(a <= 1 and a > 1) for 2 validations"], "could never open"),
        (["lower(a) <= 1", "lower(a) > 1"], r"No value of 'lower\(a\)' satisfies both lower\(a\) <= 1 and"),
        (["a > random + 0.1", "a < random"], "No value of 'a' satisfies both a > random [+] 0.1 and a < random"),
        (["a > random", "a >= random + 0.1"], "twice on the same side"),
    ],
)
def test_gates_that_make_no_sense(conditions: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Gate.parse(conditions)


def test_bounds_on_both_sides_make_sense() -> None:
    gate = Gate.parse(["a >= 1", "a <= 1"])
    assert [gate.judge({"a": Value(x)}, step=1, validation=1).open for x in (0.9, 1.0, 1.1)] == [False, True, False]


@pytest.mark.parametrize(
    "text",
    [
        "a > 1 or a < 0",
        "a > 1 and lower(a) > 0.5",
        "a > 1 and a > random",
        "a > random and a > 2 * random - 1",
        "a > random and a < upper(random)",
        "a > 1 and (a < 0 or b > 1)",
        "a > 1 for 2 validations and a > 0",
    ],
)
def test_what_can_be_decided_only_at_a_validation_is_left_alone(text: str) -> None:
    assert str(Gate.parse(text)) == text


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
        "end": "mean",
        "low": None,
        "high": None,
        "reference": None,
        "scored": True,
        "advantage": None,
        "advantage_low": None,
        "advantage_high": None,
    }
    assert [clause["passed"] for clause in told["clauses"]] == [False, True, False]
    assert told["clauses"][1]["told"] == "b is 1.00 ± 0.25 (n = 4), needs < 2"
    assert [c["value"] for c in told["conditions"]] == [None, 1.0, None]


def test_disagreeing_ranks_are_told() -> None:
    verdict = Verdict(False, 7, 1, judge(Value(2.0)).outcomes)
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


# --- random, intervals

LINES = {"m/ig/srg": "m/random/srg", "m/ig/infidelity": "m/random/infidelity"}


def against_random(text: str, value: Value, line: Value | None) -> Verdict:
    values = {"m/ig/srg": value} | ({} if line is None else {"m/random/srg": line})
    return Gate.parse(text).judge(values, step=63, validation=2, yardsticks=LINES)


IG = Value(0.12, 0.02, 32, low=0.08, high=0.16, advantage=0.02, advantage_low=-0.01, advantage_high=0.05)
LINE = Value(0.10, 0.03, 32, low=0.04, high=0.15)
AHEAD = "m/ig/srg is 0.120 [0.080, 0.160] (n = 32), ahead of random by"


@pytest.mark.parametrize(
    ("text", "held", "said"),
    [
        ("m/ig/srg > random", True, "m/ig/srg is 0.120 ± 0.020 (n = 32), needs > random, which is 0.100"),
        (
            "m/ig/srg > random + 0.05",
            False,
            "m/ig/srg is 0.120 ± 0.020 (n = 32), needs > random + 0.05, which is 0.100 + 0.05 = 0.150",
        ),
        (
            "m/ig/srg >= 2 * random - 0.05",
            False,
            "m/ig/srg is 0.120 ± 0.020 (n = 32), needs >= 2 * random - 0.05, which is 2 * 0.100 - 0.05 = 0.150",
        ),
        (
            "lower(m/ig/srg) > random",
            False,
            f"{AHEAD} 0.020 [-0.010, 0.050], needs lower end > random",
        ),
        (
            "lower(m/ig/srg) >= random - 0.01",
            True,
            f"{AHEAD} 0.020 [-0.010, 0.050], needs lower end >= random - 0.01",
        ),
        (
            "upper(m/ig/srg) < random + 0.1",
            True,
            f"{AHEAD} -0.020 [-0.050, 0.010], needs upper end < random + 0.1",
        ),
        (
            "upper(m/ig/srg) <= random",
            False,
            f"{AHEAD} -0.020 [-0.050, 0.010], needs upper end <= random",
        ),
        (
            "lower(m/ig/srg) < random",  # its interval may reach below random: no claim to be beyond it
            True,
            "m/ig/srg is 0.120 [0.080, 0.160] (n = 32), needs lower end < random, which is 0.100",
        ),
        (
            "lower(m/ig/srg) > 0.5 * random",
            True,
            "m/ig/srg is 0.120 [0.080, 0.160] (n = 32), needs lower end > 0.5 * random, which is 0.5 * 0.100 = 0.050",
        ),
        (
            "upper(m/ig/srg) <= 1.5",
            True,
            "m/ig/srg is 0.120 [0.080, 0.160] (n = 32), needs upper end <= 1.5",
        ),
        (
            "lower(m/ig/srg) > lower(random)",
            True,
            "m/ig/srg is 0.120 [0.080, 0.160] (n = 32), needs lower end > lower(random), which is 0.040",
        ),
        (
            "m/ig/srg > upper(random)",
            False,
            "m/ig/srg is 0.120 ± 0.020 (n = 32), needs > upper(random), which is 0.150",
        ),
    ],
)
def test_distance_from_random(text: str, held: bool, said: str) -> None:
    verdict = against_random(text, IG, LINE)
    assert verdict.open is held
    assert verdict.sentence == f"Gate {'open' if held else 'closed'} at step 63: {said}."


def test_both_sides_are_rounded_alike_and_told_apart() -> None:
    sentence = against_random("m/ig/srg >= random", Value(0.10001, 0.02, 32), Value(0.10002, 0.02, 32)).sentence
    assert "is 0.10001 ± 0.020 (n = 32), needs >= random, which is 0.10002" in sentence


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (None, "which has no value (nothing has scored or logged it so far)"),
        (Value(math.nan, stale_since=40), "which was not scored at this validation (last scored at step 40)"),
        (Value(math.nan, math.nan, 0, 32), "which is NaN for all 32 samples"),
        (Value(0.0, 0.1, 3, 29), "which is defined for 3 of 32 samples only"),
        (Value(-math.inf), "which is infinite"),
    ],
)
def test_a_random_line_that_is_missing_refuses(line: Value | None, said: str) -> None:
    verdict = against_random("m/ig/srg > random", IG, line)
    assert not verdict.open
    assert verdict.sentence == (f"Gate closed at step 63: m/ig/srg is 0.120 ± 0.020 (n = 32), needs > random, {said}.")
    assert verdict.reasons[0].scored is (line is not None and line.stale_since is None)
    json.dumps(verdict.to_dict(), allow_nan=False)


def test_a_missing_interval_refuses() -> None:
    alone = Value(5.0, math.nan, 1, low=math.nan, high=math.nan)
    verdict = against_random("lower(m/ig/srg) > random", alone, LINE)
    assert not verdict.open
    assert verdict.reasons[0].why == "is 5 (n = 1) without interval, needs lower end > random"
    verdict = against_random("m/ig/srg > lower(random)", IG, alone)
    assert not verdict.open
    assert verdict.reasons[0].why.endswith("needs > lower(random), which is 5 (n = 1) without interval")
    assert not against_random("upper(m/ig/srg) < 9", Value(1.0, 0.1, 8), None).open


def test_a_missing_interval_of_the_difference_refuses() -> None:
    for unknown in (None, math.nan):
        value = Value(0.9, 0.02, 32, low=0.8, high=1.0, advantage=0.8, advantage_low=unknown, advantage_high=unknown)
        verdict = against_random("lower(m/ig/srg) > random", value, LINE)
        assert not verdict.open
        assert verdict.reasons[0].why == (
            "is 0.900 [0.800, 1.000] (n = 32) without interval of the difference from random, needs lower end > random"
        )
        json.dumps(verdict.to_dict(), allow_nan=False)


def test_numbers_of_a_paired_comparison_are_in_the_file() -> None:
    verdict = against_random("lower(m/ig/srg) > random - 0.05", IG, LINE)
    (told,) = json.loads(json.dumps(verdict.to_dict(), allow_nan=False))["conditions"]
    assert (told["advantage"], told["advantage_low"], told["advantage_high"]) == (0.02, -0.01, 0.05)
    assert (told["threshold"], told["reference"], told["passed"]) == (0.05, 0.10, True)
    (told,) = against_random("m/ig/srg > random", IG, LINE).to_dict()["conditions"]
    assert told["advantage"] is None


def test_a_paired_bound_is_told_apart_from_its_threshold() -> None:
    close = Value(0.5, 0.1, 32, low=0.3, high=0.7, advantage=0.2, advantage_low=0.0499, advantage_high=0.3)
    verdict = against_random("lower(m/ig/srg) >= random + 0.05", close, LINE)
    assert not verdict.open
    assert "ahead of random by 0.2000 [0.0499, 0.3000], needs lower end >= random + 0.05" in verdict.sentence


def test_numbers_of_a_comparison_are_in_the_file() -> None:
    verdict = against_random("lower(m/ig/srg) > 2 * random - 0.05", IG, LINE)
    (told,) = json.loads(json.dumps(verdict.to_dict(), allow_nan=False))["conditions"]
    assert told["threshold"] == pytest.approx(0.15)
    assert (told["value"], told["low"], told["high"], told["end"]) == (0.12, 0.08, 0.16, "lower")
    assert (told["reference"], told["scored"]) == (0.10, True)


def test_check_of_random_best_and_metrics() -> None:
    names = ["m/ig/srg", "m/ig/drift", "m/ig/mprt", "m/random/srg"]
    directions = {"m/ig/srg": True, "m/ig/drift": None, "m/ig/mprt": False}
    fine = Gate.parse("m/ig/srg > random and (m/ig/srg >= best - 1 or m/ig/mprt <= best) and lower(m/ig/drift) < 1")
    fine.check(names, yardsticks=LINES, directions=directions)
    with pytest.raises(ValueError, match=r"'random' of scores without a random line.\nm/ig/srg2? > random"):
        fine.check(names, directions=directions)
    gate = Gate.parse(["m/ig/mprt <= random", "m/ig/drift < best + 1"])
    with pytest.raises(ValueError, match="'random' of scores without") as caught:
        gate.check(names, yardsticks=LINES, directions=directions)
    assert str(caught.value).split("\n")[1] == (
        "m/ig/mprt <= random: No random line of 'm/ig/mprt'. Did you mean 'm/ig/srg'? Known: m/ig/srg, m/ig/infidelity."
    )
    with pytest.raises(
        ValueError, match=r"neither direction is better.\nm/ig/drift < best [+] 1: .* Known: m/ig/srg, m"
    ):
        Gate.parse("m/ig/drift < best + 1").check(names, yardsticks=LINES, directions=directions)
    for text in ("val_acc > random", "lower(val_acc) > 0.5", "val_acc >= best"):
        with pytest.raises(ValueError, match=r"of a metric that the run logs: .*val_acc.* Scores begin with m/"):
            Gate.parse(f"{text} and m/ig/srg > random").check_metrics(["m/"])
    Gate.parse("val_acc > 0.9 or m/ig/srg > random").check_metrics(["m/"])


@pytest.mark.parametrize(
    ("text", "instead"),
    [
        ("m/ig/infidelity >= best - 0.05", "lower is better; write m/ig/infidelity <= best + 0.05"),
        ("m/ig/infidelity > best", "lower is better; write m/ig/infidelity < best"),
        ("m/ig/srg <= best + 0.1", "higher is better; write m/ig/srg >= best - 0.1"),
        ("m/ig/infidelity >= 0.8 * best", "lower is better; write m/ig/infidelity <= 1.25 * best"),
        ("lower(m/ig/infidelity) > random", "lower is better; write upper(m/ig/infidelity) < random"),
        ("m/ig/infidelity > upper(random)", "lower is better; write m/ig/infidelity < lower(random)"),
    ],
)
def test_a_comparison_that_asks_for_worse_is_refused(text: str, instead: str) -> None:
    names, directions = list(LINES), {"m/ig/srg": True, "m/ig/infidelity": False}
    with pytest.raises(ValueError, match="that ask for worse than 'random' or 'best'") as caught:
        Gate.parse(["m/ig/srg > 0", text]).check(names, yardsticks=LINES, directions=directions)
    assert str(caught.value).split("\n")[1:] == [f"{text}: {instead}"]
    Gate.parse(instead.partition("write ")[2]).check(names, yardsticks=LINES, directions=directions)
    Gate.parse("m/ig/infidelity >= 0.1 and m/ig/srg <= 2").check(names, directions=directions)


# --- the best so far, and several validations


def story(text: str, *values: float | Value | None, higher: bool | None = True) -> list[Verdict]:
    verdicts: list[Verdict] = []
    for i, value in enumerate(values):
        known = Value(value, higher_is_better=higher) if isinstance(value, (int, float)) else value
        history = verdicts[-1].history if verdicts else None
        given = {} if known is None else {"a": known}
        verdicts.append(Gate.parse(text).judge(given, step=10 * i, validation=i + 1, history=history))
    return verdicts


def opened(verdicts: list[Verdict]) -> list[bool]:
    return [verdict.open for verdict in verdicts]


STALE = Value(math.nan, stale_since=0)


def test_best_is_of_the_validations_before() -> None:
    told = story("a >= best - 0.05", 0.5, 0.46, 0.44, 0.6, 0.56, 0.54)
    assert opened(told) == [True, True, False, True, True, False]
    assert told[0].sentence == (
        "Gate open at step 0: a is 0.5, which is the first, nothing to compare with (needs >= best - 0.05)."
    )
    assert told[2].sentence == ("Gate closed at step 20: a is 0.44, needs >= best - 0.05, which is 0.5 - 0.05 = 0.45.")
    assert told[3].reasons[0].reference == 0.5
    assert told[-1].history == History({"a": 0.6}, {})


def test_best_of_a_score_that_should_fall() -> None:
    told = story("a <= best + 0.1", 2.0, 2.05, 1.0, 1.15, 1.1, higher=False)
    assert opened(told) == [True, True, True, False, True]
    assert told[-1].history.best == {"a": 1.0}


def test_what_is_not_comparable_is_never_the_best() -> None:
    few = Value(9.0, 0.1, 3, 29, higher_is_better=True)
    told = story("a >= best", None, math.nan, STALE, few, math.inf, 0.5, 0.4, higher=True)
    assert opened(told) == [False] * 5 + [True, False]
    assert told[4].history.best == {}
    assert told[6].history.best == {"a": 0.5}


def test_best_without_a_direction_refuses() -> None:
    told = story("a >= best", 1.0, 2.0, higher=None)
    assert opened(told) == [False, False]
    assert told[1].sentence == "Gate closed at step 10: a is 2, needs >= best, but has no direction that is better."


def test_patience_before_a_gate_opens() -> None:
    told = story("a > 0.5 for 3 validations", 0.6, 0.7, 0.8, 0.9, 0.4, 0.6, 0.6, 0.6)
    assert opened(told) == [False, False, True, True, False, False, False, True]
    assert told[1].sentence == "Gate closed at step 10: a is 0.7, needs > 0.5, held for 2 of 3 validations."
    assert told[3].sentence == "Gate open at step 30: a is 0.9, needs > 0.5, held for 3 of 3 validations."
    assert told[4].sentence == "Gate closed at step 40: a is 0.4, needs > 0.5, held for 0 of 3 validations."


def test_validations_that_were_not_scored_do_not_count() -> None:
    told = story("a > 0.5 for 2 validations", 0.6, STALE, None, 0.6, STALE, 0.6, math.nan, 0.6)
    assert opened(told) == [False, False, False, True, False, True, False, False]
    assert told[1].sentence.endswith("(last scored at step 0), needs > 0.5, held for 1 of 2 validations.")
    assert [verdict.history.streaks["a > 0.5"] for verdict in told] == [1, 1, 1, 2, 2, 3, 0, 1]


def joint(text: str, **values: Value) -> Verdict:
    return Gate.parse(text).judge(values, step=1, validation=1, history=History({}, {"a > 1 or b > 1": 1}))


@pytest.mark.parametrize(
    ("text", "a", "b", "streak"),
    [
        ("(a > 1 or b > 1) for 2 validations", STALE, Value(2.0), 1),
        ("(a > 1 or b > 1) for 2 validations", STALE, Value(0.0), 0),
        ("(a > 1 or b > 1) for 2 validations", Value(0.0), Value(0.0), 0),
        ("(a > 1 and b > 1) for 2 validations", STALE, Value(2.0), 0),
        ("(a > 1 and b > 1) for 2 validations", STALE, Value(0.0), 0),
    ],
)
def test_what_a_joint_remembers(text: str, a: Value, b: Value, streak: int) -> None:
    gate = Gate.parse(text)
    (part,) = gate.judge({"a": Value(9.0), "b": Value(9.0)}, step=0, validation=1).history.streaks
    before = History({}, {part: 5})
    after = gate.judge({"a": a, "b": b}, step=1, validation=2, history=before).history.streaks[part]
    decided = {("or", 2.0): 6, ("or", 0.0): 5, ("and", 2.0): 5, ("and", 0.0): 0}
    expected = decided["or" if " or " in text else "and", b.mean] if a is STALE else 0
    assert after == expected


def test_a_lasting_condition_in_a_lasting_one() -> None:
    text = "(a > 0.5 for 2 validations or a > 5) for 2 validations"
    assert opened(story(text, 0.6, 0.6, 0.6, 0.1, 6.0, 6.0)) == [False, False, True, False, False, True]


def test_history_is_plain_data() -> None:
    (*_, last) = story("a > best for 2 validations or a > 3", 1.0, 2.0)
    saved = json.loads(json.dumps(last.history.to_dict(), allow_nan=False))
    assert saved == {"best": {"a": 2.0}, "streaks": {"a > best": 2}}
    assert History.from_dict(saved) == last.history
    assert History.from_dict(None) == History()


# --- and, or


def test_or_tells_every_branch() -> None:
    gate = Gate.parse(["a > 1 or b > 1 and c > 1", "c > 0"])
    closed = gate.judge({"a": Value(0.5), "b": Value(2.0), "c": Value(0.25)}, step=3, validation=1)
    assert closed.sentence == "Gate closed at step 3: a is 0.5, needs > 1, or c is 0.25, needs > 1."
    assert [reason.passed for reason in closed.reasons] == [False, True, False, True]
    opens = gate.judge({"a": Value(2.0), "b": Value(0.5), "c": Value(2.0)}, step=3, validation=1)
    assert opens.sentence == (
        "Gate open at step 3: a is 2, needs > 1, or b is 0.5, needs > 1 (does not hold); c is 2, needs > 0."
    )
    both = gate.judge({"a": Value(2.0), "b": Value(3.0), "c": Value(2.0)}, step=3, validation=1)
    assert "a is 2, needs > 1, or (b is 3, needs > 1 and c is 2, needs > 1);" in both.sentence


@pytest.mark.parametrize("a", [None, 0.0, 2.0])
@pytest.mark.parametrize("b", [None, 0.0, 2.0])
@pytest.mark.parametrize("c", [0.0, 2.0])
def test_truth_tables(a: float | None, b: float | None, c: float) -> None:
    values = {name: Value(value) for name, value in (("a", a), ("b", b), ("c", c)) if value is not None}
    x, y, z = (value == 2.0 for value in (a, b, c))
    for text, expected in {
        "a > 1 or b > 1 and c > 1": x or (y and z),
        "(a > 1 or b > 1) and c > 1": (x or y) and z,
        "a > 1 and b > 1 or c > 1": (x and y) or z,
    }.items():
        assert Gate.parse(text).judge(values, step=0, validation=1).open is expected
