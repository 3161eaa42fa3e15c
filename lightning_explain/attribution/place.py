"""Places: where attributions live. A method never knows which one it works at."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, repeat
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

import torch
from torch import Tensor, nn

from lightning_explain.attribution.model import output
from lightning_explain.attribution.target import select
from lightning_explain.attribution.tree import map_tensors
from lightning_explain.inputs import Inputs, Point, is_continuous, leaves, names, rebuild, take
from lightning_explain.registry import unknown

if TYPE_CHECKING:
    from lightning_explain.attribution.problem import Problem

Index: TypeAlias = int | slice | tuple[int | slice, ...] | Callable[[Tensor], Tensor]
Side: TypeAlias = Literal["output", "input"]

SIDES = ("output", "input")


class Place(Protocol):
    """Answers the two questions of an attribution: what is it about, and what does it explain?"""

    @property
    def channel_dim(self) -> int | None:
        """The dimension that a feature spans whole; None where every element is a feature."""

    def variable(self, problem: Problem, inputs: Inputs) -> Point:
        """The tensors that attributions are about, for the samples ``inputs``; (n, ...) each."""

    def names(self, problem: Problem) -> tuple[str, ...]:
        """What the tensors of the variable are called."""

    def score(self, problem: Problem, z: Point, rows: Tensor) -> Tensor:
        """The explained number (m,) where the variable is ``z`` (m, ...), else as in samples ``rows`` (m,)."""


@dataclass(frozen=True)
class Input:
    """The model's inputs. Integer inputs (token ids, flags) are held fixed if there is another one.

    Args:
        channel_dim: The dimension that a feature spans whole, where an input has more than two: for
            pictures (n, channels, height, width) a feature is a pixel. None: every element is one.
    """

    channel_dim: int | None = 1

    def variable(self, problem: Problem, inputs: Inputs) -> Point:
        point = leaves(inputs)
        return tuple(point[i] for i in _varied(problem.inputs))

    def names(self, problem: Problem) -> tuple[str, ...]:
        return tuple(names(problem.inputs)[i] for i in _varied(problem.inputs))

    def score(self, problem: Problem, z: Point, rows: Tensor) -> Tensor:
        return _explained_output(problem, _replace(problem.inputs, z, rows), rows)

    def __str__(self) -> str:
        return ""


@dataclass(frozen=True)
class Layer:
    """The output, or the input, of a module; its floating point tensors, the batch first.

    The states of recurrent layers, and what modules with ``batch_first=False`` give, are turned so that
    the batch is first. A module that runs more than once in a forward pass is taken at its first run.

    Args:
        name: The module's dotted name, as in ``model.named_modules()``.
        of: Whether its ``"output"`` or its ``"input"`` is meant.
        channel_dim: As in :class:`Input`; ``-1`` for tokens (n, tokens, features).
    """

    name: str
    of: Side = "output"
    channel_dim: int | None = 1

    def __post_init__(self) -> None:
        if self.of not in SIDES:
            raise ValueError(unknown("side of a layer", self.of, SIDES))

    def variable(self, problem: Problem, inputs: Inputs) -> Point:
        with torch.no_grad():
            return captured(problem, self, inputs)

    def names(self, problem: Problem) -> tuple[str, ...]:
        count = len(problem.z)
        return (self.name,) if count == 1 else tuple(f"{self.name}[{i}]" for i in range(count))

    def score(self, problem: Problem, z: Point, rows: Tensor) -> Tensor:
        given = iter(z)
        # A clone, for a successor that works in place may not do so on a leaf of the graph.
        with intercepted(problem.model, self, lambda _: next(given).clone()):
            return _explained_output(problem, take(problem.inputs, rows), rows)

    def __str__(self) -> str:
        return f"@{self.name}" + (":input" if self.of == "input" else "")


@dataclass(frozen=True)
class Neuron:
    """The inputs, explaining one unit of a layer (or the sum of several) in place of the model's output.

    Args:
        name: The layer's dotted name.
        index: The unit's index without the batch dimension: an integer, a tuple of integers and
            slices (what they select is summed), or a function (n, ...) -> (n,).
        of: Whether the layer's ``"output"`` or its ``"input"`` is meant.
        channel_dim: As in :class:`Input`.
    """

    name: str
    index: Index
    of: Side = "output"
    channel_dim: int | None = 1

    @property
    def layer(self) -> Layer:
        """Where the unit is."""
        return Layer(self.name, self.of)

    def variable(self, problem: Problem, inputs: Inputs) -> Point:
        return Input().variable(problem, inputs)

    def names(self, problem: Problem) -> tuple[str, ...]:
        return Input().names(problem)

    def score(self, problem: Problem, z: Point, rows: Tensor) -> Tensor:
        return self._unit(captured(problem, self.layer, _replace(problem.inputs, z, rows))[0])

    def _unit(self, activation: Tensor) -> Tensor:
        if callable(self.index):
            return self._one_per_sample(self.index(activation), activation)
        index = self.index if isinstance(self.index, tuple) else (self.index,)
        try:
            unit = activation[(slice(None), *index)]
        except IndexError:
            raise IndexError(
                f"Neuron index {_written(self.index)} does not fit layer {self.name!r}, whose {self.of} has shape"
                f" (n, {', '.join(map(str, activation.shape[1:]))}) for n samples."
            ) from None
        return unit.flatten(1).sum(dim=1) if unit.ndim > 1 else unit

    def _one_per_sample(self, unit: Tensor, activation: Tensor) -> Tensor:
        if unit.shape != activation.shape[:1]:
            raise ValueError(
                f"The index function of the neuron in layer {self.name!r} made {tuple(unit.shape)} of"
                f" {tuple(activation.shape)}; expected one number per sample, ({activation.shape[0]},)."
            )
        return unit

    def __str__(self) -> str:
        return f"{self.layer}[{_written(self.index)}]"


def named_layers(model: nn.Module) -> dict[str, nn.Module]:
    """The modules of ``model`` by the name that users know, also where parts are compiled.

    Returns:
        Module by dotted name; the model itself is left out.
    """
    return {
        ".".join(part for part in name.split(".") if part != "_orig_mod"): module
        for name, module in model.named_modules()
        if name
    }


def find_layer(model: nn.Module, name: str) -> nn.Module:
    """Find a layer by name.

    Returns:
        The module.

    Raises:
        ValueError: If there is none; the message suggests the nearest and lists all.
    """
    layers = named_layers(model)
    if name not in layers:
        raise ValueError(unknown("layer", name, layers))
    return layers[name]


def captured(problem: Problem, layer: Layer, inputs: Inputs) -> Point:
    """Run the model and keep what goes through a layer.

    Returns:
        Clones, for a successor that works in place would overwrite the tensors; (n, ...) each.

    Raises:
        ValueError: If the layer does not exist, was not reached or holds nothing to explain.
    """
    rows = leaves(inputs)[0].shape[0]
    found: list[Tensor] = []

    def capture(tensor: Tensor) -> Tensor:
        if tensor.ndim == 0 or tensor.shape[0] != rows:
            raise ValueError(
                f"The {layer.of} of layer {layer.name!r} has shape {tuple(tensor.shape)} for {rows} samples;"
                " expected one row per sample, the batch dimension first."
            )
        found.append(tensor.clone())
        return tensor

    with intercepted(problem.model, layer, capture):
        problem.forward(problem.model, inputs)
    if not found:
        raise ValueError(f"The {layer.of} of layer {layer.name!r} holds no floating point tensor to explain.")
    return tuple(found)


@contextmanager
def intercepted(model: nn.Module, layer: Layer, change: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Pass the floating point tensors of ``layer``, at its first run, through ``change``.

    Yields:
        None; leave the block after the forward pass.

    Raises:
        ValueError: If the layer does not exist, or was not reached.
    """
    module = find_layer(model, layer.name)
    reached = False

    def first(tree: Any) -> Any:
        nonlocal reached
        if reached:
            return None
        reached = True
        dims = _batch_dims(module, layer.of)
        return map_tensors(tree, lambda tensor: _batch_first(tensor, next(dims), change))

    if layer.of == "output":
        handle = module.register_forward_hook(lambda _module, _args, result: first(result))
    else:
        handle = module.register_forward_pre_hook(lambda _module, args, kwargs: first((args, kwargs)), with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()
    if not reached:
        raise ValueError(
            f"The layer {layer.name!r} was never reached in the model's forward pass: it is unused for these"
            " inputs, or its weights are used without calling it (as in a fused attention)."
        )


def _batch_dims(module: nn.Module, of: Side) -> Iterator[int]:
    """Where the batch is in each of a module's tensors."""
    first = 0 if getattr(module, "batch_first", True) else 1
    if isinstance(module, nn.RNNBase):
        return chain([first], repeat(1))  # then the states, (layers, n, ...)
    return repeat(first) if of == "input" else chain([first], repeat(0))  # then attention weights, (n, ...)


def _batch_first(tensor: Tensor, batch_dim: int, change: Callable[[Tensor], Tensor]) -> Tensor:
    if batch_dim == 0 or tensor.ndim <= batch_dim:
        return change(tensor)
    return change(tensor.movedim(batch_dim, 0)).movedim(0, batch_dim)


def _written(index: Index) -> str:
    """An index as it is written between brackets."""
    if callable(index):
        return getattr(index, "__name__", type(index).__name__)
    if isinstance(index, tuple):
        return ",".join(map(_written, index))
    if isinstance(index, slice):
        bounds = (index.start, index.stop) if index.step is None else (index.start, index.stop, index.step)
        return ":".join("" if bound is None else str(bound) for bound in bounds)
    return str(index)


def _varied(inputs: Inputs) -> list[int]:
    point = leaves(inputs)
    return [i for i, leaf in enumerate(point) if is_continuous(leaf)] or list(range(len(point)))


def _replace(inputs: Inputs, z: Point, rows: Tensor) -> Inputs:
    given = dict(zip(_varied(inputs), z, strict=True))
    point = tuple(
        given[i].clone() if i in given else leaf.index_select(0, rows) for i, leaf in enumerate(leaves(inputs))
    )
    return rebuild(inputs, point)


def _explained_output(problem: Problem, inputs: Inputs, rows: Tensor) -> Tensor:
    target = None if problem.target is None else problem.target.index_select(0, rows)
    return select(output(problem.model, inputs, problem.forward), target, problem.readout)
