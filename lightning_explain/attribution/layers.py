"""Several layers as one place."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from itertools import chain, islice
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lightning_explain.attribution.halting import Halt, may_halt, run
from lightning_explain.attribution.interception import Reached, Split, capturing, intercepted
from lightning_explain.attribution.model import output
from lightning_explain.attribution.place import Input, Layer, Neuron, Place, held
from lightning_explain.attribution.scoring import explained
from lightning_explain.inputs import Inputs, Point, leaves, take

if TYPE_CHECKING:
    from lightning_explain.attribution.question import Question


@dataclass(frozen=True)
class Layers:
    """Several layers at once, from one forward pass: the floating point tensors of each, layer by layer.

    Gradients are taken at all of them in one pass. Methods that choose points of their own (integrated gradients,
    occlusion) replace all of them together: that is meant for layers side by side, such as the embeddings of words and
    of positions. Of layers behind one another the last alone would count there; explain those one by one.

    Args:
        layers: The layers, or their dotted names.
    """

    layers: tuple[Layer, ...]

    def __init__(self, layers: Iterable[Layer | str]) -> None:
        made = tuple(Layer(layer) if isinstance(layer, str) else layer for layer in layers)
        if not made or len(set(made)) < len(made):
            raise ValueError(f"Expected some layers, all of them different, got {[str(layer) for layer in made]}.")
        object.__setattr__(self, "layers", made)

    @property
    def channel_dim(self) -> int | None:  # noqa: D102
        return self.layers[0].channel_dim

    def variable(self, problem: Question, inputs: Inputs) -> Point:  # noqa: D102
        rows = leaves(inputs)[0].shape[0]
        with torch.set_grad_enabled(problem.create_graph):
            halt = Halt(len(self.layers), halts=may_halt(problem, self.layers, rows))
            with self._captured(problem, rows, _kept, halt.reached) as found:
                run(problem, inputs)
            return self._point(problem, found)

    def names(self, problem: Question) -> tuple[str, ...]:  # noqa: D102
        names = []
        for layer, count in zip(self.layers, self.counts(problem), strict=True):
            name = str(layer).removeprefix("@")
            names.extend([name] if count == 1 else [f"{name}[{i}]" for i in range(count)])
        return tuple(names)

    def counts(self, problem: Question) -> tuple[int, ...]:
        """How many tensors of the variable belong to each layer.

        Returns:
            Their numbers, which add up to that of the tensors.
        """
        if self not in problem.counted:
            first = torch.zeros(1, dtype=torch.long, device=leaves(problem.inputs)[0].device)
            self.variable(problem, take(problem.inputs, first))
        return problem.counted[self]  # type: ignore[no-any-return]

    def split(self, problem: Question, point: Point) -> tuple[Point, ...]:
        """Divide tensors among the layers.

        Args:
            problem: The problem.
            point: A tensor for each of the variable's.

        Returns:
            The tensors of each layer.
        """
        given = iter(point)
        return tuple(tuple(islice(given, count)) for count in self.counts(problem))

    def score(self, problem: Question, z: Point, rows: Tensor) -> Tensor:  # noqa: D102
        return explained(problem, self.outputs_beside(problem, z, rows), rows)

    def outputs_beside(self, problem: Question, z: Point, beside: Tensor) -> Tensor:
        """As in :meth:`Layer.outputs_beside`.

        Returns:
            Outputs (m, ...).
        """
        with ExitStack() as stack:
            for layer, given in zip(self.layers, self.split(problem, z), strict=True):
                stack.enter_context(intercepted(problem, layer, _each_of(given)))
            return output(problem.model, take(problem.inputs, beside), problem.forward, len(z[0]))

    def observe(self, problem: Question, x: Point, rows: Tensor) -> tuple[Point, Tensor]:  # noqa: D102
        with self._captured(problem, len(rows), held) as found:
            score = Input().score(problem, x, rows)
        return self._point(problem, found), score

    @contextmanager
    def _captured(
        self, problem: Question, rows: int, split: Split, reached: Reached = lambda: None
    ) -> Iterator[list[list[Tensor]]]:
        with ExitStack() as stack:
            yield [stack.enter_context(capturing(problem, layer, rows, split, reached)) for layer in self.layers]

    def _point(self, problem: Question, found: list[list[Tensor]]) -> Point:
        problem.counted[self] = tuple(map(len, found))
        return tuple(chain(*found))

    def __str__(self) -> str:
        return "@" + "+".join(str(layer).removeprefix("@") for layer in self.layers)


def as_a_whole(place: Place) -> Place:
    """A place where a sample is a batch that is run by itself.

    Returns:
        The place, ``whole``; the inputs are the same.
    """
    if isinstance(place, Layers):
        return Layers(replace(layer, whole=True) for layer in place.layers)
    return replace(place, whole=True) if isinstance(place, (Layer, Neuron)) else place


def _kept(tensor: Tensor) -> tuple[Tensor, Tensor]:
    return tensor.clone(), tensor


def _each_of(tensors: Point) -> Callable[[Tensor], Tensor]:
    given = iter(tensors)
    return lambda _: next(given).clone()
