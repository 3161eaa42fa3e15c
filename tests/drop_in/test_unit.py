import pytest
import torch

from lightning_explain.captum.errors import ArgumentError, ArgumentTypeError, SelectionError
from lightning_explain.captum.unit import Unit

FLAT = torch.arange(6.0).reshape(2, 3)
MAP = torch.arange(24.0).reshape(2, 3, 2, 2)


@pytest.mark.parametrize(
    ("selector", "activation", "expected"),
    [
        (1, FLAT, FLAT[:, 1]),
        (-1, FLAT, FLAT[:, 2]),
        ((2,), FLAT, FLAT[:, 2]),
        ((0, 1, 1), MAP, MAP[:, 0, 1, 1]),
        ((slice(0, 2),), FLAT, FLAT[:, :2].sum(dim=1)),
        ((1, slice(None), 0), MAP, MAP[:, 1, :, 0].sum(dim=1)),
        ((slice(None),), MAP, MAP.flatten(1).sum(dim=1)),
    ],
)
def test_integers_choose_and_slices_add_up(selector: object, activation: torch.Tensor, expected: torch.Tensor) -> None:
    assert torch.equal(Unit(selector)(activation), expected)


def test_functions_are_given_all_that_goes_through_the_layer() -> None:
    assert torch.equal(Unit(lambda held: held[:, 0] * 2)(FLAT), FLAT[:, 0] * 2)
    assert torch.equal(Unit(lambda held: held[0][:, 0] + held[1][:, 1])((FLAT, FLAT)), FLAT[:, 0] + FLAT[:, 1])
    assert Unit(lambda held: held[:, :1])(FLAT).shape == (2,)
    assert Unit(lambda held: held.sum())(FLAT).shape == ()  # one number for all samples


@pytest.mark.parametrize(
    ("selector", "activation", "error", "message"),
    [
        (3, FLAT, SelectionError, r"The neuron \(3,\) is not in a layer of shape \(2, 3\); give an index for each of"),
        ((0, 0, 0), FLAT, SelectionError, r"each of the 1 dimension\(s\)"),
        ((0, 0), MAP, ArgumentError, r"\(0, 0\) of a layer of shape \(2, 3, 2, 2\) is 2 units: give 3 integers, or"),
        (0, (FLAT, FLAT), ArgumentError, "2 tensors go through the layer.*give a function of them"),
        (lambda held: held, FLAT, ArgumentError, r"made \(2, 3\) of 2 samples; expected one number for each, or one"),
    ],
)
def test_what_is_no_unit(selector: object, activation: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Unit(selector)(activation)


@pytest.mark.parametrize("selector", [None, 1.5, "0", (0, None), [0, 1]])
def test_what_is_no_selector(selector: object) -> None:
    with pytest.raises(ArgumentTypeError, match="neuron_selector is an integer, a tuple of integers and slices, or a"):
        Unit(selector)
