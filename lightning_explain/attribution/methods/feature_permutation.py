"""Feature permutation."""

from dataclasses import dataclass

import torch
from torch import Tensor

from lightning_explain.attribution.coalitions import blocks
from lightning_explain.attribution.methods.method import METHODS, Method
from lightning_explain.attribution.problem import Problem
from lightning_explain.inputs import Point
from lightning_explain.randomness import stream


@METHODS.register("feature_permutation")
@dataclass(frozen=True)
class FeaturePermutation(Method):
    r"""How much the score falls when one feature is exchanged among the samples.

    .. math:: \phi_f(z^i) = S(z^i) - S(z^i \text{ with } z^i_f := z^{\pi(i)}_f)

    The mean over permutations :math:`\pi`, the same for all features, so that features are compared on the same
    exchanges; none leaves all samples where they are. No baseline takes part. A row for each feature and permutation,
    and one for the score. What a sample gets depends on its neighbors: a sample alone gets 0, and where samples are
    alike all get next to nothing.

    A. Fisher, C. Rudin, F. Dominici: All Models are Wrong, but Many are Useful. arXiv:1801.01489, 2018.

    Args:
        n_permutations: Permutations that are averaged. At least 1.
        seed: Where the random numbers begin.

    Raises:
        ValueError: If ``n_permutations`` is less than 1.
    """

    compares = True
    per_feature = True

    n_permutations: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        if self.n_permutations < 1:
            raise ValueError(f"n_permutations must be at least 1, got {self.n_permutations}.")

    def __call__(self, problem: Problem) -> Point:  # noqa: D102
        features, n = problem.features, problem.samples
        if n < 2:
            return features.spread(problem.value.new_zeros(n, features.count), problem.z)
        donors = permutations(n, self.n_permutations, self.seed).to(problem.z[0].device)
        total = problem.value.new_zeros(n, features.count)
        for block in blocks(self.n_permutations, n * features.count):
            total += _left(problem, donors[block]).sum(dim=1)
        return features.spread(problem.value[:, None] - total / self.n_permutations, problem.z)


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
    """Random permutations of n samples, drawn until each moves something.

    Returns:
        Permutations (count, n) of 0..n-1.
    """
    generator = stream("feature permutation", seed)
    drawn = torch.rand(count, n, generator=generator, dtype=torch.float32).argsort(dim=1)
    still = (drawn == torch.arange(n)).all(dim=1)
    while still.any():
        again = torch.rand(int(still.sum()), n, generator=generator, dtype=torch.float32)
        drawn[still] = again.argsort(dim=1)
        still = (drawn == torch.arange(n)).all(dim=1)
    return drawn
