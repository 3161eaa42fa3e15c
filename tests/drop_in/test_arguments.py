import pytest
import torch

from lightning_explain.captum.arguments import (
    as_arguments,
    as_baselines,
    as_inputs,
    as_masks,
    as_numbers,
    has_samples,
    promoted,
    require_alike,
    require_numbers,
    require_samples,
    shaped_like,
)
from lightning_explain.captum.errors import ArgumentError, ArgumentTypeError

X = torch.arange(6.0).reshape(2, 3)


def test_a_tuple_stays_one_and_a_tensor_is_alone() -> None:
    assert as_inputs(X) == (X,)
    assert shaped_like((X,), (X,)) == (X,)
    assert shaped_like(X, (X,)) is X
    assert as_arguments(None) == ()
    assert as_arguments([1, 2]) == ([1, 2],)
    assert as_arguments((1, X)) == (1, X)


@pytest.mark.parametrize("inputs", [[X], "text", (X, 1), None])
def test_inputs_are_tensors(inputs: object) -> None:
    with pytest.raises(ArgumentTypeError, match="Inputs are a tensor or a tuple of tensors"):
        as_inputs(inputs)
    with pytest.raises(ArgumentError, match="empty tuple"):
        as_inputs(())


@pytest.mark.parametrize(
    ("baseline", "expected"),
    [
        (None, torch.zeros(2, 3)),
        (2, torch.full((2, 3), 2.0)),
        (0.5, torch.full((2, 3), 0.5)),
        (X[:1], X[:1].expand(2, 3)),
        (X + 1, X + 1),
        (torch.tensor(3.0), torch.full((2, 3), 3.0)),
        ((1,), torch.ones(2, 3)),
    ],
)
def test_a_baseline_is_brought_to_the_inputs_shape(baseline: object, expected: torch.Tensor) -> None:
    (made,) = as_baselines(baseline, (X,))
    assert torch.equal(made, expected)


def test_a_boolean_input_has_a_boolean_baseline() -> None:
    (made,) = as_baselines(None, (X > 2,))
    assert made.dtype == torch.bool
    assert not made.any()


def test_integers_become_numbers_beside_a_fractional_baseline() -> None:
    x = X.long()
    base = as_baselines(0.5, (x,))
    assert promoted((x,), base)[0].dtype == torch.float32
    assert promoted(base, (x,))[0].tolist() == [[0.5] * 3] * 2
    assert promoted((X.half(),), (X.double(),))[0].dtype == torch.float16


@pytest.mark.parametrize(
    ("baseline", "error", "message"),
    [
        (torch.zeros(3, 3), ArgumentError, r"input 0 has shape \(3, 3\); expected \(2, 3\), or \(1, 3\)"),
        ((0, 0), ArgumentError, "each of 1 input.*got 2"),
        ("zeros", ArgumentTypeError, "a number or a tensor, got str"),
    ],
)
def test_a_baseline_that_does_not_fit_is_named(baseline: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        as_baselines(baseline, (X,))


@pytest.mark.parametrize(("shape", "expected"), [((2, 3), (2, 3)), ((1, 3), (1, 3)), ((3,), (1, 3)), ((), (1, 1))])
def test_a_mask_gets_the_inputs_dimensions(shape: tuple[int, ...], expected: tuple[int, ...]) -> None:
    (mask,) = as_masks(torch.zeros(shape, dtype=torch.int32), (X,))
    assert mask.shape == expected
    assert mask.dtype == torch.int64


def test_a_mask_of_whole_numbers_may_be_of_any_dtype() -> None:
    (mask,) = as_masks(torch.tensor([0.0, 2.0, 1.0]), (X,))
    assert torch.equal(mask, torch.tensor([[0, 2, 1]]))


@pytest.mark.parametrize(
    ("mask", "error", "message"),
    [
        (torch.zeros(2, dtype=torch.long), ArgumentError, r"shape \(2,\), which does not broadcast"),
        (torch.zeros(1, 2, 3, dtype=torch.long), ArgumentError, "does not broadcast"),
        (torch.full((2, 3), 0.5), ArgumentTypeError, "holds integers, got torch.float32"),
        ([0, 1, 2], ArgumentTypeError, "is a tensor, got list"),
        ((torch.zeros(3).long(),) * 2, ArgumentError, "each of 1 input.*got 2"),
    ],
)
def test_a_mask_that_does_not_fit_is_named(mask: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        as_masks(mask, (X,))


def test_tensors_of_the_same_shapes() -> None:
    require_alike((X, X), (X + 1, X.long()), "These must be as those")
    with pytest.raises(ArgumentError, match=r"These must be as those, \[\(2, 3\), \(2, 3\)\], got \[\(2, 3\)\]"):
        require_alike((X,), (X, X), "These must be as those")
    with pytest.raises(ArgumentError, match=r"got \[\(2, 2\)\]"):
        require_alike((X[:, :2],), (X,), "These must be as those")


def test_samples() -> None:
    assert has_samples((X, X[:0]))
    assert has_samples((torch.tensor(1.0),))
    assert not has_samples((X[:0], X[:0, 0]))
    require_samples((X,))
    with pytest.raises(ArgumentError, match=r"Expected at least one sample, got these of shape \(0, 3\), \(0,\)"):
        require_samples((X[:0], X[:0, 0]), "these")


def test_numbers() -> None:
    half, whole = as_numbers((X.half(), X.long()))
    assert (half.dtype, whole.dtype) == (torch.float16, torch.float32)
    require_numbers((X, X.half()))
    with pytest.raises(ArgumentTypeError, match=r"Input 1 holds torch.bool values.*inputs\.float\(\)"):
        require_numbers((X, X > 0))
