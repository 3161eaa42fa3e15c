"""The values of tensors, taken down and put back."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

Pair: TypeAlias = tuple[Tensor, Tensor]
"""A tensor, and the value that it had."""

POOLED = 2**16
"""The most elements of a tensor that is copied and compared with others: those of larger ones cost more than a call."""


@dataclass(frozen=True)
class Values:
    """The values of some tensors.

    Most buffers of a model are small and nobody writes to them. Those of one type are copied, and compared, as one:
    what costs is calls, and launches on a GPU.

    Args:
        pools: Small tensors.
        single: The others, each with its value.
    """

    pools: list[_Pool]
    single: list[Pair]

    @classmethod
    def of(cls, tensors: Iterable[Tensor]) -> Values:
        """Take down the values of tensors; one that comes twice is taken down once.

        Returns:
            Their values.
        """
        pools: dict[tuple[torch.device, torch.dtype], list[Tensor]] = defaultdict(list)
        single: list[Pair] = []
        for tensor in {id(tensor): tensor for tensor in tensors}.values():
            if _is_pooled(tensor):
                pools[tensor.device, tensor.dtype].append(tensor)
            else:
                single.append((tensor, tensor.detach().clone()))
        return cls([_Pool.of(pool) for pool in pools.values()], single)

    def restore(self) -> bool:
        """Write back what was written to, and nothing else: others may count how often a tensor is.

        Returns:
            Whether anything was.
        """
        whole = [pool.is_whole for pool in self.pools]
        pairs = [(pool.joined, pool.values) for pool, fits in zip(self.pools, whole, strict=True) if fits]
        differ = iter(_differ([*pairs, *self.single]))
        written = [pool for pool, fits in zip(self.pools, whole, strict=True) if not fits or next(differ)]
        changed = [pair for pair in self.single if next(differ)]
        apart = [pair for pool in written for pair in pool.apart()]
        changed += [pair for pair, differs in zip(apart, _differ(apart), strict=True) if differs]
        for tensor, value in changed:
            if tensor.shape != value.shape:
                tensor.resize_(value.shape)
            tensor.copy_(value)
        return bool(changed)


@dataclass(frozen=True)
class _Pool:
    tensors: list[Tensor]
    shapes: list[torch.Size]
    values: Tensor

    @classmethod
    def of(cls, tensors: list[Tensor]) -> _Pool:
        return cls(tensors, [tensor.shape for tensor in tensors], _joined(tensors))

    @property
    def is_whole(self) -> bool:
        """Whether the tensors are still of the shapes and the type that they were taken down in."""
        device, dtype = self.values.device, self.values.dtype
        return all(
            tensor.shape == shape and tensor.dtype == dtype and tensor.device == device
            for tensor, shape in zip(self.tensors, self.shapes, strict=True)
        )

    @property
    def joined(self) -> Tensor:
        return _joined(self.tensors)

    def apart(self) -> list[Pair]:
        parts = self.values.split([shape.numel() for shape in self.shapes])
        return [(t, part.view(shape)) for t, part, shape in zip(self.tensors, parts, self.shapes, strict=True)]


def _is_pooled(tensor: Tensor) -> bool:
    if type(tensor) is not Tensor or tensor.layout != torch.strided or tensor.is_meta or tensor.is_quantized:
        return False
    return 0 < tensor.numel() <= POOLED


def _joined(tensors: list[Tensor]) -> Tensor:
    with torch.no_grad():  # most are vectors, and a view costs more than looking
        return torch.cat([tensor if tensor.ndim == 1 else tensor.reshape(-1) for tensor in tensors])


def _differ(pairs: list[Pair]) -> list[bool]:
    # What cannot be compared counts as different; then the copy does no harm.
    compared = [_is_comparable(*pair) for pair in pairs]
    answers = iter(_elements_differ([pair for pair, alike in zip(pairs, compared, strict=True) if alike]))
    return [not alike or next(answers) for alike in compared]


def _is_comparable(tensor: Tensor, value: Tensor) -> bool:
    return tensor.layout == torch.strided and not tensor.is_meta and tensor.shape == value.shape


def _elements_differ(pairs: list[Pair]) -> list[bool]:
    if all(tensor.device.type == "cpu" for tensor, _ in pairs):
        return [not torch.equal(*pair) and bool(_elsewhere(*pair).any()) for pair in pairs]
    # A GPU is asked for all answers at once, for each question waits for all that was launched.
    flags = [_elsewhere(*pair).any() for pair in pairs]
    return torch.stack([flag.to(pairs[0][0].device) for flag in flags]).tolist()


def _elsewhere(tensor: Tensor, value: Tensor) -> Tensor:
    # A NaN that was there before is no difference: elements that share memory cannot be written to.
    return (tensor != value) & ((tensor == tensor) | (value == value))
