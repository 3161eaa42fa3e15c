"""Features: what is perturbed as one, by a mask or by position."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from lightning_explain.attribution.feature_space import FeatureSpace
from lightning_explain.feature_mask import match
from lightning_explain.inputs import Inputs, Point


@dataclass(frozen=True, eq=False)
class Features:
    """What is perturbed as one: the elements of a variable, divided into features.

    Within a sample features are numbered from 0 on, in the order of their ids. Numbers for every feature are
    gathered by these: there is one tensor operation for any number of features and perturbations.

    Args:
        numbers: The feature of each element, (1 or n, ...) for each tensor, 1 along what a feature spans whole.
        counts: How many features there are, for each row of ``numbers``, on the CPU.
    """

    numbers: Point
    counts: Tensor

    @classmethod
    def of(
        cls, point: Point, channel_dim: int | None = 1, mask: Inputs | None = None, names: Sequence[str] = ()
    ) -> Features:
        """The features of a variable: those of a mask, or else those of :class:`FeatureSpace`.

        Returns:
            The features.

        Raises:
            ValueError: If the mask does not fit; see :func:`~lightning_explain.feature_mask.match`.
            TypeError: If it does not hold integers.
        """
        device = point[0].device
        if mask is None:
            space = FeatureSpace.of(point, channel_dim)
            return cls(space.scatter(torch.arange(space.count, device=device)[None]), torch.tensor([space.count]))
        ids = tuple(leaf.to(device, torch.long) for leaf in match(mask, names, point))
        rows = max(map(len, ids))
        flat = torch.cat([leaf.expand(rows, *leaf.shape[1:]).reshape(rows, -1) for leaf in ids], dim=1)
        number, counts = _dense(flat)
        parts = number.split([leaf[0].numel() for leaf in ids], dim=1)
        laid = tuple(_compact(part.reshape(rows, *leaf.shape[1:])) for part, leaf in zip(parts, ids, strict=True))
        return cls(laid, counts.cpu())

    @property
    def count(self) -> int:
        """The number of features F, of the sample that has most."""
        return int(self.counts.max())

    @cached_property
    def groups(self) -> list[tuple[int, Tensor | None]]:
        """Numbers of features, and the samples that have as many; None stands for all of them."""
        counts: list[int] = self.counts.unique().tolist()
        if len(counts) == 1:
            return [(counts[0], None)]
        device = self.numbers[0].device
        return [(count, (self.counts == count).nonzero().flatten().to(device)) for count in counts]

    def scatter(self, chosen: Tensor, rows: Tensor) -> Point:
        """Lay features (m, F) of the samples ``rows`` (m,) out over the variable.

        Returns:
            Tensors that broadcast against the variable's, (m, ...) each.
        """
        laid = []
        for number in self.numbers:
            # Gathered also where samples share their features: on a CPU index_select takes three times as long.
            spread = chosen.gather(1, chosen_rows(number.reshape(len(number), -1), rows))
            laid.append(spread.reshape(len(chosen), *number.shape[1:]))
        return tuple(laid)

    def mixed(self, present: Tensor, rows: Tensor, z: Point, z0: Point) -> Point:
        """Samples ``rows`` (m,) of ``z``, with the features that are not ``present`` (m, F) taken from ``z0``.

        Returns:
            Tensors (m, ...), like those of ``z``.
        """
        return tuple(
            torch.where(mask, chosen_rows(leaf, rows), chosen_rows(absent, rows))
            for mask, leaf, absent in zip(self.scatter(present, rows), z, z0, strict=True)
        )

    def spread(self, attributions: Tensor, point: Point) -> Point:
        """Give every element of a feature the feature's attribution.

        Args:
            attributions: One number for each sample and feature, (n, F).
            point: The variable.

        Returns:
            Tensors of the variable's shapes, in the dtype of ``attributions``.
        """
        rows = torch.arange(len(attributions), device=attributions.device)
        laid = self.scatter(attributions, rows)
        return tuple(part.expand_as(leaf).clone() for part, leaf in zip(laid, point, strict=True))

    def collect(self, point: Point) -> Tensor:
        """The inverse of :meth:`spread`.

        Returns:
            One number for each sample and feature (n, F); 0 for features that a sample does not have.
        """
        found = point[0].new_zeros(len(point[0]), self.count)
        for number, leaf in self._pairs(point):
            found.scatter_(1, number, leaf)  # the same number from whichever element
        return found

    def sum(self, point: Point) -> Tensor:
        """Sum tensors of the variable's shapes, feature by feature.

        Returns:
            Numbers (n, F).
        """
        total = point[0].new_zeros(len(point[0]), self.count)
        for number, leaf in self._pairs(point):
            total.scatter_add_(1, number, leaf)
        return total

    def shared_out(self, point: Point) -> Point:
        """Divide attributions that all elements of a feature carry by the number of these elements.

        Returns:
            Tensors like those of ``point``, whose sum over a feature is the feature's attribution.
        """
        sizes = self.spread(self.sum(tuple(torch.ones_like(leaf) for leaf in point)), point)
        return tuple(leaf / size for leaf, size in zip(point, sizes, strict=True))

    def _pairs(self, point: Point) -> list[tuple[Tensor, Tensor]]:
        n = len(point[0])
        return [
            (number.expand(leaf.shape).reshape(n, -1).to(leaf.device), leaf.reshape(n, -1))
            for number, leaf in zip(self.numbers, point, strict=True)
        ]


def chosen_rows(tensor: Tensor, rows: Tensor) -> Tensor:
    """Rows of a tensor, to be read only.

    Args:
        tensor: Rows (n, ...), or one that stands for all (1, ...).
        rows: Which (m,).

    Returns:
        A tensor (m, ...); a view of the one row, if there is no other.
    """
    if len(tensor) == 1:
        return tensor.expand(len(rows), *tensor.shape[1:])
    return tensor.index_select(0, rows)


def _dense(ids: Tensor) -> tuple[Tensor, Tensor]:
    # Ids (rows, elements) -> their rank among those of the row, and how many there are, (rows,).
    low, high = (int(end) for end in ids.aminmax()) if ids.numel() else (0, 0)
    if high - low < ids.shape[1]:  # looked up; else there would be many that no element has
        place, known = ids - low, high - low + 1
    else:
        values, place = ids.unique(return_inverse=True)
        known = len(values)
    present = torch.zeros(len(ids), known, dtype=torch.bool, device=ids.device).scatter_(1, place, value=True)
    return (present.cumsum(dim=1) - 1).gather(1, place), present.sum(dim=1)


def _compact(number: Tensor) -> Tensor:
    # Where all channels of a position are one feature, it is looked up once.
    first = number[:, :1]
    return first if number.ndim > 2 and torch.equal(number, first.expand_as(number)) else number
