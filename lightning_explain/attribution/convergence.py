"""How far attributions are from adding up, sample by sample and draw by draw."""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_explain.inputs import Point


def total(point: Point) -> Tensor:
    """The sum of each sample's attributions.

    Args:
        point: Attributions (n, ...) each.

    Returns:
        Sums (n,), detached, in float64.
    """
    return torch.stack([leaf.detach().double().reshape(len(leaf), -1).sum(dim=1) for leaf in point]).sum(dim=0)


def convergence_delta(point: Point, score: Tensor, reference: Tensor) -> Tensor:
    """How far attributions are from adding up.

    Args:
        point: Attributions (n, ...) each.
        score: What they should add up to (n,),
        reference: beginning from this (n,).

    Returns:
        Sum of attributions - (score - reference), (n,), in float64; 0 is exact.
    """
    return total(point) - (score.double() - reference.double()).detach()


class Draws:
    """The mean of attributions over several draws for each sample, and what those of each draw add up to.

    Args:
        samples: The number of samples n.
        copies: The number of draws for each.
        summed: Whether the sums are wanted.
    """

    def __init__(self, samples: int, copies: int, *, summed: bool = True) -> None:
        self.samples, self.copies, self.summed = samples, copies, summed
        self._totals: list[Tensor] = []
        self._sums: list[tuple[Tensor, Tensor, Tensor]] = []

    def add(self, rows: Tensor, copies: Tensor, point: Point) -> None:
        """Take the attributions of some pairs of a sample and a draw.

        Args:
            rows: The samples (m,).
            copies: The draws (m,).
            point: Attributions (m, ...) each.
        """
        if not self._totals:
            self._totals = [leaf.new_zeros(self.samples, *leaf.shape[1:]) for leaf in point]
        for held, leaf in zip(self._totals, point, strict=True):
            held.index_add_(0, rows, leaf)
        if self.summed:
            self._sums.append((rows, copies, total(point)))

    @property
    def mean(self) -> Point:
        """The mean over the draws, (n, ...) each."""
        return tuple(held / self.copies for held in self._totals)

    @property
    def sums(self) -> Tensor:
        """What the attributions of each draw add up to, (n, copies), in float64."""
        rows, copies, found = map(torch.cat, zip(*self._sums, strict=True))
        sums = found.new_empty(self.samples, self.copies)
        sums[rows, copies] = found
        return sums
