"""The features of a variable by position: in a picture a pixel, whatever its channels."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lightning_explain.inputs import Point


@dataclass(frozen=True)
class FeatureSpace:
    """The features of a variable: its positions, all tensors of it in one line.

    Args:
        shapes: The shapes of the variable's tensors, without the batch dimension.
        channel_dim: The dimension (with the batch counted) that a feature spans whole, in tensors that
            have three and more; None: every element is a feature.
    """

    shapes: tuple[tuple[int, ...], ...]
    channel_dim: int | None = 1

    @classmethod
    def of(cls, point: Point, channel_dim: int | None = 1) -> FeatureSpace:
        """The features of a variable.

        Returns:
            Their space.
        """
        return cls(tuple(tuple(leaf.shape[1:]) for leaf in point), channel_dim)

    @property
    def positions(self) -> tuple[tuple[int, ...], ...]:
        """The dimensions over which features are laid out, for each tensor."""
        axes = [channel_axis(shape, self.channel_dim) for shape in self.shapes]
        return tuple(
            shape if axis is None else shape[:axis] + shape[axis + 1 :]
            for shape, axis in zip(self.shapes, axes, strict=True)
        )

    @property
    def sizes(self) -> list[int]:
        """The number of features of each tensor."""
        return [int(torch.Size(dims).numel()) for dims in self.positions]

    @property
    def count(self) -> int:
        """The number of features D."""
        return sum(self.sizes)

    def gather(self, point: Point) -> Tensor:
        """Sum tensors like the variable (or with one channel) over channels, feature by feature.

        Returns:
            Numbers (n, D).
        """
        flat = []
        for leaf, shape in zip(point, self.shapes, strict=True):
            channels = self._channels(shape)
            flat.append(leaf if channels is None else leaf.sum(dim=channels))
        return torch.cat([leaf.reshape(leaf.shape[0], -1) for leaf in flat], dim=1)

    def scatter(self, chosen: Tensor) -> Point:
        """Lay features (m, D) out over the variable.

        Returns:
            Tensors that broadcast against the variable's, (m, ...) each.
        """
        parts = []
        for flat, dims, shape in zip(chosen.split(self.sizes, dim=1), self.positions, self.shapes, strict=True):
            laid = flat.reshape(chosen.shape[0], *dims)
            channels = self._channels(shape)
            parts.append(laid if channels is None else laid.unsqueeze(channels))
        return tuple(parts)

    def cells(self, per_side: int) -> Tensor:
        """Divide the positions of each tensor into a coarse grid.

        A tensor with one dimension of positions is cut into as many cells as one with two.

        Args:
            per_side: Cells along each of two dimensions, at most.

        Returns:
            The number of the cell of each feature (D,).
        """
        numbers, first = [], 0
        for dims in self.positions:
            most = per_side**2 if len(dims) == 1 else per_side
            cell = torch.zeros(dims, dtype=torch.long)
            for dim, side in enumerate(dims):
                count = min(most, side)
                along = torch.arange(side) * count // side
                cell = cell * count + along.view(-1, *[1] * (len(dims) - dim - 1))
            numbers.append(cell.flatten() + first)
            first = int(numbers[-1].max()) + 1
        return torch.cat(numbers)

    def common(self, point: Point) -> Tensor | None:
        """What all channels of a position have in common.

        Args:
            point: Tensors like the variable.

        Returns:
            Numbers (n, D); None where channels of one position differ.
        """
        flat = []
        for leaf, shape in zip(point, self.shapes, strict=True):
            channels = self._channels(shape)
            first = leaf if channels is None else leaf.select(channels, 0)
            if channels is not None and not torch.equal(leaf, first.unsqueeze(channels).expand_as(leaf)):
                return None
            flat.append(first.reshape(len(leaf), -1))
        return torch.cat(flat, dim=1)

    def _channels(self, shape: tuple[int, ...]) -> int | None:
        axis = channel_axis(shape, self.channel_dim)
        return None if axis is None else axis + 1


def channel_axis(shape: tuple[int, ...], channel_dim: int | None) -> int | None:
    """Where the channels are in a sample, a tensor without the batch.

    Args:
        shape: The sample's shape.
        channel_dim: The channels' dimension with the batch counted.

    Returns:
        The index in ``shape``; None for fewer than two dimensions, and where every element is a feature.
    """
    if channel_dim is None or len(shape) < 2:
        return None
    return channel_dim - 1 if channel_dim > 0 else channel_dim + len(shape)
