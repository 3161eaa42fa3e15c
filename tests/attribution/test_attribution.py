import dataclasses

import pytest
import torch

from lightning_explain import Attribution, Input

A, B = torch.zeros(2, 3), torch.ones(2, 4)


@pytest.mark.parametrize(
    ("point", "names", "keyed", "expected"),
    [
        ((A,), ("input",), False, A),
        ((A, B), ("input[0]", "input[2]"), False, (A, B)),
        ((A,), ("x",), True, {"x": A}),
        ((A, B), ("x", "y"), True, {"x": A, "y": B}),
    ],
)
def test_values_are_packed_like_the_inputs(point: object, names: object, keyed: bool, expected: object) -> None:
    found = Attribution(point, names, "saliency", Input(), None, torch.zeros(2), keyed=keyed)
    assert type(found.values) is type(expected)
    flat, wanted = (v.values() if isinstance(v, dict) else v for v in (found.values, expected))
    assert all(left is right for left, right in zip(flat, wanted, strict=True)) or found.values is expected


def test_attributions_are_frozen_and_compared_by_identity() -> None:
    found = Attribution((A,), ("input",), "saliency", Input(), None, torch.zeros(2))
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot assign"):
        found.delta = A
    assert found == found
    assert found != dataclasses.replace(found)
