"""One attribution problem: the only door to its rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import torch
from torch import Tensor

from lightning_explain.attribution.derivative import accumulator, derivative
from lightning_explain.attribution.halting_neuron import halting
from lightning_explain.attribution.place import Input, Neuron, differentiable
from lightning_explain.attribution.question import Question
from lightning_explain.attribution.tail import shortened
from lightning_explain.attribution.target import select
from lightning_explain.inputs import Point, column, leaves, pick

Points: TypeAlias = Callable[[Tensor, Tensor], Point]
"""(rows, copies) -> the variable, with a row for each pair of a sample and a copy number."""

Score: TypeAlias = Callable[[Point, Tensor, Tensor], Tensor]
"""(variable, rows, copies) -> the score of each row, with the graph whose gradient is wanted."""

Observe: TypeAlias = Callable[[Point, Tensor, Tensor], tuple[Point, Tensor]]
"""(inputs, rows, copies) -> the variable and the score of each row, from one pass of the model."""

Use: TypeAlias = Callable[[Tensor, Tensor, Point, Point], None]
"""(rows, copies, variable, gradient) -> nothing: what is done with the variable and its gradient at these pairs."""


@dataclass(frozen=True, eq=False)
class Problem(Question):
    """What a method sees: a question, and the score with its gradient at points that the method chooses.

    Every row goes through the model by way of the row budget.
    """

    @property
    def distinct(self) -> Problem:
        """The problem in which every sample stands once; this one, unless it explains several outputs at a time."""
        return self

    @cached_property
    def value(self) -> Tensor:
        """The score at the inputs, (n,)."""
        if not isinstance(self.place, Neuron) and not self.create_graph:  # the outputs are without a graph
            score = select(self.outputs, self.target, self.readout)
            return score.to(accumulator(score))
        return self.values(1, lambda rows, _: pick(self.z, rows))[:, 0]

    @cached_property
    def baseline_value(self) -> Tensor:
        """The score at the baseline, (n,)."""
        return self.values(1, lambda rows, _: pick(self.z0, rows))[:, 0]

    def values(self, copies: int, points: Points) -> Tensor:
        """The score of ``copies`` points for each sample.

        Args:
            copies: The number of points per sample.
            points: Makes the points for pairs of sample and copy number.

        Returns:
            Scores (n, copies).
        """
        parts: list[Tensor] = []
        place = shortened(self, copies)

        def body(chunk: slice) -> None:
            rows, copy = self._pairs(chunk)
            # Not inference_mode: what a module caches in its forward pass would poison its next training step.
            with torch.set_grad_enabled(self.create_graph):
                score = place.score(self, points(rows, copy), rows)
                parts.append(score.to(accumulator(score), copy=True))  # a view would keep all its base

        self.run(copies * self.samples, f"forward{self.place}", body)
        return torch.cat(parts).view(copies, self.samples).T

    def score(self, z: Point, rows: Tensor) -> Tensor:
        """The explained number, with its graph, in one pass of the model; methods ask for means or values instead.

        Args:
            z: The variable, (m, ...) each.
            rows: The samples that the rest is taken from, (m,).

        Returns:
            Scores (m,).
        """
        return self.place.score(self, z, rows)

    def gradient(self) -> Point:
        """The gradient of the score with respect to the variable, at the inputs.

        Returns:
            Tensors like ``z``, at least in float32; they are remembered.
        """
        if "slope" in vars(self):
            return self.__dict__["slope"]  # type: ignore[no-any-return]
        variables: list[Point] = []
        gradients: list[Point] = []

        def keep(_rows: Tensor, _copies: Tensor, z: Point, gradient: Point) -> None:
            variables.append(z if self.create_graph else tuple(leaf.detach() for leaf in z))
            gradients.append(gradient)

        self.observe(1, lambda rows, _: pick(Input().variable(self, self.inputs), rows), keep)
        # One forward pass gave both.
        self.__dict__.setdefault("z", tuple(map(torch.cat, zip(*variables, strict=True))))
        self.remember(slope=tuple(map(torch.cat, zip(*gradients, strict=True))))
        return self.gradient()

    def gradient_mean(
        self,
        copies: int,
        points: Points,
        weights: Tensor | None = None,
        factors: Points | None = None,
        *,
        score: Score | None = None,
        kind: str = "backward",
    ) -> Point:
        """The weighted mean of the gradients at ``copies`` points for each sample.

        Args:
            copies: The number of points per sample.
            points: Makes the points for pairs of sample and copy number.
            weights: Weights (copies,); 1 / copies each, if None.
            factors: What the gradient at each point is multiplied with; asked after ``points``, for the same pairs.
            score: What to differentiate: :meth:`score`, with another backward pass perhaps; None: :meth:`score`.
            kind: What the work is, for the row budget, which learns chunk sizes for each kind.

        Returns:
            Tensors like ``z``, at least in float32.
        """
        self.require_numbers()
        score = score or self._scored(copies)  # before the variable is asked for: its pass gives both
        weights = torch.full((copies,), 1 / copies, dtype=torch.float64) if weights is None else weights
        totals = tuple(torch.zeros_like(leaf, dtype=accumulator(leaf)) for leaf in self.z)

        def add(rows: Tensor, copy: Tensor, _: Point, gradients: Point) -> None:
            if factors is not None:
                gradients = tuple(map(torch.mul, gradients, factors(rows, copy)))
            weighted = [
                column(weights.to(total)[copy], total) * gradient
                for total, gradient in zip(totals, gradients, strict=True)
            ]
            for total, part in zip(totals, weighted, strict=True):  # nothing is added before all is there
                total.index_add_(0, rows, part)

        self.gradients_at(copies, points, add, score=score, kind=kind)
        return totals

    def gradients_at(
        self, copies: int, points: Points, use: Use, *, score: Score | None = None, kind: str = "backward"
    ) -> None:
        """Take the gradients at ``copies`` points for each sample: for what is more than their mean.

        Args:
            copies: The number of points per sample.
            points: Makes the points for pairs of sample and copy number.
            use: Is given pairs (rows, copies), the variable and the gradient at them; copy by copy. It must not add
                anything to a result before it has all of it, for memory may run out.
            score: As in :meth:`gradient_mean`.
            kind: As in :meth:`gradient_mean`.
        """
        self.require_numbers()
        scored = score or self._scored(copies)

        def body(chunk: slice) -> None:
            rows, copy = self._pairs(chunk)
            z = points(rows, copy)
            use(rows, copy, z, self._gradient_at(scored, z, rows, copy))

        self.run(copies * self.samples, f"{kind}{self.place}", body)

    def observe(
        self, copies: int, points: Points, use: Use, *, observed: Observe | None = None, kind: str = "observe"
    ) -> None:
        """Take the variable and the gradient, from one forward pass, where the inputs are ``copies`` chosen points.

        Args:
            copies: The number of points per sample.
            points: Makes the inputs (those that can vary) for pairs of sample and copy number.
            use: Is given pairs (rows, copies), the variable and the gradient at them; copy by copy.
            observed: What to observe, and differentiate; None: the place's variable and score.
            kind: As in :meth:`gradient_mean`.
        """
        self.require_numbers()
        place = halting(self.place)
        observed = observed or (lambda x, rows, _: place.observe(self, x, rows))

        def body(chunk: slice) -> None:
            rows, copy = self._pairs(chunk)
            with torch.enable_grad():
                z, score = observed(points(rows, copy), rows, copy)
                gradients = derivative(self, score, z)
            use(rows, copy, z, gradients)

        self.run(copies * self.samples, f"{kind}{self.place}", body)

    def _pairs(self, chunk: slice) -> tuple[Tensor, Tensor]:
        # Copy by copy, so that a chunk holds as few copies as possible.
        index = torch.arange(chunk.start, chunk.stop, device=leaves(self.inputs)[0].device)
        return index % self.samples, index // self.samples

    def _scored(self, copies: int) -> Score:
        place = shortened(self, copies)
        return lambda z, rows, _: place.score(self, z, rows)

    def _gradient_at(self, score: Score, z: Point, rows: Tensor, copies: Tensor) -> Point:
        with torch.enable_grad():
            z = tuple(differentiable(leaf if self.create_graph else leaf.detach()) for leaf in z)
            return derivative(self, score(z, rows, copies), z)
