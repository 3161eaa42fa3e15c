"""Forward functions of any kind, called as the engine calls a model: with rows, for a tensor of one row each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from inspect import signature
from typing import Any

import torch
from torch import Tensor
from torch.futures import Future

from lightning_explain.attribution.model import UNFIT, prediction
from lightning_explain.captum.errors import ArgumentError, ArgumentTypeError
from lightning_explain.captum.host import owner_of
from lightning_explain.captum.selecting import Index, Target, selected, taken
from lightning_explain.inputs import Point

Function = Callable[..., Any]


class OnePerBatch(Exception):  # noqa: N818  (no error: the batch is then explained as a whole)
    """The forward function gives numbers for the batch as a whole, not a row for each sample."""


@dataclass(frozen=True)
class PerSample:
    """A forward function that gives a row for each sample.

    Args:
        function: The forward function.
        count: The number of inputs.
        arguments: What it is given after them.
        samples: The number of samples; tensors among the arguments that have as many rows go with the samples.
        index: Which output is explained of all samples alike; None: what is given, as it is.
        one_each: Whether a number for each sample is to come out.
        read: Whether it matters what comes out.
        as_many: Whether a row is to come out for each that goes in; behind a layer more may.
    """

    function: Function
    count: int
    arguments: tuple[Any, ...]
    samples: int
    index: tuple[Index, ...] | None = None
    one_each: bool = False
    read: bool = True
    proven: list[int] = field(default_factory=list, compare=False)
    as_many: bool = False

    @property
    def beside(self) -> Point:
        """The arguments that have a row for each sample."""
        return tuple(argument for argument in self.arguments if self._has_rows(argument))

    def __call__(self, _model: object, inputs: Point) -> Tensor:
        """Call the function for some samples.

        Returns:
            What is explained, (m, ...).

        Raises:
            OnePerBatch: If one number came for several samples.
            ArgumentError: If more than one came for each, where one is explained.
        """
        if not self.read:
            self._given(inputs)
            return inputs[0]
        found = self.outputs(inputs)
        if self.one_each:
            require_one_each(found)
        return found

    def outputs(self, inputs: Point) -> Tensor:
        """What the function gives for some samples.

        Returns:
            Outputs (m, ...), with the index applied.

        Raises:
            OnePerBatch: If one number came for several samples, or as many as there never were samples.
        """
        found, given_rows = as_tensor(self._given(inputs), inputs), len(inputs[0])
        # Once several rows came for several samples, one row is what a layer was given in their place.
        if found.ndim == 0 or (len(found) == 1 < given_rows and not self.proven):
            raise OnePerBatch
        if self.as_many and len(found) != given_rows:
            raise OnePerBatch
        if len(found) == given_rows > 1:
            self.proven.append(given_rows)
        return found if self.index is None else taken(found, self.index)

    def tells_rows_apart(self, inputs: Point, outputs: Tensor) -> bool:
        """Try whether the function takes another number of rows, and gives for each what it gives by itself.

        Args:
            inputs: The samples.
            outputs: What it gives for them.

        Returns:
            False where it holds something of the samples, or the outputs of one depend on others.
        """
        try:
            with torch.no_grad():
                twice = self.outputs(tuple(torch.cat([leaf, leaf]) for leaf in inputs))
        except (*UNFIT, OnePerBatch):
            return False
        expected = torch.cat([outputs, outputs])
        if not expected.is_floating_point():
            return torch.equal(twice, expected)
        near = expected.abs().max() * torch.finfo(expected.dtype).eps ** 0.5
        return twice.shape == expected.shape and torch.allclose(twice, expected, 0, float(near), equal_nan=True)

    def calls(self, inputs: Point) -> Iterator[tuple[Point, tuple[Any, ...]]]:
        """What the function is given for some samples.

        Yields:
            The inputs (m, ...), and the arguments that follow them.
        """
        held = iter(inputs[self.count :])
        yield (
            inputs[: self.count],
            tuple(next(held) if self._has_rows(argument) else argument for argument in self.arguments),
        )

    def _given(self, inputs: Point) -> Any:  # noqa: ANN401
        ((point, arguments),) = self.calls(inputs)
        return given(self.function, point, arguments)

    def _has_rows(self, argument: object) -> bool:
        return isinstance(argument, Tensor) and argument.ndim > 0 and len(argument) == self.samples


@dataclass(frozen=True)
class PerBatch:
    """A forward function that gives numbers for the batch as a whole: the batch is then one sample, (1, n, ...).

    Args:
        function: The forward function.
        arguments: What it is given after the inputs.
        target: Which output is explained.
        total: Whether the numbers are added up.
        read: Whether it matters what comes out.
    """

    function: Function
    arguments: tuple[Any, ...]
    target: Target = None
    total: bool = False
    read: bool = True
    shapes: list[tuple[int, ...]] = field(default_factory=list, compare=False)

    def __call__(self, _model: object, inputs: Point) -> Tensor:
        """Call the function for some batches, one after the other.

        Returns:
            What it gives, (m, numbers).

        Raises:
            ArgumentError: If there is more than one number for each row of it, and one is explained.
        """
        return torch.stack([self._one(*call) for call in self.calls(inputs)])

    def calls(self, inputs: Point) -> Iterator[tuple[Point, tuple[Any, ...]]]:
        """What the function is given for some batches.

        Yields:
            The inputs (n, ...) of each batch, and the arguments that follow them.
        """
        for row in range(len(inputs[0])):
            yield tuple(leaf[row] for leaf in inputs), self.arguments

    def _one(self, batch: Point, arguments: tuple[Any, ...]) -> Tensor:
        found = given(self.function, batch, arguments)
        if not self.read:
            return batch[0].flatten()[:1]
        found = explained(found, batch, self.target)
        if self.total:
            require_one_each(found)
        if not self.shapes:
            self.shapes.append(tuple(found.shape))
        return found.sum().reshape(1) if self.total else found.flatten()


def require_one_each(found: Tensor) -> None:
    """Check that one number is explained of each sample.

    Raises:
        ArgumentError: If there are more.
    """
    if found.ndim and found.numel() != len(found):
        raise ArgumentError(
            f"The explained outputs have shape (n, {', '.join(map(str, found.shape[1:]))}); one number for each sample"
            " can be explained. Give target=, the index of one."
        )


def called(function: Function, inputs: Point, arguments: tuple[Any, ...] | list[Any]) -> Tensor:
    """Call a forward function.

    Returns:
        The tensor that holds its predictions, where the inputs are; a Python number becomes a tensor.

    Raises:
        ArgumentTypeError: If it gives none.
    """
    return as_tensor(given(function, inputs, arguments), inputs)


def explained(found: Any, inputs: Point, target: Target) -> Tensor:  # noqa: ANN401
    """Read what is explained from what a forward function returned.

    Args:
        found: What it returned.
        inputs: What it was given.
        target: Which output is explained; of one number for the batch nothing is left to choose.

    Returns:
        What the target selects, (n, ...); or the one number.

    Raises:
        ArgumentTypeError: If there is no tensor in it.
        ArgumentError: If the target does not fit.
        SelectionError: If there is no such output.
    """
    output = as_tensor(found, inputs)
    return output if output.ndim == 0 else selected(output, target)


def given(function: Function, inputs: Point, arguments: tuple[Any, ...] | list[Any]) -> Any:  # noqa: ANN401
    """Call a forward function, whatever comes out.

    Returns:
        What it returned.
    """
    takes_none = not isinstance(function, torch.nn.Module) and _takes_nothing(function)
    return function() if takes_none else function(*inputs, *arguments)


def as_tensor(found: Any, inputs: Point) -> Tensor:  # noqa: ANN401
    """Find the predictions in what a forward function returned.

    Args:
        found: What it returned.
        inputs: What it was given.

    Returns:
        The tensor that holds them, where the inputs are; a Python number becomes a tensor.

    Raises:
        ArgumentTypeError: If there is none.
    """
    if isinstance(found, (int, float)):
        found = torch.tensor(found, dtype=torch.int64 if isinstance(found, int) else torch.float64)
    if isinstance(found, Future):
        raise ArgumentTypeError("The forward function gives a Future: call attribute_future, where there is one.")
    try:
        output = prediction(found)
    except TypeError:
        raise ArgumentTypeError(
            f"The forward function must give a tensor, got {type(found).__name__}: explain a function that picks one."
        ) from None
    return output.to(next((leaf.device for leaf in inputs if isinstance(leaf, Tensor)), output.device))


class Awaited:
    """A forward function that gives futures, called as one that gives what they hold.

    Args:
        function: The forward function.
    """

    def __init__(self, function: Function) -> None:
        self.function = function
        self.__self__ = owner_of(function)  # what it runs is found, as for a method

    def __call__(self, *given: Any) -> Any:  # noqa: ANN401
        """Call the function, and wait.

        Returns:
            What the future holds.

        Raises:
            ArgumentTypeError: If there is no future.
        """
        found = self.function(*given)
        if not isinstance(found, Future):
            raise ArgumentTypeError(f"The forward function gives {type(found).__name__}, no Future: call attribute.")
        return found.wait()


def _takes_nothing(function: Function) -> bool:
    function = function.function if isinstance(function, Awaited) else function
    try:
        return not signature(function).parameters
    except (TypeError, ValueError):  # built-in functions do not say
        return False
