import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from lightning_explain.inputs import (
    batch_size,
    column,
    first_floating,
    is_continuous,
    leaves,
    names,
    pick,
    rebuild,
    require_finite,
    take,
)

X, IDS = torch.randn(3, 2, generator=torch.Generator().manual_seed(0)), torch.arange(3)
FORMS = [X, (X,), (X, IDS), {"x": X}, {"ids": IDS, "x": X}]


@pytest.mark.parametrize("inputs", FORMS, ids=lambda form: str(names(form)))
def test_taking_apart_and_putting_together(inputs: object) -> None:
    again = rebuild(inputs, leaves(inputs))
    assert type(again) is type(inputs)
    assert all(left is right for left, right in zip(leaves(again), leaves(inputs), strict=True))
    assert names(again) == names(inputs)
    assert batch_size(inputs) == 3
    taken = take(inputs, torch.tensor([2, 0, 2, 2]))
    assert type(taken) is type(inputs)
    assert all(torch.equal(a, b[[2, 0, 2, 2]]) for a, b in zip(leaves(taken), leaves(inputs), strict=True))


def test_inputs_have_names() -> None:
    assert [names(form) for form in FORMS] == [
        ("input",),
        ("input[0]",),
        ("input[0]", "input[1]"),
        ("x",),
        ("ids", "x"),
    ]


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ([X], "got list"),
        (None, "got NoneType"),
        ((X, [1]), r"got tuple with list for input\[1\]"),
        ({"x": X, "path": "a.png"}, "got dict with str for path"),
    ],
)
def test_what_is_no_tensor_is_named(inputs: object, message: str) -> None:
    with pytest.raises(TypeError, match=f"Inputs must be a tensor, a tuple of tensors or a dict of tensors, {message}"):
        leaves(inputs)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ((), r"Every input needs a batch dimension; got shapes \[\]"),
        ({}, r"Every input needs a batch dimension; got shapes \[\]"),
        ((X, torch.tensor(1)), r"got shapes \[\(3, 2\), \(\)\]"),
        ({"a": X, "b": X[:2]}, r"the same number of samples; got a \(3, 2\), b \(2, 2\)"),
    ],
)
def test_all_inputs_have_as_many_samples(inputs: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        batch_size(inputs)


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("shape", [(4,), (4, 2), (4, 2, 3)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.complex64])
def test_nan_and_infinity_are_found(value: float, shape: tuple[int, ...], dtype: torch.dtype) -> None:
    bad = torch.zeros(shape, dtype=dtype)
    require_finite((bad, IDS[:1].expand(4)))
    bad[1], bad[3] = value, value
    with pytest.raises(ValueError, match=r"input\[0\] holds NaN or infinity in 2 sample\(s\), the first is sample 1"):
        require_finite((bad, bad))


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        (torch.float16, True),
        (torch.bfloat16, True),
        (torch.float64, True),
        (torch.int64, False),
        (torch.bool, False),
        (torch.complex64, False),
    ],
)
def test_gradients_are_for_floating_point_numbers(dtype: torch.dtype, expected: bool) -> None:
    assert is_continuous(torch.zeros(1, dtype=dtype)) == expected


def test_the_first_floating_input() -> None:
    assert first_floating({"ids": IDS, "x": X, "y": -X}) is X
    assert first_floating((IDS, IDS + 1)) is IDS


@given(dims=st.lists(st.integers(1, 3), max_size=3), rows=st.integers(1, 4))
def test_a_column_scales_rows(dims: list[int], rows: int) -> None:
    tensor, factors = torch.ones(rows, *dims), torch.arange(float(rows))
    scaled: Tensor = column(factors, tensor) * tensor
    assert scaled.shape == tensor.shape
    assert all((scaled[i] == i).all() for i in range(rows))


def test_rows_of_every_tensor_are_picked_and_may_repeat() -> None:
    first, second = pick((torch.arange(6).view(3, 2), torch.arange(3)), torch.tensor([2, 0, 2]))
    assert first.tolist() == [[4, 5], [0, 1], [4, 5]]
    assert second.tolist() == [2, 0, 2]
