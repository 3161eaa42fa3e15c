"""Another backward pass, operator by operator."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any, ClassVar, Generic, TypeVar

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from lightning_explain.attribution.rules.compositions import COMPOSITIONS, Composition
from lightning_explain.attribution.rules.operator import Call, may_write, opened, operator_name
from lightning_explain.attribution.rules.plain import IN_FIRST, PLAIN

R = TypeVar("R")


class Kept:
    """A tensor that is looked at later, though the model may have overwritten it by then.

    Args:
        tensor: The tensor, without a graph.
    """

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor


class OperatorMode(TorchFunctionMode, Generic[R]):
    """Watches the operators of a forward pass, and gives those in a table a backward step of their own.

    Operators outside the table keep their gradient. Functions of torch that are written in Python, and those in
    ``compositions``, are looked into. An operator that is neither linear nor known is named in a warning, once.
    Operators in place are done out of place, and the result is written back.

    Args:
        method: The method's name, for warnings.
        rules: Operator name -> rule.
    """

    compositions: ClassVar[Mapping[str, Composition]] = COMPOSITIONS
    """Operators that are written out, for rules of the simpler ones that they are made of."""

    def __init__(self, method: str, rules: Mapping[str, R]) -> None:
        super().__init__()
        self.method, self.rules = method, rules
        self._warned: set[str] = set()
        self._kept: dict[int, list[Kept]] = {}

    def apply(self, rule: R, call: Call) -> Any:  # noqa: ANN401
        """Do an operator that depends on the variable, by its rule.

        Returns:
            What the operator returns.
        """
        raise NotImplementedError

    def concerns(self, call: Call) -> bool:
        """Whether an operator in the table, or a composition, depends on the variable.

        Returns:
            True if the rule is to be applied.
        """
        return torch.is_grad_enabled() and bool(call.positions)

    def keep(self, tensors: Iterable[Tensor]) -> list[Kept]:
        """Hold tensors; should the model overwrite one, a copy of what it was is held.

        Returns:
            Holders, in order.
        """
        holders = [Kept(tensor.detach()) for tensor in tensors]
        for holder in holders:
            self._kept.setdefault(_storage(holder.tensor), []).append(holder)
        return holders

    def forget(self) -> None:
        """Let go of what was held; the forward pass is over."""
        self._kept.clear()

    def __torch_function__(
        self, func: Callable[..., Any], types: object, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:  # noqa: ANN401
        """See one operator.

        Returns:
            What the operator returns.
        """
        kwargs = kwargs or {}
        if _is_plain(func) and operator_name(func) not in self.rules and "out" not in kwargs:
            return func(*args, **kwargs)
        call = Call.of(func, args, kwargs)
        if buffers := call.buffers:
            for buffer in buffers:
                self._save(buffer)
            return call.run()  # nothing with a graph is written to a buffer
        overwritten = call.overwritten
        if overwritten is not None:
            self._save(overwritten)
            if call.name in self.rules:
                return self._in_place(call, overwritten)
        return call.run() if call.name in PLAIN and call.name not in self.rules else self._perform(call)

    def _perform(self, call: Call) -> Any:  # noqa: ANN401
        rule = self.rules.get(call.name)
        body = None if rule is not None else self._body(call)
        if rule is None and body is None:
            return self.noticed(call, call.run())
        if not self.concerns(call):
            return call.run()
        if rule is not None:
            return self.apply(rule, call)
        with self:
            return body(*call.args, **call.kwargs)  # type: ignore[misc]

    def _in_place(self, call: Call, overwritten: Tensor) -> Tensor:
        call = call.out_of_place
        result = self._perform(Call(call.name, call.function, (overwritten.clone(), *call.args[1:]), call.kwargs))
        return overwritten.copy_(result)

    def _save(self, overwritten: Tensor) -> None:
        for holder in self._kept.pop(_storage(overwritten), []):
            holder.tensor = holder.tensor.clone()

    def _body(self, call: Call) -> Callable[..., Any] | None:
        composition = self.compositions.get(call.name)
        if composition is None:
            return opened(call.function)
        return composition.body if composition.fits(call) else None

    def noticed(self, call: Call, result: Any) -> Any:  # noqa: ANN401
        """See what an operator gave that has no rule: one that is not linear either is named.

        Returns:
            What it gave.
        """
        first = result[0] if isinstance(result, (tuple, list)) and result else result
        if isinstance(first, Tensor) and first.requires_grad and call.positions and not _is_linear(call):
            self.warn(call.name)
        return result

    def warn(self, name: str) -> None:
        """Say once that an operator has no rule."""
        if name in self._warned:
            return
        self._warned.add(name)
        warnings.warn(
            f"{self.method} has no rule for the operator {name!r}, and takes its gradient: right only if it is linear."
            " A rule is an entry in a table, see the page on methods.",
            stacklevel=2,
        )


def _is_linear(call: Call) -> bool:
    # In what depends on the variable. Asked after the fact, for DeepLift's run at the reference has no graph.
    if call.name not in IN_FIRST:
        return False
    other = call.argument(*IN_FIRST[call.name])
    return not (isinstance(other, Tensor) and other.requires_grad)


@cache
def _is_plain(function: Callable[..., Any]) -> bool:
    # Whether it keeps its gradient and writes nowhere: most calls of a pass are such, and accesses to attributes.
    name = operator_name(function)
    return not name or (name in PLAIN and not may_write(function))


def _storage(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()
