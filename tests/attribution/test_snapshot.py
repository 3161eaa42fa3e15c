import random
from collections import deque

import numpy as np
import pytest
import torch
from torch import nn

from lightning_explain.attribution.guard import borrowed
from lightning_explain.attribution.memory import Footprint
from lightning_explain.attribution.snapshot import Snapshot


class Keeper(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2))
        self.register_buffer("mean", torch.zeros(2))
        self.plain = torch.tensor([1.0, float("nan")])
        self.nested = {"list": [1, [2]], "deque": deque([1], maxlen=3), "set": {1}, "tuple": ([3],)}
        self.generators = [torch.Generator().manual_seed(1), random.Random(1), np.random.default_rng(1)]
        self.old = np.random.RandomState(1)
        self.itself = self.nested
        self.nested["loop"] = self.nested


def draws(keeper):
    a, b, c = keeper.generators
    return [float(torch.rand((), generator=a)), b.random(), float(c.random()), float(keeper.old.rand())]


def test_everything_is_put_back_in_place():
    keeper, untouched = Keeper(), draws(Keeper())
    snapshot = Snapshot.of(list(keeper.modules()))
    objects = {key: value for key, value in vars(keeper).items() if not key.startswith("_")}
    draws(keeper)
    keeper.mean.add_(1)
    keeper.plain.add_(1)
    keeper.nested["list"][1].append(5)
    keeper.nested["list"].append(6)
    keeper.nested["deque"].append(2)
    keeper.nested["set"].add(2)
    keeper.nested["tuple"][0].clear()
    keeper.nested["new"] = 1
    keeper.added = 1
    keeper.plain = torch.zeros(1)
    snapshot.restore()
    assert {key: value for key, value in vars(keeper).items() if not key.startswith("_")}.keys() == objects.keys()
    assert all(vars(keeper)[key] is value for key, value in objects.items())
    assert keeper.mean.tolist() == [0, 0]
    assert keeper.plain[0] == 1
    assert keeper.plain[1].isnan()
    assert keeper.nested.pop("loop") is keeper.nested
    assert keeper.nested == {"list": [1, [2]], "deque": deque([1]), "set": {1}, "tuple": ([3],)}
    assert draws(keeper) == untouched


class Shelf:
    def __init__(self):
        self.kept, self.inner = [], None


def test_what_objects_keep_counts_where_it_is_asked_for():
    module = nn.Identity()
    module.shelves, module.type = [Shelf(), Shelf()], Shelf
    module.shelves[0].inner = Shelf()
    modules = list(module.modules())
    without, snapshot = Snapshot.of(modules), Snapshot.of(modules, objects=True)
    assert not snapshot.restore()
    module.shelves[1].kept.append(1)
    module.shelves[0].added = 1
    module.shelves[0].inner.kept.append(1)  # of an object's object
    assert not without.restore()
    assert snapshot.restore()
    assert module.shelves[1].kept == []
    assert not hasattr(module.shelves[0], "added")
    assert module.shelves[0].inner.kept == [1]


def test_parameters_are_left_alone():
    keeper = Keeper()
    snapshot = Snapshot.of(list(keeper.modules()))
    with torch.no_grad():
        keeper.weight.add_(1)
    snapshot.restore()
    assert keeper.weight.tolist() == [2, 2]


def test_a_model_that_writes_to_a_parameter_is_refused():
    class Writes(nn.Linear):
        def forward(self, x):
            with torch.no_grad():
                self.weight.mul_(0.5)
            return super().forward(x)

    model = Writes(2, 2)
    with pytest.raises(RuntimeError, match="forward pass writes to its parameter 'weight'"), borrowed(model):
        model(torch.ones(1, 2))


def test_an_embedding_with_a_largest_norm_keeps_its_weights():
    model = nn.Embedding(3, 4, max_norm=0.1)
    before = model.weight.detach().clone()
    with borrowed(model):
        model(torch.arange(3))
        assert not torch.equal(model.weight, before)
    assert torch.equal(model.weight, before)


def test_what_validation_steps_collected_is_not_copied():
    keeper = Keeper()
    keeper.outputs = [torch.zeros(1000) for _ in range(5)]
    keeper.by_name = {"logits": [torch.zeros(1000)]}
    collected = list(keeper.outputs)
    with Footprint() as footprint:
        snapshot = Snapshot.of(list(keeper.modules()))
    assert footprint.bytes == keeper.mean.nbytes + keeper.plain.nbytes
    keeper.outputs.clear()
    snapshot.restore()
    assert all(a is b for a, b in zip(keeper.outputs, collected, strict=True))


@pytest.mark.parametrize(
    "buffer",
    [
        torch.eye(3).to_sparse(),
        torch.ones(2, device="meta"),
        torch.full((1,), float("nan")).expand(3),
    ],
    ids=["sparse", "without data", "one NaN that stands for three"],
)
def test_buffers_that_cannot_be_compared_or_written_to_do_no_harm(buffer):
    model = nn.Linear(3, 2)
    model.register_buffer("kept", buffer)
    model.register_buffer("mean", torch.zeros(2))
    with borrowed(model):
        model.mean.add_(1)
    assert model.kept is buffer
    assert torch.equal(model.mean, torch.zeros(2))


def test_a_sparse_buffer_is_put_back():
    model = nn.Linear(3, 2)
    model.register_buffer("adjacency", torch.eye(3).to_sparse())
    with borrowed(model):
        model.adjacency.mul_(2)
    assert torch.equal(model.adjacency.to_dense(), torch.eye(3))


def test_a_nan_that_was_there_before_is_not_written_again():
    keeper = Keeper()
    version = keeper.plain._version
    Snapshot.of([keeper]).restore()
    assert keeper.plain._version == version
