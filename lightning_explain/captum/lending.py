"""Forward functions of any kind, called as Captum calls them: with the whole batch, and the model given back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor
from torch.futures import Future

from lightning_explain.attribution.budget import RowBudget
from lightning_explain.attribution.guard import borrowed
from lightning_explain.captum.arguments import Tensors
from lightning_explain.captum.calling import explained, given
from lightning_explain.captum.errors import ArgumentTypeError
from lightning_explain.captum.host import Host, owner_of
from lightning_explain.captum.repeating import Repetition, has_rows, is_for_each
from lightning_explain.captum.selecting import Target
from lightning_explain.inputs import Point
from lightning_explain.randomness import isolated, taken_down


def as_point(held: object, what: str) -> Point:
    """The tensors of what a function of the user's gave, or was given beside the inputs.

    Args:
        held: A tensor or a tuple of tensors.
        what: What it is, as the message begins.

    Returns:
        A tuple.

    Raises:
        ArgumentTypeError: If it is something else.
    """
    found = held if isinstance(held, tuple) else (held,)
    wrong = [type(leaf).__name__ for leaf in found if not isinstance(leaf, Tensor)]
    if wrong or not found:
        said = f"a tuple with {wrong[0] if wrong else 'nothing'}" if isinstance(held, tuple) else wrong[0]
        raise ArgumentTypeError(f"{what} must be a tensor or a tuple of tensors, got {said}.")
    return found


def unpacked(point: Point) -> Tensors:
    """What users' functions are passed: a tensor where there is one.

    Returns:
        The tensor, or the tuple.
    """
    return point[0] if len(point) == 1 else point


def lent(function: Callable[..., Any]) -> AbstractContextManager[None]:
    """Borrow what a forward function runs, as far as that can be known.

    Args:
        function: A module, a method of one, or any function.

    Returns:
        A context in which it can be differentiated wherever it stands, and after which all is as it was.
    """
    return borrowed(Host(function))


@contextmanager
def kept(function: Callable[..., Any]) -> Iterator[None]:
    """Borrow what a forward function runs for a block in which the user's own functions are called, too.

    Those go on from the user's random states, in the user's modes: :func:`apart` is for the forward function.

    Args:
        function: A module, a method of one, or any function.

    Yields:
        None.
    """
    grad, inference, devices = torch.is_grad_enabled(), torch.is_inference_mode_enabled(), _devices(function)
    put_back = taken_down(devices)
    try:
        with lent(function):
            put_back()
            try:
                with torch.inference_mode(inference), torch.set_grad_enabled(grad):
                    yield
            finally:
                put_back = taken_down(devices)
    finally:
        put_back()


@contextmanager
def apart(function: Callable[..., Any]) -> Iterator[None]:
    """Run a forward function without gradients, inside :func:`kept`: what it draws moves no random state.

    Args:
        function: The forward function.

    Yields:
        None.
    """
    with isolated(0, _devices(function)), torch.inference_mode(mode=False), torch.no_grad():
        yield


@dataclass(frozen=True, eq=False)
class Call:
    """A call of a forward function, inputs left open.

    Args:
        function: The forward function.
        additional: What it is passed after the inputs.
        target: What is selected from its output.
        budget: How many rows go through a module at once.
    """

    function: Callable[..., Any]
    additional: tuple[Any, ...] = ()
    target: Target = None
    budget: RowBudget = field(default_factory=RowBudget)

    def outputs(self, *inputs: Any) -> Any:  # noqa: ANN401
        """Call the function, to be differentiated perhaps.

        Returns:
            What it gives.
        """
        return given(self.function, tuple(map(_usable, inputs)), tuple(map(_usable, self.additional)))

    def scores(self, point: Point) -> Tensor:
        """The selected number of each row, without gradients, inside :func:`kept`.

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

        with apart(self.function):
            if owner_of(self.function) is None or not self._has_a_row_each(point):
                return self.selection(point)
            self.budget.run(len(point[0]), "forward", body)
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
        found = self.outputs(*point)
        if isinstance(found, Future):
            raise NotImplementedError("A forward function that gives a future is not supported; wait for its value.")
        return explained(found, point, self.target)

    def repeated(self, copies: Repetition) -> Call:
        """The same call, for copies of the inputs.

        Returns:
            A call.
        """
        return replace(self, additional=copies.each(self.additional), target=copies.target(self.target))

    def _has_a_row_each(self, point: Point) -> bool:
        held = [*point, *filter(has_rows, self.additional), *([self.target] if is_for_each(self.target) else [])]
        return all(len(found) == len(point[0]) for found in held)

    def _rows(self, chunk: slice) -> Call:
        additional = tuple(held[chunk] if has_rows(held) else held for held in self.additional)
        target = self.target[chunk] if is_for_each(self.target) else self.target  # type: ignore[index]
        return replace(self, additional=additional, target=target)


def _devices(function: Callable[..., Any]) -> set[torch.device]:
    owner = owner_of(function)
    return set() if owner is None else {parameter.device for parameter in owner.parameters()}


def _usable(held: Any) -> Any:  # noqa: ANN401
    # Clones, for a model may work in place, and what was made in inference mode cannot be saved for a backward pass.
    if isinstance(held, Tensor):
        return held.clone()
    return type(held)(map(_usable, held)) if type(held) in {tuple, list} else held
