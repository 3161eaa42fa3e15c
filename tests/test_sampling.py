import random
from collections import Counter, namedtuple
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import (
    BatchSampler,
    ConcatDataset,
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    Sampler,
    Subset,
    TensorDataset,
)

from lightning_explain import ProbeSet
from lightning_explain.inputs import leaves

Item = namedtuple("Item", ["x", "label"])


class Items(Dataset[Any]):
    """Items of any kind, counted as they are read."""

    def __init__(self, items: list[Any], **attributes: Any) -> None:
        self.items, self.read = items, 0
        vars(self).update(attributes)

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Any:
        self.read += 1
        return self.items[index]


class Stream(IterableDataset[Any]):
    def __iter__(self) -> Iterator[tuple[Tensor, int]]:
        return ((torch.full((2,), float(i)), i) for i in range(10))


def x(i: int) -> Tensor:
    return torch.full((2,), float(i))


@pytest.mark.parametrize(
    ("item", "kind", "label"),
    [
        (lambda i: x(i), Tensor, None),
        (lambda i: (x(i),), Tensor, None),
        (lambda i: (x(i), i % 2), Tensor, torch.int64),
        (lambda i: [x(i), i % 2], Tensor, torch.int64),
        (lambda i: Item(x(i), i % 2), Tensor, torch.int64),
        (lambda i: (x(i), torch.tensor(i % 2)), Tensor, torch.int64),
        (lambda i: (x(i), np.int64(i % 2)), Tensor, torch.int64),
        (lambda i: (x(i).numpy(), i % 2), Tensor, torch.int64),
        (lambda i: (x(i), 0.5 * i), Tensor, torch.float64),
        (lambda i: (x(i), torch.tensor([0.5 * i, 1.0])), Tensor, torch.float32),
        (lambda i: (x(i), torch.tensor([i % 2, 1])), Tensor, torch.int64),
        (lambda i: (x(i), x(2 * i), i % 2), tuple, torch.int64),
        (lambda i: ((x(i), x(2 * i)), i % 2), tuple, torch.int64),
        (lambda i: ({"a": x(i), "b": x(2 * i)}, i % 2), dict, torch.int64),
        (lambda i: {"a": x(i), "b": x(2 * i)}, dict, None),
        (lambda i: {"a": x(i), "label": i % 2, "b": x(2 * i)}, dict, torch.int64),
        (lambda i: {"a": x(i), "labels": i % 2}, dict, torch.int64),
        (lambda i: {"a": x(i), "target": 0.5 * i}, dict, torch.float64),
        (lambda i: {"y": i % 2, "a": x(i)}, dict, torch.int64),
    ],
)
def test_items_of_many_forms(item: Any, kind: type, label: torch.dtype | None) -> None:
    data = Items([item(i) for i in range(10)])
    ordered = torch.stack([x(i) for i in range(10)])
    for probe, order in (
        (ProbeSet.from_dataset(data, 10, target=0), False),  # one of each class in turn
        (ProbeSet.from_dataset(data, 10, stratify=False, target=0), True),
        (ProbeSet.from_dataloader(DataLoader(data, batch_size=4), 10, target=0), True),
    ):
        assert isinstance(probe.inputs, kind)
        read = leaves(probe.inputs)[0].float()
        assert torch.equal(read if order else read.sort(dim=0).values, ordered)
        if kind is not Tensor and len(leaves(probe.inputs)) > 1:
            assert torch.equal(leaves(probe.inputs)[1], 2 * leaves(probe.inputs)[0])
        assert (probe.label is None) == (label is None)
        assert label is None or probe.label.dtype == label
        assert probe.inputs is not None


def test_stratified_samples_come_one_of_each_class_in_turn() -> None:
    data = TensorDataset(torch.randn(30, 2), torch.arange(30) // 10)
    assert ProbeSet.from_dataset(data, 7).label.tolist() == [0, 1, 2, 0, 1, 2, 0]


LABELS = [0] * 14 + [1] * 4 + [2] * 2


@pytest.mark.parametrize(
    ("data", "reads_all"),
    [
        (lambda: Items([(x(i), label) for i, label in enumerate(LABELS)]), True),
        (lambda: Items([{"a": x(i), "label": torch.tensor(label)} for i, label in enumerate(LABELS)]), True),
        (lambda: Items([(x(i), label) for i, label in enumerate(LABELS)], targets=LABELS), False),
        (lambda: Items([(x(i), label) for i, label in enumerate(LABELS)], targets=torch.tensor(LABELS)), False),
        (lambda: Items([(x(i), label) for i, label in enumerate(LABELS)], labels=np.array(LABELS)), False),
        (lambda: Items([(x(i), label) for i, label in enumerate(LABELS)], targets=["one", "two", "three"]), True),
    ],
)
def test_classes_are_drawn_evenly(data: Any, reads_all: bool) -> None:
    items = data()
    probe = ProbeSet.from_dataset(items, 9)
    assert Counter(probe.label.tolist()) == {0: 4, 1: 3, 2: 2}
    assert items.read == (29 if reads_all else 9)
    subset = Subset(data(), [19, 3, 2, 1, 0, 18])
    assert Counter(ProbeSet.from_dataset(subset, 3).label.tolist()) == {0: 2, 2: 1}
    joined = ConcatDataset([data(), data()])
    assert Counter(ProbeSet.from_dataset(joined, 12).label.tolist()) == {0: 4, 1: 4, 2: 4}


def test_names_of_classes_are_classes_too() -> None:
    words = ["cat", "dog", "dog", "dog"] * 5
    data = Items([(x(i), len(word)) for i, word in enumerate(words)], labels=words)
    chosen = ProbeSet.from_dataset(data, 10).inputs[:, 0].long().tolist()
    assert Counter(words[i] for i in chosen) == {"cat": 5, "dog": 5}


def test_without_strata_every_item_has_the_same_chance() -> None:
    data = TensorDataset(torch.arange(20.0).view(20, 1), torch.tensor(LABELS))
    counts: Counter[int] = Counter()
    for seed in range(300):
        counts.update(ProbeSet.from_dataset(data, 5, stratify=False, seed=seed).label.tolist())
    assert counts[0] / 1500 == pytest.approx(14 / 20, abs=0.04)
    assert counts[2] / 1500 == pytest.approx(2 / 20, abs=0.03)


@pytest.mark.parametrize("size", [0, -1])
def test_nothing_cannot_be_drawn(size: int) -> None:
    data = TensorDataset(torch.zeros(3, 2))
    message = f"The probe set is empty: size must be at least 1, got {size}"
    with pytest.raises(ValueError, match=message):
        ProbeSet.from_dataset(data, size)
    with pytest.raises(ValueError, match=message):
        ProbeSet.from_dataloader(DataLoader(data), size)


def test_a_probe_set_is_not_larger_than_the_data() -> None:
    data = TensorDataset(torch.zeros(3, 2))
    message = "The probe set is larger than the data: size=4, but there are 3 samples"
    with pytest.raises(ValueError, match=message):
        ProbeSet.from_dataset(data, 4)
    with pytest.raises(ValueError, match=message):
        ProbeSet.from_dataloader(DataLoader(data, batch_size=2), 4)
    with pytest.raises(ValueError, match="size=4, but there are 0 samples"):
        ProbeSet.from_dataloader(DataLoader(TensorDataset(torch.zeros(0, 2)), batch_size=2), 4)


def test_streams_have_no_length() -> None:
    with pytest.raises(
        TypeError, match="from_dataset needs a data set with a length; for a stream use from_dataloader"
    ):
        ProbeSet.from_dataset(Stream(), 2)
    probe = ProbeSet.from_dataloader(DataLoader(Stream(), batch_size=4), 6)
    assert probe.label.tolist() == [0, 1, 2, 3, 4, 5]


def test_labels_are_numbers() -> None:
    data = Items([(x(i), "cat") for i in range(4)])
    with pytest.raises(TypeError, match="Labels must be numbers, got 'cat'"):
        ProbeSet.from_dataset(data, 2)


class Noisy(Dataset[Any]):
    """Random transforms that draw from all three global generators."""

    targets = [0, 1] * 5

    def __len__(self) -> int:
        return 10

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return torch.rand(2) + random.random() + np.random.rand() + index, index % 2


def states() -> tuple[object, ...]:
    return random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()


def test_random_transforms_move_no_state_and_give_the_same_each_time() -> None:
    before = states()
    probes = [ProbeSet.from_dataset(Noisy(), 4) for _ in range(2)]
    loaded = [ProbeSet.from_dataloader(DataLoader(Noisy(), batch_size=2, shuffle=True), 4) for _ in range(2)]
    assert states() == before
    assert probes[0].identity == probes[1].identity
    assert loaded[0].identity == loaded[1].identity
    assert (probes[0].inputs[:, 0] != probes[0].inputs[:, 0].round()).all()


class Batches(Sampler[list[int]]):
    """A batch sampler of the user's, around a random sampler."""

    def __init__(self, sampler: Sampler[int]) -> None:
        self.sampler = sampler

    def __iter__(self) -> Iterator[list[int]]:
        return iter(BatchSampler(self.sampler, 4, drop_last=False))

    def __len__(self) -> int:
        return 3


@pytest.mark.parametrize(
    "make",
    [
        lambda data, g: DataLoader(data, batch_size=4, shuffle=True, generator=g),
        lambda data, g: DataLoader(data, batch_size=4, sampler=RandomSampler(data, generator=g)),
        lambda data, g: DataLoader(data, batch_sampler=Batches(RandomSampler(data, generator=g))),
        lambda data, g: DataLoader(data, batch_size=None, sampler=RandomSampler(data, generator=g)),
    ],
    ids=["loader", "sampler", "batch_sampler", "no_batches"],
)
def test_a_loader_goes_on_as_if_nothing_had_happened(make: Any) -> None:
    data = TensorDataset(torch.arange(12.0).view(12, 1), torch.arange(12))
    if make(data, None).batch_size is None and make(data, None).batch_sampler is None:
        data = Items([(torch.full((3, 1), float(i)), torch.full((3,), i)) for i in range(12)])  # batches themselves
    generator = torch.Generator().manual_seed(3)
    expected = [batch[1].tolist() for batch in make(data, torch.Generator().manual_seed(3))]
    loader = make(data, generator)
    state = generator.get_state()
    probe = ProbeSet.from_dataloader(loader, 6)
    assert torch.equal(generator.get_state(), state)
    assert [batch[1].tolist() for batch in loader] == expected
    assert probe.label.tolist() == [label for batch in expected for label in batch][:6]  # what the loader gives first


def test_workers_are_not_started() -> None:
    class Watched(DataLoader[Any]):
        started = False

        def __iter__(self) -> Any:
            self.started = True
            return super().__iter__()

    data = TensorDataset(torch.arange(12.0).view(12, 1), torch.arange(12))
    loader = Watched(data, batch_size=5, num_workers=2, persistent_workers=True)
    probe = ProbeSet.from_dataloader(loader, 7)
    assert probe.label.tolist() == list(range(7))
    assert not loader.started
    assert loader._iterator is None


def test_collate_functions_are_used() -> None:
    def collate(items: list[tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
        return {"doubled": 2 * torch.stack([item[0] for item in items]), "y": torch.stack([item[1] for item in items])}

    data = TensorDataset(torch.arange(6.0).view(6, 1), torch.arange(6))
    probe = ProbeSet.from_dataloader(DataLoader(data, batch_size=4, collate_fn=collate), 5)
    assert probe.inputs["doubled"].flatten().tolist() == [0, 2, 4, 6, 8]
    assert probe.label.tolist() == [0, 1, 2, 3, 4]
