"""Removing features and watching the score: the one engine of perturbation methods and metrics."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor

from lightning_explain.attribution.digest import digest
from lightning_explain.attribution.feature_space import FeatureSpace
from lightning_explain.attribution.features import chosen_rows
from lightning_explain.attribution.fill import fill as find_fill
from lightning_explain.attribution.problem import Problem
from lightning_explain.attribution.regions import Regions
from lightning_explain.inputs import Point

Removed: TypeAlias = Callable[[Tensor, Tensor], Tensor]
"""(rows, copies) -> the features that are gone, (m, D) boolean."""


def feature_space(problem: Problem) -> FeatureSpace:
    """The features of a problem's variable.

    Returns:
        Their space.
    """
    return FeatureSpace.of(problem.z, problem.place.channel_dim)


def left(problem: Problem, copies: int, removed: Removed, fill: str = "baseline", seed: int = 0) -> Tensor:
    """The score that is left when features are removed.

    Args:
        problem: The problem; its readout is that of the score.
        copies: The number of removals for each sample; each costs a row.
        removed: Which features are gone.
        fill: What takes their place, see :data:`~lightning_explain.attribution.fill.FILLS`.
        seed: Where the numbers of random fills begin.

    Returns:
        Scores (n, copies).
    """
    space, substitute = feature_space(problem), find_fill(fill)

    def point(rows: Tensor, copy: Tensor) -> Point:
        masks = space.scatter(removed(rows, copy))
        others = substitute(problem, rows, copy, masks, seed)
        return tuple(
            torch.where(m, other, chosen_rows(z, rows)) for m, other, z in zip(masks, others, problem.z, strict=True)
        )

    return problem.values(copies, point)


def left_without(problem: Problem, regions: Regions, taken: Tensor, fill: str = "baseline", seed: int = 0) -> Tensor:
    """The score that is left when sets of whole regions are removed, the same sets in every sample.

    The result is remembered: whoever asks for the same sets again, another metric or a method, gets it for nothing.

    Args:
        problem: The problem.
        regions: R regions.
        taken: The sets, (K, R) boolean.
        fill: What takes their place.
        seed: Where the numbers of random fills begin.

    Returns:
        Scores (n, K).
    """
    sets = taken.to(regions.ids.device)
    key = ("left without", fill, seed, digest(regions.ids), digest(taken))
    return problem.remembered(
        key, lambda: left(problem, len(sets), lambda rows, copy: regions.spread(sets[copy], rows), fill, seed)
    )


def left_without_each(problem: Problem, regions: Regions, fill: str = "baseline", seed: int = 0) -> Tensor:
    """The score that is left when each region alone is removed; remembered as for :func:`left_without`.

    Args:
        problem: The problem.
        regions: R regions, each costs a row.
        fill: What takes their place.
        seed: Where the numbers of random fills begin.

    Returns:
        Scores (n, R); the full score where a sample lacks a region that others have.
    """
    # No (R, R) sets: a picture of 50,000 pixels would have billions of entries.
    ids = regions.ids.expand(problem.samples, -1)
    key = ("left without each", fill, seed, digest(regions.ids))
    return problem.remembered(
        key, lambda: left(problem, regions.count, lambda rows, copy: ids[rows] == copy[:, None], fill, seed)
    )


def regions_of_features(problem: Problem) -> Regions | None:
    """The features that a problem's methods perturb, as regions of its positions.

    Returns:
        The regions; None where a feature is less than a position, one channel of a pixel, say.
    """
    numbers = tuple(
        number.expand(len(number), *leaf.shape[1:])
        for number, leaf in zip(problem.features.numbers, problem.z, strict=True)
    )
    ids = feature_space(problem).common(numbers)
    return None if ids is None else Regions(ids, problem.features.count)
