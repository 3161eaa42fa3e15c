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
        steps: The number of removals from none to all; each of both curves costs ``steps - 1`` rows.
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
    def masks(self) -> Tensor:
        """The random removals (removals, D), True where a feature is removed."""
        generator = torch.Generator().manual_seed(self.seed)
        cell = self.features.cells(self.cells)
        count = int(cell.max()) + 1
        order = torch.rand(self.removals, count, generator=generator, dtype=torch.float32).argsort(dim=1)
        chosen = torch.zeros(self.removals, count, dtype=torch.bool)
        chosen.scatter_(1, order[:, : max(1, round(self.share * count))], value=True)
        return chosen[:, cell].to(self._device)

    @cached_property
    def drops(self) -> Tensor:
        """How much the score falls at each random removal, (n, removals)."""
        left = self.problem.values(self.removals, lambda rows, copy: self._removed(rows, self.masks[copy]))
        return self.problem.value[:, None] - left

    def curves(self, scores: Tensor) -> tuple[Tensor, Tensor]:
        """The score while features go, the highest attribution first, and while they come.

        Args:
            scores: Attributions of the features (n, D); ties keep the features' order.

        Returns:
            The deletion curve, from the input to the baseline, and the insertion curve, from the
            baseline to the input; (n, steps + 1) each, at equal shares of the features.
        """
        order = scores.argsort(dim=1, descending=True, stable=True)
        rank = torch.empty_like(order).scatter_(
            1, order, torch.arange(order.shape[1], device=order.device).expand_as(order)
        )
        inner = torch.arange(1, self.steps, device=order.device)
        counts = (inner * order.shape[1] / self.steps).round().long()

        def point(rows: Tensor, copy: Tensor) -> Point:
            deleted = rank[rows] < counts[copy % len(counts)][:, None]
            return self._removed(rows, deleted ^ (copy >= len(counts))[:, None])

        values = self._shown.values(2 * len(counts), point)
        full, empty = self._shown.value[:, None], self._shown.baseline_value[:, None]
        deletion, insertion = values.split(len(counts), dim=1)
        return torch.cat([full, deletion, empty], dim=1), torch.cat([empty, insertion, full], dim=1)

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
