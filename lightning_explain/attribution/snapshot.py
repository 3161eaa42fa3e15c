"""What the modules of a model keep in their attributes, taken down and put back."""

from __future__ import annotations

import copy
import random
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

Restore = Callable[[], None]

_CONTAINERS = frozenset({dict, OrderedDict, list, set, deque})
_STATELESS = frozenset({type(None), bool, int, float, complex, str, bytes, torch.dtype, torch.device})


@dataclass(frozen=True)
class Snapshot:
    """The contents of all containers (training flags, hooks and buffers live in some), tensors and generators.

    Args:
        restores: What puts each of them back, in place: the objects stay the same.
    """

    restores: list[Restore]

    @classmethod
    def of(cls, modules: Sequence[nn.Module]) -> Snapshot:
        """Take down what is reachable from the attributes of a model's modules through containers.

        Containers are taken down with what they hold, tensors with their values only where they are buffers or
        attributes themselves: the outputs that a module collects over a validation may be as large as its data.
        Parameters are left out, and so is what other objects keep to themselves.

        Returns:
            The snapshot.
        """
        # Most containers of most modules are empty: they need no copy, and only one look each.
        empty, held = list[Any](), list[object]()
        for thing in _reachable([vars(module) for module in modules]):
            (empty if type(thing) in _CONTAINERS and not thing else held).append(thing)
        tensors = {id(tensor): tensor for module in modules for tensor in _own_tensors(module)}
        restores = [restore for thing in held if (restore := _restore(thing)) is not None]
        values = [(tensor, tensor.detach().clone()) for tensor in tensors.values()]
        return cls([partial(_empty, empty), *restores, partial(_rewrite, values)])

    def restore(self) -> None:
        """Put everything back."""
        with torch.no_grad():
            for restore in self.restores:
                restore()


def _reachable(roots: list[dict[str, Any]]) -> Iterator[object]:
    waiting: list[object] = [*roots]
    seen: dict[int, object] = {}
    while waiting:
        found = waiting.pop()
        if type(found) in _STATELESS or id(found) in seen or isinstance(found, Tensor):
            continue
        seen[id(found)] = found  # kept alive: else another object could get its number
        yield found
        if isinstance(found, dict):
            waiting.extend(found.values())
        elif isinstance(found, (list, tuple, set, deque)):
            waiting.extend(found)


def _own_tensors(module: nn.Module) -> Iterator[Tensor]:
    yield from (buffer for buffer in module._buffers.values() if buffer is not None)  # noqa: SLF001
    yield from (value for value in vars(module).values() if isinstance(value, Tensor))


def _restore(thing: object) -> Restore | None:
    make = _maker(type(thing))  # type: ignore[arg-type]  # a type can be hashed
    return None if make is None else make(thing)


@lru_cache(maxsize=256)  # for no longer than that are classes kept alive
def _maker(kind: type) -> Callable[[Any], Restore | None] | None:
    return next((make for known, make in _MAKERS if issubclass(kind, known)), None)


def _empty(containers: list[Any]) -> None:
    for container in containers:
        if container:
            container.clear()


def _refill_dict(held: dict[object, object], before: dict[object, object]) -> None:
    same = len(held) == len(before) and all(a is b and held[a] is before[b] for a, b in zip(held, before, strict=True))
    if not same:
        held.clear()
        held.update(before)


def _refill(held: list[object] | set[object] | deque[object], before: list[object]) -> None:
    if len(held) == len(before) and all(a is b for a, b in zip(held, before, strict=True)):
        return
    held.clear()
    if isinstance(held, set):
        held.update(before)
    else:
        held.extend(before)


def _rewrite(values: list[tuple[Tensor, Tensor]]) -> None:
    # Only what was written to: others may count how often a tensor is.
    for tensor, value in values:
        if tensor.shape != value.shape:
            tensor.resize_(value.shape)
    for (tensor, value), changed in zip(values, _changed(values), strict=True):
        if changed:
            tensor.copy_(value)


def _changed(values: list[tuple[Tensor, Tensor]]) -> list[bool]:
    # What cannot be compared counts as changed; then the copy does no harm.
    compared = [tensor.layout == torch.strided and not tensor.is_meta for tensor, _ in values]
    pairs = [pair for pair, alike in zip(values, compared, strict=True) if alike]
    found = iter(_differ(pairs))
    return [next(found) if alike else True for alike in compared]


def _differ(pairs: list[tuple[Tensor, Tensor]]) -> list[bool]:
    if all(tensor.device.type == "cpu" for tensor, _ in pairs):
        return [not torch.equal(*pair) and bool(_elsewhere(*pair).any()) for pair in pairs]
    # A GPU is asked for all answers at once, for each question waits for all that was launched.
    flags = [_elsewhere(*pair).any() for pair in pairs]
    return torch.stack([flag.to(pairs[0][0].device) for flag in flags]).tolist()


def _elsewhere(tensor: Tensor, value: Tensor) -> Tensor:
    # A NaN that was there before is no difference: elements that share memory cannot be written to.
    return (tensor != value) & ((tensor == tensor) | (value == value))


# The first that fits; what is none of these (a number, somebody's object) is left alone.
_MAKERS: list[tuple[type | tuple[type, ...], Callable[[Any], Restore | None]]] = [
    (dict, lambda held: partial(_refill_dict, held, dict(held))),
    ((list, set, deque), lambda held: partial(_refill, held, list(held))),
    (torch.Generator, lambda generator: partial(generator.set_state, generator.get_state())),
    (random.Random, lambda generator: partial(generator.setstate, generator.getstate())),
    (np.random.RandomState, lambda generator: partial(generator.set_state, generator.get_state())),
    (np.random.Generator, lambda generator: partial(setattr, generator.bit_generator, "state", _bits(generator))),
]


def _bits(generator: np.random.Generator) -> object:
    return copy.deepcopy(generator.bit_generator.state)
