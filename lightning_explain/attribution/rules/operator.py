"""Operators as a function mode sees them: one name for ``F.relu``, ``x.relu()``, ``torch.relu`` and ``relu_``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from types import FunctionType
from typing import Any

import torch
from torch import Tensor

ALIASES = {
    "rdiv": "rtruediv",
    "true_divide": "div",
    "divide": "div",
    "truediv": "div",
    "multiply": "mul",
    "rmul": "mul",
    "subtract": "sub",
    "log_sigmoid": "logsigmoid",
    "clip": "clamp",
    "absolute": "abs",
    "linalg_vector_norm": "vector_norm",
    "max_pool1d_with_indices": "max_pool1d",
    "max_pool2d_with_indices": "max_pool2d",
    "max_pool3d_with_indices": "max_pool3d",
    "adaptive_max_pool1d_with_indices": "adaptive_max_pool1d",
    "adaptive_max_pool2d_with_indices": "adaptive_max_pool2d",
    "adaptive_max_pool3d_with_indices": "adaptive_max_pool3d",
}
OF_TWO = {"max": "maximum", "min": "minimum"}
"""What these are called where they compare two tensors."""


@dataclass(frozen=True, eq=False)
class Call:
    """One call of an operator.

    Args:
        name: The operator's name, see :func:`operator_name`.
        function: What was called.
        args: Its positional arguments.
        kwargs: Its keyword arguments.
    """

    name: str
    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    @classmethod
    def of(cls, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call:
        """Name a call.

        Returns:
            The call.
        """
        name = operator_name(function)
        if name in OF_TWO and isinstance(args[1] if len(args) > 1 else kwargs.get("other"), Tensor):
            name = OF_TWO[name]
        return cls(name, function, args, kwargs)

    @cached_property
    def _leaves(self) -> list[Any]:
        return _flattened((self.args, self.kwargs), [])

    @cached_property
    def positions(self) -> tuple[int, ...]:
        """Where among the flattened arguments those tensors are that depend on the variable."""
        with torch._C.DisableTorchFunction():  # noqa: SLF001  (modes around this one are not to see the question)
            return tuple(i for i, leaf in enumerate(self._leaves) if isinstance(leaf, Tensor) and leaf.requires_grad)

    @property
    def tensors(self) -> int:
        """How many of the arguments are tensors."""
        return sum(isinstance(leaf, Tensor) for leaf in self._leaves)

    @property
    def active(self) -> tuple[Tensor, ...]:
        """The tensors that depend on the variable."""
        return self.at(self.positions)

    def at(self, positions: Sequence[int]) -> tuple[Tensor, ...]:
        """The arguments at some positions, for a call of the same form.

        Returns:
            The tensors, detached from nothing.
        """
        return tuple(self._leaves[i] for i in positions)

    def replaced(self, positions: Sequence[int], tensors: Sequence[Tensor]) -> Call:
        """The same call with other tensors at some positions.

        Returns:
            A new call.
        """
        leaves = list(self._leaves)
        for position, tensor in zip(positions, tensors, strict=True):
            leaves[position] = tensor
        args, kwargs = _filled((self.args, self.kwargs), iter(leaves))
        return Call(self.name, self.function, args, kwargs)

    def fitted(self, other: Call, fit: Callable[[Tensor, Tensor], Tensor]) -> Call:
        """The same call with tensors that are made to fit those of another of the same form.

        Args:
            other: The other call.
            fit: Makes of one of this call's tensors, and of the other's at its place, what stands in for it.

        Returns:
            A new call.
        """
        pairs = zip(self._leaves, other._leaves, strict=True)
        both = [i for i, leaves in enumerate(pairs) if all(isinstance(leaf, Tensor) for leaf in leaves)]
        return self.replaced(both, [fit(a, b) for a, b in zip(self.at(both), other.at(both), strict=True)])

    def run(self) -> Any:  # noqa: ANN401
        """Do it.

        Returns:
            What the operator returns.
        """
        return self.function(*self.args, **self.kwargs)

    def argument(self, position: int, name: str, default: Any = None) -> Any:  # noqa: ANN401
        """An argument that may have been given by position or by name.

        Returns:
            Its value, or the default.
        """
        return self.args[position] if len(self.args) > position else self.kwargs.get(name, default)

    @property
    def overwritten(self) -> Tensor | None:
        """The first argument, if the call works in place and writes to it."""
        inplace = _inplace_position(self.function)
        if _is_in_place(self.function) or (inplace is not None and self.argument(inplace, "inplace", default=False)):
            target = self.argument(0, "input")
            return target if isinstance(target, Tensor) else None
        return None

    @property
    def buffers(self) -> tuple[Tensor, ...]:
        """The tensors that the call fills, ``out=``; autograd refuses them where anything depends on the variable."""
        out = self.kwargs.get("out")
        return tuple(t for t in (out if isinstance(out, (tuple, list)) else (out,)) if isinstance(t, Tensor))

    @property
    def out_of_place(self) -> Call:
        """The call that computes the same without writing to its first argument."""
        if _is_in_place(self.function):
            function = getattr(Tensor, self.name, None) or getattr(torch.nn.functional, self.name)
            return Call(self.name, function, self.args, self.kwargs)
        position = _inplace_position(self.function)
        if position is not None and len(self.args) > position:
            return Call(self.name, self.function, self.args[:position] + self.args[position + 1 :], self.kwargs)
        return Call(self.name, self.function, self.args, {k: v for k, v in self.kwargs.items() if k != "inplace"})


@cache
def operator_name(function: Callable[..., Any]) -> str:
    """One name for all spellings of an operator: function, method, in place or not.

    Returns:
        The name; an empty string for the access to an attribute.

    Example:
        >>> {operator_name(f) for f in (torch.nn.functional.relu, torch.relu, Tensor.relu, torch.relu_)}
        {'relu'}
    """
    name = str(getattr(function, "__name__", function)).rsplit(".", 1)[-1]
    if name in {"__get__", "__set__"}:
        return ""
    name = name.strip("_").removeprefix("special_")
    return ALIASES.get(name, name)


@cache
def may_write(function: Callable[..., Any]) -> bool:
    """Whether an operator can be told to write to its first argument, or does so always.

    Returns:
        False for one that leaves its arguments alone, unless it is given ``out=``.
    """
    return _is_in_place(function) or _inplace_position(function) is not None


@cache
def opened(function: Callable[..., Any]) -> Callable[..., Any] | None:
    """The body of a function of torch that is written in Python, for a mode to look into.

    Such a function hands itself to the mode before it does anything; the copy does not, so that the mode sees
    the operators it is made of.

    Returns:
        The function, or None if there is no body in Python.
    """
    if not isinstance(function, FunctionType):
        return None
    silenced = {name: _never for name in function.__globals__ if name.startswith("has_torch_function")}
    if not silenced:
        return None
    body = FunctionType(
        function.__code__,
        function.__globals__ | silenced,
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )
    body.__kwdefaults__ = function.__kwdefaults__
    return body


def _never(*_: object) -> bool:
    return False


def _flattened(tree: Any, into: list[Any]) -> list[Any]:  # noqa: ANN401
    if type(tree) is tuple or type(tree) is list:
        for part in tree:
            _flattened(part, into)
    elif type(tree) is dict:
        for part in tree.values():
            _flattened(part, into)
    else:
        into.append(tree)
    return into


def _filled(tree: Any, leaves: Iterator[Any]) -> Any:  # noqa: ANN401
    if type(tree) is tuple or type(tree) is list:
        return type(tree)([_filled(part, leaves) for part in tree])
    if type(tree) is dict:
        return {key: _filled(part, leaves) for key, part in tree.items()}
    return next(leaves)


@cache
def _is_in_place(function: Callable[..., Any]) -> bool:
    raw = getattr(function, "__name__", "")
    return (raw.endswith("_") and not raw.endswith("__")) or raw == "__setitem__"


@cache
def _inplace_position(function: Callable[..., Any]) -> int | None:
    code = getattr(function, "__code__", None)
    names = () if code is None else code.co_varnames[: code.co_argcount]
    return names.index("inplace") if "inplace" in names else None
