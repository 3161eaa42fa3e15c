"""The removals that metrics watch: curves in the order of an attribution, and random sets for all methods alike."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from lightning_explain.attribution.feature_space import FeatureSpace
from lightning_explain.attribution.fill import fill as find_fill
from lightning_explain.attribution.problem import Problem
from lightning_explain.attribution.regions import EveryFeature, Grid, Partition, Regions, require_partition
from lightning_explain.attribution.removal import feature_space, left, left_without, left_without_each
from lightning_explain.attribution.settings import numbers, require_integer
from lightning_explain.attribution.target import Readout
from lightning_explain.precision import accurate
from lightning_explain.randomness import stream


@dataclass(frozen=True)
class Course:
    """How features go: which, in what order, how many at each point, and what takes their place.

    Args:
        partition: What goes as one.
        steps: Points from none to all, one for each region at most; not used if there are ``shares``.
        shares: The shares of the regions that are gone at each point, in [0, 1], ascending.
        insertion: Features come, into what otherwise takes their place, instead of going.
        ascending: The least relevant first, instead of the most relevant.
        fill: What takes the place of features, see :data:`~lightning_explain.attribution.fill.FILLS`.
        readout: What is watched; None: that of the perturbations (a probability for classifiers).
        at_least: How many regions of a sample are gone (or there) wherever the share is not 0, even if the share of its
            regions is rounded to fewer.

    Raises:
        TypeError: If a setting is of the wrong kind.
        ValueError: If there is no step, the shares are not shares in ascending order, or the fill is unknown.
    """

    partition: Partition = EveryFeature()  # noqa: RUF009  (frozen)
    steps: int = 16
    shares: tuple[float, ...] | None = None
    insertion: bool = False
    ascending: bool = False
    fill: str = "baseline"
    readout: Readout | None = None
    at_least: int = 0

    def __post_init__(self) -> None:
        require_partition(self.partition)
        require_integer("steps", self.steps, 1)
        find_fill(self.fill)
        if self.shares is not None:
            object.__setattr__(self, "shares", _shares(self.shares))
            if list(self.shares) != sorted(self.shares):
                raise ValueError(f"The shares of a course must ascend, got {self.shares}.")


@dataclass(frozen=True, eq=False)
class Curve:
    """The score at each point of a course.

    Args:
        shares: The share of the regions that is gone (or there, for an insertion), (points,), float64; (n, points)
            where samples have regions of their own.
        values: Scores (n, points).
    """

    shares: Tensor
    values: Tensor

    def area(self) -> Tensor:
        """The area under the curve by the trapezoidal rule.

        Returns:
            Areas (n,), in units of the score times the share.
        """
        return torch.trapezoid(self.values, self.shares.to(self.values).expand_as(self.values), dim=1)


@dataclass(frozen=True)
class Subsets:
    """Random sets of regions, the same for every sample, method and validation.

    Args:
        partition: The regions.
        count: How many sets; each costs a row.
        shares: The share of the regions that a set takes; several are dealt out in turn.

    Raises:
        TypeError: If a setting is of the wrong kind.
        ValueError: If there is no set, or the shares are not shares.
    """

    partition: Partition = Grid()  # noqa: RUF009  (frozen)
    count: int = 64
    shares: tuple[float, ...] = (0.2,)

    def __post_init__(self) -> None:
        require_partition(self.partition)
        require_integer("count", self.count, 1)
        object.__setattr__(self, "shares", _shares(self.shares))


@dataclass(frozen=True)
class Perturbations:
    """Removals of features, and the score that remains.

    What does not depend on an attribution (the score at the input and at the baseline, the random
    sets) is computed once and serves every method; the random sets come from a generator of
    their own and are the same at every validation.

    Random removals are watched in the score that is explained, for attributions foretell that one; the
    curves in ``readout``, for an area under logits has no range.

    Args:
        problem: The problem, its place that of the attributions to be judged.
        readout: What the curves show: ``"probability"`` of the target, or the ``"raw"`` score.
        seed: Where the random sets, and the numbers of random fills, begin.
    """

    problem: Problem
    readout: Readout = "raw"
    seed: int = 0

    @cached_property
    def features(self) -> FeatureSpace:
        """The features that are removed, D of them."""
        return feature_space(self.problem)

    def regions(self, partition: Partition) -> Regions:
        """Divide the features.

        Returns:
            The regions; computed once for each partition.
        """
        return self.problem.remembered(("regions", partition), lambda: partition(self.problem.z, self.features))

    def shown(self, readout: Readout | None = None) -> Problem:
        """The problem with its score read as curves show it.

        Args:
            readout: What is watched; None: :attr:`readout`.

        Returns:
            The problem; made once for each readout, so that what it computes is shared.
        """
        readout = readout or self.readout
        if readout == self.problem.readout:
            return self.problem
        return self.problem.remembered(("shown", readout), lambda: self.problem.reading(readout))

    def taken(self, subsets: Subsets) -> Tensor:
        """The regions that each random set takes.

        Returns:
            (count, R), boolean; at least one region in each set. A sample that has fewer regions than another may
            have none of them; its score does not fall then. Drawn once for a problem.
        """
        return self.problem.remembered(("taken", subsets, self.seed), lambda: self._taken(subsets))

    def _taken(self, subsets: Subsets) -> Tensor:
        count = self.regions(subsets.partition).count
        drawn = torch.rand(subsets.count, count, generator=stream("removals", self.seed), dtype=torch.float32)
        rank = drawn.argsort(dim=1).argsort(dim=1)
        shares = torch.tensor(subsets.shares, dtype=torch.float64).repeat(-(-subsets.count // len(subsets.shares)))
        sizes = (shares[: subsets.count] * count).round().clamp(min=1)
        return (rank < sizes[:, None]).to(self.problem.z[0].device)

    def drops(self, subsets: Subsets, fill: str = "baseline") -> Tensor:
        """How much the score falls when each random set is removed.

        Returns:
            (n, count), in the explained score.
        """

        def compute() -> Tensor:
            regions, taken = self.regions(subsets.partition), self.taken(subsets)
            return self.problem.value[:, None] - left_without(self.problem, regions, taken, fill, self.seed)

        return self.problem.remembered(("drops", subsets, fill, self.seed), compute)

    def single_drops(self, partition: Partition, fill: str = "baseline") -> Tensor:
        """How much the score falls when each region alone is removed.

        Returns:
            (n, R), in the explained score.
        """

        def compute() -> Tensor:
            regions = self.regions(partition)
            return self.problem.value[:, None] - left_without_each(self.problem, regions, fill, self.seed)

        return self.problem.remembered(("single drops", partition, fill, self.seed), compute)

    def foretold(self, contributions: Tensor, subsets: Subsets) -> Tensor:
        """How much the score falls when each random set is removed, if the features' contributions add up.

        Args:
            contributions: What each feature adds to the score, (n, D).
            subsets: The sets.

        Returns:
            Sums (n, count), float64.
        """
        sums = self.regions(subsets.partition).sums(accurate(contributions))
        return sums @ self.taken(subsets).to(sums).T

    def curve(self, scores: Tensor, course: Course) -> Curve:
        """The score while features go, or come, in the order of an attribution.

        Regions are ordered by the mean of their features' attributions; ties keep the order of the regions when the
        most relevant go first, and the very opposite order when the least relevant do.

        Args:
            scores: Attributions of the features (n, D).
            course: How.

        Returns:
            The curve.
        """
        regions, shown = self.regions(course.partition), self.shown(course.readout)
        shares, counts = _points(course, regions)
        rank = _rank(regions.means(accurate(scores)), regions.sizes, course.ascending).to(self.problem.z[0].device)
        ends = _ends(shown, course, counts, regions)
        # Few regions make the same point of several shares: it is asked for once.
        same = _first_equal(counts)
        between = [i for i in sorted(set(same)) if i not in ends]
        watched = counts[:, between].to(rank.device).expand(len(rank), -1)

        def removed(rows: Tensor, copy: Tensor) -> Tensor:
            gone = rank[rows] < watched[rows, copy][:, None]
            return regions.spread(gone ^ course.insertion, rows)

        found = (
            left(shown, len(between), removed, course.fill, self.seed) if between else scores.new_zeros(len(scores), 0)
        )
        columns = ends | dict(zip(between, found.unbind(dim=1), strict=True))
        return Curve(shares, torch.stack([columns[i] for i in same], dim=1))

    def one_by_one(self, course: Course, most: int | None = None) -> Course:
        """A course whose regions go one at a time.

        Args:
            course: Everything else; its steps and shares are not used.
            most: The regions that go, at most; None: all.

        Returns:
            The course. A sample that has fewer regions than another is at the same shares of its own.
        """
        count = self.regions(course.partition).count
        last = count if most is None else min(most, count)
        return replace(course, shares=tuple(k / count for k in range(last + 1)))


def _shares(given: object) -> tuple[float, ...]:
    # A tuple, that courses and sets can be found again.
    shares = numbers("shares", given)
    if not shares or not all(0 <= share <= 1 for share in shares):
        raise ValueError(f"Expected shares between 0 and 1, at least one, got {shares}.")
    return shares


def _points(course: Course, regions: Regions) -> tuple[Tensor, Tensor]:
    # Where the curve stands, as the share of regions that is really gone, and how many that are; (1, points) or, where
    # samples have different numbers of regions, (n, points).
    filled = regions.filled.cpu()[:, None]
    steps = min(course.steps, int(filled.max()))
    shares = torch.tensor(course.shares or [i / steps for i in range(steps + 1)], dtype=torch.float64)
    counts = (shares * filled).round().long()
    counts = torch.where(shares > 0, counts.clamp(min=course.at_least), counts)
    return (counts / filled.double()).squeeze(0), counts


def _first_equal(counts: Tensor) -> list[int]:
    # For each column, the first that is like it.
    columns = [tuple(column) for column in counts.T.tolist()]
    return [columns.index(column) for column in columns]


def _ends(shown: Problem, course: Course, counts: Tensor, regions: Regions) -> dict[int, Tensor]:
    # The points whose score is known without a row: all is there, or all is gone and has left the baseline.
    none, every = (counts == 0).all(dim=0), (counts == regions.filled.cpu()[:, None]).all(dim=0)
    whole, empty = (every, none) if course.insertion else (none, every)
    ends = {int(i): shown.value for i in whole.nonzero()}
    if course.fill == "baseline":
        ends |= {int(i): shown.baseline_value for i in empty.nonzero()}
    return ends


def _rank(scores: Tensor, sizes: Tensor, ascending: bool) -> Tensor:
    # Regions without features (a sample with fewer segments than another) go last; nothing changes then.
    order = scores.masked_fill(sizes.to(scores.device) == 0, -torch.inf).argsort(dim=1, descending=True, stable=True)
    numbers = torch.arange(order.shape[1], device=order.device).expand_as(order)
    rank = torch.empty_like(order).scatter_(1, order, numbers)
    filled = (sizes.to(rank.device) > 0).sum(dim=1, keepdim=True)
    return torch.where(rank < filled, filled - 1 - rank, rank) if ascending else rank
