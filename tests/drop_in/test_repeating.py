import pytest
import torch

from lightning_explain.captum.repeating import Repetition, has_rows, is_for_each

X = torch.arange(6.0).view(3, 2)
TWICE = Repetition(2, 3)
BEHIND = Repetition(2, 3, in_place=False)


def test_rows_are_repeated_in_their_place_or_behind_the_batch():
    assert torch.equal(TWICE.each(X), X.repeat_interleave(2, dim=0))
    assert torch.equal(BEHIND.each(X), X.repeat(2, 1))


def test_what_does_not_go_with_the_samples_is_as_it_was():
    table, number, listed = torch.ones(5, 2), torch.tensor(2.0), [1, 2, 3]
    given = (X, table, number, listed, None, "x")
    for repetition in (TWICE, BEHIND):
        first, *others = repetition.each(given)
        assert len(first) == 6
        assert all(held is other for held, other in zip(given[1:], others, strict=True))


def test_without_a_number_of_samples_whatever_has_rows_is_repeated():
    got = Repetition(3, in_place=False).each((X, torch.ones(1, 4), torch.tensor(2.0)))
    assert [tuple(held.shape) for held in got] == [(9, 2), (3, 4), ()]


def test_one_copy_is_the_batch_itself():
    assert Repetition(1, 3).each((X,))[0] is X


@pytest.mark.parametrize(("target", "in_place", "behind"), [
    (None, None, None), (4, 4, 4), ((1, 2), (1, 2), (1, 2)),
    ([1, 2, 3], [1, 1, 2, 2, 3, 3], [1, 2, 3, 1, 2, 3]),
    ([(0, 1), (1, 0), (1, 1)], [(0, 1), (0, 1), (1, 0), (1, 0), (1, 1), (1, 1)],
     [(0, 1), (1, 0), (1, 1), (0, 1), (1, 0), (1, 1)]),
    (torch.tensor([5]), [5], [5]), (torch.tensor(5), 5, 5),
    (torch.tensor([1, 2, 3]), [1, 1, 2, 2, 3, 3], [1, 2, 3, 1, 2, 3]),
])  # fmt: skip
def test_targets_are_repeated(target, in_place, behind):
    for repetition, expected in ((TWICE, in_place), (BEHIND, behind)):
        got = repetition.target(target)
        assert (got.tolist() if isinstance(got, torch.Tensor) else got) == expected


def test_targets_of_other_samples_are_left_for_others_to_refuse():
    assert TWICE.target([1, 2]) == [1, 2]
    assert TWICE.target(torch.tensor([1, 2])).tolist() == [1, 2]


def test_a_single_baseline_stands_for_all():
    got = TWICE.beside((X, X[:1], 3))
    assert torch.equal(got[0], X.repeat_interleave(2, dim=0))
    assert got[1].shape == (1, 2)
    assert got[2] == 3
    assert len(Repetition(4, 1).beside(X[:1])) == 1
    assert len(Repetition(4, 1).each(X[:1])) == 4  # an argument of the model has a row for each of its rows


def test_keywords_of_attribute_are_repeated_by_what_they_are():
    given = {
        "target": [0, 1, 2],
        "baselines": 0,
        "feature_mask": X[:1],
        "additional_forward_args": (X, 2),
        "n_steps": 7,
    }
    got = TWICE.of(given)
    assert got["target"] == [0, 0, 1, 1, 2, 2]
    assert torch.equal(got["additional_forward_args"][0], X.repeat_interleave(2, dim=0))
    assert {name: got[name] for name in ("baselines", "n_steps")} == {"baselines": 0, "n_steps": 7}
    assert got["feature_mask"] is given["feature_mask"]
    assert TWICE.of({"target": None}) == {"target": None}


def test_baselines_that_are_drawn_are_those_of_the_copies():
    drawn = torch.tensor([1, 0, 1, 1, 0, 0])
    known = torch.tensor([[1.0], [2.0]])
    got = Repetition(2, 3, drawn=drawn).of({"baselines": (known, 0.5)})["baselines"]
    assert torch.equal(got[0], known[drawn])
    assert got[1] == 0.5


def test_kinds():
    assert [has_rows(held) for held in (X, torch.tensor(1.0), [1], None)] == [True, False, False, False]
    targets = ([1], torch.tensor([1, 2]), torch.tensor([1]), (1, 2), 1, None)
    assert [is_for_each(target) for target in targets] == [True, True, False, False, False, False]
