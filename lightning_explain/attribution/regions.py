"""Regions: features that are removed as one. Patches, cells of a grid, or segments that follow the picture."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Protocol

import torch
from torch import Tensor

from lightning_explain.attribution.digest import digest
from lightning_explain.attribution.feature_space import FeatureSpace, channel_axis
from lightning_explain.attribution.settings import require_callable, require_integer, require_number
from lightning_explain.inputs import Point


@dataclass(frozen=True, eq=False)
class Regions:
    """A partition of the features, the same for all samples or one for each.

    Args:
        ids: The number of the region of each feature, (1, D) or (n, D), from 0.
        count: The number of regions R.
    """

    ids: Tensor
    count: int

    @property
    def sizes(self) -> Tensor:
        """The number of features in each region, (1, R) or (n, R); 0 where a sample has fewer regions than another."""
        return self.sums(torch.ones_like(self.ids))

    @property
    def filled(self) -> Tensor:
        """The number of regions that have features, (1,) or (n,)."""
        return (self.sizes > 0).sum(dim=1)

    def sums(self, values: Tensor) -> Tensor:
        """Add up numbers of the features, region by region.

        Args:
            values: (n, D).

        Returns:
            Sums (n, R).
        """
        ids = self.ids.to(values.device).expand(len(values), -1)
        return values.new_zeros(len(values), self.count).scatter_add_(1, ids, values)

    def means(self, values: Tensor) -> Tensor:
        """The mean of numbers of the features in each region.

        Returns:
            Means (n, R); 0 in a region without features.
        """
        return self.sums(values) / self.sizes.to(values).clamp(min=1)

    def spread(self, values: Tensor, rows: Tensor | None = None) -> Tensor:
        """Give every feature what its region has.

        Args:
            values: (m, R).
            rows: The samples that the rows of ``values`` belong to, (m,); None: all, in order.

        Returns:
            (m, D).
        """
        ids = self.ids.to(values.device)
        if len(ids) == 1:
            return values[:, ids[0]]
        return values.gather(1, ids if rows is None else ids[rows])


class Partition(Protocol):
    """A way to divide features into regions; hashable, so that what was computed for it is found again."""

    def __call__(self, z: Point, space: FeatureSpace) -> Regions:
        """Divide the features of the variable ``z``."""


def require_partition(given: object) -> None:
    """Refuse what does not divide features.

    Raises:
        TypeError: If it is no partition.
    """
    require_callable("partition", given, "EveryFeature(), Grid(4), Patches(16) or Segments()")


@dataclass(frozen=True)
class EveryFeature:
    """Each feature is a region of its own."""

    def __call__(self, z: Point, space: FeatureSpace) -> Regions:
        """Divide the features.

        Returns:
            As many regions as features.
        """
        return Regions(torch.arange(space.count, device=z[0].device)[None], space.count)


@dataclass(frozen=True)
class Grid:
    """Cells of a coarse grid, see :meth:`FeatureSpace.cells`.

    Args:
        per_side: Cells along each side, at most. At least 2: a single cell has no order.

    Raises:
        TypeError: If it is no integer.
        ValueError: If it is less than 2.
    """

    per_side: int = 6

    def __post_init__(self) -> None:
        require_integer("per_side", self.per_side, 2)

    def __call__(self, z: Point, space: FeatureSpace) -> Regions:
        """Divide the features.

        Returns:
            At most ``per_side ** 2`` regions for each tensor.
        """
        return _shared(space.cells(self.per_side), z)


@dataclass(frozen=True)
class Patches:
    """Square patches of a fixed size, the last ones smaller where they do not fit.

    No patch is longer than half of a side, rounded up: one patch for all would leave nothing to order.

    Args:
        size: The side of a patch, in features. At least 1.

    Raises:
        TypeError: If it is no integer.
        ValueError: If it is less.
    """

    size: int = 8

    def __post_init__(self) -> None:
        require_integer("The size of a patch", self.size, 1)

    def __call__(self, z: Point, space: FeatureSpace) -> Regions:
        """Divide the features.

        Returns:
            One region for each patch.
        """
        numbers, first = [], 0
        for dims in space.positions:
            patch = torch.zeros(dims, dtype=torch.long)
            for dim, side in enumerate(dims):
                size = min(self.size, -(-side // 2))
                along = torch.arange(side) // size
                patch = patch * -(-side // size) + along.view(-1, *[1] * (len(dims) - dim - 1))
            numbers.append(patch.flatten() + first)
            first = int(numbers[-1].max()) + 1
        return _shared(torch.cat(numbers), z)


@dataclass(frozen=True)
class Segments:
    """Superpixels of each picture by SLIC, from scikit-image; cells of a grid where there is no picture.

    R. Achanta et al.: SLIC Superpixels Compared to State-of-the-art Superpixel Methods.
    doi:10.1109/TPAMI.2012.120, 2012.

    Args:
        count: Segments of a picture, roughly. At least 2.
        compactness: How much nearness counts against color; higher makes segments squarer.

    Raises:
        TypeError: If ``count`` is no integer.
        ValueError: If ``count`` is less than 2.
        ImportError: If scikit-image is not there.
    """

    count: int = 32
    compactness: float = 10.0
    _found: dict[FeatureSpace, tuple[str, Regions]] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        require_integer("The number of segments", self.count, 2)
        require_number("compactness", self.compactness)
        if find_spec("skimage") is None:
            raise ImportError(
                "SLIC segments need scikit-image: pip install 'lightning-explain[segments]', or take Grid() instead."
            )

    def __call__(self, z: Point, space: FeatureSpace) -> Regions:
        """Divide the features, in every sample for itself.

        The last division is kept: at every validation of a run the inputs are the same.

        Returns:
            Regions of their own for each sample, on the device of ``z``.
        """
        key = "".join(map(digest, z))
        if self._found.get(space, ("", None))[0] != key:
            self._found[space] = key, self._divided(z, space)
        found = self._found[space][1]
        return Regions(found.ids.to(z[0].device), found.count)

    def _divided(self, z: Point, space: FeatureSpace) -> Regions:
        per_side = max(1, round(self.count**0.5))
        numbers, first = [], 0
        for leaf, dims, shape in zip(z, space.positions, space.shapes, strict=True):
            if len(dims) == 2 and len(shape) == 3:
                channels = channel_axis(shape, space.channel_dim)
                ids = torch.stack([self._slic(picture.movedim(channels or 0, -1)) for picture in leaf]).flatten(1)
            else:
                ids = FeatureSpace((shape,), space.channel_dim).cells(per_side).expand(len(leaf), -1)
            numbers.append(ids + first)
            first = int(numbers[-1].max()) + 1
        return Regions(torch.cat(numbers, dim=1), first)

    def _slic(self, picture: Tensor) -> Tensor:
        # (height, width, channels); scikit-image works on one picture at a time, on the CPU.
        from skimage.segmentation import slic

        low, high = picture.min(), picture.max()
        shown = ((picture - low) / (high - low).clamp(min=torch.finfo(torch.float32).tiny)).float().cpu().numpy()
        colors = shown.shape[-1] == 3
        found = slic(shown, self.count, self.compactness, start_label=0, convert2lab=colors, channel_axis=-1)
        return torch.from_numpy(found).long()


def _shared(ids: Tensor, z: Point) -> Regions:
    return Regions(ids[None].to(z[0].device), int(ids.max()) + 1)
