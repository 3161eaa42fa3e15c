"""Places: where attributions live. A method never knows which one it works at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

import torch
from torch import Tensor

from lightning_explain.attribution.halting import captured
from lightning_explain.attribution.interception import NotBatchFirst, capturing, intercepted
from lightning_explain.attribution.model import output
from lightning_explain.attribution.scoring import explained, replaced
from lightning_explain.inputs import Inputs, Point, is_continuous, leaves, names, take
from lightning_explain.registry import unknown

if TYPE_CHECKING:
    from lightning_explain.attribution.question import Question

Index: TypeAlias = int | slice | tuple[int | slice, ...] | Callable[[Any], Tensor]
Side: TypeAlias = Literal["output", "input"]

SIDES = ("output", "input")


class Place(Protocol):
    """Answers the two questions of an attribution: what is it about, and what does it explain?"""

    @property
    def channel_dim(self) -> int | None:
        """The dimension that a feature spans whole; None where every element is a feature."""

    def variable(self, problem: Question, inputs: Inputs) -> Point:
        """The tensors that attributions are about, for the samples ``inputs``; (n, ...) each."""

    def names(self, problem: Question) -> tuple[str, ...]:
        """What the tensors of the variable are called."""

    def score(self, problem: Question, z: Point, rows: Tensor) -> Tensor:
        """The explained number (m,) where the variable is ``z`` (m, ...), else as in samples ``rows`` (m,)."""

    def observe(self, problem: Question, x: Point, rows: Tensor) -> tuple[Point, Tensor]:
        """From one forward pass where the inputs are ``x`` (m, ...): the variable, and the number explained.

        The number depends differentiably on the variable.
        """


@dataclass(frozen=True)
class Input:
    """The model's inputs. Integer inputs (token ids, flags) are held fixed if there is another one.

    Args:
        channel_dim: The dimension that a feature spans whole, where an input has more than two: for
            pictures (n, channels, height, width) a feature is a pixel. None: every element is one.
    """

    channel_dim: int | None = 1

    def variable(self, problem: Question, inputs: Inputs) -> Point:  # noqa: D102
        point = leaves(inputs)
        return tuple(point[i] for i in problem.varied)

    def names(self, problem: Question) -> tuple[str, ...]:  # noqa: D102
        return tuple(names(problem.inputs)[i] for i in problem.varied)

    def score(self, problem: Question, z: Point, rows: Tensor) -> Tensor:  # noqa: D102
        given = replaced(problem, z, rows)
        return explained(problem, output(problem.model, given, problem.forward, len(rows)), rows)

    def observe(self, problem: Question, x: Point, rows: Tensor) -> tuple[Point, Tensor]:  # noqa: D102
        z = tuple(map(differentiable, x))
        return z, self.score(problem, z, rows)

    def __str__(self) -> str:
        return ""


@dataclass(frozen=True)
class Layer:
    """The output, or the input, of a module; its floating point tensors (all, if none is), the batch first.

    The states of recurrent layers, and what modules with ``batch_first=False`` give, are turned so that
    the batch is first. Where a module runs more than once in a forward pass, ``call`` says which run is meant.

    Args:
        name: The module's dotted name, as in ``model.named_modules()``.
        of: Whether its ``"output"`` or its ``"input"`` is meant.
        channel_dim: As in :class:`Input`; ``-1`` for tokens (n, tokens, features).
        call: Which of the module's runs in one forward pass, from 0; -1 is the last.
        whole: Whether a sample is a batch (1, n, ...), run by itself: all that goes through the module is then of that
            one sample, and no dimension of it is taken for the batch's.
    """

    name: str
    of: Side = "output"
    channel_dim: int | None = 1
    call: int = 0
    whole: bool = field(default=False, repr=False)

    def __post_init__(self) -> None:
        _check_side(self.of)

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The layers that a place in the middle of the model is made of: this one."""
        return (self,)

    def variable(self, problem: Question, inputs: Inputs) -> Point:  # noqa: D102
        with torch.set_grad_enabled(problem.create_graph):
            return captured(problem, self, inputs, halts=True)

    def names(self, problem: Question) -> tuple[str, ...]:  # noqa: D102
        count = len(problem.z)
        return (self.name,) if count == 1 else tuple(f"{self.name}[{i}]" for i in range(count))

    def score(self, problem: Question, z: Point, rows: Tensor) -> Tensor:  # noqa: D102
        return explained(problem, self.outputs_beside(problem, z, rows), rows)

    def outputs_beside(self, problem: Question, z: Point, beside: Tensor) -> Tensor:
        """What the model gives where what leads up to the variable, all of which ``z`` replaces, sees other samples.

        Args:
            problem: The problem.
            z: The variable (m, ...).
            beside: The samples that the model is given, any number of them.

        Returns:
            Outputs (m, ...).
        """
        given = iter(z)
        # A clone, for a successor that works in place may not do so on a leaf of the graph.
        with intercepted(problem, self, lambda _: next(given).clone()):
            return output(problem.model, take(problem.inputs, beside), problem.forward, len(z[0]))

    def observe(self, problem: Question, x: Point, rows: Tensor) -> tuple[Point, Tensor]:  # noqa: D102
        with capturing(problem, self, len(rows), held) as found:
            score = Input().score(problem, x, rows)
        return tuple(found), score

    def __str__(self) -> str:
        return f"@{self.name}" + (":input" if self.of == "input" else "") + (f"#{self.call}" if self.call else "")


@dataclass(frozen=True)
class Neuron:
    """The inputs, explaining one unit of a layer (or the sum of several) in place of the model's output.

    Args:
        name: The layer's dotted name.
        index: The unit's index without the batch dimension: an integer, a tuple of integers and
            slices (what they select is summed), or a function (n, ...) -> (n,). Where several tensors go through the
            layer, an index is one into the first, and a function is given all of them, a tuple.
        of: Whether the layer's ``"output"`` or its ``"input"`` is meant.
        channel_dim: As in :class:`Input`.
        call: As in :class:`Layer`.
        whole: As in :class:`Layer`; a unit is then what the index finds in the whole batch, summed.
    """

    name: str
    index: Index = field(hash=False)  # slices have no hash before Python 3.12
    of: Side = "output"
    channel_dim: int | None = 1
    call: int = 0
    whole: bool = field(default=False, repr=False)

    def __post_init__(self) -> None:
        _check_side(self.of)

    @property
    def layer(self) -> Layer:
        """Where the unit is."""
        return Layer(self.name, self.of, call=self.call, whole=self.whole)

    def variable(self, problem: Question, inputs: Inputs) -> Point:  # noqa: D102
        return Input().variable(problem, inputs)

    def names(self, problem: Question) -> tuple[str, ...]:  # noqa: D102
        return Input().names(problem)

    def score(self, problem: Question, z: Point, rows: Tensor) -> Tensor:  # noqa: D102
        # To the end, for somebody may watch this pass for more than the unit.
        return self.unit(captured(problem, self.layer, replaced(problem, z, rows), halts=False))

    def observe(self, problem: Question, x: Point, rows: Tensor) -> tuple[Point, Tensor]:  # noqa: D102
        z = tuple(map(differentiable, x))
        return z, self.score(problem, z, rows)

    def unit(self, point: Point) -> Tensor:
        """Read the unit.

        Args:
            point: What goes through the layer, (n, ...) each.

        Returns:
            The unit, or the sum of several, (n,).

        Raises:
            IndexError: If there is no such unit.
        """
        if self.whole:
            return self._read(tuple(leaf[0] for leaf in point)).sum().reshape(1)
        unit = self._read(point)
        return unit.flatten(1).sum(dim=1) if unit.ndim > 1 and not callable(self.index) else unit

    def _read(self, point: Point) -> Tensor:
        if callable(self.index):
            unit = self.index(point if len(point) > 1 else point[0])
            return unit if self.whole else self._one_per_sample(unit, point[0])
        index = self.index if isinstance(self.index, tuple) else (self.index,)
        try:
            return point[0][(slice(None), *index)]
        except IndexError:
            raise IndexError(
                f"Neuron index {_written(self.index)} does not fit layer {self.name!r}, whose {self.of} has shape"
                f" (n, {', '.join(map(str, point[0].shape[1:]))}) for n samples."
            ) from None

    def _one_per_sample(self, unit: Tensor, activation: Tensor) -> Tensor:
        if unit.shape != activation.shape[:1]:
            raise NotBatchFirst(
                f"The index function of the neuron in layer {self.name!r} made {tuple(unit.shape)} of"
                f" {tuple(activation.shape)}; expected one number per sample, ({activation.shape[0]},)."
            )
        return unit

    def __str__(self) -> str:
        return f"{self.layer}[{_written(self.index)}]"


def differentiable(tensor: Tensor) -> Tensor:
    """What gradients are taken with respect to: part of its own graph, where it has one.

    Returns:
        The tensor, or one that shares its memory.

    Raises:
        TypeError: If it holds integers.
    """
    if not is_continuous(tensor):
        raise TypeError(
            f"There is no gradient with respect to {tensor.dtype} values. Explain the layer that turns them into"
            " numbers, or use a perturbation method such as occlusion."
        )
    return tensor if tensor.requires_grad else tensor.detach().requires_grad_()


def held(tensor: Tensor) -> tuple[Tensor, Tensor]:
    """Split a tensor into what gradients are taken with respect to, and what the model goes on with.

    Returns:
        Two tensors like it.
    """
    # Two clones: a skip connection past an identity, or a successor, may work in place on the tensor.
    kept = differentiable(tensor.clone())
    return kept, kept.clone()


def _check_side(of: str) -> None:
    if of not in SIDES:
        raise ValueError(unknown("side of a layer", of, SIDES))


def _written(index: Index) -> str:
    if callable(index):
        return getattr(index, "__name__", type(index).__name__)
    if isinstance(index, tuple):
        return ",".join(map(_written, index))
    if isinstance(index, slice):
        bounds = (index.start, index.stop) if index.step is None else (index.start, index.stop, index.step)
        return ":".join("" if bound is None else str(bound) for bound in bounds)
    return str(index)
