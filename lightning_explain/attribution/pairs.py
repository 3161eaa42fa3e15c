"""BatchNorms that can be folded into the layer in front of them, found in one forward pass."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from lightning_explain.attribution.convolution import CONVOLUTIONS
from lightning_explain.attribution.model import Forward
from lightning_explain.inputs import Inputs

AFFINE = (nn.Linear, *CONVOLUTIONS)
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)

Hooks: TypeAlias = Mapping[int, Any]
"""The hooks of a module, as it keeps them."""

Where: TypeAlias = tuple[int, int]
"""Where a tensor's memory begins: the storage, and the offset in it."""


@dataclass(frozen=True, eq=False)
class Pair:
    """An affine layer and the BatchNorm that alone reads what it gives.

    Args:
        affine: The layer.
        norm: The BatchNorm, with running statistics.
        watchers: The hooks that would see what goes from the one to the other.
    """

    affine: nn.Module
    norm: nn.Module
    watchers: tuple[Hooks, ...]

    @property
    def watched(self) -> bool:
        """Whether somebody reads or replaces what is between the two at the moment."""
        return any(self.watchers)


@dataclass(frozen=True)
class Recorded:
    """What one forward pass tells.

    Args:
        pairs: Layers with a BatchNorm that can be folded into them.
        last: The last affine layer, if it ran once.
        before: The affine layer that ran before it, once.
        behind: The modules that ran after that one only.
    """

    pairs: tuple[Pair, ...] = ()
    last: nn.Module | None = None
    before: nn.Module | None = None
    behind: frozenset[nn.Module] = frozenset()


def record(model: nn.Module, inputs: Inputs, forward: Forward) -> Recorded:
    """Run a model once, in evaluation mode, and watch what becomes of the output of its affine layers.

    Operators are watched where they reach the device, so that it plays no part whether a module, a function or a
    method reads a tensor. Nothing of the kind is known of other inputs: a model that chooses its layers by them may
    not be told from one that does not.

    Args:
        model: The module, borrowed.
        inputs: A few samples; the model may work in place on them.
        forward: How the model is called.

    Returns:
        The pairs, in the order in which they ran.
    """
    watch = _Watch(model)
    with torch.no_grad(), watch.hooked(), watch:
        given = forward(model, inputs)
    for between in watch.seen(given):
        between.readers.append((None, "output"))
    pairs = tuple(between.pair for between in watch.between.values() if watch.foldable(between))
    return Recorded(pairs, *watch.end())


@dataclass(eq=False)
class _Between:
    """What an affine layer gave, and who saw it: the module that ran, and the operator."""

    affine: nn.Module
    tensor: Tensor
    norm: nn.Module | None = None
    watchers: list[Hooks] = field(default_factory=list)
    readers: list[tuple[nn.Module | None, str]] = field(default_factory=list)

    @property
    def pair(self) -> Pair:
        return Pair(self.affine, self.norm, tuple(self.watchers))  # type: ignore[arg-type]  # foldable has a norm


class _Watch(TorchDispatchMode):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.model = model
        self.between: dict[int, _Between] = {}  # by storage; the tensors are held, so no other gets its number
        self.runs: Counter[nn.Module] = Counter()
        self.layers: list[tuple[nn.Module, frozenset[nn.Module]]] = []  # affine ones, and what had run by their end
        self._running: list[nn.Module] = []
        self._shared: set[nn.Module] = set()
        self._owners: dict[Where, list[nn.Module]] = {}
        self._convolved: dict[int, tuple[Tensor, Any]] = {}  # storage -> what a convolution gave, untouched; its weight
        for module in filter(_may_be_affine, model.modules()):
            for parameter in module.parameters(recurse=False):
                self._owners.setdefault(_where(parameter), []).append(module)

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # else torch loads its compiler, for two seconds, to keep it away from here

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # noqa: ANN401
        kwargs = kwargs or {}
        running = self._running[-1] if self._running else None
        for between in self.seen((args, kwargs)):
            between.readers.append((running, func.__name__))
        for tensor in _strided((args, kwargs)):
            # Used outside its layer, the weight is not the layer's alone.
            self._shared.update(owner for owner in self._owners.get(_where(tensor), ()) if owner is not running)
            self._convolved.pop(_storage(tensor), None)
        result = func(*args, **kwargs)
        if func is torch.ops.aten.convolution.default:
            self._convolved[_storage(result)] = (result, args[1])
        return result

    @contextmanager
    def hooked(self) -> Iterator[None]:
        handles = []
        try:
            for module in self.model.modules():
                if isinstance(module, torch.jit.ScriptModule):
                    continue  # has no such hooks; what it reads is seen all the same
                handles.append(module.register_forward_pre_hook(self._enter, with_kwargs=True))
                handles.append(module.register_forward_hook(self._leave, always_call=True))
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _enter(self, module: nn.Module, args: Any, kwargs: Any) -> None:  # noqa: ANN401
        self._running.append(module)
        self.runs[module] += 1
        for between in self.seen((args, kwargs)):
            between.watchers.append(module._forward_pre_hooks)  # noqa: SLF001  (there is no public way to them)
            if isinstance(module, NORMS):
                between.norm = module

    def _leave(self, module: nn.Module, _args: Any, result: Any) -> None:  # noqa: ANN401
        self._running.pop()
        if isinstance(result, Tensor) and (is_affine(module) or self._gave(module, result)):  # None, where it raises
            self.layers.append((module, frozenset(self.runs)))
            self.between[_storage(result)] = _Between(module, result)
        for between in self.seen(result):
            between.watchers.append(module._forward_hooks)  # noqa: SLF001

    def _gave(self, module: nn.Module, result: Tensor) -> bool:
        # What derives from a convolution, and gives what an operator made of its very weight, is one: it may pad first.
        weight = self._convolved.get(_storage(result), (None, None))[1]
        return _may_be_affine(module) and isinstance(weight, Tensor) and _where(weight) == _where(module.weight)  # type: ignore[arg-type]

    def seen(self, tree: Any) -> Iterator[_Between]:  # noqa: ANN401
        storages = map(_storage, _strided(tree))
        return (self.between[storage] for storage in storages if storage in self.between)

    def end(self) -> tuple[nn.Module | None, nn.Module | None, frozenset[nn.Module]]:
        once = [(layer, had_run) for layer, had_run in self.layers[-2:] if self.runs[layer] == 1]
        if not once or once[-1][0] is not self.layers[-1][0]:
            return None, None, frozenset()
        last, before = once[-1][0], once[0] if len(once) == 2 else None
        return (last, None, frozenset()) if before is None else (last, before[0], frozenset(self.runs) - before[1])

    def foldable(self, between: _Between) -> bool:
        affine, norm = between.affine, between.norm
        if norm is None or affine in self._shared or (self.runs[affine], self.runs[norm]) != (1, 1):
            return False
        alone = len(between.readers) == 1 and between.readers[0][0] is norm and "batch_norm" in between.readers[0][1]
        return alone and _is_fixed(norm) and _has_channels(between.tensor, affine, norm)


def is_affine(module: nn.Module) -> bool:
    """Whether a module is an affine layer of torch and nothing else: subclasses, and what is parametrised, may differ.

    Returns:
        True if it is.
    """
    return type(module) in AFFINE and _may_be_affine(module)


def _may_be_affine(module: nn.Module) -> bool:
    return isinstance(module, AFFINE) and "weight" in module._parameters and "forward" not in vars(module)  # noqa: SLF001


def _is_fixed(norm: nn.Module) -> bool:
    # Of that very type: others may do something else. In evaluation mode those without statistics use the batch's.
    plain = type(norm) in NORMS and "forward" not in vars(norm)
    return plain and not norm.training and isinstance(norm.running_mean, Tensor)


def _has_channels(tensor: Tensor, affine: nn.Module, norm: nn.Module) -> bool:
    # The same dimension: a linear layer's features are the last, a BatchNorm's the second.
    batched = tensor.ndim == (2 if isinstance(affine, nn.Linear) else affine.get_parameter("weight").ndim)
    return batched and tensor.shape[1] == norm.num_features


def _strided(tree: Any) -> Iterator[Tensor]:  # noqa: ANN401
    # Wherever a place looks, also in mappings of somebody's own. Others (sparse ones, say) have no storage.
    if isinstance(tree, Tensor):
        if tree.layout is torch.strided:
            yield tree
    elif isinstance(tree, (tuple, list, Mapping)):
        for held in tree.values() if isinstance(tree, Mapping) else tree:
            yield from _strided(held)


def _storage(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)  # noqa: SLF001  (identity)


def _where(tensor: Tensor) -> Where:
    return _storage(tensor), int(tensor.storage_offset())
