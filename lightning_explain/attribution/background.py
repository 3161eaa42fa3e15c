"""A distribution of baselines, seen at the place of a problem."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from lightning_explain.attribution.place import Input, Neuron
from lightning_explain.attribution.problem import Problem
from lightning_explain.baseline import background as matched
from lightning_explain.inputs import Inputs, Point, leaves, pick, rebuild


@dataclass(frozen=True, eq=False)
class Background:
    """A distribution of baselines.

    Args:
        problem: The problem.
        known: Number of an input -> its baselines (K, ...). The other inputs are what they are in each sample.
    """

    problem: Problem
    known: Mapping[int, Tensor]

    @classmethod
    def of(cls, problem: Problem, baselines: Inputs) -> Background:
        """Bring baselines to the structure of a problem's inputs.

        Args:
            problem: The problem.
            baselines: Tensors (K, ...) in the structure of the inputs; or, of those that attributions are about, where
                a problem says so, in their order.

        Returns:
            The distribution.

        Raises:
            ValueError: If one is missing, or has another shape.
        """
        point = leaves(problem.inputs)
        named = problem.about is not None and not isinstance(baselines, Mapping)
        if named and len(leaves(baselines)) == len(problem.varied):
            chosen = problem.varied
            found = leaves(matched(leaves(baselines), tuple(point[i] for i in chosen)))
        else:
            chosen, found = tuple(range(len(point))), leaves(matched(baselines, problem.inputs))
        return cls(problem, dict(zip(chosen, found, strict=True)))

    @property
    def count(self) -> int:
        """The number of baselines K."""
        return len(next(iter(self.known.values())))

    def inputs(self, rows: Tensor, numbers: Tensor) -> Inputs:
        """Baselines in the place of samples.

        Args:
            rows: The samples that the other inputs are taken from (m,).
            numbers: Which baselines (m,).

        Returns:
            Inputs of m samples.
        """
        point = leaves(self.problem.inputs)
        return rebuild(
            self.problem.inputs,
            tuple(
                self.known[i].index_select(0, numbers) if i in self.known else leaf.index_select(0, rows)
                for i, leaf in enumerate(point)
            ),
        )

    def at(self, rows: Tensor, numbers: Tensor) -> Point:
        """The place's variable at baselines.

        Args:
            rows: The samples (m,).
            numbers: Which baselines (m,).

        Returns:
            Tensors (m, ...).
        """
        if self._shared is not None:
            return pick(self._shared, numbers)
        return self.problem.place.variable(self.problem, self.inputs(rows, numbers))

    @cached_property
    def _shared(self) -> Point | None:
        # The variable at all baselines, where that does not depend on the sample.
        problem = self.problem
        if isinstance(problem.place, (Input, Neuron)):
            return tuple(self.known[i] for i in problem.varied)
        if len(self.known) < len(leaves(problem.inputs)):
            return None
        every = rebuild(problem.inputs, tuple(self.known.values()))
        return replace(problem, inputs=every, baseline=every, target=None, feature_mask=None, tails={}).z


def in_turn(count: int, draws: int, generator: torch.Generator) -> Tensor:
    """Draw without repetition as long as that lasts, then again.

    Args:
        count: How many there are to draw from.
        draws: How many are drawn.
        generator: Where the random numbers come from.

    Returns:
        Numbers (draws,) below ``count``, each as often as any other, or once more.

    Example:
        >>> in_turn(2, 6, torch.Generator().manual_seed(0)).bincount()
        tensor([3, 3])
    """
    rounds = -(-draws // count)
    return torch.cat([torch.randperm(count, generator=generator) for _ in range(rounds)])[:draws]
