"""RISE."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from math import ceil, prod

import torch
from torch import Tensor

from lightning_explain.attribution.coalitions import blocks, per_feature, scores
from lightning_explain.attribution.feature_space import channel_axis
from lightning_explain.attribution.methods.method import METHODS, Method
from lightning_explain.attribution.problem import Problem
from lightning_explain.inputs import Point
from lightning_explain.randomness import stream


@METHODS.register("rise")
@dataclass(frozen=True)
class RISE(Method):
    r"""The mean score of randomly masked samples, weighted with how much each mask lets through.

    .. math:: \phi_i = \frac{1}{p N} \sum_{k=1}^N S\big(M_k z + (1 - M_k) z^0\big) \, M_k(i)

    The masks are grids of ``cells`` that are on with probability p, made finer by linear interpolation and shifted at
    random within a cell; with a feature mask, features that are on with probability p. Tensors of one dimension (a
    row of a table), and integers, which cannot be mixed, are on or off at each place. The mean score at i, not a share
    of the score: not zero where nothing depends on i, and only differences within a map say something; best with a
    score that is bounded, such as a probability. ``n_masks`` rows; samples share the masks.

    V. Petsiuk, A. Das, K. Saenko: RISE: Randomized Input Sampling for Explanation of Black-box Models.
    arXiv:1806.07421, 2018.

    Args:
        n_masks: Masks N (the paper: 4000 to 8000). At least 1.
        cells: Cells of the grid along each dimension of positions, at most. At least 1.
        probability: How often a cell is on, p, between 0 and 1.
        seed: Where the random numbers begin.

    Raises:
        ValueError: If one of these is out of range.
    """

    shares_points = True

    n_masks: int = 1000
    cells: int = 7
    probability: float = 0.5
    seed: int = 0

    def __post_init__(self) -> None:
        if self.n_masks < 1 or self.cells < 1:
            raise ValueError(f"n_masks and cells must be at least 1, got {self.n_masks} and {self.cells}.")
        if not 0 < self.probability < 1:
            raise ValueError(f"probability must be between 0 and 1, got {self.probability}.")

    def __call__(self, problem: Problem) -> Point:  # noqa: D102
        if problem.feature_mask is not None:
            return per_feature(problem, self._of_features)
        streams = [stream(f"rise {i}", self.seed) for i in range(len(problem.z))]
        totals = [torch.zeros((), device=leaf.device) for leaf in problem.z]
        for block in blocks(self.n_masks, problem.samples):
            grids = [self._grid(problem, i, block.stop - block.start, streams[i]) for i in range(len(streams))]
            values = problem.values(block.stop - block.start, partial(_masked, problem, grids))
            for chunk in problem.budget.slices(values.shape[1], values.device):
                part = values[:, chunk]
                totals = [total + _weighted(part, grid, chunk) for total, grid in zip(totals, grids, strict=True)]
        scale = self.probability * self.n_masks
        return tuple((total / scale).expand_as(leaf).clone() for total, leaf in zip(totals, problem.z, strict=True))

    def _of_features(self, problem: Problem, count: int) -> Tensor:
        generator = stream("rise", self.seed)
        total = problem.z[0].new_zeros((), dtype=torch.float32)
        for block in blocks(self.n_masks, problem.samples):
            drawn = torch.rand(block.stop - block.start, count, generator=generator, dtype=torch.float32)
            present = (drawn < self.probability).to(total.device)
            found = scores(problem, len(present), lambda copy, present=present: present[copy])  # type: ignore[misc]
            total = total + found @ present.to(found)
        return total / (self.probability * self.n_masks)

    def _grid(self, problem: Problem, which: int, masks: int, generator: torch.Generator) -> _Grid:
        leaf = problem.z[which]
        axis = channel_axis(tuple(leaf.shape[1:]), problem.place.channel_dim)
        sides = tuple(side for dim, side in enumerate(leaf.shape[1:]) if dim != axis)
        # Columns of a table have no neighbors.
        cells = sides if leaf.ndim <= 2 else tuple(min(self.cells, side) for side in sides)
        sizes = torch.tensor([ceil(side / count) for side, count in zip(sides, cells, strict=True)])
        # All that is random about a mask in one row, so that masks do not depend on how many are drawn at once.
        shape = [count + 2 for count in cells]
        drawn = torch.rand(masks, prod(shape) + len(sides), generator=generator, dtype=torch.float32).to(leaf.device)
        return _Grid(
            on=(drawn[:, : prod(shape)] < self.probability).reshape(masks, *shape),
            shift=(drawn[:, prod(shape) :] * sizes.to(drawn)).floor(),
            sides=sides,
            sizes=tuple(sizes.tolist()),
            channels=None if axis is None else axis + 1,
            smooth=leaf.is_floating_point() or leaf.is_complex(),
        )


@dataclass(frozen=True, eq=False)
class _Grid:
    """Coarse masks (K, cells + 2 along each dimension of positions) of one tensor, and where they are shifted to."""

    on: Tensor
    shift: Tensor
    sides: tuple[int, ...]
    sizes: tuple[int, ...]
    channels: int | None
    smooth: bool

    def masks(self, chosen: slice) -> Tensor:
        """The masks of some numbers, made fine.

        Returns:
            Numbers between 0 and 1, (m, positions...) with 1 for the channels.
        """
        fine = self.on[chosen].float()
        for dim, (side, size) in enumerate(zip(self.sides, self.sizes, strict=True), start=1):
            at = (torch.arange(side, device=fine.device) + self.shift[chosen, dim - 1, None]) / size
            low = at.floor()
            share = _along(at - low, dim, fine.ndim)
            before, after = (_taken(fine, (low + step).long(), dim) for step in (0, 1))
            fine = torch.lerp(before, after, share) if self.smooth else before
        return fine if self.channels is None else fine.unsqueeze(self.channels)


def _masked(problem: Problem, grids: list[_Grid], rows: Tensor, copies: Tensor) -> Point:
    first, last = int(copies[0]), int(copies[-1])  # copies come in order
    point = []
    for z, z0, grid in zip(problem.z, problem.z0, grids, strict=True):
        mask = grid.masks(slice(first, last + 1))[copies - first]
        here, absent = z.index_select(0, rows), z0.index_select(0, rows)
        if grid.smooth:
            mask = mask.to(here)
            point.append(mask * here + (1 - mask) * absent)
        else:
            point.append(torch.where(mask > 0, here, absent))
    return tuple(point)


def _weighted(values: Tensor, grid: _Grid, chosen: slice) -> Tensor:
    total: Tensor = torch.tensordot(values, grid.masks(chosen).to(values), dims=1)
    return total


def _along(values: Tensor, dim: int, ndim: int) -> Tensor:
    # (m, side) -> (m, 1, side, 1), the side at dim
    return values.reshape(len(values), *(values.shape[1] if d == dim else 1 for d in range(1, ndim)))


def _taken(fine: Tensor, index: Tensor, dim: int) -> Tensor:
    shape = list(fine.shape)
    shape[dim] = index.shape[1]
    return fine.gather(dim, _along(index, dim, fine.ndim).expand(shape))
