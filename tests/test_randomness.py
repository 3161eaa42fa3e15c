import random

import numpy as np
import pytest
import torch

from lightning_explain.randomness import isolated, taken_down


def draw() -> tuple[float, float, float]:
    return random.random(), float(np.random.rand()), float(torch.rand(()))


def test_inside_a_seed_decides_and_outside_nothing_moves() -> None:
    random.seed(1)
    np.random.seed(1)
    torch.manual_seed(1)
    draw()
    states = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()
    with isolated(5):
        first = draw()
    draws = []
    for seed in (5, 6):
        with isolated(seed, {torch.device("cpu")}):
            draws.append(draw())
    assert draws[0] == first
    assert all(a != b for a, b in zip(first, draws[1], strict=True))
    assert random.getstate() == states[0]
    assert np.random.get_state()[1].tolist() == states[1]
    assert torch.equal(torch.get_rng_state(), states[2])


def test_states_come_back_after_an_exception_and_when_nested() -> None:
    state = torch.get_rng_state()

    def fail() -> None:
        with isolated(1):
            outer = draw()
            with isolated(1):
                assert draw() == outer
            assert draw() != outer
            raise KeyError("inside")

    with pytest.raises(KeyError, match="inside"):
        fail()
    assert torch.equal(torch.get_rng_state(), state)


def test_states_are_taken_down_and_put_back() -> None:
    put_back = taken_down()
    first = draw()
    for _ in range(2):
        draw()
        put_back()
        assert draw() == first
