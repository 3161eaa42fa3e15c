"""Rows that are the same, run once."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lightning_explain.inputs import Point, pick


@dataclass(frozen=True, eq=False)
class Shared:
    """The distinct rows of a batch, and which of them stands for each row.

    Args:
        first: Where in the batch each distinct row comes first (k,).
        which: The number of each row among the distinct ones (m,).
    """

    first: Tensor
    which: Tensor

    @classmethod
    def of(cls, batch: Point, numbers: Tensor) -> Shared | None:
        """Find distinct rows.

        Args:
            batch: Tensors (m, ...).
            numbers: What each row should be the same by (m,), equal numbers side by side.

        Returns:
            The distinct rows; None if there is nothing to share, or rows of one number differ.
        """
        _, which, counts = torch.unique_consecutive(numbers, return_inverse=True, return_counts=True)
        found = cls(counts.cumsum(0) - counts, which)
        if len(found.first) == len(which):
            return None
        same = all(torch.equal(leaf, found.spread(found.distinct((leaf,))[0])) for leaf in batch)
        return found if same else None

    def distinct(self, batch: Point) -> Point:
        """The distinct rows of a batch.

        Returns:
            Tensors (k, ...).
        """
        return pick(batch, self.first)

    def spread(self, tensor: Tensor, dim: int = 0) -> Tensor:
        """Give each row what stands for it.

        Returns:
            A tensor with m entries along ``dim``, where ``tensor`` has k.
        """
        if len(self.first) > 1:
            return tensor.index_select(dim, self.which)
        return tensor.expand(*tensor.shape[:dim], len(self.which), *tensor.shape[dim + 1 :])

    def spread_like(self, tensor: Tensor, like: Tensor) -> Tensor:
        """Give each row what stands for it, wherever the batch is.

        Args:
            tensor: What was computed of the distinct rows.
            like: What the same operator made of the whole batch, or of another that is as large.

        Returns:
            A tensor of the shape of ``like``.

        Raises:
            ValueError: If the two do not differ by the size of a batch dimension alone.
        """
        if tensor.shape == like.shape:
            return tensor  # of no row
        sizes = list(zip(tensor.shape, like.shape, strict=False))
        dims = [dim for dim, (here, there) in enumerate(sizes) if here != there]
        if tensor.ndim != like.ndim or [sizes[dim] for dim in dims] != [(len(self.first), len(self.which))]:
            raise ValueError(f"No batch dimension tells {tuple(tensor.shape)} from {tuple(like.shape)}.")
        return self.spread(tensor, dims[0])
