import numpy as np
import pytest
import torch
from torch import Tensor

from lightning_explain.region_mask import of_inputs, of_items

X = torch.zeros(4, 2, 3, 5)


@pytest.mark.parametrize(
    "mask",
    [
        torch.eye(3, 5) > 0,
        torch.eye(3, 5),
        torch.eye(3, 5).long(),
        (torch.eye(3, 5) > 0).expand(4, 3, 5),
        (torch.eye(3, 5) > 0).expand(4, 1, 3, 5),
        np.eye(3, 5),
    ],
)
def test_masks_may_have_several_forms(mask: Tensor) -> None:
    found = of_inputs(mask, X)
    assert found.dtype == torch.bool
    assert torch.equal(found, (torch.eye(3, 5) > 0).expand(4, 3, 5))
    found[0] = False  # a tensor of its own, not an expanded view
    assert found[1].any()


@pytest.mark.parametrize(
    ("inputs", "shape"),
    [
        (torch.randn(4, 6), (4, 6)),
        (torch.randn(4, 2, 7), (4, 7)),
        (torch.randn(4, 2, 3, 5, 6), (4, 3, 5, 6)),
        ({"ids": torch.ones(4, 9, dtype=torch.long), "x": torch.randn(4, 6)}, (4, 6)),
        (torch.ones(4, 9, dtype=torch.long), (4, 9)),
    ],
)
def test_masks_belong_to_the_positions_of_the_first_floating_input(inputs: object, shape: tuple[int, ...]) -> None:
    assert of_inputs(torch.ones(shape), inputs).shape == shape
    assert of_inputs(torch.ones(shape[1:]), inputs).shape == shape


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (torch.ones(4, 3, 4), r"The mask has shape \(4, 3, 4\); expected \(4, 3, 5\).* or \(3, 5\)"),
        (torch.ones(3, 3, 5), r"The mask has shape \(3, 3, 5\)"),
        (torch.full((3, 5), 0.5), r"A mask holds True or False \(or 1 and 0\); other values were found"),
        (torch.full((3, 5), 2), r"A mask holds True or False"),
        (torch.full((3, 5), torch.nan), r"A mask holds True or False"),
        (torch.zeros(4, 3, 5), "The mask is empty in all samples"),
    ],
)
def test_what_is_no_mask(mask: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        of_inputs(mask, X)


@pytest.mark.parametrize(
    "make",
    [
        lambda masks: masks,
        lambda masks: masks.numpy(),
        lambda masks: lambda index: masks[index],
        lambda masks: lambda index: masks[index].numpy(),
    ],
    ids=["tensor", "array", "function", "function_array"],
)
def test_masks_of_a_data_set_follow_the_items(make: object) -> None:
    masks = torch.rand(20, 3, 5, generator=torch.Generator().manual_seed(0)) < 0.5
    assert torch.equal(of_items(make(masks), [7, 2, 2, 19], 20, X), masks[[7, 2, 2, 19]])


def test_one_mask_for_all_items_also_where_its_height_is_their_number() -> None:
    mask = torch.eye(3, 5) > 0
    for total in (20, 3):
        assert torch.equal(of_items(mask, [0, 1], total, X), mask)


def test_without_a_mask_there_is_none() -> None:
    assert of_inputs(None, X) is None
    assert of_items(None, [0], 1, X) is None
