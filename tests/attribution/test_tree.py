from collections import OrderedDict, namedtuple

import torch
from cases import ModelOutput

from lightning_explain.attribution.tree import map_tensors, tensors

Pair = namedtuple("Pair", ["left", "right"])


def test_every_floating_tensor_is_changed_and_all_else_stays() -> None:
    ids, flag, marker = torch.arange(2), torch.tensor([True]), object()
    tree = ModelOutput(
        a=[torch.zeros(1), None, ids],
        b=Pair(torch.ones(1), (marker, torch.ones(2, dtype=torch.bfloat16))),
        c=OrderedDict(d=flag, e=torch.full((1,), 3.0, dtype=torch.float64)),
    )
    seen: list[float] = []
    found = map_tensors(tree, lambda t: seen.append(float(t.flatten()[0])) or t + 1)
    assert seen == [0, 1, 1, 3]  # in order
    assert type(found) is ModelOutput
    assert isinstance(found.b, Pair)
    assert isinstance(found.c, OrderedDict)
    assert found.a[0].item() == 1
    assert found.a[1] is None
    assert found.a[2] is ids
    assert found.b.left.item() == 2
    assert found.b.right[0] is marker
    assert found.b.right[1].dtype == torch.bfloat16
    assert found.c["d"] is flag
    assert found.c["e"].item() == 4
    assert tree.a[0].item() == 0  # the original is not touched


def test_types_of_sequences_stay() -> None:
    class Named(list[torch.Tensor]):
        first = property(lambda self: self[0])

    class Twice(tuple[torch.Tensor, ...]):
        __slots__ = ()
        first = property(lambda self: self[0])

    maximum = torch.max(torch.tensor([[1.0, 2.0]]), dim=1)
    changed = map_tensors((maximum, Named([torch.zeros(1)]), Twice([torch.ones(1)])), lambda t: t + 1)
    assert (changed[0].values.item(), changed[0].indices.item()) == (3, 1)
    assert (changed[1].first.item(), changed[2].first.item()) == (1, 2)


def test_leaves_of_other_kinds_are_passed_through() -> None:
    for leaf in (None, "text", 3, torch.arange(3), torch.ones(1, dtype=torch.complex64)):
        assert map_tensors(leaf, lambda t: t + 1) is leaf


def test_floating_point_tensors_are_found_in_order_or_all() -> None:
    ids, numbers = torch.arange(3), torch.ones(1)
    tree = [ids, {"a": numbers, "b": (None, ids)}]
    assert list(map(id, tensors(tree))) == [id(numbers)]
    assert list(map(id, tensors(tree, every=True))) == [id(ids), id(numbers), id(ids)]
    assert tensors(None) == []
    assert torch.equal(map_tensors((ids, 3), lambda t: t + 1, every=True)[0], ids + 1)
