"""DeepLift's products: the gradient half-way, however it is computed."""

import pytest
import torch
from torch import Tensor

from lightning_explain.attribution.rules.operator import Call
from lightning_explain.attribution.rules.pair import Pair
from lightning_explain.attribution.rules.products import GRADIENTS, midpoint

SHAPES = {
    "mul": [((2, 3, 4), (2, 3, 4)), ((2, 3, 4), (3, 1)), ((1, 4), (5, 1, 4))],
    "matmul": [((2, 3, 4), (2, 4, 5)), ((3, 4), (2, 4, 5)), ((2, 1, 3, 4), (5, 4, 2)), ((2, 3, 4), (4,))],
    "bmm": [((2, 3, 4), (2, 4, 5))],
    "mm": [((3, 4), (4, 5))],
}


def pair(name: str, shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> Pair:
    torch.manual_seed(0)
    now, then = (tuple(torch.randn(shape, dtype=torch.float64) for shape in shapes) for _ in range(2))
    function = getattr(torch, name)
    calls = [Call(name, function, args, {}) for args in (now, then)]
    return Pair(*calls, (0, 1), function(*now), function(*then), 1e-10)


@pytest.mark.parametrize(("name", "shapes"), [(name, pair) for name in SHAPES for pair in SHAPES[name]])
def test_what_is_written_out_is_the_gradient(name: str, shapes, monkeypatch: pytest.MonkeyPatch) -> None:
    given = pair(name, shapes)
    gradient: Tensor = torch.randn_like(given.out)
    found = midpoint(given)(gradient)
    monkeypatch.delitem(GRADIENTS, name)
    torch.testing.assert_close(found, midpoint(given)(gradient))
    difference = sum((part * (a - a0)).sum() for part, a, a0 in zip(found, given.inputs, given.inputs0, strict=True))
    torch.testing.assert_close(difference, (gradient * (given.out - given.out0)).sum())
