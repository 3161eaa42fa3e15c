"""A replica: the model, run with tensors that ask less of the hardware."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from lightning_explain.attribution.folding import folded
from lightning_explain.attribution.model import Forward
from lightning_explain.attribution.pairs import Pair, Recorded
from lightning_explain.inputs import Inputs, is_continuous, leaves, rebuild

Table: TypeAlias = dict[str, Any]
"""Where a module keeps something: its parameters, its buffers, its attributes."""

Slot: TypeAlias = tuple[Table, str, Any]
"""Where a module keeps something, under which name, and what it is lent in its place."""

CONVOLUTION = nn.modules.conv._ConvNd  # noqa: SLF001  (what all convolutions are has no public name)
CHANNELS_LAST = {4: torch.channels_last, 5: torch.channels_last_3d}
"""The memory format in which the channels of a position lie side by side, by a weight's number of dimensions."""
FAST_ON_CPU = (torch.float32, torch.bfloat16, torch.float16)
FAST_ELSEWHERE = (torch.bfloat16, torch.float16)
"""The types for which convolutions are faster channels last: in float64 they are slower by far."""

_NOTHING = object()


@dataclass(frozen=True, eq=False)
class Replica:
    """A way to call a model that lends it cheaper tensors for the length of a forward pass.

    BatchNorms are folded into the layers in front of them, and pass their input on; weights of convolutions lie in
    memory channels last, which their outputs follow; all may be in another type. The modules stay what they are, so
    that layers keep their names, and hooks, lists of layers and functions that close over the model see the replica.

    A pair is not folded in a pass in which anybody has a hook where what is between the two would be seen. Where the
    model has other parameters than those that the replica was made of (random ones, or those of the next step), it is
    called as it is.

    Memory: a copy of what is lent, the weights of convolutions, or with a type all parameters; and a second of those
    that are not folded at times.

    Args:
        forward: How the model is called.
        model: The module, borrowed: in evaluation mode, and frozen.
        recorded: What is folded, and which layers are the last.
        channels_last: Whether weights of convolutions are laid out so, where that is faster.
        dtype: The type in which the model runs; None: its own. What comes behind the last affine layer but one keeps
            its own: in 8 bits a pooled feature or an output hardly moves when an input changes.
    """

    forward: Forward
    model: nn.Module
    recorded: Recorded
    channels_last: bool = True
    dtype: torch.dtype | None = None

    _slots: dict[tuple[Pair, ...], list[Slot]] = field(default_factory=dict, init=False, repr=False)
    _copies: dict[tuple[int, bool], Tensor] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        self._sources  # noqa: B018  (what the parameters are now, before anybody writes to them)

    def __call__(self, model: nn.Module, inputs: Inputs) -> Any:  # noqa: ANN401
        """Call the model.

        Returns:
            What it returns.
        """
        if model is not self.model or not self._is_current:
            return self.forward(model, inputs)
        with _lent(self._lent_now):
            return self.forward(model, self._cast(inputs))

    @property
    def lends(self) -> bool:
        """Whether anything is lent, so that a row is cheaper."""
        return bool(self._lent_now)

    @property
    def _is_current(self) -> bool:
        return all(table.get(name) is source and _version(source) == was for table, name, source, was in self._sources)

    @cached_property
    def _sources(self) -> list[tuple[Table, str, Tensor, int]]:
        parameters: list[Table] = [module._parameters for module in self._modules]  # noqa: SLF001
        statistics: list[Table] = [pair.norm._buffers for pair in self.recorded.pairs]  # noqa: SLF001
        tables = [*parameters, *statistics]
        held = ((table, name, source) for table in tables for name, source in table.items())
        return [(table, name, source, _version(source)) for table, name, source in held if source is not None]

    @cached_property
    def _modules(self) -> list[nn.Module]:
        # Scripted ones keep their tensors where they cannot be exchanged.
        return [module for module in self.model.modules() if not isinstance(module, torch.jit.ScriptModule)]

    @property
    def _lent_now(self) -> list[Slot]:
        anywhere = nn.modules.module._has_any_global_hook()  # noqa: SLF001  (who has one sees all)
        pairs = () if anywhere else tuple(pair for pair in self.recorded.pairs if not pair.watched)
        if pairs not in self._slots:
            # In the midst of a forward pass: rules that watch operators are to see the model's alone.
            with torch._C.DisableTorchFunction():  # noqa: SLF001
                self._slots[pairs] = list(self._made(pairs))
        return self._slots[pairs]

    def _made(self, pairs: Sequence[Pair]) -> Iterator[Slot]:
        merged = {module for pair in pairs for module in (pair.affine, pair.norm)}
        for module in self._modules:
            if module not in merged:
                yield from self._converted(module)
        for pair in pairs:
            for name, tensor in zip(("weight", "bias"), self._folded(pair), strict=True):
                yield pair.affine._parameters, name, tensor  # noqa: SLF001
            yield vars(pair.norm), "forward", _passed_on
        yield from self._turned()

    def _turned(self) -> Iterator[Slot]:
        # Back to the model's own type.
        last, before = self.recorded.last, self.recorded.before
        if self.dtype is not None and last is not None:
            yield vars(last), "forward", partial(_in_own_type, last)
        if self.dtype is not None and before is not None:
            yield vars(before), "forward", partial(_into, before, before.get_parameter("weight").dtype)

    def _converted(self, module: nn.Module) -> Iterator[Slot]:
        for table in (module._parameters, module._buffers):  # noqa: SLF001
            for name, tensor in table.items():
                if tensor is not None and (copied := self._copy(tensor, module)) is not tensor:
                    yield table, name, copied
        if self.dtype is not None and isinstance(module, nn.RNNBase):  # has a list of its own
            flat = [of if of is None else self._copy(of, module) for of in module._flat_weights]  # noqa: SLF001
            yield vars(module), "_flat_weights", flat

    def _copy(self, tensor: Tensor, module: nn.Module) -> Tensor:
        # What modules share stays shared.
        key = id(tensor), isinstance(module, CONVOLUTION)
        dtype = self._type_of(tensor, module)
        if key not in self._copies or self._copies[key].dtype != dtype:
            laid = _laid(tensor.detach(), dtype, channels_last=self.channels_last and key[1])
            lies = tensor.layout != torch.strided or laid.stride() == tensor.stride()
            same = laid.dtype == tensor.dtype and lies
            self._copies[key] = tensor if same else _parameter(laid, like=tensor)
        return self._copies[key]

    def _folded(self, pair: Pair) -> tuple[nn.Parameter, nn.Parameter]:
        dtype = self._type_of(pair.affine.weight, pair.affine)  # type: ignore[arg-type]
        laid = (_laid(of, dtype, channels_last=self.channels_last) for of in folded(pair.affine, pair.norm))
        weight, bias = (nn.Parameter(of, requires_grad=False) for of in laid)
        return weight, bias

    def _type_of(self, tensor: Tensor, module: nn.Module) -> torch.dtype:
        if self.dtype is None or not is_continuous(tensor):
            return tensor.dtype
        return tensor.dtype if module is self.recorded.last or module in self.recorded.behind else self.dtype

    def _cast(self, inputs: Inputs) -> Inputs:
        if self.dtype is None:
            return inputs
        cast = tuple(leaf.to(self.dtype) if is_continuous(leaf) else leaf for leaf in leaves(inputs))
        return rebuild(inputs, cast)


@contextmanager
def _lent(slots: Sequence[Slot]) -> Iterator[None]:
    held = [(table, name, table.get(name, _NOTHING)) for table, name, _ in slots]
    try:
        for table, name, lent in slots:
            table[name] = lent
        yield
    finally:
        for table, name, was in held:
            if was is _NOTHING:
                table.pop(name, None)
            else:
                table[name] = was


def _laid(tensor: Tensor, dtype: torch.dtype, *, channels_last: bool) -> Tensor:
    fast = dtype in (FAST_ON_CPU if tensor.device.type == "cpu" else FAST_ELSEWHERE)
    if channels_last and fast and tensor.ndim in CHANNELS_LAST:
        return tensor.to(dtype, memory_format=CHANNELS_LAST[tensor.ndim])
    return tensor.to(dtype)


def _parameter(tensor: Tensor, like: Tensor) -> Tensor:
    return nn.Parameter(tensor, requires_grad=False) if isinstance(like, nn.Parameter) else tensor


def _version(tensor: Tensor) -> int:
    return 0 if tensor.is_inference() else tensor._version  # noqa: SLF001  (how often it was written to)


# In the place of a module's forward, with its signature, for models pass arguments by name. Hooks on it still fire.


def _passed_on(input: Tensor) -> Tensor:  # noqa: A002
    return input


def _into(module: nn.Module, dtype: torch.dtype, input: Tensor, *more: Any, **named: Any) -> Tensor:  # noqa: A002
    return type(module).forward(module, input, *more, **named).to(dtype)  # type: ignore[no-any-return]


def _in_own_type(module: nn.Module, input: Tensor, *more: Any, **named: Any) -> Tensor:  # noqa: A002
    own = module.weight.dtype
    return type(module).forward(module, input.to(own), *more, **named)  # type: ignore[arg-type,no-any-return]
