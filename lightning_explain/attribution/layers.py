"""Several layers as one place."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lightning_explain.attribution.interception import Split, capturing, intercepted
from lightning_explain.attribution.model import output
from lightning_explain.attribution.place import Input, Layer, explained, held
from lightning_explain.inputs import Inputs, Point, leaves, take

if TYPE_CHECKING:
    from lightning_explain.attribution.question import Question


@dataclass(frozen=True)
class Layers:
    """Several layers at once, from one forward pass; each holds one floating point tensor, the batch first.

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
            with self._captured(problem, rows, _kept) as found:
                problem.forward(problem.model, inputs)
            return self._point(found)

    def names(self, problem: Question) -> tuple[str, ...]:  # noqa: D102
        return tuple(str(layer).removeprefix("@") for layer in self.layers)

    def score(self, problem: Question, z: Point, rows: Tensor) -> Tensor:  # noqa: D102
        return explained(problem, self.outputs_beside(problem, z, rows), rows)

    def outputs_beside(self, problem: Question, z: Point, beside: Tensor) -> Tensor:
        """As in :meth:`Layer.outputs_beside`.

        Returns:
            Outputs (m, ...).
        """
        with ExitStack() as stack:
            for layer, given in zip(self.layers, z, strict=True):
                stack.enter_context(intercepted(problem.model, layer, _given(given)))
            return output(problem.model, take(problem.inputs, beside), problem.forward, len(z[0]))

    def observe(self, problem: Question, x: Point, rows: Tensor) -> tuple[Point, Tensor]:  # noqa: D102
        with self._captured(problem, len(rows), held) as found:
            score = Input().score(problem, x, rows)
        return self._point(found), score

    @contextmanager
    def _captured(self, problem: Question, rows: int, split: Split) -> Iterator[list[list[Tensor]]]:
        with ExitStack() as stack:
            yield [stack.enter_context(capturing(problem, layer, rows, split)) for layer in self.layers]

    def _point(self, found: list[list[Tensor]]) -> Point:
        for layer, tensors in zip(self.layers, found, strict=True):
            if len(tensors) > 1:
                raise ValueError(
                    f"The {layer.of} of layer {layer.name!r} holds {len(tensors)} tensors; among several layers each"
                    f" has one. Explain it by itself, Layer({layer.name!r})."
                )
        return tuple(tensors[0] for tensors in found)

    def __str__(self) -> str:
        return "@" + "+".join(str(layer).removeprefix("@") for layer in self.layers)


def _kept(tensor: Tensor) -> tuple[Tensor, Tensor]:
    return tensor.clone(), tensor


def _given(tensor: Tensor) -> Callable[[Tensor], Tensor]:
    return lambda _: tensor.clone()
