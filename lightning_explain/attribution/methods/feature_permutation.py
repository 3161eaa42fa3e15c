"""Feature permutation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

import torch
from torch import Tensor

from lightning_explain.attribution.coalitions import blocks
from lightning_explain.attribution.methods.method import METHODS, Method
from lightning_explain.attribution.problem import Problem
from lightning_explain.inputs import Point
from lightning_explain.randomness import stream

Exchange: TypeAlias = Callable[[Point, Point], Point]
"""(variable (n, ...), masks (1 or n, ...), true where one feature is) -> the variable, that feature exchanged."""


@METHODS.register("feature_permutation")
@dataclass(frozen=True)
class FeaturePermutation(Method):
    r"""How much the score falls when one feature is exchanged among the samples.

    .. math:: \phi_f(z^i) = S(z^i) - S(z^i \text{ with } z^i_f := z^{\pi(i)}_f)

    The mean over permutations :math:`\pi`, the same for all features, so that features are compared on the same
    exchanges; none leaves a sample where it is: its donor is any other. No baseline takes part. A row for each feature
    and permutation, and one for the score. What a sample gets depends on its neighbors: a sample alone gets 0, and
    where samples are alike all get next to nothing.

    A. Fisher, C. Rudin, F. Dominici: All Models are Wrong, but Many are Useful. arXiv:1801.01489, 2018.

    Args:
        n_permutations: Permutations that are averaged. At least 1.
        seed: Where the random numbers begin.
        exchange: Called in place of a permutation, for every feature and each of ``n_permutations``; None: permutations
            as above.

    Raises:
        ValueError: If ``n_permutations`` is less than 1.
    """

    compares = True
    per_feature = True
    shares_points = True

    n_permutations: int = 1
    seed: int = 0
    exchange: Exchange | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.n_permutations < 1:
            raise ValueError(f"n_permutations must be at least 1, got {self.n_permutations}.")

    def __call__(self, problem: Problem) -> Point:  # noqa: D102
        n, features = problem.distinct.samples, problem.features
        if self.exchange is not None:
            copies, points = self.n_permutations, _Exchanged(problem, self.exchange)
            found = problem.values(copies * features.count, points).unflatten(1, (copies, -1))
            return features.spread(problem.value[:, None] - found.mean(dim=1), problem.z)
        total = problem.value.new_zeros(problem.samples, features.count)
        if n < 2:
            return features.spread(total, problem.z)
        donors = permutations(n, self.n_permutations, self.seed).to(problem.z[0].device)
        for block in blocks(self.n_permutations, problem.samples * features.count):
            total += _left(problem, donors[block]).sum(dim=1)
        return features.spread(problem.value[:, None] - total / self.n_permutations, problem.z)


class _Exchanged:
    """Points at which a feature is exchanged by somebody's function, which is given all samples, once for each copy."""

    def __init__(self, problem: Problem, exchange: Exchange) -> None:
        self.problem, self.exchange = problem, exchange
        self.made: dict[int, Point] = {}

    def __call__(self, rows: Tensor, copies: Tensor) -> Point:
        wanted: list[int] = copies.unique().tolist()
        # A copy may be divided between chunks; those that are done are not kept.
        self.made = {copy: self.made.get(copy) or self._made(copy) for copy in wanted}
        batches = tuple(map(torch.stack, zip(*self.made.values(), strict=True)))
        return tuple(batch[copies - wanted[0], rows] for batch in batches)

    def _made(self, copy: int) -> Point:
        z, features = self.problem.distinct.z, self.problem.distinct.features
        return self.exchange(z, tuple(number == copy % features.count for number in features.numbers))


def _left(problem: Problem, donors: Tensor) -> Tensor:
    # The score when sample i has a feature of sample donors[k, i], (n, permutations, F).
    features = problem.features

    def exchanged(rows: Tensor, copies: Tensor) -> Point:
        donor = donors[copies // features.count, rows]
        taken = torch.zeros(len(rows), features.count, dtype=torch.bool, device=rows.device)
        taken.scatter_(1, (copies % features.count)[:, None], value=True)
        return tuple(
            torch.where(mask, leaf.index_select(0, donor), leaf.index_select(0, rows))
            for mask, leaf in zip(features.scatter(taken, rows), problem.z, strict=True)
        )

    return problem.values(len(donors) * features.count, exchanged).view(problem.samples, -1, features.count)


def permutations(n: int, count: int, seed: int) -> Tensor:
    """Random permutations of n samples that leave none where it is; for every sample all others are as likely.

    Returns:
        Permutations (count, n) of 0..n-1.
    """
    drawn = torch.rand(count, n, generator=stream("feature permutation", seed), dtype=torch.float32)
    circle = drawn.argsort(dim=1)
    return torch.empty_like(circle).scatter_(1, circle, circle.roll(1, dims=1))
