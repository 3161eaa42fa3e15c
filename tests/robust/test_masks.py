import pytest
import torch

from lightning_explain.robust.masks import free_elements

X = (torch.randn(2, 3), torch.randn(2, 2, 2).double())
NAMES = ("left", "right")


def test_masks_of_any_type_broadcast():
    got = free_elements((torch.tensor([[0], [1]]), torch.tensor([True, False])), X, NAMES)
    assert got[0].tolist() == [[0, 0, 0], [1, 1, 1]]
    assert got[1].tolist() == [[[1, 0], [1, 0]]] * 2
    assert [leaf.dtype for leaf in got] == [torch.float32, torch.float64]
    assert all(bool((leaf == 1).all()) for leaf in free_elements(None, X, NAMES))


def test_wrong_masks_are_refused():
    with pytest.raises(ValueError, match="Expected a mask for each of 2 inputs, got 1"):
        free_elements((torch.ones(2, 3),), X, NAMES)
    with pytest.raises(
        ValueError, match=r"The mask of right has shape \(5,\), which does not broadcast to \(2, 2, 2\)"
    ):
        free_elements((torch.ones(2, 3), torch.ones(5)), X, NAMES)
    with pytest.raises(ValueError, match=r"The mask of left must hold zeros \(leave alone\) and ones"):
        free_elements((torch.full((2, 3), 255), torch.ones(1)), X, NAMES)
    with pytest.raises(ValueError, match=r"shape \(4, 2, 3\), which does not broadcast to \(2, 3\)"):
        free_elements((torch.ones(4, 2, 3), torch.ones(1)), X, NAMES)
