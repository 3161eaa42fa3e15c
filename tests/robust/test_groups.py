import pytest
import torch

from lightning_explain.robust.groups import in_groups, joined


def candidates(taken):
    for i, rows in enumerate((2, 1, 3, 2, 1)):
        taken.append(i)
        yield f"c{i}", torch.full((rows, 2), float(i))


@pytest.mark.parametrize("size", [1, 2, 3, 4, 9])
def test_groups_give_what_candidates_give_alone(size):
    calls = []

    def run(inputs, count):
        calls.append(count)
        return inputs.sum(dim=1)

    got = list(in_groups(candidates([]), run, size))
    assert [(name, out.tolist()) for name, out in got] == [
        (f"c{i}", [2.0 * i] * rows) for i, rows in enumerate((2, 1, 3, 2, 1))
    ]
    assert sum(calls) == 5
    assert max(calls) == min(size, 5)


def test_who_stops_does_not_pay_for_the_rest():
    taken = []
    found = next(name for name, out in in_groups(candidates(taken), lambda x, _: x, 2) if float(out[0, 0]) == 2)
    assert found == "c2"
    assert taken == [0, 1, 2, 3]


def test_tuples_are_joined_part_by_part():
    a, b = (torch.ones(1, 2), [torch.zeros(1)]), (torch.ones(2, 2), [torch.ones(2)])
    assert joined((a, b))[0].shape == (3, 2)
    assert joined((a, b))[1][0].tolist() == [0, 1, 1]
    got = list(in_groups([("a", a), ("b", b)], lambda given, _: given[0].sum(dim=1), 2))
    assert [(name, out.tolist()) for name, out in got] == [("a", [2]), ("b", [2, 2])]


def test_anything_goes_alone_and_not_together():
    words = [("a", "one"), ("b", "three")]
    assert list(in_groups(words, lambda word, _: len(word), 1)) == [("a", 3), ("b", 5)]
    with pytest.raises(TypeError, match="Only tensors, and tuples of them, can go through the model together, got str"):
        list(in_groups(words, lambda word, _: len(word), 2))
    with pytest.raises(ValueError, match="The size of a group must be at least 1, got 0"):
        list(in_groups(words, lambda word, _: len(word), 0))
