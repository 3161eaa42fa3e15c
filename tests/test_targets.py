import numpy as np
import pytest
import torch
from torch import Tensor

from lightning_explain.targets import as_indices, as_label, as_target

LABEL = torch.tensor([0, 2, 1, 2])


@pytest.mark.parametrize(
    ("given_target", "label", "expected"),
    [
        (None, LABEL, "label"),
        (None, LABEL.float(), "output"),
        (None, None, "predicted"),
        ("predicted", LABEL, "predicted"),
        ("predicted", LABEL.float(), "predicted"),
        ("output", None, "output"),
        (None, torch.tensor([True, False, True, True]), "label"),
        (None, [0, 1, 2, 0], "label"),
        (None, np.array([0.5, 1, 2, 0]), "output"),
    ],
)
def test_the_target_follows_from_the_labels(given_target: object, label: object, expected: str) -> None:
    assert as_target(given_target, label, 4) == expected


@pytest.mark.parametrize(
    ("given_target", "expected"),
    [
        (1, 1),
        ([0, 1, 2, 1], [0, 1, 2, 1]),
        (torch.tensor([[0, 1]] * 4), [[0, 1]] * 4),
        (np.array([3, 2, 1, 0]), [3, 2, 1, 0]),
    ],
)
def test_indices_become_tensors(given_target: object, expected: object) -> None:
    target = as_target(given_target, None, 4)
    assert isinstance(target, Tensor)
    assert target.tolist() == expected
    assert as_indices(given_target).tolist() == expected


def test_what_is_given_is_copied() -> None:
    held = LABEL.clone()
    target, label = as_target(held, None, 4), as_label(held, 4)
    held.zero_()
    assert torch.equal(target, LABEL)
    assert torch.equal(label, LABEL)


@pytest.mark.parametrize(
    ("given_target", "label", "message"),
    [
        ("labels", None, "No target 'labels'. Did you mean 'label'. Known: label, predicted, output. Or give output"),
        ("label", None, "The target 'label' needs integer class labels; pass label="),
        ("label", LABEL.float(), "The target 'label' needs integer class labels"),
        (torch.tensor([0.0] * 4), None, r"A target is an integer output index, got torch.float32. For a regression"),
        (torch.tensor(1j), None, r"A target is an integer output index, got torch.complex64"),
        (True, None, r"A target is an integer output index, got torch.bool"),
        ([0, 1], None, r"Expected a target for each of 4 samples, got shape \(2,\)"),
        (-1, None, "Targets are output indices from 0 on, got -1"),
    ],
)
def test_what_is_no_target(given_target: object, label: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        as_target(given_target, label, 4)


def test_labels() -> None:
    assert as_label(None, 4) is None
    assert as_label(torch.tensor([True, False]), 2).dtype == torch.int64
    assert as_label([0, 1, 2], 3).tolist() == [0, 1, 2]
    assert as_label(np.array([0.5, 1.0]), 2).is_floating_point()
    assert not as_label(torch.ones(2, requires_grad=True), 2).requires_grad


@pytest.mark.parametrize(("label", "said"), [(LABEL[:3], r"\(3,\)"), (torch.tensor(1), r"\(\)")])
def test_labels_are_one_each(label: Tensor, said: str) -> None:
    with pytest.raises(ValueError, match=f"Expected a label for each of 4 samples, got shape {said}"):
        as_label(label, 4)
