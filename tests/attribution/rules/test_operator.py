"""Operators under all their names."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lightning_explain.attribution.rules.operator import Call, opened, operator_name

X = torch.tensor([[-1.0, 2.0], [3.0, -4.0]])


@pytest.mark.parametrize(
    ("name", "functions"),
    [
        ("relu", [F.relu, torch.relu, torch.relu_, Tensor.relu, Tensor.relu_]),
        ("mul", [torch.mul, Tensor.mul, Tensor.__mul__, Tensor.__imul__, Tensor.mul_, torch.multiply]),
        ("div", [torch.div, Tensor.div_, torch.true_divide, Tensor.__truediv__]),
        ("max_pool2d", [F.max_pool2d, torch.max_pool2d, F.max_pool2d_with_indices]),
        ("softmax", [F.softmax, torch.softmax, Tensor.softmax]),
        ("", [Tensor.shape.__get__, Tensor.grad_fn.__get__]),
    ],
)
def test_all_spellings_have_one_name(name: str, functions: list) -> None:
    # The operators behind dunder methods may have their own; what counts is what a mode is handed.
    assert {operator_name(function).removeprefix("i") for function in functions} == {name}


def test_the_largest_of_two_is_another_operator() -> None:
    assert Call.of(torch.max, (X, X), {}).name == "maximum"
    assert Call.of(torch.min, (X,), {"other": X}).name == "minimum"
    assert Call.of(torch.max, (X, 1), {}).name == "max"


def test_active_tensors_are_found_in_lists_and_replaced() -> None:
    a, b = X.clone().requires_grad_(), X + 1
    call = Call.of(torch.cat, ([b, a],), {"dim": 1})
    assert [tensor is a for tensor in call.active] == [True]
    replaced = call.replaced(call.positions, [torch.zeros(2, 1)])
    assert torch.equal(replaced.run(), torch.cat([b, torch.zeros(2, 1)], dim=1))
    assert torch.equal(call.run(), torch.cat([b, a], dim=1))


@pytest.mark.parametrize(
    ("function", "args", "kwargs", "in_place"),
    [
        (F.relu, (X,), {}, False),
        (F.relu, (X,), {"inplace": False}, False),
        (F.relu, (X,), {"inplace": True}, True),
        (F.relu, (X, True), {}, True),
        (F.hardtanh, (X, 0.0, 1.0, True), {}, True),
        (torch.relu_, (X,), {}, True),
        (Tensor.mul_, (X, 2), {}, True),
        (Tensor.__setitem__, (X, 0, 1.0), {}, True),
        (torch.add, (X, X), {}, False),
        (torch.add, (X + 1, X), {"out": X}, False),
    ],
)
def test_what_is_overwritten(function, args, kwargs, in_place) -> None:
    written = Call.of(function, args, kwargs).overwritten
    assert (written is X) == in_place
    if not in_place:
        assert written is None


def test_what_is_filled() -> None:
    index = torch.zeros(2, dtype=torch.long)
    assert Call.of(torch.add, (X, X), {}).buffers == ()
    (found,) = Call.of(torch.add, (X + 1, X), {"out": X}).buffers
    assert found is X
    assert len(Call.of(torch.max, (X, 0), {"out": (X[0], index)}).buffers) == 2


@pytest.mark.parametrize(
    ("function", "args", "kwargs"),
    [(F.relu, (True,), {}), (F.relu, (), {"inplace": True}), (torch.relu_, (), {}), (F.elu_, (0.5,), {})],
)
def test_the_same_out_of_place(function, args, kwargs) -> None:
    x = X.clone()
    found = Call.of(function, (x, *args), kwargs).out_of_place.run()
    assert torch.equal(x, X)
    assert torch.equal(found, function(x.clone(), *args, **kwargs))


def test_opened_functions_do_the_same() -> None:
    assert opened(torch.relu) is None  # written in C++
    assert opened(test_opened_functions_do_the_same) is None  # not torch's
    body = opened(F.normalize)
    assert body is not None
    assert torch.equal(body(X, dim=1), F.normalize(X, dim=1))
