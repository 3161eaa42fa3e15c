"""Reading samples from data sets and loaders without moving any random state of the user's."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from contextlib import contextmanager
from itertools import zip_longest
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset, default_collate

from lightning_explain.inputs import Inputs, batch_size, is_continuous, leaves, rebuild
from lightning_explain.randomness import isolated

LABEL_KEYS = ("label", "labels", "target", "y")
NUMBERS = (int, float, np.generic, np.ndarray, Tensor)


def draw(dataset: Dataset[Any], size: int, *, stratify: bool, seed: int) -> list[int]:
    """Draw ``size`` indices of a data set, if asked the same number of each class.

    Returns:
        The indices, ascending; stratified: one of each class in turn.

    Raises:
        TypeError: If the data set has no length.
        ValueError: If ``size`` is less than 1 or more than there are items.
    """
    if isinstance(dataset, IterableDataset) or not isinstance(dataset, Sized):
        raise TypeError("from_dataset needs a data set with a length; for a stream use from_dataloader.")
    _check_size(size, len(dataset))
    order = torch.randperm(len(dataset), generator=torch.Generator().manual_seed(seed)).tolist()
    labels = class_labels(dataset, seed) if stratify else None
    if labels is None:
        return sorted(order[:size])
    classes: dict[int | str, list[int]] = {}
    for index in order:
        classes.setdefault(labels[index], []).append(index)
    rounds = zip_longest(*(classes[label] for label in sorted(classes)))
    return [index for turn in rounds for index in turn if index is not None][:size]


def class_labels(dataset: Dataset[Any], seed: int = 0) -> list[int | str] | None:
    """The class of every item: from the data set's own list where it keeps one, else item by item.

    Returns:
        A label for each item; None if the items carry no class.
    """
    if isinstance(dataset, Subset):
        of_all = class_labels(dataset.dataset, seed)
        return None if of_all is None else [of_all[i] for i in dataset.indices]
    for kept in (getattr(dataset, "targets", None), getattr(dataset, "labels", None), _last_tensor(dataset)):
        if kept is not None and len(kept) == len(dataset):  # type: ignore[arg-type]
            return _classes(kept)
    with isolated(seed):
        return _classes(_split(dataset[i])[1] for i in range(len(dataset)))  # type: ignore[arg-type]


def collect(dataset: Dataset[Any], indices: Sequence[int], seed: int = 0) -> tuple[Inputs, Tensor | None]:
    """Read items, as a batch.

    Returns:
        Inputs and labels, if the items have labels.
    """
    with isolated(seed):
        return _batch(default_collate([dataset[i] for i in indices]))


def first(dataloader: DataLoader[Any], size: int) -> tuple[Inputs, Tensor | None]:
    """The first ``size`` samples of a loader, read in this process, its own generators restored.

    The loader itself is not iterated: one with persistent workers would keep the iterator.

    Returns:
        Inputs and labels, if the batches have labels.

    Raises:
        ValueError: If the loader gives fewer samples.
    """
    _check_size(size, None)
    parts: list[tuple[Inputs, Tensor | None]] = []
    found = 0
    with isolated(0), _restored(dataloader):
        for batch in _in_this_process(dataloader):
            parts.append(_batch(batch))
            found += batch_size(parts[-1][0])
            if found >= size:
                break
    if found < size:
        _check_size(size, found)
    point = tuple(torch.cat(tensors)[:size] for tensors in zip(*(leaves(part) for part, _ in parts), strict=True))
    labels = [label for _, label in parts if label is not None]
    return rebuild(parts[0][0], point), torch.cat(labels)[:size] if labels else None


def batches(dataloader: Iterable[Any]) -> Iterator[tuple[Inputs, Tensor | None]]:
    """All batches of a loader, its own generators restored at the end.

    Yields:
        Inputs and labels, if the batches have labels.
    """
    with _restored(dataloader):
        for batch in dataloader:
            yield _batch(batch)


def _check_size(size: int, available: int | None) -> None:
    if size < 1:
        raise ValueError(f"The probe set is empty: size must be at least 1, got {size}.")
    if available is not None and size > available:
        raise ValueError(f"The probe set is larger than the data: size={size}, but there are {available} samples.")


def _split(item: object) -> tuple[Any, Any]:
    if isinstance(item, Mapping):
        found = [key for key in LABEL_KEYS if key in item]
        return {key: item[key] for key in item if key not in found[:1]}, item[found[0]] if found else None
    if isinstance(item, (tuple, list)):
        if len(item) == 1:
            return item[0], None
        return (item[0] if len(item) == 2 else tuple(item[:-1])), item[-1]
    return item, None


def _batch(batch: object) -> tuple[Inputs, Tensor | None]:
    inputs, label = _split(batch)
    if isinstance(inputs, list):  # what collating makes of the tuples of items
        inputs = tuple(inputs)
    one = label[0] if isinstance(label, (list, tuple)) and label else label
    if isinstance(one, (str, Mapping)):
        raise TypeError(f"Labels must be numbers, got {one!r}; give the items a numeric label, or none.")
    return inputs, None if label is None else torch.as_tensor(label)


def _classes(labels: Iterable[object]) -> list[int | str] | None:
    found: list[int | str] = []
    for label in labels:
        if isinstance(label, str):
            found.append(label)
            continue
        number = torch.as_tensor(label) if isinstance(label, NUMBERS) else None
        if number is None or number.numel() != 1 or is_continuous(number):
            return None
        found.append(int(number))
    return found


def _last_tensor(dataset: Dataset[Any]) -> Tensor | None:
    tensors: Sequence[Tensor] = getattr(dataset, "tensors", ())
    return tensors[-1] if len(tensors) > 1 else None


def _in_this_process(dataloader: DataLoader[Any]) -> DataLoader[Any]:
    if isinstance(dataloader.dataset, IterableDataset):
        order: dict[str, Any] = {"batch_size": dataloader.batch_size, "drop_last": dataloader.drop_last}
    elif dataloader.batch_sampler is None:
        order = {"batch_size": None, "sampler": dataloader.sampler}
    else:
        order = {"batch_sampler": dataloader.batch_sampler}
    return DataLoader(
        dataloader.dataset, **order, collate_fn=dataloader.collate_fn, generator=dataloader.generator, num_workers=0
    )


@contextmanager
def _restored(dataloader: Iterable[Any]) -> Iterator[None]:
    sampler, grouped = (getattr(dataloader, name, None) for name in ("sampler", "batch_sampler"))
    owners = (dataloader, sampler, grouped, getattr(grouped, "sampler", None))
    generators = {id(g): g for o in owners if isinstance(g := getattr(o, "generator", None), torch.Generator)}
    states = {key: generator.get_state() for key, generator in generators.items()}
    try:
        yield
    finally:
        for key, generator in generators.items():
            generator.set_state(states[key])
