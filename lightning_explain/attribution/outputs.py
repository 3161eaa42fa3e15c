"""Several outputs explained by the rows of one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from lightning_explain.attribution.derivative import accumulator
from lightning_explain.attribution.model import output
from lightning_explain.attribution.place import Input, Place
from lightning_explain.attribution.problem import Points, Problem
from lightning_explain.attribution.sweep import variable_of
from lightning_explain.attribution.tail import shortened
from lightning_explain.attribution.target import select_each
from lightning_explain.feature_mask import select as select_mask
from lightning_explain.inputs import Inputs, Point, leaves, take


@dataclass(frozen=True, eq=False)
class Outputs(Problem):
    """A problem in which the samples stand once for each of several outputs: all of them for the first, and so on.

    A method that asks for nothing but scores at points that do not depend on what is explained
    (``Method.shares_points``) gets those of every output from rows that are run once. Points are asked for of the
    samples of the first output alone.

    Args:
        single: The problem in which the samples stand once.
        targets: What is explained of them, indices (T, n, k).
    """

    single: Problem = field(kw_only=True)
    targets: Tensor = field(kw_only=True)

    @property
    def distinct(self) -> Problem:  # noqa: D102
        return self.single

    @cached_property
    def z(self) -> Point:  # noqa: D102
        # An input's variable is among its inputs: nothing is held twice.
        return variable_of(self, self.inputs) if isinstance(self.place, Input) else self._repeated(self.single.z)

    @cached_property
    def z0(self) -> Point:  # noqa: D102
        known = not isinstance(self.place, Input) or "z0" in vars(self.single)
        return self._repeated(self.single.z0) if known else variable_of(self, self.baseline)

    @cached_property
    def outputs(self) -> Tensor:  # noqa: D102
        return self._repeated((self.single.outputs,))[0]

    @cached_property
    def value(self) -> Tensor:  # noqa: D102
        found = select_each(self.single.outputs, self.targets, self.readout)
        return found.to(accumulator(found)).flatten()

    def values(self, copies: int, points: Points) -> Tensor:  # noqa: D102
        single, n = self.single, self.single.samples
        place = shortened(single, copies)
        parts: list[Tensor] = []

        def body(chunk: slice) -> None:
            index = torch.arange(chunk.start, chunk.stop, device=leaves(single.inputs)[0].device)
            rows = index % n
            with torch.no_grad():
                given = self._given(place, points(rows, index // n), rows)
                scores = select_each(given, self.targets.index_select(1, rows), self.readout)
            parts.append(scores.to(accumulator(scores), copy=True))

        self.run(copies * n, f"forward{single.place}", body)
        together = torch.cat(parts, dim=1).view(len(self.targets), copies, n)
        return together.transpose(1, 2).reshape(-1, copies)

    def select(self, rows: Tensor) -> Outputs:
        """The same problem for some samples: ``rows`` holds them for every output alike.

        Returns:
            A problem of ``len(rows)`` samples.
        """
        chosen = rows[rows < self.single.samples]
        return of_each(self.single.select(chosen), list(self.targets.index_select(1, chosen)))

    def _changed(self, **changes: Any) -> Outputs:
        return super()._changed(**changes, single=self.single.at(changes.get("place", self.single.place)))

    def split(self, point: Point) -> list[Point]:
        """Take apart what was computed for all outputs together.

        Args:
            point: Tensors (T * n, ...).

        Returns:
            Tensors (n, ...) for each output.
        """
        parts = [leaf.unflatten(0, (len(self.targets), self.single.samples)) for leaf in point]
        return [tuple(part[number] for part in parts) for number in range(len(self.targets))]

    def _repeated(self, point: Point) -> Point:
        return tuple(leaf.repeat(len(self.targets), *[1] * (leaf.ndim - 1)) for leaf in point)

    def _given(self, place: Place, z: Point, rows: Tensor) -> Tensor:
        # What the model gives: the place itself only tells one number of it.
        results: list[Any] = []

        def kept(model: nn.Module, inputs: Inputs) -> Any:  # noqa: ANN401
            results.append(self.single.forward(model, inputs))
            return results[0]

        place.score(replace(self.single, forward=kept, target=None, readout="first"), z, rows)
        return output(self.single.model, self.single.inputs, lambda *_: results[0], len(rows))


def of_each(problem: Problem, targets: Sequence[Tensor]) -> Outputs:
    """The samples of a problem, once for each of several outputs.

    Args:
        problem: The problem, its own target aside.
        targets: Indices (n, k) for each output.

    Returns:
        A problem of as many times the samples, output by output.
    """
    rows = torch.arange(problem.samples, device=leaves(problem.inputs)[0].device).repeat(len(targets))
    mask = problem.feature_mask
    changes = {
        "inputs": take(problem.inputs, rows),
        "baseline": take(problem.baseline, rows),
        "target": torch.cat(list(targets)),
        "feature_mask": None if mask is None else select_mask(mask, rows, problem.samples),
        "tails": {},
    }
    kept = {held.name: getattr(problem, held.name) for held in fields(Problem) if held.init}
    return Outputs(**(kept | changes), single=problem, targets=torch.stack(list(targets)))
