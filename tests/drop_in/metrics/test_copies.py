import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lightning_explain.captum.errors import ArgumentError, ArgumentTypeError
from lightning_explain.captum.metrics.copies import (
    as_pair,
    copies_at_a_time,
    for_each_row,
    given_baselines,
)

X, Y = torch.randn(3, 2), torch.randn(3, 4)


@pytest.mark.filterwarnings("ignore:max_examples_per_batch")
@given(samples=st.integers(1, 9), copies=st.integers(1, 20), most=st.one_of(st.none(), st.integers(0, 200)))
def test_parts_add_up_and_fit(samples, copies, most):
    parts = list(copies_at_a_time(samples, copies, most))
    assert sum(parts) == copies
    assert min(parts) >= 1
    assert most is None or max(parts) * samples <= max(most, samples)
    assert len(set(parts[:-1])) <= 1


def test_there_must_be_something():
    for samples, copies in ((0, 3), (3, 0)):
        with pytest.raises(ArgumentError, match=f"at least one sample and n_perturb_samples >= 1, got {samples} and"):
            next(copies_at_a_time(samples, copies, None))


def test_baselines_stay_as_they_were_given():
    assert given_baselines(None, 2) == (0, 0)
    assert given_baselines(0.5, 1) == (0.5,)
    assert given_baselines((X, 2), 2) == (X, 2)
    with pytest.raises(ArgumentTypeError, match="A baseline is a tensor or a number, got str"):
        given_baselines((X, "zeros"), 2)
    with pytest.raises(ArgumentError, match="Expected a baseline for each of 1 inputs, got 2"):
        given_baselines((0, 1), 1)


def test_one_row_stands_for_all_and_no_other_shape():
    got = for_each_row((X[:1], Y), (X, Y), "It")
    assert torch.equal(got[0], X[:1].expand(3, 2))
    for bad in ((X,), (X, X), (X[:2], Y), (X[:, :1], Y), (X[0], Y)):
        with pytest.raises(ArgumentError, match="It must have the shapes of the repeated inputs"):
            for_each_row(bad, (X, Y), "It")


def test_pairs():
    assert as_pair((X, (Y,))) == ((X,), (Y,))
    for bad, said in ((X, "Tensor"), ((X,), "a tuple of 1"), ([X, X], "list")):
        with pytest.raises(ArgumentTypeError, match=f"a pair, got {said}; one that gives perturbed"):
            as_pair(bad)
