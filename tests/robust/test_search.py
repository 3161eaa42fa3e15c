import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lightning_explain.robust.search import Steps, smallest


@given(values=st.integers(0, 20), first=st.lists(st.integers(0, 25), min_size=1, max_size=6))
def test_bisection_finds_the_first(values, first):
    asked = []

    def succeeds(value, cases):
        asked.extend((value, int(case)) for case in cases)
        return value >= torch.tensor(first)[cases]

    got = smallest(succeeds, values, len(first))
    assert got.tolist() == [next((v for v in range(values) if v >= f), values) for f in first]
    assert len(asked) == len(set(asked))
    assert len(asked) <= len(first) * math.ceil(math.log2(values + 1))


@pytest.mark.parametrize(("arguments", "expected"), [
    ((0, 5, 1), [0, 1, 2, 3, 4]),
    ((1, 6, 2), [1, 3, 5]),
    ((0.0, 0.3, 0.1), [0.0, 0.1, 0.2]),
    ((0.5, 0.9, 0.3), [0.5, 0.8]),
    ((3, 3, 1), []),
])  # fmt: skip
def test_steps_stay_below(arguments, expected):
    steps = Steps(*arguments)
    assert list(steps) == pytest.approx(expected)
    assert len(steps) == len(expected)
    assert steps[1:2] == pytest.approx(expected[1:2])
    assert all(isinstance(step, type(arguments[2])) for step in steps)


def test_sums_of_rounded_steps_add_no_value():
    assert len(Steps(0.0, 1.0, 0.1)) == 10
    total, count = 0.0, 0
    while total < 1.0:
        total, count = total + 0.1, count + 1
    assert count == 11  # why the steps are not added up
    with pytest.raises(IndexError, match="out of range"):
        Steps(0, 3, 1)[3]
