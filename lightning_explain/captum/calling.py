"""Inputs, further arguments and targets as Captum's users write them, and the function that they are passed to."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from lightning_explain.attribution.budget import RowBudget
from lightning_explain.attribution.guard import borrowed
from lightning_explain.captum.errors import ArgumentTypeError
from lightning_explain.captum.selecting import Target, selected
from lightning_explain.inputs import Point

Tensors: TypeAlias = "Tensor | tuple[Tensor, ...]"


def as_point(given: Tensors, what: str = "inputs") -> Point:
    """The tensors of what is a tensor or a tuple of tensors.

    Args:
        given: What the user passed.
        what: What it is, for the message.

    Returns:
        A tuple.

    Raises:
        ArgumentTypeError: If it is something else.
    """
    found = given if isinstance(given, tuple) else (given,)
    wrong = next((leaf for leaf in found if not isinstance(leaf, Tensor)), None)
    if wrong is not None or not found:
        raise ArgumentTypeError(f"{what} must be a tensor or a tuple of tensors, got {_said(given, wrong)}.")
    return found


def alike(point: Point, given: Tensors) -> Tensors:
    """Give tensors the form that the user's have.

    Returns:
        A tuple where ``given`` is one, else a tensor.
    """
    return point if isinstance(given, tuple) else point[0]


def unpacked(point: Point) -> Tensors:
    """What users' functions are passed: a tensor where there is one.

    Returns:
        The tensor, or the tuple.
    """
    return point[0] if len(point) == 1 else point


def as_arguments(additional: object) -> tuple[Any, ...]:
    """Further arguments of the forward function.

    Returns:
        A tuple: none for None, one for what is no tuple.
    """
    if additional is None:
        return ()
    return additional if isinstance(additional, tuple) else (additional,)


def repeated(arguments: tuple[Any, ...], times: int) -> tuple[Any, ...]:
    """Repeat the rows of all tensors one batch behind the other.

    Returns:
        The arguments; what has no rows is as it was.
    """
    return tuple(torch.cat([held] * times) if times > 1 and _has_rows(held) else held for held in arguments)


def interleaved(arguments: tuple[Any, ...], times: int) -> tuple[Any, ...]:
    """Repeat each row of all tensors in its place.

    Returns:
        The arguments; what has no rows is as it was.
    """
    return tuple(held.repeat_interleave(times, dim=0) if _has_rows(held) else held for held in arguments)


def interleaved_target(target: Target, times: int) -> Target:
    """Repeat each row's target in its place.

    Returns:
        A target of the same kind; one that is for all rows is as it was.
    """
    if isinstance(target, list):
        return [index for index in target for _ in range(times)]  # type: ignore[return-value]  # of the same kind
    if isinstance(target, Tensor) and _is_for_each(target):
        return target.repeat_interleave(times, dim=0)
    return target


@contextlib.contextmanager
def lent(function: Callable[..., Any]) -> Iterator[None]:
    """Run a block in which a forward function can be differentiated, and its model is left as it was.

    A module, a method of one, or a ``partial`` of these is borrowed and runs in evaluation mode; any other function is
    called as it is.

    Args:
        function: The forward function.

    Yields:
        None.
    """
    module = module_of(function)
    if module is not None:
        with borrowed(module):
            yield
    else:
        with torch.inference_mode(mode=False), torch.enable_grad():
            yield


def module_of(function: Callable[..., Any]) -> nn.Module | None:
    """The module that a function is, or belongs to.

    Returns:
        The module, or None.
    """
    while isinstance(function, functools.partial):
        function = function.func
    owner = getattr(function, "__self__", None)
    return next((found for found in (function, owner) if isinstance(found, nn.Module)), None)


@dataclass(frozen=True, eq=False)
class Call:
    """A call of a forward function, inputs left open.

    Args:
        function: The forward function.
        additional: What it is passed after the inputs.
        target: What is selected from its output.
    """

    function: Callable[..., Any]
    additional: tuple[Any, ...] = ()
    target: Target = None

    def outputs(self, *inputs: Any) -> Any:  # noqa: ANN401
        """Call the function, to be differentiated perhaps.

        Returns:
            What it gives.
        """
        return self.function(*map(_usable, inputs), *map(_usable, self.additional))

    def scores(self, point: Point) -> Tensor:
        """The selected number of each row, without gradients; the model is left as it was.

        A module's rows go through the row budget, where everything that is passed has them.

        Args:
            point: Inputs (m, ...) each.

        Returns:
            Numbers (m,).
        """
        parts: list[Tensor] = []

        def body(chunk: slice) -> None:
            part = self._rows(chunk).selection(tuple(leaf[chunk] for leaf in point))
            parts.append(part.clone())  # a view would keep all its base

        with lent(self.function), torch.no_grad():
            if module_of(self.function) is None or not self._has_a_row_each(point):
                return self.selection(point)
            RowBudget().run(len(point[0]), "forward", body)
        return torch.cat(parts)

    def selection(self, point: Point) -> Tensor:
        """Call the function, and select.

        Args:
            point: Inputs (m, ...) each.

        Returns:
            What the target selects, (m, ...).

        Raises:
            NotImplementedError: If the function gives a future.
            ArgumentTypeError: If it gives no tensor.
        """
        given = self.outputs(*point)
        if isinstance(given, torch.futures.Future):
            raise NotImplementedError("A forward function that gives a future is not supported; wait for its value.")
        if not isinstance(given, Tensor):
            raise ArgumentTypeError(f"The forward function must give a tensor, got {type(given).__name__}.")
        return selected(given, self.target)

    def interleaved(self, times: int) -> Call:
        """The same call, for inputs each of whose rows is repeated in its place.

        Returns:
            A call.
        """
        return Call(self.function, interleaved(self.additional, times), interleaved_target(self.target, times))

    def _has_a_row_each(self, point: Point) -> bool:
        held = [*point, *filter(_has_rows, self.additional), *([self.target] if _is_for_each(self.target) else [])]
        return all(len(found) == len(point[0]) for found in held)

    def _rows(self, chunk: slice) -> Call:
        additional = tuple(held[chunk] if _has_rows(held) else held for held in self.additional)
        return Call(self.function, additional, self.target[chunk] if _is_for_each(self.target) else self.target)  # type: ignore[index]


def _is_for_each(target: Target) -> bool:
    return isinstance(target, list) or (isinstance(target, Tensor) and target.numel() > 1)


def _has_rows(held: object) -> bool:
    return isinstance(held, Tensor) and held.ndim > 0


def _usable(held: Any) -> Any:  # noqa: ANN401
    # Clones, for a model may work in place, and what was made in inference mode cannot be saved for a backward pass.
    if isinstance(held, Tensor):
        return held.clone()
    return type(held)(map(_usable, held)) if type(held) in {tuple, list} else held


def _said(given: object, wrong: object) -> str:
    inside = isinstance(given, tuple) and len(given) > 0
    return f"a tuple with {type(wrong).__name__}" if inside else type(given).__name__
