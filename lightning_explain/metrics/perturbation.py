"""The one engine behind every score that removes features and watches the model."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from lightning_explain.attribution.features import FeatureSpace
from lightning_explain.attribution.problem import Problem
from lightning_explain.attribution.target import Readout
from lightning_explain.inputs import Point
from lightning_explain.precision import accurate
from lightning_explain.randomness import stream


@dataclass(frozen=True)
class Perturbations:
    """Removals of features, replaced by the baseline, and the score that remains.

    What does not depend on an attribution (the score at the input and at the baseline, the random
    removals) is computed once and serves every method; the random removals come from a generator of
    their own and are the same at every validation.

    Random removals are watched in the score that is explained, for attributions foretell that one; the
    curves in ``readout``, for an area under logits has no range.

    Args:
        problem: The problem, its place that of the attributions to be judged.
        readout: What the curves show: ``"probability"`` of the target, or the ``"raw"`` score.
        steps: The number of removals from none to all, at most one for each feature; each of both curves costs
            ``steps - 1`` rows.
        removals: The number of random removals; each costs a row.
        cells: Random removals take whole cells of a grid with this many cells along each side.
        share: The share of cells that a random removal takes.
        seed: Where the random removals begin.
    """

    problem: Problem
    readout: Readout = "raw"
    steps: int = 16
    removals: int = 64
    cells: int = 6
    share: float = 0.2
    seed: int = 0

    @cached_property
    def features(self) -> FeatureSpace:
        """The features that are removed, D of them."""
        return FeatureSpace.of(self.problem.z, self.problem.place.channel_dim)

    @cached_property
    def cell(self) -> Tensor:
        """The number of the cell in which each feature lies, (D,)."""
        return self.features.cells(self.cells).to(self._device)

    @cached_property
    def taken(self) -> Tensor:
        """The cells that each random removal takes, (removals, number of cells)."""
        count = int(self.cell.max()) + 1
        drawn = torch.rand(self.removals, count, generator=stream("removals", self.seed), dtype=torch.float32)
        order = drawn.argsort(dim=1)
        taken = torch.zeros(self.removals, count, dtype=torch.bool)
        taken.scatter_(1, order[:, : max(1, round(self.share * count))], value=True)
        return taken.to(self._device)

    @cached_property
    def drops(self) -> Tensor:
        """How much the score falls at each random removal, (n, removals)."""
        left = self.problem.values(self.removals, lambda rows, copy: self._removed(rows, self.masks(copy)))
        return self.problem.value[:, None] - left

    @cached_property
    def shares(self) -> Tensor:
        """The share of the features that is gone at each point of the curves, (points,) from 0 to 1, float64."""
        return self._counts / self._counts[-1]

    def masks(self, removals: Tensor) -> Tensor:
        """Random removals by number, as masks of the features; all at once might not fit into memory.

        Returns:
            Masks (len(removals), D), True where a feature is removed.
        """
        return self.taken[removals][:, self.cell]

    def foretold(self, contributions: Tensor) -> Tensor:
        """How much the score falls at each random removal, if the features' contributions add up.

        Args:
            contributions: What each feature adds to the score, (n, D).

        Returns:
            Sums (n, removals), float64.
        """
        contributions = accurate(contributions)
        cell, taken = self.cell.to(contributions.device), self.taken.to(contributions)
        return contributions.new_zeros(len(contributions), taken.shape[1]).index_add(1, cell, contributions) @ taken.T

    def curves(self, scores: Tensor) -> tuple[Tensor, Tensor]:
        """The score while features go, the highest attribution first, and while they come.

        Args:
            scores: Attributions of the features (n, D); ties keep the features' order.

        Returns:
            The deletion curve, from the input to the baseline, and the insertion curve, from the
            baseline to the input; (n, points) each, at ``shares`` of the features.
        """
        order = scores.argsort(dim=1, descending=True, stable=True)
        rank = torch.empty_like(order).scatter_(
            1, order, torch.arange(order.shape[1], device=order.device).expand_as(order)
        )
        counts = self._counts[1:-1].to(order.device)

        def point(rows: Tensor, copy: Tensor) -> Point:
            deleted = rank[rows] < counts[copy % len(counts)][:, None]
            return self._removed(rows, deleted ^ (copy >= len(counts))[:, None])

        full, empty = self._shown.value[:, None], self._shown.baseline_value[:, None]
        if not len(counts):  # one feature: nothing lies between all and none
            return torch.cat([full, empty], dim=1), torch.cat([empty, full], dim=1)
        deletion, insertion = self._shown.values(2 * len(counts), point).tensor_split(2, dim=1)
        return torch.cat([full, deletion, empty], dim=1), torch.cat([empty, insertion, full], dim=1)

    @cached_property
    def _counts(self) -> Tensor:
        steps = min(self.steps, self.features.count)
        return torch.linspace(0, self.features.count, steps + 1, dtype=torch.float64).round()

    @cached_property
    def _shown(self) -> Problem:
        return replace(self.problem, readout=self.readout)

    @property
    def _device(self) -> torch.device:
        return self.problem.z[0].device

    def _removed(self, rows: Tensor, removed: Tensor) -> Point:
        return tuple(
            torch.where(mask, z0[rows], z[rows])
            for mask, z, z0 in zip(self.features.scatter(removed), self.problem.z, self.problem.z0, strict=True)
        )
