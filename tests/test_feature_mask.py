import pytest
import torch

from lightning_explain.feature_mask import match, of_inputs, of_items, select

PICTURE, TABLE = torch.zeros(4, 3, 5, 6), torch.zeros(4, 7)


@pytest.mark.parametrize(
    "shape", [(1, 3, 5, 6), (4, 3, 5, 6), (1, 1, 5, 6), (4, 1, 5, 6), (1, 1, 1, 1), (4, 3, 1, 1), (1, 3, 5, 1)]
)
@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32, torch.int64])
def test_what_fits(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    mask = torch.ones(shape, dtype=dtype)
    assert match(mask, ["input"], (PICTURE,)) == (mask,)
    other = torch.zeros(1, 7, dtype=torch.long)
    assert match((mask, other), ["a", "b"], (PICTURE, TABLE)) == (mask, other)
    assert match({"b": other, "a": mask}, ["a", "b"], (PICTURE, TABLE)) == (mask, other)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((5, 6), r"has shape \(5, 6\); expected \(4 or 1, 3 or 1, 5 or 1, 6 or 1\), for photo of shape \(4, 3, 5, 6\)"),
        ((3, 5, 6), r"has shape \(3, 5, 6\)"),
        ((2, 3, 5, 6), r"has shape \(2, 3, 5, 6\)"),
        ((1, 3, 6, 5), r"has shape \(1, 3, 6, 5\)"),
        ((1, 2, 5, 6), r"has shape \(1, 2, 5, 6\)"),
        ((), r"has shape \(\)"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match="The feature mask of photo " + message):
        match(torch.zeros(shape, dtype=torch.long), ["photo"], (PICTURE,))


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (torch.zeros(1, 7), "must hold integers, equal where elements are one feature; got torch.float32"),
        (torch.zeros(1, 7, dtype=torch.bool), r"got torch.bool\. For two features, True and False, give mask.long"),
        (torch.zeros(1, 7, dtype=torch.complex64), "got torch.complex64"),
        (([0] * 7,), "must be a tensor of integers, got list"),
    ],
)
def test_masks_hold_integers(mask: object, message: str) -> None:
    with pytest.raises(TypeError, match=r"The feature mask of table .*" + message):
        match(mask, ["table"], (TABLE,))


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (torch.zeros(1, 7).long(), r"Expected a feature mask for each of \('a', 'b'\), got 1 tensor\(s\)"),
        ({"a": torch.zeros(1, 7).long()}, r"The feature mask is for \['a'\]; expected one for each of \('a', 'b'\)"),
        ({"a": 1, "b": 2, "c": 3}, r"The feature mask is for \['a', 'b', 'c'\]; expected one for each"),
    ],
)
def test_one_mask_for_each_tensor(mask: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        match(mask, ["a", "b"], (TABLE, TABLE))


def test_ids_that_are_held_fixed_need_no_mask() -> None:
    inputs = {"ids": torch.zeros(4, 6, dtype=torch.long), "table": TABLE}
    mask = torch.arange(7, dtype=torch.int16)[None]
    (found,) = of_inputs({"table": mask}, inputs)
    assert found.dtype == torch.long
    assert torch.equal(found, mask)
    assert torch.equal(of_inputs(mask, inputs)[0], mask)
    with pytest.raises(ValueError, match=r"expected one for each of \('table',\)"):
        of_inputs({"table": mask, "ids": mask}, inputs)
    alone = torch.zeros(4, 7, dtype=torch.long)
    assert torch.equal(of_inputs(mask, alone)[0], mask)


def test_selecting_samples() -> None:
    own, shared = torch.arange(4)[:, None].expand(4, 7), torch.zeros(1, 7, dtype=torch.long)
    rows = torch.tensor([3, 1, 3])
    found = select((own, shared), rows, 4)
    assert found[0][:, 0].tolist() == [3, 1, 3]
    assert found[1] is shared
    assert select(shared, torch.tensor([0, 0]), 1) is shared


def test_items_of_a_data_set() -> None:
    own = torch.arange(9)[:, None].expand(9, 7)
    assert of_items(own, [8, 2], 9)[:, 0].tolist() == [8, 2]
    assert of_items(own[:1], [8, 2], 9).shape == (1, 7)
    made = of_items(lambda index: {"a": torch.full((7,), index)}, [8, 2], 9)
    assert made["a"].tolist() == [[8] * 7, [2] * 7]
