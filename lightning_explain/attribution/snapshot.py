"""What the modules of a model keep in their attributes, taken down and put back."""

from __future__ import annotations

import copy
import operator
import random
from collections import OrderedDict, deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lightning_explain.attribution.values import Values

Restore = Callable[[], bool | None]
"""Puts one thing back; says whether it had changed, where that is known."""

_CONTAINERS = frozenset({dict, OrderedDict, list, set, deque})
_HOLDING = (dict, list, tuple, set, deque)
_STATELESS = frozenset({type(None), bool, int, float, complex, str, bytes, torch.dtype, torch.device})
_LEFT_ALONE = _STATELESS | {Tensor, nn.Parameter}  # their values are another matter
_NO_TENSORS = _STATELESS | _CONTAINERS


@dataclass(frozen=True)
class Snapshot:
    """The contents of all containers (training flags, hooks and buffers live in some), tensors and generators.

    Args:
        restores: What puts each of them back, in place: the objects stay the same.
    """

    restores: list[Restore]

    @classmethod
    def of(cls, modules: Sequence[nn.Module], *, objects: bool = False) -> Snapshot:
        """Take down what is reachable from the attributes of a model's modules through containers.

        Containers are taken down with what they hold, tensors with their values only where they are buffers or
        attributes themselves: the outputs that a module collects over a validation may be as large as its data.
        Parameters are left out, and so is what other objects keep to themselves, unless it is asked for.

        Args:
            modules: The modules.
            objects: Whether the attributes of somebody's objects among what the modules hold count, too; not those of
                what these hold in turn.

        Returns:
            The snapshot.
        """
        roots = [vars(module) for module in modules]
        empty, held = _reachable(roots)
        if objects:
            inside = {id(found): found for found in (*roots, *map(_attributes, held)) if found}
            if len(inside) > len(roots):
                empty, held = _reachable(list(inside.values()))
        restores = [restore for thing in held if (restore := _restore(thing)) is not None]
        return cls([partial(_empty, empty), *restores, Values.of(_own_tensors(modules)).restore])

    def restore(self) -> bool:
        """Put everything back.

        Returns:
            Whether anything had changed; generators do not count.
        """
        with torch.no_grad():
            changed = [restore() for restore in self.restores]
        return any(changed)


def _reachable(roots: list[dict[str, Any]]) -> tuple[list[Any], list[object]]:
    # Most containers of most modules are empty: they need no copy, and one look each. Both lists keep what was seen
    # alive, else another object could get its number.
    empty, held, seen = list[Any](), list[object](roots), set(map(id, roots))
    for container in held:  # which grows
        if not isinstance(container, _HOLDING):
            continue
        for found in container.values() if isinstance(container, dict) else container:
            kind = type(found)
            if kind in _LEFT_ALONE:
                continue
            if kind in _CONTAINERS and not found:
                empty.append(found)
            elif id(found) not in seen and not isinstance(found, Tensor):
                seen.add(id(found))
                held.append(found)
    return empty, held


def _attributes(thing: object) -> dict[str, Any]:
    # Asked of the type, for a reference to what is gone has no answer.
    known = type(thing).__dictoffset__ and not isinstance(thing, (type, ModuleType))
    return vars(thing) if known else {}


def _own_tensors(modules: Sequence[nn.Module]) -> list[Tensor]:
    buffers = [buffer for module in modules for buffer in module._buffers.values() if buffer is not None]  # noqa: SLF001
    attributes = [a for module in modules for a in vars(module).values() if type(a) not in _NO_TENSORS]
    return buffers + [a for a in attributes if isinstance(a, Tensor)]


def _restore(thing: object) -> Restore | None:
    make = _maker(type(thing))  # type: ignore[arg-type]  # a type can be hashed
    return None if make is None else make(thing)


@lru_cache(maxsize=256)  # for no longer than that are classes kept alive
def _maker(kind: type) -> Callable[[Any], Restore | None] | None:
    return next((make for known, make in _MAKERS if issubclass(kind, known)), None)


def _empty(containers: list[Any]) -> bool:
    filled = [container for container in containers if container]
    for container in filled:
        container.clear()
    return bool(filled)


def _refill_dict(held: dict[object, object], before: dict[object, object]) -> bool:
    if _same(held, before) and _same(held.values(), before.values()):
        return False
    held.clear()
    held.update(before)
    return True


def _refill(held: list[object] | set[object] | deque[object], before: list[object]) -> bool:
    if _same(held, before):
        return False
    held.clear()
    if isinstance(held, set):
        held.update(before)
    else:
        held.extend(before)
    return True


def _same(now: Collection[object], before: Collection[object]) -> bool:
    return len(now) == len(before) and all(map(operator.is_, now, before))


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
