import pytest
import torch
from captum._utils.common import _select_targets

from lightning_explain.captum.errors import ArgumentError, ArgumentTypeError, SelectionError
from lightning_explain.captum.selecting import common, own, selected

OUT = torch.arange(24.0).reshape(3, 4, 2)
FLAT = OUT[..., 0]


@pytest.mark.parametrize(
    ("output", "target"),
    [
        (FLAT, None),
        (FLAT, 2),
        (FLAT, torch.tensor(2)),
        (FLAT, torch.tensor([2])),
        (FLAT, [0, 3, 1]),
        (FLAT, torch.tensor([0, 3, 1])),
        (FLAT, [(0,), (3,), (1,)]),
        (OUT, (1, 0)),
        (OUT, (slice(1, 3), 1)),
        (OUT, (1,)),
        (OUT, [(1, 0), (3, 1), (0, 0)]),
        (OUT, None),
    ],
)
def test_what_is_selected_is_what_captum_selects(output: torch.Tensor, target: object) -> None:
    assert torch.equal(selected(output, target), _select_targets(output, target))


@pytest.mark.parametrize(
    ("target", "error", "message"),
    [
        (9, SelectionError, r"The target 9 does not fit outputs of shape \(n, 4\)"),
        ((0, 0), SelectionError, r"The target \(0, 0\) does not fit"),
        ([0, 1], ArgumentError, "one target for each of 3 samples, got 2"),
        ([0, 9, 0], SelectionError, r"out of range for outputs of shape \(3, 4\)"),
        ([(0, 0)] * 3, ArgumentError, r"each sample's target needs 1 index"),
        (torch.zeros(3, 1, dtype=torch.long), ArgumentError, r"got a tensor of shape \(3, 1\)"),
        ([0.5, 1, 2], ArgumentTypeError, "got a list of float, int"),
        ([], ArgumentTypeError, "got a list of"),
        ([(0, 1), (0,), (1,)], ArgumentError, "as many for each sample"),
        (0.5, ArgumentTypeError, "got float"),
        (True, ArgumentTypeError, "got bool"),
        (torch.tensor([0.0, 1.7, 2.0]), ArgumentTypeError, "got a tensor of torch.float32"),
        (torch.tensor(1.7), ArgumentTypeError, "got a tensor of torch.float32"),
    ],
)
def test_what_does_not_fit_is_named(target: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message) as raised:
        selected(FLAT, target)
    assert isinstance(raised.value, AssertionError)


def test_a_target_is_common_or_each_samples_own() -> None:
    assert common(1) == (1,)
    assert own(1, 3) is None
    assert common([1, 2, 0]) is None
    assert torch.equal(own([(1, 2), (0, 0)], 2), torch.tensor([[1, 2], [0, 0]]))
