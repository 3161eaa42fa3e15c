import pytest
import torch

from lightning_explain.captum.distributions import as_deviation, as_distribution
from lightning_explain.captum.errors import ArgumentError, ArgumentTypeError

X, Y = torch.zeros(4, 3), torch.zeros(4, 2, 2, dtype=torch.long)
KNOWN = torch.arange(15.0).reshape(5, 3)


@pytest.mark.parametrize("given", [KNOWN, (KNOWN,), lambda: KNOWN, lambda inputs: KNOWN + inputs.sum()], ids=str)
def test_tensors_and_functions_that_give_them(given: object) -> None:
    (found,) = as_distribution(given, X)
    assert torch.equal(found, KNOWN)


def test_functions_are_given_the_inputs_as_they_came() -> None:
    seen: list[object] = []
    as_distribution(lambda inputs: seen.append(inputs) or (KNOWN, 1), (X, Y))
    assert seen == [(X, Y)]


def test_a_number_stands_for_as_many_baselines_as_the_others_have() -> None:
    first, second = as_distribution((KNOWN, 7), (X, Y))
    assert torch.equal(first, KNOWN)
    assert second.shape == (5, 2, 2)
    assert second.eq(7).all()
    assert second.dtype == Y.dtype


def test_a_distribution_has_no_graph() -> None:
    assert not as_distribution(KNOWN.clone().requires_grad_(), X)[0].requires_grad


@pytest.mark.parametrize(
    ("given", "inputs", "error", "message"),
    [
        (0.5, X, ArgumentTypeError, r"a tensor \(K, ...\) for each input, with the same K for all; got float"),
        (torch.tensor(1.0), X, ArgumentTypeError, r"got shape \(\)"),
        ((KNOWN, KNOWN[:2]), (X, X), ArgumentError, r"got shape \(5, 3\), shape \(2, 3\)"),
        (KNOWN, (X, X), ArgumentError, r"Expected baselines for each of 2 input\(s\), got 1"),
        (KNOWN[:, :2], X, ArgumentError, r"The baselines of input 0 have shape \(5, 2\); expected \(K, 3\)"),
        (lambda: None, X, ArgumentTypeError, "got NoneType"),
    ],
)
def test_what_is_none(given: object, inputs: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        as_distribution(given, inputs)


def test_one_baseline_may_be_too_few() -> None:
    assert len(as_distribution(KNOWN[:1], X)[0]) == 1
    with pytest.raises(ArgumentError, match="Expected at least 2 baselines for each input, got 1; DeepLift takes one"):
        as_distribution(KNOWN[:1], X, least=2)


def test_deviations() -> None:
    assert as_deviation(1, X) == 1.0
    assert isinstance(as_deviation(1, X), float)
    assert as_deviation((0.5, 0), (X, Y)) == (0.5, 0)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ("1", ArgumentTypeError, "stdevs is a number, or a tuple of one for each input; got str"),
        (True, ArgumentTypeError, "got bool"),
        ((0.5, None), ArgumentTypeError, "got NoneType"),
        (-0.1, ArgumentError, "stdevs must not be negative, got -0.1"),
        ((0.1, 0.1, 0.1), ArgumentError, r"Expected one of stdevs for each of 2 input\(s\), got 3"),
    ],
)
def test_what_is_no_deviation(given: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        as_deviation(given, (X, Y))
